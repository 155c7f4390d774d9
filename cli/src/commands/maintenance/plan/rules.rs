//! By which rules a session goes, in words.

use serde_json::Value;

use crate::output::field::{inline, list, moment, show, string};
use crate::output::human;

/// The types of actions that run on hosts, in their order.
const ON_HOSTS: [&str; 5] = ["host", "compute", "controller", "storage", "other"];

/// What is said of a session besides its hosts. Nothing where the answer does not have it.
pub(super) fn rows(session: &Value, plan: &Value) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    if session.is_object() {
        let policy = &session["policy"];
        rows.push(("Begins", moment(session, "maintenance_at")));
        rows.extend(window(policy).map(|text| ("Window", text)));
        rows.extend(once(session, "pre").map(|text| ("Once before", text)));
        rows.push(("On each host", on_hosts(session)));
        rows.extend(once(session, "post").map(|text| ("Once after", text)));
        rows.push(("Reboot", reboot(policy).into()));
        rows.extend(batches(policy).map(|text| ("Batches", text)));
        rows.extend(gates(policy).map(|text| ("Waits for", text)));
        rows.push(("If one fails", on_fail(policy)));
    }
    rows.push(("Instances", room(plan)));
    rows
}

fn actions<'a>(session: &'a Value, kind: &str) -> Vec<&'a Value> {
    let mut found: Vec<&Value> = list(session, "actions").iter().filter(|action| action["type"] == kind).collect();
    found.sort_by_key(|action| (action["order"].as_i64(), action["plugin"].as_str().unwrap_or_default().to_owned()));
    found
}

/// An action in words: the plug-in with what it is told.
fn action(action: &Value) -> String {
    let told = &action["metadata"];
    let about = match action["plugin"].as_str() {
        Some("script") => {
            let args = list(told, "args").iter().map(inline).collect::<Vec<_>>().join(" ");
            format!("{} {args}", show(told, "script")).trim_end().to_owned()
        }
        Some("packages") if string(told, "scope") == Some("named") => show(told, "names"),
        Some("packages") => show(told, "scope"),
        _ if told.as_object().is_none_or(serde_json::Map::is_empty) => return show(action, "plugin"),
        _ => format!("({})", inline(told)),
    };
    format!("{} {about}", show(action, "plugin"))
}

fn once(session: &Value, kind: &str) -> Option<String> {
    let found = actions(session, kind);
    let names: Vec<String> = found.into_iter().map(action).collect();
    (!names.is_empty()).then(|| format!("{}, on the management node", names.join(", then ")))
}

fn on_hosts(session: &Value) -> String {
    let mut all = Vec::new();
    for kind in ON_HOSTS {
        let only = if kind == "host" { String::new() } else { format!(" (only {kind})") };
        all.extend(actions(session, kind).into_iter().map(|one| format!("{}{only}", action(one))));
    }
    match all.as_slice() {
        [] => "nothing but its way out of service and back".into(),
        _ => all.join(", then "),
    }
}

fn reboot(policy: &Value) -> &'static str {
    match policy["reboot"].as_str() {
        Some("always") => "every host, after everything else",
        Some("never") => "none, whatever asks for it",
        _ => "only if a plug-in or the host itself asks for it",
    }
}

fn on_fail(policy: &Value) -> String {
    let most = match show(policy, "max_failed_hosts").as_str() {
        "0" => String::new(),
        amount => format!("; the session fails with more than {amount} failed"),
    };
    match policy["on_fail"].as_str() {
        Some("skip") => format!("it goes back into service if it is healthy, and the others go on{most}"),
        Some("force") => format!("its step counts as done, and all goes on{most}"),
        _ => "it stays as the failure left it, hosts at work finish, no other begins".into(),
    }
}

fn window(policy: &Value) -> Option<String> {
    let window = &policy["window"];
    let start = string(window, "start")?;
    let until = match (string(window, "end"), window["duration"].as_u64()) {
        (Some(end), _) => format!("{start} to {end}"),
        (_, Some(minutes)) => format!("{start} for {minutes} min"),
        _ => start.to_owned(),
    };
    let days = if list(window, "days").is_empty() { "every day".into() } else { show(window, "days") };
    let then = if window["outside"] == "pause" { "; work in flight rests outside" } else { "" };
    Some(human::clean(&format!("{days}, {until} {}{then}", string(window, "timezone").unwrap_or("UTC"))))
}

