//! Network addresses with their IANA address family.

use core::net::{Ipv4Addr, Ipv6Addr};

use crate::introspection::document::net::Mac;

/// The text of an address: family 1 IPv4, 2 IPv6, 6 MAC. Others are not shown.
pub(super) fn shown(family: u8, bytes: &[u8]) -> Option<String> {
    match family {
        1 => <[u8; 4]>::try_from(bytes).ok().map(|bytes| Ipv4Addr::from(bytes).to_string()),
        2 => <[u8; 16]>::try_from(bytes).ok().map(|bytes| Ipv6Addr::from(bytes).to_string()),
        6 => Mac::from_bytes(bytes).map(|mac| mac.to_string()),
        _ => None,
    }
}
