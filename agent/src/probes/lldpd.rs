//! Neighbours that lldpd knows, as its client tells them, put back into the records of a frame.
//!
//! An exception to "probes start no process": the socket of lldpd speaks a form that differs between its versions, so only its
//! own client can be asked. That happens only where lldpd runs and nobody else has heard a neighbour.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use serde_json::Value;

use super::command;
use super::lldp::Neighbours;

const SOCKETS: &[&str] = &["/run/lldpd.socket", "/run/lldpd/lldpd.socket"];
const TIME: Duration = Duration::from_millis(1000);
const OUTPUT_MAX: u64 = 1 << 20;

/// Asks the lldpd of this machine.
///
/// # Errors
/// "Not found" if it does not run or has no client; "timed out"; the client's status.
pub(super) fn ask() -> io::Result<Vec<u8>> {
    if !SOCKETS.iter().any(|path| std::path::Path::new(path).exists()) {
        return Err(io::ErrorKind::NotFound.into());
    }
    command::output(&["lldpctl", "-f", "json0"], TIME, OUTPUT_MAX)
}

/// The neighbours in an answer, by interface. Where an interface has several the last one counts, as on the wire.
pub(super) fn neighbours(answer: &[u8]) -> Option<Neighbours> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    let mut found = Neighbours::new();
    let interfaces = answer["lldp"].as_array()?.iter().filter_map(|lldp| lldp["interface"].as_array()).flatten();
    for interface in interfaces.filter(|interface| interface["via"] == "LLDP") {
        if let (Some(name), Some(tlvs)) = (interface["name"].as_str(), records(interface)) {
            found.insert(name.to_owned(), tlvs);
        }
    }
    Some(found)
}

/// Chassis, port, lifetime and the three texts; what an organisation has defined for itself is not told in a form that could
/// be put back.
fn records(interface: &Value) -> Option<Vec<(u8, String)>> {
    let (chassis, port) = (&interface["chassis"][0], &interface["port"][0]);
    let ttl = port["ttl"][0]["value"].as_str().or(interface["ttl"][0]["ttl"].as_str());
    let ttl: u16 = ttl.and_then(|text| text.parse().ok()).unwrap_or(120);
    let mut tlvs = vec![
        (1, hex::encode(id(&chassis["id"][0], &CHASSIS_KINDS)?)),
        (2, hex::encode(id(&port["id"][0], &PORT_KINDS)?)),
        (3, hex::encode(ttl.to_be_bytes())),
    ];
    for (kind, value) in [(4, &port["descr"]), (5, &chassis["name"]), (6, &chassis["descr"])] {
        let text = value[0]["value"].as_str().filter(|text| !text.is_empty());
        tlvs.extend(text.map(|text| (kind, hex::encode(text))));
    }
    Some(tlvs)
}

/// What lldpd calls the kinds of an identifier, and their numbers on the wire.
type Kinds = [(&'static str, u8); 5];
const CHASSIS_KINDS: Kinds = [("ifalias", 1), ("mac", 4), ("ip", 5), ("ifname", 6), ("local", 7)];
const PORT_KINDS: Kinds = [("ifalias", 1), ("mac", 3), ("ip", 4), ("ifname", 5), ("local", 7)];

fn id(id: &Value, kinds: &Kinds) -> Option<Vec<u8>> {
    let (kind, value) = (id["type"].as_str()?, id["value"].as_str()?);
    let number = kinds.iter().find(|(name, _)| *name == kind)?.1;
    let mut bytes = vec![number];
    match kind {
        "mac" => bytes.extend(hex::decode(value.replace(':', "")).ok()?),
        "ip" => match value.parse().ok()? {
            IpAddr::V4(address) => bytes.extend([1].iter().chain(&address.octets())),
            IpAddr::V6(address) => bytes.extend([2].iter().chain(&address.octets())),
        },
        _ => bytes.extend(value.bytes()),
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_becomes_records() {
        let answer = br#"{"lldp":[{"interface":[
            {"name":"ens1","via":"LLDP","rid":"1","age":"0 day, 00:01:02",
             "chassis":[{"id":[{"type":"mac","value":"00:1b:21:aa:bb:cc"}],"name":[{"value":"sw1"}],"descr":[{"value":"OS 9"}]}],
             "port":[{"id":[{"type":"ifname","value":"Eth1/7"}],"descr":[{"value":"to host"}],"ttl":[{"value":"90"}]}]},
            {"name":"ens2","via":"CDPv2","chassis":[{"id":[{"type":"local","value":"x"}]}],"port":[{"id":[{"type":"local","value":"y"}]}]},
            {"name":"ens3","via":"LLDP","chassis":[{"id":[{"type":"ip","value":"10.0.0.1"}]}],"port":[{"id":[{"type":"unhandled","value":"?"}]}]}
        ]}]}"#;
        let found = neighbours(answer).unwrap();
        assert_eq!(found.keys().collect::<Vec<_>>(), ["ens1"]);
        let wanted = [
            (1, "04001b21aabbcc"),
            (2, "05457468312f37"),
            (3, "005a"),
            (4, "746f20686f7374"),
            (5, "737731"),
            (6, "4f532039"),
        ];
        assert_eq!(found["ens1"], wanted.map(|(kind, hex)| (kind, hex.to_owned())));
        assert_eq!(neighbours(br#"{"lldp":[{}]}"#), Some(Neighbours::new()));
        assert_eq!(neighbours(b"no neighbours"), None);
    }
}
