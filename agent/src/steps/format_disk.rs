//! Wipes a disk and prepares it (spec/hooks.md §7.4).

use std::time::Duration;

use hostler_common::step::{DiskPurpose, FormatDisk, OsdMode, StepResult};
use serde_json::{Value, json};

use super::disk::{Disk, check_free, check_identity, find};
use super::{Context, Failure, check_name, must};

/// How long one program may take: wiping a large disk that knows no discard is slow.
const LIMIT: Duration = Duration::from_secs(1800);
/// File systems that data may get.
const FILESYSTEMS: &[&str] = &["ext4", "xfs"];

/// Does it.
///
/// # Errors
/// The disk is not the planned one, or in use; a program failed.
pub fn run(step: &FormatDisk, context: &Context) -> Result<StepResult, Failure> {
    let filesystem = step.filesystem.as_deref().unwrap_or("xfs");
    if step.purpose == DiskPurpose::Data && !FILESYSTEMS.contains(&filesystem) {
        return Err(Failure::Refused(format!("{filesystem:?} is not one of {}", FILESYSTEMS.join(", "))));
    }
    if let Some(class) = &step.device_class {
        check_name("device class", class)?;
    }
    let disk = find(&step.device)?;
    check_identity(&disk, step.size, step.serial.as_deref())?;
    check_free(&disk)?;
    let device = disk.path.display().to_string();
    let _mark = context.mark(&format!("disk {}", disk.name));
    let osd = match step.purpose {
        DiskPurpose::Data => {
            must("wipefs", &["--all", "--", &device], LIMIT)?;
            make_filesystem(filesystem, &device)?;
            Value::Null
        }
        // What holds a database is made by `ceph-volume` when the OSD is: until then it is an empty disk.
        DiskPurpose::Db | DiskPurpose::Wal => {
            zap(step.mode, &device)?;
            Value::Null
        }
        DiskPurpose::Osd => {
            zap(step.mode, &device)?;
            prepare(step, &device)?;
            osd_on(step.mode, &disk)?
        }
    };
    let after = json!({"device": device, "stable": disk.stable, "serials": disk.serials, "size": disk.size,
        "purpose": step.purpose.name(), "osd": osd});
    let detail = match osd["osd_id"].as_i64() {
        Some(id) => format!("{device} is OSD {id}"),
        None => format!("{device} is ready for {}", step.purpose.name()),
    };
    let before = json!({"device": step.device, "size": disk.size, "serials": disk.serials});
    Ok(StepResult { changed: true, before, after, detail })
}

fn make_filesystem(filesystem: &str, device: &str) -> Result<(), Failure> {
    match filesystem {
        "ext4" => must("mkfs.ext4", &["-q", "-F", device], LIMIT),
        _ => must("mkfs.xfs", &["-q", "-f", device], LIMIT),
    }
    .map(drop)
}

fn zap(mode: OsdMode, device: &str) -> Result<(), Failure> {
    match mode {
        OsdMode::Lvm => must("ceph-volume", &["lvm", "zap", "--destroy", device], LIMIT),
        // Despite its name it is right for these, too.
        OsdMode::Raw => must("ceph-volume", &["lvm", "zap", device], LIMIT),
    }
    .map(drop)
}

fn name(mode: OsdMode) -> &'static str {
    match mode {
        OsdMode::Lvm => "lvm",
        OsdMode::Raw => "raw",
    }
}

fn prepare(step: &FormatDisk, device: &str) -> Result<(), Failure> {
    let mut words = vec![name(step.mode), "prepare", "--bluestore", "--data", device];
    if let Some(class) = &step.device_class {
        words.extend(["--crush-device-class", class]);
    }
    must("ceph-volume", &words, LIMIT).map(drop)
}

/// The OSD that a disk became.
fn osd_on(mode: OsdMode, disk: &Disk) -> Result<Value, Failure> {
    let ended = must("ceph-volume", &[name(mode), "list", "--format", "json"], LIMIT)?;
    let list: Value = serde_json::from_slice(&ended.output).map_err(Failure::broken)?;
    let device = disk.path.display().to_string();
    let found = match mode {
        OsdMode::Lvm => lvm_osd(&list, &device),
        OsdMode::Raw => raw_osd(&list, &device),
    };
    found.ok_or_else(|| Failure::Broken(format!("{device} was prepared, and no OSD is on it")))
}

/// In the answer to `ceph-volume lvm list`, which is keyed by the number of the OSD.
fn lvm_osd(list: &Value, device: &str) -> Option<Value> {
    let entries = list
        .as_object()?
        .iter()
        .flat_map(|(id, parts)| parts.as_array().into_iter().flatten().map(move |part| (id, part)));
    let (id, part) = entries
        .into_iter()
        .find(|(_, part)| part["devices"].as_array().is_some_and(|devices| devices.iter().any(|on| on == device)))?;
    let id: i64 = id.parse().ok()?;
    let tags = &part["tags"];
    Some(json!({"osd_id": id, "osd_fsid": tags["ceph.osd_fsid"], "cluster_fsid": tags["ceph.cluster_fsid"]}))
}

/// In the answer to `ceph-volume raw list`, which is keyed by the UUID of the OSD.
fn raw_osd(list: &Value, device: &str) -> Option<Value> {
    let part = list.as_object()?.values().find(|part| part["device"] == device)?;
    Some(json!({"osd_id": part["osd_id"], "osd_fsid": part["osd_uuid"], "cluster_fsid": part["ceph_fsid"]}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_osd_of_a_disk() {
        let lvm = json!({"4": [{"type": "block", "devices": ["/dev/sdb"],
            "tags": {"ceph.osd_fsid": "f", "ceph.cluster_fsid": "c"}}], "5": [{"devices": ["/dev/sdc"]}]});
        assert_eq!(lvm_osd(&lvm, "/dev/sdb").unwrap()["osd_id"], 4);
        assert_eq!(lvm_osd(&lvm, "/dev/sdd"), None);
        let raw =
            json!({"f": {"osd_uuid": "f", "osd_id": 7, "ceph_fsid": "c", "device": "/dev/zram1", "type": "bluestore"}});
        assert_eq!(raw_osd(&raw, "/dev/zram1").unwrap(), json!({"osd_id": 7, "osd_fsid": "f", "cluster_fsid": "c"}));
    }
}
