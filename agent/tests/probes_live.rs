//! The probes on the machine that runs the tests.

use std::fs;
use std::process::Command;

use hostler_agent::probes::{HostRoot, Request, collect, names};
use serde_json::Value;

fn document() -> Value {
    collect(&HostRoot::machine(), &Request::default())
}

#[test]
fn the_mandatory_minimum_is_true() {
    let document = document();
    let nproc = Command::new("nproc").arg("--all").output().unwrap();
    let nproc: u64 = String::from_utf8(nproc.stdout).unwrap().trim().parse().unwrap();
    assert_eq!(document["inventory"]["cpu"]["count"], nproc);
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap();
    let kb: u64 = meminfo.lines().next().unwrap().split_whitespace().nth(1).unwrap().parse().unwrap();
    assert_eq!(document["inventory"]["memory"]["total"], kb * 1024);
    let hostname = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert!(document["inventory"]["hostname"].as_str().unwrap().starts_with(hostname.trim()));
}

#[test]
fn every_interface_of_the_kernel_is_reported() {
    let document = document();
    let links = document["fleet"]["net"]["links"].as_array().unwrap();
    for entry in fs::read_dir("/sys/class/net").unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if !entry.path().join("ifindex").exists() {
            continue;
        }
        let link =
            links.iter().find(|link| link["name"] == name.as_str()).unwrap_or_else(|| panic!("{name} is missing"));
        let mtu: u64 = fs::read_to_string(entry.path().join("mtu")).unwrap().trim().parse().unwrap();
        assert_eq!(link["mtu"], mtu, "{name}");
    }
}

#[test]
fn a_listener_is_seen() {
    let own = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = own.local_addr().unwrap().port();
    let document = document();
    let listeners = document["fleet"]["net"]["listeners"].as_array().unwrap();
    assert!(listeners.iter().any(|l| l["port"] == port && l["protocol"] == "tcp" && l["address"] == "127.0.0.1"));
}

#[test]
fn every_section_reports_and_nothing_hangs() {
    let document = document();
    for name in names() {
        let section = &document["fleet"]["sections"][name];
        let status = section["status"].as_str().unwrap_or_else(|| panic!("{name} is missing"));
        assert!(matches!(status, "ok" | "partial" | "unavailable"), "{name}: {section}");
        assert_eq!(section["reason"].is_null(), status == "ok", "{name}");
        assert_eq!(section["hash"].as_str().unwrap().len(), 64);
    }
}

#[test]
fn a_machine_at_rest_keeps_its_static_hashes() {
    let (first, second) = (document(), document());
    for name in ["system", "firmware", "cpu", "memory", "numa", "pci", "packages", "kvm", "agent", "usb", "bmc"] {
        let hash = |document: &Value| document["fleet"]["sections"][name]["hash"].clone();
        assert_eq!(hash(&first), hash(&second), "{name}: {} / {}", first["fleet"][name], second["fleet"][name]);
    }
}
