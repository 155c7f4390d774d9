//! Runs of scripts: rows, rate, results, cancel, questions, on both engines.

use std::time::Duration;

use hostler_common::error::Class;
use hostler_common::id::{HostId, TaskId};
use hostler_common::job::{Captured, JobState, JobUpdate, Merged, Outcome, Stream, Work};
use hostler_common::script::{Digest, ScriptRef};
use hostler_core::run::target::TargetState;
use hostler_core::run::{Origin, Quota, Spec};
use hostler_manager::store::host::{Greeting, host_all_offline, host_offline, host_online};
use hostler_manager::store::job::job_open;
use hostler_manager::store::machine::timer_next;
use hostler_manager::store::target::{target_list, target_output, task_text};
use hostler_manager::store::task::{TaskState, task_prune};
use hostler_tests::both::Bed;
use hostler_tests::{commit, on_both};

use super::Rig;

on_both!(
    every_host_runs_and_the_result_is_kept,
    hosts_that_are_away_fail_the_task,
    an_outage_of_the_manager_fails_no_run,
    too_many_failures_skip_the_rest,
    a_run_is_cancelled,
    a_question_is_answered_once,
    many_reports_at_once_all_count,
    old_runs_are_removed_whole,
);

/// Hosts with these numbers, connected.
pub(super) async fn hosts(rig: &Rig, numbers: std::ops::RangeInclusive<u128>) -> Vec<HostId> {
    let mut hosts = Vec::new();
    for n in numbers {
        let host = rig.host(n).await;
        let greeting = Greeting { version: "1".into(), boot_id: "b".into(), address: "192.0.2.1".into() };
        let now = rig.one.clock.now();
        commit!(rig.one.store, tx => host_online(tx, host, &greeting, now).await).unwrap();
        hosts.push(host);
    }
    hosts
}

pub(super) fn spec(hosts: &[HostId]) -> Spec {
    let script =
        ScriptRef { id: None, name: "a.sh".into(), revision: 1, digest: Digest([7; 32]), signature: "00".into() };
    Spec::new("Script a.sh", script, hosts.to_vec(), Origin::Execute)
}

/// The agent of a host says that of its one open job.
pub(super) async fn report(rig: &Rig, host: HostId, state: JobState, exit_code: i32, output: &str) {
    let open = job_open(&mut rig.one.store.read().await.unwrap(), host).await.unwrap();
    let job = open.iter().find(|job| matches!(job.spec.work, Work::Script(_))).unwrap().spec.id;
    let outcome = state.is_final().then(|| Outcome {
        exit_code: Some(exit_code),
        merged: Some(Merged {
            bytes: Captured { head: output.into(), tail: Vec::new(), total: output.len() as u64 },
            marks: vec![(0, Stream::Stdout), (2, Stream::Stderr)],
            dropped: 0,
        }),
        ..Outcome::default()
    });
    rig.two.job_update(host, JobUpdate { job, state, outcome }).await.unwrap();
}

async fn states(rig: &Rig, task: TaskId) -> Vec<TargetState> {
    let targets = target_list(&mut rig.one.store.read().await.unwrap(), task, None, 1000).await.unwrap();
    targets.into_iter().map(|target| target.state).collect()
}

async fn every_host_runs_and_the_result_is_kept(bed: Bed) {
    let rig = Rig::new(bed).await;
    let hosts = hosts(&rig, 1..=3).await;
    let task = rig.one.run_start(spec(&hosts), Some("tester")).await.unwrap();
    let shown = rig.task(task).await;
    assert_eq!((shown.state, shown.kind.as_str(), shown.total), (TaskState::Waiting, "script", 3));
    report(&rig, hosts[0], JobState::Delivered, 0, "").await;
    report(&rig, hosts[0], JobState::Running, 0, "").await;
    assert_eq!(rig.task(task).await.state, TaskState::Running);
    report(&rig, hosts[0], JobState::Succeeded, 0, "one\ntwo\n").await;
    assert_eq!(rig.task(task).await.complete, 1);
    report(&rig, hosts[2], JobState::Failed, 9, "three\n").await;
    report(&rig, hosts[1], JobState::Failed, 4, "\0\u{fffd}").await;
    let ended = rig.task(task).await;
    assert_eq!((ended.state, ended.status_code, ended.complete), (TaskState::Failed, 4, 3));
    let result = ended.result.unwrap();
    assert_eq!(result["servers"][1]["exitCode"], 4);
    assert_eq!(
        result["servers"][0],
        serde_json::json!({
            "id": 1, "name": "host-1", "state": "ok", "exitCode": 0, "signal": null,
            "startedAt": rig.one.clock.now().rfc3339(), "finishedAt": rig.one.clock.now().rfc3339(),
            "outputBytes": 8, "truncated": false, "error": null,
        })
    );
    let mut connection = rig.one.store.read().await.unwrap();
    let text = task_text(&mut connection, task, 1 << 20, None).await.unwrap();
    assert_eq!(text, "[host-1] one\n[host-1] two\n[host-2] \0\u{fffd}\n[host-3] three\n");
    let kept = target_output(&mut connection, task, hosts[0]).await.unwrap().unwrap();
    assert_eq!((kept.bytes.head.as_slice(), kept.marks.len()), (b"one\ntwo\n".as_slice(), 2));
    assert!(timer_next(&mut connection, 9).await.unwrap().is_empty());
}

