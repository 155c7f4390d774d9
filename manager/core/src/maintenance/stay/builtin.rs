//! The plug-ins that are part of the product (spec/maintenance.md §5.4): a table of their manifests, and the check of an action
//! against it. What they do is in the agenda of a stay.

use serde_json::{Map, Value, json};

use super::super::plugin::{Manifest, MayReboot};
use super::super::spec::ActionType;
use super::schema;

/// Types of action for hosts that are taken out of service.
const HOSTS: &[ActionType] =
    &[ActionType::Host, ActionType::Compute, ActionType::Controller, ActionType::Storage, ActionType::Other];

/// Other names of plug-ins.
const ALIASES: &[(&str, &str)] =
    &[("package_update", "packages"), ("service_restart", "service"), ("wait_manual", "wait"), ("fetch_file", "fetch")];

/// A line of the table.
struct Row {
    name: &'static str,
    about: &'static str,
    types: &'static [ActionType],
    idempotent: bool,
    reboot: MayReboot,
    timeout_s: Option<u32>,
    params: fn() -> Value,
}

impl Row {
    const fn new(name: &'static str, about: &'static str, params: fn() -> Value) -> Self {
        Self { name, about, types: &[], idempotent: true, reboot: MayReboot::Never, timeout_s: None, params }
    }

    const fn on_hosts(mut self) -> Self {
        self.types = HOSTS;
        self
    }

    const fn once(mut self) -> Self {
        self.idempotent = false;
        self
    }

    const fn within(mut self, seconds: u32) -> Self {
        self.timeout_s = Some(seconds);
        self
    }
}

/// All of them.
const TABLE: &[Row] = &[
    Row::new("dummy", "Does nothing and says on which host", anything),
    Row::new("script", "Runs a script of the library", script_params).once(),
    Row {
        reboot: MayReboot::Always,
        ..Row::new("reboot", "Boots the host anew, once for all that ask for it", reboot_params).on_hosts()
    },
    Row { reboot: MayReboot::May, ..Row::new("packages", "Upgrades or installs packages", packages_params).once() },
    Row::new("service", "Starts, stops or restarts a systemd unit", service_params).once(),
    Row::new("fetch", "Puts a file of the manager in its place", fetch_params),
    Row::new("ceph_noout", "Keeps the OSDs of the host from being marked out, until the end of its stay", nothing)
        .on_hosts(),
    Row::new("ceph_ok_to_stop", "Asks whether all daemons of Ceph on the host may stop", nothing).on_hosts(),
    Row::new("ceph_stop", "Stops all daemons of Ceph on the host", nothing).on_hosts(),
    Row::new("ceph_start", "Starts all daemons of Ceph on the host and waits for its OSDs", nothing).on_hosts(),
    Row::new("ceph_wait_healthy", "Waits until the Ceph cluster is clean", nothing).on_hosts(),
    Row::new("drain", "Moves all data away from the OSDs of the host", drain_params).on_hosts().within(7 * 24 * 3600),
    Row::new("wait", "Waits for a time, or until somebody approves", wait_params),
    Row::new("gate", "Waits until something holds", gate_params),
    Row::new("kernel_check", "Checks after the reboot which kernel runs", kernel_params).on_hosts(),
];

fn anything() -> Value {
    Value::Null
}

fn fields(required: &[&str], properties: Value) -> Value {
    json!({ "type": "object", "additionalProperties": false, "required": required, "properties": properties })
}

fn nothing() -> Value {
    fields(&[], json!({}))
}

fn script_params() -> Value {
    let texts = json!({"type": "array", "items": {"type": "string"}, "maxItems": 64});
    fields(
        &["script"],
        json!({
            "script": {"type": "string", "minLength": 1, "maxLength": 255},
            "args": texts,
            "env": {"type": "object"},
        }),
    )
}

fn reboot_params() -> Value {
    fields(&[], json!({ "now": {"type": "boolean"}, "reason": {"type": "string", "maxLength": 200} }))
}

