//! The organisation-specific TLVs of IEEE 802.1 (00-80-c2): VLANs, protocols, link aggregation.

use core::fmt::Write;

use serde_json::json;

use super::{Decoded, link_aggregation, text, u16_of};

pub(super) fn decode(out: &mut Decoded, subtype: u8, body: &[u8]) -> Option<()> {
    match subtype {
        1 => out.set("switch_port_untagged_vlan_id", u16_of(body)?),
        2 => {
            let [flags, id @ ..] = <[u8; 3]>::try_from(body).ok()?;
            out.set("switch_port_protocol_vlan_support", flags & 0x02 != 0);
            out.set("switch_port_protocol_vlan_enabled", flags & 0x04 != 0);
            out.append("switch_port_protocol_vlan_ids", u16::from_be_bytes(id));
        }
        3 => {
            let (id, rest) = body.split_first_chunk::<2>()?;
            let name = text(with_length(rest)?)?;
            out.append("switch_port_vlans", json!({"name": name, "id": u16::from_be_bytes(*id)}));
        }
        4 => {
            let mut hex = String::new();
            for byte in with_length(body)? {
                write!(hex, "{byte:02x}").ok()?;
            }
            out.append("switch_protocol_identities", hex);
        }
        6 => out.set("switch_port_management_vlan_id", u16_of(body)?),
        7 => link_aggregation(out, body)?,
        _ => return None,
    }
    Some(())
}

/// The bytes after a length byte, which must be all there are.
fn with_length(body: &[u8]) -> Option<&[u8]> {
    let (length, rest) = body.split_first()?;
    (rest.len() == usize::from(*length)).then_some(rest)
}
