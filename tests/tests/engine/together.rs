//! Reports that many agents send at the same moment are taken together, and none suffers from another.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hostler_common::error::Class;
use hostler_common::id::{HostId, JobId};
use hostler_common::job::{JobSpec, JobState, JobUpdate, Outcome, Work};
use hostler_core::run::target::TargetState;
use hostler_core::run::{Quota, Spec};
use hostler_manager::engine::Engine;
use hostler_manager::store::job::{job_find, job_open};
use hostler_manager::store::target::target_list;
use hostler_manager::store::task::TaskState;
use hostler_manager::store::{Error, Result};
use hostler_tests::both::Bed;
use hostler_tests::on_both;

use super::scripts::{hosts, spec};
use super::{Door, Rig};

on_both!(
    targets_follow_where_others_ended,
    too_many_failures_at_once_stop_the_rest,
    a_forged_report_fails_alone,
    a_report_that_comes_twice_counts_once,
    probes_and_scripts_are_taken_together,
    a_store_that_was_away_is_no_end,
);

async fn open(rig: &Rig, hosts: &[HostId]) -> Vec<(HostId, JobSpec, JobState)> {
    let mut connection = rig.one.store.read().await.unwrap();
    let mut jobs = Vec::new();
    for host in hosts {
        let found = job_open(&mut connection, *host).await.unwrap();
        jobs.extend(found.into_iter().map(|job| (*host, job.spec, job.state)));
    }
    jobs
}

/// Says all of this at once.
async fn say(engine: &Engine, said: Vec<(HostId, JobId, JobState)>) -> Vec<Result<()>> {
    let reports = said.into_iter().map(|(host, job, state)| {
        let outcome = state.is_final().then(|| Outcome { exit_code: Some(0), ..Outcome::default() });
        engine.job_update(host, JobUpdate { job, state, outcome })
    });
    futures::future::join_all(reports).await
}

async fn states(rig: &Rig, task: hostler_common::id::TaskId) -> Vec<TargetState> {
    let targets = target_list(&mut rig.one.store.read().await.unwrap(), task, None, 1000).await.unwrap();
    targets.into_iter().map(|target| target.state).collect()
}

async fn targets_follow_where_others_ended(bed: Bed) {
    let rig = Rig::new(bed).await;
    let hosts = hosts(&rig, 1..=60).await;
    let order = Spec { max_concurrency: Quota::Count(25), ..spec(&hosts) };
    let task = rig.one.run_start(order, Some("tester")).await.unwrap();
    let mut sizes = Vec::new();
    loop {
        let jobs = open(&rig, &hosts).await;
        if jobs.is_empty() {
            break;
        }
        sizes.push(jobs.len());
        for state in [JobState::Delivered, JobState::Running, JobState::Succeeded] {
            let said = jobs.iter().map(|(host, job, _)| (*host, job.id, state)).collect();
            assert!(say(&rig.one, said).await.into_iter().all(|done| done.is_ok()));
            let all = states(&rig, task).await;
            let running = all.iter().filter(|found| **found == TargetState::Running).count();
            assert_eq!(running, if state == JobState::Running { jobs.len() } else { 0 });
        }
    }
    assert_eq!(sizes, [25, 25, 10], "as many begin as have ended");
    let ended = rig.task(task).await;
    assert_eq!((ended.state, ended.complete), (TaskState::Finished, 60));
}

async fn too_many_failures_at_once_stop_the_rest(bed: Bed) {
    let rig = Rig::new(bed).await;
    let hosts = hosts(&rig, 1..=40).await;
    let limits = Spec { max_concurrency: Quota::Count(20), max_errors: Some(Quota::Count(3)), ..spec(&hosts) };
    let task = rig.one.run_start(limits, Some("tester")).await.unwrap();
    let jobs = open(&rig, &hosts).await;
    let said = jobs.iter().map(|(host, job, _)| (*host, job.id, JobState::Failed)).collect();
    assert!(say(&rig.one, said).await.into_iter().all(|done| done.is_ok()));
    // Where the first reports are taken before the others are there, up to three failures each let another begin.
    let late = open(&rig, &hosts).await;
    assert!(late.len() <= 3, "{late:?}");
    let said = late.iter().map(|(host, job, _)| (*host, job.id, JobState::Failed)).collect();
    assert!(say(&rig.one, said).await.into_iter().all(|done| done.is_ok()));
    let all = states(&rig, task).await;
    let count = |state| all.iter().filter(|found| **found == state).count();
    let failed = 20 + late.len();
    assert_eq!((count(TargetState::Failed), count(TargetState::Skipped)), (failed, 40 - failed), "{all:?}");
    assert_eq!(rig.task(task).await.state, TaskState::Failed);
    assert!(open(&rig, &hosts).await.is_empty());
}

