//! The fleet: how hosts enrol, how their agents are let in, and how jobs reach them (design §4, §5).
//!
//! [`desk`] holds the rules of a link and knows no socket; [`link`] moves frames between it and a stream; [`accept`] lets
//! TLS connections in; [`ca`] makes certificates, unless the operator has a PKI ([`authority`]).

pub mod accept;
mod admit;
mod artifacts;
pub mod assignment;
mod attach;
pub mod authority;
pub mod ca;
mod cluster;
pub mod desk;
pub mod enrol;
mod frames;
pub mod keys;
pub mod link;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hostler_common::error::Class;
use hostler_common::id::{HostId, JoinTokenId};
use hostler_common::join::JoinText;
use hostler_common::text::check_host_name;
use hostler_core::machine::Event;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::download::Folder;
use crate::engine::Engine;
use crate::store::host::AgentState;
use crate::store::join_token::{JoinToken, certificate_revoke_all, join_token_insert, join_token_revoke};
use crate::store::{self, Error, event, host};

use authority::Authority;

/// The longest life of a join token.
const EXPIRY_MAX: Duration = Duration::from_secs(366 * 86_400);

/// How many names or networks a join token may be bound to.
const BOUND_MAX: usize = 1000;

/// Settings of the fleet.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How often an agent says that it is there.
    pub heartbeat: Duration,
    /// How long a certificate of an agent counts.
    pub certificate_life: Duration,
    /// The largest difference of clocks that is tolerated.
    pub max_clock_skew: Duration,
    /// How many agents may be connected.
    pub max_connections: usize,
    /// What agents watch.
    pub watch: assignment::Watch,
}

/// The fleet. Cheap to clone.
#[derive(Clone)]
pub struct Fleet {
    /// Runs machines, has the store and the clock.
    pub engine: Engine,
    /// Who certifies hosts.
    pub authority: Authority,
    /// Settings.
    pub settings: Settings,
    keys: keys::Keys,
    files: Option<Folder>,
    clusters: Arc<Mutex<cluster::Clusters>>,
    live: Arc<Mutex<HashMap<HostId, CancellationToken>>>,
    listening: Arc<AtomicBool>,
}

/// What a new join token is to be.
#[derive(Clone, Debug)]
pub struct NewJoinToken {
    /// Free text.
    pub description: Option<String>,
    /// How long it can be used.
    pub expires_in: Duration,
    /// How often it can be used; 0 means any number of times.
    pub uses: i64,
    /// Names that hosts may take with it; empty means any.
    pub names: Vec<String>,
    /// Networks (CIDR) from which it can be used; empty means any.
    pub networks: Vec<String>,
    /// Roles that its hosts get.
    pub roles: Vec<String>,
}

/// The roles that a host can have (design §1).
const HOST_ROLES: [&str; 4] = ["compute", "storage", "controller", "management"];

impl NewJoinToken {
    fn check(&self) -> Result<(), String> {
        if self.expires_in.is_zero() || self.expires_in > EXPIRY_MAX {
            return Err("expiresIn must be from 1 second to 366 days".into());
        }
        if !(0..=1_000_000).contains(&self.uses) {
            return Err("uses must be from 0 (any number) to 1000000".into());
        }
        if self.names.len() > BOUND_MAX || self.networks.len() > BOUND_MAX {
            return Err(format!("names and networks may have at most {BOUND_MAX} entries"));
        }
        for name in &self.names {
            check_host_name(name).map_err(|rule| format!("names: {name:?} {rule}"))?;
        }
        for network in &self.networks {
            Network::parse(network)
                .ok_or_else(|| format!("networks: {network:?} is not a network such as 10.0.0.0/8"))?;
        }
        check_roles(&self.roles)
    }
}

/// Checks the roles of a host.
///
/// # Errors
/// The first that is none, and which there are.
pub fn check_roles(roles: &[String]) -> Result<(), String> {
    match roles.iter().find(|role| !HOST_ROLES.contains(&role.as_str())) {
        Some(role) => Err(format!("roles: {role:?} is not one of {}", HOST_ROLES.join(", "))),
        None => Ok(()),
    }
}

