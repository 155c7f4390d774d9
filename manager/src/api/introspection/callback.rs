//! Data from outside our agents: `POST /v1/continue` (spec/introspection.md §1.7.8).
//!
//! Off by default. Whoever may send is decided by a token for one host, by a client certificate or by the network they send
//! from; whose data they are, by the addresses in them. The answer comes when the run is over, as the senders expect.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use hostler_common::error::Class;
use hostler_common::id::HostId;
use hostler_core::introspection::Introspection;
use hostler_core::introspection::command::Command;
use hostler_core::introspection::decide::NOT_AWAITED;
use hostler_core::introspection::lookup::{Attributes, LookupError};
use hostler_core::introspection::node::Node;
use hostler_core::introspection::process::{Mode, process};
use hostler_core::introspection::state::State;
use hostler_core::machine::{Input, Machine as _};
use hostler_core::policy::{Action, allowed};
use http::{Response, StatusCode};
use serde_json::Value;

use super::error::Failure;
use super::path::parameter;
use super::replay::{self, Done, Entrance};
use super::transport::Call;
use super::{Dialect, body};
use crate::api::auth::token_of;
use crate::engine::IntrospectionDomain;
use crate::store;
use crate::store::lookup::lookup_candidates;
use crate::store::machine::machine_find;

/// How much longer than the processing itself its end is awaited.
const GRACE: Duration = Duration::from_secs(10);

/// How long to wait at the most before the store is asked again: another manager may do the work.
const POLL: Duration = Duration::from_secs(1);

/// `POST /v1/continue`.
pub(super) async fn post(call: &Call<'_>, body: Body) -> Result<Response<Body>, Failure> {
    if !call.dialect.api.config.introspection.callback_enabled {
        return Err(Failure::new(StatusCode::FORBIDDEN, "The ramdisk callback endpoint is disabled"));
    }
    let sender = sender(call).await?.ok_or_else(Failure::denied)?;
    let _room = call.dialect.large_bodies.acquire().await;
    let body = body::read(body, body::DOCUMENT_MAX).await?;
    let ticket = match replay::enter(call, &body).await? {
        Entrance::Again(Done::Node(host)) if !sender.may_send_for(host) => return Err(Failure::denied()),
        Entrance::Again(done) => return Ok(done.into_response()),
        Entrance::New(ticket) => ticket,
    };
    let host = take(call.dialect, body, &sender).await?;
    replay::remember(call, ticket, Done::Node(host)).await;
    Ok(Done::Node(host).into_response())
}

/// Somebody who may send data.
struct Sender {
    /// The name in the audit trail.
    name: String,
    /// The one host whose data they may send; `None` means any.
    host: Option<HostId>,
}

impl Sender {
    fn may_send_for(&self, host: HostId) -> bool {
        self.host.is_none_or(|own| own == host)
    }
}

/// Who sends; `None` if they may not. A token says most and so counts first: it is for one host.
async fn sender(call: &Call<'_>) -> Result<Option<Sender>, Failure> {
    let (api, headers) = (&call.dialect.api, &call.parts.headers);
    let named = |name: &str| Some(Sender { name: name.to_owned(), host: None });
    if let Some(token) = presented(call)
        && let Some(host) = api.identity.callback_host(&token).await.map_err(|error| {
            tracing::warn!(%error, "the token of a callback cannot be checked");
            Failure::unavailable("The store is not available, please, retry later")
        })?
    {
        return Ok(Some(Sender { host: Some(host), name: "callback".into() }));
    }
    let certificate = call.peer.certificate.as_deref();
    let rules = &api.config.auth.client_certificates;
    let owner = certificate.and_then(|certificate| certificate.caller(rules, api.engine.clock.now()));
    if let Some(owner) = owner.filter(|owner| allowed(owner, Action::IntrospectionContinue)) {
        return Ok(named(&owner.name));
    }
    let address = call.peer.source(headers, &api.config.listen.trusted_proxies);
    let listed = address.is_some_and(|address| call.dialect.networks.iter().any(|network| network.contains(address)));
    Ok(if listed { named("callback") } else { None })
}

/// The token of a request. The original sender can only be given a URL, so it also counts in the query.
fn presented(call: &Call<'_>) -> Option<String> {
    let sent = token_of(&call.parts.headers).ok().flatten().map(str::to_owned);
    parameter(call.parts.uri.query(), "callback_token").or(sent)
}

