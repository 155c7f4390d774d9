//! Hook points at real events, each seen through its task (spec/hooks.md §5-§7, §13.3).

use std::time::Duration;

use hostler_tests::ceph::{self, Cluster};
use hostler_tests::lab::until;
use hostler_tests::mounted::Mounted;
use serde_json::json;

use super::site::{SOON, Site, TELL, arguments, document, variable};

/// How long a change of a cluster's health may take to be told: it must hold for three looks at it.
const HEALTH: Duration = Duration::from_secs(90);

/// A script that refuses.
const REFUSE: &str = "#!/bin/sh\necho not today\nexit 1\n";

#[tokio::test]
async fn spec_13_3_pre_daemon_start() {
    let mut site = Site::start("").await;
    site.hook("PreDaemonStart", TELL, json!({ "env": { "COLOUR": "blue" } })).await;
    site.hook_arrived("PreDaemonStart").await;
    site.agent.kill().unwrap();
    site.agent.run().unwrap();
    let before = site.fired("PreDaemonStart", 1, SOON).await;
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    assert_eq!(arguments(&before), [boot.trim(), "restart", "false"], "{before}");
    let expected = [
        ("HOOK_EVENT", "PreDaemonStart".to_owned()),
        ("HOOK_ORIGIN", "agent".to_owned()),
        ("HOOK_SERVER_NAME", "node".to_owned()),
        ("HOOK_SERVER_ID", site.number.to_string()),
        ("HOOK_BOOT_ID", boot.trim().to_owned()),
        ("HOOK_REASON", "restart".to_owned()),
        ("HOOK_FIRST_BOOT", "false".to_owned()),
    ];
    for (name, value) in expected {
        assert_eq!(variable(&before, name).as_ref(), Some(&value), "{name}: {before}");
    }
    let told = document(&before);
    assert_eq!((&told["event"], &told["server"]["name"]), (&json!("PreDaemonStart"), &json!("node")), "{told}");
    assert_eq!(told["parameters"], json!({ "boot-id": boot.trim(), "reason": "restart", "first-boot": "false" }));
    assert_eq!(Some(told["eventId"].as_str().unwrap()), variable(&before, "HOOK_EVENT_ID").as_deref());
    assert_eq!(before["startedBy"], "system", "{before}");
    assert_eq!(site.tasks_of("PreDaemonStart").await.len(), 1);
}

#[tokio::test]
async fn spec_13_3_post_daemon_start_with_the_manager_away() {
    let mut site = Site::start("").await;
    site.hook("PostDaemonStart", TELL, json!({})).await;
    site.hook_arrived("PostDaemonStart").await;
    site.agent.kill().unwrap();
    site.manager.kill().unwrap();
    site.agent.run().unwrap();
    until(SOON, "the script runs", async || Ok(site.agent.log().contains("PostDaemonStart"))).await.ok();
    site.manager.restart().await.unwrap();
    let task = site.fired("PostDaemonStart", 1, SOON).await;
    assert_eq!(arguments(&task)[1], "restart", "{task}");
}

#[tokio::test]
async fn spec_13_3_pre_format_disk_refuses() {
    let site = Site::start("").await;
    site.hook("PreFormatDisk", REFUSE, json!({})).await;
    site.hook("PostFormatDisk", TELL, json!({})).await;
    let step = json!({ "step": "format_disk", "device": "/dev/hostler-none", "purpose": "data", "serial": "S1" });
    let task = site.done(site.step(step).await).await;
    assert_eq!(task["state"], "FAILED", "{task}");
    assert!(task.to_string().contains("(at-PreFormatDisk) on node exited 1"), "{task}");
    let hook = site.done(site.tasks_of("PreFormatDisk").await[0]["id"].as_i64().unwrap()).await;
    assert_eq!(
        (&hook["state"], &hook["statusCode"], &hook["output"]),
        (&json!("FAILED"), &json!(1), &json!("not today\n"))
    );
    assert!(site.tasks_of("PostFormatDisk").await.is_empty(), "nothing was formatted");
}

#[tokio::test]
async fn spec_13_3_on_audit() {
    let site = Site::start("").await;
    site.hook("OnAudit", TELL, json!({})).await;
    site.script("another", "#!/bin/true\n").await;
    let wanted = async || {
        for task in site.tasks_of("OnAudit").await {
            let task = site.done(task["id"].as_i64().unwrap()).await;
            if arguments(&task)[2] == "/api/events/scripts" {
                return Some(task);
            }
        }
        None
    };
    until(SOON, "the hook hears of the upload", async || Ok(wanted().await.is_some())).await.unwrap();
    let task = wanted().await.unwrap();
    assert_eq!(arguments(&task)[..4], ["token:lab", "POST", "/api/events/scripts", "200"], "{task}");
    assert_eq!(variable(&task, "HOOK_USER").as_deref(), Some("token:lab"), "{task}");
}