fn packages_params() -> Value {
    let names = json!({"type": "array", "items": {"type": "string", "minLength": 1}});
    fields(
        &[],
        json!({
            "scope": {"enum": ["upgrade", "security", "named"]}, "names": names, "hold": names,
            "download_only": {"type": "boolean"}, "refresh": {"type": "boolean"},
        }),
    )
}

fn service_params() -> Value {
    fields(
        &["unit"],
        json!({
            "unit": {"type": "string", "pattern": r"^[A-Za-z0-9:_.\\@-]+\.[a-z]+$", "maxLength": 255},
            "action": {"enum": ["start", "stop", "restart"]},
        }),
    )
}

fn fetch_params() -> Value {
    fields(
        &["sha256", "size", "path"],
        json!({
            "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
            "size": {"type": "integer", "minimum": 0},
            "path": {"type": "string", "pattern": "^/"},
            "mode": {"type": "string", "pattern": "^0?[0-7]{3}$"},
        }),
    )
}

fn drain_params() -> Value {
    fields(&[], json!({ "keep": {"type": "boolean"} }))
}

fn wait_params() -> Value {
    fields(
        &[],
        json!({
            "seconds": {"type": "integer", "minimum": 0, "maximum": 604_800},
            "timeout_s": {"type": "integer", "minimum": 1, "maximum": 604_800},
            "message": {"type": "string", "maxLength": 500},
        }),
    )
}

fn gate_params() -> Value {
    fields(
        &["gate"],
        json!({
            "gate": {"enum": ["ceph_health", "http", "alerts_clear", "probe"]},
            "url": {"type": "string", "pattern": "^https?://", "maxLength": 2000},
            "filter": {"type": ["string", "array"], "maxItems": 100, "items": {"type": "string"}},
            "name": {"type": "string", "minLength": 1, "maxLength": 255},
        }),
    )
}

fn kernel_params() -> Value {
    fields(&["kernel"], json!({ "kernel": {"type": "string", "minLength": 1, "maxLength": 100} }))
}

/// The plug-in's own name, where the one given is another name of it; `None` if it is not built in.
#[must_use]
pub fn canonical(plugin: &str) -> Option<&'static str> {
    let plugin = ALIASES.iter().find(|(alias, _)| *alias == plugin).map_or(plugin, |(_, name)| name);
    TABLE.iter().map(|row| row.name).find(|name| *name == plugin)
}

/// The manifest of a built-in plug-in, under any of its names.
#[must_use]
pub fn manifest(plugin: &str) -> Option<Manifest> {
    let name = canonical(plugin)?;
    TABLE.iter().find(|row| row.name == name).map(read)
}

/// The manifests of all built-in plug-ins.
#[must_use]
pub fn manifests() -> Vec<Manifest> {
    TABLE.iter().map(read).collect()
}

fn read(row: &Row) -> Manifest {
    Manifest {
        name: row.name.into(),
        description: row.about.into(),
        version: "1".into(),
        types: row.types.to_vec(),
        idempotent: row.idempotent,
        reboot: row.reboot,
        timeout_s: row.timeout_s,
        retries: None,
        params: (row.params)(),
    }
}

/// Whether an action that names a built-in plug-in can run as it is given.
///
/// # Errors
/// What is wrong with it, for the one who asks; also that there is no such plug-in.
pub fn check(plugin: &str, kind: ActionType, metadata: &Map<String, Value>) -> Result<(), String> {
    let manifest = manifest(plugin).ok_or_else(|| format!("there is no plug-in {plugin}"))?;
    check_manifest(&manifest, kind, metadata)?;
    super::params::Params::read(plugin, metadata).map(|_| ())
}

