//! Who is at the other end of a connection, as far as the connection itself tells.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::ConnectInfo;
use http::HeaderMap;
use http::request::Parts;

use super::certificate::Certificate;

/// The other end of a connection. In the extensions of every request that the server hands on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Where the connection comes from; behind a proxy that is the proxy. `None` where there is no connection, as in tests.
    pub address: Option<SocketAddr>,
    /// The certificate that it proved to own; `None` where it showed none or none was asked for.
    pub certificate: Option<Arc<Certificate>>,
}

impl Peer {
    /// A peer of which only the address is known.
    #[must_use]
    pub fn plain(address: SocketAddr) -> Self {
        Self { address: Some(address), certificate: None }
    }

    /// The other end of the connection that a request came on.
    #[must_use]
    pub fn of(parts: &Parts) -> Self {
        let connected = || parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| Self::plain(info.0));
        parts.extensions.get::<Self>().cloned().or_else(connected).unwrap_or_default()
    }

    /// Whether the peer is one of the proxies whose headers are believed.
    #[must_use]
    pub fn is_trusted(&self, trusted: &[IpAddr]) -> bool {
        let own = self.address.map(|address| address.ip().to_canonical());
        own.is_some_and(|own| trusted.iter().any(|proxy| proxy.to_canonical() == own))
    }

    /// Where the request comes from: the last address that a trusted proxy put into `X-Forwarded-For`, else the peer's own.
    /// A header from anybody else is not believed.
    #[must_use]
    pub fn source(&self, headers: &HeaderMap, trusted: &[IpAddr]) -> Option<IpAddr> {
        let own = self.address.map(|address| address.ip().to_canonical());
        if !self.is_trusted(trusted) {
            return own;
        }
        let named: Option<IpAddr> = last_value(headers, "x-forwarded-for").and_then(|last| last.parse().ok());
        named.map(|address| address.to_canonical()).or(own)
    }

    /// Whether the request comes from this machine itself and no proxy stands between.
    #[must_use]
    pub fn is_local(&self, headers: &HeaderMap) -> bool {
        let forwarded = headers.contains_key("x-forwarded-for") || headers.contains_key("forwarded");
        self.address.is_some_and(|address| address.ip().to_canonical().is_loopback()) && !forwarded
    }
}

/// The last value of a header that lists what each proxy on the way wrote: the one that the nearest proxy wrote itself.
#[must_use]
pub fn last_value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let line = headers.get_all(name).iter().next_back()?.to_str().ok()?;
    line.rsplit(',').next().map(str::trim).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", value.parse().unwrap());
        headers
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let proxy = Peer::plain("192.0.2.1:1".parse().unwrap());
        let trusted = ["192.0.2.1".parse().unwrap()];
        let forwarded = headers("203.0.113.9, 198.51.100.7");
        assert_eq!(proxy.source(&forwarded, &[]).unwrap().to_string(), "192.0.2.1");
        assert_eq!(proxy.source(&forwarded, &trusted).unwrap().to_string(), "198.51.100.7");
        assert_eq!(proxy.source(&headers("unknown"), &trusted).unwrap().to_string(), "192.0.2.1");
        assert_eq!(proxy.source(&HeaderMap::new(), &trusted).unwrap().to_string(), "192.0.2.1");
        let mapped = Peer::plain("[::ffff:192.0.2.1]:1".parse().unwrap());
        assert_eq!(mapped.source(&forwarded, &trusted).unwrap().to_string(), "198.51.100.7");
    }

    #[test]
    fn a_forwarded_request_is_not_local() {
        let peer = Peer::plain("127.0.0.1:1".parse().unwrap());
        assert!(peer.is_local(&HeaderMap::new()));
        assert!(!peer.is_local(&headers("203.0.113.9")));
        assert!(!Peer::plain("192.0.2.1:1".parse().unwrap()).is_local(&HeaderMap::new()));
    }
}
