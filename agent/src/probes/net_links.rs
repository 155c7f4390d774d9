//! Network interfaces one by one: netlink's word, sysfs and ethtool put together.

use std::collections::BTreeMap;
use std::io;

use serde_json::{Value, json};

use super::dmi::Tables;
use super::facts::{Facts, is_absence, reason};
use super::host::HostRoot;
use super::live::{Address, Link};
use crate::sys::ethtool::{LinkSettings, mode_speed};

const NET: &str = "/sys/class/net";
/// Drivers of network interfaces that management controllers offer to their host over USB.
const INBAND_DRIVERS: &[&str] = &["cdc_ether", "cdc_ncm", "cdc_eem", "rndis_host"];
const MELLANOX: &str = "0x15b3";
/// What a DHCP client on InfiniBand puts before its GUID.
const CLIENT_ID: &str = "ff:00:00:00:00:00:02:00:00:02:c9:00:";

/// Adds `links` to the section.
pub(super) fn collect(host: &HostRoot, facts: &mut Facts) {
    let links = links(host, facts);
    let addresses = host.live().addresses().unwrap_or_else(|error| {
        if !is_absence(&error) {
            facts.missing("addresses", reason(&error));
        }
        Vec::new()
    });
    let shared = Shared {
        host: host.clone(),
        names: links.iter().map(|link| (link.index, link.name.clone())).collect(),
        addresses,
        inband: inband_ids(host),
    };
    let names: Vec<String> = links.iter().map(|link| link.name.clone()).collect();
    let read =
        super::run::each(links, super::DEADLINE, super::DEVICES_DEADLINE, move |link: &Link| describe(&shared, link));
    let mut described = Vec::new();
    for (name, result) in names.iter().zip(read) {
        match result {
            Some(link) => described.push(link),
            None => {
                facts.timed_out(name);
                described.push(json!({"name": name, "status": "timeout"}));
            }
        }
    }
    facts.set("links", described);
}

/// Interfaces by netlink, completed by those that only sysfs shows: without netlink all of them.
fn links(host: &HostRoot, facts: &mut Facts) -> Vec<Link> {
    let mut links = match host.live().links() {
        Ok(links) => links,
        Err(error) => {
            if !is_absence(&error) {
                facts.missing("netlink", reason(&error));
            }
            Vec::new()
        }
    };
    for name in host.list(NET) {
        // `bonding_masters` and the like are files.
        if host.exists(&format!("{NET}/{name}/ifindex")) && links.iter().all(|link| link.name != name) {
            links.push(from_sysfs(host, name));
        }
    }
    links.sort_by(|a, b| super::host::natural(&a.name, &b.name));
    links
}

fn from_sysfs(host: &HostRoot, name: String) -> Link {
    let base = format!("{NET}/{name}");
    let uevent = host.word(&format!("{base}/uevent")).unwrap_or_default();
    let kind = uevent.lines().find_map(|line| line.strip_prefix("DEVTYPE=")).map(str::to_owned);
    let flags =
        host.word(&format!("{base}/flags")).and_then(|f| u32::from_str_radix(f.trim_start_matches("0x"), 16).ok());
    let index = host.number(&format!("{base}/ifindex")).unwrap_or(0);
    let master = host.number(&format!("{base}/master/ifindex"));
    Link {
        index,
        kind: if host.exists(&format!("{base}/bonding")) { Some("bond".to_owned()) } else { kind },
        address: host.word(&format!("{base}/address")).filter(|mac| !mac.is_empty()),
        mtu: host.number(&format!("{base}/mtu")),
        up: flags.is_some_and(|flags| flags & 1 != 0),
        carrier: host.flag(&format!("{base}/carrier")),
        lower: host.number::<u32>(&format!("{base}/iflink")).filter(|lower| *lower != index && *lower != 0),
        carrier_changes: host.number(&format!("{base}/carrier_changes")),
        master,
        name,
        ..Link::default()
    }
}

