//! Where webhooks, and the questions of gates, may lead: the manager must not be a way to services that only it can reach.
//!
//! An address is looked at when the connection is made, not when the webhook is, so that a name that changes its address
//! gains nothing. Addresses of private networks are allowed: that is where the receivers of a fleet are.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use hostler_core::introspection::document::net::Network;
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// The longest URL, in bytes.
const URL_MAX: usize = 2048;

/// What may be reached. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Guard(Arc<Rules>);

#[derive(Debug)]
struct Rules {
    allow: Vec<Network>,
    deny: Vec<Network>,
    loopback: bool,
    http: bool,
    /// Whether addresses of private networks are refused.
    public: bool,
}

/// A name whose addresses may not be reached.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refused(String);

impl Guard {
    /// A guard with those settings; `loopback` says that this machine's own addresses may be reached.
    #[must_use]
    pub fn new(settings: &crate::config::Webhooks, loopback: bool) -> Self {
        let read = |texts: &[String]| texts.iter().filter_map(|text| Network::parse(text)).collect();
        Self(Arc::new(Rules {
            allow: read(&settings.allow_networks),
            deny: read(&settings.deny_networks),
            loopback,
            http: settings.allow_http,
            public: false,
        }))
    }

    /// The same for URLs of those who are not operators: private networks are refused, but for those of `allow`.
    #[must_use]
    pub fn strict(&self, allow: &[String]) -> Self {
        let more = allow.iter().filter_map(|text| Network::parse(text));
        let rules = &*self.0;
        Self(Arc::new(Rules {
            allow: rules.allow.iter().cloned().chain(more).collect(),
            deny: rules.deny.clone(),
            public: true,
            ..*rules
        }))
    }

    /// The same for requests that carry nothing worth hiding: plain HTTP is allowed whatever the settings say.
    #[must_use]
    pub fn with_http(&self) -> Self {
        let rules = &*self.0;
        Self(Arc::new(Rules { allow: rules.allow.clone(), deny: rules.deny.clone(), http: true, ..*rules }))
    }

    /// Reads the URL of a receiver.
    ///
    /// # Errors
    /// What is wrong with it, for whoever wrote it.
    pub fn url(&self, text: &str) -> Result<Url, String> {
        if text.len() > URL_MAX {
            return Err(format!("may have at most {URL_MAX} bytes"));
        }
        let url: Url = text.parse().map_err(|error| format!("is not a URL: {error}"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("may not hold a user name or a password; requests are signed".into());
        }
        if url.fragment().is_some() {
            return Err("may not have a fragment".into());
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or("names no host")?;
        let address = address_of(host);
        if let Some(address) = address {
            self.permits(address)?;
        }
        let local = host == "localhost" || address.is_some_and(|address| address.is_loopback());
        match url.scheme() {
            "https" => {}
            "http" if self.0.http || (local && self.0.loopback) => {}
            "http" => return Err("must be https; webhooks.allow_http of the manager's settings allows http".into()),
            _ => return Err("must begin with https://".into()),
        }
        Ok(url)
    }

    /// Whether an address may be reached.
    ///
    /// # Errors
    /// Why not.
    pub fn permits(&self, address: IpAddr) -> Result<(), String> {
        let address = plain(address);
        let within = |networks: &[Network]| networks.iter().any(|network| network.contains(address));
        if within(&self.0.deny) {
            return Err(format!("{address} is in webhooks.deny_networks"));
        }
        if within(&self.0.allow) || (self.0.loopback && address.is_loopback()) {
            return Ok(());
        }
        match special(address) {
            None if self.0.public && private(address) => Err(format!(
                "{address} is an address of a private network; maintenance.subscription_networks can allow it"
            )),
            None => Ok(()),
            Some(what) => Err(format!("{address} is {what}; webhooks.allow_networks can allow it")),
        }
    }
}

/// The address that the host of a URL is, if it is none that has to be looked up.
fn address_of(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// An IPv4 address that is written as an IPv6 one leads to the same place: mapped (`::ffff:a.b.c.d`), or by the translation
/// prefix `64:ff9b::/96`.
fn plain(address: IpAddr) -> IpAddr {
    if let IpAddr::V6(six) = address
        && let [0x64, 0xff9b, 0, 0, 0, 0, high, low] = six.segments()
    {
        return Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)).into();
    }
    address.to_canonical()
}

/// What keeps an address from being a receiver, if anything does.
fn special(address: IpAddr) -> Option<&'static str> {
    let link_local = match address {
        IpAddr::V4(four) => four.is_link_local(),
        IpAddr::V6(six) => six.is_unicast_link_local(),
    };
    let nowhere = match address {
        // "This network": some systems take all of it for themselves.
        IpAddr::V4(four) => four.octets()[0] == 0 || four.is_broadcast(),
        IpAddr::V6(six) => six.is_unspecified(),
    };
    match address {
        _ if address.is_loopback() => Some("an address of the manager itself"),
        _ if link_local => Some("a link-local address"),
        _ if address.is_multicast() => Some("a multicast address"),
        _ if nowhere => Some("no address of a receiver"),
        _ => None,
    }
}