async fn hosts_that_are_away_fail_the_task(bed: Bed) {
    let rig = Rig::new(bed).await;
    let mut hosts = hosts(&rig, 1..=2).await;
    hosts.push(rig.host(3).await);
    let task = rig.one.run_start(spec(&hosts), Some("tester")).await.unwrap();
    assert_eq!(states(&rig, task).await[2], TargetState::Undeliverable, "it has never connected");
    report(&rig, hosts[0], JobState::Succeeded, 0, "").await;
    let (second, now) = (hosts[1], rig.one.clock.now());
    commit!(rig.one.store, tx => host_offline(tx, second, now, now).await).unwrap();
    rig.clock.advance(Duration::from_secs(61));
    rig.two.run_due().await.unwrap();
    let ended = rig.task(task).await;
    assert_eq!((ended.state, ended.status_code), (TaskState::Failed, 255));
    let open = job_open(&mut rig.one.store.read().await.unwrap(), second).await.unwrap();
    assert!(open[0].cancel, "an agent that comes back must not begin with it");
}

async fn an_outage_of_the_manager_fails_no_run(bed: Bed) {
    let mut rig = Rig::new(bed).await;
    let hosts = hosts(&rig, 1..=3).await;
    let order = Spec { max_concurrency: Quota::Count(2), ..spec(&hosts) };
    let task = rig.one.run_start(order, Some("tester")).await.unwrap();
    report(&rig, hosts[0], JobState::Running, 0, "").await;
    // Both managers are gone for hours; what comes due is seen by those of afterwards before any agent is back.
    commit!(rig.one.store, tx => host_all_offline(tx).await).unwrap();
    rig.clock.advance(Duration::from_secs(7 * 3600));
    (rig.one, rig.two) = (rig.one.clone().begins(), rig.two.clone().begins());
    rig.two.run_due().await.unwrap();
    rig.clock.advance(Duration::from_secs(30));
    rig.one.run_due().await.unwrap();
    // The first one ended meanwhile, and the third one's turn comes before its agent does.
    report(&rig, hosts[0], JobState::Succeeded, 0, "").await;
    rig.clock.advance(Duration::from_secs(30));
    rig.two.run_due().await.unwrap();
    use TargetState::{Delivering, Ok};
    assert_eq!(states(&rig, task).await, [Ok, Delivering, Delivering]);
    for host in &hosts[1..] {
        report(&rig, *host, JobState::Running, 0, "").await;
        report(&rig, *host, JobState::Succeeded, 0, "").await;
    }
    assert_eq!(states(&rig, task).await, [Ok; 3]);
    assert_eq!(rig.task(task).await.state, TaskState::Finished);
}

async fn too_many_failures_skip_the_rest(bed: Bed) {
    let rig = Rig::new(bed).await;
    let hosts = hosts(&rig, 1..=6).await;
    let order = Spec { max_concurrency: Quota::Count(2), max_errors: Some(Quota::Percent(20)), ..spec(&hosts) };
    let task = rig.one.run_start(order, Some("tester")).await.unwrap();
    report(&rig, hosts[0], JobState::Failed, 1, "").await;
    report(&rig, hosts[1], JobState::Failed, 2, "").await;
    report(&rig, hosts[2], JobState::Succeeded, 0, "").await;
    use TargetState::{Failed, Ok, Skipped};
    assert_eq!(states(&rig, task).await, [Failed, Failed, Ok, Skipped, Skipped, Skipped]);
    assert_eq!(rig.task(task).await.state, TaskState::Failed);
}