/// Finds the host of a document, gives it to the host's machine and waits until the run is over.
async fn take(dialect: &Dialect, body: Bytes, sender: &Sender) -> Result<HostId, Failure> {
    let data = body::object(body).await?;
    let attributes = data.as_object().map(Attributes::of).unwrap_or_default();
    let host = match look_up(dialect, &attributes).await? {
        Ok(host) => host,
        Err(error) => return Err(unmatched(dialect, &data, &error)),
    };
    if !sender.may_send_for(host) {
        tracing::warn!(%host, "data of a host were sent with the token of another");
        return Err(Failure::denied());
    }
    let first = machine(dialect, host).await?;
    if first.state == State::Processing {
        let end = wait(dialect, host, |machine| machine.run != first.run || machine.state.is_terminal()).await?;
        return Err(already_finished(&end));
    }
    wait(dialect, host, |machine| machine.state != State::Starting).await?;
    let command = Input::Command(Command::Callback { data: data.clone() });
    let committed =
        match dialect.api.engine.input::<IntrospectionDomain>(&host.to_string(), command, Some(&sender.name)).await {
            Err(store::Error::Refused(Class::Invalid, text)) if text == NOT_AWAITED => {
                return Err(unmatched(dialect, &data, &attributes.unknown()));
            }
            other => other?,
        };
    let run = committed.machine.run;
    let end = wait(dialect, host, |machine| machine.run != run || machine.state.is_terminal()).await?;
    match end.state {
        State::Finished if end.run == run => Ok(host),
        State::Error if end.run == run => Err(Failure::invalid(end.error.unwrap_or_default())),
        _ => Err(already_finished(&end)),
    }
}

/// The host whose stored addresses match best.
async fn look_up(dialect: &Dialect, attributes: &Attributes) -> Result<Result<HostId, LookupError>, Failure> {
    let all = dialect.api.config.introspection.permit_active_introspection;
    let mut connection = dialect.api.engine.store.read().await?;
    let candidates = lookup_candidates(&mut connection, &attributes.addresses(), all).await?;
    let known = candidates.into_iter().filter_map(|candidate| {
        let node: Node = serde_json::from_str(&candidate.node).ok()?;
        let document: Option<Value> = candidate.document.and_then(|text| serde_json::from_str(&text).ok());
        Some((candidate.host, Attributes::known(&node, document.as_ref())))
    });
    Ok(attributes.choose(known))
}

/// The refusal of a document that belongs to no host: what the hooks find wrong with it, then the failed lookup.
fn unmatched(dialect: &Dialect, data: &Value, error: &LookupError) -> Failure {
    let settings = &dialect.api.config.introspection.processing;
    let nobody = Node::new(HostId(uuid::Uuid::nil()), "");
    let heading = Mode::First.heading();
    // Only failures before the lookup count; those of later hooks need the host.
    let text = match process(data, &nobody, &[], settings, Mode::First).outcome {
        Err(failure) if failure.message.starts_with(heading) => failure.message,
        _ => heading.to_owned(),
    };
    Failure::invalid(format!("{text}\n{error}"))
}

fn already_finished(machine: &Introspection) -> Failure {
    let error = machine.error.as_deref().unwrap_or("None");
    Failure::invalid(format!("Node processing already finished with error: {error}"))
}

async fn machine(dialect: &Dialect, host: HostId) -> Result<Introspection, Failure> {
    let mut connection = dialect.api.engine.store.read().await?;
    let record = machine_find::<Introspection>(&mut connection, Introspection::KIND, &host.to_string()).await?;
    record.map(|record| record.machine).ok_or_else(|| Failure::never_introspected(host))
}

/// Waits until the host's machine is as wanted. Every state has a deadline, so this ends; if it does not, something is
/// wrong with the manager, and the sender may try again.
async fn wait(
    dialect: &Dialect,
    host: HostId,
    wanted: impl Fn(&Introspection) -> bool,
) -> Result<Introspection, Failure> {
    let engine = &dialect.api.engine;
    let limit = engine.turn(None).settings.introspection.processing_deadline + GRACE;
    let waiting = async {
        let mut changes = engine.wake.watch();
        loop {
            changes.mark_unchanged();
            let machine = machine(dialect, host).await?;
            if wanted(&machine) {
                return Ok(machine);
            }
            // An error means that nobody commits any more; then the time is what remains to wait for.
            let _woken = tokio::time::timeout(POLL, changes.changed()).await;
        }
    };
    let waited = tokio::time::timeout(limit, waiting).await;
    waited.unwrap_or_else(|_| Err(Failure::unavailable("The processing takes too long, please, retry later")))
}
