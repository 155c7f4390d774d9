//! Hosts.

use std::time::Duration;

use hostler_tests::hosts::{Lab, Options};
use hostler_tests::lab::until;
use hostler_tests::shell::{self, PATIENCE};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_packaged_agent_runs_in_a_host_and_comes_back_with_it() {
    let Some(lab) = Lab::start().unwrap() else { return };
    let manager = lab.start_manager(hostler_tests::lab::Options::default()).await.unwrap();
    let hosts = lab.hosts(&["one", "two"], &Options::default()).unwrap();
    let [one, two] = &hosts[..] else { panic!("two hosts were asked for") };
    for host in [one, two] {
        host.enlist(&manager).await.unwrap();
    }

    let shown = one.exec(&["systemctl", "show", "-p", "Type,ActiveState,StatusText", "hostler-agent"]).unwrap();
    assert!(shown.contains("Type=notify") && shown.contains("ActiveState=active"), "{shown}");
    let (before, other) = (one.boot_id().unwrap(), two.boot_id().unwrap());
    one.reboot().unwrap();
    assert_ne!(one.boot_id().unwrap(), before);
    assert_eq!(two.boot_id().unwrap(), other, "the other host has nothing to do with it");
    manager.host_is("one", "online").await.unwrap();

    one.power_loss().unwrap();
    manager.host_is("one", "offline").await.unwrap();
    one.boot().unwrap();
    manager.host_is("one", "online").await.unwrap();
    two.power_off().unwrap();
    manager.host_is("two", "offline").await.unwrap();
}

#[test]
fn hosts_are_cut_off_frozen_and_well_again() {
    let Some(lab) = Lab::start().unwrap() else { return };
    let hosts = lab.hosts(&["one", "two"], &Options::default()).unwrap();
    let (one, two) = (&hosts[0], &hosts[1]);
    let address = two.address().to_string();
    let heard = || one.output(&["ping", "-c1", "-W1", &address]).unwrap().status.success();
    shell::wait(PATIENCE, "they hear each other", || Ok(heard())).unwrap();
    two.cut().unwrap();
    assert!(!heard(), "it was cut off");
    two.restore().unwrap();
    shell::wait(PATIENCE, "they hear each other again", || Ok(heard())).unwrap();

    let uptime = |host: &hostler_tests::hosts::Host<'_>| host.exec(&["systemctl", "is-system-running"]);
    two.exec(&["systemd-run", "--quiet", "sh", "-c", "while sleep 0.1; do echo >>/root/ticks; done"]).unwrap();
    let ticks = || std::fs::metadata(two.root().join("root/ticks")).map_or(0, |file| file.len());
    shell::wait(PATIENCE, "it ticks", || Ok(ticks() > 2)).unwrap();
    two.freeze().unwrap();
    let before = ticks();
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(ticks(), before, "its time goes on");
    assert_eq!(uptime(one).unwrap().trim(), "running");
    two.thaw().unwrap();
    shell::wait(PATIENCE, "it ticks again", || Ok(ticks() > before)).unwrap();
}

#[test]
fn nobody_in_a_host_can_set_the_clock_and_limits_hold() {
    let Some(lab) = Lab::start().unwrap() else { return };
    let host = lab.host("safe", Options::default()).unwrap();
    let mask = |text: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap()
    };
    let status = ["cat", "/proc/self/status"];
    let unit = host.exec_unit(&status).unwrap();
    for text in [host.exec(&status).unwrap(), String::from_utf8(unit.stdout).unwrap()] {
        // CAP_SYS_MODULE 16, CAP_SYS_RAWIO 17, CAP_SYS_TIME 25.
        assert_eq!(mask(&text) & (1 << 16 | 1 << 17 | 1 << 25), 0, "{text}");
    }
    // As root of the host, within a limit of its systemd.
    let hungry = "systemd-run --quiet --wait --pipe -p MemoryMax=20M -p MemorySwapMax=0 -- sh -c 'head -c 100M /dev/zero | tail -c 90M | wc -c'";
    let done = host.output(&["sh", "-c", hungry]).unwrap();
    assert!(!String::from_utf8_lossy(&done.stdout).contains("94371840"), "a limit of memory does nothing: {done:?}");
    let links = host.exec(&["ls", "/sys/class/net"]).unwrap();
    assert_eq!(links.split_whitespace().collect::<Vec<_>>(), ["host0", "lo"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manager_in_a_namespace_is_killed_and_started_again() {
    let Some(lab) = Lab::start().unwrap() else { return };
    let mut manager = lab.start_manager(hostler_tests::lab::Options::default()).await.unwrap();
    assert!(manager.agents.starts_with("10.99.0.1:"), "{}", manager.agents);
    let agent = hostler_tests::lab::Agent::start(&manager, "beside").await.unwrap();
    let (agents, url) = (manager.agents.clone(), manager.url.clone());
    manager.kill().unwrap();
    manager.restart().await.unwrap();
    assert_eq!((&manager.agents, &manager.url), (&agents, &url));
    until(PATIENCE, "the agent is back", async || Ok(manager.get("/api/hosts/beside").await?["state"] == "online"))
        .await
        .unwrap();
    drop(agent);
}
