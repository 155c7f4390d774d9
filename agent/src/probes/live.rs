//! Facts that no file holds: netlink, ioctls and system calls, behind one trait so that a recorded host can answer too.

mod kernel;
mod netlink;
mod recorded;

pub use kernel::Kernel;
pub use recorded::Recorded;

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::sys::clock::Discipline;
use crate::sys::ethtool::{Driver, LinkSettings};
use crate::sys::kvm::Kvm;
use crate::sys::scsi::Power;

/// What `uname` and `gethostname` say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Kernel release, such as `6.8.0-45-generic`.
    pub release: String,
    /// Kernel build.
    pub version: String,
    /// Architecture, such as `x86_64`.
    pub machine: String,
    /// The host's name for itself.
    pub hostname: String,
}

/// One network interface as netlink describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Link {
    /// Index in this network namespace.
    pub index: u32,
    /// Name.
    pub name: String,
    /// `IFLA_INFO_KIND`: `vlan`, `bond`, `bridge`, `veth`, …; `None` for hardware and loopback.
    pub kind: Option<String>,
    /// Hardware address, lower case with colons.
    pub address: Option<String>,
    /// The address burnt in.
    pub permanent_address: Option<String>,
    /// Largest packet, in bytes.
    pub mtu: Option<u32>,
    /// Whether the interface is set up.
    pub up: bool,
    /// Whether it has a carrier.
    pub carrier: Option<bool>,
    /// Index of the bond, bridge or switch that it belongs to.
    pub master: Option<u32>,
    /// Index of the interface below it, or of its peer.
    pub lower: Option<u32>,
    /// VLAN id of a VLAN interface.
    pub vlan: Option<u16>,
    /// Virtual functions in use.
    pub functions: Option<u32>,
    /// Further names.
    pub alternative_names: Vec<String>,
    /// How often the carrier changed since boot.
    pub carrier_changes: Option<u32>,
    /// How many want promiscuous mode.
    pub promiscuity: Option<u32>,
}

/// One address of an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Address {
    /// Index of the interface.
    pub index: u32,
    /// The address without prefix length.
    pub address: String,
    /// Prefix length.
    pub prefix: u8,
    /// `global`, `site`, `link` or `host`.
    pub scope: String,
    /// A second address of the same network, or a temporary IPv6 address.
    pub secondary: bool,
}

/// One route of the main or another table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Route {
    /// Destination network, `default` for all.
    pub destination: String,
    /// Next hops; one unless the route is a multipath route.
    pub gateways: Vec<String>,
    /// Indexes of the interfaces by which it leaves.
    pub interfaces: Vec<u32>,
    /// Priority; lower wins.
    pub metric: u32,
    /// Number of the table; 254 is `main`.
    pub table: u32,
    /// Who made it (`kernel`, `static`, `dhcp`, …).
    pub protocol: String,
    /// Preferred source address.
    pub source: Option<String>,
}

/// Room of a mounted filesystem, in bytes and inodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Space {
    /// All.
    pub total: u64,
    /// Unused.
    pub free: u64,
    /// Unused and not reserved for root.
    pub available: u64,
    /// Inodes.
    pub inodes: u64,
    /// Inodes in use.
    pub inodes_used: u64,
}

/// The live sources. Every method only reads; errors are values that degrade one fact.
pub trait Live: Send + Sync {
    /// Kernel and host name.
    ///
    /// # Errors
    /// Those of the system calls.
    fn identity(&self) -> io::Result<Identity>;
    /// All interfaces of the network namespace.
    ///
    /// # Errors
    /// Those of netlink.
    fn links(&self) -> io::Result<Vec<Link>>;
    /// All addresses.
    ///
    /// # Errors
    /// Those of netlink.
    fn addresses(&self) -> io::Result<Vec<Address>>;
    /// All unicast routes of both families, without the local table.
    ///
    /// # Errors
    /// Those of netlink.
    fn routes(&self) -> io::Result<Vec<Route>>;
    /// Driver and firmware of an interface.
    ///
    /// # Errors
    /// "Not supported" for most virtual interfaces.
    fn ethtool_driver(&self, interface: &str) -> io::Result<Driver>;
    /// Speed and modes of an interface.
    ///
    /// # Errors
    /// As above.
    fn ethtool_link(&self, interface: &str) -> io::Result<LinkSettings>;
    /// The address burnt into an interface, for kernels whose netlink does not tell it.
    ///
    /// # Errors
    /// As above.
    fn ethtool_address(&self, interface: &str) -> io::Result<Option<String>>;
    /// Room of the filesystem mounted at a place.
    ///
    /// # Errors
    /// Those of `statvfs(3)`.
    fn space(&self, place: &str) -> io::Result<Space>;
    /// The clock's discipline.
    ///
    /// # Errors
    /// Those of `adjtimex(2)`.
    fn clock(&self) -> io::Result<Discipline>;
    /// The tracking reply of the host's chrony, as it came.
    ///
    /// # Errors
    /// "Connection refused" without chrony.
    fn chrony(&self) -> io::Result<Vec<u8>>;
    /// The neighbours that lldpd knows, as its client tells them.
    ///
    /// # Errors
    /// "Not found" without lldpd.
    fn lldpd(&self) -> io::Result<Vec<u8>>;
    /// What KVM offers.
    ///
    /// # Errors
    /// "Not found" without KVM.
    fn kvm(&self) -> io::Result<Kvm>;
    /// Whether a disk would have to spin up to be read.
    ///
    /// # Errors
    /// "Permission denied" without CAP_SYS_RAWIO; "unsupported" if the device has no such state.
    fn power(&self, device: &Path, ata: bool) -> io::Result<Power>;
    /// Whether a device can be opened exclusively.
    ///
    /// # Errors
    /// Those of `open(2)`.
    fn exclusive(&self, device: &Path) -> io::Result<bool>;
    /// SMART data (512 bytes) and the disk's own forecast of an ATA disk that is awake.
    ///
    /// # Errors
    /// "Permission denied", "unsupported".
    fn ata_smart(&self, device: &Path) -> io::Result<(Vec<u8>, Option<bool>)>;
    /// A log page of a SCSI disk that is awake.
    ///
    /// # Errors
    /// "Permission denied", "unsupported".
    fn scsi_log(&self, device: &Path, page: u8) -> io::Result<Vec<u8>>;
    /// The health log of an NVMe controller.
    ///
    /// # Errors
    /// "Permission denied", "unsupported".
    fn nvme_health(&self, controller: &Path) -> io::Result<Vec<u8>>;
    /// Opens the management controller.
    ///
    /// # Errors
    /// "Not found" without one.
    fn ipmi(&self) -> io::Result<Box<dyn Bmc>>;
    /// Seconds since boot.
    fn since_boot(&self) -> u64;
}

/// A conversation with a management controller.
pub trait Bmc {
    /// One request; the answer begins with its completion code.
    ///
    /// # Errors
    /// "Timed out" and those of the device.
    fn request(&mut self, netfn: u8, command: u8, data: &[u8]) -> io::Result<Vec<u8>>;
    /// Rests so that the controller sees at most one request per second (spec/introspection.md §6.5).
    fn pause(&self);
}

/// Writes a hardware address as lower-case pairs with colons.
#[must_use]
pub fn mac_text(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(":")
}
