//! Addresses: MACs, IP addresses and networks as documents and rules spell them. Only values, no sockets.

use core::net::IpAddr;
use std::fmt;

/// A 48-bit hardware address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Mac([u8; 6]);

impl Mac {
    /// From its bytes; `None` unless there are six.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Reads `aa:bb:cc:dd:ee:ff` or the form with hyphens, any case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let separator = if text.contains('-') { '-' } else { ':' };
        let mut bytes = [0; 6];
        let mut groups = text.split(separator);
        for byte in &mut bytes {
            let group = groups.next()?;
            if group.len() != 2 || !group.bytes().all(|b| b.is_ascii_hexdigit()) {
                return None;
            }
            *byte = u8::from_str_radix(group, 16).ok()?;
        }
        groups.next().is_none().then_some(Self(bytes))
    }

    /// Reads a boot interface: a MAC, or the `BOOTIF` form with a hardware type of two digits before it.
    #[must_use]
    pub fn parse_boot(text: &str) -> Option<Self> {
        Self::parse(text).or_else(|| {
            let (kind, mac) = text.split_once('-')?;
            (kind.len() == 2).then(|| Self::parse(mac)).flatten()
        })
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// Reads an IP address; the zone of a link-local IPv6 address is cut off.
#[must_use]
pub fn parse_ip(text: &str) -> Option<IpAddr> {
    text.split('%').next()?.parse().ok()
}

/// An IP network. Host bits may be set, they do not count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Reads `address/prefix`, `address/netmask` (IPv4) or a plain address, which is a network of one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.trim().parse().ok()?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match length {
            None => bits,
            Some(length) => parse_prefix(length.trim(), address)?,
        };
        (prefix <= bits).then_some(Self { address, prefix })
    }

    /// Whether the address is of the same family and in the network.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let shift = 32 - u32::from(self.prefix);
                u32::from(network).checked_shr(shift) == u32::from(address).checked_shr(shift)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let shift = 128 - u32::from(self.prefix);
                u128::from(network).checked_shr(shift) == u128::from(address).checked_shr(shift)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

fn parse_prefix(text: &str, address: IpAddr) -> Option<u8> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().ok();
    }
    let IpAddr::V4(mask) = text.parse().ok()? else { return None };
    let mask = u32::from(mask);
    // A netmask is ones followed by zeros; anything else names no network.
    let prefix = mask.leading_ones();
    (address.is_ipv4() && mask.count_ones() == prefix).then(|| u8::try_from(prefix).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macs() {
        let mac = Mac::parse("AA:bb:cc:00:11:22").map(|mac| mac.to_string());
        assert_eq!(mac.as_deref(), Some("aa:bb:cc:00:11:22"));
        assert_eq!(Mac::parse_boot("01-aa-bb-cc-00-11-22").map(|mac| mac.to_string()), mac);
        assert_eq!(Mac::parse_boot("aa-bb-cc-00-11-22").map(|mac| mac.to_string()), mac);
        for bad in
            ["", "aa:bb:cc:00:11", "aa:bb:cc:00:11:22:33", "aa:bb:cc:00:11:zz", "+a:bb:cc:00:11:22", "aabbcc001122"]
        {
            assert_eq!(Mac::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn networks() {
        let table = [
            ("10.1.2.3/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("0.0.0.0/0", "203.0.113.1", true),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.0/255.255.255.0", "192.0.2.9", true),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::/0", "192.0.2.1", false),
            ("fe80::/64", "fe80::1%eth0", true),
        ];
        for (network, address, inside) in table {
            let network = Network::parse(network).unwrap();
            assert_eq!(network.contains(parse_ip(address).unwrap()), inside, "{network:?} {address}");
        }
        for bad in ["", "zz", "10.0.0.0/33", "::/129", "10.0.0.0/255.0.255.0", "10.0.0.0/", "1.2.3/8", "::/255.0.0.0"] {
            assert_eq!(Network::parse(bad), None, "{bad}");
        }
    }
}
