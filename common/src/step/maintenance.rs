//! Steps of maintenance (spec/maintenance.md §3.7, §5.4, §8). Those that read say what they found in
//! [`StepResult::after`](super::StepResult::after), as the types here name it; they never decide.

use serde::{Deserialize, Serialize};

/// See [`Step::Precheck`](super::Step::Precheck).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Precheck {
    /// Free space that `/`, `/var` and `/boot` must have, in MiB.
    pub free_mib: u64,
    /// Whether a package manager must not be at work.
    pub packages_idle: bool,
    /// The largest offset of the clock that is accepted, in milliseconds; 0 means that nobody cares.
    pub clock_ms: u64,
    /// Whether no guest may run on it.
    pub no_guests: bool,
}

/// See [`Step::Reboot`](super::Step::Reboot). Its result's `before` and `after` are [`Boot`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reboot {
    /// Why, for the log of the host and for those who are logged in.
    pub reason: String,
    /// Also if nothing on the host asks for it.
    pub always: bool,
}

/// One boot of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot {
    /// The kernel's id of the boot.
    pub boot_id: String,
    /// The kernel's release.
    pub kernel: String,
}

/// What is done with packages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PackageScope {
    /// All that have a newer version.
    #[default]
    Upgrade,
    /// Those whose newer version mends a security problem.
    Security,
    /// Those that are named: installed, or brought to the newest version.
    Named,
}

/// See [`Step::Packages`](super::Step::Packages).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Packages {
    /// Which.
    pub scope: PackageScope,
    /// For [`PackageScope::Named`]: names, with `=version` where one is meant.
    pub names: Vec<String>,
    /// Packages that keep their version.
    pub hold: Vec<String>,
    /// Whether they are only downloaded.
    pub download_only: bool,
    /// Whether the lists of what is available are read anew before.
    pub refresh: bool,
}

/// See [`Step::Fetch`](super::Step::Fetch).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetch {
    /// SHA-256 of the file, hexadecimal: by it the manager hands it out.
    pub sha256: String,
    /// Its size in bytes.
    pub size: u64,
    /// Where it is to be put; absolute, below a folder that the host allows.
    pub path: String,
    /// Its permissions.
    pub mode: u32,
}

/// Daemons of Ceph on one host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Daemons {
    /// OSDs, those that are down included.
    pub osds: Vec<i64>,
    /// Monitors.
    pub mons: Vec<String>,
    /// Managers.
    pub mgrs: Vec<String>,
    /// Metadata servers.
    pub mdss: Vec<String>,
    /// Object gateways.
    pub rgws: Vec<String>,
}

impl Daemons {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.osds.is_empty()
            && self.mons.is_empty()
            && self.mgrs.is_empty()
            && self.mdss.is_empty()
            && self.rgws.is_empty()
    }
}

/// What [`Step::CephHost`](super::Step::CephHost) finds (§8.1, §8.5).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CephHost {
    /// The cluster.
    pub fsid: String,
    /// What runs here, by the name of the operating system and by CRUSH together.
    pub daemons: Daemons,
    /// The CRUSH bucket of this host; `None` where it has no OSDs.
    pub bucket: Option<String>,
    /// Why the two views of [`CephHost::daemons`] differ; `None` if they do not.
    pub mismatch: Option<String>,
    /// Where it is in CRUSH, by type: `{"rack": "a", "root": "default"}`.
    pub location: std::collections::BTreeMap<String, String>,
    /// The coarsest type that the rule of every pool with data separates by: `host`, `rack`; `None` if there is no pool.
    pub domain: Option<String>,
    /// Names of pools that block as soon as one failure domain is away (`size - 1 < min_size`).
    pub tight_pools: Vec<String>,
    /// Flags that the bucket has already.
    pub flags: Vec<String>,
    /// Whether cephadm manages it.
    pub cephadm: bool,
    /// Whether an upgrade by the orchestrator is at work.
    pub upgrading: bool,
}

/// See [`Step::CephSample`](super::Step::CephSample).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CephSampleRequest {
    /// OSDs of the host: whether they are up and in is told separately.
    pub osds: Vec<i64>,
}

