//! What is checked of a disk before anything is written to it (spec/hooks.md §7.4).

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use super::Failure;
use crate::sys;

/// A block device that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Its path, without links.
    pub path: PathBuf,
    /// Its name below `/sys/class/block`.
    pub name: String,
    /// Its size, in bytes.
    pub size: u64,
    /// Its serial numbers and WWNs, as various places tell them.
    pub serials: Vec<String>,
    /// A name of it that stays, below `/dev/disk/by-id`; its path where there is none.
    pub stable: PathBuf,
}

fn refused<T>(text: String) -> Result<T, Failure> {
    Err(Failure::Refused(text))
}

/// Finds a block device.
///
/// # Errors
/// There is no such device, or it is none that holds data.
pub fn find(device: &str) -> Result<Disk, Failure> {
    if !device.starts_with("/dev/") {
        return refused(format!("{device:?} is not below /dev"));
    }
    let path = fs::canonicalize(device).map_err(|error| Failure::Refused(format!("{device}: {error}")))?;
    let kind = fs::metadata(&path).map_err(Failure::refused)?.file_type();
    if !kind.is_block_device() || !path.starts_with("/dev") {
        return refused(format!("{device} is not a block device"));
    }
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    // Device mapper has names of its own below /dev/mapper; the kernel's name is that of sysfs.
    let entry = Path::new("/sys/class/block").join(&name);
    let word = |file: &str| fs::read_to_string(entry.join(file)).ok().map(|text| text.trim().to_owned());
    let Some(sectors) = word("size").and_then(|text| text.parse::<u64>().ok()) else {
        return refused(format!("{device} is unknown to the kernel"));
    };
    if word("ro").as_deref() == Some("1") {
        return refused(format!("{device} is read-only"));
    }
    let stable = stable_name(&path).unwrap_or_else(|| path.clone());
    Ok(Disk { serials: serials(&entry), size: sectors.saturating_mul(512), path, name, stable })
}

/// A name below `/dev/disk/by-id` that leads to a device.
fn stable_name(path: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir("/dev/disk/by-id").ok()?.flatten();
    entries.map(|entry| entry.path()).filter(|link| fs::canonicalize(link).is_ok_and(|target| target == path)).min()
}

/// What sysfs and udev say of serial numbers and WWNs.
fn serials(entry: &Path) -> Vec<String> {
    let word = |file: &str| fs::read_to_string(entry.join(file)).ok();
    let mut found: Vec<String> =
        ["serial", "device/serial", "wwid", "device/wwid"].iter().filter_map(|file| word(file)).collect();
    let udev = word("dev").and_then(|dev| fs::read_to_string(format!("/run/udev/data/b{}", dev.trim())).ok());
    for line in udev.iter().flat_map(|text| text.lines()) {
        let Some((key, value)) = line.strip_prefix("E:").and_then(|line| line.split_once('=')) else { continue };
        if key.starts_with("ID_SERIAL") || key.starts_with("ID_WWN") || key == "ID_SCSI_SERIAL" {
            found.push(value.to_owned());
        }
    }
    let found: BTreeSet<String> = found.iter().map(|text| text.trim().to_owned()).collect();
    found.into_iter().filter(|text| !text.is_empty()).collect()
}

/// Whether a device is the one that was planned.
///
/// # Errors
/// Its size or serial number differs.
pub fn check_identity(disk: &Disk, size: Option<u64>, serial: Option<&str>) -> Result<(), Failure> {
    if let Some(size) = size.filter(|size| *size != disk.size) {
        return refused(format!("{} has {} bytes and not {size}", disk.path.display(), disk.size));
    }
    match serial {
        Some(serial) if !disk.serials.iter().any(|known| known == serial.trim()) => refused(format!(
            "{} has not the serial number {serial:?} (it has {})",
            disk.path.display(),
            if disk.serials.is_empty() { "none".to_owned() } else { disk.serials.join(", ") }
        )),
        _ => Ok(()),
    }
}

