//! Settings of a real Ceph cluster: read, changed, and seen by the agent that watches it (spec/hooks.md §4.2).

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod common;

use std::time::Duration;

use common::{Cluster, installed, step, wait_for, watch};
use hostler_agent::watch::Seen;
use hostler_common::cluster::Settings;
use hostler_common::hook::Assignment;
use hostler_common::step::{CephScrub, CephSetting, FullRatios, RecoverySpeed, Step};
use serde_json::Value;
use tokio::sync::mpsc;

fn set(cluster: &Cluster, setting: CephSetting) -> Result<(bool, Settings), String> {
    let result = step(cluster, &Step::CephSetting(setting))?;
    Ok((result.changed, serde_json::from_value(result.after).unwrap()))
}

#[test]
fn settings_are_changed_and_osds_scrubbed() {
    if !installed() {
        return;
    }
    let mut cluster = Cluster::start();
    ratios(&cluster);
    recovery(&cluster);
    clients(&cluster);
    scrubs(&cluster);
    cluster.start_filesystem();
    filesystem(&cluster);
}

fn ratios(cluster: &Cluster) {
    let wanted = FullRatios { nearfull: Some(8000), backfillfull: None, full: Some(9700) };
    let (changed, after) = set(cluster, CephSetting::FullRatios(wanted)).unwrap();
    let all = FullRatios { nearfull: Some(8000), backfillfull: Some(9000), full: Some(9700) };
    assert_eq!((changed, after.full_ratios), (true, all));
    let dump = cluster.json(&["osd", "dump"]);
    let of = |name: &str| (dump[name].as_f64().unwrap() * 10_000.0).round();
    assert_eq!((of("nearfull_ratio"), of("backfillfull_ratio"), of("full_ratio")), (8000.0, 9000.0, 9700.0));
    assert!(!set(cluster, CephSetting::FullRatios(wanted)).unwrap().0, "it was so already");
    let disorder = FullRatios { nearfull: Some(9100), ..FullRatios::default() };
    let reason = set(cluster, CephSetting::FullRatios(disorder)).unwrap_err();
    assert!(reason.contains("not begun") && reason.contains("nearfull <= backfillfull"), "{reason}");
}

fn recovery(cluster: &Cluster) {
    let speed = |speed| set(cluster, CephSetting::RecoverySpeed { speed }).unwrap().1.recovery_speed;
    let option = |name: &str| cluster.ceph(&["config", "get", "osd", name]).trim().to_owned();
    let usual = option("osd_max_backfills");
    assert_eq!(speed(RecoverySpeed::Fast), Some(RecoverySpeed::Fast));
    assert_eq!(
        (option("osd_mclock_profile").as_str(), option("osd_max_backfills").as_str()),
        ("high_recovery_ops", "4")
    );
    assert_eq!(speed(RecoverySpeed::Slow), Some(RecoverySpeed::Slow));
    assert_eq!(option("osd_recovery_max_active"), "1");
    assert_eq!(speed(RecoverySpeed::Balanced), Some(RecoverySpeed::Balanced));
    assert_eq!(option("osd_max_backfills"), usual);
    let dump = cluster.json(&["config", "dump"]);
    let left = |option: &&Value| option["section"] == "osd" && option["name"].as_str().unwrap().starts_with("osd_m");
    assert_eq!(dump.as_array().unwrap().iter().find(left), None, "nothing is left behind");
}

fn clients(cluster: &Cluster) {
    let require = |release: &str| set(cluster, CephSetting::MinCompatClient { release: release.into() });
    assert_eq!(require("mimic").unwrap().1.min_compat_client, "mimic");
    assert_eq!(cluster.json(&["osd", "dump"])["require_min_compat_client"], "mimic");
    let reason = require("nosuchrelease").unwrap_err();
    assert!(reason.contains("nosuchrelease"), "{reason}");
}

/// The placement groups of the first OSD; none before the cluster has counted them.
fn groups(cluster: &Cluster) -> Vec<Value> {
    let answer = cluster.json(&["pg", "ls-by-primary", "osd.0"]);
    answer["pg_stats"].as_array().cloned().unwrap_or_default()
}

fn scrubs(cluster: &Cluster) {
    cluster.ceph(&["osd", "pool", "create", "some", "8"]);
    let stamps = |deep: bool| -> Vec<String> {
        let name = if deep { "last_deep_scrub_stamp" } else { "last_scrub_stamp" };
        groups(cluster).iter().map(|pg| pg[name].as_str().unwrap().to_owned()).collect()
    };
    wait_for("placement groups", Duration::from_secs(60), || {
        let pgs = groups(cluster);
        !pgs.is_empty() && pgs.iter().all(|pg| pg["state"] == "active+clean")
    });
    for deep in [false, true] {
        let before = stamps(deep);
        let done = step(cluster, &Step::CephScrub(CephScrub { osd: 0, deep })).unwrap();
        assert!(done.detail.contains("osd.0 was told"), "{done:?}");
        wait_for("a scrub", Duration::from_secs(90), || stamps(deep) != before);
    }
    let reason = step(cluster, &Step::CephScrub(CephScrub { osd: 7, deep: false })).unwrap_err();
    assert!(reason.contains("not begun: there is no osd.7"), "{reason}");
}

fn filesystem(cluster: &Cluster) {
    let fs = || "fs".to_owned();
    let map = || cluster.json(&["fs", "get", "fs"])["mdsmap"].clone();
    let (_, after) = set(cluster, CephSetting::MaxMds { filesystem: fs(), max: 2 }).unwrap();
    assert_eq!((after.filesystems["fs"].max_mds, map()["max_mds"].as_u64()), (2, Some(2)));
    for allow in [true, false] {
        let (changed, after) = set(cluster, CephSetting::AllowStandbyReplay { filesystem: fs(), allow }).unwrap();
        assert_eq!((changed, after.filesystems["fs"].allow_standby_replay), (true, allow));
        assert_eq!(map()["flags"].as_u64().unwrap() & 32 != 0, allow);
    }
    let reason = set(cluster, CephSetting::MaxMds { filesystem: "other".into(), max: 2 }).unwrap_err();
    assert!(reason.contains("not begun: there is no file system"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_watching_agent_tells_of_settings() {
    if !installed() {
        return;
    }
    let cluster = tokio::task::spawn_blocking(Cluster::start).await.unwrap();
    let assignment = Assignment { clusters: vec![String::new()], ..Assignment::default() };
    let (_handle, mut seen, stop) = watch(&cluster, &assignment);
    let wait = async |seen: &mut mpsc::Receiver<Seen>, holds: &dyn Fn(&Settings) -> bool| loop {
        if let Some(Seen::Cluster(state)) = seen.recv().await
            && state.settings.as_ref().is_some_and(holds)
        {
            return;
        }
    };
    let limit = Duration::from_secs(60);
    let usual = |settings: &Settings| settings.recovery_speed == Some(RecoverySpeed::Balanced);
    tokio::time::timeout(limit, wait(&mut seen, &usual)).await.unwrap();
    // With the OSD map, and without it.
    cluster.ceph(&["osd", "set-full-ratio", "0.97"]);
    let full = |settings: &Settings| settings.full_ratios.full == Some(9700);
    tokio::time::timeout(limit, wait(&mut seen, &full)).await.unwrap();
    cluster.ceph(&["config", "set", "osd", "osd_mclock_profile", "high_client_ops"]);
    let slow = |settings: &Settings| settings.recovery_speed == Some(RecoverySpeed::Slow);
    tokio::time::timeout(limit, wait(&mut seen, &slow)).await.unwrap();
    stop.cancel();
}
