//! The manager's configuration as `hostler up` writes it, and the addresses behind it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::files::Secrets;
use crate::failure::{Failure, Kind};

/// The administrator that the manager makes at its first start.
pub const ADMIN: &str = "admin";
/// The administrator's project.
pub const PROJECT: &str = "admin";
/// The domain of both.
pub const DOMAIN: &str = "Default";

/// Where the manager listens; also the contents of its `listening.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listen {
    /// For REST clients.
    pub rest: SocketAddr,
    /// For agents.
    pub agents: SocketAddr,
}

#[derive(Serialize)]
struct Settings<'a> {
    state_dir: &'a Path,
    listen: Listen,
    bootstrap: Bootstrap<'a>,
    auth: Auth<'a>,
}

#[derive(Serialize)]
struct Bootstrap<'a> {
    username: &'a str,
    password: &'a str,
    project: &'a str,
    domain: &'a str,
}

#[derive(Serialize)]
struct Auth<'a> {
    static_tokens: [StaticToken<'a>; 1],
}

#[derive(Serialize)]
struct StaticToken<'a> {
    name: &'a str,
    token_sha256: String,
    roles: [&'a str; 1],
}

/// The text of `manager.toml`. The token itself is not in it, only its hash.
///
/// # Errors
/// The path is not UTF-8.
pub fn render(state_dir: &Path, listen: Listen, secrets: &Secrets) -> Result<String, Failure> {
    let hash = hex::encode(Sha256::digest(secrets.token.as_bytes()));
    let settings = Settings {
        state_dir,
        listen,
        bootstrap: Bootstrap { username: ADMIN, password: &secrets.password, project: PROJECT, domain: DOMAIN },
        auth: Auth { static_tokens: [StaticToken { name: "up", token_sha256: hash, roles: ["admin"] }] },
    };
    let text = toml::to_string(&settings)
        .map_err(|error| Failure::new(Kind::Failed, "cannot write the manager's configuration", error.to_string()))?;
    Ok(format!("# Written by `hostler up` at each start; changes are lost.\n{text}"))
}

/// The variable that overrides the manager's refusal of plain HTTP on an address that other machines reach.
const ALLOW_PLAIN: &str = "HOSTLER_MANAGER_LISTEN__ALLOW_PLAIN_HTTP";

/// Refuses an address on which passwords would cross the network in the clear, unless that is wanted.
///
/// # Errors
/// It is not wanted.
pub fn check_plain(listen: SocketAddr, env: &dyn Fn(&str) -> Option<String>) -> Result<(), Failure> {
    if listen.ip().is_loopback() || env(ALLOW_PLAIN).as_deref() == Some("true") {
        return Ok(());
    }
    let why = "`hostler up` speaks plain HTTP, and passwords would cross the network in the clear";
    Err(Failure::new(Kind::Usage, format!("cannot listen on {listen}"), why).hint(format!(
        "listen on 127.0.0.1, run hostler-manager with a certificate, or set {ALLOW_PLAIN}=true if the network is safe"
    )))
}

/// The address to ask for: the wanted one; if any port will do, the one of the last run while it is free, so that agents
/// and clients find the system again.
#[must_use]
pub fn prefer(wanted: SocketAddr, last: Option<SocketAddr>) -> SocketAddr {
    match last {
        Some(last) if wanted.port() == 0 && last.ip() == wanted.ip() && TcpListener::bind(last).is_ok() => last,
        _ => wanted,
    }
}

/// The address by which this machine reaches a listener: loopback, if it listens on every address.
#[must_use]
pub fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets() -> Secrets {
        Secrets {
            password: "p\"w".into(),
            token: "abc".into(),
            join_token: None,
            host: None,
            listen: None,
            agent_listen: None,
        }
    }

    #[test]
    fn the_configuration_is_as_the_manager_expects_it() {
        let listen = Listen { rest: "127.0.0.1:0".parse().unwrap(), agents: "[::1]:7443".parse().unwrap() };
        let text = render(Path::new("/s/manager"), listen, &secrets()).unwrap();
        let value: toml::Table = text.parse().unwrap();
        let expected: toml::Table = r#"
            state_dir = "/s/manager"
            [listen]
            rest = "127.0.0.1:0"
            agents = "[::1]:7443"
            [bootstrap]
            username = "admin"
            password = "p\"w"
            project = "admin"
            domain = "Default"
            [[auth.static_tokens]]
            name = "up"
            token_sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
            roles = ["admin"]
        "#
        .parse()
        .unwrap();
        assert_eq!(value, expected);
        assert!(!text.contains("abc"));
    }

    #[test]
    fn a_free_port_is_taken_again() {
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let last = held.local_addr().unwrap();
        let any = "127.0.0.1:0".parse().unwrap();
        assert_eq!(prefer(any, Some(last)), any);
        drop(held);
        assert_eq!(prefer(any, Some(last)), last);
        assert_eq!(prefer(any, None), any);
        let wanted = "127.0.0.1:8080".parse().unwrap();
        assert_eq!(prefer(wanted, Some(last)), wanted);
    }

    #[test]
    fn unspecified_addresses_are_reached_by_loopback() {
        assert_eq!(reachable("0.0.0.0:1".parse().unwrap()).to_string(), "127.0.0.1:1");
        assert_eq!(reachable("[::]:1".parse().unwrap()).to_string(), "[::1]:1");
        assert_eq!(reachable("192.0.2.1:1".parse().unwrap()).to_string(), "192.0.2.1:1");
    }
}
