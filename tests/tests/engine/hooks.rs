//! Occurrences and what agents report: each counts once, and its hooks get their tasks.

use std::collections::BTreeMap;
use std::time::Duration;

use hostler_common::hook::{HookJob, HookPoint, HostReport, Occurrence, OnFailure, Origin};
use hostler_common::id::{HookId, HostId, JobId, ScriptId};
use hostler_common::job::{JobState, JobUpdate, Outcome, Work};
use hostler_common::script::{Digest, ScriptRef};
use hostler_core::hook::Hook;
use hostler_manager::store::job::{job_find, job_open};
use hostler_manager::store::task::TaskState;
use hostler_tests::both::Bed;
use hostler_tests::on_both;
use uuid::Uuid;

use super::Rig;
use super::scripts::{hosts, report};

on_both!(
    hooks_run_one_after_the_other_and_once,
    a_hook_without_a_host_is_missed_and_says_so,
    too_many_occurrences_are_slowed_down,
    what_an_agent_runs_by_itself_gets_a_task,
);

fn script(id: i64) -> ScriptRef {
    ScriptRef {
        id: Some(ScriptId(id)),
        name: format!("s{id}"),
        revision: 1,
        digest: Digest([1; 32]),
        signature: "00".into(),
    }
}

fn hook(id: i64, point: HookPoint) -> Hook {
    Hook {
        id: HookId(id),
        point,
        script_id: ScriptId(id),
        script: script(id),
        all_hosts: true,
        hosts: Vec::new(),
        enabled: true,
        order: 100,
        on_failure: OnFailure::Block,
        timeout_s: 60,
        run_as: None,
        env: BTreeMap::new(),
        secrets: BTreeMap::new(),
        max_parallel: None,
        stdin_json: false,
        external: true,
        leave_children: false,
    }
}

fn occurrence(rig: &Rig, id: u128, point: HookPoint) -> Occurrence {
    let values = point.parameters().iter().map(|parameter| parameter.name.to_owned()).collect();
    Occurrence { id: Uuid::from_u128(id), point, origin: Origin::Manager, at: rig.one.clock.now(), values }
}

async fn hooks_run_one_after_the_other_and_once(bed: Bed) {
    let rig = Rig::new(bed).await;
    let host = hosts(&rig, 1..=1).await[0];
    let point = HookPoint::PostFormatDisk;
    let hooks = vec![hook(2, point), Hook { order: 1, ..hook(3, point) }];
    let happened = occurrence(&rig, 7, point);
    let tasks = rig.one.occurrence(happened.clone(), Some(host), hooks.clone()).await.unwrap();
    assert_eq!(tasks.len(), 2);
    let again = rig.two.occurrence(happened, Some(host), hooks).await.unwrap();
    assert!(again.is_empty(), "it is known");
    let open = job_open(&mut rig.one.store.read().await.unwrap(), host).await.unwrap();
    assert_eq!(open.len(), 1, "one at a time");
    let Work::Script(script) = &open[0].spec.work else { panic!() };
    assert_eq!((script.env["HOOK_ID"].as_str(), script.env["HOOK_TASK_ID"].clone()), ("3", tasks[0].to_string()));
    report(&rig, host, JobState::Failed, 1, "").await;
    assert_eq!(rig.task(tasks[0]).await.state, TaskState::Failed);
    report(&rig, host, JobState::Succeeded, 0, "").await;
    let second = rig.task(tasks[1]).await;
    assert_eq!((second.state, second.kind.as_str()), (TaskState::Finished, "hook"));
    assert_eq!((second.name.as_str(), second.started_by.as_str()), ("Hook PostFormatDisk: s2", "system"));
}

async fn a_hook_without_a_host_is_missed_and_says_so(bed: Bed) {
    let rig = Rig::new(bed).await;
    let point = HookPoint::OnHealthDegrade;
    let tasks = rig.one.occurrence(occurrence(&rig, 7, point), None, vec![hook(1, point)]).await.unwrap();
    let task = rig.task(tasks[0]).await;
    assert_eq!((task.state, task.status_code), (TaskState::Failed, 255));
    assert_eq!(task.output, "no selected server is connected");
    assert!(rig.events().await.contains(&"hook.missed".to_owned()));
}

async fn too_many_occurrences_are_slowed_down(bed: Bed) {
    let rig = Rig::new(bed).await;
    let host = hosts(&rig, 1..=1).await[0];
    let point = HookPoint::PostFormatDisk;
    for id in 0..7 {
        rig.one.occurrence(occurrence(&rig, id, point), Some(host), vec![hook(1, point)]).await.unwrap();
    }
    let open = || async { job_open(&mut rig.one.store.read().await.unwrap(), host).await.unwrap().len() };
    assert_eq!(open().await, 5);
    rig.clock.advance(Duration::from_secs(1));
    rig.one.run_due().await.unwrap();
    assert_eq!(open().await, 6);
    rig.clock.advance(Duration::from_secs(1));
    rig.one.run_due().await.unwrap();
    assert_eq!(open().await, 7);
}

async fn what_an_agent_runs_by_itself_gets_a_task(bed: Bed) {
    let rig = Rig::new(bed).await;
    let host = hosts(&rig, 1..=1).await[0];
    let job = JobId(Uuid::from_u128(1234));
    let said = HostReport {
        number: 1,
        occurrence: occurrence(&rig, 7, HookPoint::PostDaemonStart),
        jobs: vec![HookJob { hook: HookId(5), job, script: script(5), args: vec!["x".into()] }],
        skipped: vec![(HookId(6), "the script cannot be had".into())],
    };
    for engine in [&rig.one, &rig.two] {
        engine.report(host, said.clone()).await.unwrap();
    }
    let find = || async { job_find(&mut rig.one.store.read().await.unwrap(), job).await.unwrap().unwrap() };
    assert_eq!(find().await.state, JobState::Running);
    let update = |state| JobUpdate { job, state, outcome: Some(Outcome { exit_code: Some(3), ..Outcome::default() }) };
    let stranger = HostId(Uuid::from_u128(77));
    assert!(rig.one.job_update(stranger, update(JobState::Failed)).await.is_err());
    rig.one.job_update(host, update(JobState::Failed)).await.unwrap();
    let tasks =
        hostler_manager::store::task::task_list(&mut rig.one.store.read().await.unwrap(), &Default::default(), 10)
            .await
            .unwrap();
    assert_eq!(tasks.len(), 1, "the repetition changed nothing");
    assert_eq!((tasks[0].state, tasks[0].status_code), (TaskState::Failed, 3));
    let events = rig.events().await;
    assert_eq!(events.iter().filter(|kind| *kind == "hook.occurred").count(), 1);
}
