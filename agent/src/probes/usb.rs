//! USB devices, so that a stick that nobody ordered is seen.

use serde_json::{Value, json};

use super::Context;
use super::facts::{Facts, Found};

const DEVICES: &str = "/sys/bus/usb/devices";

/// Collects the section.
pub(super) fn probe(context: &Context) -> Found {
    let host = &context.host;
    if !host.exists(DEVICES) {
        return Facts::unavailable("no USB bus");
    }
    let mut facts = Facts::new();
    let (mut own, mut upstream) = (Vec::<Value>::new(), Vec::<Value>::new());
    // Names with a colon are interfaces of devices.
    for name in host.list(DEVICES).into_iter().filter(|name| !name.contains(':')) {
        let word = |file: &str| host.word(&format!("{DEVICES}/{name}/{file}"));
        let (vendor, product) = (word("manufacturer"), word("product"));
        upstream.push(json!({"product": product, "vendor": vendor, "handle": format!("USB:{name}")}));
        let interfaces: Vec<String> = host
            .list(&format!("{DEVICES}/{name}"))
            .into_iter()
            .filter(|entry| entry.contains(':'))
            .filter_map(|entry| host.word(&format!("{DEVICES}/{name}/{entry}/bInterfaceClass")))
            .collect();
        own.push(json!({
            "address": name, "vendor_id": word("idVendor"), "product_id": word("idProduct"), "vendor": vendor,
            "product": product, "serial": word("serial"), "class": word("bDeviceClass"),
            "storage": interfaces.iter().any(|class| class == "08"),
        }));
    }
    facts.set("devices", own);
    facts.set("compatible", upstream);
    facts.done()
}
