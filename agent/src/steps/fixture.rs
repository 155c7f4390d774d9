//! What a cluster of Ceph 16.2.15 really answered, for tests of what is made of it: three hosts, `host2` with the flag
//! `noout`; what begins with `down_` is from when OSD 2 had been stopped.

#![allow(clippy::unwrap_used, reason = "only tests use it")]

use serde_json::Value;

/// The answer of that name.
pub(super) fn recorded(name: &str) -> Value {
    let all: Value = serde_json::from_str(include_str!("fixtures/ceph16.json")).unwrap();
    all.get(name).unwrap().clone()
}
