//! Enrolment and renewal: how a host gets its certificate, and the next one (design §5).

use std::net::SocketAddr;

use hostler_common::error::Class;
use hostler_common::id::HostId;
use hostler_common::join::JoinText;
use hostler_common::text::check_host_name;
use hostler_common::time::Timestamp;
use hostler_core::introspection::command::Command;
use hostler_core::machine::{Event, Input};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use super::accept::{HostCertificate, Issuer};
use super::ca::{self, Issued};
use super::{Fleet, Network};
use crate::engine::IntrospectionDomain;
use crate::store::host::{self, AgentState};
use crate::store::join_token::{JoinToken, certificate_find, certificate_insert, join_token_find, join_token_use};
use crate::store::{self, Connection, Error, event};

/// What a host asks with.
#[derive(Clone, Debug)]
pub struct Request {
    /// The name that it wants.
    pub name: String,
    /// PKCS#10, DER.
    pub csr: Vec<u8>,
    /// Its wall clock.
    pub clock: Timestamp,
}

/// What a host gets.
#[derive(Clone, Debug)]
pub struct Enrolled {
    /// Its identity.
    pub host: HostId,
    /// Its name.
    pub name: String,
    /// Its certificate.
    pub issued: Issued,
    /// The certificate of the authority that made it, DER.
    pub ca: Vec<u8>,
}

impl Fleet {
    /// Exchanges a join token and a certificate request for an identity.
    ///
    /// # Errors
    /// [`Error::Refused`] with the reason: class `Denied` for the token, `Conflict` for the name, `Invalid` for the rest;
    /// see [`Error`].
    pub async fn enrol(&self, token: &str, request: Request, from: SocketAddr) -> store::Result<Enrolled> {
        self.authority.built_in(Class::Denied)?;
        let token: JoinText = token.parse().map_err(|error| denied(format!("{error}")))?;
        check_host_name(&request.name).map_err(|rule| invalid(format!("name {rule}")))?;
        self.check_clock(request.clock)?;
        let (fleet, now) = (self.clone(), self.engine.clock.now());
        let done = self
            .engine
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let known = check_token(tx, &token, &request.name, from, now).await?;
                    let host = claim_name(tx, &request.name, &known, now).await?;
                    let (issued, ca) = fleet.issue(tx, host, &request.csr, now).await?;
                    let joined = Event {
                        kind: "host.enrolled",
                        subject: host.to_string(),
                        data: json!({ "name": request.name, "address": from.ip().to_string(), "serial": issued.serial }),
                    };
                    event::event_insert(tx, now, Some(&format!("join_token:{}", known.id)), &joined).await?;
                    Ok(Enrolled { host, name: request.name, issued, ca })
                })
            })
            .await?;
        self.look_into(done.host).await?;
        Ok(done)
    }

    /// A new host is looked into at once; one that was known has its record already and nothing happens.
    pub(super) async fn look_into(&self, host: HostId) -> store::Result<()> {
        self.engine.input::<IntrospectionDomain>(&host.to_string(), Input::Command(Command::Enrol), None).await?;
        Ok(())
    }

    /// Exchanges a certificate request for the next certificate of `host`, which proved that it is that host.
    ///
    /// # Errors
    /// [`Error::Refused`] with the reason; see [`Error`].
    pub async fn renew(&self, host: HostId, serial: String, csr: Vec<u8>, clock: Timestamp) -> store::Result<Enrolled> {
        self.authority.built_in(Class::Denied)?;
        self.check_clock(clock)?;
        let (fleet, now) = (self.clone(), self.engine.clock.now());
        self.engine
            .store
            .write(move |tx| {
                Box::pin(async move {
                    check_certificate(tx, host, &serial).await?;
                    let name = host::host_fetch(tx, host).await?.name;
                    let (issued, ca) = fleet.issue(tx, host, &csr, now).await?;
                    Ok(Enrolled { host, name, issued, ca })
                })
            })
            .await
    }

    async fn issue(
        &self,
        tx: &mut Connection,
        host: HostId,
        csr: &[u8],
        now: Timestamp,
    ) -> store::Result<(Issued, Vec<u8>)> {
        let ca = self.authority.built_in(Class::Denied)?;
        let issued = ca.issue_host(host, csr, self.settings.certificate_life, now).map_err(|error| match error {
            ca::Error::ForeignName(_) => denied(error.to_string()),
            other => invalid(other.to_string()),
        })?;
        certificate_insert(tx, &issued.serial, host, now, issued.expires_at).await?;
        host::host_set_certificate(tx, host, &issued.serial, issued.expires_at).await?;
        Ok((issued, ca.certificate().to_vec()))
    }

    /// Refuses a host whose clock is too far off: its certificates and its records would lie.
    ///
    /// # Errors
    /// [`Error::Refused`] with both clocks.
    pub fn check_clock(&self, theirs: Timestamp) -> store::Result<()> {
        let ours = self.engine.clock.now();
        let skew = ours.since(theirs).max(theirs.since(ours));
        if skew > self.settings.max_clock_skew {
            return Err(invalid(format!(
                "clock skew of {} s is over the limit of {} s: the host's clock says {theirs}, the manager's {ours}; \
                 set the host's clock",
                skew.as_secs(),
                self.settings.max_clock_skew.as_secs()
            )));
        }
        Ok(())
    }
}

fn denied(text: impl Into<String>) -> Error {
    Error::Refused(Class::Denied, text.into())
}

fn invalid(text: impl Into<String>) -> Error {
    Error::Refused(Class::Invalid, text.into())
}

