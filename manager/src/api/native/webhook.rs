//! Webhooks: make, look at, change, try, remove (docs/events.md).

mod view;

use std::time::Duration;

use axum::extract::State;
use axum::{Extension, Json};
use hostler_common::id::{EventNumber, WebhookId};
use hostler_core::webhook::{Command, Format, OnExhausted, Policy, Spec, Webhook};
use http::StatusCode;
use secrecy::ExposeSecret as _;
use serde::Serialize;
use serde_json::{Value, json};

use super::body::Fields;
use super::error::{Error, Result};
use super::filter;
use super::guard::Actor;
use super::path::{Id, Letter};
use super::query::{Page, Query};
use crate::api::Api;
use crate::api::json::kind;
use crate::store::webhook::{DeadLetter, dead_letter_list, webhook_find, webhook_list};
use crate::webhook::Webhooks;

pub use view::{WebhookSecretView, WebhookView};

/// The longest name, in bytes.
const NAME_MAX: usize = 128;

/// The longest URL, in bytes; the guard of addresses may allow less.
const URL_MAX: usize = 4096;

/// How long a receiver may fail without a break, at the most, in seconds: thirty days.
const RETRY_MAX: i64 = 30 * 86_400;

/// How long an older secret may count at the most, in seconds: thirty days.
const KEEP_MAX: i64 = 30 * 86_400;

/// How long an older secret counts unless the caller says otherwise, in seconds.
const KEEP_DEFAULT: i64 = 86_400;

/// How often an event may be tried at the most.
const ATTEMPTS_MAX: i64 = 1_000_000;

/// `POST /webhooks`
///
/// # Errors
/// A field breaks a rule, or there are too many; see [`crate::store::Error`].
pub async fn create(
    State(api): State<Api>,
    Extension(webhooks): Extension<Webhooks>,
    Actor(actor): Actor,
    query: Query,
    mut body: Fields,
) -> Result<(StatusCode, Json<WebhookSecretView>)> {
    query.finish()?;
    let url = body.required_text("url", URL_MAX)?;
    let after = body.integer("after", 0, i64::MAX)?.map(EventNumber);
    let blank = Spec {
        name: String::new(),
        url,
        filter: hostler_core::event::Filter::default(),
        format: Format::default(),
        policy: Policy::default(),
        audience: None,
    };
    let mut spec = read(&api, &mut body, blank).await?;
    body.finish()?;
    webhooks.check_url(&spec.url).map_err(|why| Error::field("url", why))?;
    if spec.name.is_empty() {
        // Whoever did not name it knows it by where it leads, but for what may be secret in there.
        let host = reqwest::Url::parse(&spec.url).ok().and_then(|url| url.host_str().map(str::to_owned));
        spec.name = hostler_common::text::clip(&host.unwrap_or_default(), NAME_MAX).to_owned();
    }
    let (webhook, secret) = webhooks.create(spec, after, &actor).await?;
    let view = WebhookView::read(&api, webhook).await?;
    Ok((StatusCode::CREATED, Json(WebhookSecretView::new(view, secret.expose_secret()))))
}

/// The fields that can be set, over `spec`.
async fn read(api: &Api, body: &mut Fields, mut spec: Spec) -> Result<Spec> {
    if let Some(name) = body.text("name", NAME_MAX)? {
        spec.name = name;
    }
    if let Some(value) = body.take("filter") {
        spec.filter = filter::of_json(api, value).await?;
    }
    if let Some(format) = body.text("format", 64)? {
        let known = Format::ALL.map(Format::name).join(", ");
        let wrong = || Error::field("format", format_args!("must be one of {known}"));
        spec.format = Format::from_name(&format).ok_or_else(wrong)?;
    }
    if let Some(value) = body.take("policy") {
        spec.policy = policy(value, spec.policy)?;
    }
    Ok(spec)
}