struct Shared {
    host: HostRoot,
    names: BTreeMap<u32, String>,
    addresses: Vec<Address>,
    inband: Vec<String>,
}

fn describe(shared: &Shared, link: &Link) -> Value {
    let host = &shared.host;
    let base = format!("{NET}/{}", link.name);
    let word = |file: &str| host.word(&format!("{base}/{file}"));
    let device = host.exists(&format!("{base}/device"));
    let kind = link.kind.clone().unwrap_or_else(|| hardware_kind(host, &base).to_owned());
    let bond = host.exists(&format!("{base}/bonding"));
    let driver = host.link_name(&format!("{base}/device/driver"));
    let asked = device.then(|| host.live().ethtool_driver(&link.name).ok()).flatten();
    let settings =
        if device || bond { host.live().ethtool_link(&link.name) } else { Err(io::ErrorKind::Unsupported.into()) };
    let (max, current, duplex) = speeds(host, &base, settings);
    let permanent = link
        .permanent_address
        .clone()
        .or_else(|| if device { host.live().ethtool_address(&link.name).ok().flatten() } else { None });
    let (vendor, product) = (word("device/vendor"), word("device/device"));
    let hardware = hardware_address(permanent.as_deref().or(link.address.as_deref()), vendor.as_deref());
    let ids = usb_ids(host, &base);
    let inband = driver.as_deref().is_some_and(|driver| INBAND_DRIVERS.contains(&driver))
        || ids.as_ref().is_some_and(|ids| shared.inband.contains(ids));
    let name_of = |index: Option<u32>| index.and_then(|index| shared.names.get(&index)).cloned();
    let mut lower: Vec<String> =
        host.list(&base).iter().filter_map(|entry| entry.strip_prefix("lower_").map(str::to_owned)).collect();
    if lower.is_empty() {
        lower.extend(name_of(link.lower));
    }
    let functions = host.number::<u32>(&format!("{base}/device/sriov_totalvfs"));
    json!({
        "name": link.name, "index": link.index, "kind": kind,
        "listed": kind != "loopback" && (device || kind == "vlan" || bond),
        "mac_address": hardware.mac, "current_address": link.address, "permanent_address": permanent,
        "mac_local_admin": link.address.as_deref().and_then(first_byte).map(|byte| byte & 2 != 0),
        "guid": hardware.guid, "client_id": hardware.client_id,
        "is_vf": host.exists(&format!("{base}/device/physfn")), "bmc_inband": inband,
        "master": name_of(link.master), "lower": lower, "vlan": link.vlan, "mtu": link.mtu, "up": link.up,
        "has_carrier": link.carrier.unwrap_or(false), "operstate": word("operstate"),
        "speed_mbps": max, "speed_mbps_current": current, "duplex": duplex,
        "driver": driver.or_else(|| asked.as_ref().map(|asked| asked.name.clone())),
        "driver_version": asked.as_ref().map(|asked| &asked.version),
        "firmware": asked.as_ref().map(|asked| &asked.firmware).filter(|firmware| !firmware.is_empty()),
        "pci_address": pci_address(host, &base), "vendor": vendor, "product": product,
        "numa_node": host.number::<i32>(&format!("{base}/device/numa_node")).filter(|node| *node >= 0),
        "label": word("device/label").or_else(|| word("device/acpi_index")),
        "port_name": word("phys_port_name"), "port_id": word("phys_port_id"), "switch_id": word("phys_switch_id"),
        "sriov": functions.map(|total| json!({"total": total, "in_use": host.number::<u32>(&format!("{base}/device/sriov_numvfs"))})),
        "alternative_names": link.alternative_names, "promiscuity": link.promiscuity,
        "carrier_changes": link.carrier_changes, "statistics": statistics(host, &base),
        "addresses": addresses(shared, link.index),
    })
}

/// What an interface is known by.
#[derive(Default)]
struct Hardware {
    mac: Option<String>,
    guid: Option<String>,
    client_id: Option<String>,
}

