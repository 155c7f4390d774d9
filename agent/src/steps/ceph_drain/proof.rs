//! Whether the rest of the cluster can take what OSDs have (spec/maintenance.md §8.6). Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::steps::ceph_host::separation;

/// What it is judged by.
pub(super) struct Answers {
    /// `osd df tree`.
    pub(super) df: Value,
    /// `osd crush dump`.
    pub(super) crush: Value,
    /// `osd pool ls detail`.
    pub(super) pools: Value,
    /// `osd dump`.
    pub(super) dump: Value,
}

/// An OSD in its place.
struct Osd<'a> {
    id: i64,
    class: &'a str,
    /// Names of the buckets above, by type.
    above: BTreeMap<&'a str, &'a str>,
    kb: u64,
    used: u64,
    /// Whether data may be put on it.
    takes: bool,
}

/// What speaks against moving all data away from these OSDs; `None` if nothing does.
pub(super) fn against(answers: &Answers, osds: &[i64]) -> Option<String> {
    let all = osds_of(&answers.df);
    let (going, rest): (Vec<&Osd<'_>>, Vec<&Osd<'_>>) = all.iter().partition(|osd| osds.contains(&osd.id));
    let rest: Vec<&Osd<'_>> = rest.into_iter().filter(|osd| osd.takes).collect();
    let Some(full) = answers.dump["nearfull_ratio"].as_f64().filter(|ratio| *ratio > 0.0) else {
        return Some("how full OSDs may be is not known".into());
    };
    let mut reasons = room(&going, &rest, full);
    reasons.extend(domains(answers, &rest));
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

/// Data must fit onto OSDs of the same class below the same root.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is an estimate"
)]
fn room(going: &[&Osd<'_>], rest: &[&Osd<'_>], full: f64) -> Vec<String> {
    let mut needed: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for osd in going {
        *needed.entry((root(osd), osd.class)).or_default() += osd.used;
    }
    let mut reasons = Vec::new();
    for ((root_name, class), needed) in needed {
        let same = rest.iter().filter(|osd| root(osd) == root_name && osd.class == class);
        let free: u64 = same.map(|osd| ((osd.kb as f64 * full) as u64).saturating_sub(osd.used)).sum();
        if needed > free {
            reasons.push(format!(
                "{} MiB of class {class:?} below {root_name:?} must move, and the others have room for {} MiB",
                needed >> 10,
                free >> 10
            ));
        }
    }
    reasons
}

fn root<'a>(osd: &Osd<'a>) -> &'a str {
    osd.above.get("root").copied().unwrap_or_default()
}

/// Every pool must find as many failure domains as it has copies.
fn domains(answers: &Answers, rest: &[&Osd<'_>]) -> Vec<String> {
    let mut reasons = Vec::new();
    for pool in answers.pools.as_array().into_iter().flatten() {
        let name = pool["pool_name"].as_str().unwrap_or_default();
        let (Some(size), Some(kind), Some(from)) =
            (pool["size"].as_u64(), separation(&answers.crush, &pool["crush_rule"]), taken(&answers.crush, pool))
        else {
            reasons.push(format!("how pool {name} is spread is not known"));
            continue;
        };
        let (top, class) = from.split_once('~').unwrap_or((&from, ""));
        let suits = |osd: &&&Osd<'_>| {
            (class.is_empty() || osd.class == class) && osd.above.values().any(|bucket| *bucket == top)
        };
        let place = |osd: &&Osd<'_>| {
            if kind == "osd" {
                Some(osd.id.to_string())
            } else {
                osd.above.get(kind.as_str()).map(|name| (*name).to_owned())
            }
        };
        let left = rest.iter().filter(suits).filter_map(place).collect::<BTreeSet<_>>().len();
        if (left as u64) < size {
            reasons.push(format!("pool {name} needs {size} of type {kind}, and {left} would be left"));
        }
    }
    reasons
}

/// The bucket that the rule of a pool begins with, such as `default` or `default~ssd`.
fn taken(crush: &Value, pool: &Value) -> Option<String> {
    let rule = crush["rules"].as_array()?.iter().find(|rule| rule["rule_id"] == pool["crush_rule"])?;
    let take = rule["steps"].as_array()?.iter().find(|step| step["op"] == "take")?;
    take["item_name"].as_str().map(str::to_owned)
}

fn osds_of(df: &Value) -> Vec<Osd<'_>> {
    let nodes: Vec<&Value> = df["nodes"].as_array().into_iter().flatten().collect();
    let mut parents: BTreeMap<i64, &Value> = BTreeMap::new();
    for node in &nodes {
        for child in node["children"].as_array().into_iter().flatten().filter_map(Value::as_i64) {
            parents.insert(child, node);
        }
    }
    let osds = nodes.iter().filter(|node| node["type"] == "osd").filter_map(|node| {
        let id = node["id"].as_i64()?;
        let (mut above, mut at) = (BTreeMap::new(), id);
        while let Some(parent) = parents.get(&at).filter(|_| above.len() < nodes.len()) {
            above.insert(parent["type"].as_str()?, parent["name"].as_str()?);
            at = parent["id"].as_i64()?;
        }
        Some(Osd {
            id,
            class: node["device_class"].as_str().unwrap_or_default(),
            above,
            kb: node["kb"].as_u64().unwrap_or(0),
            used: node["kb_used"].as_u64().unwrap_or(0),
            takes: node["status"] == "up"
                && node["reweight"].as_f64().unwrap_or(0.0) > 0.0
                && node["crush_weight"].as_f64().unwrap_or(0.0) > 0.0,
        })
    });
    osds.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::steps::fixture::recorded;

    /// Three hosts with an OSD each; all pools have `size` copies.
    fn answers(size: u64) -> Answers {
        let mut pools = recorded("pools");
        for pool in pools.as_array_mut().unwrap() {
            pool["size"] = json!(size);
        }
        Answers { df: recorded("df"), crush: recorded("crush"), pools, dump: recorded("osd_dump") }
    }

    #[test]
    fn there_must_be_as_many_domains_as_copies() {
        let reason = against(&answers(3), &[1]).unwrap();
        assert!(reason.contains("pool meta needs 3 of type host, and 2 would be left"), "{reason}");
        assert_eq!(against(&answers(2), &[1]), None);
        assert!(against(&answers(2), &[0, 1]).is_some());
        let mut one_down = answers(2);
        one_down.df["nodes"][2]["status"] = json!("down");
        assert!(against(&one_down, &[1]).is_some(), "an OSD that is down takes nothing");
    }

    #[test]
    fn there_must_be_room_below_nearfull() {
        let mut full = answers(2);
        for node in full.df["nodes"].as_array_mut().unwrap() {
            if node["type"] == "osd" {
                node["kb_used"] = json!(600 << 10);
            }
        }
        // 1024 MiB each: 2 * (870 - 600) = 540 MiB for 600.
        let reason = against(&full, &[1]).unwrap();
        assert!(reason.contains("600 MiB of class \"hdd\" below \"default\" must move"), "{reason}");
        full.df["nodes"][4]["kb_used"] = json!(500 << 10);
        assert_eq!(against(&full, &[1]), None);
        full.df["nodes"][2]["device_class"] = json!("ssd");
        assert!(against(&full, &[1]).is_some(), "another class does not count");
    }

    #[test]
    fn what_is_not_known_speaks_against_it() {
        let mut unknown = answers(2);
        unknown.crush = json!({});
        assert!(against(&unknown, &[1]).unwrap().contains("is not known"));
        let mut unknown = answers(2);
        unknown.dump = json!({});
        assert!(against(&unknown, &[1]).unwrap().contains("is not known"));
    }
}
