//! Rules: list, show, create, delete, purge (spec/introspection.md §1.7.7). A change of rules and its event are one
//! transaction.

use axum::body::Body;
use bytes::Bytes;
use hostler_common::id::{RuleId, uuid_like};
use hostler_core::introspection::rules::{Rule, parse};
use hostler_core::machine::Event;
use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

use super::error::Failure;
use super::replay::{self, Done, Entrance, Memo};
use super::transport::Call;
use super::{body, json};
use crate::store::event::event_insert;
use crate::store::rule::{rule_delete, rule_find, rule_insert, rule_list, rule_purge};
use crate::store::{self, Connection};

/// `GET /v1/rules`.
pub(super) async fn list(call: &Call<'_>) -> Result<Response<Body>, Failure> {
    let mut connection = call.dialect.api.engine.store.read().await?;
    let rules = rule_list(&mut connection).await?;
    let short: Vec<Value> = rules
        .iter()
        .map(|rule| {
            json!({
                "uuid": rule.id.to_string(), "description": rule.description, "scope": rule.scope,
                "links": links(call, rule.id),
            })
        })
        .collect();
    Ok(json::json(StatusCode::OK, &json!({ "rules": short })))
}

/// `GET /v1/rules/{uuid}`.
pub(super) async fn show(call: &Call<'_>, id: &str) -> Result<Response<Body>, Failure> {
    let rule = find(call, id).await?;
    Ok(json::json(StatusCode::OK, &full(call, &rule)))
}

/// `POST /v1/rules`, and `POST /v1/rules/{uuid}`, which is where one of the client libraries posts to.
pub(super) async fn create(call: &Call<'_>, at: Option<&str>, body: Bytes) -> Result<Response<Body>, Failure> {
    let value = body::object(body.clone()).await?;
    let new = parse(&value).map_err(|error| Failure::invalid(error.message))?;
    let chosen = match at {
        None => new.id,
        Some(text) => Some(id_of_url(text, new.id)?),
    };
    let ticket = match replay::enter(call, &body).await? {
        Entrance::Again(Done::Rule(id)) => return Ok(created(call, &find(call, &id.to_string()).await?)),
        Entrance::Again(done) => return Ok(done.into_response()),
        Entrance::New(ticket) => ticket,
    };
    let turn = call.dialect.api.engine.turn(call.actor());
    let id = chosen.unwrap_or_else(|| RuleId(uuid::Builder::from_random_bytes(turn.seed.to_be_bytes()).into_uuid()));
    let rule = new.with_id(id);
    let (stored, memo) = (rule.clone(), ticket.as_ref().map(Memo::from));
    let written = write(call, move |tx, actor| {
        Box::pin(async move {
            rule_insert(tx, &stored, turn.now).await?;
            if let Some(memo) = memo {
                memo.write(tx, Done::Rule(id), turn.now).await?;
            }
            let data = json!({ "description": stored.description, "scope": stored.scope });
            let event = Event { kind: "introspection.rule.created", subject: id.to_string(), data };
            event_insert(tx, turn.now, actor, &event).await?;
            Ok(())
        })
    });
    written.await.map_err(|error| match error {
        store::Error::Exists(_) => Failure::new(StatusCode::CONFLICT, format!("Rule with UUID {id} already exists")),
        other => other.into(),
    })?;
    Ok(created(call, &rule))
}

/// `DELETE /v1/rules/{uuid}`.
pub(super) async fn delete(call: &Call<'_>, id: &str, body: Bytes) -> Result<Response<Body>, Failure> {
    let unknown = || Failure::not_found(format!("Rule {id} was not found"));
    let (rule, memo, _ticket) = match enter(call, &body).await? {
        Ok((memo, ticket)) => (uuid_like(id).map(RuleId).ok_or_else(unknown)?, memo, ticket),
        Err(answer) => return Ok(answer),
    };
    let now = call.dialect.api.engine.clock.now();
    let found = write(call, move |tx, actor| {
        Box::pin(async move {
            if !rule_delete(tx, rule).await? {
                return Ok(false);
            }
            if let Some(memo) = memo {
                memo.write(tx, Done::Removed, now).await?;
            }
            let event = Event { kind: "introspection.rule.deleted", subject: rule.to_string(), data: json!({}) };
            event_insert(tx, now, actor, &event).await?;
            Ok(true)
        })
    });
    if found.await? { Ok(json::no_content()) } else { Err(unknown()) }
}

