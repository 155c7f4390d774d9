//! Whether a device may become an OSD: the rules and texts of ceph-volume (spec/introspection.md §6.7), as a pure function.

use serde::Serialize;

const SIZE_MIN: u64 = 5_368_709_120;
const EXTENTS_MIN: u64 = 10;

/// Everything the rules look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidate {
    /// `disk`, `mpath`, `lvm`, `part`, … as `lsblk` names it.
    pub kind: String,
    /// Size in bytes.
    pub size: u64,
    /// Whether its medium can be taken out.
    pub removable: bool,
    /// Whether it is write protected.
    pub read_only: bool,
    /// Whether somebody holds it: an exclusive open fails.
    pub locked: bool,
    /// Whether it belongs to the retired ceph-disk.
    pub ceph_disk: bool,
    /// Whether it begins with a BlueStore label; `None` if that could not be read.
    pub bluestore: Option<bool>,
    /// The same of the disk that a partition lies on; the outer `None` for whole disks.
    pub parent_bluestore: Option<Option<bool>>,
    /// Whether it has a GPT.
    pub gpt: bool,
    /// Whether it has partitions.
    pub partitions: bool,
    /// Whether a filesystem or another owner's superblock is on it.
    pub filesystem: bool,
    /// Whether it is an LVM physical volume.
    pub physical_volume: bool,
    /// Free extents of each volume group on it.
    pub free_extents: Vec<u64>,
    /// Reasons of our own (§6.7), without their prefix `fleet:`.
    pub own: Vec<String>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Both of the following.
    pub available: bool,
    /// Whether an OSD on LVM may be made of it.
    pub available_lvm: bool,
    /// Whether an OSD on the bare device may be made of it.
    pub available_raw: bool,
    /// Why not; empty exactly if `available`.
    pub rejected_reasons: Vec<String>,
}

/// Judges a device.
#[must_use]
pub fn verdict(candidate: &Candidate) -> Verdict {
    let own: Vec<String> = candidate.own.iter().map(|reason| format!("fleet:{reason}")).collect();
    let generic: Vec<String> = generic(candidate).into_iter().map(str::to_owned).collect();
    let mut lvm = if candidate.free_extents.is_empty() {
        generic.clone()
    } else if candidate.free_extents.iter().any(|free| *free > EXTENTS_MIN) {
        Vec::new()
    } else {
        vec!["Insufficient space (<10 extents) on vgs".to_owned()]
    };
    let mut raw = generic;
    if candidate.physical_volume {
        raw.push("LVM detected".to_owned());
    }
    lvm.extend(own.iter().cloned());
    raw.extend(own);
    let (available_lvm, available_raw) = (lvm.is_empty(), raw.is_empty());
    let mut rejected_reasons = lvm;
    for reason in raw {
        if !rejected_reasons.contains(&reason) {
            rejected_reasons.push(reason);
        }
    }
    Verdict { available: available_lvm && available_raw, available_lvm, available_raw, rejected_reasons }
}

fn generic(candidate: &Candidate) -> Vec<&'static str> {
    let acceptable = matches!(candidate.kind.as_str(), "disk" | "device" | "mpath" | "lvm" | "part");
    [
        (candidate.removable, "removable"),
        (candidate.read_only, "read-only"),
        (candidate.locked, "locked"),
        (candidate.size < SIZE_MIN, "Insufficient space (<5GB)"),
        (!acceptable, "Device type is not acceptable. It should be raw device or partition"),
        (candidate.ceph_disk, "Used by ceph-disk"),
        (candidate.bluestore == Some(true), "Has BlueStore device label"),
        (candidate.bluestore.is_none(), "Failed to determine if device is BlueStore"),
        (candidate.parent_bluestore == Some(Some(true)), "Parent has BlueStore device label"),
        (candidate.parent_bluestore == Some(None), "Failed to determine if parent device is BlueStore"),
        (candidate.gpt, "Has GPT headers"),
        (candidate.partitions, "Has partitions"),
        (candidate.filesystem, "Has a FileSystem"),
    ]
    .into_iter()
    .filter_map(|(applies, reason)| applies.then_some(reason))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> Candidate {
        Candidate { kind: "disk".into(), size: 1 << 40, bluestore: Some(false), ..Candidate::default() }
    }

    #[test]
    fn an_empty_disk_is_available() {
        let verdict = verdict(&empty());
        assert!(verdict.available && verdict.rejected_reasons.is_empty());
    }

    #[test]
    fn a_group_replaces_the_generic_checks_for_lvm_only() {
        let mut disk = Candidate { physical_volume: true, locked: true, free_extents: vec![11], ..empty() };
        let roomy = verdict(&disk);
        assert!(roomy.available_lvm && !roomy.available_raw && !roomy.available);
        assert_eq!(roomy.rejected_reasons, ["locked", "LVM detected"]);
        disk.free_extents = vec![10];
        assert!(verdict(&disk).rejected_reasons.contains(&"Insufficient space (<10 extents) on vgs".to_owned()));
    }

    #[test]
    fn what_cannot_be_read_counts_as_used() {
        let disk = Candidate { bluestore: None, ..empty() };
        assert_eq!(verdict(&disk).rejected_reasons, ["Failed to determine if device is BlueStore"]);
    }

    #[test]
    fn own_reasons_carry_their_prefix() {
        let disk = Candidate { own: vec!["multipath member".into()], ..empty() };
        assert_eq!(verdict(&disk).rejected_reasons, ["fleet:multipath member"]);
    }
}
