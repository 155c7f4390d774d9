//! The hooks of the manager's start (spec/hooks.md §7.13): some before it serves, some after.

use std::path::Path;
use std::time::Duration;

use hostler_common::hook::{HookPoint, Occurrence, Origin};
use hostler_daemon::files;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::engine::Engine;
use crate::store::hook::hook_of_point;
use crate::store::target::candidates;
use crate::store::task::task_find;

/// How long serving waits for the hooks before it.
const WAIT: Duration = Duration::from_secs(60);

/// How much of that is given to the agent of a management node to connect.
const CONNECT: Duration = Duration::from_secs(20);

/// How often it is looked without anything having been committed.
const LOOK: Duration = Duration::from_secs(1);

/// Why the manager starts, for its hooks: `upgrade` where another version ran on this state before.
///
/// # Errors
/// The version cannot be read or written.
pub fn reason(state_dir: &Path) -> std::io::Result<&'static str> {
    let (file, version) = (state_dir.join("version.json"), env!("CARGO_PKG_VERSION"));
    let before: Option<String> = files::read_json(&file)?;
    files::write_json(&file, &version)?;
    Ok(if before.is_some_and(|before| before != version) { "upgrade" } else { "start" })
}

/// Runs the hooks of a point and waits for their ends; gives up when `stop` comes or after a minute. Failures are in the log
/// and keep nothing from happening.
pub async fn fire(engine: &Engine, point: HookPoint, reason: &str, stop: &CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        done = tokio::time::timeout(WAIT, run(engine, point, reason)) => match done {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(point = point.name(), %error, "hooks of the start cannot be run"),
            Err(_) => tracing::warn!(point = point.name(), "hooks of the start go on; the manager does not wait longer"),
        }
    }
}

async fn run(engine: &Engine, point: HookPoint, reason: &str) -> crate::store::Result<()> {
    let hooks = hook_of_point(&mut *engine.store.read().await?, point).await?;
    if hooks.is_empty() {
        return Ok(());
    }
    let mut changes = engine.wake.watch();
    let until = tokio::time::Instant::now() + CONNECT;
    while !there(engine).await? && tokio::time::Instant::now() < until {
        tokio::time::timeout(LOOK, changes.changed()).await.ok();
    }
    let occurrence = Occurrence {
        id: Uuid::now_v7(),
        point,
        origin: Origin::Manager,
        at: engine.clock.now(),
        values: vec![env!("CARGO_PKG_VERSION").into(), reason.into()],
    };
    for id in engine.occurrence(occurrence, None, hooks).await? {
        loop {
            let task = task_find(&mut *engine.store.read().await?, id).await?;
            if task.is_none_or(|task| task.state.is_final()) {
                break;
            }
            tokio::time::timeout(LOOK, changes.changed()).await.ok();
        }
    }
    Ok(())
}

/// Whether a management node is connected.
async fn there(engine: &Engine) -> crate::store::Result<bool> {
    let hosts = candidates(&mut *engine.store.read().await?).await?;
    Ok(hosts.iter().any(|host| host.management && host.connected))
}
