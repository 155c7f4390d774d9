//! The network configuration of this host changes (spec/hooks.md §7.1).
//!
//! The kernel's messages only say that something may have changed: what did is found by comparing the whole configuration
//! before and after, so that lost messages, counters and lifetimes of addresses do not matter.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hostler_common::hook::{Assignment, HookPoint};
use netlink_sys::protocols::NETLINK_ROUTE;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::Context;
use crate::files::{make_folder, write_json};
use crate::ours;
use crate::probes::{HostRoot, Link};
use crate::sys::events::Netlink;

/// Groups of links, addresses and routes of both families (linux/rtnetlink.h).
const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;
/// Something is looked at when nothing more came for this long, ...
const QUIET: Duration = Duration::from_secs(2);
/// ... and at the latest after this.
const LONGEST: Duration = Duration::from_secs(15);
/// Interfaces of virtual servers and containers come and go, which is nobody's configuration.
const PASSING: &[&str] = &["veth", "tap", "vnet", "cni", "docker"];
/// How many files that describe changes are kept.
const FILES_MAX: usize = 16;

/// The configuration by interface: what belongs to it, as one document.
type Configuration = BTreeMap<String, Value>;

pub(super) fn task(_: &Assignment) -> Option<String> {
    Some(String::new())
}

pub(super) async fn run(context: Context) -> io::Result<()> {
    let socket = Netlink::open(NETLINK_ROUTE, GROUPS)?;
    let mut buffer = vec![0_u8; 64 << 10];
    let mut known = look().await?;
    loop {
        // An error means that messages were lost: there were some.
        socket.next(&mut buffer).await.ok();
        let end = Instant::now() + LONGEST;
        loop {
            let quiet = (Instant::now() + QUIET).min(end);
            tokio::select! {
                biased;
                () = sleep_until(quiet) => break,
                _ = socket.next(&mut buffer) => if Instant::now() >= end { break },
            }
        }
        let now = look().await?;
        if now == known {
            continue;
        }
        if !ours::lately(&context.places.runtime_dir, "network") {
            let (interfaces, change) = difference(&known, &now);
            let file = save(&context.places.runtime_dir, &change)
                .inspect_err(|error| tracing::warn!(%error, "a change of the network cannot be written down"))
                .map_or_else(|_| String::new(), |file| file.display().to_string());
            context.occur(HookPoint::PostNetworkConfig, vec![interfaces.join(","), file, "ok".into()]).await;
        }
        known = now;
    }
}

/// The configuration as it is.
async fn look() -> io::Result<Configuration> {
    let read = || {
        let host = HostRoot::machine();
        let live = host.live();
        let (links, addresses, routes) = (live.links()?, live.addresses()?, live.routes()?);
        let addresses = addresses
            .iter()
            .map(|address| (address.index, format!("{}/{} {}", address.address, address.prefix, address.scope)));
        let routes = routes.iter().flat_map(|route| {
            let text = format!(
                "{} via {} metric {:?} table {} {}",
                route.destination,
                route.gateways.join(","),
                route.metric,
                route.table,
                route.protocol
            );
            route.interfaces.iter().map(move |index| (*index, text.clone())).collect::<Vec<_>>()
        });
        Ok(configuration(&links, addresses.collect(), routes.collect()))
    };
    tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?
}

/// What counts of links, addresses and routes.
fn configuration(links: &[Link], addresses: Vec<(u32, String)>, routes: Vec<(u32, String)>) -> Configuration {
    let name = |index: Option<u32>| {
        links.iter().find(|link| Some(link.index) == index).map_or("", |link| link.name.as_str()).to_owned()
    };
    let of = |list: &[(u32, String)], index: u32| -> BTreeSet<String> {
        list.iter().filter(|(of, _)| *of == index).map(|(_, text)| text.clone()).collect()
    };
    let counting = links.iter().filter(|link| !passing(link));
    let described = counting.map(|link| {
        let value = json!({"kind": link.kind, "mac": link.address, "mtu": link.mtu, "up": link.up,
            "master": name(link.master), "lower": name(link.lower), "vlan": link.vlan,
            "addresses": of(&addresses, link.index), "routes": of(&routes, link.index)});
        (link.name.clone(), value)
    });
    described.collect()
}

fn passing(link: &Link) -> bool {
    link.kind.as_deref() == Some("veth") || PASSING.iter().any(|prefix| link.name.starts_with(prefix))
}

/// The interfaces that differ, and how.
fn difference(before: &Configuration, after: &Configuration) -> (Vec<String>, Value) {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let changed: Vec<String> =
        names.into_iter().filter(|name| before.get(*name) != after.get(*name)).cloned().collect();
    let parts = |side: &Configuration| -> serde_json::Map<String, Value> {
        changed.iter().filter_map(|name| Some((name.clone(), side.get(name)?.clone()))).collect()
    };
    let change = json!({"before": parts(before), "after": parts(after)});
    (changed, change)
}

/// Writes a change into a new file and removes the oldest of many.
fn save(runtime_dir: &Path, change: &Value) -> io::Result<PathBuf> {
    let folder = runtime_dir.join("network-changes");
    make_folder(&folder)?;
    // The names rise with time.
    let mut names: Vec<PathBuf> = std::fs::read_dir(&folder)?.flatten().map(|entry| entry.path()).collect();
    names.sort();
    for old in names.iter().rev().skip(FILES_MAX - 1) {
        std::fs::remove_file(old)?;
    }
    let file = folder.join(format!("{}.json", Uuid::now_v7()));
    write_json(&file, change)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, name: &str) -> Link {
        Link { index, name: name.into(), up: true, ..Link::default() }
    }

    #[test]
    fn what_counts() {
        let links = [link(1, "eth0"), link(2, "vnet3"), Link { kind: Some("veth".into()), ..link(3, "odd") }];
        let address = |text: &str| vec![(1, text.to_owned()), (2, "10.9.9.9/24 global".to_owned())];
        let before = configuration(&links, address("10.0.0.1/24 global"), vec![]);
        assert_eq!(before.keys().collect::<Vec<_>>(), ["eth0"]);
        let after = configuration(&links[..1], address("10.0.0.2/24 global"), vec![]);
        let (changed, change) = difference(&before, &after);
        assert_eq!(changed, ["eth0"]);
        assert_eq!(change["before"]["eth0"]["addresses"], json!(["10.0.0.1/24 global"]));
        assert_eq!(change["after"]["eth0"]["addresses"], json!(["10.0.0.2/24 global"]));
        let carrier = Link { carrier: Some(false), carrier_changes: Some(9), ..link(1, "eth0") };
        assert_eq!(configuration(&[carrier], address("10.0.0.1/24 global"), vec![]), before, "no configuration");
    }

    #[test]
    fn few_files_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let files: Vec<PathBuf> = (0..20).map(|n| save(dir.path(), &json!(n)).unwrap()).collect();
        let there = files.iter().filter(|file| file.exists()).count();
        assert_eq!((there, files[19].exists(), files[0].exists()), (FILES_MAX, true, false));
    }
}
