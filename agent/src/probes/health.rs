//! Health: sensors, memory errors, and what disks say about themselves. Sleeping disks are left asleep.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::block::{self, Block, Kind};
use super::facts::{Facts, Found, is_absence};
use super::host::HostRoot;
use super::{Context, smart};

/// Collects the section.
pub(super) fn probe(context: &Context) -> Found {
    let host = &context.host;
    let mut facts = Facts::new();
    facts.set("sensors", sensors(host));
    facts.set("edac", edac(host));
    disks(host, &mut facts);
    facts.done()
}

/// Temperatures in °C, fans in rpm, power in W, by chip and label.
fn sensors(host: &HostRoot) -> Vec<Value> {
    const CLASS: &str = "/sys/class/hwmon";
    let mut found = Vec::new();
    for chip in host.list(CLASS) {
        let base = format!("{CLASS}/{chip}");
        let name = host.word(&format!("{base}/name"));
        // This driver asks the disk itself, which may wake it; the disk's own health page has its temperature.
        if name.as_deref() == Some("drivetemp") {
            continue;
        }
        for file in host.list(&base) {
            let Some(sensor) = file.strip_suffix("_input") else { continue };
            let (kind, scale) = match sensor.trim_end_matches(|c: char| c.is_ascii_digit()) {
                "temp" => ("temperature_c", 1000.0),
                "fan" => ("fan_rpm", 1.0),
                "power" => ("power_w", 1_000_000.0),
                _ => continue,
            };
            let Some(value) = host.number::<f64>(&format!("{base}/{file}")) else { continue };
            let limit = host.number::<f64>(&format!("{base}/{sensor}_crit")).map(|limit| limit / scale);
            let label = host.word(&format!("{base}/{sensor}_label"));
            found.push(json!({"chip": name, "sensor": sensor, "label": label, "kind": kind, "value": value / scale,
                              "critical": limit, "alarm": host.flag(&format!("{base}/{sensor}_alarm"))}));
        }
    }
    found
}

/// Corrected and uncorrected memory errors by controller and module.
fn edac(host: &HostRoot) -> Vec<Value> {
    const MC: &str = "/sys/devices/system/edac/mc";
    host.list(MC)
        .into_iter()
        .filter(|name| name.strip_prefix("mc").is_some_and(|n| n.parse::<u32>().is_ok()))
        .map(|name| {
            let base = format!("{MC}/{name}");
            let number = |path: String| host.number::<u64>(&path);
            let dimms: Vec<Value> = host
                .list(&base)
                .into_iter()
                .filter(|entry| entry.starts_with("dimm") || entry.starts_with("rank"))
                .map(|entry| {
                    json!({"name": entry, "label": host.word(&format!("{base}/{entry}/dimm_label")),
                           "corrected": number(format!("{base}/{entry}/dimm_ce_count")),
                           "uncorrected": number(format!("{base}/{entry}/dimm_ue_count"))})
                })
                .collect();
            json!({"name": name, "type": host.word(&format!("{base}/mc_name")), "corrected": number(format!("{base}/ce_count")),
                   "uncorrected": number(format!("{base}/ue_count")), "dimms": dimms})
        })
        .collect()
}

fn disks(host: &HostRoot, facts: &mut Facts) {
    let (blocks, late) = block::all(host);
    for name in &late {
        facts.timed_out(name);
    }
    let mut asked: Vec<Block> =
        blocks.into_iter().filter(|b| b.kind == Kind::Disk && b.name.starts_with("sd")).collect();
    let controllers = host.list("/sys/class/nvme");
    asked.sort_by(|a, b| super::host::natural(&a.name, &b.name));
    let names: Vec<String> = controllers.iter().cloned().chain(asked.iter().map(|block| block.name.clone())).collect();
    let targets: Vec<Target> =
        controllers.into_iter().map(Target::Nvme).chain(asked.into_iter().map(Target::Scsi)).collect();
    let shared = host.clone();
    let read =
        super::run::each(targets, super::DEADLINE, super::DEVICES_DEADLINE, move |target: &Target| target.ask(&shared));
    let mut found = Map::new();
    // Hundreds of disks fail alike when a capability is missing: one reason with a count, not hundreds.
    let mut refused: BTreeMap<String, usize> = BTreeMap::new();
    for (name, result) in names.iter().zip(read) {
        let value = match result {
            Some(Ok(value)) => value,
            Some(Err(why)) => {
                if why != "standby" && why != "unsupported" {
                    *refused.entry(why.clone()).or_default() += 1;
                }
                json!({"status": why})
            }
            None => {
                facts.timed_out(name);
                json!({"status": "timeout"})
            }
        };
        found.insert(name.clone(), value);
    }
    for (why, count) in refused {
        facts.missing("disks", format!("{why} ({count} devices)"));
    }
    facts.set("disks", found);
}

enum Target {
    Nvme(String),
    Scsi(Block),
}

impl Target {
    fn ask(&self, host: &HostRoot) -> Result<Value, String> {
        let refused = |error: std::io::Error| {
            if is_absence(&error) { "unsupported".to_owned() } else { super::facts::reason(&error) }
        };
        match self {
            Self::Nvme(name) => {
                let page = host.live().nvme_health(&host.path(&format!("/dev/{name}"))).map_err(refused)?;
                smart::nvme(&page).ok_or_else(|| "short health page".to_owned())
            }
            Self::Scsi(disk) => {
                // A disk that cannot be asked whether it sleeps is not asked anything else.
                block::awake(host, disk)?;
                let path = host.path(&disk.path());
                if host.word(&format!("/sys/block/{}/device/vendor", disk.name)).as_deref() == Some("ATA") {
                    let (page, failing) = host.live().ata_smart(&path).map_err(refused)?;
                    return smart::ata(&page, failing).ok_or_else(|| "damaged SMART page".to_owned());
                }
                let informational = host.live().scsi_log(&path, smart::PAGE_INFORMATIONAL).map_err(refused)?;
                let page = |number| host.live().scsi_log(&path, number).unwrap_or_default();
                Ok(smart::scsi(
                    &informational,
                    &page(smart::PAGE_READ_ERRORS),
                    &page(smart::PAGE_WEAR),
                    &page(smart::PAGE_SCAN),
                ))
            }
        }
    }
}
