//! How hosts look on the wire.

use hostler_common::time::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use super::super::identity;
use super::super::section::{self, Sections};
use crate::store::cluster::Reach;
use crate::store::held::HeldInfo;
use crate::store::host::Host;
use crate::store::introspection::Status;

/// `Host` of docs/native-api.md.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HostView {
    id: String,
    number: i64,
    name: String,
    description: Option<String>,
    state: &'static str,
    roles: Vec<String>,
    labels: Value,
    zone: Option<String>,
    agent: AgentView,
    cluster: Option<String>,
    created_at: String,
    introspection: Option<IntrospectionView>,
    summary: Option<Map<String, Value>>,
    stale_sections: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sections: Option<Sections>,
    identity_change: Option<identity::ChangeView>,
}

/// What is known of a host besides its own record.
#[derive(Clone, Debug, Default)]
pub struct Around {
    /// What its agent said when it connected.
    pub reach: Reach,
    /// The record of its last introspection.
    pub status: Option<Status>,
    /// How old its facts are.
    pub sections: Sections,
    /// Data of another machine that are held back.
    pub held: Option<HeldInfo>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AgentView {
    version: Option<String>,
    state: &'static str,
    connected_at: Option<String>,
    last_seen_at: Option<String>,
    address: Option<String>,
    certificate_serial: Option<String>,
    certificate_expires_at: Option<String>,
    boot_id: Option<String>,
    degraded: bool,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct IntrospectionView {
    state: &'static str,
    started_at: String,
    finished_at: Option<String>,
    error: Option<String>,
}

/// The figures of `summary`; what the store has besides them is not shown.
const FIGURES: [&str; 10] =
    ["manufacturer", "product", "serial", "cpuModel", "cpus", "memoryMb", "disks", "interfaces", "os", "kernel"];

impl HostView {
    /// A host and what is known of it besides; a list leaves the single sections out.
    #[must_use]
    pub fn of(host: Host, around: Around, in_list: bool) -> Self {
        let state = host.agent_state.name();
        let moment = |at: Option<Timestamp>| at.map(Timestamp::rfc3339);
        Self {
            id: host.id.to_string(),
            number: host.number,
            name: host.name,
            description: host.description,
            state,
            roles: host.roles,
            labels: host.labels,
            zone: host.zone,
            agent: AgentView {
                version: host.agent_version,
                state,
                connected_at: moment(host.connected_at),
                last_seen_at: moment(host.last_seen_at),
                address: host.agent_address,
                certificate_serial: host.certificate_serial,
                certificate_expires_at: moment(host.certificate_expires_at),
                boot_id: host.boot_id,
                degraded: around.reach.degraded,
            },
            cluster: around.reach.fsid,
            created_at: host.created_at.rfc3339(),
            introspection: around.status.map(|status| IntrospectionView {
                state: status.state.name(),
                started_at: status.started_at.rfc3339(),
                finished_at: moment(status.finished_at),
                error: status.error,
            }),
            summary: host.summary.map(|stored| figures(&stored)),
            stale_sections: section::stale(&around.sections),
            sections: (!in_list).then_some(around.sections),
            identity_change: around.held.map(identity::ChangeView::of),
        }
    }
}

fn figures(stored: &Value) -> Map<String, Value> {
    FIGURES.iter().map(|name| ((*name).to_owned(), stored.get(*name).cloned().unwrap_or(Value::Null))).collect()
}
