//! Disks and what is stacked on them: identity, geometry, queues, partitions, arrays, volumes, mounts, enclosures.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::block::{self, Block, Kind, Partition};
use super::facts::{Facts, Found};
use super::host::HostRoot;
use super::{Context, blkid, mounts};

/// Collects the section.
pub(super) fn probe(context: &Context) -> Found {
    let host = &context.host;
    if !host.exists("/sys/block") {
        return Facts::unavailable("/sys/block is not there");
    }
    let mut facts = Facts::new();
    let (blocks, late) = block::all(host);
    for name in &late {
        facts.timed_out(name);
    }
    let maps = block::maps(&blocks);
    let by_path = block::by_path(host);
    let shared = Shared { host: host.clone(), maps, by_path, paths: nvme_paths(&blocks) };
    let names: Vec<String> = blocks.iter().map(|block| block.name.clone()).collect();
    let shown: Vec<Block> = blocks.into_iter().filter(shown).collect();
    let shown_names: Vec<String> = shown.iter().map(|block| block.name.clone()).collect();
    let read =
        super::run::each(shown, super::DEADLINE, super::DEVICES_DEADLINE, move |block: &Block| disk(&shared, block));
    let mut disks = Vec::new();
    for (name, result) in shown_names.iter().zip(read) {
        match result {
            Some((disk, problem)) => {
                if let Some(problem) = problem {
                    facts.missing(name, problem);
                }
                disks.push(disk);
            }
            None => {
                facts.timed_out(name);
                disks.push(json!({"name": format!("/dev/{name}"), "status": "timeout"}));
            }
        }
    }
    facts.set("disks", disks);
    facts.set("arrays", arrays(host, &names));
    mounts::collect(host, &mut facts);
    facts.set("enclosures", enclosures(host));
    facts.set(
        "scsi_hosts",
        controllers(host, "/sys/class/scsi_host", &["proc_name", "model_name", "fwrev", "version_fw"]),
    );
    facts.set(
        "nvme_controllers",
        controllers(
            host,
            "/sys/class/nvme",
            &["model", "serial", "firmware_rev", "transport", "state", "address", "subsysnqn"],
        ),
    );
    facts.done()
}

/// Devices that stand for nothing at all are left out: memory, empty loops and drives.
fn shown(block: &Block) -> bool {
    block.size > 0 && !matches!(block.kind, Kind::Ram | Kind::Floppy | Kind::Rom)
}

struct Shared {
    host: HostRoot,
    maps: BTreeSet<String>,
    by_path: BTreeMap<String, String>,
    paths: BTreeMap<String, Vec<String>>,
}

/// One device, and what could not be found out about it.
fn disk(shared: &Shared, block: &Block) -> (Value, Option<String>) {
    let host = &shared.host;
    let identity = block::identity(host, block);
    let queue = |file: &str| host.word(&format!("/sys/block/{}/queue/{file}", block.name));
    let number = |file: &str| queue(file).and_then(|text| text.parse::<u64>().ok());
    let awake = block::awake(host, block);
    let (content, problem) = match &awake {
        Ok(()) => content(host, &block.path(), block.size, &block.udev),
        // A sleeping disk is no fault; one that nobody may ask is a missing fact.
        Err(why) => (from_udev(&block.udev), (why != "standby").then(|| why.clone())),
    };
    let mut value = json!({
        "name": block.path(),
        "kind": block.kind,
        "listed": block.listed(&shared.maps),
        "device_number": block.devno,
        "model": identity.model, "vendor": identity.vendor, "revision": identity.revision,
        "serial": identity.serial, "serials": identity.serials,
        "wwid": identity.wwid, "wwn": identity.wwn,
        "wwn_with_extension": identity.wwn_with_extension, "wwn_vendor_extension": identity.wwn_vendor_extension,
        "hctl": identity.hctl, "by_path": shared.by_path.get(&block.name), "tran": identity.transport,
        "size": block.size, "rotational": block.rotational, "removable": block.removable,
        "read_only": block.read_only, "hidden": block.hidden,
        "logical_sectors": number("logical_block_size"), "physical_sectors": number("physical_block_size"),
        "queue": {
            "scheduler": queue("scheduler").map(|text| active(&text)), "write_cache": queue("write_cache"),
            "nr_requests": number("nr_requests"), "discard_max_bytes": number("discard_max_bytes"),
            "zoned": queue("zoned"),
        },
        "power": match &awake { Ok(()) => "active", Err(why) if why == "standby" => "standby", Err(_) => "unknown" },
        "slaves": block.slaves, "used_by": used_by(host, &block.holders),
        "dm_name": block.dm_name, "dm_uuid": block.dm_uuid,
        "in_multipath": block.in_multipath(&shared.maps),
        "partitions": block.partitions.iter().map(|part| partition(host, part, awake.is_ok())).collect::<Vec<_>>(),
        "content": content,
    });
    if block.kind == Kind::Mpath {
        value["paths"] = block.slaves.iter().map(|path| path_state(host, path)).collect();
    }
    if let Some(paths) = shared.paths.get(&block.name) {
        value["paths"] = paths.iter().map(|path| nvme_path(host, path)).collect();
    }
    (value, problem)
}

