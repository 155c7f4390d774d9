//! The policy of a request, on top of another one (spec/maintenance.md §3.9).

use hostler_core::maintenance::policy::{Amount, Gate, Policy, Window};
use serde_json::{Map, Value, json};

use super::error::{Failure, shown};
use super::fields::Fields;
use crate::api::json::kind;

/// The longest of all times, in seconds: a year.
const YEAR: u32 = 31_536_000;

/// The most gates, batches, spare hosts and codes.
const ENTRIES: usize = 1000;

/// Numbers and what they may be.
type Numbers = &'static [(&'static str, fn(&Policy) -> u32, std::ops::RangeInclusive<u32>)];

const NUMBERS: Numbers = &[
    ("max_parallel_hosts", |policy| policy.max_parallel_hosts, 0..=10_000),
    ("max_parallel_moves", |policy| policy.max_parallel_moves, 1..=1000),
    ("max_parallel_per_domain", |policy| policy.max_parallel_per_domain, 1..=10_000),
    ("capacity_reserve", |policy| policy.capacity_reserve as u32, 0..=100),
    ("own_action_grace", |policy| policy.own_action_grace, 0..=YEAR),
    ("reply_attempts", |policy| policy.reply_attempts, 1..=100),
    ("reply_window", |policy| policy.reply_window, 1..=YEAR),
    ("scale_in_reply_window", |policy| policy.scale_in_reply_window, 1..=YEAR),
    ("scale_in_rounds", |policy| policy.scale_in_rounds, 0..=1000),
    ("pause_between", |policy| policy.pause_between, 0..=YEAR),
    ("move_timeout", |policy| policy.move_timeout, 1..=YEAR),
    ("step_timeout", |policy| policy.step_timeout, 1..=YEAR),
    ("gate_timeout", |policy| policy.gate_timeout, 0..=YEAR),
    ("reboot_timeout", |policy| policy.reboot_timeout, 1..=YEAR),
    ("host_timeout", |policy| policy.host_timeout, 0..=YEAR),
    ("post_host_delay", |policy| policy.post_host_delay, 0..=YEAR),
    ("retries", |policy| policy.retries, 0..=100),
];

/// The parts that a request names, over `base`. A part that is null becomes the product's default again; `storage` is merged
/// part by part, everything else is replaced.
///
/// # Errors
/// 422 with the part and its rule.
pub(super) fn merge(base: &Policy, parts: Value) -> Result<Policy, Failure> {
    let Value::Object(parts) = parts else {
        return Err(Failure::field("policy", format_args!("must be an object, is {}", kind(&parts))));
    };
    let mut merged = as_map(base);
    let defaults = as_map(&Policy::default());
    for (key, value) in parts {
        let field = format!("policy.{}", shown(&key));
        if key.starts_with("x-") {
            continue;
        }
        let Some(default) = defaults.get(&key) else {
            return Err(Failure::field(&field, "is not a part of a policy"));
        };
        let value = match value {
            Value::Null => default.clone(),
            value => canonical(&key, value, merged.get(&key))?,
        };
        merged.insert(key, value);
        // Part by part, so that what is wrong is known by its name.
        let read = serde_json::from_value::<Policy>(Value::Object(merged.clone()));
        read.map_err(|error| Failure::field(&field, rule_of(&error.to_string())))?;
    }
    let policy = serde_json::from_value(Value::Object(merged)).map_err(|_| Failure::internal())?;
    check(&policy)?;
    Ok(policy)
}

