//! Reports of jobs: repeated, late, out of order, and of somebody else's job.

use hostler_common::error::Class;
use hostler_common::id::JobId;
use hostler_common::job::{JobState, JobUpdate};
use hostler_core::introspection::state::State;
use hostler_manager::store::Error;
use hostler_manager::store::introspection::status_find;
use hostler_manager::store::inventory::inventory_list;
use hostler_manager::store::job::{job_find, job_open};
use hostler_tests::both::Bed;
use hostler_tests::on_both;
use uuid::Uuid;

use super::{Rig, give, report};

on_both!(
    repeated_reports_change_nothing,
    a_late_report_changes_nothing,
    a_report_of_a_foreign_job_is_denied,
    a_report_of_an_unknown_job_is_taken,
    a_dropped_job_ends_its_run,
    a_reason_may_have_any_text,
);

async fn repeated_reports_change_nothing(bed: Bed) {
    let rig = Rig::new(bed).await;
    let (host, job) = rig.waiting_host(1).await;
    let mut version = rig.machine(host).await.version;
    for state in [JobState::Delivered, JobState::Running, JobState::Succeeded] {
        for engine in [&rig.one, &rig.two, &rig.one] {
            engine.job_update(host, report(&job, state)).await.unwrap();
        }
        version += 1;
        assert_eq!(rig.machine(host).await.version, version, "{state:?} was decided on once");
    }
    rig.one.run_due().await.unwrap();
    let machine = rig.machine(host).await;
    assert_eq!((machine.machine.state, machine.version), (State::Finished, version + 1));
    // Long after the end, the agent says it once more: its acknowledgement was lost.
    rig.two.job_update(host, report(&job, JobState::Succeeded)).await.unwrap();
    assert_eq!(rig.machine(host).await.version, version + 1);
    let mut connection = rig.one.store.read().await.unwrap();
    assert_eq!(inventory_list(&mut connection, host, None, 9).await.unwrap().len(), 1);
    assert_eq!(status_find(&mut connection, host).await.unwrap().unwrap().state, State::Finished);
    drop(connection);
    assert_eq!(rig.steps(machine.task.unwrap()).await, ["started", "probe ordered", "data received", "finished"]);
}

async fn a_late_report_changes_nothing(bed: Bed) {
    let rig = Rig::new(bed).await;
    let (host, job) = rig.waiting_host(1).await;
    rig.one.job_update(host, report(&job, JobState::Failed)).await.unwrap();
    let version = rig.machine(host).await.version;
    for state in JobState::ALL {
        rig.two.job_update(host, report(&job, state)).await.unwrap();
    }
    assert_eq!(rig.machine(host).await.version, version);
    let kept = job_find(&mut rig.one.store.read().await.unwrap(), job.id).await.unwrap().unwrap();
    assert_eq!(kept.state, JobState::Failed);
}

async fn a_report_of_a_foreign_job_is_denied(bed: Bed) {
    let rig = Rig::new(bed).await;
    let ((host, job), other) = (rig.waiting_host(1).await, rig.host(2).await);
    let version = rig.machine(host).await.version;
    for state in JobState::ALL {
        let denied = rig.one.job_update(other, report(&job, state)).await;
        assert!(matches!(denied, Err(Error::Refused(Class::Denied, _))), "{state:?}: {denied:?}");
    }
    let denied = rig.one.job_dropped(other, job.id).await;
    assert!(matches!(denied, Err(Error::Refused(Class::Denied, _))), "{denied:?}");
    let kept = job_find(&mut rig.one.store.read().await.unwrap(), job.id).await.unwrap().unwrap();
    assert_eq!((kept.state, rig.machine(host).await.version), (JobState::Queued, version));
}

async fn a_report_of_an_unknown_job_is_taken(bed: Bed) {
    let rig = Rig::new(bed).await;
    let (host, job) = rig.waiting_host(1).await;
    let unknown = JobUpdate { job: JobId(Uuid::from_u128(77)), ..report(&job, JobState::Succeeded) };
    // Its machine went with its host, or with time: the agent must be able to forget it.
    rig.one.job_update(host, unknown).await.unwrap();
    assert_eq!(rig.machine(host).await.machine.state, State::Waiting);
}

async fn a_dropped_job_ends_its_run(bed: Bed) {
    let rig = Rig::new(bed).await;
    let (host, job) = rig.waiting_host(1).await;
    rig.one.job_dropped(host, job.id).await.unwrap();
    rig.one.job_dropped(host, job.id).await.unwrap();
    let machine = rig.machine(host).await.machine;
    assert_eq!(machine.state, State::Error);
    assert!(machine.error.unwrap().contains("cancelled before it reached the agent"));
    assert!(job_open(&mut rig.one.store.read().await.unwrap(), host).await.unwrap().is_empty());
    // And the host can be asked again.
    give(&rig.one, host, hostler_core::introspection::command::Command::Start { manage_boot: None, sections: vec![] })
        .await
        .unwrap();
}

/// An agent's words end in a history on PostgreSQL as well as on SQLite, whatever they are: a report that is refused would
/// come again for ever.
async fn a_reason_may_have_any_text(bed: Bed) {
    let rig = Rig::new(bed).await;
    let (host, job) = rig.waiting_host(1).await;
    let mut update = report(&job, JobState::Failed);
    update.outcome.as_mut().unwrap().reason = Some("nul \u{0}, 主机 and \u{fffd}".into());
    rig.one.job_update(host, update).await.unwrap();
    let status = status_find(&mut rig.one.store.read().await.unwrap(), host).await.unwrap().unwrap();
    assert_eq!(status.state, State::Error);
    assert!(status.error.unwrap().ends_with(", 主机 and \u{fffd}"));
}
