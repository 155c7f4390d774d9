//! The basic TLVs of IEEE 802.1AB.

use super::{Decoded, address, names, text, u16_of};
use crate::introspection::document::net::Mac;

/// Bit 0, "other", says nothing and is not shown.
const CAPABILITIES: [(u16, &str); 10] = [
    (1 << 1, "Repeater"),
    (1 << 2, "Bridge"),
    (1 << 3, "WLAN"),
    (1 << 4, "Router"),
    (1 << 5, "Telephone"),
    (1 << 6, "DOCSIS cable device"),
    (1 << 7, "Station only"),
    (1 << 8, "C-Vlan"),
    (1 << 9, "S-Vlan"),
    (1 << 10, "TPMR"),
];

pub(super) fn chassis_id(out: &mut Decoded, body: &[u8]) -> Option<()> {
    let (subtype, id) = body.split_first()?;
    let shown = match subtype {
        1 | 2 | 3 | 6 | 7 => text(id)?.to_owned(),
        4 => Mac::from_bytes(id)?.to_string(),
        5 => family_and_address(id)?,
        _ => return None,
    };
    out.set("switch_chassis_id", shown);
    Some(())
}

pub(super) fn port_id(out: &mut Decoded, body: &[u8]) -> Option<()> {
    let (subtype, id) = body.split_first()?;
    let shown = match subtype {
        1 | 2 | 5 | 7 => text(id)?.to_owned(),
        3 => Mac::from_bytes(id)?.to_string(),
        4 => family_and_address(id)?,
        _ => return None,
    };
    out.set("switch_port_id", shown);
    Some(())
}

pub(super) fn capabilities(out: &mut Decoded, body: &[u8]) -> Option<()> {
    let (support, enabled) = body.split_first_chunk::<2>()?;
    let enabled = u16_of(enabled)?;
    out.set("switch_capabilities_support", names(u16::from_be_bytes(*support), &CAPABILITIES));
    out.set("switch_capabilities_enabled", names(enabled, &CAPABILITIES));
    Some(())
}

/// Length of what follows including the family, family, address; interface numbers after it are not shown.
pub(super) fn management_address(out: &mut Decoded, body: &[u8]) -> Option<()> {
    let (length, rest) = body.split_first()?;
    let address = family_and_address(rest.get(..usize::from(*length))?)?;
    out.append("switch_mgmt_addresses", address);
    Some(())
}

fn family_and_address(bytes: &[u8]) -> Option<String> {
    let (family, address) = bytes.split_first()?;
    address::shown(*family, address)
}
