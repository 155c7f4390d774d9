//! What answers of Ceph mean. Unknown fields are ignored, missing ones have a harmless meaning: releases differ.

use std::collections::BTreeMap;

use hostler_common::cluster::{Check, ConfigChange, Health};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// Longest text of a check that is kept, in bytes.
const MESSAGE_MAX: usize = 1024;

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The answer to `health detail`, or the same below `health` of `status`; `None` if it is neither.
#[must_use]
pub fn health(answer: &Value) -> Option<Health> {
    let health = if answer.get("status").is_some_and(Value::is_string) { answer } else { answer.get("health")? };
    let status = health.get("status")?.as_str()?.to_owned();
    let checks = health.get("checks").and_then(Value::as_object);
    let checks = checks.into_iter().flatten().map(|(code, check)| (code.clone(), self::check(check))).collect();
    Some(Health { status, checks })
}

fn check(check: &Value) -> Check {
    let summary = &check["summary"];
    Check {
        severity: text(&check["severity"]),
        count: summary["count"].as_i64().unwrap_or(0),
        message: hostler_common::text::clip(summary["message"].as_str().unwrap_or_default(), MESSAGE_MAX).to_owned(),
        muted: check["muted"].as_bool().unwrap_or(false),
    }
}

/// What counts of the answer to `osd dump`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OsdMap {
    /// Rises with each change.
    pub epoch: Option<u64>,
    /// Rises with each change of the CRUSH map.
    pub crush_version: Option<u64>,
    /// The flags of the cluster, such as `noout`.
    pub flags: Vec<String>,
    /// The OSDs.
    pub osds: Vec<Osd>,
}

/// An OSD as the cluster sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Osd {
    /// Its number.
    pub id: i64,
    /// Whether it answers.
    pub up: bool,
    /// Whether data are put on it.
    pub r#in: bool,
    /// The epoch in which it last came up.
    pub up_from: u64,
}

/// The answer to `osd dump`.
#[must_use]
pub fn osd_map(answer: &Value) -> OsdMap {
    let osds = answer["osds"].as_array().into_iter().flatten().filter_map(|osd| {
        Some(Osd {
            id: osd["osd"].as_i64()?,
            up: flag(&osd["up"]),
            r#in: flag(&osd["in"]),
            up_from: osd["up_from"].as_u64().unwrap_or(0),
        })
    });
    let flags = answer["flags"].as_str().unwrap_or_default();
    OsdMap {
        epoch: answer["epoch"].as_u64(),
        crush_version: answer["crush_version"].as_u64(),
        flags: flags.split(',').filter(|flag| !flag.is_empty()).map(str::to_owned).collect(),
        osds: osds.collect(),
    }
}

/// Numbers and booleans: releases write either.
fn flag(value: &Value) -> bool {
    value.as_bool().unwrap_or(value.as_i64() == Some(1))
}

/// The epoch in the answer to `osd stat`.
#[must_use]
pub fn osd_epoch(answer: &Value) -> Option<u64> {
    answer["epoch"].as_u64().or_else(|| answer["osdmap"]["epoch"].as_u64())
}

/// SHA-256 of the answer to `osd crush dump` without `choose_args`, hexadecimal. The order of keys does not matter.
#[must_use]
pub fn crush_hash(answer: &Value) -> String {
    let mut map = answer.clone();
    if let Some(map) = map.as_object_mut() {
        map.remove("choose_args");
    }
    hex::encode(Sha256::digest(sorted(&map).to_string()))
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let mut entries: Vec<_> = object.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            Value::Object(entries.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect::<Map<_, _>>())
        }
        Value::Array(list) => Value::Array(list.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

/// The answer to `config log`.
#[must_use]
pub fn config_log(answer: &Value) -> Vec<ConfigChange> {
    let entries = answer.as_array().into_iter().flatten().filter_map(|entry| {
        let changes = entry["changes"].as_array().into_iter().flatten();
        Some(ConfigChange {
            version: entry["version"].as_u64()?,
            options: changes.filter_map(|change| change["name"].as_str().map(str::to_owned)).collect(),
        })
    });
    entries.collect()
}

/// A snapshot of an RBD image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RbdSnapshot {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Whether it is one that mirroring made for itself.
    pub mirror: bool,
}

