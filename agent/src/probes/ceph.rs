//! Ceph on this host: which devices could become OSDs, which are, and which daemons live here.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::block::{self, Block, Identity, Kind, Partition};
use super::ceph_verdict::{Candidate, verdict};
use super::facts::{Facts, Found, is_absence, reason};
use super::host::HostRoot;
use super::lvm::{self, Physical};
use super::{Context, blkid, bluestore, mounts, udev};

/// Tags that LVM keeps for Ceph but that are nobody's business.
const SECRET_TAGS: &[&str] = &["ceph.cephx_lockbox_secret"];
/// Partition types of the retired ceph-disk: data, journal, block, block.db, block.wal, and their encrypted forms.
const CEPH_DISK_TYPES: &[&str] = &[
    "4fbd7e29-9d25-41b8-afd0-062c0ceff05d",
    "45b0969e-9b03-4f30-b4c6-b4b80ceff106",
    "cafecafe-9b03-4f30-b4c6-b4b80ceff106",
    "30cd0809-c2b2-499c-8879-2d6b78529876",
    "5ce17fce-4087-4169-b7ff-056cc58473f9",
    "4fbd7e29-9d25-41b8-afd0-5ec00ceff05d",
    "cafecafe-9b03-4f30-b4c6-5ec00ceff106",
];

/// Collects the section.
pub(super) fn probe(context: &Context) -> Found {
    let host = &context.host;
    let mut facts = Facts::new();
    let (blocks, late) = block::all(host);
    for name in &late {
        facts.timed_out(name);
    }
    let maps = block::maps(&blocks);
    // A path of a map is judged too, so that the report says why it is not offered.
    let chosen: Vec<Block> = blocks
        .into_iter()
        .filter(|block| block.listed(&maps) || (block.in_multipath(&maps) && block.size > 0))
        .collect();
    let names: Vec<String> = chosen.iter().map(|block| block.name.clone()).collect();
    let around = Around { host: host.clone(), maps, boot: boot_chain(host), swap: swaps(host) };
    let read =
        super::run::each(chosen, super::DEADLINE, super::DEVICES_DEADLINE, move |block: &Block| judge(&around, block));
    let (mut devices, mut osds) = (Vec::new(), Vec::new());
    for (name, result) in names.iter().zip(read) {
        let Some(judged) = result else {
            facts.timed_out(name);
            continue;
        };
        if let Some(problem) = judged.problem {
            facts.missing(name, problem);
        }
        devices.extend(judged.devices);
        osds.extend(judged.osds);
    }
    facts.set("devices", devices);
    facts.set("osds", distinct(osds));
    facts.set("daemons", daemons(host));
    facts.set("conf", cluster(host));
    facts.done()
}

struct Around {
    host: HostRoot,
    maps: BTreeSet<String>,
    boot: BTreeSet<String>,
    swap: BTreeSet<String>,
}

#[derive(Default)]
struct Judged {
    devices: Vec<Value>,
    osds: Vec<Value>,
    problem: Option<String>,
}

/// What was read from one device or partition.
struct Content {
    signatures: Option<blkid::Signatures>,
    physical: Option<Physical>,
    label: Option<bluestore::Label>,
    locked: bool,
    problem: Option<String>,
}

/// Judges a disk and its partitions.
fn judge(around: &Around, block: &Block) -> Judged {
    let mut judged = Judged::default();
    let awake = block::awake(&around.host, block);
    let content = match &awake {
        Ok(()) => read(&around.host, &block.path(), block.size),
        Err(why) => {
            Content { signatures: None, physical: None, label: None, locked: false, problem: Some(why.clone()) }
        }
    };
    judged.problem.clone_from(&content.problem);
    let mut candidate = candidate(&content, block.size, block.read_only);
    candidate.kind = match block.kind {
        Kind::Disk | Kind::Bcache | Kind::Pmem | Kind::MmcBoot => "disk",
        Kind::Mpath => "mpath",
        _ => "raid",
    }
    .to_owned();
    candidate.removable = block.removable;
    candidate.partitions = !block.partitions.is_empty();
    candidate.ceph_disk = block.partitions.iter().any(ceph_disk);
    candidate.own.extend(own_reasons(around, &block.name, &block.devno));
    if block.in_multipath(&around.maps) {
        candidate.own.push("multipath member".to_owned());
    }
    candidate.own.extend(awake.err());
    let identity = block::identity(&around.host, block);
    let sys_api = sys_api(block, &identity);
    judged.add(block.path(), &device_id(block, &identity), &candidate, &content, &sys_api);
    for part in &block.partitions {
        partition(around, part, candidate.bluestore, &mut judged);
    }
    judged
}

