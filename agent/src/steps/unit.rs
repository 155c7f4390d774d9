//! Starts, stops or restarts a systemd unit (spec/hooks.md §7.2).

use hostler_common::step::{StepResult, UnitAction, UnitChange};
use serde_json::json;

use super::Failure;
use super::systemd::{State, Systemd};

/// Kinds of units that may be changed.
const SUFFIXES: &[&str] = &[".service", ".socket", ".target", ".timer", ".mount", ".automount", ".path", ".swap"];

/// Does it.
///
/// # Errors
/// There is no systemd, or no such unit; its job failed; it did not stay active.
pub fn run(step: &UnitChange) -> Result<StepResult, Failure> {
    check(&step.unit)?;
    change(&step.unit, step.action)
}

/// Changes a unit.
///
/// # Errors
/// There is no systemd, or no such unit; its job failed; it did not stay active.
pub(super) fn change(unit: &str, action: UnitAction) -> Result<StepResult, Failure> {
    let mut systemd = Systemd::connect()?;
    if !systemd.knows(unit)? {
        return Err(Failure::Refused(format!("there is no unit {unit}")));
    }
    let before = systemd.state(unit)?;
    let after = systemd.change(unit, action)?;
    let changed =
        |before: &State, after: &State| before.active != after.active || before.invocation != after.invocation;
    Ok(StepResult {
        changed: changed(&before, &after),
        detail: format!("{unit} is {} ({})", after.active, after.sub),
        before: json!(before),
        after: json!({"unit": unit, "result": "ok", "state": after}),
    })
}

/// Checks the name of a unit. The agent's own is left alone: a step that ends its own agent could not say how it went.
fn check(unit: &str) -> Result<(), Failure> {
    let characters = unit.chars().all(|c| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c));
    if unit.len() > 255 || !characters || !SUFFIXES.iter().any(|suffix| unit.ends_with(suffix) && unit != *suffix) {
        return Err(Failure::Refused(format!("{unit:?} is not the name of a unit")));
    }
    if unit == "hostler-agent.service" {
        return Err(Failure::Refused("the agent does not start or stop itself".into()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_units() {
        for good in ["ceph-osd@3.service", "a.target", "ceph-1f2e@mon.host-1.service"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in ["", "a", ".service", "a b.service", "../x.service", "a;b.service", "hostler-agent.service"] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
    }
}
