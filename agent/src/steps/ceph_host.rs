//! Which daemons of Ceph are on this host, by the name of the operating system and by CRUSH (spec/maintenance.md §8.1), and what
//! separates copies of data (§8.5).
//!
//! Must never: leave one out. An OSD that only one of the two views has here counts as here, one that is down too.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use hostler_common::step::StepResult;
use hostler_common::step::maintenance::{CephHost, Daemons};
use serde_json::{Value, json};

use super::{Context, Failure, asked};
use crate::ceph::{self, CephClient, Error, parse};

/// Finds it out.
///
/// # Errors
/// One of the questions has no answer.
pub fn run(context: &Context) -> Result<StepResult, Failure> {
    let name = super::node_name()?;
    let mut client = context.client();
    let mut found = asked(read(client.as_mut(), &name))?;
    found.cephadm = managed(Path::new("/"), &found.fsid);
    let daemons = &found.daemons;
    let detail = format!(
        "{name}: {} OSDs, {} monitors, {} managers, {} metadata servers, {} gateways",
        daemons.osds.len(),
        daemons.mons.len(),
        daemons.mgrs.len(),
        daemons.mdss.len(),
        daemons.rgws.len()
    );
    Ok(StepResult { changed: false, before: Value::Null, after: json!(found), detail })
}

/// Whether cephadm runs the daemons of that cluster here: it has a template of units for it.
fn managed(root: &Path, fsid: &str) -> bool {
    let units = ["etc/systemd/system", "usr/lib/systemd/system"];
    !fsid.is_empty() && units.iter().any(|folder| root.join(folder).join(format!("ceph-{fsid}@.service")).exists())
}

/// Asks and reads.
fn read(client: &mut dyn CephClient, name: &str) -> Result<CephHost, Error> {
    let fsid = ceph::fsid(client)?;
    let mut ask = |prefix: &str| client.ask(&json!({"prefix": prefix, "format": "json"}));
    let answers = Answers {
        nodes: ask("node ls")?,
        tree: ask("osd tree")?,
        services: ask("service dump")?,
        crush: ask("osd crush dump")?,
        dump: ask("osd dump")?,
        pools: client.ask(&json!({"prefix": "osd pool ls", "detail": "detail", "format": "json"}))?,
    };
    let mut found = host(&answers, name);
    found.fsid = fsid;
    let (here, bucket) = views(&answers, name);
    found.mismatch = mismatch(client, name, &here, bucket.as_ref())?;
    found.upgrading = upgrading(client)?;
    Ok(found)
}

