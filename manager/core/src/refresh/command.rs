//! What can be asked of a refresh, what it may know, and the rows that it writes.

use std::sync::Arc;
use std::time::Duration;

use hostler_common::id::JobId;
use serde_json::Value;

use super::schedule::Intervals;
use crate::introspection::merge::Read;
use crate::introspection::node::Node;
use crate::introspection::process;
use crate::introspection::summary::Identity;

/// What can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Look what is due, and when the next look is.
    Begin,
}

/// What a decision may know.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Whether the host's agent is connected.
    pub online: bool,
    /// Whether the host's agent was revoked.
    pub revoked: bool,
    /// The kernel's boot id that the agent last said.
    pub boot_id: Option<String>,
    /// The number of the host's last introspection.
    pub run: u64,
    /// Whether that is under way.
    pub introspecting: bool,
    /// Whether one more probe may run in the fleet. Only found out for inputs that could order one.
    pub free: bool,
    /// Whether there is an inventory to put sections into.
    pub inventory: bool,
    /// The newest unprocessed document of the inventory; loaded only for the end of a probe.
    pub base: Option<Value>,
    /// The host's node document.
    pub node: Node,
    /// What earlier inventories of this host say of the machine.
    pub known: Identity,
    /// What the data that are held back say of the machine.
    pub held: Option<Identity>,
    /// The settings of the installation.
    pub settings: Arc<Settings>,
}

/// Settings of the installation that decisions depend on.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether inventories are refreshed at all.
    pub enabled: bool,
    /// How often each group of sections is read.
    pub intervals: Intervals,
    /// How many hosts of a hundred may be read at once.
    pub share_percent: u32,
    /// How many hosts may be read at once in any case.
    pub at_once_min: u32,
    /// Whether a refresh appears as an introspection (§6.1, `publish_refresh_as_introspection`).
    pub publish: bool,
    /// How long the probe itself may take.
    pub probe_deadline: Duration,
    /// Settings of the processing hooks.
    pub processing: process::Settings,
}

impl Settings {
    /// How many probes may run at once in a fleet of so many hosts.
    #[must_use]
    pub fn at_once(&self, hosts: u64) -> u64 {
        (hosts.saturating_mul(u64::from(self.share_percent)) / 100).max(u64::from(self.at_once_min))
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            enabled: true,
            intervals: Intervals::default(),
            share_percent: 10,
            at_once_min: 32,
            publish: false,
            probe_deadline: Duration::from_secs(60),
            processing: process::Settings::default(),
        }
    }
}

/// Rows that a decision writes besides the machine itself.
#[derive(Clone, Debug)]
pub enum Write {
    /// These sections were read now.
    Seen(Vec<Read>),
    /// The newest inventory says something else now, or is the first.
    Inventory {
        /// The whole document as it came, sections put together.
        unprocessed: Value,
        /// The same after the processing hooks.
        processed: Value,
    },
    /// The document becomes a run of the host's introspection.
    Publish(Value),
    /// The document is kept aside until somebody says whether it is of this host.
    Hold {
        /// The document, whole.
        document: Value,
        /// What the host was known as.
        known: Identity,
        /// What the document says.
        found: Identity,
    },
    /// Nobody needs the record of this job any more: with a job every few minutes on every host, they would be most of
    /// the store.
    Forget(JobId),
}
