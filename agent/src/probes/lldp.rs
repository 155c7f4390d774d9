//! LLDP neighbours as they are known at this moment: collection never waits for a frame (spec/introspection.md §6.2).

use serde_json::{Map, Value, json};

use super::facts::{Facts, Found, is_absence, reason};
use super::host::HostRoot;
use super::{Context, lldpd};
use crate::lldp::{Cache, FILE, parse};

/// Where systemd-networkd keeps the frames of its neighbours, by interface index.
const NETWORKD: &str = "/run/systemd/netif/lldp";
const NETWORKD_MAX: u64 = 64 << 10;

/// Collects the section.
pub(super) fn probe(context: &Context) -> Found {
    let host = &context.host;
    let mut raw = from_networkd(host);
    let mut source = if raw.is_empty() { None } else { Some("systemd-networkd") };
    let mut stopped = None;
    if let Some(folder) = &context.request.state_dir
        && let Ok(text) = std::fs::read(folder.join(FILE))
        && let Ok(cache) = serde_json::from_slice::<Cache>(&text)
    {
        let boot = host.word("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        stopped.clone_from(&cache.unavailable);
        for (interface, tlvs) in cache.fresh(&boot, host.live().since_boot()) {
            if let std::collections::btree_map::Entry::Vacant(entry) = raw.entry(interface) {
                entry.insert(tlvs);
                source = source.or(Some("agent"));
            }
        }
    }
    let mut lldpd = Ok(());
    if raw.is_empty() {
        match host.live().lldpd() {
            Ok(answer) => {
                raw = lldpd::neighbours(&answer).unwrap_or_default();
                source = Some("lldpd");
            }
            Err(error) => lldpd = Err(error),
        }
    }
    if raw.is_empty() && source.is_none() {
        if let Some(reason) = stopped {
            return Facts::unavailable(reason);
        }
        if context.request.state_dir.is_none() {
            return Facts::unavailable("no listener: the agent does not run");
        }
    }
    let mut facts = Facts::new();
    if let Err(error) = lldpd
        && !is_absence(&error)
    {
        facts.missing("lldpd", reason(&error));
    }
    let raw: Map<String, Value> = raw.into_iter().map(|(interface, tlvs)| (interface, json!(tlvs))).collect();
    facts.set("source", source);
    facts.set("interfaces", raw.keys().collect::<Vec<_>>());
    facts.set("raw", raw);
    facts.done()
}

/// Types and hexadecimal values of the records of each interface's neighbour.
pub(super) type Neighbours = std::collections::BTreeMap<String, Vec<(u8, String)>>;

/// networkd writes each neighbour as a 64-bit length and the frame as it came from the wire.
fn from_networkd(host: &HostRoot) -> Neighbours {
    let mut found = Neighbours::new();
    let names: Vec<(String, u32)> = host
        .list("/sys/class/net")
        .into_iter()
        .filter_map(|name| host.number(&format!("/sys/class/net/{name}/ifindex")).map(|index| (name, index)))
        .collect();
    for file in host.list(NETWORKD) {
        let Some((name, _)) = names.iter().find(|(_, index)| file.parse() == Ok(*index)) else { continue };
        let Ok(bytes) = host.bytes(&format!("{NETWORKD}/{file}"), NETWORKD_MAX) else { continue };
        let Some((len, rest)) = bytes.split_first_chunk::<8>() else { continue };
        let len = usize::try_from(u64::from_le_bytes(*len)).unwrap_or(usize::MAX);
        if let Some(neighbour) = rest.get(..len).and_then(parse) {
            found.insert(name.clone(), neighbour.tlvs);
        }
    }
    found
}
