//! Runs, their targets, and what hooks leave behind.

use hostler_common::hook::{HookPoint, Occurrence, Origin as Cause};
use hostler_common::id::{HookId, HostId, JobId, TaskId};
use hostler_common::job::{Captured, JobSpec, JobState, Merged, Outcome, Stream, Usage};
use hostler_common::time::Timestamp;
use hostler_core::machine::TaskEnd;
use hostler_core::run::command::NewTarget;
use hostler_core::run::target::{Summary, TargetState};
use hostler_core::run::{Origin, Spec};
use hostler_manager::store::host::{Greeting, host_delete, host_find, host_online};
use hostler_manager::store::job::{job_insert_all, job_update};
use hostler_manager::store::machine::{machine_find, machine_insert};
use hostler_manager::store::target::{
    Ended, candidates, chain_prune, occurrence_insert, occurrence_prune, output_prune, pace_find, pace_prune, pace_put,
    report_insert, report_prune, run_insert, run_subject, run_task, spec_find, target_begun, target_ended, target_job,
    target_launched, target_list, target_of_jobs, target_output, target_rest, target_running, target_waiting,
    task_text,
};
use hostler_manager::store::task::{NewTask, Seat, task_close, task_insert, task_jobs, task_prune};
use hostler_manager::store::{Error, Store};
use hostler_tests::both::Bed;
use hostler_tests::{commit, on_both};
use serde_json::json;
use uuid::Uuid;

use super::job::spec as job_spec;
use super::machine::machine_id;
use super::script::revision;
use super::{UNICODE, at, host_id, some_host};

on_both!(
    a_run_is_found_by_task_and_subject,
    targets_wait_in_their_order,
    targets_begin_run_and_end,
    the_rest_ends_without_having_begun,
    what_comes_late_leaves_the_state,
    outputs_of_running_scripts_stand_in_their_places,
    outputs_are_put_together_and_forgotten,
    many_targets_are_written_in_pieces,
    runs_go_with_their_tasks,
    reports_and_occurrences_count_once,
    a_pace_is_remembered,
    chains_go_when_nothing_happens_to_them,
    hooks_may_run_where_agents_are,
);

const TASK: TaskId = TaskId(1);

fn job_id(n: u32) -> JobId {
    JobId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + u128::from(n)))
}

fn spec() -> Spec {
    Spec { args: vec![UNICODE.into()], ..Spec::new(UNICODE, revision(None, 1, 7).script, Vec::new(), Origin::Execute) }
}

/// A run on hosts 1 to `count`; there are the first `known` of them.
async fn run(bed: &Bed, known: u128, count: u128) -> Store {
    let store = bed.open().await.unwrap();
    for n in 1..=known {
        some_host(&store, n).await;
    }
    let targets: Vec<NewTarget> = (0..)
        .zip(1..=count)
        .map(|(position, n)| NewTarget { position, host: host_id(n), job: job_id(position) })
        .collect();
    commit!(store, tx => run_insert(tx, TASK, "subject", &spec(), &targets).await).unwrap();
    store
}

async fn list(store: &Store) -> Vec<Summary> {
    target_list(&mut store.read().await.unwrap(), TASK, None, 5000).await.unwrap()
}

async fn online(store: &Store, host: HostId) {
    let hello = Greeting { version: "1".into(), boot_id: "b".into(), address: "192.0.2.1".into() };
    assert!(commit!(store, tx => host_online(tx, host, &hello, at(3)).await).is_ok());
}

fn outcome(head: &str, total: u64) -> Outcome {
    let bytes = Captured { head: head.into(), tail: Vec::new(), total };
    let marks = vec![(0, Stream::Stdout), (2, Stream::Stderr)];
    Outcome {
        exit_code: Some(3),
        merged: Some(Merged { bytes, marks, dropped: 0 }),
        usage: Some(Usage { wall_us: 5, ..Usage::default() }),
        started_at: Some(at(7)),
        ..Outcome::default()
    }
}