fn as_map(policy: &Policy) -> Map<String, Value> {
    // A policy consists of texts, numbers and lists of them: it always is an object.
    match serde_json::to_value(policy) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

/// What serde says, without what only programmers understand.
fn rule_of(error: &str) -> String {
    let error = error.split(" at line ").next().unwrap_or(error);
    match error.split_once("expected one of ") {
        Some((_, known)) => format!("must be one of {}", known.replace('`', "")),
        None => hostler_common::text::clip(error, 200).replace('`', ""),
    }
}

/// The form in which a part is kept, of the forms in which it may be written.
fn canonical(key: &str, value: Value, before: Option<&Value>) -> Result<Value, Failure> {
    Ok(match (key, value) {
        // `retry,fail`, and a single word.
        ("on_nack", Value::String(text)) => text.split(',').map(|word| json!(word.trim())).collect(),
        ("storage", Value::Object(parts)) => {
            let mut merged = before.and_then(Value::as_object).cloned().unwrap_or_default();
            merged.extend(parts);
            Value::Object(merged)
        }
        ("gates", Value::Array(gates)) => gates.into_iter().map(gate).collect(),
        // `1` and `"10%"` without a list around it.
        ("batch", value @ (Value::Number(_) | Value::String(_))) => json!([value]),
        (_, value) => {
            let lenient = NUMBERS.iter().any(|(name, ..)| *name == key);
            match hostler_core::maintenance::constraint::lenient_number(&value).filter(|_| lenient) {
                Some(number) => number.into(),
                None => value,
            }
        }
    })
}

/// A gate: `"ceph_health"`, `{"http": {"url": …}}` or, as it is kept, `{"gate": "http", "url": …}`.
fn gate(value: Value) -> Value {
    match value {
        Value::String(name) => json!({ "gate": name }),
        Value::Object(map) if map.len() == 1 && !map.contains_key("gate") => {
            let mut kept = Map::new();
            for (name, parts) in map {
                kept.insert("gate".into(), name.into());
                if let Value::Object(parts) = parts {
                    kept.extend(parts);
                }
            }
            Value::Object(kept)
        }
        other => other,
    }
}

/// Rules that the types of a policy cannot hold.
fn check(policy: &Policy) -> Result<(), Failure> {
    let wrong = |part: &str, rule: String| Err(Failure::field(&format!("policy.{part}"), rule));
    for (name, value, range) in NUMBERS {
        if !range.contains(&value(policy)) {
            return wrong(name, format!("must be from {} to {}", range.start(), range.end()));
        }
    }
    let counts = [policy.spare_hosts.len(), policy.gates.len(), policy.batch.len(), policy.storage.ignorable.len()];
    for (name, count) in ["spare_hosts", "gates", "batch", "storage.ignorable"].into_iter().zip(counts) {
        if count > ENTRIES {
            return wrong(name, format!("may have at most {ENTRIES} entries"));
        }
    }
    if policy.on_nack.is_empty() {
        return wrong("on_nack", "must name what is done".into());
    }
    if policy.batch.iter().any(|amount| matches!(amount, Amount::Number(0) | Amount::Percent(0))) {
        return wrong("batch", "must not have batches of nothing".into());
    }
    if matches!(policy.max_unavailable, Some(Amount::Number(0) | Amount::Percent(0))) {
        return wrong("max_unavailable", "must allow one host at least".into());
    }
    if let Some(seconds) = policy.storage.stable_for.filter(|seconds| *seconds > YEAR) {
        return wrong("storage.stable_for", format!("must be from 0 to {YEAR}, is {seconds}"));
    }
    if policy.storage.max_misplaced.is_some_and(|share| share > 100) {
        return wrong("storage.max_misplaced", "must be from 0 to 100".into());
    }
    for (index, gate) in policy.gates.iter().enumerate() {
        if let Err(rule) = check_gate(gate) {
            return wrong(&format!("gates[{index}]"), rule.into());
        }
    }
    policy.window.as_ref().map_or(Ok(()), check_window)
}

fn check_gate(gate: &Gate) -> Result<(), &'static str> {
    match gate {
        Gate::Http { url } | Gate::AlertsClear { url, .. } => {
            let parsed = reqwest::Url::parse(url).map_err(|_| "must have a URL")?;
            if !matches!(parsed.scheme(), "http" | "https") || !parsed.has_host() {
                return Err("must have an http or https URL");
            }
            // The manager would not ask them: nobody is to wait for that until the gate is given up.
            if !parsed.username().is_empty() || parsed.password().is_some() || parsed.fragment().is_some() {
                return Err("must have a URL with neither a user nor a fragment");
            }
        }
        Gate::CephHealth | Gate::Probe { .. } | Gate::ManualApproval { .. } => {}
    }
    gate.check()
}

fn check_window(window: &Window) -> Result<(), Failure> {
    hostler_core::maintenance::session::window::check(window).map_err(|error| match error.split_once(": ") {
        Some((part, rule)) => Failure::field(&format!("policy.{part}"), rule),
        None => Failure::field("policy.window", error),
    })
}