fn partition(around: &Around, part: &Partition, parent: Option<bool>, judged: &mut Judged) {
    let path = format!("/dev/{}", part.name);
    let content = read(&around.host, &path, part.size);
    let mut candidate = candidate(&content, part.size, part.read_only);
    candidate.kind = "part".to_owned();
    candidate.parent_bluestore = Some(parent);
    candidate.ceph_disk = ceph_disk(part);
    candidate.own.extend(own_reasons(around, &part.name, &part.devno));
    judged.add(path, "", &candidate, &content, &json!({"size": part.size, "ro": u8::from(part.read_only)}));
}

impl Judged {
    fn add(&mut self, path: String, device_id: &str, candidate: &Candidate, content: &Content, sys_api: &Value) {
        let verdict = verdict(candidate);
        let lvs: Vec<Value> = content.physical.iter().flat_map(volumes).collect();
        let ceph_device = content.label.is_some() || lvs.iter().any(|lv| !lv["osd_id"].is_null());
        if let Some(label) = &content.label {
            self.osds.push(json!({"osd_id": label.meta.get("whoami"), "osd_fsid": label.osd_uuid,
                "cluster_fsid": label.meta.get("ceph_fsid"), "type": role(&label.description), "mode": "raw",
                "device": path, "encrypted": false, "size": label.size}));
        }
        for lv in lvs.iter().filter(|lv| !lv["osd_id"].is_null()) {
            let mut osd = lv.clone();
            osd["mode"] = json!("lvm");
            osd["device"] = json!(path);
            self.osds.push(osd);
        }
        let mut value = json!({"path": path, "device_id": device_id, "sys_api": sys_api, "lvs": lvs,
                               "ceph_device": ceph_device});
        if let (Value::Object(value), Ok(Value::Object(verdict))) = (&mut value, serde_json::to_value(verdict)) {
            value.extend(verdict);
        }
        self.devices.push(value);
    }
}

fn read(host: &HostRoot, path: &str, size: u64) -> Content {
    let signatures = blkid::identify(host, path, size);
    let problem = signatures.as_ref().err().filter(|error| !is_absence(error)).map(reason);
    let signatures = signatures.ok();
    let physical = match &signatures {
        Some(found) if found.kind == Some("LVM2_member") => lvm::read(host, path).ok().flatten(),
        _ => None,
    };
    let label = match &signatures {
        Some(found) if found.bluestore => host.bytes_at(path, 0, 4096).ok().and_then(|head| bluestore::decode(&head)),
        _ => None,
    };
    let locked = !host.live().exclusive(&host.path(path)).unwrap_or(true);
    Content { signatures, physical, label, locked, problem }
}

fn candidate(content: &Content, size: u64, read_only: bool) -> Candidate {
    let signatures = content.signatures.as_ref();
    let kind = signatures.and_then(|found| found.kind);
    // BlueStore and LVM have reasons of their own.
    let filesystem = kind.is_some_and(|kind| !matches!(kind, "ceph_bluestore" | "LVM2_member"));
    let mut own = Vec::new();
    if matches!(kind, Some("swap" | "zfs_member")) {
        own.push(if kind == Some("swap") { "swap" } else { "ZFS member" }.to_owned());
    }
    Candidate {
        size,
        read_only,
        locked: content.locked,
        bluestore: signatures.map(|found| found.bluestore),
        gpt: signatures.is_some_and(|found| found.table == Some("gpt")),
        filesystem,
        physical_volume: kind == Some("LVM2_member"),
        free_extents: content.physical.iter().filter_map(|pv| pv.group.as_ref()).map(|vg| vg.free_extents).collect(),
        own,
        ..Candidate::default()
    }
}

