//! Decoding of LLDP announcements as agents report them, into the keys that clients show as columns
//! (spec/introspection.md §4.6).
//!
//! The bytes come from whatever is at the other end of a cable: what cannot be read is skipped, never an error.

mod address;
mod basic;
mod dot1;
mod dot3;
mod mau;

use serde_json::{Map, Value};

/// Most TLVs that are looked at per interface.
const MAX_TLVS: usize = 512;

/// Most bytes of TLVs that are looked at per interface.
const MAX_BYTES: usize = 4096;

/// Decodes the TLVs of one interface, `[[type, "hex"], ...]`. Unknown and malformed ones are left out; of a repeated
/// single value the first counts; lists collect.
#[must_use]
pub fn decode(tlvs: &Value) -> Map<String, Value> {
    let mut decoded = Decoded::default();
    let mut bytes = 0;
    for tlv in tlvs.as_array().into_iter().flatten().take(MAX_TLVS) {
        let Some((kind, body)) = read(tlv) else { continue };
        bytes += body.len();
        if bytes > MAX_BYTES {
            break;
        }
        // A TLV that cannot be read adds nothing.
        let _: Option<()> = decode_one(&mut decoded, kind, &body);
    }
    decoded.0
}

fn read(tlv: &Value) -> Option<(u64, Vec<u8>)> {
    let [kind, body] = tlv.as_array()?.as_slice() else { return None };
    Some((kind.as_u64()?, unhex(body.as_str()?)?))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    // The length field of a TLV has 9 bits.
    if !text.len().is_multiple_of(2) || text.len() > 2 * 511 {
        return None;
    }
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    text.as_bytes().chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

fn decode_one(out: &mut Decoded, kind: u64, body: &[u8]) -> Option<()> {
    match kind {
        1 => basic::chassis_id(out, body),
        2 => basic::port_id(out, body),
        4 => out.text("switch_port_description", body),
        5 => out.text("switch_system_name", body),
        6 => out.text("switch_system_description", body),
        7 => basic::capabilities(out, body),
        8 => basic::management_address(out, body),
        127 => {
            let (organisation, body) = body.split_first_chunk::<3>()?;
            let (subtype, body) = body.split_first()?;
            match organisation {
                [0x00, 0x80, 0xc2] => dot1::decode(out, *subtype, body),
                [0x00, 0x12, 0x0f] => dot3::decode(out, *subtype, body),
                _ => None,
            }
        }
        _ => None,
    }
}

/// What was decoded so far.
#[derive(Default)]
struct Decoded(Map<String, Value>);

impl Decoded {
    /// Sets a single value; the first one stays.
    fn set(&mut self, key: &str, value: impl Into<Value>) {
        if !self.0.contains_key(key) {
            self.0.insert(key.to_owned(), value.into());
        }
    }

    /// Adds to a list.
    fn append(&mut self, key: &str, value: impl Into<Value>) {
        let list = self.0.entry(key).or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(items) = list {
            items.push(value.into());
        }
    }

    /// Sets a text, which must be UTF-8.
    fn text(&mut self, key: &str, body: &[u8]) -> Option<()> {
        self.set(key, text(body)?);
        Some(())
    }
}

/// UTF-8 text. Some devices send the terminating zero of their strings along.
fn text(body: &[u8]) -> Option<&str> {
    core::str::from_utf8(body).ok().map(|text| text.trim_end_matches('\0'))
}

/// A field of exactly two bytes.
fn u16_of(body: &[u8]) -> Option<u16> {
    body.try_into().ok().map(u16::from_be_bytes)
}

/// The names of the bits that are set, by a list of mask and name.
fn names(bits: u16, list: &[(u16, &'static str)]) -> Vec<&'static str> {
    list.iter().filter(|(mask, _)| bits & mask != 0).map(|(_, name)| *name).collect()
}

/// Status and id of a link aggregation: one table, as IEEE moved it from 802.3 to 802.1.
fn link_aggregation(out: &mut Decoded, body: &[u8]) -> Option<()> {
    let [status, id @ ..] = <[u8; 5]>::try_from(body).ok()?;
    out.set("switch_port_link_aggregation_support", status & 0x01 != 0);
    out.set("switch_port_link_aggregation_enabled", status & 0x02 != 0);
    out.set("switch_port_link_aggregation_id", u32::from_be_bytes(id));
    Some(())
}

#[cfg(test)]
mod tests;
