//! Steps: changes of a host or of its Ceph cluster that agents know how to make (spec/hooks.md §7). Each is checked before it
//! begins, says what it changed, and can be asked for by operators, hooks and machines alike.

pub mod maintenance;
mod setting;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use maintenance::{CephDaemons, CephDrain, CephNoout, CephSampleRequest, Daemons, Fetch, Packages, Precheck, Reboot};
pub use setting::{CephSetting, FullRatios, RecoverySpeed, SettingFault};

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// Wipe a disk and prepare it (spec/hooks.md §7.4).
    FormatDisk(FormatDisk),
    /// Start, stop or restart a Ceph daemon and wait until the cluster agrees (spec/hooks.md §7.2).
    CephDaemon(CephDaemon),
    /// Start, stop or restart a systemd unit and wait for the end of that job (spec/hooks.md §7.2).
    Unit(UnitChange),
    /// Read the CRUSH map and its version, compiled and as JSON (spec/hooks.md §7.6).
    CrushRead,
    /// Change the CRUSH map, if it still has the version that is named (spec/hooks.md §7.6).
    Crush(CrushChange),
    /// Take a snapshot of an RBD image (spec/hooks.md §7.11).
    RbdSnapshot(RbdSnapshot),
    /// Take a snapshot of a CephFS directory or subvolume (spec/hooks.md §7.10).
    #[serde(rename = "cephfs_snapshot")]
    CephFsSnapshot(CephFsSnapshot),
    /// Replace files of the network configuration, apply, verify, roll back on failure (spec/hooks.md §7.1).
    Network(NetworkChange),
    /// Set or unset a flag of the cluster, such as `noout` (spec/hooks.md §4.2).
    CephFlag(CephFlag),
    /// Change a setting of the cluster (spec/hooks.md §4.2).
    CephSetting(CephSetting),
    /// Have the data of an OSD checked (spec/hooks.md §4.2).
    CephScrub(CephScrub),
    /// Do nothing, and say on which host (spec/maintenance.md §5.4).
    Dummy,
    /// Find out whether the host may be worked on (spec/maintenance.md §3.7).
    Precheck(Precheck),
    /// Boot anew, and succeed when the host is back with another boot id (spec/maintenance.md §3.7).
    Reboot(Reboot),
    /// Upgrade or install packages (spec/maintenance.md §5.4).
    Packages(Packages),
    /// Fetch a file from the manager and put it in its place (spec/maintenance.md §5.5).
    Fetch(Fetch),
    /// Find out which daemons of Ceph are on this host (spec/maintenance.md §8.1).
    CephHost,
    /// Read the health of the cluster (spec/maintenance.md §8.4).
    CephSample(CephSampleRequest),
    /// Ask whether daemons may stop (spec/maintenance.md §8.2).
    CephStopCheck(Daemons),
    /// Stop, start or hand over daemons of this host (spec/maintenance.md §8.6).
    CephDaemons(CephDaemons),
    /// Set or unset `noout` of a CRUSH bucket, and read it back (spec/maintenance.md §8.3).
    CephNoout(CephNoout),
    /// Move all data away from OSDs, or let them have data again (spec/maintenance.md §8.6).
    CephDrain(CephDrain),
}

