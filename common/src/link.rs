//! What both ends of the agent link know of each other's certificates (design §5).

use crate::id::HostId;

/// The name in every manager's certificate. Agents ask for this name at whatever address they dial: the CA is ours alone,
/// and only managers get certificates for servers.
pub const MANAGER_NAME: &str = "manager.hostler.internal";

/// What the URI in the certificate of a host's agent begins with, unless an operator's own PKI has its own way.
pub const HOST_URI: &str = "spiffe://hostler/host/";

/// The URI in the certificate of a host's agent.
#[must_use]
pub fn host_uri(host: HostId) -> String {
    format!("{HOST_URI}{host}")
}

/// The host that a URI of a certificate names.
#[must_use]
pub fn host_of_uri(uri: &str) -> Option<HostId> {
    uri.strip_prefix(HOST_URI)?.parse().ok()
}
