//! Runs: show, start, abort and reapply (spec/introspection.md §1.7.1, §1.7.2, §1.7.4, §1.7.6).

use axum::body::Body;
use bytes::Bytes;
use hostler_common::id::HostId;
use hostler_core::introspection::command::Command;
use hostler_core::machine::Input;
use http::{Response, StatusCode};

use super::error::Failure;
use super::path::parameter;
use super::render::{STATUS_SIZE, write_status};
use super::replay::{self, Done, Entrance};
use super::transport::Call;
use super::{body, json, node};
use crate::engine::IntrospectionDomain;
use crate::store;

/// The text of a reapply that lost against others too often; part of the dialect.
const REAPPLY_LOCKED: &str = "Node locked, please, try again later";

/// `GET /v1/introspection/{node}`.
pub(super) async fn show(call: &Call<'_>, id: &str) -> Result<Response<Body>, Failure> {
    let status = node::status(call.dialect, id).await?;
    let mut text = Vec::with_capacity(STATUS_SIZE);
    write_status(&mut text, &status, &call.links.absolute("/v1/introspection"));
    text.push(b'\n');
    Ok(json::raw(StatusCode::OK, text.into()))
}

/// `POST /v1/introspection/{node}`. The body does not count; clients send one nevertheless.
pub(super) async fn start(call: &Call<'_>, id: &str, body: Bytes) -> Result<Response<Body>, Failure> {
    let manage_boot = parameter(call.parts.uri.query(), "manage_boot").map(|text| truth(&text)).transpose()?;
    let host = node::resolve(call.dialect, id).await?;
    let command = Command::Start { manage_boot, sections: Vec::new() };
    once(call, host, command, &body).await.map_err(Failure::from)
}

/// `POST /v1/introspection/{node}/abort`.
pub(super) async fn abort(call: &Call<'_>, id: &str, body: Bytes) -> Result<Response<Body>, Failure> {
    let host = node::status(call.dialect, id).await?.host;
    once(call, host, Command::Abort, &body).await.map_err(Failure::from)
}

/// `POST /v1/introspection/{node}/data/unprocessed`. Data in the body are stored only if the machine takes the command: in
/// its transaction.
pub(super) async fn reapply(call: &Call<'_>, id: &str, body: Body) -> Result<Response<Body>, Failure> {
    let _room = call.dialect.large_bodies.acquire().await;
    let body = body::read(body, body::DOCUMENT_MAX).await?;
    let data = if body.is_empty() { None } else { Some(body::object(body.clone()).await?) };
    let data = data.filter(|data| data.as_object().is_some_and(|map| !map.is_empty()));
    let host = node::status(call.dialect, id).await?.host;
    once(call, host, Command::Reapply { data }, &body).await.map_err(|error| match error {
        Refused::Store(store::Error::Moved) => Failure::new(StatusCode::CONFLICT, REAPPLY_LOCKED),
        other => other.into(),
    })
}

/// Why a command was not carried out.
enum Refused {
    /// Its `Idempotency-Key` says no.
    Key(Failure),
    /// The machine or the store says no.
    Store(store::Error),
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Key(failure) => failure,
            Refused::Store(error) => error.into(),
        }
    }
}

/// Gives the command to the machine of the host, or answers as before if it is a repetition.
async fn once(call: &Call<'_>, host: HostId, command: Command, body: &[u8]) -> Result<Response<Body>, Refused> {
    let ticket = match replay::enter(call, body).await.map_err(Refused::Key)? {
        Entrance::Again(done) => return Ok(done.into_response()),
        Entrance::New(ticket) => ticket,
    };
    let input = Input::Command(command);
    let engine = &call.dialect.api.engine;
    engine.input::<IntrospectionDomain>(&host.to_string(), input, call.actor()).await.map_err(Refused::Store)?;
    replay::remember(call, ticket, Done::Accepted).await;
    Ok(Done::Accepted.into_response())
}

/// Reads a truth value in any of the spellings that clients use.
fn truth(text: &str) -> Result<bool, Failure> {
    match text.trim().to_lowercase().as_str() {
        "1" | "t" | "true" | "on" | "y" | "yes" => Ok(true),
        "0" | "f" | "false" | "off" | "n" | "no" => Ok(false),
        _ => {
            let shown = hostler_common::text::clip(text, 200);
            Err(Failure::invalid(format!("Invalid boolean value for manage_boot: {shown}")))
        }
    }
}