async fn a_run_is_cancelled(bed: Bed) {
    let rig = Rig::new(bed).await;
    let hosts = hosts(&rig, 1..=3).await;
    let order = Spec { max_concurrency: Quota::Count(2), ..spec(&hosts) };
    let task = rig.one.run_start(order, Some("tester")).await.unwrap();
    report(&rig, hosts[0], JobState::Running, 0, "").await;
    rig.two.task_cancel(task, "tester").await.unwrap();
    assert!(rig.task(task).await.cancelled);
    rig.one.task_cancel(task, "tester").await.unwrap();
    report(&rig, hosts[0], JobState::Cancelled, 143, "").await;
    report(&rig, hosts[1], JobState::Cancelled, 143, "").await;
    let ended = rig.task(task).await;
    assert_eq!((ended.state, ended.status_code), (TaskState::Canceled, -256));
    assert_eq!(rig.one.task_cancel(task, "tester").await.unwrap_err().class(), Class::Conflict);
}

async fn a_question_is_answered_once(bed: Bed) {
    let rig = Rig::new(bed).await;
    let hosts = hosts(&rig, 1..=2).await;
    let task = rig.one.run_start(Spec { canary: 1, ..spec(&hosts) }, Some("tester")).await.unwrap();
    report(&rig, hosts[0], JobState::Succeeded, 0, "").await;
    let asking = rig.task(task).await;
    let question = asking.question.unwrap();
    assert_eq!(asking.state, TaskState::Waiting);
    let wrong = rig.one.task_answer(task, uuid::Uuid::nil(), "continue", "tester").await.unwrap_err();
    assert_eq!(wrong.class(), Class::Conflict);
    rig.two.task_answer(task, question.token, "continue", "tester").await.unwrap();
    let again = rig.one.task_answer(task, question.token, "continue", "tester").await.unwrap_err();
    assert_eq!(again.class(), Class::Conflict);
    assert_eq!(rig.one.task_answer(TaskId(99), question.token, "x", "t").await.unwrap_err().class(), Class::NotFound);
    report(&rig, hosts[1], JobState::Succeeded, 0, "").await;
    let ended = rig.task(task).await;
    assert_eq!((ended.state, ended.question), (TaskState::Finished, None));
}

/// Agents of one run report at the same moment, to two managers: none of them is turned away.
async fn many_reports_at_once_all_count(bed: Bed) {
    let rig = Rig::new(bed).await;
    let hosts = hosts(&rig, 1..=40).await;
    let task = rig.one.run_start(spec(&hosts), Some("tester")).await.unwrap();
    let mut reports = Vec::new();
    for (n, host) in hosts.iter().enumerate() {
        let job = job_open(&mut rig.one.store.read().await.unwrap(), *host).await.unwrap()[0].spec.id;
        let engine = if n % 2 == 0 { rig.one.clone() } else { rig.two.clone() };
        let host = *host;
        reports.push(tokio::spawn(async move {
            for state in [JobState::Delivered, JobState::Running, JobState::Succeeded] {
                let outcome = state.is_final().then(Outcome::default);
                engine.job_update(host, JobUpdate { job, state, outcome }).await.unwrap();
            }
        }));
    }
    for report in reports {
        report.await.unwrap();
    }
    let ended = rig.task(task).await;
    assert_eq!((ended.state, ended.complete), (TaskState::Finished, 40));
    let finished = rig.events().await.iter().filter(|kind| *kind == "run.finished").count();
    assert_eq!(finished, 1);
}

async fn old_runs_are_removed_whole(bed: Bed) {
    let rig = Rig::new(bed).await;
    let hosts = hosts(&rig, 1..=1).await;
    let task = rig.one.run_start(spec(&hosts), None).await.unwrap();
    report(&rig, hosts[0], JobState::Succeeded, 0, "x").await;
    rig.clock.advance(Duration::from_secs(10));
    let now = rig.one.clock.now();
    commit!(rig.one.store, tx => task_prune(tx, now, 100).await).unwrap();
    assert!(states(&rig, task).await.is_empty());
    let mut raw = rig.bed.raw().await.unwrap();
    let text = "select (select count(*) from run) + (select count(*) from machine) + (select count(*) from task)";
    let (left,): (i64,) = sqlx::query_as(text).fetch_one(&mut raw).await.unwrap();
    assert_eq!(left, 0);
}