/// Whether an upgrade by the orchestrator is at work. A cluster without one refuses the question.
fn upgrading(client: &mut dyn CephClient) -> Result<bool, Error> {
    match client.ask(&json!({"prefix": "orch upgrade status", "format": "json"})) {
        Ok(status) => Ok(status["in_progress"].as_bool().unwrap_or(false)),
        Err(Error::Refused { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The answers that it is made of.
struct Answers {
    nodes: Value,
    tree: Value,
    services: Value,
    crush: Value,
    dump: Value,
    pools: Value,
}

/// A CRUSH bucket with its OSDs.
#[derive(Debug, PartialEq)]
struct Bucket {
    name: String,
    osds: BTreeSet<i64>,
}

/// OSDs here by the operating system, and the bucket that is this host.
fn views(answers: &Answers, name: &str) -> (BTreeSet<i64>, Option<Bucket>) {
    let here: BTreeSet<i64> = of_node(&answers.nodes["osd"], name).filter_map(|osd| osd.as_i64()).collect();
    (here.clone(), bucket(&answers.tree, name, &here))
}

fn host(answers: &Answers, name: &str) -> CephHost {
    let (here, bucket) = views(answers, name);
    let names = |kind: &str| -> Vec<String> {
        of_node(&answers.nodes[kind], name).filter_map(|id| id.as_str().map(str::to_owned)).collect()
    };
    let osds = bucket.iter().flat_map(|bucket| &bucket.osds).chain(&here).copied().collect::<BTreeSet<_>>();
    let (domain, tight_pools) = (domain(&answers.pools, &answers.crush), tight_pools(&answers.pools));
    let name_of_bucket = bucket.map(|bucket| bucket.name);
    CephHost {
        daemons: Daemons {
            osds: osds.into_iter().collect(),
            mons: names("mon"),
            mgrs: names("mgr"),
            mdss: names("mds"),
            rgws: gateways(&answers.services, name),
        },
        location: name_of_bucket.as_deref().map(|bucket| location(&answers.tree, bucket)).unwrap_or_default(),
        flags: name_of_bucket
            .as_deref()
            .and_then(|bucket| parse::node_flags(&answers.dump).remove(bucket))
            .unwrap_or_default(),
        bucket: name_of_bucket,
        domain,
        tight_pools,
        ..CephHost::default()
    }
}

/// What a map from names of hosts has of this one: under its whole name, or under the first part of it.
fn of_node<'a>(by_host: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    let hosts = by_host.as_object();
    let exact = hosts.and_then(|hosts| hosts.get(name));
    let found =
        exact.or_else(|| hosts?.iter().find(|(host, _)| short(host) == short(name)).map(|(_, daemons)| daemons));
    found.and_then(Value::as_array).into_iter().flatten()
}

fn short(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

fn gateways(services: &Value, name: &str) -> Vec<String> {
    let daemons = services["services"]["rgw"]["daemons"].as_object().into_iter().flatten();
    let here = daemons.filter(|(_, daemon)| {
        daemon["metadata"]["hostname"].as_str().is_some_and(|host| host == name || short(host) == short(name))
    });
    let ids: BTreeSet<String> =
        here.map(|(key, daemon)| daemon["metadata"]["id"].as_str().unwrap_or(key).to_owned()).collect();
    ids.into_iter().collect()
}

fn nodes(tree: &Value) -> impl Iterator<Item = &Value> {
    tree["nodes"].as_array().into_iter().flatten()
}

/// The bucket of type `host` that is this host: that of its name, else the only one that all OSDs of the host are in.
fn bucket(tree: &Value, name: &str, here: &BTreeSet<i64>) -> Option<Bucket> {
    let hosts = || nodes(tree).filter(|node| node["type"] == "host");
    let osds = |node: &Value| -> BTreeSet<i64> {
        let children = node["children"].as_array().into_iter().flatten();
        children.filter_map(Value::as_i64).filter(|child| *child >= 0).collect()
    };
    let by_name = |wanted: &str| hosts().find(|node| node["name"] == wanted);
    let by_osds = || hosts().find(|node| !here.is_empty() && here.is_subset(&osds(node)));
    let node = by_name(name).or_else(|| by_name(short(name))).or_else(by_osds)?;
    Some(Bucket { name: node["name"].as_str()?.to_owned(), osds: osds(node) })
}

/// Where a bucket is, by type.
fn location(tree: &Value, bucket: &str) -> BTreeMap<String, String> {
    let mut places = BTreeMap::new();
    let mut id = nodes(tree).find(|node| node["name"] == bucket).and_then(|node| node["id"].as_i64());
    // A tree has fewer levels than nodes.
    for _ in nodes(tree) {
        let parent = nodes(tree)
            .find(|node| node["children"].as_array().is_some_and(|all| all.iter().any(|child| child.as_i64() == id)));
        let Some(parent) = parent else { break };
        if let (Some(kind), Some(name)) = (parent["type"].as_str(), parent["name"].as_str()) {
            places.insert(kind.to_owned(), name.to_owned());
        }
        id = parent["id"].as_i64();
    }
    places
}

/// Why the two views of where OSDs are differ; asks where those are that only CRUSH has here.
fn mismatch(
    client: &mut dyn CephClient,
    name: &str,
    here: &BTreeSet<i64>,
    bucket: Option<&Bucket>,
) -> Result<Option<String>, Error> {
    let empty = BTreeSet::new();
    let in_bucket = bucket.map_or(&empty, |bucket| &bucket.osds);
    let mut reasons = Vec::new();
    for osd in here.difference(in_bucket) {
        let place = bucket
            .map_or_else(|| "any bucket of a host".to_owned(), |bucket| format!("the CRUSH bucket {}", bucket.name));
        reasons.push(format!("osd.{osd} runs on {name} and is not in {place}"));
    }
    for osd in in_bucket.difference(here) {
        let found = client.ask(&json!({"prefix": "osd find", "id": osd, "format": "json"}))?;
        match found["host"].as_str().filter(|host| !host.is_empty()) {
            Some(host) if short(host) != short(name) => {
                reasons.push(format!("osd.{osd} is in the CRUSH bucket of {name} and runs on {host}"))
            }
            // One that never ran is nowhere else.
            _ => {}
        }
    }
    Ok((!reasons.is_empty()).then(|| reasons.join("; ")))
}

/// The coarsest type of bucket of which one may be away for every pool: the finest that any rule in use chooses by. Pools
/// without data count too: they may have some a moment later.
pub(super) fn domain(pools: &Value, crush: &Value) -> Option<String> {
    let order = |kind: &str| {
        let types = crush["types"].as_array().into_iter().flatten();
        types.filter(|other| other["name"] == kind).find_map(|other| other["type_id"].as_i64()).unwrap_or(i64::MAX)
    };
    let pools = pools.as_array().into_iter().flatten();
    let kinds = pools.filter_map(|pool| separation(crush, &pool["crush_rule"]));
    kinds.min_by_key(|kind| order(kind))
}

/// The type of bucket by which a rule separates copies: that of the last choice.
pub(super) fn separation(crush: &Value, rule: &Value) -> Option<String> {
    let rule = crush["rules"].as_array()?.iter().find(|other| other["rule_id"] == *rule)?;
    let chosen =
        rule["steps"].as_array()?.iter().filter(|step| step["op"].as_str().is_some_and(|op| op.starts_with("choose")));
    chosen.filter_map(|step| step["type"].as_str()).next_back().map(str::to_owned)
}

/// Pools that block as soon as one failure domain is away.
fn tight_pools(pools: &Value) -> Vec<String> {
    let pools = pools.as_array().into_iter().flatten();
    let tight = pools.filter(|pool| match (pool["size"].as_u64(), pool["min_size"].as_u64()) {
        (Some(size), Some(min)) => size.saturating_sub(1) < min,
        // Nobody can know.
        _ => true,
    });
    tight.filter_map(|pool| pool["pool_name"].as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
#[path = "ceph_host/tests.rs"]
mod tests;
