//! Whether the host may be worked on: room, a package manager at work, the clock, guests; and which boot it is (spec/maintenance.md
//! §3.7).

use std::collections::BTreeMap;
use std::path::Path;

use hostler_common::step::StepResult;
use hostler_common::step::maintenance::{Boot, Precheck};
use nix::sys::statvfs::statvfs;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Failure, guests, locks};
use crate::boot;
use crate::probes::offset_us;

/// File systems that must have room. One that is not there of its own is part of the first.
const PLACES: &[&str] = &["/", "/var", "/boot"];
/// How many guests are named where none should run.
const GUESTS_SHOWN: usize = 10;

/// What is found; its first fields are those of [`Boot`].
#[derive(Clone, Debug, Default, Serialize)]
struct Found {
    #[serde(flatten)]
    boot: Boot,
    /// Whether something asks for a reboot, and what.
    reboot_required: bool,
    reboot_reasons: Vec<String>,
    /// Room by place, in MiB.
    free_mib: BTreeMap<&'static str, u64>,
    /// The lock of a package manager that is at work.
    packages: Option<String>,
    /// How wrong the clock is; `None` if nobody can know, as nothing keeps it right.
    clock_offset_us: Option<i64>,
    /// The guests that run.
    guests: Vec<String>,
}

/// Looks. What it found is told also where it is not as it should be.
///
/// # Errors
/// [`Failure::Unfit`] if something is not as it should be.
pub fn run(step: &Precheck) -> Result<StepResult, Failure> {
    let reboot_reasons = boot::wanted();
    let found = Found {
        boot: boot::current(),
        reboot_required: !reboot_reasons.is_empty(),
        reboot_reasons,
        free_mib: PLACES.iter().filter_map(|place| Some((*place, free_mib(Path::new(place))?))).collect(),
        packages: locks::held(Path::new("/")),
        clock_offset_us: offset_us(),
        guests: guests::running(Path::new("/proc")),
    };
    let faults = faults(step, &found);
    let after = json!(found);
    let result = |detail| StepResult { changed: false, before: Value::Null, after, detail };
    if faults.is_empty() {
        let unknown = step.clock_ms > 0 && found.clock_offset_us.is_none();
        let note = if unknown { "; how wrong the clock is cannot be known: nothing keeps it right" } else { "" };
        return Ok(result(format!("the host may be worked on{note}")));
    }
    Err(Failure::Unfit(Box::new(result(faults.join("; ")))))
}

/// Room for others than root, in MiB.
fn free_mib(place: &Path) -> Option<u64> {
    let info = statvfs(place).ok()?;
    Some((info.blocks_available() * info.fragment_size()) >> 20)
}

fn faults(step: &Precheck, found: &Found) -> Vec<String> {
    let short = found.free_mib.iter().filter(|(_, free)| **free < step.free_mib);
    let mut faults: Vec<String> =
        short.map(|(place, free)| format!("{place} has {free} MiB of room, needed are {}", step.free_mib)).collect();
    if let Some(lock) = found.packages.as_ref().filter(|_| step.packages_idle) {
        faults.push(format!("a package manager is at work: {lock}"));
    }
    if let Some(offset) = found.clock_offset_us.filter(|_| step.clock_ms > 0) {
        let off = offset.unsigned_abs() / 1000;
        if off >= step.clock_ms {
            faults.push(format!("the clock is wrong by {off} ms, accepted are less than {}", step.clock_ms));
        }
    }
    if step.no_guests && !found.guests.is_empty() {
        let (shown, more) = found.guests.split_at(found.guests.len().min(GUESTS_SHOWN));
        let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
        faults.push(format!("guests run here: {}{more}", shown.join(", ")));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found() -> Found {
        Found {
            boot: Boot { boot_id: "b".into(), kernel: "k".into() },
            free_mib: [("/", 900), ("/boot", 100)].into(),
            packages: Some("/lock is held by process 7".into()),
            clock_offset_us: Some(-600_000),
            guests: (1..13).map(|n| format!("web-{n}")).collect(),
            ..Found::default()
        }
    }

    #[test]
    fn only_what_was_asked_for_is_a_fault() {
        assert!(faults(&Precheck::default(), &found()).is_empty());
        let all = Precheck { free_mib: 500, packages_idle: true, clock_ms: 500, no_guests: true };
        let faults = faults(&all, &found());
        assert_eq!(faults[0], "/boot has 100 MiB of room, needed are 500");
        assert!(faults[1].contains("process 7") && faults[2].contains("600 ms"), "{faults:?}");
        assert!(
            faults[3].starts_with("guests run here: web-1, ") && faults[3].ends_with("web-10 and 2 more"),
            "{faults:?}"
        );
        assert_eq!(faults.len(), 4);
        let unknown = Found { clock_offset_us: None, packages: None, guests: Vec::new(), ..found() };
        assert!(super::faults(&Precheck { free_mib: 100, ..all }, &unknown).is_empty());
    }

    #[test]
    fn what_is_found_says_which_boot_it_is() {
        let result = run(&Precheck { free_mib: 1, ..Precheck::default() }).unwrap();
        assert_eq!(serde_json::from_value::<Boot>(result.after.clone()).unwrap(), boot::current());
        assert!(result.after["reboot_required"].is_boolean() && result.after["free_mib"]["/"].as_u64().unwrap() > 0);
        let reason = run(&Precheck { free_mib: u64::MAX, ..Precheck::default() }).unwrap_err();
        assert!(matches!(&reason, Failure::Unfit(result) if result.after["kernel"].is_string()), "{reason:?}");
    }
}