/// The word in brackets, or the only word.
fn active(text: &str) -> String {
    text.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map_or(text, |(word, _)| word).to_owned()
}

fn path_state(host: &HostRoot, path: &str) -> Value {
    json!({"name": path, "state": host.word(&format!("/sys/block/{path}/device/state")),
           "hctl": host.list(&format!("/sys/block/{path}/device/scsi_device")).into_iter().next()})
}

fn nvme_path(host: &HostRoot, path: &str) -> Value {
    json!({"name": path, "ana_state": host.word(&format!("/sys/block/{path}/ana_state")),
           "state": host.word(&format!("/sys/block/{path}/device/state"))})
}

/// Hidden `nvmeXcYnZ` devices by the head `nvmeXnZ` that they are paths of.
fn nvme_paths(blocks: &[Block]) -> BTreeMap<String, Vec<String>> {
    let mut paths: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for block in blocks.iter().filter(|block| block.name.starts_with("nvme")) {
        if let Some((subsystem, rest)) = block.name.split_once('c')
            && let Some((_, namespace)) = rest.split_once('n')
        {
            paths.entry(format!("{subsystem}n{namespace}")).or_default().push(block.name.clone());
        }
    }
    paths
}

fn partition(host: &HostRoot, part: &Partition, awake: bool) -> Value {
    let path = format!("/dev/{}", part.name);
    let content = if awake { content(host, &path, part.size, &part.udev).0 } else { from_udev(&part.udev) };
    let entry = |key: &str| part.udev.get(key);
    json!({"name": path, "number": part.number, "device_number": part.devno, "size": part.size,
           "uuid": entry("ID_PART_ENTRY_UUID"), "type": entry("ID_PART_ENTRY_TYPE"), "label": entry("ID_PART_ENTRY_NAME"),
           "used_by": used_by(host, &part.holders), "content": content})
}

/// What is on a device: the udev database's word if it has one, else what its signatures say.
fn content(host: &HostRoot, path: &str, size: u64, udev: &BTreeMap<String, String>) -> (Value, Option<String>) {
    if udev.contains_key("ID_FS_TYPE") || udev.contains_key("ID_PART_TABLE_TYPE") {
        return (from_udev(udev), None);
    }
    match blkid::identify(host, path, size) {
        Ok(found) if found == blkid::Signatures::default() => (Value::Null, None),
        Ok(found) => {
            let value = json!({"table": found.table, "type": found.kind, "label": found.label, "uuid": found.uuid});
            (value, None)
        }
        // Without a device node (containers) there is nothing to read.
        Err(error) if super::facts::is_absence(&error) => (Value::Null, None),
        Err(error) => (Value::Null, Some(format!("content: {}", super::facts::reason(&error)))),
    }
}

fn from_udev(udev: &BTreeMap<String, String>) -> Value {
    let (table, kind) = (udev.get("ID_PART_TABLE_TYPE"), udev.get("ID_FS_TYPE"));
    if table.is_none() && kind.is_none() {
        return Value::Null;
    }
    json!({"table": table, "type": kind, "label": udev.get("ID_FS_LABEL"), "uuid": udev.get("ID_FS_UUID")})
}

/// Everything on top of a device, by name and kind.
fn used_by(host: &HostRoot, holders: &[String]) -> Vec<Value> {
    holders
        .iter()
        .map(|name| {
            let holder = Block::read(host, name);
            json!({"name": name, "kind": holder.kind, "label": holder.dm_name})
        })
        .collect()
}

fn arrays(host: &HostRoot, names: &[String]) -> Vec<Value> {
    names
        .iter()
        .filter(|name| host.exists(&format!("/sys/block/{name}/md")))
        .map(|name| {
            let word = |file: &str| host.word(&format!("/sys/block/{name}/md/{file}"));
            json!({"name": name, "level": word("level"), "state": word("array_state"), "disks": word("raid_disks"),
                   "degraded": word("degraded"), "metadata": word("metadata_version"),
                   "members": host.list(&format!("/sys/block/{name}/slaves")), "statistics": {"sync": word("sync_action")}})
        })
        .collect()
}

fn enclosures(host: &HostRoot) -> Vec<Value> {
    const CLASS: &str = "/sys/class/enclosure";
    let mut found = Vec::new();
    for enclosure in host.list(CLASS) {
        for slot in host.list(&format!("{CLASS}/{enclosure}")) {
            let base = format!("{CLASS}/{enclosure}/{slot}");
            let word = |file: &str| host.word(&format!("{base}/{file}"));
            let Some(status) = word("status") else { continue };
            let disk = host.list(&format!("{base}/device/block")).into_iter().next();
            found.push(json!({"enclosure": enclosure, "slot": word("slot"), "label": slot, "status": status,
                              "fault": word("fault"), "locate": word("locate"), "disk": disk}));
        }
    }
    found
}

fn controllers(host: &HostRoot, class: &str, files: &[&str]) -> Vec<Value> {
    host.list(class)
        .into_iter()
        .map(|name| {
            let mut entry = Map::new();
            for file in files {
                if let Some(text) = host.word(&format!("{class}/{name}/{file}")) {
                    entry.insert((*file).to_owned(), Value::String(text));
                }
            }
            entry.insert("name".to_owned(), Value::String(name));
            Value::Object(entry)
        })
        .collect()
}
