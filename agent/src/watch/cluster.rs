//! Health, OSD map, CRUSH map and options of the cluster that this host was chosen to watch (spec/hooks.md §7.5-§7.7).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hostler_common::cluster::{ClusterState, ConfigChange, Health};
use hostler_common::hook::Assignment;
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Context, Seen};
use crate::ceph::settings::settings;
use crate::ceph::{self, CephClient, Cli, Connection, Error, Rados, parse};

/// How often the cluster is asked by librados, and by the slow `ceph` program.
const EVERY: Duration = Duration::from_secs(5);
const EVERY_SLOWLY: Duration = Duration::from_secs(10);
/// How often the state is sent though nothing of it changed: the manager takes a host that is silent for 30 s for gone.
const REPEAT: Duration = Duration::from_secs(10);
/// How often settings are read that change without a change of the OSD map.
const SETTINGS: Duration = Duration::from_secs(10);
/// How long lines of the cluster's log are collected before the cluster is asked.
const SETTLE: Duration = Duration::from_millis(200);
/// How many changes of its options the cluster is asked for: those of one poll are hardly more.
const CONFIG_CHANGES: u32 = 16;

pub(super) fn task(assignment: &Assignment) -> Option<String> {
    (!assignment.clusters.is_empty()).then(|| assignment.clusters.join(" "))
}

pub(super) async fn run(context: Context) -> io::Result<()> {
    let woken = Arc::new(Notify::new());
    let (notify, access) = (Arc::clone(&woken), context.places.ceph.clone());
    let quick = Rados::load(&access).is_ok();
    let connection = Connection::open(move || match Rados::load(&access) {
        Ok(rados) => Box::new(rados.waking(Arc::new(move || notify.notify_one()))),
        Err(_) => Box::new(Cli::new(access)),
    })?;
    let every = if quick { EVERY } else { EVERY_SLOWLY };
    let mut known = ClusterState { fsid: wanted(&context.assignment), ..ClusterState::default() };
    let mut sent: Option<(ClusterState, Instant)> = None;
    let mut looked: Option<Instant> = None;
    loop {
        let before = known.clone();
        let look = looked.is_none_or(|at| at.elapsed() >= SETTINGS);
        match connection.with(move |client| poll(client, before, look)).await {
            Ok(state) => {
                looked = if look { Some(Instant::now()) } else { looked };
                known = state;
            }
            Err(Error::Unknown(reason)) => {
                tracing::debug!(reason, "the cluster does not answer");
                known.health = None;
            }
            Err(error) => return Err(io::Error::other(error)),
        }
        if !chosen(&context.assignment, &known.fsid) {
            return Err(io::Error::other(format!(
                "this host reaches cluster {}, which it is not to watch",
                known.fsid
            )));
        }
        let news = sent.as_ref().is_none_or(|(state, at)| *state != known || at.elapsed() >= REPEAT);
        if news && !known.fsid.is_empty() {
            context.out.send(Seen::Cluster(known.clone())).await.ok();
            sent = Some((known.clone(), Instant::now()));
        }
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = woken.notified() => tokio::time::sleep(SETTLE).await,
        }
    }
}

/// The cluster by its name, where one is named.
fn wanted(assignment: &Assignment) -> String {
    assignment.clusters.first().cloned().unwrap_or_default()
}

/// Whether this host is to watch that cluster; an empty name means the one that it reaches.
fn chosen(assignment: &Assignment, fsid: &str) -> bool {
    fsid.is_empty() || assignment.clusters.iter().any(|wanted| wanted.is_empty() || wanted == fsid)
}

/// Asks for everything that may have changed since `known`; for the settings where the OSD map moved, or with `look`.
fn poll(client: &mut dyn CephClient, known: ClusterState, look: bool) -> Result<ClusterState, Error> {
    let mut state = known;
    let fsid = if state.health.is_none() { ceph::fsid(client)? } else { state.fsid.clone() };
    if fsid != state.fsid {
        state = ClusterState { fsid, ..ClusterState::default() };
    }
    state.health = Some(health(client)?);
    let stat = client.ask(&json!({"prefix": "osd stat", "format": "json"}))?;
    let epoch = parse::osd_epoch(&stat);
    if look || epoch != state.osd_epoch {
        // They are for people; nothing else hangs on them.
        state.settings = settings(client).inspect_err(|error| tracing::debug!(%error, "no settings")).ok();
    }
    if epoch.is_none() || epoch != state.osd_epoch || state.crush_hash.is_none() {
        let map = osd_map(client)?;
        state.osd_epoch = map.epoch;
        if map.crush_version != state.crush_version || state.crush_hash.is_none() {
            (state.crush_version, state.crush_hash) = crush(client, map.crush_version)?;
        }
    }
    state.config_log = config_log(client)?;
    Ok(state)
}

/// The latest changes of options; `None` where the cluster does not keep them or does not show them to us.
fn config_log(client: &mut dyn CephClient) -> Result<Option<Vec<ConfigChange>>, Error> {
    match client.ask(&json!({"prefix": "config log", "num": CONFIG_CHANGES, "format": "json"})) {
        Ok(answer) => Ok(Some(parse::config_log(&answer))),
        Err(Error::Unknown(reason)) => Err(Error::Unknown(reason)),
        Err(Error::Refused { .. } | Error::Unreadable(_)) => Ok(None),
    }
}

fn osd_map(client: &mut dyn CephClient) -> Result<parse::OsdMap, Error> {
    Ok(parse::osd_map(&client.ask(&json!({"prefix": "osd dump", "format": "json"}))?))
}

fn health(client: &mut dyn CephClient) -> Result<Health, Error> {
    let answer = client.ask(&json!({"prefix": "health", "detail": "detail", "format": "json"}))?;
    parse::health(&answer).ok_or_else(|| Error::Unreadable("there is no health in it".into()))
}

/// The CRUSH map's version and the hash of that version. Where the map moved while it was read, nothing is known this time.
fn crush(client: &mut dyn CephClient, before: Option<u64>) -> Result<(Option<u64>, Option<String>), Error> {
    let hash = parse::crush_hash(&client.ask(&json!({"prefix": "osd crush dump", "format": "json"}))?);
    let after = osd_map(client)?.crush_version;
    Ok((after, (after == before).then_some(hash)))
}
