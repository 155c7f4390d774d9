//! Which hooks belong to which step, and what they are told (spec/hooks.md §6).

use hostler_common::hook::HookPoint;
use hostler_common::step::{CephSetting, CrushEdit, Step, StepResult, UnitAction};
use serde_json::Value;

use super::Crush;

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A sentence of what a step does, for people.
pub(super) fn title(step: &Step) -> String {
    match step {
        Step::FormatDisk(disk) => format!("Format disk {}", disk.device),
        Step::CephDaemon(change) => format!("{} {}.{}", capital(change.action), change.kind, change.id),
        Step::Unit(change) => format!("{} {}", capital(change.action), change.unit),
        Step::CrushRead => "Read the CRUSH map".into(),
        Step::Crush(change) => crush_reason(&change.edit),
        Step::RbdSnapshot(snapshot) => format!("Snapshot {}/{}@{}", snapshot.pool, snapshot.image, snapshot.snapshot),
        Step::CephFsSnapshot(snapshot) => format!("Snapshot {} of {}", snapshot.snapshot, snapshot.filesystem),
        Step::Network(change) => format!("Change network of {}", change.interfaces.join(", ")),
        Step::CephFlag(flag) => format!("{} flag {}", if flag.set { "Set" } else { "Unset" }, flag.flag),
        Step::CephSetting(setting) => setting_title(setting),
        Step::CephScrub(scrub) => format!("{} osd.{}", if scrub.deep { "Deep-scrub" } else { "Scrub" }, scrub.osd),
        other => format!("Step {}", other.name()),
    }
}

fn setting_title(setting: &CephSetting) -> String {
    match setting {
        CephSetting::RecoverySpeed { speed } => format!("Set recovery speed {}", speed.name()),
        CephSetting::FullRatios(_) => "Set full ratios".into(),
        CephSetting::MaxMds { filesystem, max } => format!("Set max_mds of {filesystem} to {max}"),
        CephSetting::AllowStandbyReplay { filesystem, allow: true } => format!("Allow standby-replay of {filesystem}"),
        CephSetting::AllowStandbyReplay { filesystem, allow: false } => {
            format!("Forbid standby-replay of {filesystem}")
        }
        CephSetting::MinCompatClient { release } => format!("Require clients of {release} or newer"),
    }
}

fn capital(action: UnitAction) -> &'static str {
    match action {
        UnitAction::Start => "Start",
        UnitAction::Stop => "Stop",
        UnitAction::Restart => "Restart",
    }
}

fn crush_reason(edit: &CrushEdit) -> String {
    match edit {
        CrushEdit::Move { item, location } => format!("Move {item} to {}", location.join(" ")),
        CrushEdit::Reweight { item, weight } => format!("Reweight {item} to {weight}"),
        CrushEdit::AddBucket { name, kind } => format!("Add {kind} {name}"),
        CrushEdit::SetDeviceClass { class, osds } => format!("Set class {class} of {}", osds.join(" ")),
        CrushEdit::SetMap { .. } => "Replace the CRUSH map".into(),
    }
}

/// The moment before a step, and the values of its parameters; the change itself as a file is not known to the manager.
pub(super) fn before(step: &Step, crush: &Crush) -> Option<(HookPoint, Vec<String>)> {
    match step {
        Step::FormatDisk(disk) => {
            let serial = disk.serial.clone().unwrap_or_default();
            Some((HookPoint::PreFormatDisk, vec![disk.device.clone(), serial, disk.purpose.name().into()]))
        }
        Step::Crush(change) => {
            let old = crush.version.map(|version| version.to_string()).unwrap_or_default();
            let values = vec![old, String::new(), String::new(), crush_reason(&change.edit)];
            Some((HookPoint::PreCrushMapChange, values))
        }
        Step::Network(change) => Some((HookPoint::PreNetworkConfig, vec![change.interfaces.join(","), String::new()])),
        _ => None,
    }
}

/// The moment after a step that succeeded, or that began and failed with `error`.
pub(super) fn after(
    step: &Step,
    crush: &Crush,
    result: &StepResult,
    error: Option<&str>,
) -> Option<(HookPoint, Vec<String>)> {
    let went = error.unwrap_or("ok").to_owned();
    match step {
        Step::FormatDisk(disk) => {
            let serial = disk.serial.clone().unwrap_or_default();
            let osd = text(&result.after["osd"]["osd_id"]);
            let values = vec![disk.device.clone(), serial, disk.purpose.name().into(), osd, went];
            Some((HookPoint::PostFormatDisk, values))
        }
        Step::CephDaemon(change) if change.action != UnitAction::Stop => {
            let told = text(&result.after["result"]);
            let went = if error.is_none() && !told.is_empty() { told } else { went };
            let values = vec![change.kind.clone(), change.id.clone(), text(&result.after["unit"]), went];
            Some((HookPoint::PostCephDaemonStart, values))
        }
        Step::Network(change) => {
            let went = network_result(result, error);
            Some((HookPoint::PostNetworkConfig, vec![change.interfaces.join(","), String::new(), went]))
        }
        _ if error.is_some() => None,
        Step::Crush(change) if result.changed => {
            let old = crush.version.map(|version| version.to_string()).unwrap_or_default();
            let values = vec![old, text(&result.after["version"]), String::new(), crush_reason(&change.edit)];
            Some((HookPoint::PostCrushMapChange, values))
        }
        Step::RbdSnapshot(made) => {
            let names = [&made.pool, &made.namespace, &made.image, &made.snapshot];
            let mut values: Vec<String> = names.into_iter().cloned().collect();
            values.push(text(&result.after["id"]));
            Some((HookPoint::OnRbdSnapshotComplete, values))
        }
        Step::CephFsSnapshot(made) => {
            let path = if made.path.is_empty() { text(&result.after["path"]) } else { made.path.clone() };
            let names = [&made.filesystem, &path, &made.snapshot, &made.group, &made.subvolume];
            Some((HookPoint::OnCephFsSnapshotComplete, names.into_iter().cloned().collect()))
        }
        _ => None,
    }
}

/// That the configuration of the host was changed by a step that succeeded, or that began and failed with `error`; comes after
/// what [`after`] says (spec/hooks.md §7.7).
pub(super) fn configured(step: &Step, result: &StepResult, error: Option<&str>) -> Option<(HookPoint, Vec<String>)> {
    let Step::Network(change) = step else { return None };
    let files: Vec<&str> = change.files.iter().map(|file| file.path.as_str()).collect();
    // A step alone belongs to no environment and no deployment.
    let values = vec![String::new(), String::new(), files.join(","), network_result(result, error)];
    Some((HookPoint::PostConfigChanged, values))
}

/// `ok`, `rolled_back`, or why it is in between. A change that was put back is a step that failed and says so itself.
fn network_result(result: &StepResult, error: Option<&str>) -> String {
    match (text(&result.after["result"]), error) {
        (told, _) if !told.is_empty() => told,
        (_, Some(error)) => error.to_owned(),
        (_, None) => "ok".to_owned(),
    }
}
