//! The operating system: release, kernels, command line, security modules, settings, units, and what wants a restart.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::facts::{Facts, Found, is_absence, reason};
use super::host::HostRoot;
use super::{Context, dbus, sysctl};

/// Words of a command line whose values are secrets.
const SECRET: &[&str] = &["password", "passwd", "token", "key", "secret"];
/// How long the maps of processes are searched for libraries that were replaced.
const MAPS_BUDGET: Duration = Duration::from_millis(200);
/// Units that are reported whatever their state.
const KEY_UNITS: &[&str] = &[
    "ceph",
    "libvirtd",
    "virtqemud",
    "virtlogd",
    "chrony",
    "chronyd",
    "ntpd",
    "systemd-timesyncd",
    "ssh.",
    "sshd.",
    "multipathd",
    "openvswitch",
    "ovs-vswitchd",
    "iscsid",
    "nova-compute",
    "docker.",
    "podman.",
    "hostler-agent",
    "auditd",
    "apparmor",
    "firewalld",
    "nftables",
    "smartd",
    "lldpd",
    "mdmonitor",
    "unattended-upgrades",
    "dnf-automatic",
];

/// Collects the section.
pub(super) fn probe(context: &Context) -> Found {
    let host = &context.host;
    let mut facts = Facts::new();
    facts.set("release", release(host));
    let identity = host.live().identity().unwrap_or_default();
    let installed = kernels(host);
    let newest = installed.last().cloned();
    let outdated = newest
        .as_ref()
        .map(|newest| !identity.release.is_empty() && version_key(newest) > version_key(&identity.release));
    facts.set(
        "kernel",
        json!({"running": identity.release, "build": identity.version, "installed": installed, "newest": newest}),
    );
    facts.set("boot_id", host.word("/proc/sys/kernel/random/boot_id"));
    let stat = host.text("/proc/stat").unwrap_or_default();
    let boot_time = stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse::<u64>().ok());
    facts.set("boot_time", boot_time);
    let uptime = host.word("/proc/uptime");
    let uptime = uptime.and_then(|text| text.split(['.', ' ']).next().and_then(|seconds| seconds.parse::<u64>().ok()));
    facts.set("uptime_s", uptime);
    facts.set("command_line", host.word("/proc/cmdline").map(|line| masked(&line)));
    facts.set("tainted", taint(host));
    facts.set("modules", modules(host));
    facts.set("lsm", json!({
        "active": host.word("/sys/kernel/security/lsm"), "lockdown": super::memory::chosen(host, "/sys/kernel/security/lockdown"),
        "selinux_enforcing": host.flag("/sys/fs/selinux/enforce"),
        "apparmor": host.flag("/sys/module/apparmor/parameters/enabled"),
    }));
    facts.set("sysctl", sysctl::collect(host));
    facts.set(
        "consoles",
        host.word("/proc/consoles").map(|text| {
            text.lines().filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect::<Vec<_>>()
        }),
    );
    facts.set("restart", restart(host, outdated));
    facts.set("load", host.word("/proc/loadavg"));
    units(host, &mut facts);
    facts.done()
}

fn release(host: &HostRoot) -> Map<String, Value> {
    let text = host.word("/etc/os-release").or_else(|| host.word("/usr/lib/os-release")).unwrap_or_default();
    let mut found = Map::new();
    for line in text.lines() {
        let Some((key, value)) = line.split_once('=') else { continue };
        if matches!(
            key,
            "ID" | "ID_LIKE" | "NAME" | "VERSION" | "VERSION_ID" | "VERSION_CODENAME" | "PRETTY_NAME" | "VARIANT"
        ) {
            found.insert(key.to_lowercase(), Value::String(value.trim_matches(['"', '\'']).to_owned()));
        }
    }
    found
}

/// Kernels that could be booted, oldest first.
fn kernels(host: &HostRoot) -> Vec<String> {
    let mut found: Vec<String> =
        host.list("/boot").iter().filter_map(|name| name.strip_prefix("vmlinuz-").map(str::to_owned)).collect();
    found.retain(|name| !name.contains("rescue"));
    found.sort_by_key(|name| version_key(name));
    found
}

/// A version as numbers and words, for comparison.
fn version_key(text: &str) -> Vec<(u64, String)> {
    text.split(['.', '-', '+', '~', '_'])
        .map(|part| (part.parse().unwrap_or(0), part.to_owned()))
        .map(|(n, t)| if n > 0 { (n, String::new()) } else { (0, t) })
        .collect()
}

