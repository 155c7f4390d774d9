//! What is old goes, what is not stays.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use hostler_common::id::{EventNumber, HookId, JoinTokenId};
use hostler_common::job::JobState;
use hostler_common::script::{Digest, ScriptRef};
use hostler_core::introspection::state::State;
use hostler_core::machine::Event;
use hostler_manager::store::audit::{Entry, audit_insert};
use hostler_manager::store::event::{event_insert, event_list};
use hostler_manager::store::job::job_counts;
use hostler_manager::store::join_token::{
    JoinToken, certificate_find, certificate_insert, join_token_insert, join_token_list, join_token_revoke,
};
use hostler_manager::store::script::{Revision, revision_insert};
use hostler_manager::store::target::{pace_put, report_insert};
use hostler_manager::store::task::{TaskFilter, task_list};
use hostler_manager::store::{Error, Gate, Result};
use hostler_tests::both::Bed;
use hostler_tests::on_both;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Rig, report, start};

on_both!(
    old_records_are_pruned,
    the_loop_prunes_at_once_and_stops,
    a_pruned_run_can_be_followed_by_another,
    much_is_removed_in_many_small_transactions,
    ended_join_tokens_and_certificates_are_pruned,
    what_scripts_leave_goes_in_its_time,
);

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

/// Lets so many transactions pass.
struct Few(AtomicI64);

impl Gate for Few {
    fn pass(&self) -> Result<()> {
        if self.0.fetch_sub(1, Ordering::SeqCst) > 0 { Ok(()) } else { Err(Error::Unavailable("enough".into())) }
    }
}

async fn much_is_removed_in_many_small_transactions(bed: Bed) {
    let rig = Rig::new(bed).await;
    let now = rig.one.clock.now();
    let insert = rig.one.store.write(move |tx| {
        Box::pin(async move {
            for n in 0..1_200 {
                let event = Event { kind: "test", subject: n.to_string(), data: serde_json::json!({}) };
                event_insert(tx, now, None, &event).await?;
            }
            Ok(())
        })
    });
    insert.await.unwrap();
    rig.clock.advance(401 * DAY);
    let mut killed = rig.one.clone();
    killed.store = killed.store.gated(Arc::new(Few(AtomicI64::new(2))));
    assert!(killed.prune().await.is_err());
    let left = counts(&rig).await.0;
    assert!(left > 0 && left < 999, "two transactions removed some and not all: {left} are left");
    rig.one.prune().await.unwrap();
    assert_eq!(counts(&rig).await.0, 0);
}

async fn ended_join_tokens_and_certificates_are_pruned(bed: Bed) {
    let rig = Rig::new(bed).await;
    let now = rig.one.clock.now();
    let host = rig.waiting_host(1).await.0;
    let token = |n: u128, days: u32| JoinToken {
        id: JoinTokenId(uuid::Uuid::from_u128(n)),
        secret_hash: "x".into(),
        description: None,
        created_at: now,
        created_by: "test".into(),
        expires_at: now.after(DAY * days),
        uses: 1,
        used: 0,
        names: Vec::new(),
        networks: Vec::new(),
        roles: Vec::new(),
        revoked_at: None,
    };
    let tokens = [token(1, 1), token(2, 300), token(3, 300)];
    let insert = rig.one.store.write(move |tx| {
        Box::pin(async move {
            for token in &tokens {
                join_token_insert(tx, token).await?;
            }
            join_token_revoke(tx, tokens[2].id, now).await?;
            certificate_insert(tx, "old", host, now, now.after(DAY)).await?;
            certificate_insert(tx, "good", host, now, now.after(300 * DAY)).await
        })
    });
    insert.await.unwrap();
    rig.clock.advance(80 * DAY);
    rig.one.prune().await.unwrap();
    let known = async || {
        let mut connection = rig.one.store.read().await.unwrap();
        let tokens = join_token_list(&mut connection, None, 9).await.unwrap().len();
        let old = certificate_find(&mut connection, "old").await.unwrap().is_some();
        (tokens, old, certificate_find(&mut connection, "good").await.unwrap().is_some())
    };
    assert_eq!(known().await, (3, true, true), "for 90 days they can be looked at");
    rig.clock.advance(12 * DAY);
    rig.one.prune().await.unwrap();
    assert_eq!(known().await, (1, false, true));
}

/// How many rows a table has under a condition.
async fn rows(rig: &Rig, table: &'static str) -> i64 {
    let mut raw = rig.bed.raw().await.unwrap();
    let (count,): (i64,) =
        sqlx::query_as(sqlx::AssertSqlSafe(format!("select count(*) from {table}"))).fetch_one(&mut raw).await.unwrap();
    count
}

async fn what_scripts_leave_goes_in_its_time(bed: Bed) {
    let rig = Rig::new(bed).await;
    let hosts = super::scripts::hosts(&rig, 1..=2).await;
    let (host, now) = (hosts[0], rig.one.clock.now());
    let order = super::scripts::spec(&hosts[..1]);
    let (named, unnamed) = (order.script.clone(), ScriptRef { digest: Digest([9; 32]), ..order.script.clone() });
    let entry = Entry {
        id: 0,
        at: now,
        category: "a".into(),
        operation: "a".into(),
        username: String::new(),
        ip: None,
        method: "POST".into(),
        status: 200,
        endpoint: "/".into(),
        query_params: String::new(),
        body: None,
        request_id: String::new(),
        from_hook: false,
    };
    let write = rig.one.store.write(move |tx| {
        Box::pin(async move {
            for script in [named, unnamed] {
                let revision = Revision { script, size: 1, author: "a".into(), at: now };
                revision_insert(tx, &revision, "x").await?;
            }
            audit_insert(tx, &entry).await?;
            report_insert(tx, host, Uuid::from_u128(1), 1, now).await?;
            pace_put(tx, HookId(1), host, now).await
        })
    });
    write.await.unwrap();
    let task = rig.one.run_start(order, Some("tester")).await.unwrap();
    super::scripts::report(&rig, host, JobState::Succeeded, 0, "written").await;
    for (days, tables) in [
        // A verbatim script that no run names, then reports and paces, then outputs, then the run, and the audit.
        (2, [1, 1, 1, 1, 1, 1]),
        (6, [1, 0, 0, 1, 1, 1]),
        (7, [1, 0, 0, 0, 1, 1]),
        (80, [0, 0, 0, 0, 0, 1]),
        (310, [0, 0, 0, 0, 0, 0]),
    ] {
        rig.clock.advance(days * DAY);
        rig.one.prune().await.unwrap();
        let mut left = [0; 6];
        let names = ["script_revision", "host_report", "hook_pace", "target where head is not null", "run", "audit"];
        for (left, name) in left.iter_mut().zip(names) {
            *left = rows(&rig, name).await;
        }
        assert_eq!(left, tables, "after {days} more days");
    }
    assert!(task_list(&mut rig.one.store.read().await.unwrap(), &TaskFilter::default(), 9).await.unwrap().is_empty());
    assert_eq!(task.0, 1);
}
