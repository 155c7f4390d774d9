//! The management controller: its identity and the addresses at which it can be reached, by IPMI.
//!
//! Controllers have crashed under load, so at most one request per second is made and the answers are kept for six hours
//! (spec/introspection.md §6.5).

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Context;
use super::facts::{Facts, Found, reason};
use super::live::{Bmc, mac_text};

const CACHE: &str = "bmc.json";
const CACHE_S: u64 = 6 * 3600;
const APP: u8 = 0x06;
const TRANSPORT: u8 = 0x0C;
const GET_DEVICE_ID: u8 = 0x01;
const GET_CHANNEL_INFO: u8 = 0x42;
const GET_LAN: u8 = 0x02;
const MEDIUM_LAN: u8 = 0x04;
const CHANNELS: std::ops::RangeInclusive<u8> = 1..=11;

#[derive(Serialize, Deserialize)]
struct Cached {
    boot_id: String,
    at: u64,
    facts: Value,
}

/// Collects the section.
pub(super) fn probe(context: &Context) -> Found {
    let host = &context.host;
    let boot_id = host.word("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let now = host.live().since_boot();
    let path = context.request.state_dir.as_ref().map(|folder| folder.join(CACHE));
    if let Some(facts) = path.as_deref().and_then(|path| cached(path, &boot_id, now)) {
        return Found { facts, problems: Vec::new(), unavailable: None, late: false };
    }
    let mut bmc = match host.live().ipmi() {
        Ok(bmc) => bmc,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Facts::unavailable("no management controller, or no driver for it");
        }
        Err(error) => return Facts::unavailable(reason(&error)),
    };
    let found = ask(bmc.as_mut());
    if let Some(path) = path
        && found.problems.is_empty()
    {
        let cached = Cached { boot_id, at: now, facts: found.facts.clone() };
        // A cache that cannot be written only costs the next run its time.
        let _ = serde_json::to_vec(&cached).map(|text| std::fs::write(path, text));
    }
    found
}

fn cached(path: &Path, boot_id: &str, now: u64) -> Option<Value> {
    let cached: Cached = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    (cached.boot_id == boot_id && now >= cached.at && now - cached.at < CACHE_S).then_some(cached.facts)
}

fn ask(bmc: &mut dyn Bmc) -> Found {
    let mut facts = Facts::new();
    match command(bmc, APP, GET_DEVICE_ID, &[]) {
        Ok(Some(id)) => facts.set("device", device(&id)),
        Ok(None) => facts.missing("device", "refused"),
        // A controller that is silent here will be silent everywhere.
        Err(error) => return Facts::unavailable(reason(&error)),
    }
    let mut lans = Vec::new();
    for channel in CHANNELS {
        bmc.pause();
        let info = command(bmc, APP, GET_CHANNEL_INFO, &[channel]);
        if let Ok(Some(info)) = info
            && info.get(1).is_some_and(|medium| medium & 0x7F == MEDIUM_LAN)
        {
            lans.push(lan(bmc, channel, &mut facts));
        }
    }
    // Sentinels of the upstream agent: what it says if no channel has an address.
    let first = |key: &str, none: &str| {
        let usable = lans.iter().find_map(|lan| lan[key].as_str().filter(|text| *text != none));
        usable.unwrap_or(none).to_owned()
    };
    facts.set("address", first("address", "0.0.0.0"));
    facts.set("v6address", first("v6address", "::/0"));
    let with_address = lans.iter().find(|lan| lan["address"] != "0.0.0.0" || lan["v6address"] != "::/0");
    facts.set("mac", with_address.map(|lan| &lan["mac"]));
    facts.set("channels", lans);
    facts.done()
}

/// One request; `None` if the controller refuses it.
fn command(bmc: &mut dyn Bmc, netfn: u8, command: u8, data: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let answer = bmc.request(netfn, command, data)?;
    Ok((answer.first() == Some(&0)).then(|| answer[1..].to_vec()))
}

fn device(id: &[u8]) -> Value {
    let byte = |at: usize| id.get(at).copied().unwrap_or(0);
    // The minor version is written in decimal digits of four bits each.
    let firmware = format!("{}.{:02x}", byte(2) & 0x7F, byte(3));
    let maker = u32::from(byte(6)) | u32::from(byte(7)) << 8 | u32::from(byte(8) & 0x0F) << 16;
    json!({"firmware": firmware, "ipmi_version": format!("{}.{}", byte(4) & 0x0F, byte(4) >> 4),
           "manufacturer_id": maker, "product_id": u16::from_le_bytes([byte(9), byte(10)]), "device_id": byte(0)})
}

/// The configuration of a LAN channel.
fn lan(bmc: &mut dyn Bmc, channel: u8, facts: &mut Facts) -> Value {
    let mut parameter = |number: u8, set: u8| {
        bmc.pause();
        match command(bmc, TRANSPORT, GET_LAN, &[channel, number, set, 0]) {
            // The first byte is the revision of the parameter.
            Ok(answer) => answer.and_then(|bytes| bytes.get(1..).map(<[u8]>::to_vec)),
            Err(error) => {
                facts.missing("channels", format!("parameter {number} of channel {channel}: {}", reason(&error)));
                None
            }
        }
    };
    let v4 = |bytes: Option<Vec<u8>>| {
        bytes.and_then(|bytes| <[u8; 4]>::try_from(bytes.get(..4)?).ok()).map(|bytes| Ipv4Addr::from(bytes).to_string())
    };
    let address = v4(parameter(3, 0)).unwrap_or_else(|| "0.0.0.0".to_owned());
    let source = parameter(4, 0).and_then(|bytes| bytes.first().map(|byte| source(*byte)));
    let mac = parameter(5, 0).filter(|bytes| bytes.len() == 6).map(|bytes| mac_text(&bytes));
    let gateway = v4(parameter(12, 0));
    let vlan = parameter(20, 0).and_then(|bytes| {
        let word = u16::from_le_bytes([*bytes.first()?, *bytes.get(1)?]);
        (word & 0x8000 != 0).then_some(word & 0x0FFF)
    });
    // 50 tells whether IPv6 exists at all; 55 how many addresses there are of each kind.
    let v6 = parameter(50, 0).is_some().then(|| {
        let counts = parameter(55, 0).unwrap_or_default();
        let count = |at: usize| counts.get(at).copied().unwrap_or(1).min(2);
        let dynamic = (0..count(1)).find_map(|set| v6_address(&parameter(59, set)?, false));
        dynamic.or_else(|| (0..count(0)).find_map(|set| v6_address(&parameter(56, set)?, true)))
    });
    json!({"channel": channel, "address": address, "source": source, "mac": mac, "gateway": gateway, "vlan": vlan,
           "v6address": v6.flatten().unwrap_or_else(|| "::/0".to_owned())})
}

/// An IPv6 address record: set, source (bit 7 of a static one: enabled), address, prefix length, status (0 is active).
fn v6_address(record: &[u8], fixed: bool) -> Option<String> {
    let enabled = !fixed || record.get(1)? & 0x80 != 0;
    let address = Ipv6Addr::from(<[u8; 16]>::try_from(record.get(2..18)?).ok()?);
    (enabled && *record.get(19)? == 0 && !address.is_unspecified()).then(|| address.to_string())
}

fn source(byte: u8) -> &'static str {
    match byte & 0x0F {
        1 => "static",
        2 => "dhcp",
        3 => "bios",
        4 => "other",
        _ => "unknown",
    }
}
