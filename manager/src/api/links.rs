//! Where the dialect is, as its clients see it: what links begin with (spec/introspection.md §1.1, spec/maintenance.md §1.1).

use http::request::Parts;

use crate::api::origin::origin;
use crate::api::peer::Peer;
use crate::config::Config;

/// The place of the dialect, for one request.
#[derive(Clone, Debug)]
pub(super) struct Links {
    /// `https://host:port`.
    origin: String,
    /// The path of the dialect's root with what a proxy puts before it, without a slash at the end.
    prefix: String,
}

impl Links {
    /// The place as the sender of this request sees it.
    pub(super) fn of(config: &Config, mount: &str, parts: &Parts, peer: &Peer) -> Self {
        let origin = origin(&config.listen, &parts.headers, peer);
        // Links without scheme and host still begin with what a proxy puts before our paths.
        let path = origin.split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| rest[at..].to_owned()));
        let before = path.unwrap_or_default();
        let origin = origin[..origin.len() - before.len()].to_owned();
        Self { origin, prefix: format!("{before}{mount}") }
    }

    /// An absolute link to a path below the dialect's root, which begins with a slash.
    pub(super) fn absolute(&self, path: &str) -> String {
        format!("{}{}{path}", self.origin, self.prefix)
    }

    /// The same without scheme and host.
    pub(super) fn path(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }
}
