//! What a session is asked to do, after everything that can be checked about the request alone was checked
//! (spec/maintenance.md §1.3).

use hostler_common::id::HostId;
use hostler_common::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::policy::Policy;

/// How a session goes about instances.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Workflow {
    /// Projects are asked as a whole (§3.4).
    #[default]
    Default,
    /// Owners are asked per instance, within their constraints (§3.5).
    Vnf,
}

impl Workflow {
    /// The stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Vnf => "vnf",
        }
    }

    /// The workflow of that name; `nfv` is another name of `vnf`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "default" => Some(Self::Default),
            "vnf" | "nfv" => Some(Self::Vnf),
            _ => None,
        }
    }
}

/// When, and on what, a plug-in runs (§5.1). The order of the variants is the order in which they run on one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActionType {
    /// Once, before all hosts, on the management node.
    Pre,
    /// On every host.
    Host,
    /// On hosts of that role.
    Compute,
    /// On hosts of that role.
    Controller,
    /// On hosts with Ceph daemons.
    Storage,
    /// On hosts that are none of these.
    Other,
    /// Once, after all hosts, on the management node.
    Post,
}

impl ActionType {
    /// All types, in the order in which they run.
    pub const ALL: [Self; 7] =
        [Self::Pre, Self::Host, Self::Compute, Self::Controller, Self::Storage, Self::Other, Self::Post];

    /// The stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pre => "pre",
            Self::Host => "host",
            Self::Compute => "compute",
            Self::Controller => "controller",
            Self::Storage => "storage",
            Self::Other => "other",
            Self::Post => "post",
        }
    }

    /// The type of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A plug-in that is to run. The order within a type is (`order`, `plugin`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// The name of the plug-in.
    pub plugin: String,
    /// When, and on what.
    #[serde(rename = "type")]
    pub kind: ActionType,
    /// What the plug-in is told.
    #[serde(default)]
    pub metadata: Map<String, Value>,
    /// Its place among those of its type; those without come first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<i64>,
}

/// A file that must be there before any project is disturbed (§5.5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Download {
    /// Where from.
    pub url: String,
    /// What it is called afterwards: the last part of the path, if nothing else was asked for.
    pub name: String,
    /// SHA-256 that it must have, hexadecimal; `None` means that the file `<url>.sha256` says it,
    /// unless it is `unchecked`.
    #[serde(default)]
    pub sha256: Option<String>,
    /// The size that it must have, in bytes.
    #[serde(default)]
    pub size: Option<u64>,
    /// Ed25519 signature of its SHA-256 digest, base64.
    #[serde(default)]
    pub signature: Option<String>,
    /// Whether it is taken as it comes where no SHA-256 is known.
    #[serde(default)]
    pub unchecked: bool,
}

/// A session as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// The names of the hosts as asked for; empty means all that are there.
    pub hosts: Vec<String>,
    /// Hosts are also chosen by these labels, all of which they must have.
    #[serde(default)]
    pub host_selector: Map<String, Value>,
    /// When it begins.
    pub maintenance_at: Timestamp,
    /// How it goes about instances.
    pub workflow: Workflow,
    /// What the projects are told of what the hosts will offer.
    pub metadata: Map<String, Value>,
    /// Files.
    #[serde(default)]
    pub download: Vec<Download>,
    /// Plug-ins.
    pub actions: Vec<Action>,
    /// How it decides.
    #[serde(default)]
    pub policy: Policy,
    /// A name for people.
    #[serde(default)]
    pub name: Option<String>,
    /// Why, for people.
    #[serde(default)]
    pub reason: Option<String>,
    /// Labels of the operators.
    #[serde(default)]
    pub labels: Map<String, Value>,
    /// The project of the one who asked: the `project_id` of events for administrators.
    #[serde(default)]
    pub admin_project: String,
}

impl Spec {
    /// A session over all hosts, without plug-ins and with the default policy, that begins at that moment.
    #[must_use]
    pub fn empty(maintenance_at: Timestamp) -> Self {
        Self {
            hosts: Vec::new(),
            host_selector: Map::new(),
            maintenance_at,
            workflow: Workflow::default(),
            metadata: Map::new(),
            download: Vec::new(),
            actions: Vec::new(),
            policy: Policy::default(),
            name: None,
            reason: None,
            labels: Map::new(),
            admin_project: String::new(),
        }
    }
}

/// What a request changes of a session (§1.6). At least one part is there; an empty request means to go on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// The state to enter again; `MaintenanceFailed` ends it.
    pub state: Option<super::state::State>,
    /// Pause, or go on.
    pub paused: Option<bool>,
    /// Another moment of the start.
    pub maintenance_at: Option<Timestamp>,
    /// Hosts to add, by name.
    pub add_hosts: Vec<String>,
    /// Hosts to take out, by name.
    pub remove_hosts: Vec<String>,
    /// Failed hosts that are tried again, by name.
    pub retry_hosts: Vec<String>,
    /// Failed hosts that are accepted as they are, by name.
    pub skip_hosts: Vec<String>,
    /// A gate of manual approval that opens.
    pub approve: bool,
    /// Overrides.
    pub force: Option<Force>,
    /// Another policy, whole: the request's parts on top of the present one.
    pub policy: Option<Box<Policy>>,
}

/// Overrides for one host or for the session; each is audited (§1.6, §8.7).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Force {
    /// The host; `None` means the session.
    pub host: Option<String>,
    /// Health codes that are ignored. `PG_AVAILABILITY` and a lost quorum can never be.
    pub ignore_health: Vec<String>,
    /// Whether the constraints of instances and groups are ignored.
    pub ignore_constraints: bool,
    /// Whether refusals are ignored.
    pub ignore_nack: bool,
    /// Why.
    pub reason: String,
}

/// How a session that is deleted leaves the host at work (§1.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Leave {
    /// Returned to service.
    #[default]
    Exit,
    /// Left out of service, for repair.
    Hold,
}

/// The host of a session, as resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Which.
    pub host: HostId,
    /// Whether it was named, rather than found.
    pub named: bool,
}
