//! Hook points at events that need a laboratory: hosts with a systemd and a network of their own, disks, leases
//! (spec/hooks.md §5-§7, §13.3).

use std::fmt::Write as _;
use std::time::Duration;

use hostler_tests::ceph::{self, Cluster};
use hostler_tests::dhcp::Dhcp;
use hostler_tests::disk::Zram;
use hostler_tests::hosts::{File, Host, Lab, MANAGER, Options};
use hostler_tests::lab::until;
use hostler_tests::shell::{self, PATIENCE};
use serde_json::{Value, json};

use super::site::{SOON, Site, TELL, arguments, document, variable};

/// A script that refuses.
const REFUSE: &str = "#!/bin/sh\nexit 1\n";

/// The file by which networkd of a laboratory's host knows its link.
const LINK: &str = "/etc/systemd/network/10-host0.network";

/// An address that the network of the laboratory has room for, and one from which nothing of it is reached.
const FURTHER: &str = "10.99.0.177";
const AWAY: &str = "10.98.0.1";

/// How long a cluster's watcher may take to see a change: it asks every five seconds, on an idle machine.
const WATCHED: Duration = Duration::from_secs(90);

/// A bridge with an address. (The link of the host itself is a veth, which counts as one of a container: whoever changes that
/// is not told of.)
const BRIDGE: [(&str, &str); 2] = [
    ("/etc/systemd/network/30-br9.netdev", "[NetDev]\nName=br9\nKind=bridge\n"),
    (
        "/etc/systemd/network/30-br9.network",
        "[Match]\nName=br9\n[Network]\nAddress=10.97.0.1/24\nConfigureWithoutCarrier=yes\n",
    ),
];

fn link(addresses: &[&str]) -> String {
    let mut text = "[Match]\nName=host0\n[Network]\nIPv6AcceptRA=no\nLinkLocalAddressing=no\n".to_owned();
    for address in addresses {
        writeln!(text, "Address={address}/24").unwrap();
    }
    text
}

/// The three ways by which a script is told agree (spec/hooks.md §6): its arguments, its environment, its standard input.
fn agree(task: &Value, event: &str, origin: &str) {
    let (told, mut arguments) = (document(task), arguments(task));
    let mut values = Vec::new();
    for (name, value) in told["parameters"].as_object().unwrap() {
        let variable = variable(task, &format!("HOOK_{}", name.to_uppercase().replace('-', "_")));
        assert_eq!(variable.as_deref(), value.as_str(), "{name}: {task}");
        values.push(value.as_str().unwrap().to_owned());
    }
    arguments.sort();
    values.sort();
    assert_eq!(arguments, values, "{task}");
    for (variable_name, field, wanted) in [("HOOK_EVENT", "event", event), ("HOOK_ORIGIN", "origin", origin)] {
        let found = variable(task, variable_name);
        assert_eq!((found.as_deref(), told[field].as_str()), (Some(wanted), Some(wanted)), "{task}");
    }
}

/// The addresses that the kernel of a host has on its link.
fn addresses(host: &Host<'_>) -> Vec<String> {
    let links: Value =
        serde_json::from_str(&host.exec(&["ip", "-j", "-4", "address", "show", "dev", "host0"]).unwrap()).unwrap();
    let addresses = links[0]["addr_info"].as_array().unwrap().iter();
    let mut addresses: Vec<_> = addresses.map(|address| address["local"].as_str().unwrap().to_owned()).collect();
    addresses.sort();
    addresses
}

/// Has the link of the host configured anew, with more files, and with the manager reached again within so many seconds.
async fn change_link(site: &Site<Host<'_>>, addresses: &[&str], more: &[(&str, &str)], confirm_s: u32) -> Value {
    let mut files = vec![json!({ "path": LINK, "contents": link(addresses) })];
    files.extend(more.iter().map(|(path, text)| json!({ "path": path, "contents": text })));
    let step = json!({ "step": "network", "interfaces": ["host0"], "files": files, "confirm_s": confirm_s });
    site.done(site.step(step).await).await
}

