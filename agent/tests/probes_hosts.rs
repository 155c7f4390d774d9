//! The probes on recorded hosts (spec/introspection.md §8.11).

#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
mod support;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{Host, find, golden};

#[test]
fn a_two_socket_server_with_everything() {
    let document = Host::fixture("x86-storage").probe();
    assert_eq!(document["error"], Value::Null);
    golden("x86-storage.inventory", &document["inventory"]);
    golden("x86-storage.pci", &document["pci_devices"]);
    golden("x86-storage.numa", &document["numa_topology"]);
    for section in ["system", "firmware", "cpu", "memory", "storage", "net", "ceph", "bmc", "health", "time", "kvm"] {
        golden(&format!("x86-storage.{section}"), &document["fleet"][section]);
    }
}

#[test]
fn multipath_maps_are_listed_once_and_remote_images_not_at_all() {
    let document = Host::fixture("x86-storage").probe();
    let names: Vec<&str> =
        document["inventory"]["disks"].as_array().unwrap().iter().filter_map(|disk| disk["name"].as_str()).collect();
    assert_eq!(names, ["/dev/dm-0", "/dev/nvme0n1", "/dev/sdc"]);
    assert_eq!(document["root_disk"]["name"], "/dev/sdc");
    let disks = &document["fleet"]["storage"]["disks"];
    assert_eq!(find(disks, "name", "/dev/rbd0")["kind"], "rbd");
    assert_eq!(find(disks, "name", "/dev/dm-0")["paths"].as_array().unwrap().len(), 2);
    assert_eq!(find(disks, "name", "/dev/nvme0n1")["paths"][1]["ana_state"], "inaccessible");
}

#[test]
fn interfaces_carry_permanent_addresses_and_flags() {
    let document = Host::fixture("x86-storage").probe();
    let interfaces = &document["inventory"]["interfaces"];
    assert_eq!(find(interfaces, "name", "ens1f1")["mac_address"], "3c:ec:ef:00:00:11", "not the bond's");
    assert_eq!(find(interfaces, "name", "ens1f0v0")["mac_address"], "fa:16:3e:00:00:01", "never dropped");
    assert_eq!(find(interfaces, "name", "ib0")["mac_address"], "f4:52:14:11:22:33");
    assert!(find(interfaces, "name", "vlan100")["ipv6_address"].is_string());
    let links = &document["fleet"]["net"]["links"];
    assert_eq!(find(links, "name", "usb0")["bmc_inband"], true);
    assert_eq!(find(links, "name", "ens1f0v0")["is_vf"], true);
    assert_eq!(find(links, "name", "tap0")["listed"], false);
    assert_eq!(find(links, "name", "ens1f0")["sriov"]["total"], 128);
    let pci = &document["fleet"]["pci"]["devices"];
    assert_eq!(find(pci, "address", "0000:3b:00.0")["link_degraded"], true);
    assert_eq!(find(pci, "address", "0000:83:00.0")["driver"], "vfio-pci");
}

#[test]
fn the_operating_system_and_its_secrets() {
    let document = Host::fixture("x86-storage").probe();
    let os = &document["fleet"]["os"];
    let line = os["command_line"].as_str().unwrap();
    assert!(line.contains("luks.password=***") && !document.to_string().contains("hush"), "{line}");
    assert_eq!(os["kernel"]["newest"], "6.8.0-100-generic");
    assert_eq!(os["restart"]["kernel_outdated"], true);
    assert_eq!(os["restart"]["reboot_required"], true);
    assert_eq!(os["tainted"], json!({"mask": 4097, "flags": "PO"}));
    assert_eq!(document["fleet"]["packages"]["versions"], json!({"ceph-osd": "19.2.0-1"}));
    assert_eq!(document["fleet"]["blobs"], Value::Null, "blobs only on request");
    assert_eq!(document["fleet"]["time"]["severity"], "warning");
}

#[test]
fn an_arm_board_without_firmware_tables() {
    let document = Host::fixture("arm-tree").probe();
    assert_eq!(document["error"], Value::Null);
    golden("arm-tree.inventory", &document["inventory"]);
    assert_eq!(document["inventory"]["cpu"]["model_name"], "ARM Cortex-A72");
    assert_eq!(document["inventory"]["cpu"]["socket_count"], 1);
    assert_eq!(document["inventory"]["memory"]["physical_mb"], 256, "two online blocks of 128 MiB");
    assert_eq!(document["inventory"]["system_vendor"]["product_name"], "Raspberry Pi 4 Model B Rev 1.4");
}