async fn end(store: &Store, position: u32, state: Option<TargetState>, outcome: Option<Outcome>, second: i64) {
    commit!(store, tx => {
        let ended = Ended { state, outcome: outcome.as_ref(), error: state.map(|_| "nul \0 inside") };
        target_ended(tx, TASK, position, ended, at(second)).await
    })
    .unwrap();
}

async fn a_run_is_found_by_task_and_subject(bed: Bed) {
    let store = run(&bed, 1, 1).await;
    let mut connection = store.read().await.unwrap();
    assert_eq!(spec_find(&mut connection, TASK).await.unwrap(), Some(spec()), "the hosts are rows");
    assert_eq!(spec_find(&mut connection, TaskId(2)).await.unwrap(), None);
    assert_eq!(run_task(&mut connection, "subject").await.unwrap(), Some(TASK));
    assert_eq!(run_task(&mut connection, "other").await.unwrap(), None);
    assert_eq!(run_subject(&mut connection, TASK).await.unwrap().as_deref(), Some("subject"));
    assert_eq!(run_subject(&mut connection, TaskId(2)).await.unwrap(), None);
    drop(connection);
    let twice = commit!(store, tx => run_insert(tx, TaskId(2), "subject", &spec(), &[]).await);
    assert!(matches!(twice, Err(Error::Exists(_))), "{twice:?}");
}