impl Step {
    /// The name by which `[allow] steps` of the agent's configuration and every log line speak of it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::FormatDisk(_) => "format_disk",
            Self::CephDaemon(_) => "ceph_daemon",
            Self::Unit(_) => "unit",
            Self::CrushRead => "crush_read",
            Self::Crush(_) => "crush",
            Self::RbdSnapshot(_) => "rbd_snapshot",
            Self::CephFsSnapshot(_) => "cephfs_snapshot",
            Self::Network(_) => "network",
            Self::CephFlag(_) => "ceph_flag",
            Self::CephSetting(_) => "ceph_setting",
            Self::CephScrub(_) => "ceph_scrub",
            Self::Dummy => "dummy",
            Self::Precheck(_) => "precheck",
            Self::Reboot(_) => "reboot",
            Self::Packages(_) => "packages",
            Self::Fetch(_) => "fetch",
            Self::CephHost => "ceph_host",
            Self::CephSample(_) => "ceph_sample",
            Self::CephStopCheck(_) => "ceph_stop_check",
            Self::CephDaemons(_) => "ceph_daemons",
            Self::CephNoout(_) => "ceph_noout",
            Self::CephDrain(_) => "ceph_drain",
        }
    }

    /// Whether making it again after an unknown outcome is harmless: it only reads, or it brings about a state rather than a
    /// change.
    #[must_use]
    pub fn idempotent(&self) -> bool {
        matches!(
            self,
            Self::CrushRead
                | Self::CephFlag(_)
                | Self::Dummy
                | Self::Precheck(_)
                | Self::Fetch(_)
                | Self::CephHost
                | Self::CephSample(_)
                | Self::CephStopCheck(_)
                | Self::CephDaemons(_)
                | Self::CephNoout(_)
                | Self::CephDrain(_)
        )
    }

    /// All names, in the order of the variants.
    pub const NAMES: [&str; 22] = [
        "format_disk",
        "ceph_daemon",
        "unit",
        "crush_read",
        "crush",
        "rbd_snapshot",
        "cephfs_snapshot",
        "network",
        "ceph_flag",
        "ceph_setting",
        "ceph_scrub",
        "dummy",
        "precheck",
        "reboot",
        "packages",
        "fetch",
        "ceph_host",
        "ceph_sample",
        "ceph_stop_check",
        "ceph_daemons",
        "ceph_noout",
        "ceph_drain",
    ];
}

/// What a disk is formatted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiskPurpose {
    /// Data of an OSD.
    Osd,
    /// The database of an OSD.
    Db,
    /// The write-ahead log of an OSD.
    Wal,
    /// A file system.
    Data,
}

impl DiskPurpose {
    /// The stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Osd => "osd",
            Self::Db => "db",
            Self::Wal => "wal",
            Self::Data => "data",
        }
    }
}

/// See [`Step::FormatDisk`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormatDisk {
    /// Path below `/dev`.
    pub device: String,
    /// What for.
    pub purpose: DiskPurpose,
    /// The serial number or WWN that the disk must have; `None` means any.
    #[serde(default)]
    pub serial: Option<String>,
    /// The size that the disk must have, in bytes; `None` means any.
    #[serde(default)]
    pub size: Option<u64>,
    /// How the OSD is made: `lvm` or `raw`.
    #[serde(default)]
    pub mode: OsdMode,
    /// The device class of the OSD; `None` means what Ceph finds.
    #[serde(default)]
    pub device_class: Option<String>,
    /// For [`DiskPurpose::Data`]: `ext4` or `xfs`.
    #[serde(default)]
    pub filesystem: Option<String>,
}

/// How `ceph-volume` makes an OSD.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OsdMode {
    /// On a logical volume.
    #[default]
    Lvm,
    /// On the disk itself.
    Raw,
}

/// What is done to a daemon or unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnitAction {
    /// Start it.
    Start,
    /// Stop it.
    Stop,
    /// Stop it and start it.
    Restart,
}

impl UnitAction {
    /// The stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
        }
    }
}

/// See [`Step::CephDaemon`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CephDaemon {
    /// `mon`, `mgr`, `osd`, `mds` or `rgw`.
    pub kind: String,
    /// The daemon's id.
    pub id: String,
    /// What is done.
    pub action: UnitAction,
}

/// See [`Step::Unit`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitChange {
    /// The unit, with its suffix.
    pub unit: String,
    /// What is done.
    pub action: UnitAction,
}

/// See [`Step::Crush`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrushChange {
    /// The version that the map must have before; `None` means any.
    #[serde(default)]
    pub version: Option<u64>,
    /// What changes.
    pub edit: CrushEdit,
}

