//! Processing hooks: what is derived from a raw document before the rules run (spec/introspection.md §4.5).
//!
//! A hook is one file below and one row of [`HOOKS`]. Its `pre` part sees the document only, and its failures are
//! collected; its `post` part also changes the node, and its first failure ends the run. A hook fails before it changes
//! anything.

mod accelerators;
mod capabilities;
mod extra_hardware;
mod lldp_basic;
mod local_link_connection;
mod pci_devices;
mod physnet_cidr_map;
mod raid_device;
mod ramdisk_error;
mod root_disk_selection;
mod scheduler;
pub mod settings;
mod validate_interfaces;

pub use settings::Settings;

use serde_json::{Map, Value};

use super::document::Failure;
use super::node::Node;

/// A processing hook.
#[derive(Debug)]
pub struct Hook {
    /// Its name in the option `processing_hooks`.
    pub name: &'static str,
    pre: Option<Pre>,
    post: Option<Post>,
}

type Pre = fn(&mut Facts<'_>) -> Result<(), Failure>;
type Post = fn(&mut Facts<'_>, &mut Node) -> Result<(), Failure>;

/// The document that hooks work on.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The processed document in the making; its depth is bounded.
    pub data: &'a mut Map<String, Value>,
    /// The options.
    pub settings: &'a Settings,
    /// What people should know although the run goes on.
    pub warnings: &'a mut Vec<String>,
}

impl Facts<'_> {
    fn warn(&mut self, hook: &str, text: impl AsRef<str>) {
        self.warnings.push(format!("{hook}: {}", text.as_ref()));
    }
}

/// All hooks, in the order of the specification's table.
pub static HOOKS: [Hook; 12] = [
    Hook { name: "ramdisk_error", pre: Some(ramdisk_error::pre), post: None },
    Hook { name: "validate_interfaces", pre: Some(validate_interfaces::pre), post: Some(validate_interfaces::post) },
    Hook { name: "root_disk_selection", pre: None, post: Some(root_disk_selection::post) },
    Hook { name: "scheduler", pre: None, post: Some(scheduler::post) },
    Hook { name: "capabilities", pre: None, post: Some(capabilities::post) },
    Hook { name: "pci_devices", pre: None, post: Some(pci_devices::post) },
    Hook { name: "raid_device", pre: Some(raid_device::pre), post: Some(raid_device::post) },
    Hook { name: "accelerators", pre: None, post: Some(accelerators::post) },
    Hook { name: "extra_hardware", pre: None, post: Some(extra_hardware::post) },
    Hook { name: "lldp_basic", pre: None, post: Some(lldp_basic::post) },
    Hook { name: "local_link_connection", pre: None, post: Some(local_link_connection::post) },
    Hook { name: "physnet_cidr_map", pre: None, post: Some(physnet_cidr_map::post) },
];

/// The hook of that name.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Hook> {
    HOOKS.iter().find(|hook| hook.name == name)
}

/// Runs the `pre` parts of all configured hooks and collects one line per failure.
pub(super) fn run_pre(facts: &mut Facts<'_>) -> Vec<String> {
    let settings = facts.settings;
    let mut failures = Vec::new();
    for hook in settings.hooks() {
        if let Some(Err(failure)) = hook.pre.map(|pre| pre(facts)) {
            failures.push(format!("Preprocessing hook {}: {failure}", hook.name));
        }
    }
    failures
}

/// Runs the `post` parts of all configured hooks.
///
/// # Errors
/// The first failure. What earlier hooks changed stays.
pub(super) fn run_post(facts: &mut Facts<'_>, node: &mut Node) -> Result<(), Failure> {
    let settings = facts.settings;
    settings.hooks().filter_map(|hook| hook.post).try_for_each(|post| post(facts, node))
}

#[cfg(test)]
mod tests;