/// The policy of a request: its `policy`, and the parts that may also stand beside it.
///
/// # Errors
/// 422.
pub(super) fn of_request(base: &Policy, fields: &mut Fields) -> Result<Policy, Failure> {
    let mut parts = match fields.take("policy") {
        None => Map::new(),
        Some(Value::Object(parts)) => parts,
        Some(other) => return Err(fields.wrong("policy", format_args!("must be an object, is {}", kind(&other)))),
    };
    for part in ["window", "storage"] {
        if let Some(value) = fields.take(part)
            && parts.insert(part.into(), value).is_some()
        {
            return Err(fields.wrong(part, "stands in policy, too"));
        }
    }
    merge(base, Value::Object(parts))
}

#[cfg(test)]
mod tests {
    use hostler_core::maintenance::policy::{Approval, OnFail, OnNack};

    use super::*;

    fn merged(parts: Value) -> Policy {
        merge(&Policy::default(), parts).unwrap_or_else(|failure| panic!("{failure:?}"))
    }

    #[test]
    fn parts_stand_over_the_policy_before() {
        let base = merged(json!({"on_fail": "skip", "storage": {"stable_for": 5}, "retries": "2,"}));
        let policy = merge(&base, json!({"on_nack": "retry, skip_host", "storage": {"keep_daemons": true}})).unwrap();
        assert_eq!(policy.on_fail, OnFail::Skip);
        assert_eq!(policy.on_nack, [OnNack::Retry, OnNack::SkipHost]);
        assert_eq!((policy.storage.stable_for, policy.storage.keep_daemons), (Some(5), true));
        assert_eq!(policy.retries, 2);
        assert_eq!(merge(&base, json!({"on_fail": null})).unwrap().on_fail, OnFail::Stop);
        let batch = merged(json!({"batch": [1, 2, "10%"], "max_failed_hosts": "5%"}));
        assert_eq!(batch.batch, [Amount::Number(1), Amount::Number(2), Amount::Percent(10)]);
    }

    #[test]
    fn gates_in_every_form() {
        let gates = json!(["ceph_health", {"http": {"url": "https://x/"}}, {"gate": "probe", "name": "alerts"},
                           {"manual_approval": {"before": "each_host"}},
                           {"alerts_clear": {"url": "http://am:9093", "filter": "severity=critical"}}]);
        let gates = merged(json!({ "gates": gates })).gates;
        assert_eq!(gates[0], Gate::CephHealth);
        assert_eq!(gates[1], Gate::Http { url: "https://x/".into() });
        assert_eq!(gates[3], Gate::ManualApproval { before: Approval::EachHost });
        let filter = vec!["severity=critical".into()];
        assert_eq!(gates[4], Gate::AlertsClear { url: "http://am:9093".into(), filter });
    }

    #[test]
    fn what_is_wrong_is_called_by_its_name() {
        for (parts, text) in [
            (json!({"on_fial": "stop"}), "policy.on_fial: is not a part of a policy"),
            (json!({"on_fail": "pause"}), "policy.on_fail: must be one of stop, skip, force"),
            (json!({"reply_window": 0}), "policy.reply_window: must be from 1 to 31536000"),
            (json!({"reply_attempts": "many"}), "policy.reply_attempts: "),
            (json!({"capacity_reserve": 101}), "policy.capacity_reserve: must be from 0 to 100"),
            (json!({"max_failed_hosts": "101%"}), "policy.max_failed_hosts: "),
            (json!({"batch": [0]}), "policy.batch: "),
            (json!({"on_nack": []}), "policy.on_nack: "),
            (json!({"gates": ["alerts"]}), "policy.gates: must be one of ceph_health"),
            (json!({"gates": [{"http": {"url": "ftp://x"}}]}), "policy.gates[0]: "),
            (json!({"gates": [{"http": {"url": "https://u:p@x/"}}]}), "neither a user"),
            (
                json!({"gates": ["ceph_health", {"alerts_clear": {"url": "http://x", "filter": ["a"]}}]}),
                "policy.gates[1]: ",
            ),
            (json!({"gates": [{"alerts_clear": {"filter": []}}]}), "policy.gates: missing field url"),
            (json!({"storage": {"ignor": true}}), "policy.storage: "),
            (json!({"window": {"start": "25:00", "end": "03:00"}}), "policy.window.start: "),
            (json!([]), "policy: must be an object, is a list"),
        ] {
            let failure = format!("{:?}", merge(&Policy::default(), parts.clone()).unwrap_err());
            assert!(failure.contains(text), "{parts}: {failure}");
        }
    }
}
