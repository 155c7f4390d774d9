//! What is known of an action plug-in before it runs (spec/maintenance.md §5.3).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::spec::ActionType;

/// Whether a plug-in reboots its host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MayReboot {
    /// It does not.
    #[default]
    Never,
    /// It may ask for it.
    May,
    /// It always does.
    Always,
}

/// The manifest of a plug-in: of a built-in one in the table of built-ins, of an operator's one stored beside its script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Manifest {
    /// The name, by which actions name it.
    pub name: String,
    /// What it does, for people.
    pub description: String,
    /// Its version.
    pub version: String,
    /// For which types of action it is; empty means all.
    pub types: Vec<ActionType>,
    /// Whether repeating it after an unknown outcome is harmless.
    pub idempotent: bool,
    /// Whether it reboots its host.
    pub reboot: MayReboot,
    /// How long it may take, in seconds; `None` means what the policy says.
    pub timeout_s: Option<u32>,
    /// How often it is repeated when it fails; `None` means what the policy says.
    pub retries: Option<u32>,
    /// JSON Schema of its metadata; null means anything.
    pub params: Value,
}

impl Default for Manifest {
    fn default() -> Self {
        Self {
            name: String::new(),
            description: String::new(),
            version: "1".into(),
            types: Vec::new(),
            idempotent: false,
            reboot: MayReboot::Never,
            timeout_s: None,
            retries: None,
            params: Value::Null,
        }
    }
}