/// Checks a token and counts its use. Whoever lacks the secret learns nothing of the token.
async fn check_token(
    tx: &mut Connection,
    token: &JoinText,
    name: &str,
    from: SocketAddr,
    now: Timestamp,
) -> store::Result<JoinToken> {
    let unknown = || denied("the join token is not known");
    let known = join_token_find(tx, token.id).await?.ok_or_else(unknown)?;
    let hash = hex::encode(Sha256::digest(token.secret));
    if !bool::from(hash.as_bytes().ct_eq(known.secret_hash.as_bytes())) {
        return Err(unknown());
    }
    match known.state(now) {
        "active" => {}
        "revoked" => return Err(denied("the join token was revoked")),
        "used" => return Err(denied("the join token is used up")),
        _ => return Err(denied(format!("the join token expired at {}", known.expires_at))),
    }
    if !known.names.is_empty() && !known.names.iter().any(|allowed| allowed == name) {
        return Err(denied(format!("the join token is not for a host named {name}")));
    }
    let inside = |network: &String| Network::parse(network).is_some_and(|network| network.contains(from.ip()));
    if !known.networks.is_empty() && !known.networks.iter().any(inside) {
        return Err(denied(format!("the join token cannot be used from {}", from.ip())));
    }
    if !join_token_use(tx, known.id).await? {
        return Err(denied("the join token is used up"));
    }
    Ok(known)
}

/// The host of that name: a new one, or one whose agent was revoked and that is set up anew.
async fn claim_name(tx: &mut Connection, name: &str, token: &JoinToken, now: Timestamp) -> store::Result<HostId> {
    let Some(id) = host::host_by_name(tx, name).await? else {
        let id = HostId(Uuid::new_v4());
        host::host_insert(tx, id, name, &token.roles, now).await?;
        return Ok(id);
    };
    let known = host::host_fetch(tx, id).await?;
    if known.agent_state != AgentState::Revoked {
        return Err(Error::Refused(
            Class::Conflict,
            format!(
                "a host named {name} is enrolled already; give this one another name, or revoke the agent of that one \
                 first (hostler agent revoke {name})"
            ),
        ));
    }
    host::host_set_state(tx, id, AgentState::Enrolled).await?;
    Ok(id)
}

/// Whether a certificate still counts for its host. `true` if it is the first of a host that was not known: then it is now.
///
/// # Errors
/// [`Error::Refused`] with the reason; see [`Error`].
pub(super) async fn admit(
    tx: &mut Connection,
    who: &HostCertificate,
    address: &str,
    now: Timestamp,
) -> store::Result<bool> {
    match &who.issuer {
        Issuer::BuiltIn => check_certificate(tx, who.host, &who.serial).await.map(|()| false),
        Issuer::Operator { name, expires_at } => {
            let known = host::host_find(tx, who.host).await?;
            if known.as_ref().is_some_and(|known| known.agent_state == AgentState::Revoked) {
                return Err(denied("the agent of this host was revoked"));
            }
            if known.is_none() {
                introduce(tx, who, name.as_deref(), address, now).await?;
            }
            host::host_set_certificate(tx, who.host, &who.serial, *expires_at).await?;
            Ok(known.is_none())
        }
    }
}

/// Makes the host that a certificate of the operator's PKI names.
async fn introduce(
    tx: &mut Connection,
    who: &HostCertificate,
    name: Option<&str>,
    address: &str,
    now: Timestamp,
) -> store::Result<()> {
    let name = name.ok_or_else(|| {
        invalid("the certificate has the UUID of a host that is not known, and no name for it: add a DNS name")
    })?;
    if let Some(other) = host::host_by_name(tx, name).await? {
        return Err(Error::Refused(
            Class::Conflict,
            format!(
                "a host named {name} is known already with the UUID {other}; if it is the same host, name that UUID in \
                 the URI of its certificate"
            ),
        ));
    }
    host::host_insert(tx, who.host, name, &[], now).await?;
    let joined = Event {
        kind: "host.enrolled",
        subject: who.host.to_string(),
        data: json!({ "name": name, "address": address, "serial": who.serial }),
    };
    event::event_insert(tx, now, Some(&format!("certificate:{}", who.serial)), &joined).await?;
    Ok(())
}

/// Whether a host may have what jobs need: its certificate counts, and its agent was not cut off.
///
/// # Errors
/// [`Error::Refused`] with the reason; see [`Error`].
pub(super) async fn check_known(tx: &mut Connection, who: &HostCertificate) -> store::Result<()> {
    if who.issuer == Issuer::BuiltIn {
        return check_certificate(tx, who.host, &who.serial).await;
    }
    match host::host_find(tx, who.host).await? {
        Some(found) if found.agent_state != host::AgentState::Revoked => Ok(()),
        Some(_) => Err(denied("the agent was cut off")),
        None => Err(denied("the host is not known")),
    }
}

/// Whether a certificate of the built-in authority still counts for this host.
///
/// # Errors
/// [`Error::Refused`] with the reason; see [`Error`].
async fn check_certificate(tx: &mut Connection, host: HostId, serial: &str) -> store::Result<()> {
    match certificate_find(tx, serial).await? {
        Some((owner, true)) if owner == host => Ok(()),
        Some((owner, false)) if owner == host => Err(denied("the certificate was revoked")),
        Some(_) => Err(denied("the certificate is of another host")),
        None => Err(denied("the certificate is not known: the host was removed; join it again")),
    }
}