impl Fleet {
    /// A fleet over the engine's store.
    #[must_use]
    pub fn new(engine: Engine, authority: impl Into<Authority>, settings: Settings) -> Self {
        Self {
            engine,
            authority: authority.into(),
            settings,
            keys: keys::Keys::default(),
            files: None,
            clusters: Arc::default(),
            live: Arc::default(),
            listening: Arc::default(),
        }
    }

    /// Makes a join token. The second value is its text, which nobody can read again.
    ///
    /// # Errors
    /// Class `Invalid` with the field and the rule, `Conflict` where hosts do not join with tokens; see [`Error`].
    pub async fn join_token_create(&self, new: NewJoinToken, actor: &str) -> store::Result<(JoinToken, String)> {
        let ca_sha256 = self.authority.built_in(Class::Conflict)?.sha256();
        new.check().map_err(|rule| Error::Refused(Class::Invalid, rule))?;
        let now = self.engine.clock.now();
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|error| Error::Unavailable(format!("no randomness: {error}")))?;
        let text = JoinText { id: JoinTokenId(Uuid::now_v7()), secret, ca_sha256 };
        let token = JoinToken {
            id: text.id,
            secret_hash: hex::encode(Sha256::digest(secret)),
            description: new.description,
            created_at: now,
            created_by: actor.to_owned(),
            expires_at: now.after(new.expires_in),
            uses: new.uses,
            used: 0,
            names: new.names,
            networks: new.networks,
            roles: new.roles,
            revoked_at: None,
        };
        let (stored, actor) = (token.clone(), actor.to_owned());
        let made = Event {
            kind: "join_token.created",
            subject: token.id.to_string(),
            data: json!({ "uses": token.uses, "expires_at": token.expires_at.rfc3339(), "names": token.names }),
        };
        self.engine
            .store
            .write(move |tx| {
                Box::pin(async move {
                    join_token_insert(tx, &stored).await?;
                    event::event_insert(tx, now, Some(&actor), &made).await?;
                    Ok(())
                })
            })
            .await?;
        self.engine.wake.changed();
        Ok((token, text.to_string()))
    }

    /// Revokes a join token; `false` if there is none of that id.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn join_token_revoke(&self, id: JoinTokenId, actor: &str) -> store::Result<bool> {
        let (now, actor) = (self.engine.clock.now(), actor.to_owned());
        self.engine
            .store
            .write(move |tx| {
                Box::pin(async move {
                    if !join_token_revoke(tx, id, now).await? {
                        return Ok(false);
                    }
                    let event = Event { kind: "join_token.revoked", subject: id.to_string(), data: json!({}) };
                    event::event_insert(tx, now, Some(&actor), &event).await?;
                    Ok(true)
                })
            })
            .await
    }

    /// Cuts a host's agent off: its certificates count no more, its link ends at once.
    ///
    /// # Errors
    /// Class `NotFound` if there is no such host; see [`Error`].
    pub async fn agent_revoke(&self, id: HostId, reason: &str, actor: &str) -> store::Result<()> {
        let (now, reason, actor) = (self.engine.clock.now(), reason.to_owned(), actor.to_owned());
        self.engine
            .store
            .write(move |tx| {
                Box::pin(async move {
                    host::host_fetch(tx, id).await?;
                    host::host_set_state(tx, id, AgentState::Revoked).await?;
                    certificate_revoke_all(tx, id, &reason, now).await?;
                    let event =
                        Event { kind: "agent.revoked", subject: id.to_string(), data: json!({ "reason": reason }) };
                    event::event_insert(tx, now, Some(&actor), &event).await?;
                    Ok(())
                })
            })
            .await?;
        self.cut(id);
        self.engine.wake.changed();
        Ok(())
    }

    /// Removes a host with everything that is about it. Its agent must be revoked, or never have connected.
    ///
    /// # Errors
    /// Class `NotFound`, or `Conflict` with what to do first; see [`Error`].
    pub async fn host_delete(&self, id: HostId, actor: &str) -> store::Result<()> {
        let (now, actor) = (self.engine.clock.now(), actor.to_owned());
        self.engine
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let found = host::host_fetch(tx, id).await?;
                    if !matches!(found.agent_state, AgentState::Revoked | AgentState::Enrolled) {
                        let text = format!("host {} has an agent; revoke that first", found.name);
                        return Err(Error::Refused(Class::Conflict, text));
                    }
                    host::host_delete(tx, id, now).await?;
                    let event =
                        Event { kind: "host.deleted", subject: id.to_string(), data: json!({ "name": found.name }) };
                    event::event_insert(tx, now, Some(&actor), &event).await?;
                    Ok(())
                })
            })
            .await?;
        self.cut(id);
        self.engine.wake.changed();
        Ok(())
    }

    /// How many agents are connected to this manager.
    #[must_use]
    pub fn connected(&self) -> usize {
        self.links().len()
    }

    /// Whether agents can connect to this manager.
    #[must_use]
    pub fn listening(&self) -> bool {
        self.listening.load(Ordering::Relaxed)
    }

    /// Agents can connect until the guard is dropped.
    fn listen_begins(&self) -> Listening {
        self.listening.store(true, Ordering::Relaxed);
        Listening(Arc::clone(&self.listening))
    }

    /// Ends the link of a host, if there is one.
    fn cut(&self, host: HostId) {
        if let Some(link) = self.links().remove(&host) {
            link.cancel();
        }
    }

    /// Registers a link; an older one of the same host ends.
    fn link_begins(&self, host: HostId, link: &CancellationToken) {
        if let Some(older) = self.links().insert(host, link.clone()) {
            older.cancel();
        }
    }

    /// Removes a link that ended, if no newer one took its place.
    fn link_ends(&self, host: HostId, link: &CancellationToken) {
        let mut links = self.links();
        // A newer link cancelled this one before it took its place, so an uncancelled one is still ours.
        if !link.is_cancelled() {
            links.remove(&host);
        }
    }

    fn links(&self) -> std::sync::MutexGuard<'_, HashMap<HostId, CancellationToken>> {
        // The map is whole after any panic: every critical section is one operation on it.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Agents can connect.