fn policy(value: Value, before: Policy) -> Result<Policy> {
    if value.is_null() {
        return Ok(Policy::default());
    }
    let mut fields = Fields::of(value).map_err(|_| Error::field("policy", "must be an object"))?;
    let mut policy = before;
    if let Some(seconds) = fields.integer("retryFor", 1, RETRY_MAX)? {
        policy.retry_for = Duration::from_secs(seconds.unsigned_abs());
    }
    match fields.take("maxAttempts") {
        None => {}
        Some(Value::Null) => policy.max_attempts = None,
        Some(value) => {
            let number = value.as_i64().filter(|number| (1..=ATTEMPTS_MAX).contains(number));
            let number = number.and_then(|number| u32::try_from(number).ok());
            let wrong = || Error::field("maxAttempts", format_args!("must be from 1 to {ATTEMPTS_MAX}, or null"));
            policy.max_attempts = Some(number.ok_or_else(wrong)?);
        }
    }
    if let Some(text) = fields.text("onExhausted", 64)? {
        let known = OnExhausted::ALL.map(OnExhausted::name).join(", ");
        let wrong = || Error::field("onExhausted", format_args!("must be one of {known}"));
        policy.on_exhausted = OnExhausted::from_name(&text).ok_or_else(wrong)?;
    }
    fields.finish()?;
    Ok(policy)
}

/// `GET /webhooks`
///
/// # Errors
/// See [`crate::store::Error`].
pub async fn list(State(api): State<Api>, mut query: Query) -> Result<Json<Page<WebhookView>>> {
    let (limit, after) = (query.limit()?, query.after::<WebhookId>()?);
    query.finish()?;
    let all = webhook_list(&mut *api.engine.store.read().await?).await?;
    let from = all.into_iter().filter(|webhook| after.is_none_or(|after| webhook.id > after));
    let mut found = Vec::new();
    for webhook in from.take(limit as usize + 1) {
        found.push(WebhookView::read(&api, webhook).await?);
    }
    Ok(Json(Page::new(found, limit, WebhookView::id, |view| view)))
}

async fn find(api: &Api, id: WebhookId) -> Result<Webhook> {
    let found = webhook_find(&mut *api.engine.store.read().await?, id).await?;
    found.ok_or_else(|| Error::not_found(format!("there is no webhook {id}")))
}

/// `GET /webhooks/{id}`
///
/// # Errors
/// There is no such webhook; see [`crate::store::Error`].
pub async fn show(State(api): State<Api>, Id(id): Id<WebhookId>, query: Query) -> Result<Json<WebhookView>> {
    query.finish()?;
    let webhook = find(&api, id).await?;
    Ok(Json(WebhookView::read(&api, webhook).await?))
}

/// `PATCH /webhooks/{id}`
///
/// # Errors
/// A field breaks a rule, or there is no such webhook; see [`crate::store::Error`].
pub async fn change(
    State(api): State<Api>,
    Extension(webhooks): Extension<Webhooks>,
    Id(id): Id<WebhookId>,
    Actor(actor): Actor,
    query: Query,
    mut body: Fields,
) -> Result<Json<WebhookView>> {
    query.finish()?;
    let mut webhook = find(&api, id).await?;
    let mut spec = webhook.spec.clone();
    if let Some(url) = body.text("url", URL_MAX)? {
        webhooks.check_url(&url).map_err(|why| Error::field("url", why))?;
        spec.url = url;
    }
    let spec = read(&api, &mut body, spec).await?;
    let enabled = match body.take("enabled") {
        None | Some(Value::Null) => None,
        Some(Value::Bool(enabled)) => Some(enabled),
        Some(other) => {
            return Err(Error::field("enabled", format_args!("must be a truth value, is {}", kind(&other))));
        }
    };
    body.finish()?;
    if spec != webhook.spec {
        webhook = api.engine.webhook_ask(id, Command::Change(Box::new(spec)), Some(&actor)).await?;
    }
    if let Some(enabled) = enabled {
        let command = if enabled { Command::Enable } else { Command::Disable };
        webhook = api.engine.webhook_ask(id, command, Some(&actor)).await?;
    }
    Ok(Json(WebhookView::read(&api, webhook).await?))
}

