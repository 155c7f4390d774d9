//! The wire form of a server.

use std::time::Duration;

use hostler_common::time::Timestamp;
use serde_json::{Map, Value, json};

use super::facts::{Daemon, Facts};
use crate::store::host::{AgentState, Host};

/// For how long after its last word a host without connection still counts as running (spec/hooks.md §4.1).
const PATIENCE: Duration = Duration::from_secs(60);

/// Our names of daemons and those of the dialect.
const SERVICES: &[(&str, &str)] = &[
    ("osd", "osd"),
    ("mon", "mon"),
    ("mgr", "mgr"),
    ("smb", "smb"),
    ("nfs", "nfs"),
    ("mds", "mds"),
    ("iscsi", "iscsi"),
    ("rgw", "rgw"),
    ("rbd-mirror", "rbdMirror"),
    ("nvmeof", "nvmfTgt"),
    ("daos-server", "daosServer"),
    ("daos-agent", "daosAgent"),
];

/// The state of a server and how people call it.
fn state(host: &Host, now: Timestamp) -> (&'static str, &'static str) {
    let recent = host.last_seen_at.is_some_and(|at| now.since(at) < PATIENCE);
    match host.agent_state {
        AgentState::Online => ("running", "Running"),
        AgentState::Offline if recent => ("running", "Running"),
        AgentState::Offline | AgentState::Revoked => ("offline", "Offline"),
        AgentState::Enrolled => ("booting", "Booting"),
    }
}

/// `Server`.
pub(super) fn server(host: &Host, facts: &Facts, now: Timestamp) -> Value {
    let (state, label) = state(host, now);
    let used = facts.memory.zip(facts.memory_available).map(|(all, free)| all.saturating_sub(free));
    let usage = match (used, facts.memory) {
        (Some(used), Some(all)) => format!("{} / {}", bytes(used), bytes(all)),
        (None, Some(all)) => bytes(all),
        _ => String::new(),
    };
    json!({
        "id": host.number,
        "hostname": host.name,
        "state": state,
        "stateLabel": label,
        "macs": facts.macs,
        "macsFormatted": facts.macs.join(", "),
        "ip": facts.ips.first().cloned().or_else(|| agent_ip(host)),
        "ips": facts.ips,
        "image": facts.os,
        "imageDescription": facts.os_version,
        "machineId": facts.machine_id.clone().or_else(|| host.identity.system_uuid.clone()),
        "lastSeen": host.last_seen_at.map(|at| format!("PT{}S", now.since(at).as_secs())),
        "usedPorts": facts.ports,
        "ramUsageFormatted": usage,
        "health": health(facts, now),
        "services": service_counts(&facts.daemons),
        "hardware": hardware(facts),
        "ipmi": ipmi(host, facts),
        "notes": host.description,
        "daemonVersion": host.agent_version,
    })
}

fn agent_ip(host: &Host) -> Option<String> {
    let address: std::net::SocketAddr = host.agent_address.as_deref()?.parse().ok()?;
    Some(address.ip().to_string())
}

fn health(facts: &Facts, now: Timestamp) -> Value {
    let uptime = facts.boot_time.map(|boot| now.since(Timestamp::from_micros(boot.saturating_mul(1_000_000))));
    let drift = facts.clock_offset_us.map(|offset| offset as f64 / 1e6);
    json!({
        "uptimeFormatted": uptime.map_or_else(String::new, long),
        "freeRamFormatted": facts.memory_available.map_or_else(String::new, bytes),
        "bootSource": if facts.booted_from_network { "PXE" } else { "Disk" },
        "clockDrift": drift,
        "freeRam": facts.memory_available,
        "bootedFromDisk": !facts.booted_from_network,
    })
}

fn service_counts(daemons: &[Daemon]) -> Value {
    let counts: Map<String, Value> = SERVICES
        .iter()
        .map(|(kind, name)| {
            let own = || daemons.iter().filter(|daemon| daemon.kind == *kind);
            let (deployed, running) = (own().count(), own().filter(|daemon| daemon.running == Some(true)).count());
            let count =
                json!({ "deployed": deployed, "running": running, "isDeployed": deployed > 0, "isRunning": running > 0 });
            ((*name).to_owned(), count)
        })
        .collect();
    Value::Object(counts)
}

fn hardware(facts: &Facts) -> Option<Value> {
    facts.memory?;
    Some(json!({
        "ram": facts.memory,
        "ramFormatted": facts.memory.map(bytes),
        "cpu": facts.cpu_model,
        "cpuArch": facts.cpu_architecture,
        "cpus": facts.sockets,
        "coresPerCpu": facts.cpu_count.zip(facts.sockets).and_then(|(count, sockets)| count.checked_div(sockets)),
        "cpuFreq": facts.cpu_mhz,
        "cpuFreqFormatted": facts.cpu_mhz.map(|mhz| format!("{:.2} GHz", mhz / 1000.0)),
        "mainboard": facts.board,
        "mainboardSerial": facts.board_serial,
    }))
}

fn ipmi(host: &Host, facts: &Facts) -> Option<Value> {
    let ip = facts.bmc_ip.as_ref()?;
    Some(json!({ "id": host.number, "ip": ip, "mac": facts.bmc_mac, "vlan": null }))
}

/// `Service`: the Ceph daemons of a server. The id is that by which they are started and stopped.
pub(super) fn services(facts: &Facts) -> Vec<Value> {
    let service = |daemon: &Daemon| {
        json!({
            "id": format!("{}.{}", daemon.kind, daemon.id), "type": daemon.kind, "name": daemon.id,
            "running": daemon.running, "style": daemon.style, "clusterFsid": daemon.fsid,
        })
    };
    facts.daemons.iter().map(service).collect()
}

/// A number of bytes for people.
fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// A length of time for people.
fn long(length: Duration) -> String {
    let minutes = length.as_secs() / 60;
    let (days, hours, minutes) = (minutes / 1440, minutes / 60 % 24, minutes % 60);
    if days > 0 { format!("{days}d {hours}h") } else { format!("{hours}h {minutes}m") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_for_people() {
        assert_eq!(bytes(512), "512 B");
        assert_eq!(bytes(3 << 30), "3.0 GiB");
        assert_eq!(long(Duration::from_secs(90_000)), "1d 1h");
        assert_eq!(long(Duration::from_secs(3_700)), "1h 1m");
    }

    #[test]
    fn daemons_are_counted_by_kind() {
        let daemon = |kind: &str, running| Daemon { kind: kind.into(), running, ..Daemon::default() };
        let counts = service_counts(&[daemon("osd", Some(true)), daemon("osd", Some(false)), daemon("mon", None)]);
        assert_eq!(counts["osd"], json!({"deployed": 2, "running": 1, "isDeployed": true, "isRunning": true}));
        assert_eq!(counts["mon"]["isRunning"], false);
        assert_eq!(counts.as_object().unwrap().len(), 12);
    }
}