/// An edit of the CRUSH map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "edit", rename_all = "snake_case")]
pub enum CrushEdit {
    /// Move an item.
    Move {
        /// Which: an OSD such as `osd.3`, or a bucket.
        item: String,
        /// Where to, as pairs of type and name such as `rack=a`.
        location: Vec<String>,
    },
    /// Change the weight of an OSD.
    Reweight {
        /// Which, such as `osd.3`.
        item: String,
        /// The new weight as a decimal number.
        weight: String,
    },
    /// Add a bucket.
    AddBucket {
        /// Its name.
        name: String,
        /// Its type, such as `rack`.
        kind: String,
    },
    /// Give OSDs a device class.
    SetDeviceClass {
        /// The class.
        class: String,
        /// Which OSDs, such as `osd.3`.
        osds: Vec<String>,
    },
    /// Replace the whole map.
    SetMap {
        /// The compiled map, base64.
        map: String,
    },
}

/// See [`Step::RbdSnapshot`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RbdSnapshot {
    /// The pool.
    pub pool: String,
    /// The namespace; empty means none.
    #[serde(default)]
    pub namespace: String,
    /// The image.
    pub image: String,
    /// The name of the snapshot.
    pub snapshot: String,
}

/// See [`Step::CephFsSnapshot`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CephFsSnapshot {
    /// The file system.
    pub filesystem: String,
    /// The directory, from the root of the file system; empty where a subvolume is named.
    #[serde(default)]
    pub path: String,
    /// The subvolume; empty where a directory is named.
    #[serde(default)]
    pub subvolume: String,
    /// The group of the subvolume; empty means none.
    #[serde(default)]
    pub group: String,
    /// The name of the snapshot.
    pub snapshot: String,
}

/// See [`Step::Network`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkChange {
    /// The interfaces concerned, for hooks and people.
    pub interfaces: Vec<String>,
    /// Files to write or remove, below the folders of the network configuration.
    pub files: Vec<NetworkFile>,
    /// How long the host has to show that it reaches the manager afterwards, in seconds, before everything is put back.
    pub confirm_s: u32,
}

/// A file of a network change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkFile {
    /// Where.
    pub path: String,
    /// What it is to contain; `None` means that it is removed.
    pub contents: Option<String>,
}

/// See [`Step::CephFlag`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CephFlag {
    /// The flag, such as `noout`.
    pub flag: String,
    /// Whether it is to be set.
    pub set: bool,
}

/// See [`Step::CephScrub`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CephScrub {
    /// The number of the OSD.
    pub osd: u32,
    /// Whether the data themselves are read, too.
    #[serde(default)]
    pub deep: bool,
}

/// What a step leaves: its standard output is this as JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepResult {
    /// Whether anything was changed.
    pub changed: bool,
    /// How it was before, as far as the step looked.
    #[serde(default)]
    pub before: Value,
    /// How it is now.
    #[serde(default)]
    pub after: Value,
    /// What people should read.
    pub detail: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_step_has_one_name_everywhere() {
        let fields = [
            json!({"device": "/dev/x", "purpose": "data"}),
            json!({"kind": "osd", "id": "1", "action": "start"}),
            json!({"unit": "a.service", "action": "stop"}),
            json!({}),
            json!({"edit": {"edit": "add_bucket", "name": "a", "kind": "rack"}}),
            json!({"pool": "p", "image": "i", "snapshot": "s"}),
            json!({"filesystem": "f", "snapshot": "s"}),
            json!({"interfaces": [], "files": [], "confirm_s": 1}),
            json!({"flag": "noout", "set": true}),
            json!({"setting": "max_mds", "filesystem": "f", "max": 2}),
            json!({"osd": 1, "deep": true}),
            json!({}),
            json!({"free_mib": 100}),
            json!({"reason": "a new kernel", "always": true}),
            json!({"scope": "named", "names": ["a"]}),
            json!({"sha256": "00", "size": 1, "path": "/srv/a", "mode": 420}),
            json!({}),
            json!({"osds": [1]}),
            json!({"mons": ["a"]}),
            json!({"turn": "stop", "daemons": {}}),
            json!({"bucket": "a", "set": true}),
            json!({"osds": [1], "out": true}),
        ];
        assert_eq!(fields.len(), Step::NAMES.len());
        for (name, mut step) in Step::NAMES.into_iter().zip(fields) {
            step["step"] = name.into();
            let read: Step = serde_json::from_value(step).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(read.name(), name);
            assert_eq!(serde_json::to_value(&read).unwrap()["step"], name);
        }
    }
}
