//! What the change files of hooks say (spec/hooks.md §6, decision 0015).

use hostler_common::script::CHANGE_MAX;
use hostler_common::step::{NetworkChange, Step, StepResult};
use serde_json::{Value, json};

/// The CRUSH map as JSON, in what steps say of it. It is large and can be made from the compiled one.
const PLAIN: &str = "crush";

/// What is about to change, as JSON; `found` is what the step that looks first found. `None` where no file tells of it.
pub(super) fn before(step: &Step, found: &Value) -> Option<String> {
    match step {
        Step::Network(change) => bounded(json!({ "interfaces": change.interfaces, "files": files(change) })),
        Step::Crush(change) => bounded(json!({ "edit": change.edit, "old": map(found) })),
        _ => None,
    }
}

/// What has changed, as JSON. `None` where no file tells of it.
pub(super) fn after(step: &Step, result: &StepResult) -> Option<String> {
    match step {
        Step::Network(change) => bounded(json!({ "interfaces": change.interfaces, "files": files(change) })),
        Step::Crush(change) => {
            bounded(json!({ "edit": change.edit, "old": map(&result.before), "new": map(&result.after) }))
        }
        _ => None,
    }
}

/// Takes out of a result what is only for change files.
pub(super) fn clear(result: &mut StepResult) {
    for side in [&mut result.before, &mut result.after] {
        if let Some(side) = side.as_object_mut() {
            side.remove(PLAIN);
        }
    }
}

/// The files of a change of the network; `contents` is null for one that is removed.
fn files(change: &NetworkChange) -> Value {
    change.files.iter().map(|file| json!({ "path": file.path, "contents": file.contents })).collect()
}

/// A CRUSH map as a step tells of it.
fn map(told: &Value) -> Value {
    json!({ "version": told["version"], "compiled": told["map"], "map": told[PLAIN] })
}

/// The document as text. One that is too long loses the maps as JSON: the compiled ones say the same.
fn bounded(mut document: Value) -> Option<String> {
    let whole = document.to_string();
    if whole.len() <= CHANGE_MAX {
        return Some(whole);
    }
    for side in ["old", "new"] {
        if let Some(side) = document.get_mut(side) {
            side["map"] = Value::Null;
        }
    }
    Some(document.to_string()).filter(|text| text.len() <= CHANGE_MAX)
}

#[cfg(test)]
mod tests {
    use hostler_common::step::{CrushChange, CrushEdit, NetworkFile};

    use super::*;

    fn read(text: Option<String>) -> Value {
        serde_json::from_str(&text.unwrap()).unwrap()
    }

    fn crush() -> Step {
        let edit = CrushEdit::Reweight { item: "osd.1".into(), weight: "0.5".into() };
        Step::Crush(CrushChange { version: None, edit })
    }

    #[test]
    fn both_maps_are_told_compiled_and_as_json() {
        let found = json!({ "version": 9, "map": "AA==", "hash": "h", "crush": { "devices": [] } });
        let old = json!({ "version": 9, "compiled": "AA==", "map": { "devices": [] } });
        let told = read(before(&crush(), &found));
        assert_eq!(told, json!({ "edit": { "edit": "reweight", "item": "osd.1", "weight": "0.5" }, "old": old }));
        let now = json!({ "version": 10, "map": "AQ==", "hash": "i", "crush": {} });
        let mut result = StepResult { before: found, after: now, ..StepResult::default() };
        let told = read(after(&crush(), &result));
        assert_eq!((&told["old"], &told["new"]["compiled"]), (&old, &json!("AQ==")));
        clear(&mut result);
        assert_eq!(result.after, json!({ "version": 10, "map": "AQ==", "hash": "i" }));
    }

    #[test]
    fn a_map_that_is_too_large_is_told_compiled_only() {
        let large = |bytes| json!({ "version": 9, "map": "AA==", "crush": "x".repeat(bytes) });
        let told = read(before(&crush(), &large(CHANGE_MAX)));
        assert_eq!(told["old"], json!({ "version": 9, "compiled": "AA==", "map": null }));
        assert!(read(before(&crush(), &large(1 << 20)))["old"]["map"].is_string());
        let none = json!({ "version": 9, "map": "A".repeat(CHANGE_MAX) });
        assert_eq!(before(&crush(), &none), None);
    }

    #[test]
    fn files_of_the_network_are_told_with_what_they_become() {
        let file = |path: &str, contents: Option<&str>| NetworkFile {
            path: path.into(),
            contents: contents.map(str::to_owned),
        };
        let files = vec![file("/etc/netplan/a.yaml", Some("network: {}")), file("/etc/netplan/b.yaml", None)];
        let step = Step::Network(NetworkChange { interfaces: vec!["eth0".into()], files, confirm_s: 30 });
        let told = json!({
            "interfaces": ["eth0"],
            "files": [
                { "path": "/etc/netplan/a.yaml", "contents": "network: {}" },
                { "path": "/etc/netplan/b.yaml", "contents": null },
            ],
        });
        assert_eq!(read(before(&step, &Value::Null)), told);
        assert_eq!(read(after(&step, &StepResult::default())), told);
    }
}
