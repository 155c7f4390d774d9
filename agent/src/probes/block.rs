//! Block devices as sysfs shows them: what they are, what they are called, what holds them.
//!
//! Only sysfs and the udev database are read here, so that a sleeping disk stays asleep.

use std::collections::{BTreeMap, BTreeSet};

use super::host::HostRoot;
use super::udev;

/// What a block device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    /// A physical or virtual disk.
    Disk,
    /// A device-mapper multipath map.
    Mpath,
    /// A software array.
    Md,
    /// A logical volume.
    Lvm,
    /// An encrypted mapping.
    Crypt,
    /// Any other device-mapper device.
    Dm,
    /// A cached device.
    Bcache,
    /// Persistent memory.
    Pmem,
    /// A boot area of an eMMC.
    MmcBoot,
    /// A mapped RADOS image.
    Rbd,
    /// A network block device.
    Nbd,
    /// A replicated device.
    Drbd,
    /// A ZFS volume.
    Zvol,
    /// A file as device.
    Loop,
    /// Memory as device.
    Ram,
    /// An optical drive.
    Rom,
    /// A floppy drive.
    Floppy,
}

/// One whole device.
#[derive(Clone, Debug)]
pub(super) struct Block {
    /// Kernel name.
    pub name: String,
    /// `major:minor`.
    pub devno: String,
    /// What it is.
    pub kind: Kind,
    /// Size in bytes.
    pub size: u64,
    /// Whether it spins.
    pub rotational: bool,
    /// Whether its medium can be taken out.
    pub removable: bool,
    /// Whether it is write protected.
    pub read_only: bool,
    /// A path of a native NVMe multipath device, which nobody opens.
    pub hidden: bool,
    /// Devices on top of it.
    pub holders: Vec<String>,
    /// Devices below it.
    pub slaves: Vec<String>,
    /// Device-mapper identity.
    pub dm_uuid: Option<String>,
    /// Device-mapper name.
    pub dm_name: Option<String>,
    /// Its partitions.
    pub partitions: Vec<Partition>,
    /// The udev database's entry.
    pub udev: BTreeMap<String, String>,
}

/// One partition.
#[derive(Clone, Debug)]
pub(super) struct Partition {
    /// Kernel name.
    pub name: String,
    /// `major:minor`.
    pub devno: String,
    /// Number in its table.
    pub number: u32,
    /// Size in bytes.
    pub size: u64,
    /// Whether it is write protected.
    pub read_only: bool,
    /// Devices on top of it.
    pub holders: Vec<String>,
    /// The udev database's entry.
    pub udev: BTreeMap<String, String>,
}

impl Block {
    /// Reads one device.
    pub(super) fn read(host: &HostRoot, name: &str) -> Self {
        let base = format!("/sys/block/{name}");
        let word = |file: &str| host.word(&format!("{base}/{file}"));
        let devno = word("dev").unwrap_or_default();
        let dm_uuid = word("dm/uuid");
        let partitions = host
            .list(&base)
            .into_iter()
            .filter(|entry| entry.starts_with(name) && host.exists(&format!("{base}/{entry}/partition")))
            .map(|entry| Partition::read(host, &base, entry))
            .collect();
        Self {
            kind: kind(name, dm_uuid.as_deref()),
            size: host.number::<u64>(&format!("{base}/size")).unwrap_or(0).saturating_mul(512),
            rotational: host.flag(&format!("{base}/queue/rotational")).unwrap_or(false),
            removable: host.flag(&format!("{base}/removable")).unwrap_or(false),
            read_only: host.flag(&format!("{base}/ro")).unwrap_or(false),
            hidden: host.flag(&format!("{base}/hidden")).unwrap_or(false),
            holders: host.list(&format!("{base}/holders")),
            slaves: host.list(&format!("{base}/slaves")),
            dm_name: word("dm/name"),
            udev: udev::block(host, &devno),
            name: name.to_owned(),
            partitions,
            devno,
            dm_uuid,
        }
    }

    /// Where its device node is.
    pub(super) fn path(&self) -> String {
        format!("/dev/{}", self.name.replace('!', "/"))
    }

    /// Whether the upstream agent's list of disks has it (spec/introspection.md §4.2, §4.4), given the names of all
    /// multipath maps.
    pub(super) fn listed(&self, maps: &BTreeSet<String>) -> bool {
        let kind = matches!(self.kind, Kind::Disk | Kind::Mpath | Kind::Md | Kind::Bcache | Kind::Pmem | Kind::MmcBoot);
        kind && self.size > 0 && !self.hidden && !self.in_multipath(maps)
    }

    /// Whether it is a path of a multipath map.
    pub(super) fn in_multipath(&self, maps: &BTreeSet<String>) -> bool {
        self.holders.iter().any(|holder| maps.contains(holder))
    }
}

