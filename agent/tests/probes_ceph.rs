//! The Ceph verdict on prepared images (spec/introspection.md §8.12).

#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
mod support;

use serde_json::{Value, json};
use support::{Host, find};

const SIZE: u64 = 10 << 30;

/// A host with one disk, its content at places, and attributes of sysfs.
fn disk(size: u64, marks: &[(u64, &[u8])], attributes: &[(&str, &str)]) -> Host {
    let host = Host::empty();
    let base = "/sys/devices/pci0000:00/0000:00:1f.2/ata1/sdx";
    host.file(&format!("{base}/size"), (size / 512).to_string());
    host.file(&format!("{base}/dev"), "8:368");
    host.file(&format!("{base}/queue/rotational"), "0");
    for (file, text) in attributes {
        host.file(&format!("{base}/{file}"), text);
    }
    host.link("/sys/block/sdx", &format!("../{}", &base[5..]));
    host.link("/sys/class/block/sdx", &format!("../../{}", &base[5..]));
    host.image("/dev/sdx", size, marks);
    host
}

fn verdict(host: &Host) -> Value {
    find(&host.section("ceph").0["devices"], "path", "/dev/sdx").clone()
}

fn reasons(host: &Host) -> Vec<String> {
    let device = verdict(host);
    let reasons: Vec<String> = serde_json::from_value(device["rejected_reasons"].clone()).unwrap();
    assert_eq!(device["available"], reasons.is_empty());
    reasons
}

#[test]
fn an_empty_disk_is_available() {
    assert!(reasons(&disk(SIZE, &[], &[])).is_empty());
}

#[test]
fn tables_and_partitions() {
    assert_eq!(reasons(&disk(SIZE, &[(512, b"EFI PART")], &[])), ["Has GPT headers"]);
    let host = disk(SIZE, &[], &[("sdx1/partition", "1"), ("sdx1/size", "16777216"), ("sdx1/dev", "8:369")]);
    host.image("/dev/sdx1", 8 << 30, &[]);
    assert_eq!(reasons(&host), ["Has partitions"]);
    let part = find(&host.section("ceph").0["devices"], "path", "/dev/sdx1").clone();
    assert_eq!((&part["available"], &part["rejected_reasons"]), (&json!(true), &json!([])));
}

#[test]
fn filesystems_and_encryption() {
    assert_eq!(reasons(&disk(SIZE, &[(0, b"XFSB")], &[])), ["Has a FileSystem"]);
    assert_eq!(reasons(&disk(SIZE, &[(0, b"LUKS\xba\xbe")], &[])), ["Has a FileSystem"]);
    assert_eq!(reasons(&disk(SIZE, &[(4086, b"SWAPSPACE2")], &[])), ["Has a FileSystem", "fleet:swap"]);
}

#[test]
fn an_osd_is_recognised_and_its_key_stays() {
    let mut label = b"bluestore block device\n6f1d2c3a-0b4e-4a5f-8c6d-7e8f90a1b2c3\n".to_vec();
    label.extend([2, 1, 0, 0, 0, 0]);
    label.extend([0x6f; 16]);
    label.extend(SIZE.to_le_bytes());
    label.extend([0; 8]);
    let text = |label: &mut Vec<u8>, text: &str| {
        label.extend((text.len() as u32).to_le_bytes());
        label.extend(text.bytes());
    };
    text(&mut label, "main");
    label.extend(2_u32.to_le_bytes());
    for word in ["osd_key", "AQDsecret==", "whoami", "12"] {
        text(&mut label, word);
    }
    let host = disk(SIZE, &[(0, &label)], &[]);
    assert_eq!(reasons(&host), ["Has BlueStore device label"]);
    let (facts, _) = host.section("ceph");
    assert_eq!(facts["osds"][0]["osd_id"], "12");
    assert_eq!((&facts["osds"][0]["type"], &facts["osds"][0]["mode"]), (&json!("block"), &json!("raw")));
    assert!(!facts.to_string().contains("secret"));
}