/// `DELETE /v1/rules`.
pub(super) async fn purge(call: &Call<'_>, body: Bytes) -> Result<Response<Body>, Failure> {
    let (memo, _ticket) = match enter(call, &body).await? {
        Ok(entered) => entered,
        Err(answer) => return Ok(answer),
    };
    let now = call.dialect.api.engine.clock.now();
    let purged = write(call, move |tx, actor| {
        Box::pin(async move {
            let count = rule_purge(tx).await?;
            if let Some(memo) = memo {
                memo.write(tx, Done::Removed, now).await?;
            }
            let data = json!({ "count": count });
            let event = Event { kind: "introspection.rule.purged", subject: "all".into(), data };
            event_insert(tx, now, actor, &event).await?;
            Ok(())
        })
    });
    purged.await?;
    Ok(json::no_content())
}

type Entered = (Option<Memo>, Option<replay::Ticket>);

/// Looks at the `Idempotency-Key` of a removal; `Err` is the answer to a repetition.
async fn enter(call: &Call<'_>, body: &[u8]) -> Result<Result<Entered, Response<Body>>, Failure> {
    Ok(match replay::enter(call, body).await? {
        Entrance::Again(done) => Err(done.into_response()),
        Entrance::New(ticket) => Ok((ticket.as_ref().map(Memo::from), ticket)),
    })
}

/// Runs a transaction of a change of rules, with the caller's name for its event.
async fn write<T, F>(call: &Call<'_>, work: F) -> store::Result<T>
where
    T: Send + 'static,
    F: for<'t> FnOnce(&'t mut Connection, Option<&'t str>) -> futures::future::BoxFuture<'t, store::Result<T>>
        + Send
        + 'static,
{
    let engine = &call.dialect.api.engine;
    let actor = call.actor().map(str::to_owned);
    let done = engine.store.write(move |tx| Box::pin(async move { work(tx, actor.as_deref()).await })).await?;
    engine.wake.changed();
    Ok(done)
}

/// The id that the URL of a creation names; one in the body must be the same.
fn id_of_url(text: &str, in_body: Option<RuleId>) -> Result<RuleId, Failure> {
    let id = uuid_like(text).map(RuleId).ok_or_else(|| Failure::invalid("Invalid UUID value"))?;
    if in_body.is_some_and(|other| other != id) {
        return Err(Failure::invalid("Invalid UUID value: it differs from the one in the URL"));
    }
    Ok(id)
}

async fn find(call: &Call<'_>, id: &str) -> Result<Rule, Failure> {
    let unknown = || Failure::not_found(format!("Rule {id} was not found"));
    let rule = uuid_like(id).map(RuleId).ok_or_else(unknown)?;
    let mut connection = call.dialect.api.engine.store.read().await?;
    rule_find(&mut connection, rule).await?.ok_or_else(unknown)
}

fn created(call: &Call<'_>, rule: &Rule) -> Response<Body> {
    let status = if call.version.rule_creation_is_201() { StatusCode::CREATED } else { StatusCode::OK };
    json::json(status, &full(call, rule))
}

fn full(call: &Call<'_>, rule: &Rule) -> Value {
    let mut shown = match rule.representation() {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    shown.insert("links".to_owned(), links(call, rule.id));
    Value::Object(shown)
}

/// The links of a rule are paths only, unlike all others of the dialect.
fn links(call: &Call<'_>, id: RuleId) -> Value {
    json!([{ "href": call.links.path(&format!("/v1/rules/{id}")), "rel": "self" }])
}