impl Partition {
    fn read(host: &HostRoot, parent: &str, name: String) -> Self {
        let base = format!("{parent}/{name}");
        let devno = host.word(&format!("{base}/dev")).unwrap_or_default();
        Self {
            number: host.number(&format!("{base}/partition")).unwrap_or(0),
            size: host.number::<u64>(&format!("{base}/size")).unwrap_or(0).saturating_mul(512),
            read_only: host.flag(&format!("{base}/ro")).unwrap_or(false),
            holders: host.list(&format!("{base}/holders")),
            udev: udev::block(host, &devno),
            name,
            devno,
        }
    }
}

/// All names under `/sys/block`.
pub(super) fn names(host: &HostRoot) -> Vec<String> {
    host.list("/sys/block")
}

/// Reads all devices side by side; those that did not answer come back by name.
pub(super) fn all(host: &HostRoot) -> (Vec<Block>, Vec<String>) {
    let names = names(host);
    let shared = host.clone();
    let read = super::run::each(names.clone(), super::DEADLINE, super::DEVICES_DEADLINE, move |name: &String| {
        Block::read(&shared, name)
    });
    let mut late = Vec::new();
    let mut found = Vec::new();
    for (name, block) in names.into_iter().zip(read) {
        match block {
            Some(block) => found.push(block),
            None => late.push(name),
        }
    }
    (found, late)
}

/// Names of all multipath maps.
pub(super) fn maps(blocks: &[Block]) -> BTreeSet<String> {
    blocks.iter().filter(|block| block.kind == Kind::Mpath).map(|block| block.name.clone()).collect()
}

fn kind(name: &str, dm_uuid: Option<&str>) -> Kind {
    let numbered =
        |prefix: &str| name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    if name.starts_with("dm-") {
        return match dm_uuid.unwrap_or_default() {
            uuid if uuid.starts_with("mpath-") => Kind::Mpath,
            uuid if uuid.starts_with("LVM-") => Kind::Lvm,
            uuid if uuid.starts_with("CRYPT-") => Kind::Crypt,
            _ => Kind::Dm,
        };
    }
    if name.starts_with("mmcblk") && (name.contains("boot") || name.contains("rpmb")) {
        return Kind::MmcBoot;
    }
    for (prefix, kind) in [
        ("md", Kind::Md),
        ("bcache", Kind::Bcache),
        ("pmem", Kind::Pmem),
        ("rbd", Kind::Rbd),
        ("nbd", Kind::Nbd),
        ("drbd", Kind::Drbd),
        ("zd", Kind::Zvol),
        ("loop", Kind::Loop),
        ("ram", Kind::Ram),
        ("zram", Kind::Ram),
        ("sr", Kind::Rom),
        ("fd", Kind::Floppy),
    ] {
        if numbered(prefix) || (prefix == "md" && name.starts_with("md_")) {
            return kind;
        }
    }
    Kind::Disk
}

/// Who a disk is: what stays the same when it moves to another port.
#[derive(Clone, Debug, Default)]
pub(super) struct Identity {
    pub model: Option<String>,
    pub vendor: Option<String>,
    pub revision: Option<String>,
    pub serial: Option<String>,
    /// Every serial number that some source gave, as their preference has changed over time.
    pub serials: Vec<String>,
    pub wwid: Option<String>,
    pub wwn: Option<String>,
    pub wwn_with_extension: Option<String>,
    pub wwn_vendor_extension: Option<String>,
    pub hctl: Option<String>,
    pub transport: Option<String>,
}