async fn targets_wait_in_their_order(bed: Bed) {
    let store = run(&bed, 2, 3).await;
    online(&store, host_id(2)).await;
    let mut connection = store.read().await.unwrap();
    let waiting = target_waiting(&mut connection, TASK, 0, 9).await.unwrap();
    assert_eq!(waiting.iter().map(|target| target.position).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!((waiting[1].host, waiting[1].job), (host_id(2), job_id(1)));
    let seat = waiting[1].seat.clone().unwrap();
    assert_eq!((seat.number, seat.name.as_str(), seat.connected, seat.revoked), (2, "host-2", true, false));
    assert_eq!(seat.seen_at, Some(at(3)));
    assert!(!waiting[0].seat.as_ref().unwrap().connected);
    assert_eq!(waiting[2].seat, None, "there is no such host");
    let waiting = target_waiting(&mut connection, TASK, 1, 1).await.unwrap();
    assert_eq!(waiting.iter().map(|target| target.position).collect::<Vec<_>>(), [1]);
    assert_eq!(target_job(&mut connection, TASK, host_id(3)).await.unwrap(), Some(job_id(2)));
    assert_eq!(target_job(&mut connection, TASK, host_id(4)).await.unwrap(), None);
    let jobs = task_jobs(&mut connection, TASK).await.unwrap();
    assert_eq!(jobs[&job_id(1)], Seat { number: Some(2), name: "host-2".into() });
    assert_eq!(jobs[&job_id(2)], Seat { number: None, name: host_id(3).to_string() });
}

async fn targets_begin_run_and_end(bed: Bed) {
    let store = run(&bed, 4, 4).await;
    online(&store, host_id(1)).await;
    commit!(store, tx => {
        machine_insert(tx, machine_id(1), "run", "subject", &json!({}), at(0)).await?;
        let jobs: Vec<JobSpec> =
            (0..3).map(|n| JobSpec { id: job_id(n), ..job_spec(1, host_id(u128::from(n) + 1)) }).collect();
        job_insert_all(tx, machine_id(1), &jobs, at(1)).await?;
        job_update(tx, job_id(0), JobState::Queued, JobState::Delivered, None, at(2)).await?;
        target_launched(tx, TASK, (0, 2), at(4)).await?;
        target_running(tx, TASK, &[1, 2], at(5)).await?;
        target_running(tx, TASK, &[], at(6)).await
    })
    .unwrap();
    end(&store, 2, Some(TargetState::Failed), Some(outcome("no", 2)), 9).await;
    use TargetState::{Delivering, Failed, Pending, Running};
    let all = list(&store).await;
    assert_eq!(all.iter().map(|target| target.state).collect::<Vec<_>>(), [Delivering, Running, Failed, Pending]);
    let ended = &all[2];
    assert_eq!((ended.number, ended.name.as_str(), ended.exit_code, ended.signal), (Some(3), "host-3", Some(3), None));
    assert_eq!((ended.started_at, ended.finished_at), (Some(at(5)), Some(at(9))), "the start that was reported first");
    assert_eq!((ended.output_bytes, ended.truncated), (2, false));
    assert!(ended.error.as_ref().unwrap().ends_with("inside"));
    let mut connection = store.read().await.unwrap();
    let begun = target_begun(&mut connection, TASK).await.unwrap();
    let seen: Vec<_> = begun.iter().map(|one| (one.position, one.state, one.begun_at, one.connected)).collect();
    assert_eq!(seen, [(0, Delivering, at(4), true), (1, Running, at(4), false)]);
    assert_eq!((begun[0].job, begun[0].job_state), (job_id(0), Some(JobState::Delivered)));
    let places = target_of_jobs(&mut connection, &[job_id(2), job_id(3), job_id(77)]).await.unwrap();
    assert_eq!(places.len(), 2);
    assert_eq!((places[&job_id(2)], places[&job_id(3)]), ((2, Failed), (3, Pending)));
    let page = target_list(&mut connection, TASK, Some(1), 1).await.unwrap();
    assert_eq!(page.iter().map(|target| target.position).collect::<Vec<_>>(), [2]);
}

async fn the_rest_ends_without_having_begun(bed: Bed) {
    let store = run(&bed, 3, 3).await;
    commit!(store, tx => target_rest(tx, TASK, 1, (TargetState::Skipped, "too \0 many"), at(5)).await).unwrap();
    let all = list(&store).await;
    let seen: Vec<_> = all.iter().map(|target| (target.state, target.finished_at, target.started_at)).collect();
    let skipped = (TargetState::Skipped, Some(at(5)), None);
    assert_eq!(seen, [(TargetState::Pending, None, None), skipped, skipped]);
    assert!(all[2].error.as_ref().unwrap().starts_with("too"));
}

async fn what_comes_late_leaves_the_state(bed: Bed) {
    let store = run(&bed, 1, 1).await;
    end(&store, 0, Some(TargetState::Lost), None, 5).await;
    end(&store, 0, None, Some(outcome("late", 99)), 8).await;
    let target = &list(&store).await[0];
    assert_eq!((target.state, target.finished_at, target.started_at), (TargetState::Lost, Some(at(5)), Some(at(7))));
    assert_eq!((target.output_bytes, target.truncated), (99, true));
    assert!(target.error.as_ref().unwrap().starts_with("nul"), "why it was given up is kept");
}

async fn outputs_of_running_scripts_stand_in_their_places(bed: Bed) {
    let store = run(&bed, 4, 4).await;
    end(&store, 1, Some(TargetState::Ok), Some(outcome("one\n", 4)), 5).await;
    commit!(store, tx => target_running(tx, TASK, &[0, 2], at(4)).await).unwrap();
    let said = |text: &str| Merged {
        bytes: Captured { head: text.into(), tail: Vec::new(), total: text.len() as u64 },
        ..Merged::default()
    };
    let live = |job| match job {
        _ if job == job_id(0) => Some(said("zero")),
        _ if job == job_id(1) => Some(said("of one that is over")),
        _ if job == job_id(2) => Some(said("two\nmore\n")),
        _ => Some(said("of one that did not begin")),
    };
    let mut connection = store.read().await.unwrap();
    let text = task_text(&mut connection, TASK, 1 << 20, Some(&live)).await.unwrap();
    assert_eq!(text, "[host-1] zero\n[host-2] one\n[host-3] two\n[host-3] more\n");
    assert_eq!(task_text(&mut connection, TASK, 5, Some(&live)).await.unwrap(), "more\n");
    assert_eq!(task_text(&mut connection, TASK, 1 << 20, None).await.unwrap(), "[host-2] one\n");
}

async fn outputs_are_put_together_and_forgotten(bed: Bed) {
    let store = run(&bed, 2, 3).await;
    end(&store, 0, Some(TargetState::Ok), Some(outcome("one\n\0\u{fffd}", 8)), 5).await;
    end(&store, 1, Some(TargetState::Failed), None, 6).await;
    end(&store, 2, Some(TargetState::Ok), Some(outcome("three", 5)), 7).await;
    let mut connection = store.read().await.unwrap();
    let kept = target_output(&mut connection, TASK, host_id(1)).await.unwrap().unwrap();
    assert_eq!((kept.name.as_str(), kept.bytes.head.as_slice()), ("host-1", "one\n\0\u{fffd}".as_bytes()));
    assert_eq!(kept.marks, [(0, Stream::Stdout), (2, Stream::Stderr)]);
    assert!(target_output(&mut connection, TASK, host_id(9)).await.unwrap().is_none());
    let text = task_text(&mut connection, TASK, 1 << 20, None).await.unwrap();
    assert!(text.starts_with("[host-1] one\n[host-1] \0\u{fffd}\n[host-2] nul "), "{text}");
    assert!(text.ends_with("] three\n"), "{text}");
    assert_eq!(task_text(&mut connection, TASK, 3, None).await.unwrap(), "ee\n");
    assert_eq!(task_text(&mut connection, TaskId(2), 9, None).await.unwrap(), "");
    drop(connection);
    for expected in [1, 0] {
        assert_eq!(commit!(store, tx => output_prune(tx, at(7), 9).await).unwrap(), expected);
    }
    let all = list(&store).await;
    assert_eq!(all.iter().map(|target| target.truncated).collect::<Vec<_>>(), [true, false, false]);
    assert_eq!((all[0].state, all[0].output_bytes), (TargetState::Ok, 8), "how it went is kept");
    assert_eq!(commit!(store, tx => output_prune(tx, at(9), 0).await).unwrap(), 0);
}

async fn many_targets_are_written_in_pieces(bed: Bed) {
    let store = run(&bed, 3, 1234).await;
    let positions: Vec<u32> = (0..1234).filter(|position| position % 2 == 0).collect();
    commit!(store, tx => target_running(tx, TASK, &positions, at(5)).await).unwrap();
    let all = list(&store).await;
    assert_eq!(all.len(), 1234);
    for (position, target) in (0..).zip(&all) {
        let running = position % 2 == 0;
        assert_eq!((target.position, target.state == TargetState::Running), (position, running));
        assert_eq!(target.number.is_some(), position < 3);
    }
    let jobs: Vec<JobId> = (0..2000).map(job_id).collect();
    let places = target_of_jobs(&mut store.read().await.unwrap(), &jobs).await.unwrap();
    assert_eq!((places.len(), places[&job_id(1233)].0), (1234, 1233));
}

async fn runs_go_with_their_tasks(bed: Bed) {
    let store = run(&bed, 1, 2).await;
    commit!(store, tx => {
        let new = NewTask { kind: "script", name: "a", host: None, machine: machine_id(1), started_by: "a", total: 2 };
        assert_eq!(task_insert(tx, &new, at(1)).await?, TASK);
        task_close(tx, TASK, TaskEnd::Finished, "", at(2)).await?;
        task_prune(tx, at(3), 9).await
    })
    .unwrap();
    assert!(list(&store).await.is_empty());
    assert_eq!(run_subject(&mut store.read().await.unwrap(), TASK).await.unwrap(), None);
}

fn occurrence(n: u128) -> Occurrence {
    let values = vec![UNICODE.to_owned()];
    Occurrence { id: Uuid::from_u128(n), point: HookPoint::OnAudit, origin: Cause::Agent, at: at(1), values }
}

async fn reports_and_occurrences_count_once(bed: Bed) {
    let store = bed.open().await.unwrap();
    let (one, two) = (some_host(&store, 1).await, some_host(&store, 2).await);
    for (host, n, second, fresh) in [(one, 1, 1, true), (one, 1, 2, false), (two, 1, 3, true), (two, 2, 4, true)] {
        let known = commit!(store, tx => report_insert(tx, host, Uuid::from_u128(n), u64::MAX, at(second)).await);
        assert_eq!(known.unwrap(), fresh);
    }
    for (n, host, second, fresh) in
        [(1, Some(one), 1, true), (1, None, 2, false), (2, None, 3, true), (3, None, 4, true)]
    {
        let known = commit!(store, tx => occurrence_insert(tx, &occurrence(n), host, at(second)).await);
        assert_eq!(known.unwrap(), fresh);
    }
    for expected in [1, 1, 0] {
        assert_eq!(commit!(store, tx => report_prune(tx, at(4), 1).await).unwrap(), expected);
        assert_eq!(commit!(store, tx => occurrence_prune(tx, at(4), 1).await).unwrap(), expected);
    }
    assert!(commit!(store, tx => report_insert(tx, one, Uuid::from_u128(1), 1, at(9)).await).unwrap());
    assert!(!commit!(store, tx => report_insert(tx, two, Uuid::from_u128(2), 1, at(9)).await).unwrap());
    assert!(commit!(store, tx => occurrence_insert(tx, &occurrence(1), None, at(9)).await).unwrap());
    assert!(!commit!(store, tx => occurrence_insert(tx, &occurrence(3), None, at(9)).await).unwrap());
}

async fn pace(store: &Store, hook: i64, host: HostId) -> Option<Timestamp> {
    pace_find(&mut store.read().await.unwrap(), HookId(hook), host).await.unwrap()
}

async fn a_pace_is_remembered(bed: Bed) {
    let store = bed.open().await.unwrap();
    for (hook, n, second) in [(1, 1, 5), (1, 1, 7), (1, 2, 2), (2, 1, 3), (3, 1, 8)] {
        commit!(store, tx => pace_put(tx, HookId(hook), host_id(n), at(second)).await).unwrap();
    }
    assert_eq!((pace(&store, 1, host_id(1)).await, pace(&store, 1, host_id(2)).await), (Some(at(7)), Some(at(2))));
    assert_eq!(pace(&store, 9, host_id(1)).await, None);
    for expected in [2, 1, 0] {
        assert_eq!(commit!(store, tx => pace_prune(tx, at(8), 2).await).unwrap(), expected);
    }
    assert_eq!((pace(&store, 1, host_id(1)).await, pace(&store, 3, host_id(1)).await), (None, Some(at(8))));
}

async fn chains_go_when_nothing_happens_to_them(bed: Bed) {
    let store = bed.open().await.unwrap();
    for (n, kind, second) in [(1, "chain", 1), (2, "chain", 2), (3, "run", 1), (4, "chain", 9)] {
        commit!(store, tx => machine_insert(tx, machine_id(n), kind, &n.to_string(), &json!({}), at(second)).await)
            .unwrap();
    }
    for expected in [1, 1, 0] {
        assert_eq!(commit!(store, tx => chain_prune(tx, at(5), 1).await).unwrap(), expected);
    }
    let mut connection = store.read().await.unwrap();
    for (n, kind, there) in [(1, "chain", false), (2, "chain", false), (3, "run", true), (4, "chain", true)] {
        let found = machine_find::<serde_json::Value>(&mut connection, kind, &n.to_string()).await.unwrap();
        assert_eq!(found.is_some(), there, "{kind} {n}");
    }
}

async fn hooks_may_run_where_agents_are(bed: Bed) {
    let store = run(&bed, 3, 3).await;
    for n in [3, 1] {
        online(&store, host_id(n)).await;
    }
    let found = candidates(&mut store.read().await.unwrap()).await.unwrap();
    let seen: Vec<_> = found.iter().map(|one| (one.id, one.number, one.connected, one.management)).collect();
    assert_eq!(seen, [(host_id(1), 1, true, false), (host_id(3), 3, true, false)]);
    commit!(store, tx => host_delete(tx, host_id(1), at(9)).await).unwrap();
    assert!(host_find(&mut store.read().await.unwrap(), host_id(1)).await.unwrap().is_none());
    assert_eq!(list(&store).await[0].name, "host-1", "results outlive hosts");
}
