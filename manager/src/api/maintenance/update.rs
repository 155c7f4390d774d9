//! What a request changes of a session (spec/maintenance.md §1.6).

use hostler_core::maintenance::policy::Policy;
use hostler_core::maintenance::spec::{Force, Update};
use hostler_core::maintenance::state::State;
use serde_json::{Map, Value};

use super::create::{HOSTS, NAME_MAX, REASON_MAX};
use super::error::Failure;
use super::fields::Fields;
use super::policy;

/// How many health codes one override may name.
const CODES: usize = 100;

/// What can never be ignored: without it there is no data, or no cluster.
const NEVER: [&str; 2] = ["PG_AVAILABILITY", "MON_DOWN"];

/// Reads the body of a request that changes a session, whose policy is `present`. Nothing in it means: go on.
///
/// # Errors
/// 422 with the field and its rule.
pub(super) fn read(body: Map<String, Value>, present: &Policy) -> Result<Update, Failure> {
    let mut fields = Fields::new(body);
    // Clients send back what they were shown.
    let _shown = fields.take("session_id");
    let changed = match fields.take("policy") {
        None => None,
        Some(parts) => Some(Box::new(policy::merge(present, parts)?)),
    };
    let update = Update {
        state: state(&mut fields)?,
        paused: fields.truth("paused")?,
        maintenance_at: fields.moment("maintenance_at")?,
        add_hosts: fields.texts("add_hosts", HOSTS, NAME_MAX)?,
        remove_hosts: fields.texts("remove_hosts", HOSTS, NAME_MAX)?,
        retry_hosts: fields.texts("retry_hosts", HOSTS, NAME_MAX)?,
        skip_hosts: fields.texts("skip_hosts", HOSTS, NAME_MAX)?,
        approve: fields.truth("approve")?.unwrap_or(false),
        force: force(&mut fields)?,
        policy: changed,
    };
    for (one, two) in [("add_hosts", "remove_hosts"), ("retry_hosts", "skip_hosts")] {
        let lists = |name: &str| match name {
            "add_hosts" => &update.add_hosts,
            "remove_hosts" => &update.remove_hosts,
            "retry_hosts" => &update.retry_hosts,
            _ => &update.skip_hosts,
        };
        if let Some(host) = lists(one).iter().find(|host| lists(two).contains(host)) {
            return Err(Failure::field(two, format_args!("{host} is in {one}, too")));
        }
    }
    fields.finish()?;
    Ok(update)
}

fn state(fields: &mut Fields) -> Result<Option<State>, Failure> {
    let Some(name) = fields.text("state", NAME_MAX)? else { return Ok(None) };
    let allowed = |state: &State| *state != State::MaintenanceDone;
    let known = || State::ALL.into_iter().filter(allowed).map(State::name).collect::<Vec<_>>().join(", ");
    let state = State::from_name(&name).filter(allowed);
    state.map(Some).ok_or_else(|| fields.wrong("state", format_args!("must be one of {}", known())))
}

fn force(fields: &mut Fields) -> Result<Option<Force>, Failure> {
    let Some(value) = fields.take("force") else { return Ok(None) };
    let mut fields = Fields::within("force", value)?;
    let force = Force {
        host: fields.text("host", NAME_MAX)?,
        ignore_health: fields.texts("ignore_health", CODES, NAME_MAX)?,
        ignore_constraints: fields.truth("ignore_constraints")?.unwrap_or(false),
        ignore_nack: fields.truth("ignore_nack")?.unwrap_or(false),
        reason: fields.text("reason", REASON_MAX)?.unwrap_or_default(),
    };
    if force.reason.trim().is_empty() {
        return Err(fields.wrong("reason", "is required: it is audited"));
    }
    if let Some(code) = force.ignore_health.iter().find(|code| NEVER.contains(&code.as_str())) {
        return Err(fields.wrong("ignore_health", format_args!("{code} can never be ignored")));
    }
    if force.ignore_health.is_empty() && !force.ignore_constraints && !force.ignore_nack {
        return Err(fields.wrong("ignore_health", "or ignore_constraints or ignore_nack is required"));
    }
    fields.finish()?;
    Ok(Some(force))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(body: Value) -> Result<Update, Failure> {
        read(body.as_object().unwrap().clone(), &Policy::default())
    }

    #[test]
    fn nothing_means_to_go_on() {
        assert_eq!(of(json!({})).unwrap(), Update::default());
        assert_eq!(of(json!({"session_id": "x", "x-y": 1})).unwrap(), Update::default());
    }

    #[test]
    fn all_parts() {
        let update = of(json!({
            "state": "MAINTENANCE_FAILED", "paused": "true", "maintenance_at": "2031-04-12 22:00:00", "approve": true,
            "add_hosts": ["a"], "remove_hosts": ["b"], "retry_hosts": ["c"], "skip_hosts": ["d"],
            "force": {"ignore_health": ["OSD_DOWN"], "reason": "known"}, "policy": {"retries": 3},
        }));
        let update = update.unwrap();
        assert_eq!((update.state, update.paused, update.approve), (Some(State::MaintenanceFailed), Some(true), true));
        assert_eq!(update.policy.unwrap().retries, 3);
        assert_eq!(update.force.unwrap().ignore_health, ["OSD_DOWN"]);
    }

    #[test]
    fn what_is_wrong_is_called_by_its_name() {
        for (body, field) in [
            (json!({"state": "MAINTENANCE_DONE"}), "state"),
            (json!({"state": "x"}), "state"),
            (json!({"paused": 1}), "paused"),
            (json!({"add_hosts": ["a"], "remove_hosts": ["a"]}), "remove_hosts"),
            (json!({"retry_hosts": ["a"], "skip_hosts": ["a"]}), "skip_hosts"),
            (json!({"force": {"ignore_nack": true}}), "force.reason"),
            (json!({"force": {"reason": "x"}}), "force.ignore_health"),
            (json!({"force": {"ignore_health": ["PG_AVAILABILITY"], "reason": "x"}}), "force.ignore_health"),
            (json!({"force": true}), "force"),
            (json!({"policy": {"x": 1}}), "policy.x"),
            (json!({"hosts": ["a"]}), "hosts"),
        ] {
            let failure = format!("{:?}", of(body.clone()).unwrap_err());
            assert!(failure.contains(&format!("\"{field}: ")), "{body}: {failure}");
        }
    }
}