/// A command line without the values of secrets.
pub(super) fn masked(line: &str) -> String {
    line.split_whitespace()
        .map(|word| match word.split_once('=') {
            Some((key, _)) if SECRET.iter().any(|secret| key.to_lowercase().contains(secret)) => format!("{key}=***"),
            _ => word.to_owned(),
        })
        .collect::<Vec<_>>()
        .join(" ")
}

/// The taint mask and its letters in the kernel's own order.
fn taint(host: &HostRoot) -> Value {
    const LETTERS: &str = "PFSRMBUDAWCIOELKXTNJ";
    let Some(mask) = host.number::<u64>("/proc/sys/kernel/tainted") else { return Value::Null };
    let flags: String =
        LETTERS.chars().enumerate().filter(|(bit, _)| mask & (1 << bit) != 0).map(|(_, letter)| letter).collect();
    json!({"mask": mask, "flags": flags})
}

fn modules(host: &HostRoot) -> Vec<String> {
    let text = host.text("/proc/modules").unwrap_or_default();
    let mut names: Vec<String> =
        text.lines().filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect();
    names.sort();
    names
}

fn restart(host: &HostRoot, kernel_outdated: Option<bool>) -> Value {
    let packages: Vec<String> =
        host.word("/run/reboot-required.pkgs").unwrap_or_default().lines().map(str::to_owned).collect();
    let (processes, complete) = stale_processes(host);
    json!({"reboot_required": host.exists("/run/reboot-required"), "packages": packages,
           "kernel_outdated": kernel_outdated, "processes_with_replaced_libraries": processes, "search_complete": complete})
}

/// Names of programs that still use a library which was replaced on disk, and whether all could be looked at.
fn stale_processes(host: &HostRoot) -> (BTreeSet<String>, bool) {
    let (began, mut complete) = (Instant::now(), true);
    let mut found = BTreeSet::new();
    for pid in host.list("/proc").into_iter().filter(|name| name.parse::<u32>().is_ok()) {
        if began.elapsed() > MAPS_BUDGET {
            return (found, false);
        }
        match host.text(&format!("/proc/{pid}/maps")) {
            Ok(maps) if maps.lines().any(replaced) => found.extend(host.word(&format!("/proc/{pid}/comm"))),
            Ok(_) => {}
            Err(error) => complete &= error.kind() != std::io::ErrorKind::PermissionDenied,
        }
    }
    (found, complete)
}

fn replaced(line: &str) -> bool {
    line.ends_with(" (deleted)") && line.contains(".so") && (line.contains(" /usr/") || line.contains(" /lib"))
}

fn units(host: &HostRoot, facts: &mut Facts) {
    if !host.exists("/run/systemd/system") {
        facts.set("systemd", Value::Null);
        return;
    }
    match dbus::list_units(host) {
        Ok(units) => {
            let failed: Vec<&str> =
                units.iter().filter(|unit| unit.active == "failed").map(|unit| unit.name.as_str()).collect();
            let key: Vec<Value> = units
                .iter()
                .filter(|unit| {
                    unit.name.ends_with(".service") && KEY_UNITS.iter().any(|key| unit.name.starts_with(key))
                })
                .map(|unit| json!({"name": unit.name, "load": unit.load, "active": unit.active, "sub": unit.sub}))
                .collect();
            facts.set("systemd", json!({"failed": failed, "units": key, "count": units.len()}));
        }
        Err(error) => {
            facts.set("systemd", Value::Null);
            // A recorded tree has the folder but nobody who answers.
            let text = if is_absence(&error) { "no bus to ask".to_owned() } else { reason(&error) };
            facts.missing("systemd", text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_the_command_line() {
        let line = "root=/dev/sda1 rd.luks.key=abc console=ttyS0 Password=x quiet";
        assert_eq!(masked(line), "root=/dev/sda1 rd.luks.key=*** console=ttyS0 Password=*** quiet");
    }

    #[test]
    fn kernels_compare_by_number() {
        assert!(version_key("6.8.0-100-generic") > version_key("6.8.0-45-generic"));
        assert!(version_key("6.12.0") > version_key("6.8.0"));
    }

    #[test]
    fn replaced_libraries() {
        assert!(replaced("7f r-xp 0 8:1 9 /usr/lib/libssl.so.3 (deleted)"));
        assert!(!replaced("7f rw-p 0 0:1 9 /memfd:x (deleted)"));
    }
}
