//! Hook points: the named moments at which scripts of operators run (spec/hooks.md §5, §6).

mod points;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::id::{HookId, JobId};
use crate::script::ScriptRef;
use crate::time::Timestamp;

pub use points::{HookPoint, Parameter, Place};

/// Something that happened at a hook point, and that hooks may be bound to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Occurrence {
    /// Stable over repetitions.
    pub id: Uuid,
    /// Which moment.
    pub point: HookPoint,
    /// Who brought it about.
    pub origin: Origin,
    /// When.
    pub at: Timestamp,
    /// The values of the point's parameters, in their order; empty text where there is none.
    pub values: Vec<String>,
}

/// Who brought an occurrence about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The manager had it done.
    Manager,
    /// The agent did it by itself.
    Agent,
    /// Somebody else did it; it was found out.
    External,
    /// Nobody did: a hook is tried.
    Test,
}

impl Origin {
    /// The stable name, as in `HOOK_ORIGIN`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Manager => "manager",
            Self::Agent => "agent",
            Self::External => "external",
            Self::Test => "test",
        }
    }
}

/// What happens when a hook of a blocking point fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// What waits for it does not happen.
    #[default]
    Block,
    /// It is recorded as a warning, and the rest goes on.
    Warn,
    /// Nothing.
    Ignore,
}

/// A hook as the agent of a host knows it, so that it runs also while the manager is away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssignedHook {
    /// Which.
    pub id: HookId,
    /// At which moment.
    pub point: HookPoint,
    /// Hooks of one moment run by this, then by `id`.
    pub order: i32,
    /// What a failure means.
    pub on_failure: OnFailure,
    /// How long the script may take, in seconds.
    pub timeout_s: u32,
    /// What is run.
    pub script: ScriptRef,
    /// The account; `None` means that of the agent.
    pub run_as: Option<String>,
    /// More of its environment.
    pub env: BTreeMap<String, String>,
    /// Names of stored secrets that it would need, by file name. The values are not there: hosts keep none (decision 0013).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
    /// Whether it gets the occurrence as JSON on its standard input.
    pub stdin_json: bool,
    /// Whether it also runs at what others brought about.
    pub external: bool,
    /// Whether processes that it leaves behind live on.
    pub leave_children: bool,
}

/// What an agent is to do by itself: sent when a link begins and when it changes, kept on the host, signed by the manager.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The host's small number: `HOOK_SERVER_ID`.
    pub number: i64,
    /// The host's name: `HOOK_SERVER_NAME`.
    pub name: String,
    /// Hooks of the host, of points whose place is the host itself.
    pub hooks: Vec<AssignedHook>,
    /// Ceph clusters that this agent watches for all others, by their `fsid`; an empty name means the one of the host's
    /// default configuration.
    pub clusters: Vec<String>,
    /// The path that is watched for the persistent mount (spec/hooks.md §7.9).
    pub persistent_path: String,
    /// Lease files that are watched (spec/hooks.md §7.8).
    pub lease_files: Vec<LeaseFile>,
    /// Whether renewals of leases count.
    pub lease_renewals: bool,
}

/// A file in which a DHCP server keeps its leases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseFile {
    /// Where.
    pub path: String,
    /// Whose.
    pub format: LeaseFormat,
}

/// How a DHCP server writes its leases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaseFormat {
    /// dnsmasq.
    Dnsmasq,
    /// Kea, memfile backend.
    Kea,
    /// ISC dhcpd.
    Isc,
}

/// What an agent says of something that happened on its host. Kept by the agent until the manager acknowledged it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostReport {
    /// Rises with each report of an agent; the manager takes each number once.
    pub number: u64,
    /// What happened.
    pub occurrence: Occurrence,
    /// The hooks that the agent runs for it, each with the job that runs it. The jobs are in the agent's journal and are
    /// reported like any other.
    pub jobs: Vec<HookJob>,
    /// Hooks that matched and were not run, each with the reason.
    pub skipped: Vec<(HookId, String)>,
}

/// A job that an agent gave itself for a hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookJob {
    /// Which hook.
    pub hook: HookId,
    /// Which job.
    pub job: JobId,
    /// What is run.
    pub script: ScriptRef,
    /// What the script gets as arguments.
    pub args: Vec<String>,
}

/// The environment that every script of a hook gets (spec/hooks.md §6), without what only the runner of it knows.
/// Control characters in values are replaced by spaces; the arguments have them as they are.
#[must_use]
pub fn hook_env(occurrence: &Occurrence) -> BTreeMap<String, String> {
    let mut env = BTreeMap::from([
        ("HOOK_EVENT".to_owned(), occurrence.point.name().to_owned()),
        ("HOOK_EVENT_ID".to_owned(), occurrence.id.to_string()),
        ("HOOK_ORIGIN".to_owned(), occurrence.origin.name().to_owned()),
        ("HOOK_TIME".to_owned(), occurrence.at.rfc3339()),
    ]);
    for (parameter, value) in occurrence.point.parameters().iter().zip(&occurrence.values) {
        let clean = value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        env.insert(parameter.variable(), clean);
    }
    env
}

/// The document that a hook with `stdin: json` reads.
#[must_use]
pub fn hook_document(occurrence: &Occurrence, host: Option<(i64, &str)>) -> serde_json::Value {
    let parameters: serde_json::Map<String, serde_json::Value> = occurrence
        .point
        .parameters()
        .iter()
        .zip(&occurrence.values)
        .map(|(parameter, value)| (parameter.name.to_owned(), value.clone().into()))
        .collect();
    serde_json::json!({
        "event": occurrence.point.name(),
        "eventId": occurrence.id,
        "origin": occurrence.origin.name(),
        "time": occurrence.at.rfc3339(),
        "server": host.map(|(number, name)| serde_json::json!({ "id": number, "name": name })),
        "parameters": parameters,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_of_a_hook() {
        let occurrence = Occurrence {
            id: Uuid::from_u128(1),
            point: HookPoint::OnDhcpLeaseUpdate,
            origin: Origin::External,
            at: Timestamp::from_micros(0),
            values: ["add", "00:11:22:33:44:55", "10.0.0.9", "evil\nname", "0"].map(str::to_owned).to_vec(),
        };
        let env = hook_env(&occurrence);
        assert_eq!(env["HOOK_EVENT"], "OnDhcpLeaseUpdate");
        assert_eq!(env["HOOK_HOSTNAME"], "evil name");
        assert_eq!(env["HOOK_ORIGIN"], "external");
        let document = hook_document(&occurrence, Some((3, "a")));
        assert_eq!(document["parameters"]["hostname"], "evil\nname");
        assert_eq!(document["server"]["id"], 3);
    }
}
