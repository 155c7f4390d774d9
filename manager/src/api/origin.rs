//! Under which address a client knows us: what links and the service catalogue begin with (spec/introspection.md §1.1).

use http::HeaderMap;
use http::header::HOST;

use super::peer::{Peer, last_value};
use crate::config::Listen;

/// `scheme://host[:port][/prefix]`, without a slash at the end. It is made from the `Host` header, and from
/// `X-Forwarded-Proto`, `-Host`, `-Port` and `-Prefix` (the last value of each) where the request comes from a proxy that
/// the configuration names. What cannot be a host or a prefix is left out.
#[must_use]
pub fn origin(listen: &Listen, headers: &HeaderMap, peer: &Peer) -> String {
    let trusted = peer.is_trusted(&listen.trusted_proxies);
    let forwarded = |name: &str| if trusted { last_value(headers, name) } else { None };
    let own = if listen.tls_certificate.is_some() { "https" } else { "http" };
    let scheme = forwarded("x-forwarded-proto").filter(|scheme| matches!(*scheme, "http" | "https")).unwrap_or(own);
    let direct = headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = forwarded("x-forwarded-host").filter(|host| is_host(host)).or(direct).filter(|host| is_host(host));
    let mut host = host.map_or_else(|| listen.rest.to_string(), str::to_owned);
    if let Some(port) = forwarded("x-forwarded-port").and_then(|port| port.parse::<u16>().ok()) {
        let usual = if scheme == "https" { 443 } else { 80 };
        host.truncate(without_port(&host).len());
        if port != usual {
            host = format!("{host}:{port}");
        }
    }
    let prefix = forwarded("x-forwarded-prefix").filter(|prefix| is_prefix(prefix)).unwrap_or_default();
    format!("{scheme}://{host}{}", prefix.trim_end_matches('/'))
}

/// Whether it may stand in a URL as host and port: nothing that could begin a path, a query or a markup.
fn is_host(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    !text.is_empty() && text.len() <= 300 && text.bytes().all(allowed)
}

fn is_prefix(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'/');
    text.starts_with('/') && !text.starts_with("//") && text.len() <= 300 && text.bytes().all(allowed)
}

/// The host without its port; an IPv6 address stands in brackets.
fn without_port(host: &str) -> &str {
    let end = host.rfind(']').unwrap_or(0);
    host[end..].find(':').map_or(host, |colon| &host[..end + colon])
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn ask(listen: &Listen, from: &str, pairs: &[(&'static str, &'static str)]) -> String {
        let headers = pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
        origin(listen, &headers.collect(), &Peer::plain(from.parse().unwrap()))
    }

    #[test]
    fn forwarded_headers_count_from_proxies_only() {
        let listen = Listen { trusted_proxies: vec!["10.0.0.1".parse().unwrap()], ..Listen::default() };
        let headers = &[
            ("host", "inside:8080"),
            ("x-forwarded-proto", "http, https"),
            ("x-forwarded-host", "a.example, fleet.example.net:80"),
            ("x-forwarded-port", "8443"),
            ("x-forwarded-prefix", "/hostler/"),
        ];
        assert_eq!(ask(&listen, "10.0.0.2:1", headers), "http://inside:8080");
        assert_eq!(ask(&listen, "10.0.0.1:1", headers), "https://fleet.example.net:8443/hostler");
        assert_eq!(ask(&listen, "[::ffff:10.0.0.1]:1", &headers[..3]), "https://fleet.example.net:80");
    }

    #[test]
    fn what_is_no_host_is_left_out() {
        let listen = Listen::default();
        for bad in ["a/b", "a?b", "\"><x", "a b", ""] {
            assert_eq!(ask(&listen, "10.0.0.1:1", &[("host", bad)]), "http://127.0.0.1:8080", "{bad}");
        }
        assert_eq!(ask(&listen, "10.0.0.1:1", &[("host", "[::1]:99")]), "http://[::1]:99");
        let secure = Listen { tls_certificate: Some("/x".into()), ..Listen::default() };
        assert_eq!(ask(&secure, "10.0.0.1:1", &[("host", "h")]), "https://h");
        assert_eq!((without_port("[::1]:99"), without_port("[::1]"), without_port("h:1")), ("[::1]", "[::1]", "h"));
    }
}
