//! What the lease files of three DHCP servers say (spec/hooks.md §7.8). A line that is broken or not yet whole is skipped.

use std::collections::BTreeMap;

/// Address, then hardware address.
pub type Key = (String, String);

/// A lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The name that the client gave; empty if none.
    pub hostname: String,
    /// When it ends, in seconds since 1970; 0 means never.
    pub expiry: u64,
}

/// Lines of `END MAC IP HOSTNAME CLIENT-ID`, where `*` stands for none. Leases of IPv6, behind a line with `duid`, have no
/// hardware address and are left out.
#[must_use]
pub fn dnsmasq(text: &str) -> BTreeMap<Key, Lease> {
    let lines = whole_lines(text).take_while(|line| !line.starts_with("duid "));
    let parsed = lines.filter_map(|line| {
        let fields: Vec<&str> = line.split(' ').collect();
        let [expiry, mac, ip, hostname, _client] = fields[..] else { return None };
        let hostname = if hostname == "*" { "" } else { hostname };
        Some(((ip.to_owned(), hardware(mac)), Lease { hostname: hostname.to_owned(), expiry: expiry.parse().ok()? }))
    });
    parsed.collect()
}

/// A hardware address as others write it: dnsmasq puts the type before it where that is not Ethernet.
fn hardware(text: &str) -> String {
    text.rsplit('-').next().unwrap_or(text).to_ascii_lowercase()
}

/// Lines that are whole: what is behind the last line feed is still being written.
fn whole_lines(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'))
}

/// The files of Kea's memfile, oldest first: CSV whose first line names the columns. The last line of an address counts; one
/// that was declined or reclaimed, or has no lifetime, is no lease.
#[must_use]
pub fn kea(files: &[String]) -> BTreeMap<Key, Lease> {
    let mut by_address: BTreeMap<String, Option<(String, Lease)>> = BTreeMap::new();
    for file in files {
        let mut lines = whole_lines(file);
        let columns: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
        let column = |name: &str| columns.iter().position(|column| *column == name);
        let (Some(address), Some(hwaddr)) = (column("address"), column("hwaddr")) else { continue };
        for line in lines {
            let fields: Vec<&str> = line.split(',').collect();
            let field = |name: &str| column(name).and_then(|at| fields.get(at)).copied().unwrap_or_default();
            let (Some(ip), Some(mac)) = (fields.get(address), fields.get(hwaddr)) else { continue };
            let Ok(expiry) = field("expire").parse() else { continue };
            let valid = field("state") == "0" && field("valid_lifetime") != "0";
            let hostname = field("hostname").trim_end_matches('.').to_owned();
            let lease = (hardware(mac), Lease { hostname, expiry });
            by_address.insert((*ip).to_owned(), valid.then_some(lease));
        }
    }
    let valid = by_address.into_iter().filter_map(|(ip, lease)| lease.map(|(mac, lease)| ((ip, mac), lease)));
    valid.collect()
}

/// Blocks `lease IP { … }`; the last of an address counts.
#[must_use]
pub fn isc(text: &str) -> BTreeMap<Key, Lease> {
    let mut by_address: BTreeMap<String, Option<(String, Lease)>> = BTreeMap::new();
    let mut open: Option<Block> = None;
    for line in whole_lines(text).map(str::trim) {
        if let Some(ip) = line.strip_prefix("lease ").and_then(|rest| rest.strip_suffix(" {")) {
            open = Some(Block { ip: ip.to_owned(), ..Block::default() });
        } else if line == "}" {
            if let Some(block) = open.take() {
                by_address.insert(block.ip.clone(), block.lease());
            }
        } else if let (Some(block), Some(statement)) = (&mut open, line.strip_suffix(';')) {
            block.take(statement);
        }
    }
    let valid = by_address.into_iter().filter_map(|(ip, lease)| lease.map(|(mac, lease)| ((ip, mac), lease)));
    valid.collect()
}

/// A block while it is read.
#[derive(Default)]
struct Block {
    ip: String,
    mac: String,
    hostname: String,
    active: bool,
    ends: u64,
}

