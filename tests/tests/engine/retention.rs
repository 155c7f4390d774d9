//! What is old goes, what is not stays.

use std::time::Duration;

use hostler_common::id::EventNumber;
use hostler_common::job::JobState;
use hostler_core::introspection::state::State;
use hostler_manager::store::event::event_list;
use hostler_manager::store::job::job_counts;
use hostler_manager::store::task::{TaskFilter, task_list};
use hostler_tests::both::Bed;
use hostler_tests::on_both;
use tokio_util::sync::CancellationToken;

use super::{Rig, report, start};

on_both!(old_records_are_pruned, the_loop_prunes_at_once_and_stops, a_pruned_run_can_be_followed_by_another);

const DAY: Duration = Duration::from_secs(86_400);

/// How many events, tasks and jobs there are.
async fn counts(rig: &Rig) -> (usize, usize, i64) {
    let mut connection = rig.one.store.read().await.unwrap();
    let events = event_list(&mut connection, EventNumber(0), 999).await.unwrap().len();
    let tasks = task_list(&mut connection, &TaskFilter::default(), 999).await.unwrap().len();
    (events, tasks, job_counts(&mut connection).await.unwrap().iter().map(|(_, count)| count).sum())
}

async fn old_records_are_pruned(bed: Bed) {
    let rig = Rig::new(bed).await;
    let (host, job) = rig.waiting_host(1).await;
    rig.one.job_update(host, report(&job, JobState::Succeeded)).await.unwrap();
    rig.one.run_due().await.unwrap();
    let (open, _) = rig.waiting_host(2).await;
    assert_eq!(counts(&rig).await, (3, 2, 2));
    rig.clock.advance(13 * DAY);
    assert_eq!(rig.one.prune().await.unwrap(), 0);
    // Jobs are kept for 14 days, tasks for 90, events for 400. What has not ended is not old.
    rig.clock.advance(2 * DAY);
    assert_eq!(rig.one.prune().await.unwrap(), 1);
    assert_eq!(counts(&rig).await, (3, 2, 1));
    rig.clock.advance(76 * DAY);
    assert_eq!(rig.one.prune().await.unwrap(), 1);
    assert_eq!(counts(&rig).await, (3, 1, 1));
    rig.clock.advance(310 * DAY);
    assert_eq!(rig.one.prune().await.unwrap(), 3);
    assert_eq!(counts(&rig).await, (0, 1, 1));
    assert_eq!(rig.two.prune().await.unwrap(), 0);
    assert_eq!(rig.machine(host).await.machine.state, State::Finished);
    assert_eq!(rig.machine(open).await.machine.state, State::Waiting);
}

async fn the_loop_prunes_at_once_and_stops(bed: Bed) {
    let rig = Rig::new(bed).await;
    let (host, job) = rig.waiting_host(1).await;
    rig.one.job_update(host, report(&job, JobState::Failed)).await.unwrap();
    rig.clock.advance(1000 * DAY);
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (engine, stop) = (rig.one.clone(), stop.clone());
        async move { engine.run_retention(stop).await }
    });
    tokio::time::timeout(Duration::from_secs(30), async {
        while counts(&rig).await != (0, 0, 0) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap();
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(5), running).await.unwrap().unwrap();
}

async fn a_pruned_run_can_be_followed_by_another(bed: Bed) {
    let rig = Rig::new(bed).await;
    let (host, job) = rig.waiting_host(1).await;
    rig.one.job_update(host, report(&job, JobState::Failed)).await.unwrap();
    rig.clock.advance(1000 * DAY);
    rig.one.prune().await.unwrap();
    // Its task is gone: a cancel writes no history of it, and a start begins a new one.
    super::give(&rig.one, host, hostler_core::introspection::command::Command::Abort).await.unwrap();
    let again = start(&rig.two, host).await.unwrap();
    assert_eq!(again.machine.run, 2);
    assert_eq!(rig.steps(again.task.unwrap()).await, ["started"]);
    let mut raw = rig.bed.raw().await.unwrap();
    let (steps,): (i64,) = sqlx::query_as("select count(*) from step").fetch_one(&mut raw).await.unwrap();
    assert_eq!(steps, 1);
}
