//! The store: every public function on SQLite and on PostgreSQL, and what each engine promises beyond them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod api_token;
mod audit;
mod callback_token;
mod cause;
mod cluster;
mod complete;
mod disk_full;
mod durable;
mod hook;
mod host;
mod introspection;
mod inventory;
mod job;
mod join_token;
mod lingering;
mod machine;
mod maintenance;
mod maintenance_fleet;
mod maintenance_records;
mod open;
mod page;
mod records;
mod refresh;
mod rule;
mod script;
mod secret;
mod target;
mod task;
mod transaction;
mod webhook;
mod writer;

use hostler_common::id::HostId;
use hostler_common::time::Timestamp;
use hostler_manager::store::Store;
use hostler_manager::store::host::host_insert;
use hostler_tests::commit;
use uuid::Uuid;

/// The moment so many seconds after the beginning of the tests' time.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(1_767_225_600_000_000 + seconds * 1_000_000)
}

/// The host of that number.
fn host_id(n: u128) -> HostId {
    HostId(Uuid::from_u128(0x4000_8000_0000_0000_0000 + n))
}

/// Stores the host `host-n` with the id [`host_id`]`(n)`.
async fn some_host(store: &Store, n: u128) -> HostId {
    let id = host_id(n);
    commit!(store, tx => host_insert(tx, id, &format!("host-{n}"), &[], at(0)).await).unwrap();
    id
}

/// A text with everything that a text may have: several scripts, an emoji, quotes, control characters.
const UNICODE: &str = "Rechenknöten ÆØÅ 主机 מארח 🖥️ ' \" \\ % _ \u{1}\t\n é e\u{301}";

/// A text of so many bytes.
fn long(bytes: usize) -> String {
    "0123456789abcdef".repeat(bytes.div_ceil(16))[..bytes].to_owned()
}