/// Ethernet has a MAC. InfiniBand has twenty bytes, of which the last eight are a GUID, and only one maker's GUIDs contain a
/// MAC (spec/introspection.md §4.4).
fn hardware_address(address: Option<&str>, vendor: Option<&str>) -> Hardware {
    match address {
        Some(address) if address.len() == 59 && address.is_ascii() => {
            let guid = &address[36..];
            let known = vendor == Some(MELLANOX);
            Hardware {
                mac: known.then(|| format!("{}{}", &guid[..9], &guid[15..])),
                client_id: known.then(|| format!("{CLIENT_ID}{guid}")),
                guid: Some(guid.to_owned()),
            }
        }
        Some(address) if address.len() == 17 => Hardware { mac: Some(address.to_owned()), ..Hardware::default() },
        _ => Hardware::default(),
    }
}

fn statistics(host: &HostRoot, base: &str) -> BTreeMap<&'static str, Option<u64>> {
    ["rx_errors", "tx_errors", "rx_dropped", "tx_dropped", "rx_missed_errors", "rx_crc_errors"]
        .into_iter()
        .map(|counter| (counter, host.number(&format!("{base}/statistics/{counter}"))))
        .collect()
}

fn addresses(shared: &Shared, index: u32) -> Vec<Value> {
    shared
        .addresses
        .iter()
        .filter(|address| address.index == index)
        .map(|a| json!({"address": a.address, "prefix": a.prefix, "scope": a.scope, "secondary": a.secondary}))
        .collect()
}

/// Greatest and current speed in Mbit/s, and duplex; sysfs where ethtool is silent.
fn speeds(
    host: &HostRoot,
    base: &str,
    settings: io::Result<LinkSettings>,
) -> (Option<u32>, Option<u32>, Option<String>) {
    let sysfs =
        || host.number::<i64>(&format!("{base}/speed")).and_then(|speed| u32::try_from(speed).ok()).filter(|s| *s > 0);
    let settings = settings.unwrap_or_default();
    let current = settings.speed.or_else(sysfs);
    let max = settings.supported.iter().filter_map(|bit| mode_speed(*bit)).max().or(current);
    let duplex = settings.duplex.or_else(|| host.word(&format!("{base}/duplex")).filter(|text| text != "unknown"));
    (max, current, duplex)
}

fn hardware_kind(host: &HostRoot, base: &str) -> &'static str {
    match host.number::<u32>(&format!("{base}/type")) {
        Some(772) => "loopback",
        Some(32) => "infiniband",
        Some(1) => "ether",
        _ => "other",
    }
}

/// The first byte of a MAC in text.
fn first_byte(mac: &str) -> Option<u8> {
    u8::from_str_radix(mac.get(..2)?, 16).ok()
}

/// The PCI device that an interface sits on, also through virtio or USB; else the name of its own device.
fn pci_address(host: &HostRoot, base: &str) -> Option<String> {
    let path = host.resolve(&format!("{base}/device"))?;
    let is_pci = |part: &&str| {
        let part = part.as_bytes();
        part.len() >= 12 && part[4] == b':' && part[7] == b':' && part[10] == b'.'
    };
    let found = path.rsplit('/').find(is_pci).or_else(|| path.rsplit('/').next())?;
    Some(found.to_owned())
}

/// `vendor:product` of the USB device of an interface.
fn usb_ids(host: &HostRoot, base: &str) -> Option<String> {
    let word = |file: &str| host.word(&format!("{base}/device/../{file}"));
    Some(format!("{}:{}", word("idVendor")?, word("idProduct")?))
}

/// USB identities of the interfaces by which firmware says that its management controller is reached (SMBIOS type 42).
fn inband_ids(host: &HostRoot) -> Vec<String> {
    let Ok(tables) = Tables::read(host) else { return Vec::new() };
    tables
        .of(42)
        .filter(|entry| entry.byte(4) == Some(0x40) && matches!(entry.byte(6), Some(2 | 4)))
        .filter_map(|entry| Some(format!("{:04x}:{:04x}", entry.word(7)?, entry.word(9)?)))
        .collect()
}