#[test]
fn an_arm_server_with_firmware_tables() {
    let document = Host::fixture("arm-server").probe();
    assert_eq!(document["error"], Value::Null);
    golden("arm-server.inventory", &document["inventory"]);
    assert_eq!(document["inventory"]["system_vendor"]["serial_number"], "", "a placeholder");
    assert_eq!(document["inventory"]["system_vendor"]["system_uuid"], Value::Null, "all zeros");
    assert_eq!(document["inventory"]["memory"]["physical_mb"], Value::Null);
}

#[test]
fn a_virtual_machine_that_knows_only_ipv6() {
    let document = Host::fixture("vm").probe();
    assert_eq!(document["error"], Value::Null);
    golden("vm.inventory", &document["inventory"]);
    assert_eq!(document["boot_interface"], "52:54:00:aa:00:01");
    let system = &document["fleet"]["system"]["virtualization"];
    assert_eq!((&system["role"], &system["hypervisor"]), (&json!("guest"), &json!("kvm")));
    let eth0 = &document["inventory"]["interfaces"][0];
    assert_eq!((&eth0["ipv4_address"], &eth0["ipv6_address"]), (&Value::Null, &json!("2001:db8::5")));
    assert_eq!(eth0["pci_address"], "0000:00:03.0");
    assert_eq!(document["inventory"]["bmc_address"], Value::Null);
}

#[test]
fn a_container_says_what_it_cannot_see() {
    let document = Host::fixture("container").probe();
    assert_eq!(document["fleet"]["system"]["virtualization"]["role"], "container");
    // A veth is no hardware, so the minimum is not reached, and the document says so without failing.
    assert!(document["error"].as_str().unwrap().contains("no network interface"));
    let sections = &document["fleet"]["sections"];
    for section in ["pci", "usb", "bmc", "lldp", "packages", "storage"] {
        assert_eq!(sections[section]["status"], "unavailable", "{section}");
        assert!(sections[section]["reason"].is_string());
    }
    assert_eq!(sections["cpu"]["status"], "ok");
}

#[test]
fn four_hundred_disks_and_three_hundred_interfaces() {
    let host = Host::fixture("vm");
    for n in 0..400 {
        let (a, b) = ((b'a' + (n / 26 % 26) as u8) as char, (b'a' + (n % 26) as u8) as char);
        let name = format!("sd{}{a}{b}", ["a", "b"][n / 390]);
        let base = format!("/sys/devices/pci0000:00/ata{n}/{name}");
        host.file(&format!("{base}/size"), "31251759104");
        host.file(&format!("{base}/dev"), format!("8:{n}"));
        host.file(&format!("{base}/queue/rotational"), "0");
        host.file(&format!("{base}/device/vpd_pg80"), format!("\0\u{0}\0\u{8}S{n:07}"));
        host.link(&format!("/sys/block/{name}"), &format!("../devices/pci0000:00/ata{n}/{name}"));
        host.image(&format!("/dev/{name}"), 1 << 20, &[]);
    }
    for n in 0..300 {
        host.file(&format!("/sys/class/net/tap{n}/ifindex"), format!("{}", n + 10));
        host.file(&format!("/sys/class/net/tap{n}/address"), format!("52:54:00:00:{:02x}:{:02x}", n / 256, n % 256));
    }
    let began = Instant::now();
    let document = host.probe();
    let took = began.elapsed();
    assert_eq!(document["inventory"]["disks"].as_array().unwrap().len(), 401);
    assert_eq!(document["fleet"]["net"]["links"].as_array().unwrap().len(), 301);
    assert_eq!(document["fleet"]["ceph"]["devices"].as_array().unwrap().len(), 401);
    assert_eq!(document["fleet"]["sections"]["storage"]["status"], "ok");
    assert!(document.to_string().len() < 4 << 20, "the limit of a document");
    eprintln!("probed in {took:?}: {:?}", sections(&document));
    assert!(took < Duration::from_secs(4), "{took:?}");
}