fn own_reasons(around: &Around, name: &str, devno: &str) -> Vec<String> {
    let mut reasons = Vec::new();
    if around.swap.contains(name) {
        reasons.push("swap in use".to_owned());
    }
    if around.boot.contains(devno) || around.boot.contains(name) {
        reasons.push("boot chain".to_owned());
    }
    reasons
}

fn ceph_disk(part: &Partition) -> bool {
    let label = part.udev.get("ID_PART_ENTRY_NAME").is_some_and(|label| label.to_lowercase().contains("ceph"));
    label || part.udev.get("ID_PART_ENTRY_TYPE").is_some_and(|kind| CEPH_DISK_TYPES.contains(&kind.as_str()))
}

/// Devices, by number and by name, that hold `/`, `/boot`, `/boot/efi` or `/usr`, down to the disks.
fn boot_chain(host: &HostRoot) -> BTreeSet<String> {
    let places = ["/", "/boot", "/boot/efi", "/efi", "/usr"];
    let mut found = BTreeSet::new();
    let mut open: Vec<String> = Vec::new();
    for mount in mounts::all(host).iter().filter(|mount| places.contains(&mount.place.as_str())) {
        found.insert(mount.devno.clone());
        open.extend(host.link_name(&format!("/sys/dev/block/{}", mount.devno)));
        open.extend(mount.source.strip_prefix("/dev/").map(str::to_owned));
    }
    while let Some(name) = open.pop() {
        if found.insert(name.clone()) {
            open.extend(host.list(&format!("/sys/class/block/{name}/slaves")));
            // The folder above a partition is its disk.
            let parent = host.resolve(&format!("/sys/class/block/{name}")).and_then(|path| {
                let parent = path.rsplit('/').nth(1)?.to_owned();
                host.exists(&format!("/sys/block/{parent}")).then_some(parent)
            });
            open.extend(parent);
        }
    }
    found
}

fn swaps(host: &HostRoot) -> BTreeSet<String> {
    let text = host.word("/proc/swaps").unwrap_or_default();
    text.lines().filter_map(|line| line.strip_prefix("/dev/")?.split_whitespace().next().map(str::to_owned)).collect()
}

/// The volumes of a physical volume, with their Ceph tags.
fn volumes(pv: &Physical) -> Vec<Value> {
    let Some(group) = &pv.group else { return Vec::new() };
    let on_this = |lv: &&lvm::Volume| lv.on.contains(&pv.uuid) || group.members.len() == 1;
    group
        .volumes
        .iter()
        .filter(on_this)
        .map(|lv| {
            let tags: BTreeMap<&str, &str> = lv
                .tags
                .iter()
                .filter_map(|tag| tag.split_once('='))
                .filter(|(key, _)| key.starts_with("ceph.") && !SECRET_TAGS.contains(key))
                .collect();
            let tag = |key: &str| tags.get(key).copied();
            json!({"name": lv.name, "vg": group.name, "uuid": lv.uuid, "size": lv.extents.saturating_mul(group.extent_size),
                   "osd_id": tag("ceph.osd_id"), "osd_fsid": tag("ceph.osd_fsid"), "type": tag("ceph.type"),
                   "cluster": tag("ceph.cluster_name"), "cluster_fsid": tag("ceph.cluster_fsid"),
                   "encrypted": tag("ceph.encrypted").map(|v| v == "1"), "device_class": tag("ceph.crush_device_class"),
                   "block_device": tag("ceph.block_device"), "db_device": tag("ceph.db_device"),
                   "wal_device": tag("ceph.wal_device"), "osdspec": tag("ceph.osdspec_affinity")})
        })
        .collect()
}

fn role(description: &str) -> &str {
    match description {
        "main" => "block",
        "bluefs db" => "db",
        "bluefs wal" => "wal",
        other => other,
    }
}

/// An OSD seen by several ways (a map and its members, a disk and its partition) counts once.
fn distinct(osds: Vec<Value>) -> Vec<Value> {
    let mut seen = BTreeSet::new();
    osds.into_iter().filter(|osd| seen.insert(format!("{}{}{}", osd["osd_id"], osd["osd_fsid"], osd["type"]))).collect()
}

