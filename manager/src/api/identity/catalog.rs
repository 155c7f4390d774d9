//! The service catalogue: where the dialects of this manager are, as the caller knows it.

use serde_json::{Value, json};

use super::call::Call;

/// The one region.
pub(super) const REGION: &str = "RegionOne";

/// The interfaces that every service has; all are the same.
pub(super) const INTERFACES: [&str; 3] = ["public", "internal", "admin"];

/// A service of the catalogue. Its type is its id too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Service {
    /// What clients look for.
    pub(super) kind: &'static str,
    /// What people read.
    pub(super) name: &'static str,
    /// One line on what it does.
    pub(super) description: &'static str,
    /// Where it is mounted; `None` means this dialect.
    mount: Option<&'static str>,
}

/// All services.
pub(super) const SERVICES: [Service; 3] = [
    Service { kind: "identity", name: "identity", description: "Users, projects and tokens", mount: None },
    // Without `/v1`: the client library adds it, and the SDK finds it by discovery.
    Service {
        kind: "baremetal-introspection",
        name: "introspection",
        description: "What is in the hosts",
        mount: Some("/introspection"),
    },
    // With `/v1`: its clients append their paths and look nothing up.
    Service {
        kind: "maintenance",
        name: "fenix",
        description: "Hosts out of service and back",
        mount: Some("/maintenance/v1"),
    },
];

impl Service {
    /// Where it is.
    pub(super) fn url(&self, call: &Call) -> String {
        self.mount.map_or_else(|| call.url(""), |mount| format!("{}{mount}", call.base()))
    }

    /// The id of one of its endpoints.
    pub(super) fn endpoint_id(&self, interface: &str) -> String {
        format!("{}-{interface}", self.kind)
    }
}

/// The catalogue as it stands in a token.
pub(super) fn render(call: &Call) -> Vec<Value> {
    let endpoints = |service: &Service| -> Vec<Value> {
        let url = service.url(call);
        let endpoint = |interface: &&str| {
            json!({
                "id": service.endpoint_id(interface),
                "interface": interface,
                "region": REGION,
                "region_id": REGION,
                "url": url,
            })
        };
        INTERFACES.iter().map(endpoint).collect()
    };
    SERVICES
        .iter()
        .map(|service| {
            json!({"id": service.kind, "type": service.kind, "name": service.name, "endpoints": endpoints(service)})
        })
        .collect()
}
