//! What can be asked of an introspection, what it may know, and the rows that it writes.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::node::Node;
use super::process;
use super::rules::Rule;
use super::state::State;
use super::summary::Identity;

/// What can be asked.
#[derive(Clone, Debug)]
pub enum Command {
    /// Probe the host now (spec/introspection.md §1.7.1).
    Start {
        /// Whether the caller wants the boot managed; `None` means that they did not say.
        manage_boot: Option<bool>,
        /// Sections to probe; empty means all.
        sections: Vec<String>,
    },
    /// Cancel (§1.7.4).
    Abort,
    /// Run hooks and rules again, over stored data or over these (§1.7.6).
    Reapply {
        /// Data that replace the stored ones.
        data: Option<Value>,
    },
    /// Data came from outside our agents (§1.7.8).
    Callback {
        /// The document.
        data: Value,
    },
    /// A host joined for the first time (§6.1, discovery).
    Enrol,
    /// A refresh read the host, and the installation wants to see that as a run (§6.1, `publish_refresh_as_introspection`).
    Publish {
        /// The whole document.
        data: Value,
    },
    /// The data that are held back are of this host: it is another machine now (§6.1).
    AcceptIdentity,
}

/// Data that are held back, as they are of another machine than the host was.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// What the data say of the machine.
    pub found: Identity,
    /// The data; loaded only for inputs that need them.
    pub document: Option<Value>,
}

/// What a decision may know.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The host's node document.
    pub node: Node,
    /// Whether the host's agent was revoked: such a host is out of service.
    pub revoked: bool,
    /// What earlier inventories of this host say of the machine.
    pub known: Identity,
    /// Data that are held back.
    pub held: Option<Held>,
    /// The newest unprocessed document of the inventory, into which a run over some sections puts them; loaded only for
    /// inputs that need it.
    pub base: Option<Value>,
    /// The stored unprocessed document; loaded only for inputs that need it.
    pub stored: Option<Value>,
    /// All rules in their order; loaded only for inputs that need them.
    pub rules: Vec<Rule>,
    /// The settings of the installation.
    pub settings: Arc<Settings>,
}

/// Settings of the installation that decisions depend on (spec/introspection.md §2.3, §1.8, §4.8).
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long `starting` may last.
    pub starting_deadline: Duration,
    /// How long `waiting` may last; also `enrolling`.
    pub waiting_deadline: Duration,
    /// How long `processing` and `reapplying` may last.
    pub processing_deadline: Duration,
    /// How long `aborting` may last.
    pub aborting_deadline: Duration,
    /// A start within this time after an equal one is the same start.
    pub dedup_window: Duration,
    /// How long the probe itself may take.
    pub probe_deadline: Duration,
    /// Whether data from outside are taken for hosts that wait for none (`permit_active_introspection`).
    pub permit_active: bool,
    /// Settings of the processing hooks.
    pub processing: process::Settings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            starting_deadline: Duration::from_secs(60),
            waiting_deadline: Duration::from_secs(600),
            processing_deadline: Duration::from_secs(120),
            aborting_deadline: Duration::from_secs(60),
            dedup_window: Duration::from_secs(30),
            probe_deadline: Duration::from_secs(60),
            permit_active: false,
            processing: process::Settings::default(),
        }
    }
}

impl Settings {
    /// How long an introspection may stay in `state`; `None` where it may stay for ever.
    #[must_use]
    pub fn deadline(&self, state: State) -> Option<Duration> {
        match state {
            State::Starting => Some(self.starting_deadline),
            State::Waiting | State::Enrolling => Some(self.waiting_deadline),
            State::Processing | State::Reapplying => Some(self.processing_deadline),
            State::Aborting => Some(self.aborting_deadline),
            State::Finished | State::Error => None,
        }
    }
}

/// Rows that a decision writes besides the record itself.
#[derive(Clone, Debug)]
pub enum Write {
    /// A run begins: whatever else is about to read the host gives way.
    Begun,
    /// The document is kept aside until somebody says whether it is of this host.
    Hold {
        /// The document, whole.
        document: Value,
        /// What the host was known as.
        known: Identity,
        /// What the document says.
        found: Identity,
    },
    /// The host is this machine from now on; nothing is held back any more.
    Accepted(Identity),
    /// The document as it came.
    Unprocessed(Value),
    /// The document after the hooks.
    Processed {
        /// The document.
        document: Value,
        /// Whether it goes into the history of inventories: true for fresh data, false for a reapply.
        fresh: bool,
    },
    /// The node document after hooks and rules.
    Node(Box<Node>),
}
