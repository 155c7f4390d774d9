//! The network of the host: interfaces, bonds, bridges, routes, name servers, listening ports, InfiniBand.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::{Map, Value, json};

use super::facts::{Facts, Found};
use super::host::HostRoot;
use super::{Context, net_links, ovs};

const NET: &str = "/sys/class/net";

/// Collects the section.
pub(super) fn probe(context: &Context) -> Found {
    let host = &context.host;
    let mut facts = Facts::new();
    net_links::collect(host, &mut facts);
    let names = host.list(NET);
    facts.set("bonds", names.iter().filter_map(|name| bond(host, name)).collect::<Vec<_>>());
    facts.set("bridges", names.iter().filter_map(|name| bridge(host, name)).collect::<Vec<_>>());
    facts.take("ovs", ovs::bridges(host));
    let routes = host.live().routes().map(|routes| {
        routes
            .into_iter()
            .map(|route| {
                let via: Vec<String> = route.interfaces.iter().filter_map(|index| name_of(facts.get("links"), *index)).collect();
                json!({"destination": route.destination, "gateways": route.gateways, "interfaces": via,
                       "metric": route.metric, "table": route.table, "protocol": route.protocol, "source": route.source})
            })
            .collect::<Vec<Value>>()
    });
    facts.take("routes", routes);
    facts.set("dns", dns(host));
    facts.set("listeners", listeners(host));
    facts.set("infiniband", infiniband(host));
    facts.done()
}

fn name_of(links: &Value, index: u32) -> Option<String> {
    links.as_array()?.iter().find(|link| link["index"] == index)?["name"].as_str().map(str::to_owned)
}

fn bond(host: &HostRoot, name: &str) -> Option<Value> {
    let base = format!("{NET}/{name}/bonding");
    let word = |file: &str| host.word(&format!("{base}/{file}"));
    // Files of the form `802.3ad 4`: a name and its number.
    let first = |file: &str| word(file).and_then(|text| text.split_whitespace().next().map(str::to_owned));
    let mode = first("mode")?;
    let slaves: Vec<String> = word("slaves").unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    let state = |slave: &String| {
        let word = |file: &str| host.word(&format!("{NET}/{slave}/bonding_slave/{file}"));
        json!({"name": slave, "mii_status": word("mii_status"), "state": word("state"),
               "permanent_address": word("perm_hwaddr"), "aggregator": word("ad_aggregator_id"),
               "statistics": {"link_failures": word("link_failure_count")}})
    };
    Some(json!({
        "name": name, "mode": mode, "slaves": slaves.iter().map(state).collect::<Vec<_>>(),
        "active_slave": word("active_slave"), "primary": word("primary"), "mii_status": word("mii_status"),
        "miimon_ms": host.number::<u32>(&format!("{base}/miimon")), "hash_policy": first("xmit_hash_policy"),
        "lacp_rate": first("lacp_rate"), "lacp_partner": word("ad_partner_mac").or_else(|| partner(host, name)),
        "aggregator": word("ad_aggregator"), "aggregator_ports": word("ad_num_ports"),
    }))
}

/// The LACP partner as the text form tells it, for kernels whose sysfs hides it.
fn partner(host: &HostRoot, name: &str) -> Option<String> {
    let text = host.word(&format!("/proc/net/bonding/{name}"))?;
    text.lines().find_map(|line| line.trim().strip_prefix("Partner Mac Address: ").map(str::to_owned))
}

fn bridge(host: &HostRoot, name: &str) -> Option<Value> {
    let base = format!("{NET}/{name}");
    host.exists(&format!("{base}/bridge")).then(|| {
        json!({"name": name, "ports": host.list(&format!("{base}/brif")), "id": host.word(&format!("{base}/bridge/bridge_id")),
               "stp": host.flag(&format!("{base}/bridge/stp_state")),
               "vlan_filtering": host.flag(&format!("{base}/bridge/vlan_filtering"))})
    })
}