/// What the kernel of a host says of the bridge.
fn bridge(host: &Host<'_>) -> String {
    host.exec(&["ip", "-4", "-o", "address", "show", "dev", "br9"]).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spec_13_3_network_config_and_config_changed() {
    let Some(lab) = Lab::start().unwrap() else { return };
    let host = lab.host("net", Options::default()).unwrap();
    let own = host.address().to_string();
    let site = Site::of_host(&lab, host).await;
    // What the kernel says at the moment of the hook, besides what the hook was told.
    let show = format!("{TELL}ip -4 -o address show dev host0\n");
    for event in ["PreNetworkConfig", "PostNetworkConfig", "PostConfigChanged"] {
        site.hook(event, &show, json!({})).await;
    }

    // The bridge is one of the links that the agent watches: it must not tell it once more.
    let task = change_link(&site, &[&own, FURTHER], &BRIDGE, 30).await;
    assert_eq!(task["state"], "FINISHED", "{task}");
    assert_eq!(addresses(&site.agent), [own.as_str(), FURTHER]);
    assert!(bridge(&site.agent).contains("10.97.0.1/24"));
    // New files are for networkd, which is not root, and for nobody else.
    let rights = site.agent.exec(&["stat", "--format=%U:%G %a", BRIDGE[0].0]).unwrap();
    assert_eq!(rights.trim(), "root:systemd-network 640");
    let before = site.fired("PreNetworkConfig", 1, SOON).await;
    assert_eq!(arguments(&before)[0], "host0", "{before}");
    assert!(!before["output"].as_str().unwrap().contains(FURTHER), "it came too late: {before}");
    let after = site.fired("PostNetworkConfig", 1, SOON).await;
    assert_eq!((&*arguments(&after)[0], &*arguments(&after)[2]), ("host0", "ok"), "{after}");
    assert!(after["output"].as_str().unwrap().contains(FURTHER), "it came too early: {after}");
    let changed = site.fired("PostConfigChanged", 1, SOON).await;
    let all = format!("{LINK},{},{}", BRIDGE[0].0, BRIDGE[1].0);
    assert_eq!(arguments(&changed), ["", "", &all, "ok"], "{changed}");
    assert!(changed["output"].as_str().unwrap().contains(FURTHER), "it came too early: {changed}");
    let all = [("PreNetworkConfig", &before), ("PostNetworkConfig", &after), ("PostConfigChanged", &changed)];
    for (event, task) in all {
        agree(task, event, "manager");
        assert_eq!(task["object"], "net", "{task}");
    }

    // The host would not reach the manager any more.
    let task = change_link(&site, &[AWAY], &[], 5).await;
    assert_eq!(task["state"], "FAILED", "{task}");
    let after = site.fired("PostNetworkConfig", 2, SOON).await;
    assert_eq!(arguments(&after)[2], "rolled_back", "{after}");
    let changed = site.fired("PostConfigChanged", 2, SOON).await;
    assert_eq!(arguments(&changed), ["", "", LINK, "rolled_back"], "{changed}");
    assert_eq!(addresses(&site.agent), [own.as_str(), FURTHER]);
    assert_eq!(site.agent.read(LINK).unwrap(), link(&[&own, FURTHER]));

    let hooks = json!([{ "event": "PreNetworkConfig", "allServers": true }]);
    site.post("/api/events/hook-scripts", json!({ "name": "refuse", "contents": REFUSE, "hooks": hooks })).await;
    let task = change_link(&site, &[&own], &[], 30).await;
    assert_eq!(task["state"], "FAILED", "{task}");
    assert!(task.to_string().contains("(refuse) on net exited 1"), "{task}");
    assert_eq!(addresses(&site.agent), [own.as_str(), FURTHER]);
    assert_eq!(site.agent.read(LINK).unwrap(), link(&[&own, FURTHER]));
    for event in ["PostNetworkConfig", "PostConfigChanged"] {
        assert_eq!(site.tasks_of(event).await.len(), 2, "{event}: nothing was changed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spec_13_3_network_config_by_somebody_else() {
    let Some(lab) = Lab::start().unwrap() else { return };
    let host = lab.host("net", Options::default()).unwrap();
    let site = Site::of_host(&lab, host).await;
    site.hook("PostNetworkConfig", TELL, json!({})).await;
    // The host's own agent runs it, so it must know it.
    shell::wait(SOON, "the agent knows the hook", || {
        Ok(site.agent.read("/var/lib/hostler-agent/assignment.json")?.contains("PostNetworkConfig"))
    })
    .unwrap();
    for (path, text) in BRIDGE {
        site.agent.write(&File::text(path, text)).unwrap();
    }
    site.agent.exec(&["networkctl", "reload"]).unwrap();
    let task = site.fired("PostNetworkConfig", 1, SOON).await;
    assert_eq!((&*arguments(&task)[0], &*arguments(&task)[2]), ("br9", "ok"), "{task}");
    assert!(bridge(&site.agent).contains("10.97.0.1/24"));
    agree(&task, "PostNetworkConfig", "external");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spec_13_3_config_changed_in_the_cluster() {
    let Some(cluster) = Cluster::start(ceph::Options { osds: 1, ..ceph::Options::default() }).unwrap() else { return };
    let site = Site::within("", &[("CEPH_CONF", cluster.conf().display().to_string())]).await;
    site.hook("PostConfigChanged", TELL, json!({})).await;
    until(WATCHED, "the manager hears of the cluster", async || {
        Ok(site.manager.call("GET", "/api/maintenance/flags", None).await?.status == 200)
    })
    .await
    .unwrap();
    cluster.ceph(&["config", "set", "osd", "debug_osd", "3/5"]).unwrap();
    let task = site.fired("PostConfigChanged", 1, WATCHED).await;
    assert_eq!(arguments(&task), ["", "", "osd/debug_osd", "ok"], "{task}");
    agree(&task, "PostConfigChanged", "external");
    cluster.ceph(&["config", "rm", "osd", "debug_osd"]).unwrap();
    let task = site.fired("PostConfigChanged", 2, WATCHED).await;
    assert_eq!(arguments(&task)[2], "osd/debug_osd", "{task}");
    assert_eq!(site.manager.events("cluster.config_changed").await.unwrap().len(), 2);
}

/// Whether the cluster sees that OSD as up.
fn is_up(cluster: &Cluster, number: i64) -> anyhow::Result<bool> {
    let dump = cluster.ceph(&["osd", "dump"])?;
    Ok(dump["osds"].as_array().is_some_and(|osds| osds.iter().any(|osd| osd["osd"] == number && osd["up"] == 1)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spec_13_3_format_disk_and_post_ceph_daemon_start() {
    if !ceph::possible() {
        return;
    }
    let (Some(lab), Some(disk)) = (Lab::start().unwrap(), Zram::new(6).unwrap()) else { return };
    let place = Some((lab.manager().clone(), MANAGER));
    let cluster = Cluster::start(ceph::Options { osds: 1, place, ..ceph::Options::default() }).unwrap().unwrap();
    let host = lab.host("store", Options { devices: vec![disk.path()], ..Options::for_ceph() }).unwrap();
    host.use_cluster(&cluster).unwrap();
    let site = Site::of_host(&lab, host).await;
    // What is on the disk at the moment of the hook, besides what the hook was told.
    let show = format!("{TELL}echo \"label=$(head -c 22 \"$1\" | tr -d '\\0')\"\n");
    for event in ["PreFormatDisk", "PostFormatDisk"] {
        site.hook(event, &show, json!({})).await;
    }
    site.hook("PostCephDaemonStart", TELL, json!({})).await;

    let device = disk.path().display().to_string();
    let step = json!({ "step": "format_disk", "device": device, "purpose": "osd", "mode": "raw", "size": 6_u64 << 30 });
    let task = site.done(site.step(step).await).await;
    assert_eq!(task["state"], "FINISHED", "{task}");
    let before = site.fired("PreFormatDisk", 1, SOON).await;
    assert_eq!(arguments(&before), [device.as_str(), "", "osd"], "{before}");
    assert_eq!(variable(&before, "label").as_deref(), Some(""), "it came too late: {before}");
    let after = site.fired("PostFormatDisk", 1, SOON).await;
    assert_eq!(arguments(&after), [device.as_str(), "", "osd", "1", "ok"], "{after}");
    assert_eq!(variable(&after, "label").as_deref(), Some("bluestore block device"), "it came too early: {after}");
    agree(&before, "PreFormatDisk", "manager");
    agree(&after, "PostFormatDisk", "manager");
    let known = cluster.ceph(&["osd", "dump"]).unwrap()["osds"][1].clone();
    assert_eq!((&known["osd"], &known["up"]), (&json!(1), &json!(0)), "{known}");

    site.agent.exec(&["ceph-volume", "raw", "activate", "--device", &device, "--no-systemd"]).unwrap();
    let change = async |action: &str| {
        let step = json!({ "step": "ceph_daemon", "kind": "osd", "id": "1", "action": action });
        let task = site.done(site.step(step).await).await;
        assert_eq!(task["state"], "FINISHED", "{task}");
    };
    change("start").await;
    let started = site.fired("PostCephDaemonStart", 1, SOON).await;
    assert_eq!(arguments(&started), ["osd", "1", "ceph-osd@1.service", "ok"], "{started}");
    agree(&started, "PostCephDaemonStart", "manager");
    assert!(is_up(&cluster, 1).unwrap());
    let process = || site.agent.exec(&["systemctl", "show", "--property=MainPID", "--value", "ceph-osd@1"]).unwrap();
    let first = process();

    // Whoever else starts it: nothing fires.
    change("stop").await;
    site.agent.exec(&["systemctl", "start", "ceph-osd@1"]).unwrap();
    shell::wait(PATIENCE, "the OSD is up", || is_up(&cluster, 1)).unwrap();
    let second = process();
    change("restart").await;
    let started = site.fired("PostCephDaemonStart", 2, SOON).await;
    assert_eq!(arguments(&started)[3], "ok", "{started}");
    let third = process();
    assert!(first != second && second != third, "{first} {second} {third}");
    for (event, times) in [("PreFormatDisk", 1), ("PostFormatDisk", 1), ("PostCephDaemonStart", 2)] {
        assert_eq!(site.tasks_of(event).await.len(), times, "{event}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spec_13_3_on_dhcp_lease_update_of_a_real_server() {
    let Some(lab) = Lab::start().unwrap() else { return };
    let Some(dhcp) = Dhcp::start(&lab).unwrap() else { return };
    let old = dhcp.client(&lab, "old").unwrap();
    let site = Site::start(&format!("[[watch.leases]]\npath = {:?}\nformat = \"dnsmasq\"\n", dhcp.leases())).await;
    site.hook("OnDhcpLeaseUpdate", TELL, json!({})).await;
    site.hook_arrived(&dhcp.leases().display().to_string()).await;
    // The first look at the file is what changes are compared with.
    tokio::time::sleep(Duration::from_secs(2)).await;

    let client = dhcp.client(&lab, "new").unwrap();
    let address = client.address.to_string();
    let task = site.fired("OnDhcpLeaseUpdate", 1, SOON).await;
    assert_eq!(arguments(&task)[..4], ["add", &client.mac, &address, "new"], "{task}");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let expiry: u64 = arguments(&task)[4].parse().unwrap();
    assert!((now..=now + 120).contains(&expiry), "a lease of two minutes ends at {expiry}; it is {now}");
    agree(&task, "OnDhcpLeaseUpdate", "external");
    let mac = client.mac.clone();
    client.release().unwrap();
    let task = site.fired("OnDhcpLeaseUpdate", 2, SOON).await;
    assert_eq!(arguments(&task)[..3], ["del", &mac, &address], "{task}");
    assert_eq!(site.tasks_of("OnDhcpLeaseUpdate").await.len(), 2, "the lease of before is no news");
    drop(old);
}
