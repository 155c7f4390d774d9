//! Memory: totals, modules, hugepages, KSM, swap.

use serde_json::{Value, json};

use super::Context;
use super::dmi::{Structure, Tables};
use super::facts::{Facts, Found, is_absence, reason};
use super::host::HostRoot;

/// Collects the section.
pub(super) fn probe(context: &Context) -> Found {
    let host = &context.host;
    let mut facts = Facts::new();
    let meminfo = host.text("/proc/meminfo").unwrap_or_default();
    match kilobytes(&meminfo, "MemTotal") {
        Some(kb) => facts.set("total", kb * 1024),
        None => facts.missing("total", "no MemTotal in /proc/meminfo"),
    }
    facts.set("hardware_corrupted_kb", kilobytes(&meminfo, "HardwareCorrupted"));
    modules(host, &mut facts);
    facts.set("hugepages", hugepages(host, "/sys/kernel/mm/hugepages"));
    facts.set("hugepages_by_node", hugepages_by_node(host));
    facts.set("transparent_hugepages", chosen(host, "/sys/kernel/mm/transparent_hugepage/enabled"));
    facts.set("ksm", ksm(host));
    facts.set("swap", swap(host));
    facts.set("pressure", host.word("/proc/pressure/memory"));
    facts.done()
}

/// A value of `/proc/meminfo`, which counts in KiB.
pub(super) fn kilobytes(meminfo: &str, key: &str) -> Option<u64> {
    meminfo.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let name = name.rsplit(' ').next()?;
        (name == key).then(|| value.split_whitespace().next()?.parse().ok())?
    })
}

/// Modules by SMBIOS; without it the size of the online memory blocks is all that is known.
fn modules(host: &HostRoot, facts: &mut Facts) {
    let tables = match Tables::read(host) {
        Ok(tables) => tables,
        Err(error) => {
            if !is_absence(&error) {
                facts.missing("modules", reason(&error));
            }
            Tables::default()
        }
    };
    let all: Vec<&Structure> = tables.of(17).collect();
    let installed: u64 = all.iter().filter_map(|module| size_mb(module)).sum();
    let physical = if installed > 0 { Some(installed) } else { block_mb(host) };
    facts.set("physical_mb", physical);
    facts.set("modules", all.iter().map(|structure| module(structure)).collect::<Vec<_>>());
    facts.set("slots", (!all.is_empty()).then_some(all.len()));
    facts.set("arrays", tables.of(16).map(array).collect::<Vec<_>>());
}

/// Size of a memory device in MiB; `None` if the slot is empty or the size unknown.
fn size_mb(module: &Structure) -> Option<u64> {
    match module.word(0x0C)? {
        0 | 0xFFFF => None,
        0x7FFF => module.dword(0x1C).map(|mb| u64::from(mb & 0x7FFF_FFFF)),
        kb if kb & 0x8000 != 0 => Some(u64::from(kb & 0x7FFF) / 1024),
        mb => Some(u64::from(mb)),
    }
}

fn module(entry: &Structure) -> Value {
    let speed = |at: usize, extended: usize| match entry.word(at) {
        None | Some(0) => None,
        Some(0xFFFF) => entry.dword(extended),
        Some(speed) => Some(u32::from(speed)),
    };
    json!({
        "locator": entry.text(0x10),
        "bank": entry.text(0x11),
        "size_mb": size_mb(entry),
        "form_factor": entry.byte(0x0E).map(form_factor),
        "type": entry.byte(0x12).map(memory_type),
        "speed_mts": speed(0x15, 0x54),
        "configured_speed_mts": speed(0x20, 0x58),
        "manufacturer": entry.text(0x17),
        "serial": entry.text(0x18),
        "asset_tag": entry.text(0x19),
        "part_number": entry.text(0x1A),
        "rank": entry.byte(0x1B).map(|b| b & 0x0F).filter(|rank| *rank != 0),
        "voltage_mv": entry.word(0x26).filter(|mv| *mv != 0),
        "total_width": entry.word(0x08).filter(|bits| *bits != 0xFFFF),
        "data_width": entry.word(0x0A).filter(|bits| *bits != 0xFFFF),
    })
}