/// A physical volume of a group with `used` of 100 extents, as LVM lays it out.
fn volume(used: u32) -> Host {
    let text = format!(
        "vg0 {{\nid = \"VG\"\nextent_size = 8192\nphysical_volumes {{\npv0 {{\nid = \"aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaaa\"\n\
         pe_count = 100\n}}\n}}\nlogical_volumes {{\nosd-block-x {{\nid = \"LV\"\ntags = [\"ceph.osd_id=3\", \
         \"ceph.osd_fsid=f\", \"ceph.type=block\", \"ceph.cephx_lockbox_secret=hush\"]\nsegment1 {{\nextent_count = {used}\n\
         stripes = [\"pv0\", 0]\n}}\n}}\n}}\n}}\n"
    );
    let mut label = b"LABELONE".to_vec();
    label.extend(1_u64.to_le_bytes());
    label.extend([0; 4]);
    label.extend(32_u32.to_le_bytes());
    label.extend(b"LVM2 001");
    label.extend([b'a'; 32]);
    label.extend(SIZE.to_le_bytes());
    for word in [1_u64 << 20, 0, 0, 0, 4096, 1_044_480, 0, 0] {
        label.extend(word.to_le_bytes());
    }
    let mut area = vec![0; 4];
    area.extend(b" LVM2 x[5A%r0N*>");
    area.extend([0; 20]);
    area.extend(512_u64.to_le_bytes());
    area.extend((text.len() as u64).to_le_bytes());
    disk(SIZE, &[(512, &label), (4096, &area), (4608, text.as_bytes())], &[])
}

#[test]
fn volume_groups_replace_the_generic_checks() {
    let roomy = volume(50);
    let device = verdict(&roomy);
    assert_eq!(device["rejected_reasons"], json!(["LVM detected"]));
    assert_eq!((&device["available_lvm"], &device["available_raw"]), (&json!(true), &json!(false)));
    assert_eq!(device["lvs"][0]["osd_id"], "3");
    assert!(!device.to_string().contains("hush"));
    let full = reasons(&volume(95));
    assert_eq!(full, ["Insufficient space (<10 extents) on vgs", "LVM detected"]);
}

#[test]
fn a_volume_that_lvm_itself_wrote() {
    // The beginning of a physical volume of 64 MiB made by LVM 2.03: 15 extents, 7 of them in one volume of two segments.
    let image = std::fs::read(support::fixtures().join("lvm.img")).unwrap();
    let host = disk(SIZE, &[(0, &image)], &[]);
    let device = verdict(&host);
    assert_eq!(device["lvs"][0]["uuid"], "AAAAAA-AAAA-AAAA-AAAA-AAAA-AAAA-AAAAA1");
    assert_eq!(device["lvs"][0]["size"], 7 * (4 << 20));
    assert_eq!(device["rejected_reasons"], json!(["Insufficient space (<10 extents) on vgs", "LVM detected"]));
    let content = &host.section("storage").0["disks"][0]["content"];
    assert_eq!(
        (&content["type"], &content["uuid"]),
        (&json!("LVM2_member"), &json!("YpnjAw-gUyI-R6XJ-7UB5-rKWr-6zl5-tUkwbW"))
    );
}

#[test]
fn size_and_flags() {
    assert_eq!(reasons(&disk(4 << 30, &[], &[])), ["Insufficient space (<5GB)"]);
    assert_eq!(reasons(&disk(SIZE, &[], &[("removable", "1")])), ["removable"]);
    assert_eq!(reasons(&disk(SIZE, &[], &[("ro", "1")])), ["read-only"]);
}

#[test]
fn mounted_and_boot() {
    let host = disk(SIZE, &[(0, b"XFSB")], &[]);
    host.file("/live.json", json!({"locked": ["sdx"]}).to_string());
    assert_eq!(reasons(&host), ["locked", "Has a FileSystem"]);
    host.file("/proc/1/mountinfo", "30 1 8:368 / / rw - xfs /dev/sdx rw");
    assert_eq!(reasons(&host), ["locked", "Has a FileSystem", "fleet:boot chain"]);
}

#[test]
fn what_cannot_be_read_is_not_offered() {
    let host = disk(SIZE, &[], &[]);
    std::fs::remove_file(host.path("/dev/sdx")).unwrap();
    std::fs::create_dir(host.path("/dev/sdx")).unwrap();
    assert!(reasons(&host).contains(&"Failed to determine if device is BlueStore".to_owned()));
    assert_eq!(host.section("ceph").1["status"], "partial");
}
