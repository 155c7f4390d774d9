//! PCI devices with their drivers, links, virtual functions and places.

use serde_json::{Value, json};

use super::Context;
use super::facts::{Facts, Found, is_absence, reason};
use super::host::HostRoot;

const DEVICES: &str = "/sys/bus/pci/devices";

/// Collects the section.
pub(super) fn probe(context: &Context) -> Found {
    let host = &context.host;
    if let Err(error) = std::fs::read_dir(host.path(DEVICES)) {
        let text = if is_absence(&error) { "no PCI bus".to_owned() } else { reason(&error) };
        return Facts::unavailable(text);
    }
    let mut facts = Facts::new();
    let names = host.list(DEVICES);
    let shared = host.clone();
    let read = super::run::each(names.clone(), super::DEADLINE, super::DEVICES_DEADLINE, move |name| {
        (device(&shared, name), compatible(&shared, name))
    });
    let (mut own, mut upstream) = (Vec::new(), Vec::new());
    for (name, result) in names.iter().zip(read) {
        match result {
            Some((device, compatible)) => {
                own.push(device);
                upstream.push(compatible);
            }
            None => facts.timed_out(name),
        }
    }
    facts.set("devices", own);
    facts.set("compatible", upstream);
    facts.done()
}

fn id(host: &HostRoot, name: &str, file: &str) -> Option<String> {
    host.word(&format!("{DEVICES}/{name}/{file}")).map(|text| text.trim_start_matches("0x").to_owned())
}

/// The record of the upstream agent: identifiers without prefix, the node as a string.
fn compatible(host: &HostRoot, name: &str) -> Value {
    json!({
        "vendor_id": id(host, name, "vendor"),
        "product_id": id(host, name, "device"),
        "class": id(host, name, "class"),
        "revision": id(host, name, "revision"),
        "bus": name,
        "numa_node_id": host.word(&format!("{DEVICES}/{name}/numa_node")).unwrap_or_else(|| "-1".to_owned()),
    })
}

fn device(host: &HostRoot, name: &str) -> Value {
    let base = format!("{DEVICES}/{name}");
    let word = |file: &str| host.word(&format!("{base}/{file}"));
    let number = |file: &str| host.number::<u64>(&format!("{base}/{file}"));
    let link = |file: &str| host.link_name(&format!("{base}/{file}"));
    let class = id(host, name, "class").unwrap_or_default();
    let functions: Vec<String> =
        host.list(&base).iter().filter(|entry| entry.starts_with("virtfn")).filter_map(|entry| link(entry)).collect();
    let (speed, max_speed) = (word("current_link_speed"), word("max_link_speed"));
    let (width, max_width) = (number("current_link_width"), number("max_link_width"));
    let mut device = json!({
        "address": name,
        "vendor_id": id(host, name, "vendor"),
        "device_id": id(host, name, "device"),
        "subsystem_vendor_id": id(host, name, "subsystem_vendor"),
        "subsystem_device_id": id(host, name, "subsystem_device"),
        "class": class,
        "kind": kind(&class),
        "revision": id(host, name, "revision"),
        "driver": link("driver"),
        "numa_node": host.number::<i32>(&format!("{base}/numa_node")).filter(|node| *node >= 0),
        "iommu_group": link("iommu_group"),
        "label": word("label"),
        "boot_vga": host.flag(&format!("{base}/boot_vga")),
        "current_link_speed": speed,
        "current_link_width": width,
        "max_link_speed": max_speed,
        "max_link_width": max_width,
        "link_degraded": degraded(speed.as_deref(), max_speed.as_deref(), width, max_width),
    });
    if let Some(total) = number("sriov_totalvfs") {
        device["sriov"] = json!({"total": total, "in_use": number("sriov_numvfs"), "functions": functions});
    }
    if let Some(physical) = link("physfn") {
        device["physical_function"] = json!(physical);
    }
    let profiles = host.list(&format!("{base}/mdev_supported_types"));
    if !profiles.is_empty() {
        device["mdev_types"] = json!(profiles);
    }
    let errors = aer(host, &base);
    if !errors.is_null() {
        device["statistics"] = errors;
    }
    device
}

/// Totals of the Advanced Error Reporting counters; null without them.
fn aer(host: &HostRoot, base: &str) -> Value {
    let total = |file: &str| {
        let text = host.word(&format!("{base}/{file}"))?;
        text.lines().find_map(|line| line.strip_prefix("TOTAL_ERR_")?.split_once(' ')?.1.trim().parse::<u64>().ok())
    };
    match (total("aer_dev_correctable"), total("aer_dev_nonfatal"), total("aer_dev_fatal")) {
        (None, None, None) => Value::Null,
        (correctable, nonfatal, fatal) => json!({"correctable": correctable, "nonfatal": nonfatal, "fatal": fatal}),
    }
}

/// Whether a link runs below its ability. A width of 0 or 255 means that there is no link.
fn degraded(speed: Option<&str>, max_speed: Option<&str>, width: Option<u64>, max_width: Option<u64>) -> Option<bool> {
    let gts = |text: Option<&str>| text?.split_whitespace().next()?.parse::<f64>().ok();
    let (width, max_width) = (width.filter(|w| (1..255).contains(w))?, max_width.filter(|w| (1..255).contains(w))?);
    Some(width < max_width || gts(speed)? < gts(max_speed)?)
}

fn kind(class: &str) -> Option<&'static str> {
    Some(match class.get(..4)? {
        "0100" | "0104" | "0106" | "0107" => "storage",
        "0108" => "nvme",
        "0200" => "network",
        "0207" => "infiniband",
        "0300" | "0302" | "0380" => "gpu",
        "0604" => "bridge",
        "0b40" | "1200" => "accelerator",
        "0c03" => "usb",
        "0c04" => "fibre channel",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::degraded;

    #[test]
    fn links_below_their_ability() {
        let (fast, slow) = (Some("16.0 GT/s PCIe"), Some("8.0 GT/s PCIe"));
        assert_eq!(degraded(fast, fast, Some(8), Some(8)), Some(false));
        assert_eq!(degraded(slow, fast, Some(8), Some(8)), Some(true));
        assert_eq!(degraded(fast, fast, Some(4), Some(8)), Some(true));
        assert_eq!(degraded(Some("Unknown"), fast, Some(0), Some(8)), None);
    }
}