/// Whether nothing uses a device or a part of it.
///
/// # Errors
/// It is mounted, swap, held by a map or array, or open in a process, such as an OSD that runs.
pub fn check_free(disk: &Disk) -> Result<(), Failure> {
    let mut names = vec![disk.name.clone()];
    names.extend(parts(&disk.name));
    let mounts = fs::read_to_string("/proc/self/mountinfo").map_err(Failure::refused)?;
    let host_mounts = fs::read_to_string("/proc/1/mountinfo").unwrap_or_default();
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    for name in &names {
        let entry = Path::new("/sys/class/block").join(name);
        let dev = fs::read_to_string(entry.join("dev")).unwrap_or_default().trim().to_owned();
        if let Some(place) = mount_of(&mounts, &dev).or_else(|| mount_of(&host_mounts, &dev)) {
            return refused(format!("/dev/{name} is mounted at {place}"));
        }
        if swaps.lines().any(|line| line.split_whitespace().next() == Some(&format!("/dev/{name}"))) {
            return refused(format!("/dev/{name} is swap"));
        }
        let holders: Vec<String> = fs::read_dir(entry.join("holders"))
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|holder| holder.file_name().into_string().ok())
            .collect();
        if !holders.is_empty() {
            return refused(format!("/dev/{name} is held by {}", holders.join(", ")));
        }
    }
    let numbers: BTreeSet<u64> = names
        .iter()
        .filter_map(|name| fs::metadata(Path::new("/dev").join(name)).ok())
        .map(|metadata| metadata.rdev())
        .collect();
    if let Some(user) = user_of(&numbers) {
        return refused(format!("{} is in use by {user}", disk.path.display()));
    }
    match sys::exclusive(&disk.path) {
        Ok(true) => Ok(()),
        Ok(false) => refused(format!("{} is in use", disk.path.display())),
        Err(error) => refused(format!("{}: {error}", disk.path.display())),
    }
}

/// The partitions of a disk.
fn parts(name: &str) -> Vec<String> {
    let entry = Path::new("/sys/class/block").join(name);
    let children = fs::read_dir(&entry).into_iter().flatten().flatten();
    let parts = children.filter(|child| child.path().join("partition").exists());
    parts.filter_map(|child| child.file_name().into_string().ok()).collect()
}

/// Where the device of that number is mounted.
fn mount_of(table: &str, dev: &str) -> Option<String> {
    let mut lines = table.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let line = lines.find(|fields| !dev.is_empty() && fields.get(2) == Some(&dev))?;
    line.get(4).map(|place| (*place).to_owned())
}

/// The first process that has one of these devices open.
fn user_of(numbers: &BTreeSet<u64>) -> Option<String> {
    let own = std::process::id().to_string();
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = process.file_name().into_string().ok().filter(|name| name.parse::<u32>().is_ok()) else {
            continue;
        };
        if pid != own && has_open(&process.path(), numbers).unwrap_or(false) {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("process {pid} ({})", name.trim()));
        }
    }
    None
}

fn has_open(process: &Path, numbers: &BTreeSet<u64>) -> io::Result<bool> {
    for open in fs::read_dir(process.join("fd"))?.flatten() {
        // Follows the link to what is open; what has gone meanwhile is not in use.
        let Ok(metadata) = fs::metadata(open.path()) else { continue };
        if metadata.file_type().is_block_device() && numbers.contains(&metadata.rdev()) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_disk_is_refused() {
        for device in ["/etc/passwd", "/dev/null", "/dev/no-such-disk", "/dev/../etc/passwd", "sda"] {
            assert!(matches!(find(device), Err(Failure::Refused(_))), "{device}");
        }
    }

    #[test]
    fn the_planned_disk_or_none() {
        let disk = Disk {
            path: "/dev/sdx".into(),
            name: "sdx".into(),
            size: 1000,
            serials: vec!["S1".into(), "0x5000".into()],
            stable: "/dev/sdx".into(),
        };
        assert_eq!(check_identity(&disk, None, None), Ok(()));
        assert_eq!(check_identity(&disk, Some(1000), Some("0x5000")), Ok(()));
        assert!(check_identity(&disk, Some(1001), None).is_err());
        assert!(check_identity(&disk, None, Some("S")).is_err());
    }

    #[test]
    fn mounts_by_number() {
        let table = "21 1 8:1 / / rw - ext4 /dev/sda1 rw\n22 1 8:17 / /data rw - xfs /dev/sdb1 rw";
        assert_eq!(mount_of(table, "8:17").as_deref(), Some("/data"));
        assert_eq!(mount_of(table, "8:2"), None);
        assert_eq!(mount_of("a b", ""), None);
    }
}
