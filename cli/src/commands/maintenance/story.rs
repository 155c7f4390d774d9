//! What changed between two looks at a session, a line each: for logs and pipes, where no picture can be drawn.

use std::collections::BTreeMap;

use hostler_common::time::Timestamp;
use serde_json::Value;

use super::screen;
use super::show::phase;
use crate::output::field::{list, show, string};
use crate::output::human;

/// Lines for what is new since the last look; all of it where there was none.
#[must_use]
pub fn lines(before: Option<&Value>, now: &Value, at: Timestamp) -> Vec<String> {
    let mut lines = Vec::new();
    let whole = |value: &Value| format!("{}, {}, {} %", show(value, "state"), phase(value), show(value, "percent"));
    if before.map(whole) != Some(whole(now)) {
        lines.push(format!("session: {}", whole(now)));
    }
    let (were, are) = (before.map(hosts).unwrap_or_default(), hosts(now));
    for (name, (phase, doing)) in &are {
        let was = were.get(name);
        let quiet = was.is_none() && phase == "pending";
        if was.map(|(phase, _)| phase) != Some(phase) && !quiet {
            lines.push(format!("host {name}: {}{}", phase.replace('_', " "), why(now, name)));
        }
        if !doing.is_empty() && was.map(|(_, doing)| doing) != Some(doing) {
            lines.push(format!("host {name}: {doing}"));
        }
    }
    let known: Vec<String> = before.map(waits).unwrap_or_default();
    for (key, wait) in waits(now).into_iter().zip(list(now, "waits")) {
        if !known.contains(&key) {
            lines.push(format!("waits for {}", screen::wait_line(now, wait, at)));
        }
    }
    let warned: Vec<&Value> = before.map(|before| list(before, "warnings").iter().collect()).unwrap_or_default();
    let fresh = list(now, "warnings").iter().filter(|line| !warned.contains(line));
    lines.extend(fresh.filter_map(Value::as_str).map(|line| format!("warning: {}", human::clean(line))));
    let reason = string(now, "reason.text");
    if let Some(text) = reason.filter(|_| before.and_then(|before| string(before, "reason.text")) != reason) {
        lines.push(format!("session: {}", first(text)));
    }
    lines
}

/// Every host with its phase and what it does, by name.
fn hosts(now: &Value) -> BTreeMap<String, (String, String)> {
    let mut all = BTreeMap::new();
    for row in list(now, "hostsByPhase") {
        for name in list(row, "names").iter().filter_map(Value::as_str) {
            all.insert(human::clean(name), (show(row, "phase"), String::new()));
        }
    }
    for host in list(now, "hosts") {
        let doing = string(host, "doing.text").map(human::clean).unwrap_or_default();
        all.insert(show(host, "name"), (show(host, "phase"), doing));
    }
    all
}

/// Why a host is where it is, if that is said.
fn why(now: &Value, name: &str) -> String {
    let host = list(now, "hosts").iter().find(|host| show(host, "name") == name);
    let text = host.and_then(|host| string(host, "reason.text"));
    text.map_or_else(String::new, |text| format!(": {}", first(text)))
}

fn first(text: &str) -> String {
    human::clean(text.lines().next().unwrap_or_default())
}

/// What makes each wait the same at the next look: not how long it still is.
fn waits(now: &Value) -> Vec<String> {
    let key = |wait: &Value| format!("{} {} {}", show(wait, "for"), show(wait, "text"), show(wait, "until"));
    list(now, "waits").iter().map(key).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn look(state: &str, percent: u32, phases: Value, hosts: Value) -> Value {
        json!({"id": "aaaa1111-x", "name": null, "state": state, "phase": "working", "percent": percent,
            "hostsByPhase": phases, "hosts": hosts, "waits": [], "warnings": [], "reason": null})
    }

    #[test]
    fn only_what_changed_is_told() {
        let at = Timestamp::from_micros(0);
        let pending = json!([{"phase": "pending", "count": 2, "names": ["a", "b"]}]);
        let first = look("MAINTENANCE", 0, pending, json!([]));
        assert_eq!(lines(None, &first, at), ["session: MAINTENANCE, working, 0 %"]);
        assert!(lines(Some(&first), &first, at).is_empty());
        let phases =
            json!([{"phase": "pending", "count": 1, "names": ["b"]}, {"phase": "working", "count": 1, "names": ["a"]}]);
        let busy = json!([{"name": "a", "phase": "working", "doing": {"text": "runs the script x"}}]);
        let second = look("START_MAINTENANCE", 0, phases, busy);
        assert_eq!(
            lines(Some(&first), &second, at),
            ["session: START_MAINTENANCE, working, 0 %", "host a: working", "host a: runs the script x"]
        );
        let phases =
            json!([{"phase": "pending", "count": 1, "names": ["b"]}, {"phase": "failed", "count": 1, "names": ["a"]}]);
        let failed = json!([{"name": "a", "phase": "failed", "doing": null, "reason": {"text": "status 3\nmore"}}]);
        let third = look("MAINTENANCE_FAILED", 0, phases, failed);
        assert_eq!(
            lines(Some(&second), &third, at),
            ["session: MAINTENANCE_FAILED, working, 0 %", "host a: failed: status 3"]
        );
    }

    #[test]
    fn a_wait_is_told_once() {
        let mut now = look("MAINTENANCE", 0, json!([]), json!([]));
        now["waits"] = json!([{"for": "start", "text": "its start", "until": "2031-04-12T22:00:00Z"}]);
        let at = human::parse("2031-04-12T21:59:00Z").unwrap();
        let told = lines(None, &now, at);
        assert!(told.contains(&"waits for its start, until 2031-04-12 22:00:00Z (in 1 min)".to_owned()), "{told:?}");
        assert!(lines(Some(&now), &now, at.after(std::time::Duration::from_secs(5))).is_empty());
    }
}