fn batches(policy: &Value) -> Option<String> {
    let batches = list(policy, "batch");
    let pause = policy["pause_between"].as_u64().filter(|seconds| *seconds > 0);
    let pause = pause.map(|seconds| format!(", {} apart", human::duration(std::time::Duration::from_secs(seconds))));
    (!batches.is_empty()).then(|| format!("{} hosts{}", show(policy, "batch"), pause.unwrap_or_default()))
}

fn gates(policy: &Value) -> Option<String> {
    let one = |gate: &Value| match (gate["gate"].as_str(), gate["before"].as_str()) {
        (Some("manual_approval"), Some("session")) => "an approval before anything is done".into(),
        (Some("manual_approval"), Some("first_host")) => "an approval before the first host".into(),
        (Some("manual_approval"), _) => "an approval before each host".into(),
        (Some("ceph_health"), _) => "a clean Ceph cluster before each host".into(),
        (Some("http"), _) => format!("200 from {} before each host", show(gate, "url")),
        (Some("alerts_clear"), _) => {
            let filter = match list(gate, "filter") {
                [] => String::new(),
                all => format!(" with {}", all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")),
            };
            human::clean(&format!("no active alerts at {}{filter} before each host", show(gate, "url")))
        }
        (Some("probe"), _) => format!("success of the script {} before each host", show(gate, "name")),
        _ => inline(gate),
    };
    let all: Vec<String> = list(policy, "gates").iter().map(one).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

fn room(plan: &Value) -> String {
    let room = &plan["room"];
    let empty = list(room, "spare.empty");
    let moved: usize = list(plan, "hosts").iter().map(|host| list(host, "landings").len()).sum();
    match () {
        () if room["missing"].is_object() => format!("no room: {}", missing(&room["missing"])),
        () if room["scattered"].is_object() => {
            format!("{moved} moves; no host is empty, so {} is emptied first", show(&room["scattered"], "first"))
        }
        () if moved == 0 => "none has to move".into(),
        () if empty.is_empty() => format!("{moved} moves"),
        () => format!("{moved} moves; empty already: {}", inline(&Value::from(empty))),
    }
}

/// What is missing, in words.
pub(super) fn missing(missing: &Value) -> String {
    let size = &missing["size"];
    let memory = size["memory_mib"].as_u64().unwrap_or(0) << 20;
    let remove = list(missing, "remove");
    let help = match remove.len() {
        0 => "nothing that may be removed would make it".into(),
        count => format!("removing {count} would make it: {}", inline(&Value::from(remove))),
    };
    format!("the host that needs least lacks {} vCPUs and {}; {help}", show(size, "vcpus"), human::bytes(memory))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rules_are_said_in_words() {
        let session = json!({
            "maintenance_at": "2031-04-12T22:00:00.000000Z",
            "actions": [
                {"plugin": "script", "type": "host", "metadata": {"script": "fw.sh", "args": ["-v"]}},
                {"plugin": "packages", "type": "host", "metadata": {"scope": "security"}},
                {"plugin": "facts", "type": "pre", "metadata": {}},
                {"plugin": "drain", "type": "storage", "metadata": {"keep": true}},
            ],
            "policy": {"reboot": "always", "on_fail": "skip", "max_failed_hosts": "10%", "batch": ["1", "50%"],
                "pause_between": 300, "gates": [{"gate": "manual_approval", "before": "first_host"}],
                "window": {"days": ["sat"], "start": "22:00", "end": "04:00", "timezone": "Europe/Berlin"}},
        });
        let rows = rows(&session, &json!({"room": {"spare": {"empty": []}}, "hosts": []}));
        let said = |label: &str| rows.iter().find(|(known, _)| *known == label).unwrap().1.clone();
        assert_eq!(said("Begins"), "2031-04-12 22:00:00Z");
        assert_eq!(
            said("On each host"),
            "packages security, then script fw.sh -v, then drain (keep=yes) (only storage)"
        );
        assert_eq!(said("Once before"), "facts, on the management node");
        assert_eq!(said("Window"), "sat, 22:00 to 04:00 Europe/Berlin");
        assert_eq!(said("Batches"), "1, 50% hosts, 5 min 0 s apart");
        assert_eq!(said("Waits for"), "an approval before the first host");
        assert!(said("If one fails").ends_with("more than 10% failed"));
        assert_eq!(said("Instances"), "none has to move");
    }
}