#[test]
fn lldp_neighbours_of_both_sources_reach_the_document() {
    let host = Host::fixture("x86-storage");
    let state = tempfile::tempdir().unwrap();
    let cache = json!({"boot_id": "11111111-2222-3333-4444-555555555555", "neighbours": {
        "ens1f0": {"expires_at": 2000, "tlvs": [[1, "04112233aabbcc"], [2, "0545746865726e6574312f31"], [3, "0078"]]},
        "ens1f1": {"expires_at": 999, "tlvs": [[1, "04112233aabbcc"]]}}});
    std::fs::write(state.path().join("lldp.json"), cache.to_string()).unwrap();
    let frame = "0180c200000e3cecef000011 88cc 0207 04aabbccddeeff 0403 056531 0602 0078 0000".replace(' ', "");
    let frame = hex::decode(frame).unwrap();
    let mut saved = (frame.len() as u64).to_le_bytes().to_vec();
    saved.extend(frame);
    host.file("/run/systemd/netif/lldp/4", saved);
    let root = hostler_agent::probes::HostRoot::recorded(host.dir.path()).unwrap();
    let request = hostler_agent::probes::Request { state_dir: Some(state.path().to_owned()), ..Default::default() };
    let document = hostler_agent::probes::collect(&root, &request);
    let raw = &document["lldp_raw"];
    assert_eq!(raw["ens1f0"], json!([[1, "04112233aabbcc"], [2, "0545746865726e6574312f31"], [3, "0078"]]));
    assert_eq!(raw["ens1f0v0"][0], json!([1, "04aabbccddeeff"]));
    assert_eq!(raw["ens1f1"], Value::Null, "expired");
    assert_eq!(find(&document["inventory"]["interfaces"], "name", "ens1f0")["lldp"][0][0], 1);
}

#[test]
fn a_sleeping_disk_is_not_touched() {
    let host = Host::fixture("x86-storage");
    let live = std::fs::read_to_string(host.path("/live.json")).unwrap();
    let mut live: Value = serde_json::from_str(&live).unwrap();
    live["power"] = json!({"sda": "standby", "sdb": "standby"});
    host.file("/live.json", live.to_string());
    // A folder in the place of the device: whoever opens and reads it is found out by the error.
    for disk in ["sda", "dm-0"] {
        std::fs::remove_file(host.path(&format!("/dev/{disk}"))).unwrap();
        std::fs::create_dir(host.path(&format!("/dev/{disk}"))).unwrap();
    }
    let document = host.probe();
    let storage = &document["fleet"]["storage"];
    assert_eq!(find(&storage["disks"], "name", "/dev/sda")["power"], "standby");
    assert_eq!(document["fleet"]["sections"]["storage"]["reason"], Value::Null);
    assert_eq!(document["fleet"]["health"]["disks"]["sda"], json!({"status": "standby"}));
    let map = find(&document["fleet"]["ceph"]["devices"], "path", "/dev/dm-0");
    assert_eq!(map["available"], false);
    assert!(map["rejected_reasons"].as_array().unwrap().contains(&json!("fleet:standby")));
}

#[test]
fn unchanged_hosts_have_unchanged_hashes() {
    let host = Host::fixture("x86-storage");
    let hash = |document: &Value, section: &str| document["fleet"]["sections"][section]["hash"].clone();
    let (first, second) = (host.probe(), host.probe());
    for name in hostler_agent::probes::names() {
        assert_eq!(hash(&first, name), hash(&second, name), "{name}");
    }
    host.file("/sys/class/hwmon/hwmon0/temp1_input", "46000");
    assert_eq!(hash(&first, "health"), hash(&host.probe(), "health"), "temperatures are volatile");
    host.file("/sys/devices/system/edac/mc/mc0/ue_count", "1");
    assert_ne!(hash(&first, "health"), hash(&host.probe(), "health"), "memory errors are not");
}

#[test]
fn sections_can_be_asked_for_one_by_one() {
    let (facts, record) = Host::fixture("x86-storage").section("cpu");
    assert_eq!(facts["count"], 8);
    assert_eq!((&record["status"], &record["ttl_s"]), (&json!("ok"), &json!(86400)));
    let (facts, record) = Host::fixture("x86-storage").section("nonsense");
    assert_eq!((facts, &record["status"]), (Value::Null, &json!("unavailable")));
}

/// How long each section took, in milliseconds.
fn sections(document: &Value) -> Vec<(String, u64)> {
    let all = document["fleet"]["sections"].as_object().unwrap();
    all.iter().map(|(name, section)| (name.clone(), section["duration_ms"].as_u64().unwrap())).collect()
}