/// Whether an address is one of a network that not everybody can reach.
fn private(address: IpAddr) -> bool {
    match address {
        // Also what carriers put between: 100.64.0.0/10.
        IpAddr::V4(four) => four.is_private() || (four.octets()[0] == 100 && four.octets()[1] & 0xc0 == 64),
        IpAddr::V6(six) => six.is_unique_local(),
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let mut refused = None;
            let mut allowed = Vec::with_capacity(found.len());
            for address in found {
                match guard.permits(address.ip()) {
                    Ok(()) => allowed.push(address),
                    Err(reason) => refused = Some(reason),
                }
            }
            match refused {
                Some(reason) if allowed.is_empty() => Err(Refused(reason).into()),
                _ => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Webhooks;

    fn guard(loopback: bool) -> Guard {
        let settings = Webhooks {
            allow_networks: vec!["169.254.7.0/24".into()],
            deny_networks: vec!["10.9.0.0/16".into()],
            ..Webhooks::default()
        };
        Guard::new(&settings, loopback)
    }

    #[test]
    fn urls_lead_to_receivers() {
        let guard = guard(false);
        for good in ["https://a.example/x?y=1", "https://192.0.2.7:8443/", "https://10.1.2.3", "https://169.254.7.1/"] {
            assert!(guard.url(good).is_ok(), "{good}: {:?}", guard.url(good));
        }
        let long = format!("https://a/{}", "x".repeat(URL_MAX));
        for bad in [
            "",
            "a.example",
            "ftp://a.example/",
            "http://a.example/",
            "https://user:pw@a.example/",
            "https://user@a.example/",
            "https://a.example/#x",
            "https://127.0.0.1/",
            "https://127.1/",
            "https://0x7f000001/",
            "https://2130706433/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[64:ff9b::7f00:1]/",
            "https://169.254.169.254/latest",
            "https://[fe80::1]/",
            "https://0.0.0.0/",
            "https://10.9.1.1/",
            "https://224.0.0.1/",
            "file:///etc/passwd",
            &long,
        ] {
            assert!(guard.url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn this_machine_may_be_reached_where_the_manager_serves_it_alone() {
        let guard = guard(true);
        for good in ["http://127.0.0.1:8000/x", "http://localhost/x", "http://[::1]/x", "https://127.0.0.2/"] {
            assert!(guard.url(good).is_ok(), "{good}");
        }
        assert!(guard.url("http://a.example/").is_err());
        let open = Guard::new(&Webhooks { allow_http: true, ..Webhooks::default() }, false);
        assert!(open.url("http://a.example/").is_ok() && open.url("http://127.0.0.1/").is_err());
        let asking = Guard::new(&Webhooks::default(), false).with_http();
        assert!(asking.url("http://a.example/").is_ok() && asking.url("http://169.254.169.254/").is_err());
    }

    #[test]
    fn who_is_no_operator_reaches_no_private_network() {
        let strict = guard(false).strict(&["10.1.0.0/16".into()]);
        for good in ["https://192.0.2.7:8443/", "https://10.1.2.3/", "https://169.254.7.1/", "https://[2001:db8::1]/"] {
            assert!(strict.url(good).is_ok(), "{good}: {:?}", strict.url(good));
        }
        for bad in [
            "https://10.2.0.1/",
            "https://172.16.0.1/",
            "https://192.168.1.1/",
            "https://100.64.0.1/",
            "https://[fd00::1]/",
            "https://[::ffff:10.2.0.1]/",
            "https://10.9.1.1/",
            "https://127.0.0.1/",
        ] {
            assert!(strict.url(bad).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn names_are_looked_at_when_they_are_resolved() {
        let ask = |guard: Guard| async move {
            let found = guard.resolve("localhost".parse().unwrap()).await;
            found.map(|addresses| addresses.count()).map_err(|error| error.to_string())
        };
        assert!(ask(guard(true)).await.unwrap() > 0);
        assert!(ask(guard(false)).await.unwrap_err().contains("the manager itself"));
    }
}