/// Whether an action can run as it is given, by the manifest of its plug-in: for those of operators.
///
/// # Errors
/// What is wrong with it, for the one who asks.
pub fn check_manifest(manifest: &Manifest, kind: ActionType, metadata: &Map<String, Value>) -> Result<(), String> {
    if !manifest.types.is_empty() && !manifest.types.contains(&kind) {
        let types: Vec<&str> = manifest.types.iter().map(|kind| kind.name()).collect();
        return Err(format!("plug-in {} is for {}, not for {}", manifest.name, types.join(", "), kind.name()));
    }
    schema::check(&manifest.params, &Value::Object(metadata.clone()))
        .map_err(|wrong| format!("plug-in {}: {wrong}", manifest.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn every_plug_in_has_one_name_and_reads_what_its_schema_allows() {
        let good = [
            ("dummy", json!({"any": 1})),
            ("script", json!({"script": "x", "args": ["a"], "env": {"A": "b"}})),
            ("reboot", json!({"now": true, "reason": "kernel"})),
            ("packages", json!({"scope": "named", "names": ["bash"], "hold": ["ceph"], "refresh": true})),
            ("service", json!({"unit": "a@1.service", "action": "stop"})),
            ("fetch", json!({"sha256": "a".repeat(64), "size": 1, "path": "/x", "mode": "0755"})),
            ("ceph_noout", json!({})),
            ("ceph_ok_to_stop", json!({})),
            ("ceph_stop", json!({})),
            ("ceph_start", json!({})),
            ("ceph_wait_healthy", json!({})),
            ("drain", json!({"keep": true})),
            ("wait", json!({"seconds": 3})),
            ("gate", json!({"gate": "http", "url": "http://x/"})),
            ("kernel_check", json!({"kernel": "6.12"})),
        ];
        let names: Vec<String> = manifests().into_iter().map(|one| one.name).collect();
        assert_eq!(names, good.iter().map(|(name, _)| *name).collect::<Vec<_>>());
        for (name, metadata) in good {
            assert_eq!(check(name, ActionType::Host, &map(metadata)), Ok(()), "{name}");
        }
        for (alias, name) in ALIASES {
            assert_eq!(canonical(alias), Some(*name));
        }
    }

    #[test]
    fn spec_9_17_unknown_plug_ins_and_wrong_metadata_are_refused() {
        for (name, kind, metadata, word) in [
            ("firmwear", ActionType::Host, json!({}), "no plug-in firmwear"),
            ("reboot", ActionType::Pre, json!({}), "not for pre"),
            ("ceph_stop", ActionType::Post, json!({}), "not for post"),
            ("ceph_stop", ActionType::Host, json!({"x": 1}), "metadata.x is not known"),
            ("script", ActionType::Host, json!({}), "metadata.script is missing"),
            ("script", ActionType::Host, json!({"script": "x", "env": {"BASH_ENV": "y"}}), "BASH_ENV"),
            ("service", ActionType::Host, json!({"unit": "x; reboot"}), "must match"),
            ("gate", ActionType::Host, json!({"gate": "http"}), "url"),
            ("gate", ActionType::Host, json!({"gate": "manual_approval"}), "one of"),
            ("gate", ActionType::Host, json!({"gate": "alerts_clear", "url": "http://x", "filter": "a"}), "matcher"),
            ("fetch", ActionType::Host, json!({"sha256": "a", "size": 1, "path": "/x"}), "sha256"),
            ("kernel_check", ActionType::Post, json!({"kernel": "6"}), "not for post"),
        ] {
            let said = check(name, kind, &map(metadata)).unwrap_err();
            assert!(said.contains(word), "{name}: {said}");
        }
    }

    #[test]
    fn plug_ins_of_operators_are_held_against_their_manifests() {
        let manifest = Manifest {
            name: "firmware".into(),
            types: vec![ActionType::Compute],
            params: fields(&["bundle"], json!({"bundle": {"type": "string"}})),
            ..Manifest::default()
        };
        let told = map(json!({"bundle": "fw-7.2"}));
        assert_eq!(check_manifest(&manifest, ActionType::Compute, &told), Ok(()));
        assert!(check_manifest(&manifest, ActionType::Host, &told).is_err());
        assert!(check_manifest(&manifest, ActionType::Compute, &Map::new()).unwrap_err().contains("bundle"));
    }
}
