//! Maintenance: sessions with their hosts, projects, instances and steps; locks; what owners of instances ask for; plug-ins of
//! the operators; orders to the compute side (spec/maintenance.md §6.2).

mod constraint;
mod download;
mod figure;
mod fleet;
mod glance;
mod host;
mod instance;
mod listener;
mod lock;
mod order;
mod plugin;
mod project;
mod prune;
mod service;
mod session;
mod step;
mod url;

pub use constraint::{
    constraint_all, constraint_delete, constraint_find, constraint_list, constraint_put, group_all, group_delete,
    group_find, group_list, group_put,
};
pub use download::{DownloadRow, DownloadState, download_put, download_rows, download_wanted};
pub use figure::{BOUNDS, Figures, WAITING, Waited, figures};
pub use fleet::{Seat, ceph_hosts, fleet_all, management, seat_find, stay_hurry, storage_hurry};
pub use glance::phase_counts;
pub use host::{StayRow, host_put_all, host_remove, host_row, host_rows, stay_put_all};
pub use instance::{impacted, instance_page, instance_put_all, instance_remove, instance_rows};
pub use listener::{listened, listener_delete, listener_prune, listener_put, listener_put_in};
pub use lock::{StorageLock, lock_hosts, locks_of, storage_lock, storage_lock_find, storage_unlock, unlock_hosts};
pub use order::{Order, OrderState, order_abort, order_begun, order_end, order_open, order_put};
pub use plugin::{Plugin, plugin_all, plugin_delete, plugin_find, plugin_list, plugin_put, plugins_with_scripts};
pub use project::{ProjectRow, project_put_all, project_rows};
pub use prune::{session_expired, session_prune};
pub use service::{service_all, service_find, service_put_all};
pub use session::{
    Filter, NewSession, SessionChange, SessionRow, session_active, session_get, session_insert, session_list,
    session_number, session_update,
};
pub use step::{PluginStand, StepFilter, StepRow, plugin_stands, step_put_all, step_rows};
pub use url::{url_answered, url_answers, url_due, url_prune, url_want};

use hostler_core::maintenance::state::Reason;

use super::tx::{Error, Result};

/// How many rows one statement writes or names.
const CHUNK: usize = 60;

/// Places of bound values for so many rows of so many columns, the first of them numbered `first`: `($2, $3), ($4, $5)`.
fn rows_of(first: usize, rows: usize, columns: usize) -> String {
    let row = |n: usize| format!("({})", super::dialect::numbered(first + n * columns, columns));
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}

fn reason_text(reason: Option<&Reason>) -> Result<Option<String>> {
    Ok(reason.map(serde_json::to_string).transpose()?.map(|text| super::dialect::storable(&text)))
}

fn reason_from(text: Option<&str>) -> Result<Option<Reason>> {
    Ok(text.map(serde_json::from_str).transpose()?)
}

fn unknown(what: &str, text: &str) -> Error {
    Error::Broken(format!("unknown {what} {text}"))
}

fn small(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(if number < 0 { 0 } else { u32::MAX })
}
