//! Where the dialect is, as its clients see it: what links begin with (spec/introspection.md §1.1).

use std::net::IpAddr;

use http::header::HOST;
use http::request::Parts;
use http::{HeaderMap, HeaderValue};

use crate::api::auth::{Peer, origin};
use crate::config::Config;

/// The place of the dialect, for one request.
#[derive(Clone, Debug)]
pub(super) struct Links {
    /// Scheme, host and port, and what a proxy says stands before our own paths.
    origin: String,
    /// The path of the dialect's root, without a slash at the end.
    mount: String,
}

impl Links {
    /// The place as the sender of this request sees it.
    pub(super) fn of(config: &Config, mount: &str, parts: &Parts, peer: &Peer) -> Self {
        let authority = parts.uri.authority().filter(|_| !parts.headers.contains_key(HOST));
        let host = authority.and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
        let origin = match host {
            None => origin(&config.listen, &parts.headers, peer),
            // HTTP/2 names the host in the URL instead of in a header.
            Some(host) => {
                let mut headers = parts.headers.clone();
                headers.insert(HOST, host);
                origin(&config.listen, &headers, peer)
            }
        };
        Self { origin, mount: mount.to_owned() }
    }

    /// An absolute link to a path below the dialect's root, which begins with a slash.
    pub(super) fn absolute(&self, path: &str) -> String {
        format!("{}{}{path}", self.origin, self.mount)
    }

    /// The same without scheme and host.
    pub(super) fn path(&self, path: &str) -> String {
        let after_scheme = self.origin.split_once("://").map_or("", |(_, rest)| rest);
        let before = after_scheme.find('/').map_or("", |slash| &after_scheme[slash..]);
        format!("{before}{}{path}", self.mount)
    }
}

/// Where a request really came from: the peer, or what a proxy that the configuration names says of it. `None` where that is
/// not known.
pub(super) fn source(config: &Config, headers: &HeaderMap, peer: &Peer) -> Option<IpAddr> {
    let address = peer.address?.ip().to_canonical();
    if !config.listen.trusted_proxies.iter().any(|proxy| proxy.to_canonical() == address) {
        return Some(address);
    }
    // Of several, the last was written by that proxy; all others anybody may have made up.
    let last = headers.get_all("x-forwarded-for").iter().next_back()?.to_str().ok()?.rsplit(',').next()?.trim();
    last.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}
