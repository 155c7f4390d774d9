//! Snapshots of RBD images that others take (spec/hooks.md §7.11). Polled: one listing per pool, however many images it has.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use hostler_common::hook::{Assignment, HookPoint};
use serde_json::{Value, json};

use super::{Context, Places};
use crate::ceph::{self, CephClient, Error, parse, program};
use crate::ours;

/// How long the listing of a pool may take.
const LIMIT: Duration = Duration::from_secs(120);

/// Pool and namespace.
type Pool = (String, String);
/// Image, and number of the snapshot; its name.
type Snapshots = BTreeMap<(String, u64), String>;

pub(super) fn task(assignment: &Assignment) -> Option<String> {
    super::cluster::task(assignment)
}

pub(super) async fn run(context: Context) -> io::Result<()> {
    let mut known: BTreeMap<Pool, Snapshots> = BTreeMap::new();
    loop {
        let places = context.places.clone();
        let before: BTreeSet<Pool> = known.keys().cloned().collect();
        let found = tokio::task::spawn_blocking(move || look(&places)).await.map_err(io::Error::other)?;
        let found = found.map_err(io::Error::other)?;
        for ((pool, namespace), now) in &found {
            let key = (pool.clone(), namespace.clone());
            // What a pool has when it is first seen is the baseline.
            let old = known.get(&key).filter(|_| before.contains(&key));
            let new = now.iter().filter(|(id, _)| old.is_some_and(|old| !old.contains_key(*id)));
            for ((image, id), name) in new {
                if !ours::lately(&context.places.runtime_dir, &mark(pool, namespace, image, name)) {
                    let values = vec![pool.clone(), namespace.clone(), image.clone(), name.clone(), id.to_string()];
                    context.occur(HookPoint::OnRbdSnapshotComplete, values).await;
                }
            }
        }
        // A pool that could not be listed this time keeps what is known of it.
        known.extend(found);
        tokio::time::sleep(context.places.snapshots_every).await;
    }
}

/// By which name a snapshot of ours is remembered.
pub(crate) fn mark(pool: &str, namespace: &str, image: &str, snapshot: &str) -> String {
    format!("rbd {pool}/{namespace}/{image}@{snapshot}")
}

/// The snapshots of all pools that could be listed.
fn look(places: &Places) -> Result<BTreeMap<Pool, Snapshots>, Error> {
    let mut client = ceph::client(&places.ceph);
    let pools = pools(client.as_mut())?;
    drop(client);
    let mut found = BTreeMap::new();
    for pool in pools {
        let mut spaces = vec![String::new()];
        match rbd(places, &["namespace", "ls", "--pool", &pool]) {
            Ok(list) => spaces.extend(parse::names(&list)),
            Err(reason) => tracing::debug!(pool, reason, "the namespaces of a pool cannot be listed"),
        }
        for space in spaces {
            match rbd(places, &["ls", "--long", "--pool", &pool, "--namespace", &space]) {
                Ok(list) => drop(found.insert((pool.clone(), space), snapshots(&list))),
                Err(reason) => tracing::debug!(pool, space, reason, "a pool cannot be listed"),
            }
        }
    }
    Ok(found)
}

fn pools(client: &mut dyn CephClient) -> Result<Vec<String>, Error> {
    Ok(parse::rbd_pools(&client.ask(&json!({"prefix": "osd pool ls", "detail": "detail", "format": "json"}))?))
}

fn rbd(places: &Places, words: &[&str]) -> Result<Value, String> {
    let mut arguments = places.ceph.arguments();
    arguments.extend(words.iter().map(|word| (*word).to_owned()));
    arguments.extend(["--format", "json"].map(str::to_owned));
    let ended = program::run("rbd", &arguments, b"", LIMIT).map_err(|error| error.to_string())?;
    if !ended.good() {
        return Err(ended.reason());
    }
    serde_json::from_slice(&ended.output).map_err(|error| error.to_string())
}

/// The snapshots in the answer to `rbd ls --long`, which has lines of images and lines of snapshots.
fn snapshots(list: &Value) -> Snapshots {
    let lines = list.as_array().into_iter().flatten().filter_map(|line| {
        let name = line["snapshot"].as_str()?.to_owned();
        let id = line["snapshot_id"].as_u64().or_else(|| line["id"].as_u64())?;
        Some(((line["image"].as_str()?.to_owned(), id), name))
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_snapshots() {
        let list = json!([{"image": "a", "id": "1078", "size": 1, "format": 2},
            {"image": "a", "snapshot": "s1", "snapshot_id": 4, "size": 1, "format": 2, "protected": "false"}]);
        assert_eq!(snapshots(&list), BTreeMap::from([(("a".into(), 4), "s1".into())]));
    }
}