/// What [`Step::CephSample`](super::Step::CephSample) finds: one reading of `ceph status`, `osd dump` and health (§8.4), as it
/// is. Whether it is good enough is decided by the manager.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CephSample {
    /// `HEALTH_OK`, `HEALTH_WARN` or `HEALTH_ERR`.
    pub health: String,
    /// Checks: code, severity, message, whether muted.
    pub checks: Vec<CephCheck>,
    /// Counts of placement groups by state.
    pub pgs: std::collections::BTreeMap<String, u64>,
    /// All placement groups.
    pub num_pgs: u64,
    /// Shares of objects, in millionths; 0 where the cluster says nothing.
    pub degraded_ppm: u64,
    /// Likewise.
    pub misplaced_ppm: u64,
    /// Likewise.
    pub inactive_ppm: u64,
    /// Likewise.
    pub unknown_ppm: u64,
    /// OSDs in all, up, in.
    pub num_osds: u64,
    /// Likewise.
    pub num_up_osds: u64,
    /// Likewise.
    pub num_in_osds: u64,
    /// Of the OSDs that were asked for: those that are not up.
    pub down: Vec<i64>,
    /// Of the OSDs that were asked for: those that are not in.
    pub out: Vec<i64>,
    /// All OSDs of the cluster that are down or out.
    pub all_down_or_out: Vec<i64>,
    /// Monitors, and those of them in the quorum.
    pub mons: Vec<String>,
    /// Likewise.
    pub quorum: Vec<String>,
    /// Whether a manager daemon is there.
    pub mgr_available: bool,
    /// Which.
    pub mgr_active: String,
    /// Those that wait.
    pub mgr_standbys: Vec<String>,
    /// Flags of CRUSH buckets: `{"ceph-a": ["noout"]}`.
    pub node_flags: std::collections::BTreeMap<String, Vec<String>>,
    /// Flags of the cluster.
    pub flags: Vec<String>,
    /// Recovery in bytes per second.
    pub recovering: u64,
    /// Times of crashes that nobody has looked at, microseconds since 1970.
    pub crashes: Vec<i64>,
}

/// A health check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CephCheck {
    /// `OSD_DOWN`.
    pub code: String,
    /// `HEALTH_WARN` or `HEALTH_ERR`.
    pub severity: String,
    /// One line for people.
    pub message: String,
    /// Lines of its detail.
    pub detail: Vec<String>,
    /// Whether an operator silenced it.
    pub muted: bool,
}

/// What [`Step::CephStopCheck`](super::Step::CephStopCheck) finds (§8.2). The step succeeds when all questions were answered,
/// whatever the answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CephStopAnswer {
    /// Whether all of it may stop.
    pub ok: bool,
    /// What speaks against it, a sentence each.
    pub against: Vec<String>,
    /// OSDs that could stop together with these.
    pub with: Vec<i64>,
}

/// What is done with all daemons of a host (§8.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CephTurn {
    /// Stop: OSDs first, then gateways and metadata servers, managers, monitors last; each OSD is asked for once more before.
    Stop,
    /// Start: monitors first.
    Start,
    /// Make standbys take over from the manager and the metadata servers of this host.
    HandOver,
}

/// See [`Step::CephDaemons`](super::Step::CephDaemons).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CephDaemons {
    /// What is done.
    pub turn: CephTurn,
    /// With which daemons.
    pub daemons: Daemons,
}

/// See [`Step::CephNoout`](super::Step::CephNoout).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CephNoout {
    /// The CRUSH bucket.
    pub bucket: String,
    /// Whether it is to be set.
    pub set: bool,
}

/// See [`Step::CephDrain`](super::Step::CephDrain).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CephDrain {
    /// Which OSDs.
    pub osds: Vec<i64>,
    /// Mark them out, or in again.
    pub out: bool,
}

/// What [`Step::CephDrain`](super::Step::CephDrain) finds after it: it is asked again until `left` is empty (§8.6).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CephDrained {
    /// OSDs that still have data, or are not safe to destroy.
    pub left: Vec<i64>,
    /// Placement groups on them.
    pub pgs: u64,
    /// Why it cannot work: capacity or failure domains do not suffice. Nothing was changed then.
    pub against: Option<String>,
}
