//! The organisation-specific TLVs of IEEE 802.3 (00-12-0f): auto-negotiation, link aggregation, frame size.

use super::{Decoded, link_aggregation, mau, names, u16_of};

/// `IANAifMauAutoNegCapBits`: bit 0 is the most significant one of the first byte.
const ABILITIES: [(u16, &str); 15] = [
    (0x4000, "10BASE-T hdx"),
    (0x2000, "10BASE-T fdx"),
    (0x1000, "100BASE-T4"),
    (0x0800, "100BASE-TX hdx"),
    (0x0400, "100BASE-TX fdx"),
    (0x0200, "100BASE-T2 hdx"),
    (0x0100, "100BASE-T2 fdx"),
    (0x0080, "PAUSE fdx"),
    (0x0040, "Asym PAUSE fdx"),
    (0x0020, "Sym PAUSE fdx"),
    (0x0010, "Asym and Sym PAUSE fdx"),
    (0x0008, "1000BASE-X hdx"),
    (0x0004, "1000BASE-X fdx"),
    (0x0002, "1000BASE-T hdx"),
    (0x0001, "1000BASE-T fdx"),
];

pub(super) fn decode(out: &mut Decoded, subtype: u8, body: &[u8]) -> Option<()> {
    match subtype {
        1 => {
            let [status, a, b, c, d] = <[u8; 5]>::try_from(body).ok()?;
            out.set("switch_port_autonegotiation_support", status & 0x01 != 0);
            out.set("switch_port_autonegotiation_enabled", status & 0x02 != 0);
            out.set("switch_port_physical_capabilities", names(u16::from_be_bytes([a, b]), &ABILITIES));
            out.set("switch_port_mau_type", mau::name(u16::from_be_bytes([c, d])));
        }
        3 => link_aggregation(out, body)?,
        4 => out.set("switch_port_mtu", u16_of(body)?),
        _ => return None,
    }
    Some(())
}