impl Block {
    fn take(&mut self, statement: &str) {
        if let Some(state) = statement.strip_prefix("binding state ") {
            self.active = state == "active";
        } else if let Some(mac) = statement.strip_prefix("hardware ").and_then(|rest| rest.split(' ').nth(1)) {
            self.mac = hardware(mac);
        } else if let Some(name) = statement.strip_prefix("client-hostname ") {
            self.hostname = name.trim_matches('"').to_owned();
        } else if let Some(ends) = statement.strip_prefix("ends ") {
            self.ends = moment(ends).unwrap_or(0);
        }
    }

    fn lease(self) -> Option<(String, Lease)> {
        self.active.then_some((self.mac, Lease { hostname: self.hostname, expiry: self.ends }))
    }
}

/// `4 2026/01/01 00:00:00` (UTC, with the day of the week), `epoch 1767225600`, or `never`.
fn moment(text: &str) -> Option<u64> {
    if let Some(epoch) = text.strip_prefix("epoch ") {
        return epoch.split([' ', ';']).next()?.parse().ok();
    }
    let (_, date) = text.split_once(' ')?;
    let iso = format!("{}Z", date.replace('/', "-").replace(' ', "T"));
    let moment: hostler_common::time::Timestamp = iso.parse().ok()?;
    u64::try_from(moment.as_micros() / 1_000_000).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn show(leases: BTreeMap<Key, Lease>) -> Vec<String> {
        leases.iter().map(|((ip, mac), lease)| format!("{ip} {mac} {} {}", lease.hostname, lease.expiry)).collect()
    }

    #[test]
    fn dnsmasq_lines() {
        let text = "1767225600 00:11:22:33:44:AA 10.0.0.9 web ff:01\n0 06-00:11:22:33:44:bb 10.0.0.10 * *\nbroken\n\
                    1767225600 00:11:22:33:44:cc 10.0.0.11 part";
        let expected = ["10.0.0.10 00:11:22:33:44:bb  0", "10.0.0.9 00:11:22:33:44:aa web 1767225600"];
        assert_eq!(show(dnsmasq(text)), expected);
        assert!(dnsmasq("duid 00:01\n1767225600 1 fd00::9 web *\n").is_empty());
    }

    #[test]
    fn kea_files() {
        let head =
            "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context\n";
        let old = format!("{head}10.0.0.5,00:11:22:33:44:55,,3600,100,1,0,0,a.example.,0,\n");
        let new = format!(
            "{head}10.0.0.5,00:11:22:33:44:55,,3600,200,1,0,0,a.example.,0,\n10.0.0.6,00:11:22:33:44:66,,3600,9,1,0,0,,2,\n\
             10.0.0.7,00:11:22:33:44:77,,0,9,1,0,0,,0,\n10.0.0.8,00:11"
        );
        assert_eq!(show(kea(&[old, new])), ["10.0.0.5 00:11:22:33:44:55 a.example 200"]);
        assert!(kea(&["something else\n".into()]).is_empty());
    }

    #[test]
    fn isc_blocks() {
        let text = "# comment\nserver-duid \"x\";\nlease 10.0.0.5 {\n  starts 4 2026/01/01 00:00:00;\n  ends 4 2026/01/01 00:10:00;\n\
                    binding state active;\n  hardware ethernet 00:11:22:33:44:55;\n  client-hostname \"web\";\n}\n\
                    lease 10.0.0.6 {\n  ends never;\n  binding state active;\n  hardware ethernet 00:11:22:33:44:66;\n}\n\
                    lease 10.0.0.7 {\n  binding state active;\n}\nlease 10.0.0.7 {\n  binding state free;\n}\n\
                    lease 10.0.0.8 {\n  binding state active;\n";
        let expected = ["10.0.0.5 00:11:22:33:44:55 web 1767226200", "10.0.0.6 00:11:22:33:44:66  0"];
        assert_eq!(show(isc(text)), expected);
        assert_eq!(moment("epoch 77; # Thu Jan 1"), Some(77));
    }

    proptest! {
        #[test]
        fn arbitrary_files_are_survived(text in "[ -~\n]{0,300}") {
            let _ = dnsmasq(&text);
            let _ = isc(&text);
            let _ = kea(&[format!("address,hwaddr,expire\n{text}\n")]);
        }
    }
}