#[tokio::test]
async fn spec_13_3_on_croit_startup() {
    let mut site = Site::start("").await;
    site.hook("OnCroitStartup", TELL, json!({})).await;
    site.hook("OnCroitAsyncStartup", TELL, json!({})).await;
    site.manager.kill().unwrap();
    site.manager.restart().await.unwrap();
    for event in ["OnCroitStartup", "OnCroitAsyncStartup"] {
        let task = site.fired(event, 1, SOON).await;
        assert_eq!(arguments(&task), [env!("CARGO_PKG_VERSION"), "start"], "{task}");
        assert_eq!(variable(&task, "HOOK_EVENT").as_deref(), Some(event), "{task}");
    }
}

#[tokio::test]
async fn spec_13_3_on_dhcp_lease_update() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dnsmasq.leases");
    let watch = format!("[[watch.leases]]\npath = {file:?}\nformat = \"dnsmasq\"\n");
    std::fs::write(&file, "0 aa:bb:cc:00:00:01 10.0.0.1 old *\n").unwrap();
    let site = Site::start(&watch).await;
    site.hook("OnDhcpLeaseUpdate", TELL, json!({})).await;
    site.hook_arrived("dnsmasq.leases").await;
    // The first look at the file is what changes are compared with.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let both = "0 aa:bb:cc:00:00:01 10.0.0.1 old *\n1893456000 aa:bb:cc:00:00:02 10.0.0.2 new *\n";
    std::fs::write(&file, both).unwrap();
    let task = site.fired("OnDhcpLeaseUpdate", 1, SOON).await;
    assert_eq!(arguments(&task), ["add", "aa:bb:cc:00:00:02", "10.0.0.2", "new", "1893456000"], "{task}");
    assert_eq!(variable(&task, "HOOK_ORIGIN").as_deref(), Some("external"));
    std::fs::write(&file, "0 aa:bb:cc:00:00:01 10.0.0.1 old *\n").unwrap();
    let task = site.fired("OnDhcpLeaseUpdate", 2, SOON).await;
    assert_eq!(arguments(&task)[..3], ["del", "aa:bb:cc:00:00:02", "10.0.0.2"], "{task}");
}

#[tokio::test]
async fn spec_13_3_on_persistent_available() {
    let Some(cluster) = Cluster::start(ceph::Options { osds: 1, mds: 1, ..ceph::Options::default() }).unwrap() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("persistent");
    let watch = format!("[watch]\npersistent_path = {path:?}\n");
    let site = Site::start(&watch).await;
    site.hook("OnPersistentAvailable", TELL, json!({})).await;
    site.hook_arrived("OnPersistentAvailable").await;

    let mount = Mounted::cephfs(&cluster, &path, "/").unwrap();
    let task = site.fired("OnPersistentAvailable", 1, SOON).await;
    assert_eq!(arguments(&task)[..2], [path.to_str().unwrap(), "fuse.ceph-fuse"], "{task}");

    mount.unmount().unwrap();
}

#[tokio::test]
async fn spec_13_3_health() {
    let Some(cluster) = Cluster::start(ceph::Options::default()).unwrap() else { return };
    let site = Site::within("", &[("CEPH_CONF", cluster.conf().display().to_string())]).await;
    for event in ["OnHealthDegrade", "OnHealthImprove", "OnHealthRecover"] {
        site.hook(event, TELL, json!({})).await;
    }
    until(HEALTH, "the manager hears of the cluster", async || {
        Ok(site.manager.call("GET", "/api/maintenance/flags", None).await?.status == 200)
    })
    .await
    .unwrap();
    cluster.ceph(&["osd", "set", "noout"]).unwrap();
    let task = site.fired("OnHealthDegrade", 1, HEALTH).await;
    assert_eq!(arguments(&task)[..3], ["HEALTH_OK", "HEALTH_WARN", "OSDMAP_FLAGS"], "{task}");
    cluster.ceph(&["osd", "unset", "noout"]).unwrap();
    for event in ["OnHealthImprove", "OnHealthRecover"] {
        let task = site.fired(event, 1, HEALTH).await;
        assert_eq!(arguments(&task)[..2], ["HEALTH_WARN", "HEALTH_OK"], "{task}");
    }
    assert_eq!(site.tasks_of("OnHealthDegrade").await.len(), 1);
}
