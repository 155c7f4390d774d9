//! Who is at the other end of a connection, as far as the connection itself tells.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::HeaderMap;

/// The other end of a connection. In the extensions of every request that the server hands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Where the connection comes from; behind a proxy that is the proxy.
    pub address: SocketAddr,
    /// The certificate that it proved to hold in the TLS handshake, DER; `None` without TLS or without a certificate.
    pub certificate: Option<Arc<[u8]>>,
}

impl Peer {
    /// A peer of which only the address is known.
    #[must_use]
    pub fn plain(address: SocketAddr) -> Self {
        Self { address, certificate: None }
    }

    /// Where the request comes from: the last address that a trusted proxy put into `X-Forwarded-For`, else the peer's own.
    /// A header from anybody else is not believed.
    #[must_use]
    pub fn origin(&self, headers: &HeaderMap, trusted: &[IpAddr]) -> IpAddr {
        let own = self.address.ip().to_canonical();
        if !trusted.iter().any(|proxy| proxy.to_canonical() == own) {
            return own;
        }
        let named = headers.get_all("x-forwarded-for").iter().next_back().and_then(|value| value.to_str().ok());
        named.and_then(|value| value.rsplit(',').next()).and_then(|last| last.trim().parse().ok()).unwrap_or(own)
    }

    /// Whether the request comes from this machine itself and no proxy stands between.
    #[must_use]
    pub fn is_local(&self, headers: &HeaderMap) -> bool {
        let forwarded = headers.contains_key("x-forwarded-for") || headers.contains_key("forwarded");
        self.address.ip().to_canonical().is_loopback() && !forwarded
    }
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
        assert_eq!(proxy.origin(&forwarded, &[]).to_string(), "192.0.2.1");
        assert_eq!(proxy.origin(&forwarded, &trusted).to_string(), "198.51.100.7");
        assert_eq!(proxy.origin(&headers("unknown"), &trusted).to_string(), "192.0.2.1");
        assert_eq!(proxy.origin(&HeaderMap::new(), &trusted).to_string(), "192.0.2.1");
        let mapped = Peer::plain("[::ffff:192.0.2.1]:1".parse().unwrap());
        assert_eq!(mapped.origin(&forwarded, &trusted).to_string(), "198.51.100.7");
    }

    #[test]
    fn a_forwarded_request_is_not_local() {
        let peer = Peer::plain("127.0.0.1:1".parse().unwrap());
        assert!(peer.is_local(&HeaderMap::new()));
        assert!(!peer.is_local(&headers("203.0.113.9")));
        assert!(!Peer::plain("192.0.2.1:1".parse().unwrap()).is_local(&HeaderMap::new()));
    }
}
