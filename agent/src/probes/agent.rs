//! The agent about itself: version, what it is allowed to do, and its certificate.

use std::path::Path;

use hostler_common::time::Timestamp;
use serde_json::{Value, json};
use x509_parser::pem::Pem;

use super::Context;
use super::facts::{Facts, Found};

/// Names of capabilities by number.
const CAPABILITIES: &[&str] = &[
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];
const CERTIFICATE_MAX: u64 = 64 << 10;

/// Collects the section.
pub(super) fn probe(context: &Context) -> Found {
    let mut facts = Facts::new();
    facts.set("version", env!("CARGO_PKG_VERSION"));
    facts.set("sections", super::names());
    let status = context.host.text("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let mask = mask.and_then(|text| u64::from_str_radix(text.trim(), 16).ok());
    facts.set(
        "capabilities",
        mask.map(|mask| {
            CAPABILITIES
                .iter()
                .enumerate()
                .filter(|(bit, _)| mask & (1 << bit) != 0)
                .map(|(_, name)| *name)
                .collect::<Vec<_>>()
        }),
    );
    facts.set("user", nix::unistd::geteuid().as_raw());
    if let Some(folder) = &context.request.state_dir {
        facts.set("certificates", certificates(folder));
    }
    facts.done()
}

/// Every certificate in the state folder; private keys are never looked at.
fn certificates(folder: &Path) -> Vec<Value> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let named = matches!(path.extension().and_then(|e| e.to_str()), Some("crt" | "pem" | "cert"));
        let small = entry.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() <= CERTIFICATE_MAX);
        if !named || !small {
            continue;
        }
        let Ok(bytes) = std::fs::read(&path) else { continue };
        let file = entry.file_name().to_string_lossy().into_owned();
        for pem in Pem::iter_from_buffer(&bytes).flatten().filter(|pem| pem.label == "CERTIFICATE") {
            found.extend(certificate(&file, &pem));
        }
    }
    found.sort_by_key(Value::to_string);
    found
}

fn certificate(file: &str, pem: &Pem) -> Option<Value> {
    let parsed = pem.parse_x509().ok()?;
    let validity = parsed.validity();
    let moment = |seconds: i64| Timestamp::from_micros(seconds.saturating_mul(1_000_000)).rfc3339();
    Some(json!({"file": file, "subject": parsed.subject().to_string(), "issuer": parsed.issuer().to_string(),
                "serial": parsed.raw_serial_as_string(), "not_before": moment(validity.not_before.timestamp()),
                "not_after": moment(validity.not_after.timestamp())}))
}