fn array(entry: &Structure) -> Value {
    // 0x8000_0000 KiB means that the size stands in the extended field, in bytes.
    let max_mb = match entry.dword(0x07) {
        Some(0x8000_0000) => entry
            .bytes(0x0F, 8)
            .and_then(|bytes| <[u8; 8]>::try_from(bytes).ok())
            .map(|bytes| u64::from_le_bytes(bytes) >> 20),
        other => other.map(|kb| u64::from(kb) >> 10),
    };
    let correction = entry.byte(0x06).map(|kind| match kind {
        3 => "none",
        4 => "parity",
        5 => "single-bit ecc",
        6 => "multi-bit ecc",
        7 => "crc",
        _ => "unknown",
    });
    json!({"max_mb": max_mb, "slots": entry.word(0x0D), "error_correction": correction})
}

fn form_factor(kind: u8) -> String {
    match kind {
        0x05 => "chip",
        0x09 => "dimm",
        0x0D => "sodimm",
        0x0F => "fb-dimm",
        0x10 => "die",
        0x11 => "camm",
        _ => return format!("{kind:#04x}"),
    }
    .to_owned()
}

fn memory_type(kind: u8) -> String {
    match kind {
        0x07 => "RAM",
        0x0F => "SDRAM",
        0x12 => "DDR",
        0x13 => "DDR2",
        0x18 => "DDR3",
        0x1A => "DDR4",
        0x1B => "LPDDR",
        0x1C => "LPDDR2",
        0x1D => "LPDDR3",
        0x1E => "LPDDR4",
        0x1F => "Logical non-volatile",
        0x20 => "HBM",
        0x21 => "HBM2",
        0x22 => "DDR5",
        0x23 => "LPDDR5",
        0x24 => "HBM3",
        _ => return format!("{kind:#04x}"),
    }
    .to_owned()
}

fn block_mb(host: &HostRoot) -> Option<u64> {
    const MEMORY: &str = "/sys/devices/system/memory";
    let size = u64::from_str_radix(&host.word(&format!("{MEMORY}/block_size_bytes"))?, 16).ok()?;
    let blocks = host
        .list(MEMORY)
        .into_iter()
        .filter(|name| name.strip_prefix("memory").is_some_and(|n| n.parse::<u64>().is_ok()))
        .filter(|name| host.flag(&format!("{MEMORY}/{name}/online")) == Some(true))
        .count() as u64;
    (blocks > 0).then_some((blocks * size) >> 20)
}

fn hugepages(host: &HostRoot, folder: &str) -> Vec<Value> {
    host.list(folder)
        .into_iter()
        .filter_map(|name| {
            let kb: u64 = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
            let read = |file: &str| host.number::<u64>(&format!("{folder}/{name}/{file}"));
            Some(json!({"size_kb": kb, "total": read("nr_hugepages"), "hugepages_free": read("free_hugepages")}))
        })
        .collect()
}

fn hugepages_by_node(host: &HostRoot) -> Vec<Value> {
    const NODES: &str = "/sys/devices/system/node";
    host.list(NODES)
        .into_iter()
        .filter_map(|name| {
            let node: u32 = name.strip_prefix("node")?.parse().ok()?;
            let pages = hugepages(host, &format!("{NODES}/{name}/hugepages"));
            (!pages.is_empty()).then(|| json!({"node": node, "pages": pages}))
        })
        .collect()
}

/// The word in brackets of a file such as `always [madvise] never`.
pub(super) fn chosen(host: &HostRoot, path: &str) -> Option<String> {
    let text = host.word(path)?;
    let (_, rest) = text.split_once('[')?;
    rest.split_once(']').map(|(word, _)| word.to_owned())
}

fn ksm(host: &HostRoot) -> Value {
    let read = |file: &str| host.number::<u64>(&format!("/sys/kernel/mm/ksm/{file}"));
    match read("run") {
        Some(run) => {
            json!({"run": run, "statistics": {"pages_shared": read("pages_shared"), "pages_sharing": read("pages_sharing")}})
        }
        None => Value::Null,
    }
}

fn swap(host: &HostRoot) -> Vec<Value> {
    let text = host.word("/proc/swaps").unwrap_or_default();
    text.lines()
        .skip(1)
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (path, kind) = (words.next()?, words.next()?);
            let size: u64 = words.next()?.parse().ok()?;
            let used: u64 = words.next()?.parse().ok()?;
            Some(json!({"path": path, "type": kind, "size_kb": size, "used_kb": used}))
        })
        .collect()
}