/// Reads who a disk is. A multipath map answers as its first path.
pub(super) fn identity(host: &HostRoot, block: &Block) -> Identity {
    let source = if block.kind == Kind::Mpath { block.slaves.first().unwrap_or(&block.name) } else { &block.name };
    let base = format!("/sys/block/{source}");
    let word = |file: &str| host.word(&format!("{base}/{file}"));
    let property = |key: &str| block.udev.get(key).filter(|value| !value.is_empty()).cloned();
    let wwid = word("wwid").or_else(|| word("device/wwid"));
    let digits = wwid.as_deref().and_then(|wwid| wwid.strip_prefix("naa."));
    let cut = |range: std::ops::Range<usize>| digits.and_then(|d| d.get(range)).map(|d| format!("0x{d}"));
    let wwn = match wwid.as_deref() {
        Some(wwid) if wwid.starts_with("eui.") || wwid.starts_with("uuid.") => Some(wwid.to_owned()),
        _ => cut(0..16),
    };
    let extended = digits.is_some_and(|d| d.len() == 32);
    let vpd = host.bytes(&format!("{base}/device/vpd_pg80"), 256).ok();
    let vpd = vpd.and_then(|page| Some(String::from_utf8_lossy(page.get(4..)?).trim_matches(['\0', ' ']).to_owned()));
    let mut serials: Vec<String> =
        [vpd, word("device/serial"), word("serial"), property("ID_SERIAL_SHORT"), property("ID_SERIAL")]
            .into_iter()
            .flatten()
            .filter(|serial| !serial.is_empty())
            .collect();
    let mut seen = BTreeSet::new();
    serials.retain(|serial| seen.insert(serial.clone()));
    Identity {
        model: word("device/model")
            .or_else(|| word("device/name").filter(|_| source.starts_with("mmcblk")))
            .or_else(|| property("ID_MODEL_ENC").map(|text| udev::unescape(&text).trim().to_owned())),
        vendor: word("device/vendor"),
        revision: word("device/firmware_rev").or_else(|| word("device/rev")),
        serial: serials.first().cloned(),
        serials,
        wwn: wwn.or_else(|| property("ID_WWN")).or_else(|| property("DM_WWN")),
        wwn_with_extension: property("ID_WWN_WITH_EXTENSION").or_else(|| digits.map(|digits| format!("0x{digits}"))),
        wwn_vendor_extension: property("ID_WWN_VENDOR_EXTENSION").or_else(|| extended.then(|| cut(16..32)).flatten()),
        hctl: host.list(&format!("{base}/device/scsi_device")).into_iter().next(),
        transport: transport(host, source),
        wwid,
    }
}

/// How a disk is attached, by the place of its device in the tree; the words are those of `lsblk`.
fn transport(host: &HostRoot, name: &str) -> Option<String> {
    let path = host.resolve(&format!("/sys/block/{name}"))?;
    let has = |mark: &str| path.contains(mark);
    Some(
        match () {
            () if name.starts_with("nvme") => "nvme",
            () if has("/virtio") => "virtio",
            () if has("/usb") => "usb",
            () if has("/session") => "iscsi",
            () if has("/rport-") => "fc",
            () if has("/end_device-") => "sas",
            () if has("/ata") => "sata",
            () if has("/mmc_host/") => "mmc",
            () => return None,
        }
        .to_owned(),
    )
}

/// Links in `/dev/disk/by-path` by the kernel name that they lead to; the first in order wins.
pub(super) fn by_path(host: &HostRoot) -> BTreeMap<String, String> {
    let mut links = BTreeMap::new();
    for link in host.list("/dev/disk/by-path") {
        let path = format!("/dev/disk/by-path/{link}");
        if let Some(target) = host.link_name(&path) {
            links.entry(target).or_insert(path);
        }
    }
    links
}

/// Why a disk must not be read now: it sleeps, or nobody may ask whether it does. Solid-state and virtual disks have no
/// motor and may always be read.
///
/// # Errors
/// The reason, in a few words.
pub(super) fn awake(host: &HostRoot, block: &Block) -> Result<(), String> {
    let source = if block.kind == Kind::Mpath { block.slaves.first().unwrap_or(&block.name) } else { &block.name };
    let status = host.word(&format!("/sys/block/{source}/device/power/runtime_status"));
    if status.as_deref() == Some("suspended") {
        return Err("standby".to_owned());
    }
    if !block.rotational || !source.starts_with("sd") {
        return Ok(());
    }
    let ata = host.word(&format!("/sys/block/{source}/device/vendor")).as_deref() == Some("ATA");
    match host.live().power(&host.path(&format!("/dev/{source}")), ata) {
        Ok(crate::sys::scsi::Power::Active) => Ok(()),
        Ok(crate::sys::scsi::Power::Standby) => Err("standby".to_owned()),
        Err(error) if super::facts::is_absence(&error) => Ok(()),
        Err(error) => Err(format!("power state unknown: {}", super::facts::reason(&error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_by_name() {
        for (name, expected) in [
            ("sda", Kind::Disk),
            ("nvme0n1", Kind::Disk),
            ("md127", Kind::Md),
            ("zd16", Kind::Zvol),
            ("zram0", Kind::Ram),
            ("rbd3", Kind::Rbd),
            ("mmcblk0boot1", Kind::MmcBoot),
            ("mmcblk0", Kind::Disk),
            ("sr0", Kind::Rom),
        ] {
            assert_eq!(kind(name, None), expected, "{name}");
        }
        assert_eq!(kind("dm-0", Some("mpath-3600")), Kind::Mpath);
        assert_eq!(kind("dm-1", Some("LVM-x")), Kind::Lvm);
        assert_eq!(kind("dm-2", Some("CRYPT-LUKS2-x")), Kind::Crypt);
    }
}