/// The answer to `rbd snap ls --all`, or without that.
#[must_use]
pub fn rbd_snapshots(answer: &Value) -> Vec<RbdSnapshot> {
    let snapshots = answer.as_array().into_iter().flatten().filter_map(|snapshot| {
        Some(RbdSnapshot {
            id: snapshot["id"].as_u64()?,
            name: text(&snapshot["name"]),
            mirror: snapshot["namespace"]["type"] == "mirror",
        })
    });
    snapshots.collect()
}

/// A list of names, or of objects with a `name`: pools of `osd pool ls`, images of `rbd ls`, what `fs … ls` says.
#[must_use]
pub fn names(answer: &Value) -> Vec<String> {
    let list = answer.as_array().into_iter().flatten();
    list.filter_map(|entry| entry.as_str().or_else(|| entry["name"].as_str()).map(str::to_owned)).collect()
}

/// The texts that the objects of a list have there.
#[must_use]
pub fn names_at(answer: &Value, key: &str) -> Vec<String> {
    let list = answer.as_array().into_iter().flatten();
    list.filter_map(|entry| entry[key].as_str().map(str::to_owned)).collect()
}

/// Flags of CRUSH buckets, such as `{"host1": ["noout"]}`, from the answer to `osd dump`.
#[must_use]
pub fn node_flags(answer: &Value) -> BTreeMap<String, Vec<String>> {
    let flags = answer["crush_node_flags"].as_object().into_iter().flatten();
    flags.map(|(node, flags)| (node.clone(), names(flags))).collect()
}

/// Pools that RBD uses, from the answer to `osd pool ls detail`.
#[must_use]
pub fn rbd_pools(answer: &Value) -> Vec<String> {
    let pools = answer.as_array().into_iter().flatten();
    let rbd = pools.filter(|pool| pool["application_metadata"].get("rbd").is_some());
    rbd.filter_map(|pool| pool["pool_name"].as_str().map(str::to_owned)).collect()
}

/// Whether a daemon is in the maps of the cluster.
pub mod presence {
    use serde_json::Value;

    /// A monitor, by the answer to `quorum_status`.
    #[must_use]
    pub fn mon(answer: &Value, id: &str) -> bool {
        answer["quorum_names"].as_array().is_some_and(|names| names.iter().any(|name| name == id))
    }

    /// A manager daemon, active or standing by, by the answer to `mgr dump`.
    #[must_use]
    pub fn mgr(answer: &Value, id: &str) -> bool {
        let standby = answer["standbys"].as_array().is_some_and(|list| list.iter().any(|mgr| mgr["name"] == id));
        (answer["active_name"] == id && answer["available"].as_bool().unwrap_or(false)) || standby
    }

    /// A metadata server, active or standing by, by the answer to `fs dump`.
    #[must_use]
    pub fn mds(answer: &Value, id: &str) -> bool {
        let standby = answer["standbys"].as_array().into_iter().flatten();
        let active = answer["filesystems"].as_array().into_iter().flatten();
        let active = active.filter_map(|fs| fs["mdsmap"]["info"].as_object()).flat_map(|info| info.values());
        standby.chain(active).any(|mds| mds["name"] == id)
    }

    /// A gateway, by the answer to `service dump`.
    #[must_use]
    pub fn rgw(answer: &Value, id: &str) -> bool {
        let daemons = answer["services"]["rgw"]["daemons"].as_object();
        daemons.into_iter().flatten().any(|(key, daemon)| key == id || daemon["metadata"]["id"] == id)
    }
}

#[cfg(test)]
mod tests;
