//! Settings of events and of webhooks.

use std::path::PathBuf;

use serde::Deserialize;

/// Events (docs/events.md).
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Events {
    /// The name of this installation in the attribute `source` of CloudEvents; the same for all managers of one store.
    pub name: String,
    /// How many clients may follow events at once.
    pub streams_max: u32,
}

impl Default for Events {
    fn default() -> Self {
        Self { name: "main".into(), streams_max: 256 }
    }
}

/// Webhooks (docs/events.md).
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Webhooks {
    /// How many there may be.
    pub max: u32,
    /// How long one attempt may take, in seconds.
    pub timeout_s: u32,
    /// Whether receivers may be reached without TLS. Those on this machine always may, where they may be reached at all.
    pub allow_http: bool,
    /// Networks (CIDR) that are allowed although they would not be: loopback, link-local.
    pub allow_networks: Vec<String>,
    /// Networks (CIDR) that are refused, whatever else is allowed.
    pub deny_networks: Vec<String>,
    /// Certificates (PEM) that are trusted besides those of the system.
    pub ca_file: Option<PathBuf>,
}

impl Default for Webhooks {
    fn default() -> Self {
        Self {
            max: 100,
            timeout_s: 10,
            allow_http: false,
            allow_networks: Vec::new(),
            deny_networks: Vec::new(),
            ca_file: None,
        }
    }
}
