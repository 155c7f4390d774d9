//! Whether the clock is right, as the kernel and the time daemon tell. systemd's own time service is not asked over the bus, as
//! the question would start it.

use serde_json::{Value, json};

use super::facts::{Facts, Found, reason};
use super::host::HostRoot;
use super::{Context, chrony};

const UNSYNCHRONISED: i32 = 0x40;
const NANOSECONDS: i32 = 0x2000;
/// The state in which the kernel has lost its source.
const STATE_ERROR: i32 = 5;
/// Ceph's monitors tolerate 50 ms between each other (spec/introspection.md §6.5).
const WARN_US: i64 = 25_000;
const ALARM_US: i64 = 50_000;

/// Collects the section.
pub(super) fn probe(context: &Context) -> Found {
    let host = &context.host;
    let mut facts = Facts::new();
    match host.live().clock() {
        Ok(clock) => {
            let nano = clock.status & NANOSECONDS != 0;
            let offset = if nano { clock.offset / 1000 } else { clock.offset };
            let synchronised = clock.state != STATE_ERROR && clock.status & UNSYNCHRONISED == 0;
            facts.set("synchronised", synchronised);
            facts.set("offset_us", offset);
            facts.set("max_error_us", clock.max_error);
            facts.set("estimated_error_us", clock.estimated_error);
            #[allow(clippy::cast_precision_loss)]
            facts.set("frequency_ppm", clock.frequency as f64 / 65536.0);
            facts.set("tai_offset_s", clock.tai_offset);
            facts.set("severity", severity(offset, synchronised));
        }
        Err(error) => facts.missing("clock", reason(&error)),
    }
    let daemon = daemon(host);
    if daemon == "chrony" {
        facts.set("tracking", host.live().chrony().ok().and_then(|reply| chrony::decode(&reply)));
    }
    facts.set("daemon", daemon);
    facts.set("servers", servers(host));
    facts.set("clock_source", host.word("/sys/devices/system/clocksource/clocksource0/current_clocksource"));
    facts.set("ptp_clocks", host.list("/sys/class/ptp"));
    facts.set("timezone", host.word("/etc/timezone").or_else(|| zone(host)));
    facts.done()
}

/// How wrong the clock of this host is, in microseconds, by the kernel and by chrony, whichever says more. `None` if nothing keeps
/// it right, so that nobody can know.
pub(crate) fn offset_us() -> Option<i64> {
    let clock = crate::sys::clock::discipline().ok()?;
    if clock.state == STATE_ERROR || clock.status & UNSYNCHRONISED != 0 {
        return None;
    }
    let kernel = if clock.status & NANOSECONDS != 0 { clock.offset / 1000 } else { clock.offset };
    let tracking = chrony::ask().ok().and_then(|reply| chrony::decode(&reply));
    #[allow(clippy::cast_possible_truncation, reason = "it saturates")]
    let chrony = tracking.and_then(|found| found["statistics"]["offset_us"].as_f64()).map(|offset| offset as i64);
    chrony.into_iter().chain([kernel]).max_by_key(|offset| offset.unsigned_abs())
}

/// An unsynchronised clock knows no offset, so it is never "ok".
fn severity(offset_us: i64, synchronised: bool) -> &'static str {
    match offset_us.saturating_abs() {
        ALARM_US.. => "alarm",
        WARN_US.. => "warning",
        _ if !synchronised => "warning",
        _ => "ok",
    }
}

/// The time daemon that has left its traces.
fn daemon(host: &HostRoot) -> Value {
    let traces = [
        ("chrony", "/run/chrony/chronyd.pid"),
        ("chrony", "/run/chronyd.pid"),
        ("chrony", "/run/chrony/chronyd.sock"),
        ("systemd-timesyncd", "/run/systemd/timesync"),
        ("ntpsec", "/run/ntpd.pid"),
        ("ptp4l", "/run/ptp4l"),
    ];
    traces.iter().find(|(_, path)| host.exists(path)).map_or(Value::Null, |(name, _)| json!(name))
}

/// Servers that the configuration names.
fn servers(host: &HostRoot) -> Vec<String> {
    let mut found = Vec::new();
    for path in ["/etc/chrony/chrony.conf", "/etc/chrony.conf", "/etc/ntp.conf", "/etc/ntpsec/ntp.conf"] {
        for line in host.word(path).unwrap_or_default().lines() {
            let mut words = line.split_whitespace();
            if matches!(words.next(), Some("server" | "pool" | "peer")) {
                found.extend(words.next().map(str::to_owned));
            }
        }
    }
    for line in host.word("/etc/systemd/timesyncd.conf").unwrap_or_default().lines() {
        if let Some(list) = line.trim().strip_prefix("NTP=") {
            found.extend(list.split_whitespace().map(str::to_owned));
        }
    }
    found
}

fn zone(host: &HostRoot) -> Option<String> {
    let target = std::fs::read_link(host.path("/etc/localtime")).ok()?;
    target.to_str()?.split_once("zoneinfo/").map(|(_, zone)| zone.to_owned())
}

#[cfg(test)]
mod tests {
    #[test]
    fn levels() {
        assert_eq!(super::severity(-24_999, true), "ok");
        assert_eq!(super::severity(-25_000, true), "warning");
        assert_eq!(super::severity(50_000, true), "alarm");
        assert_eq!(super::severity(0, false), "warning");
    }
}
