//! Rendering of what several resources show.

use std::collections::BTreeMap;

use axum::body::Body;
use bytes::Bytes;
use hostler_common::id::HostId;
use hostler_core::maintenance::host::{SessionHost, shown_type};
use hostler_core::maintenance::state::Reason;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::moment::maybe;
use crate::api::answer::raw;

/// 200 with JSON.
pub(super) fn json(value: &Value) -> Response<Body> {
    raw(StatusCode::OK, value.to_string().into())
}

/// 200 with what was sent.
pub(super) fn echo(body: &Bytes) -> Response<Body> {
    raw(StatusCode::OK, body.clone())
}

/// The names of hosts.
pub(super) struct Names(BTreeMap<HostId, String>);

impl Names {
    /// Those of the fleet, and those that the hosts of a session had when it was made.
    pub(super) fn new(fleet: Vec<(HostId, i64, String)>, session: &[SessionHost]) -> Self {
        let mut names: BTreeMap<HostId, String> = session.iter().map(|host| (host.host, host.name.clone())).collect();
        names.extend(fleet.into_iter().map(|(id, _, name)| (id, name)));
        Self(names)
    }

    /// The name of a host; its id where it is not known any more.
    pub(super) fn of(&self, host: HostId) -> String {
        self.0.get(&host).cloned().unwrap_or_else(|| host.to_string())
    }

    /// The name of the host of that id.
    pub(super) fn by_id(&self, id: &str) -> Option<String> {
        self.0.get(&id.parse().ok()?).cloned()
    }

    /// The host of that name.
    pub(super) fn find(&self, name: &str) -> Option<HostId> {
        let by_name = self.0.iter().find(|(_, known)| known.eq_ignore_ascii_case(name)).map(|(id, _)| *id);
        by_name.or_else(|| hostler_common::id::uuid_like(name).map(HostId).filter(|id| self.0.contains_key(id)))
    }
}

/// Why something stopped.
pub(super) fn reason(reason: Option<&Reason>, names: &Names) -> Value {
    let Some(reason) = reason else { return Value::Null };
    let host = reason.host_name.clone().or_else(|| reason.host.map(|host| names.of(host)));
    json!({ "code": reason.code, "host": host, "plugin": reason.plugin, "text": reason.text })
}

/// A host of a session: what upstream's table has, and what is ours.
pub(super) fn host(host: &SessionHost, names: &Names) -> Value {
    let roles: Vec<&str> = host
        .roles
        .iter()
        .map(|role| match role {
            hostler_core::maintenance::host::Role::Controller => "controller",
            hostler_core::maintenance::host::Role::Compute => "compute",
            hostler_core::maintenance::host::Role::Storage => "storage",
            hostler_core::maintenance::host::Role::Other => "other",
        })
        .collect();
    json!({
        "hostname": host.name,
        "type": shown_type(&host.roles),
        "maintained": host.maintained,
        "disabled": host.disabled,
        "details": host.reason.as_ref().map(|reason| &reason.text),
        "plugin": host.plugin,
        "plugin_state": host.plugin_state,
        "phase": host.phase.name(),
        "started_at": maybe(host.started_at),
        "finished_at": maybe(host.finished_at),
        "host_id": host.host.to_string(),
        "roles": roles,
        "order": host.order_no,
        "domain": host.domain,
        "disabled_before": host.disabled_before,
        "attempts": host.attempts,
        "reason": reason(host.reason.as_ref(), names),
    })
}
