//! Disks of this host become OSDs by somebody else's doing (spec/hooks.md §7.4).
//!
//! Events of block devices only say that it is time to look. What there is, is read by the probe of Ceph in a process of its
//! own: a disk that hangs, hangs that.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::process::Stdio;
use std::time::Duration;

use hostler_common::hook::{Assignment, HookPoint};
use hostler_common::step::DiskPurpose;
use netlink_sys::protocols::NETLINK_KOBJECT_UEVENT;
use serde_json::Value;

use super::Context;
use crate::ours;
use crate::sys::events::Netlink;

/// Events of the kernel itself, and those that udev passes on when its rules have run.
const KERNEL: u32 = 1;
const UDEV: u32 = 2;
/// How long no event must come before the disks are read.
const SETTLE: Duration = Duration::from_secs(5);
/// How long that may be put off.
const LONGEST: Duration = Duration::from_secs(30);
/// How long the probe may take.
const PROBE: Duration = Duration::from_secs(20);

/// An OSD's part on a device: the OSD's UUID and the part's type.
type Part = (String, String);

/// What is known of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    device: String,
    serial: String,
    osd: String,
}

pub(super) fn task(_: &Assignment) -> Option<String> {
    Some(String::new())
}

pub(super) async fn run(context: Context) -> io::Result<()> {
    let group = if std::path::Path::new("/run/udev/control").exists() { UDEV } else { KERNEL };
    let socket = Netlink::open(NETLINK_KOBJECT_UEVENT, group)?;
    let mut buffer = vec![0_u8; 64 << 10];
    // What was seen once is not new when it comes back.
    let mut known: BTreeSet<Part> = look(&context).await?.into_keys().collect();
    loop {
        next_block(&socket, &mut buffer).await;
        let settled = async { while tokio::time::timeout(SETTLE, next_block(&socket, &mut buffer)).await.is_ok() {} };
        tokio::time::timeout(LONGEST, settled).await.ok();
        let found = match look(&context).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%error, "the disks cannot be read");
                continue;
            }
        };
        for (part, found) in found {
            if known.contains(&part) {
                continue;
            }
            let name = found.device.trim_start_matches("/dev/").to_owned();
            if !ours::lately(&context.places.runtime_dir, &format!("disk {name}")) {
                let values = vec![found.device, found.serial, purpose(&part.1).into(), found.osd, "ok".into()];
                context.occur(HookPoint::PostFormatDisk, values).await;
            }
            known.insert(part);
        }
    }
}

/// Waits for an event of a block device, or for lost events.
async fn next_block(socket: &Netlink, buffer: &mut [u8]) {
    loop {
        match socket.next(buffer).await {
            Ok(len) if !is_block(&buffer[..len]) => {}
            Ok(_) | Err(_) => return,
        }
    }
}

/// Whether a message is of a block device that came, went or changed. Messages of udev have a header with the place of the
/// properties before them; both kinds have properties as texts that end with NUL.
fn is_block(message: &[u8]) -> bool {
    let properties = match message.strip_prefix(b"libudev\0") {
        // Behind the name: magic number, size of the header, place of the properties, in the byte order of the machine.
        Some(rest) => {
            let place = rest.get(8..12).and_then(|bytes| bytes.try_into().ok()).map(u32::from_ne_bytes);
            place.and_then(|place| message.get(place as usize..)).unwrap_or_default()
        }
        None => message,
    };
    let has = |wanted: &[u8]| properties.split(|byte| *byte == 0).any(|text| text == wanted);
    has(b"SUBSYSTEM=block")
}

fn purpose(part: &str) -> &'static str {
    match part {
        "db" => DiskPurpose::Db.name(),
        "wal" => DiskPurpose::Wal.name(),
        _ => DiskPurpose::Osd.name(),
    }
}

/// The parts of OSDs that the disks have.
async fn look(context: &Context) -> io::Result<BTreeMap<Part, Found>> {
    let child = tokio::process::Command::new(&context.places.executable)
        .args(["probe", "--sections", "ceph"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let output = tokio::time::timeout(PROBE, child.wait_with_output()).await.map_err(|_| io::ErrorKind::TimedOut)??;
    let document: Value = serde_json::from_slice(&output.stdout)?;
    Ok(parts(&document["fleet"]["ceph"]))
}

/// The parts of OSDs in the section of the probe.
fn parts(section: &Value) -> BTreeMap<Part, Found> {
    let list = |key: &str| section[key].as_array().cloned().unwrap_or_default();
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let serials: BTreeMap<String, String> =
        list("devices").iter().map(|device| (word(&device["path"]), word(&device["device_id"]))).collect();
    let parts = list("osds").into_iter().filter_map(|osd| {
        let part = (osd["osd_fsid"].as_str()?.to_owned(), word(&osd["type"]));
        let device = word(&osd["device"]);
        let serial = serials.get(&device).cloned().unwrap_or_default();
        Some((part, Found { device, serial, osd: word(&osd["osd_id"]) }))
    });
    parts.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_of_block_devices() {
        assert!(is_block(b"add@/devices/x\0ACTION=add\0SUBSYSTEM=block\0DEVNAME=sdx\0"));
        assert!(!is_block(b"add@/devices/x\0ACTION=add\0SUBSYSTEM=net\0"));
        let mut udev = b"libudev\0".to_vec();
        for number in [0xfeed_cafe_u32.to_be(), 40, 40, 16, 0, 0, 0, 0] {
            udev.extend(number.to_ne_bytes());
        }
        udev.extend(b"ACTION=change\0SUBSYSTEM=block\0");
        assert!(is_block(&udev));
        assert!(!is_block(b"libudev\0"));
        assert!(!is_block(b""));
    }

    #[test]
    fn parts_of_osds() {
        let section = json!({"devices": [{"path": "/dev/sdb", "device_id": "MODEL_S1"}],
            "osds": [{"osd_id": "3", "osd_fsid": "f", "type": "block", "device": "/dev/sdb"},
                     {"osd_id": "3", "osd_fsid": "f", "type": "db", "device": "/dev/nvme0n1"}, {"osd_id": "4"}]});
        let found = parts(&section);
        assert_eq!(found.len(), 2);
        let block = &found[&("f".into(), "block".into())];
        assert_eq!(*block, Found { device: "/dev/sdb".into(), serial: "MODEL_S1".into(), osd: "3".into() });
        assert_eq!((purpose("block"), purpose("db"), purpose("wal")), ("osd", "db", "wal"));
    }
}
