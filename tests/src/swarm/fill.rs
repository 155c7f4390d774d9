//! Fills the store of a stopped manager with finished introspections, as many as no swarm could make in reasonable time.

use std::path::Path;
use std::time::Duration;

use hostler_common::id::{HostId, MachineId};
use hostler_common::time::{Clock as _, SystemClock, Timestamp};
use hostler_core::introspection::Introspection;
use hostler_core::introspection::state::State;
use hostler_core::machine::TaskEnd;
use hostler_manager::store::introspection::{DataKind, data_put, status_put};
use hostler_manager::store::task::{NewTask, task_close, task_insert, task_result};
use hostler_manager::store::{Connection, Options, Result, Store, host};
use uuid::Uuid;

use super::document::Template;

/// How many hosts are written in one transaction.
const BATCH: u32 = 100;

/// Writes `count` hosts with one finished introspection each and its two documents. Their names begin with `filled-`.
///
/// # Errors
/// The store cannot be opened, or has such hosts already.
pub async fn fill(state_dir: &Path, count: u32, template: &Template) -> anyhow::Result<()> {
    let store = Store::open(&Options::Sqlite(state_dir.join("manager.db"))).await?;
    // The last one began a minute ago, each one a second before the next.
    let first = SystemClock.now().before(Duration::from_secs(60 + u64::from(count)));
    let mut number = 0;
    while number < count {
        let batch = number..count.min(number + BATCH);
        number = batch.end;
        let template = template.clone();
        store
            .write(move |tx| {
                Box::pin(async move {
                    for number in batch {
                        put(tx, number, first, &template).await?;
                    }
                    Ok(())
                })
            })
            .await?;
    }
    Ok(())
}

/// Writes `count` tasks that ended, as scripts leave them: one in ten failed, seven users, twelve names.
///
/// # Errors
/// The store cannot be opened.
pub async fn fill_tasks(state_dir: &Path, count: u32) -> anyhow::Result<()> {
    let store = Store::open(&Options::Sqlite(state_dir.join("manager.db"))).await?;
    let first = SystemClock.now().before(Duration::from_secs(60 + u64::from(count)));
    for batch in 0..count.div_ceil(BATCH) {
        let numbers = batch * BATCH..count.min((batch + 1) * BATCH);
        store
            .write(move |tx| {
                Box::pin(async move {
                    for number in numbers {
                        put_task(tx, number, first).await?;
                    }
                    Ok(())
                })
            })
            .await?;
    }
    Ok(())
}

async fn put_task(tx: &mut Connection, number: u32, first: Timestamp) -> Result<()> {
    let at = first.after(Duration::from_secs(number.into()));
    let word = ["rotate", "scrub", "patch", "reboot"][(number % 4) as usize];
    let (name, user) = (format!("Script {word}-{}.sh", number % 12), format!("user-{}", number % 7));
    let machine = MachineId(Uuid::new_v4());
    let new = NewTask { kind: "script", name: &name, host: None, machine, started_by: &user, total: 20 };
    let id = task_insert(tx, &new, at).await?;
    let failed = number.is_multiple_of(10);
    let result = serde_json::json!({ "servers": [{ "id": number % 1000, "name": "swarm-00001", "state": "ok" }] });
    task_result(tx, id, i32::from(failed), Some(&result)).await?;
    let end = if failed { TaskEnd::Failed } else { TaskEnd::Finished };
    task_close(tx, id, end, "", at.after(Duration::from_millis(700))).await
}

async fn put(tx: &mut Connection, number: u32, first: Timestamp, template: &Template) -> Result<()> {
    let id = HostId(Uuid::new_v4());
    let started_at = first.after(Duration::from_micros(u64::from(number) * 1_000_997));
    let finished_at = started_at.after(Duration::from_millis(400));
    host::host_insert(tx, id, &format!("filled-{number:05}"), &[], started_at).await?;
    let machine = Introspection {
        state: State::Finished,
        run: 1,
        started_at,
        finished_at: Some(finished_at),
        ..Introspection::new(id)
    };
    status_put(tx, &machine).await?;
    let document = template.of(number, 0);
    data_put(tx, id, DataKind::Unprocessed, &document, finished_at).await?;
    data_put(tx, id, DataKind::Processed, &document, finished_at).await
}
