//! Where the dialect is, as its clients see it: what links begin with (spec/introspection.md §1.1).

use std::net::IpAddr;

use http::HeaderMap;
use http::header::HOST;
use http::request::Parts;

use super::caller::Peer;
use crate::config::Config;

/// The place of the dialect, for one request.
#[derive(Clone, Debug)]
pub(super) struct Links {
    /// `https://host:port`.
    origin: String,
    /// The path of the dialect's root, without a slash at the end.
    prefix: String,
}

impl Links {
    /// The place as the sender of this request sees it. What proxies say counts only if the peer is one of those that are
    /// configured, and of several values only the last, which that proxy wrote itself.
    pub(super) fn of(config: &Config, mount: &str, parts: &Parts, peer: &Peer) -> Self {
        let headers = &parts.headers;
        let trusted = is_trusted(config, peer);
        let forwarded = |name: &str| if trusted { last_value(headers, name) } else { None };
        let own = if config.listen.tls_certificate.is_some() { "https" } else { "http" };
        let scheme = forwarded("x-forwarded-proto").filter(|scheme| matches!(*scheme, "http" | "https")).unwrap_or(own);
        let mut host = forwarded("x-forwarded-host")
            .or_else(|| headers.get(HOST).and_then(|value| value.to_str().ok()))
            .or_else(|| parts.uri.authority().map(http::uri::Authority::as_str))
            .filter(|host| is_host(host))
            .map_or_else(|| config.listen.rest.to_string(), str::to_owned);
        if let Some(port) = forwarded("x-forwarded-port").and_then(|port| port.parse::<u16>().ok()) {
            host = format!("{}:{port}", without_port(&host));
        }
        let default_port = if scheme == "https" { ":443" } else { ":80" };
        let host = host.strip_suffix(default_port).unwrap_or(&host);
        let before = forwarded("x-forwarded-prefix").filter(|prefix| is_path(prefix)).unwrap_or_default();
        Self { origin: format!("{scheme}://{host}"), prefix: format!("{}{mount}", before.trim_end_matches('/')) }
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

/// Where a request really came from: the peer, or what a trusted proxy says of it.
pub(super) fn source(config: &Config, headers: &HeaderMap, peer: &Peer) -> Option<IpAddr> {
    if is_trusted(config, peer)
        && let Some(address) = last_value(headers, "x-forwarded-for")
    {
        return address.parse().ok().map(canonical);
    }
    peer.address.map(canonical)
}

/// An IPv4 address that came in the clothes of IPv6, as on a listener for both, is an IPv4 address.
fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

fn is_trusted(config: &Config, peer: &Peer) -> bool {
    peer.address.is_some_and(|address| {
        config.listen.trusted_proxies.iter().any(|proxy| canonical(*proxy) == canonical(address))
    })
}

/// The last value of a header that lists what each proxy on the way wrote.
fn last_value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let line = headers.get_all(name).iter().next_back()?.to_str().ok()?;
    line.rsplit(',').next().map(str::trim).filter(|value| !value.is_empty())
}

/// Whether it can stand in a link as host and port. Anything else would let a header write into the answer.
fn is_host(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 300
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']'))
}

fn is_path(text: &str) -> bool {
    text.starts_with('/')
        && text.len() <= 300
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'.' | b'-' | b'_' | b'~'))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        // A colon inside brackets is one of an IPv6 address.
        Some((name, port)) if !port.contains(']') => name,
        _ => host,
    }
}
