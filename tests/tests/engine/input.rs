//! Inputs and the other things that the engine does in one transaction: refusals leave nothing behind.

use std::sync::Arc;
use std::time::Duration;

use hostler_common::error::Class;
use hostler_common::id::{HostId, RuleId, TaskId};
use hostler_common::job::JobState;
use hostler_core::introspection::command::Command;
use hostler_core::introspection::rules::{Rule, parse};
use hostler_core::introspection::state::State;
use hostler_core::machine::Event;
use hostler_manager::engine::{Engine, EngineSettings, OsSeeds};
use hostler_manager::store::Error;
use hostler_manager::store::host::Description;
use hostler_manager::store::machine::timer_next;
use hostler_manager::store::rule::{rule_insert, rule_list};
use hostler_manager::store::task::TaskState;
use hostler_tests::both::Bed;
use hostler_tests::{commit, on_both};
use serde_json::json;
use uuid::Uuid;

use super::{Door, Rig, give, report, start};

on_both!(
    a_refusal_leaves_nothing,
    a_host_that_is_not_there_gets_no_machine,
    timers_wait_for_a_store_that_is_away,
    a_task_is_cancelled_once,
    what_operators_say_is_recorded,
    rules_are_replaced_and_tried,
);

async fn a_refusal_leaves_nothing(bed: Bed) {
    let rig = Rig::new(bed).await;
    let host = rig.host(1).await;
    let never = give(&rig.one, host, Command::Reapply { data: None }).await.unwrap_err();
    assert_eq!(never.class(), Class::NotFound);
    let (waiting, _) = rig.waiting_host(2).await;
    let (before, events) = (rig.machine(waiting).await, rig.events().await);
    let refused =
        give(&rig.one, waiting, Command::Start { manage_boot: Some(true), sections: vec![] }).await.unwrap_err();
    assert_eq!(refused.class(), Class::Invalid);
    assert_eq!(rig.machine(waiting).await.version, before.version);
    assert_eq!(rig.events().await, events);
}

async fn a_host_that_is_not_there_gets_no_machine(bed: Bed) {
    let rig = Rig::new(bed).await;
    let nobody = HostId(Uuid::from_u128(5));
    assert_eq!(start(&rig.one, nobody).await.unwrap_err().class(), Class::NotFound);
    let mut raw = rig.bed.raw().await.unwrap();
    let (machines,): (i64,) = sqlx::query_as("select count(*) from machine").fetch_one(&mut raw).await.unwrap();
    assert_eq!(machines, 0);
}

async fn timers_wait_for_a_store_that_is_away(bed: Bed) {
    let rig = Rig::new(bed).await;
    let host = rig.host(1).await;
    start(&rig.one, host).await.unwrap();
    let door = Arc::new(Door::default());
    let store = rig.bed.open().await.unwrap().gated(Arc::clone(&door) as _);
    let engine = Engine::new(store, Arc::clone(&rig.clock) as _, Arc::new(OsSeeds), EngineSettings::default());
    door.0.store(true, std::sync::atomic::Ordering::SeqCst);
    for _ in 0..3 {
        let away = engine.run_due().await;
        assert!(matches!(away, Err(Error::Unavailable(_))), "{away:?}");
    }
    let timers = timer_next(&mut rig.one.store.read().await.unwrap(), 9).await.unwrap();
    assert_eq!(timers.len(), 2, "the timer that is due and the deadline are still there");
    door.0.store(false, std::sync::atomic::Ordering::SeqCst);
    engine.run_due().await.unwrap();
    assert_eq!(rig.machine(host).await.machine.state, State::Waiting);
}

async fn a_task_is_cancelled_once(bed: Bed) {
    let rig = Rig::new(bed).await;
    let (host, _) = rig.waiting_host(1).await;
    let task = rig.machine(host).await.task.unwrap();
    rig.one.task_cancel(task, "tester").await.unwrap();
    assert!(rig.task(task).await.cancelled);
    let again = rig.two.task_cancel(task, "tester").await;
    assert!(again.is_ok() || again.as_ref().is_err_and(|error| error.class() == Class::Conflict), "{again:?}");
    rig.one.run_due().await.unwrap();
    assert_eq!(rig.task(task).await.state, TaskState::Canceled);
    let over = rig.one.task_cancel(task, "tester").await.unwrap_err();
    assert_eq!((over.class(), over.to_string()), (Class::Conflict, format!("task {task} is cancelled already")));
    let none = rig.one.task_cancel(TaskId(999), "tester").await.unwrap_err();
    assert_eq!(none.class(), Class::NotFound);
    assert!(rig.events().await.contains(&"task.cancel_requested".to_owned()));
}

async fn what_operators_say_is_recorded(bed: Bed) {
    let rig = Rig::new(bed).await;
    let host = rig.host(1).await;
    let new = Description { zone: Some("zone-1".into()), ..Description::default() };
    let said = rig.one.host_describe(host, new.clone(), "admin").await.unwrap();
    assert_eq!(said.zone.as_deref(), Some("zone-1"));
    rig.one.host_describe(host, Description::default(), "admin").await.unwrap();
    rig.two.emit(None, Event { kind: "test.emitted", subject: "s".into(), data: json!({}) }).await.unwrap();
    let missing = rig.one.host_describe(HostId(Uuid::from_u128(5)), new, "admin").await.unwrap_err();
    assert_eq!(missing.class(), Class::NotFound);
    assert_eq!(rig.events().await, ["host.described", "test.emitted"]);
}

fn rule(n: u128, value: &str) -> Rule {
    let body = json!({ "actions": [{ "action": "set-attribute", "path": "/extra/note", "value": value }] });
    parse(&body).unwrap().with_id(RuleId(Uuid::from_u128(n)))
}

async fn rules_are_replaced_and_tried(bed: Bed) {
    let rig = Rig::new(bed).await;
    let now = hostler_common::time::Timestamp::from_micros(0);
    commit!(rig.one.store, tx => rule_insert(tx, &rule(1, "first"), now).await).unwrap();
    rig.one.rule_replace(rule(1, "second"), "admin").await.unwrap();
    let missing = rig.one.rule_replace(rule(2, "x"), "admin").await.unwrap_err();
    assert_eq!(missing.class(), Class::NotFound);
    assert_eq!(rule_list(&mut rig.one.store.read().await.unwrap()).await.unwrap().len(), 1);
    let (host, job) = rig.waiting_host(1).await;
    let early = rig.one.rules_try(host, None).await.unwrap_err();
    assert_eq!(early.class(), Class::Conflict);
    rig.one.job_update(host, report(&job, JobState::Succeeded)).await.unwrap();
    rig.clock.advance(Duration::from_secs(1));
    rig.one.run_due().await.unwrap();
    let version = rig.machine(host).await.version;
    let tried = rig.two.rules_try(host, Some(vec![rule(3, "tried")])).await.unwrap();
    assert_eq!((tried.before.extra["note"].as_str(), tried.rules.len()), (Some("second"), 1));
    assert_eq!(tried.processed.node.extra["note"], "tried");
    assert_eq!(rig.machine(host).await.version, version, "a trial writes nothing");
}
