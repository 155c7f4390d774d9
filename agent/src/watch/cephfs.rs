//! Snapshots of CephFS subvolumes that others take (spec/hooks.md §7.10). Polled through the manager daemon of Ceph.

use std::collections::BTreeSet;
use std::io;

use hostler_common::hook::{Assignment, HookPoint};
use serde_json::{Value, json};

use super::Context;
use crate::ceph::{self, CephClient, Connection, Error, parse};
use crate::ours;

/// How many subvolumes are asked for at most; the rest is not watched.
const SUBVOLUMES_MAX: usize = 500;

/// A subvolume.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Subvolume {
    filesystem: String,
    group: String,
    name: String,
}

pub(super) fn task(assignment: &Assignment) -> Option<String> {
    super::cluster::task(assignment)
}

pub(super) async fn run(context: Context) -> io::Result<()> {
    let access = context.places.ceph.clone();
    let connection = Connection::open(move || ceph::client(&access))?;
    let mut known: BTreeSet<(Subvolume, String)> = BTreeSet::new();
    let mut seen: BTreeSet<Subvolume> = BTreeSet::new();
    loop {
        let subvolumes = connection.with(|client| list(client)).await.map_err(io::Error::other)?;
        for subvolume in subvolumes.into_iter().take(SUBVOLUMES_MAX) {
            let asked = subvolume.clone();
            // One call each: none holds the connection for long.
            let names = match connection.with(move |client| snapshots(client, &asked)).await {
                Ok(names) => names,
                Err(error) => {
                    tracing::debug!(%error, "the snapshots of a subvolume cannot be listed");
                    continue;
                }
            };
            // What a subvolume has when it is first seen is the baseline.
            let baseline = seen.insert(subvolume.clone());
            for name in names {
                if known.insert((subvolume.clone(), name.clone())) && !baseline {
                    tell(&context, &connection, &subvolume, name).await;
                }
            }
        }
        tokio::time::sleep(context.places.snapshots_every).await;
    }
}

async fn tell(context: &Context, connection: &Connection, subvolume: &Subvolume, name: String) {
    let Subvolume { filesystem, group, name: subvolume_name } = subvolume.clone();
    if ours::lately(&context.places.runtime_dir, &mark(&filesystem, &group, &subvolume_name, "", &name)) {
        return;
    }
    let asked = subvolume.clone();
    let path = connection.with(move |client| client.send(&command("getpath", &asked), b"")).await;
    let path = path.map_or_else(|_| String::new(), |reply| String::from_utf8_lossy(&reply.output).trim().to_owned());
    let values = vec![filesystem, path, name, group, subvolume_name];
    context.occur(HookPoint::OnCephFsSnapshotComplete, values).await;
}

/// By which name a snapshot of ours is remembered.
pub(crate) fn mark(filesystem: &str, group: &str, subvolume: &str, path: &str, snapshot: &str) -> String {
    format!("cephfs {filesystem}:{group}/{subvolume}{path}@{snapshot}")
}

fn command(what: &str, of: &Subvolume) -> Value {
    let mut command = json!({"prefix": format!("fs subvolume {what}"), "vol_name": of.filesystem, "sub_name": of.name});
    if !of.group.is_empty() {
        command["group_name"] = of.group.clone().into();
    }
    command
}

/// All subvolumes, with and without groups.
fn list(client: &mut dyn CephClient) -> Result<Vec<Subvolume>, Error> {
    let mut found = Vec::new();
    for filesystem in parse::names(&client.ask(&json!({"prefix": "fs ls", "format": "json"}))?) {
        let groups =
            client.ask(&json!({"prefix": "fs subvolumegroup ls", "vol_name": filesystem, "format": "json"}))?;
        for group in std::iter::once(String::new()).chain(parse::names(&groups)) {
            let mut command = json!({"prefix": "fs subvolume ls", "vol_name": filesystem, "format": "json"});
            if !group.is_empty() {
                command["group_name"] = group.clone().into();
            }
            let names = parse::names(&client.ask(&command)?);
            let subvolume = |name| Subvolume { filesystem: filesystem.clone(), group: group.clone(), name };
            found.extend(names.into_iter().map(subvolume));
        }
    }
    Ok(found)
}

fn snapshots(client: &mut dyn CephClient, of: &Subvolume) -> Result<Vec<String>, Error> {
    let mut command = command("snapshot ls", of);
    command["format"] = "json".into();
    Ok(parse::names(&client.ask(&command)?))
}