fn dns(host: &HostRoot) -> Value {
    let text = host.word("/etc/resolv.conf").unwrap_or_default();
    // A stub of systemd-resolved hides the real servers.
    let real = host.word("/run/systemd/resolve/resolv.conf").unwrap_or_default();
    let values = |text: &str, key: &str| -> Vec<String> {
        text.lines()
            .filter_map(|line| line.trim().strip_prefix(key))
            .flat_map(|rest| rest.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
            .collect()
    };
    json!({"servers": values(&text, "nameserver "), "search": values(&text, "search "),
           "upstream": values(&real, "nameserver ")})
}

/// Sockets that wait for peers, out of `/proc/net`. The socket diagnostics interface is not used: asking it may make the
/// kernel load a module, which a probe must not cause (spec/introspection.md §6.2).
fn listeners(host: &HostRoot) -> Vec<Value> {
    let mut found = BTreeSet::new();
    for (file, protocol, state) in
        [("tcp", "tcp", "0A"), ("tcp6", "tcp", "0A"), ("udp", "udp", "07"), ("udp6", "udp", "07")]
    {
        // Of another network namespace than the host's own there is nothing to tell.
        let Ok(open) = host.open(&format!("/proc/net/{file}")) else { continue };
        for line in BufReader::new(open).lines().skip(1).map_while(Result::ok) {
            match listener(&line, state) {
                Some((address, port, user)) => {
                    found.insert((protocol, port, address, user));
                }
                // Listening TCP sockets come first: with the first other one the reading ends, however many there are.
                None if protocol == "tcp" => break,
                None => {}
            }
        }
    }
    found.into_iter().map(|(protocol, port, address, user)| json!({"protocol": protocol, "address": address, "port": port, "user": user})).collect()
}

/// Local address, port and owner of one line, if the socket is in the state.
fn listener(line: &str, state: &str) -> Option<(String, u16, u32)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    if *words.get(3)? != state {
        return None;
    }
    let (address, port) = words.get(1)?.split_once(':')?;
    // Each 32-bit group is printed as the machine's own number.
    let groups: Vec<[u8; 4]> = address
        .as_bytes()
        .chunks_exact(8)
        .filter_map(|group| u32::from_str_radix(std::str::from_utf8(group).ok()?, 16).ok())
        .map(u32::to_ne_bytes)
        .collect();
    let address = match groups.as_slice() {
        [v4] => IpAddr::V4(Ipv4Addr::from(*v4)),
        [_, _, _, _] => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(groups.concat()).ok()?)),
        _ => return None,
    };
    Some((address.to_string(), u16::from_str_radix(port, 16).ok()?, words.get(7)?.parse().ok()?))
}

fn infiniband(host: &HostRoot) -> Vec<Value> {
    const CLASS: &str = "/sys/class/infiniband";
    host.list(CLASS)
        .into_iter()
        .map(|name| {
            let word = |file: &str| host.word(&format!("{CLASS}/{name}/{file}"));
            let ports: Vec<Value> = host
                .list(&format!("{CLASS}/{name}/ports"))
                .into_iter()
                .map(|port| {
                    let word = |file: &str| host.word(&format!("{CLASS}/{name}/ports/{port}/{file}"));
                    let mut entry = Map::new();
                    for file in ["state", "phys_state", "rate", "lid", "sm_lid", "link_layer"] {
                        entry.insert(file.to_owned(), json!(word(file)));
                    }
                    // The port's GUID is the second half of its first GID.
                    let gid = word("gids/0").and_then(|gid| gid.get(20..).map(str::to_owned));
                    entry.insert("port".to_owned(), json!(port));
                    entry.insert("port_guid".to_owned(), json!(gid));
                    Value::Object(entry)
                })
                .collect();
            json!({"name": name, "node_guid": word("node_guid"), "type": word("node_type"), "firmware": word("fw_ver"),
                   "board": word("board_id"), "ports": ports})
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::listener;

    #[test]
    #[cfg(target_endian = "little")]
    fn lines_of_listening_sockets() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 31 1 0";
        assert_eq!(listener(line, "0A"), Some(("127.0.0.1".to_owned(), 8080, 1000)));
        assert_eq!(listener(line, "01"), None);
        let line = "  1: 00000000000000000000000001000000:0016 0:0 0A 0:0 0:0 0 0 0 9";
        assert_eq!(listener(line, "0A"), Some(("::1".to_owned(), 22, 0)));
        assert_eq!(listener("", "0A"), None);
    }
}