/// `DELETE /webhooks/{id}`
///
/// # Errors
/// There is no such webhook; see [`crate::store::Error`].
pub async fn delete(
    State(api): State<Api>,
    Id(id): Id<WebhookId>,
    Actor(actor): Actor,
    query: Query,
) -> Result<StatusCode> {
    query.finish()?;
    api.engine.webhook_delete(id, &actor).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /webhooks/{id}/test`
///
/// # Errors
/// There is no such webhook; see [`crate::store::Error`]. A receiver that fails is no error: that is what was asked.
pub async fn test(
    Extension(webhooks): Extension<Webhooks>,
    Id(id): Id<WebhookId>,
    Actor(actor): Actor,
    query: Query,
    body: Fields,
) -> Result<Json<Value>> {
    query.finish()?;
    body.finish()?;
    let tried = webhooks.test(id, &actor).await?;
    let took = u64::try_from(tried.took.as_millis()).unwrap_or(u64::MAX);
    let (delivered, status, reason) = match tried.outcome {
        Ok(status) => (true, Some(status), None),
        Err(failure) => (false, failure.status, Some(failure.reason)),
    };
    Ok(Json(json!({ "delivered": delivered, "status": status, "reason": reason, "tookMs": took })))
}

/// `POST /webhooks/{id}/rotate`
///
/// # Errors
/// A field breaks a rule, or there is no such webhook; see [`crate::store::Error`].
pub async fn rotate(
    State(api): State<Api>,
    Extension(webhooks): Extension<Webhooks>,
    Id(id): Id<WebhookId>,
    Actor(actor): Actor,
    query: Query,
    mut body: Fields,
) -> Result<Json<WebhookSecretView>> {
    query.finish()?;
    let keep = body.integer("keepFor", 0, KEEP_MAX)?.unwrap_or(KEEP_DEFAULT);
    body.finish()?;
    let (webhook, secret) = webhooks.rotate(id, Duration::from_secs(keep.unsigned_abs()), &actor).await?;
    let view = WebhookView::read(&api, webhook).await?;
    Ok(Json(WebhookSecretView::new(view, secret.expose_secret())))
}

/// `DeadLetter` of docs/native-api.md.
#[derive(Clone, Debug, Serialize)]
pub struct DeadLetterView {
    event: EventNumber,
    at: String,
    attempts: u32,
    status: Option<u16>,
    reason: String,
}

/// `GET /webhooks/{id}/dead-letters`
///
/// # Errors
/// There is no such webhook; see [`crate::store::Error`].
pub async fn dead_letters(
    State(api): State<Api>,
    Id(id): Id<WebhookId>,
    mut query: Query,
) -> Result<Json<Page<DeadLetterView>>> {
    let (limit, after) = (query.limit()?, query.after::<EventNumber>()?);
    query.finish()?;
    find(&api, id).await?;
    let mut connection = api.engine.store.read().await?;
    let found = dead_letter_list(&mut connection, id, after.unwrap_or(EventNumber(0)), limit + 1).await?;
    let render = |letter: DeadLetter| DeadLetterView {
        event: letter.event,
        at: letter.at.rfc3339(),
        attempts: letter.attempts,
        status: letter.status,
        reason: letter.reason,
    };
    Ok(Json(Page::new(found, limit, |letter| letter.event, render)))
}

/// `POST /webhooks/{id}/dead-letters/{number}/replay`
///
/// # Errors
/// There is no such webhook or dead letter, or too many wait already; see [`crate::store::Error`].
pub async fn replay(
    State(api): State<Api>,
    Id(id): Id<WebhookId>,
    Letter(number): Letter,
    Actor(actor): Actor,
    query: Query,
    body: Fields,
) -> Result<(StatusCode, Json<Value>)> {
    query.finish()?;
    body.finish()?;
    find(&api, id).await?;
    api.engine.webhook_ask(id, Command::Replay(number), Some(&actor)).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({}))))
}