async fn a_forged_report_fails_alone(bed: Bed) {
    let rig = Rig::new(bed).await;
    let hosts = hosts(&rig, 1..=30).await;
    let stranger = rig.host(99).await;
    let task = rig.one.run_start(spec(&hosts), Some("tester")).await.unwrap();
    let jobs = open(&rig, &hosts).await;
    let mut said: Vec<_> = jobs.iter().map(|(host, job, _)| (*host, job.id, JobState::Succeeded)).collect();
    said.insert(7, (stranger, jobs[0].1.id, JobState::Failed));
    let unknown = JobId(uuid::Uuid::from_u128(5));
    said.insert(9, (stranger, unknown, JobState::Failed));
    for (n, done) in say(&rig.one, said).await.into_iter().enumerate() {
        match n {
            7 => assert_eq!(done.unwrap_err().class(), Class::Denied),
            _ => done.unwrap(),
        }
    }
    assert_eq!(rig.task(task).await.state, TaskState::Finished);
}

async fn a_report_that_comes_twice_counts_once(bed: Bed) {
    let rig = Rig::new(bed).await;
    let hosts = hosts(&rig, 1..=10).await;
    let task = rig.one.run_start(spec(&hosts), Some("tester")).await.unwrap();
    let jobs = open(&rig, &hosts).await;
    let mut said = Vec::new();
    for state in [JobState::Running, JobState::Running, JobState::Failed, JobState::Succeeded, JobState::Running] {
        said.extend(jobs.iter().map(|(host, job, _)| (*host, job.id, state)));
    }
    assert!(say(&rig.one, said).await.into_iter().all(|done| done.is_ok()));
    let all = states(&rig, task).await;
    assert!(all.iter().all(|state| state.is_final()), "{all:?}");
    assert_eq!(rig.task(task).await.complete, 10);
    let finished = rig.events().await.into_iter().filter(|kind| kind == "run.finished").count();
    assert_eq!(finished, 1);
}

async fn probes_and_scripts_are_taken_together(bed: Bed) {
    let rig = Rig::new(bed).await;
    let connected = hosts(&rig, 1..=8).await;
    let task = rig.one.run_start(spec(&connected), Some("tester")).await.unwrap();
    let mut reports = Vec::new();
    for n in 11..=14 {
        let (host, job) = rig.waiting_host(n).await;
        reports.push((host, super::report(&job, JobState::Succeeded)));
    }
    for (host, job, _) in open(&rig, &connected).await {
        assert!(matches!(job.work, Work::Script(_)));
        let outcome = Some(Outcome { exit_code: Some(0), ..Outcome::default() });
        reports.push((host, JobUpdate { job: job.id, state: JobState::Succeeded, outcome }));
    }
    let engine = &rig.one;
    let done = reports.into_iter().map(|(host, update)| engine.job_update(host, update));
    assert!(futures::future::join_all(done).await.into_iter().all(|done| done.is_ok()));
    rig.one.run_due().await.unwrap();
    assert_eq!(rig.task(task).await.state, TaskState::Finished);
    let finished = rig.events().await.into_iter().filter(|kind| kind == "introspection.finished").count();
    assert_eq!(finished, 4);
}

async fn a_store_that_was_away_is_no_end(bed: Bed) {
    let mut rig = Rig::new(bed).await;
    let hosts = hosts(&rig, 1..=20).await;
    let task = rig.one.run_start(spec(&hosts), Some("tester")).await.unwrap();
    let door = Arc::new(Door::default());
    rig.two.store = rig.two.store.clone().gated(Arc::clone(&door) as _);
    let jobs = open(&rig, &hosts).await;
    let said: Vec<_> = jobs.iter().map(|(host, job, _)| (*host, job.id, JobState::Succeeded)).collect();
    door.0.store(true, Ordering::SeqCst);
    for done in say(&rig.two, said.clone()).await {
        assert!(matches!(done, Err(Error::Unavailable(_))), "{done:?}");
    }
    let found = job_find(&mut rig.one.store.read().await.unwrap(), jobs[0].1.id).await.unwrap().unwrap();
    assert_eq!(found.state, JobState::Queued);
    door.0.store(false, Ordering::SeqCst);
    for done in say(&rig.two, said).await {
        done.unwrap();
    }
    assert_eq!(rig.task(task).await.state, TaskState::Finished);
}