/// `VENDOR_MODEL_SERIAL` by the rules of Ceph: udev's words, blanks as underscores.
fn device_id(block: &Block, identity: &Identity) -> String {
    let property = |key: &str| block.udev.get(key).map(|text| udev::unescape(text).trim().to_owned());
    let model = property("ID_MODEL_ENC").or_else(|| property("ID_MODEL")).unwrap_or_default();
    let serial = property("ID_SCSI_SERIAL").or_else(|| property("ID_SERIAL_SHORT")).unwrap_or_default();
    let id = match property("ID_VENDOR").filter(|vendor| !vendor.is_empty() && vendor != "ATA") {
        Some(vendor) if !model.is_empty() && !serial.is_empty() => format!("{vendor}_{model}_{serial}"),
        None if !model.is_empty() && !serial.is_empty() => format!("{model}_{serial}"),
        _ => property("ID_SERIAL").unwrap_or_else(|| {
            // Without a udev database the kernel's own words must do.
            let words = [&identity.vendor, &identity.model, &identity.serial];
            words.into_iter().flatten().filter(|word| *word != "ATA").cloned().collect::<Vec<_>>().join("_")
        }),
    };
    let mut id = id.replace(' ', "_");
    while id.contains("__") {
        id = id.replace("__", "_");
    }
    id
}

fn sys_api(block: &Block, identity: &Identity) -> Value {
    json!({"size": block.size, "rotational": u8::from(block.rotational).to_string(),
           "removable": u8::from(block.removable).to_string(), "ro": u8::from(block.read_only).to_string(),
           "vendor": identity.vendor, "model": identity.model, "rev": identity.revision,
           "partitions": block.partitions.iter().map(|part| &part.name).collect::<Vec<_>>()})
}

/// Daemons by their data folders: `/var/lib/ceph/<type>/<cluster>-<id>` of packages, `/var/lib/ceph/<fsid>/<type>.<id>` of
/// containers, whose image stands in `unit.image`.
fn daemons(host: &HostRoot) -> Vec<Value> {
    const ROOT: &str = "/var/lib/ceph";
    let sockets: BTreeSet<String> = host.list("/run/ceph").into_iter().collect();
    let mut found = Vec::new();
    for name in host.list(ROOT) {
        let inside = host.list(&format!("{ROOT}/{name}"));
        if hostler_common::id::uuid_like(&name).is_some() {
            for daemon in inside {
                let Some((kind, id)) = daemon.split_once('.') else { continue };
                let base = format!("{ROOT}/{name}/{daemon}");
                if !host.exists(&format!("{base}/unit.run")) {
                    continue;
                }
                let image = host.word(&format!("{base}/unit.image"));
                let running = !host.list(&format!("/run/ceph/{name}")).is_empty()
                    && host.exists(&format!("/run/ceph/{name}/ceph-{daemon}.asok"));
                found.push(json!({"type": kind, "id": id, "cluster_fsid": name, "style": "container", "image": image,
                                  "socket": running}));
            }
        } else if matches!(name.as_str(), "mon" | "mgr" | "osd" | "mds" | "radosgw") {
            for daemon in inside {
                let Some((cluster, id)) = daemon.split_once('-') else { continue };
                let base = format!("{ROOT}/{name}/{daemon}");
                let word = |file: &str| host.word(&format!("{base}/{file}"));
                found.push(json!({"type": name, "id": id, "cluster": cluster, "style": "package",
                    "cluster_fsid": word("ceph_fsid"), "osd_fsid": word("fsid").filter(|_| name == "osd"),
                    "device_class": word("crush_device_class"), "require_osd_release": word("require_osd_release"),
                    "socket": sockets.contains(&format!("{cluster}-{name}.{id}.asok"))}));
            }
        }
    }
    found
}

/// The cluster that the configuration names; nothing else of that file leaves the host.
fn cluster(host: &HostRoot) -> Value {
    let text = host.word("/etc/ceph/ceph.conf").unwrap_or_default();
    let mut found = Map::new();
    for line in text.lines() {
        let Some((key, value)) = line.split_once('=') else { continue };
        let key = key.trim().replace(' ', "_");
        if matches!(key.as_str(), "fsid" | "mon_host" | "public_network" | "cluster_network") {
            found.insert(key, Value::String(value.trim().to_owned()));
        }
    }
    Value::Object(found)
}