struct Listening(Arc<AtomicBool>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// A network in CIDR form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u32,
}

impl Network {
    /// Reads `10.0.0.0/8`, `2001:db8::/32`, or a single address.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address.parse().ok()?, Some(prefix.parse().ok()?)),
            None => (text.parse().ok()?, None),
        };
        let widest = if matches!(address, IpAddr::V4(_)) { 32 } else { 128 };
        let prefix = prefix.unwrap_or(widest);
        (prefix <= widest).then_some(Self { address, prefix })
    }

    /// Whether `address` is in it; an IPv4 address mapped into IPv6 counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let (net, other, widest) = match (self.address, address.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(other)) => (u128::from(net.to_bits()), u128::from(other.to_bits()), 32),
            (IpAddr::V6(net), IpAddr::V6(other)) => (net.to_bits(), other.to_bits(), 128),
            _ => return false,
        };
        self.prefix == 0 || (net >> (widest - self.prefix)) == (other >> (widest - self.prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        let inside = |network: &str, address: &str| {
            let network = Network::parse(network).unwrap();
            network.contains(address.parse().unwrap())
        };
        assert!(inside("10.0.0.0/8", "10.200.1.2"));
        assert!(!inside("10.0.0.0/8", "11.0.0.1"));
        assert!(inside("10.0.0.0/8", "::ffff:10.1.1.1"));
        assert!(inside("0.0.0.0/0", "1.2.3.4"));
        assert!(!inside("0.0.0.0/0", "::1"));
        assert!(inside("2001:db8::/32", "2001:db8:1::1"));
        assert!(inside("192.0.2.1", "192.0.2.1"));
        for bad in ["", "10.0.0.0/33", "x/8", "10.0.0.0/-1", "::/129"] {
            assert_eq!(Network::parse(bad), None, "{bad}");
        }
    }
}
