//! Subscriptions: who is called when something happens in a session (spec/maintenance.md §4.5, §4.6).
//!
//! A project's subscription hears the questions to that project; one of an administrator hears everything, or what concerns
//! one project. Whoever may answer for a project may make, look at and remove its subscriptions.

use axum::body::Body;
use hostler_common::error::Class;
use hostler_common::id::EventNumber;
use hostler_core::event::{FILTER_ENTRIES, FILTER_ENTRY_MAX, Filter, KindPattern};
use hostler_core::maintenance::constraint::id_fault;
use hostler_core::maintenance::notice::{Audience, Form, Narrowing, SCHEDULED};
use hostler_core::policy::Action;
use hostler_core::webhook::{Format, Off, Phase, Policy, Spec, Webhook};
use http::{Response, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use uuid::Uuid;

use super::error::{Failure, shown};
use super::fields::{self, Fields};
use super::moment::{maybe, text};
use super::session::enter;
use super::transport::Call;
use super::{events, render};
use crate::api::replay::{self, Entrance};
use crate::store::Error;
use crate::store::webhook::{DeadLetter, dead_letter_list, webhook_find, webhook_list};
use crate::webhook::{Webhooks, secret};

/// The longest URL, in characters; the guard of addresses may allow less.
const URL_MAX: usize = 2048;

/// The longest name, in characters.
const NAME_MAX: usize = 128;

/// The longest secret, in characters.
const SECRET_MAX: usize = 512;

/// How many dead letters one answer shows.
const LETTERS: u32 = 100;

/// `POST /v1/subscription`.
pub(super) async fn create(call: &Call<'_>) -> Result<Response<Body>, Failure> {
    let mut body = Fields::new(fields::object(&call.body)?);
    let (project, admin) = speaker(call, body.text("project_id", 64)?)?;
    if let Some(fault) = project.as_deref().and_then(id_fault) {
        return Err(Failure::field("project_id", fault));
    }
    let audience = read(call, &mut body, project, admin)?;
    let brought = body.text("secret", SECRET_MAX)?;
    let brought =
        brought.map(|text| secret::brought(&text).map_err(|why| Failure::field("secret", why))).transpose()?;
    let spec = spec(call, &mut body, audience)?;
    body.finish()?;
    let ticket = match enter(call).await? {
        Entrance::Again(id, ticket) => match find(call, &id).await {
            Ok(webhook) => return Ok(render::json(&view(&webhook))),
            Err(_) => Some(ticket),
        },
        Entrance::New(ticket) => ticket,
    };
    let shows = brought.is_none();
    let made = webhooks(call)?.subscribe(spec, brought, call.actor()).await;
    let (webhook, secret): (Webhook, SecretString) = made.map_err(|error| match error {
        // It does not pass by waiting.
        Error::Refused(Class::Exhausted, text) => Failure::new(StatusCode::CONFLICT, "subscription.limit", text),
        other => other.into(),
    })?;
    let mut body = view(&webhook);
    replay::remember(call.engine(), ticket, body["id"].as_str().unwrap_or_default().to_owned()).await;
    if shows {
        body["secret"] = secret.expose_secret().into();
    }
    Ok(render::json(&body))
}

fn webhooks<'a>(call: &'a Call<'_>) -> Result<&'a Webhooks, Failure> {
    call.parts.extensions.get::<Webhooks>().ok_or_else(Failure::internal)
}

/// For whom somebody may subscribe. To have others called on behalf of everybody takes the right to change sessions.
fn speaker(call: &Call<'_>, asked: Option<String>) -> Result<(Option<String>, bool), Failure> {
    if call.may_anywhere(Action::MaintenanceUpdate) {
        return Ok((asked, true));
    }
    events::heard(call, asked, Action::MaintenanceProjectPut)
}

fn read(call: &Call<'_>, body: &mut Fields, project: Option<String>, admin: bool) -> Result<Audience, Failure> {
    let form = match body.text("format", 64)? {
        None => Form::default(),
        Some(name) => {
            let known = Form::ALL.map(Form::name).join(", ");
            Form::from_name(&name).ok_or_else(|| Failure::field("format", format_args!("must be one of {known}")))?
        }
    };
    let names = body.texts("event_types", FILTER_ENTRIES, FILTER_ENTRY_MAX)?;
    let mut want = Narrowing { kinds: events::kinds("event_types", &names)?, ..Narrowing::default() };
    let foreign = |kind: &&KindPattern| !kind.matches(SCHEDULED);
    if let Some(kind) = want.kinds.iter().find(foreign).filter(|_| !admin) {
        return Err(Failure::denied(format!("{} is told to administrators only", kind.text())));
    }
    if let Some(value) = body.take("filter") {
        let mut filter = Fields::within("filter", value)?;
        let id = filter.text("session_id", 64)?;
        want.session = events::session("filter.session_id", id.as_deref())?;
        want.states = filter.texts("states", FILTER_ENTRIES, FILTER_ENTRY_MAX)?;
        want.hosts = filter.texts("hosts", FILTER_ENTRIES, FILTER_ENTRY_MAX)?;
        filter.finish()?;
    }
    Ok(Audience { id: Uuid::new_v4(), project, admin, want, form, base: call.link("") })
}

fn spec(call: &Call<'_>, body: &mut Fields, audience: Audience) -> Result<Spec, Failure> {
    let url = body.text("url", URL_MAX)?.ok_or_else(|| Failure::field("url", "is needed"))?;
    webhooks(call)?.check_target(&url).map_err(|why| Failure::field("url", why))?;
    let name = body.text("name", NAME_MAX)?.filter(|name| !name.is_empty());
    Ok(Spec {
        name: name.unwrap_or_else(|| format!("maintenance {}", audience.project.as_deref().unwrap_or("all"))),
        url,
        filter: Filter::default(),
        format: Format::default(),
        policy: Policy::of_subscriptions(),
        audience: Some(Box::new(audience)),
    })
}

/// `GET /v1/subscription`.
pub(super) async fn list(call: &Call<'_>) -> Result<Response<Body>, Failure> {
    let asked = call.parameter("project_id");
    let (project, _) = events::heard(call, asked, Action::MaintenanceEvents)?;
    let all = webhook_list(&mut *call.engine().store.read().await?).await?;
    let of = |webhook: &&Webhook| match &webhook.spec.audience {
        Some(audience) => project.is_none() || audience.project == project,
        None => false,
    };
    let shown: Vec<Value> = all.iter().filter(of).map(view).collect();
    Ok(render::json(&json!({ "subscriptions": shown })))
}

/// The subscription of that id.
async fn find(call: &Call<'_>, id: &str) -> Result<Webhook, Failure> {
    let unknown = || Failure::not_found(format!("there is no subscription {}", shown(id)));
    let id: Uuid = id.parse().map_err(|_| unknown())?;
    let all = webhook_list(&mut *call.engine().store.read().await?).await?;
    let mine = |webhook: &Webhook| webhook.spec.audience.as_ref().is_some_and(|audience| audience.id == id);
    all.into_iter().find(mine).ok_or_else(unknown)
}

/// The same for a caller who may do that to it.
async fn of_caller(call: &Call<'_>, id: &str, anywhere: Action, own: Action) -> Result<Webhook, Failure> {
    let webhook = find(call, id).await;
    if call.may_anywhere(anywhere) {
        return webhook;
    }
    // Whoever may not look is not told either whether it is there.
    let hidden = || Failure::not_found(format!("there is no subscription {}", shown(id)));
    let mine = call.project().ok_or_else(|| Failure::denied("the token is not one of a project"))?;
    let webhook = webhook?;
    let project = webhook.spec.audience.as_ref().and_then(|audience| audience.project.as_deref());
    if project != Some(mine) {
        return Err(hidden());
    }
    call.must_in(own, mine, hidden())?;
    Ok(webhook)
}

/// `GET /v1/subscription/{id}`.
pub(super) async fn show(call: &Call<'_>, id: &str) -> Result<Response<Body>, Failure> {
    let webhook = of_caller(call, id, Action::MaintenanceEvents, Action::MaintenanceEvents).await?;
    let mut connection = call.engine().store.read().await?;
    // Once more by its number, so that what is shown of it fits together.
    let webhook = webhook_find(&mut connection, webhook.id).await?.unwrap_or(webhook);
    let letters = dead_letter_list(&mut connection, webhook.id, EventNumber(0), LETTERS).await?;
    let mut body = view(&webhook);
    body["dead_letters"] = letters.iter().map(letter).collect();
    Ok(render::json(&body))
}

/// `DELETE /v1/subscription/{id}`.
pub(super) async fn delete(call: &Call<'_>, id: &str) -> Result<Response<Body>, Failure> {
    let webhook = of_caller(call, id, Action::MaintenanceUpdate, Action::MaintenanceProjectPut).await?;
    call.engine().webhook_delete(webhook.id, call.actor()).await?;
    Ok(render::json(&json!({})))
}

fn letter(letter: &DeadLetter) -> Value {
    json!({
        "event": letter.event, "at": text(letter.at), "attempts": letter.attempts, "status": letter.status,
        "reason": letter.reason,
    })
}

/// A subscription as it is shown. Secrets are not.
fn view(webhook: &Webhook) -> Value {
    let Some(audience) = &webhook.spec.audience else { return Value::Null };
    let state = match &webhook.phase {
        Phase::Active if webhook.failing_since.is_some() => "failing",
        Phase::Active => "ok",
        Phase::Off(Off::Asked) => "disabled",
        Phase::Off(why) => why.name(),
        Phase::Fresh | Phase::Gone => "gone",
    };
    let want = &audience.want;
    json!({
        "id": audience.id,
        "name": webhook.spec.name,
        "url": webhook.spec.url,
        "format": audience.form.name(),
        "event_types": want.kinds.iter().map(KindPattern::text).collect::<Vec<_>>(),
        "project_id": audience.project,
        "filter": { "session_id": want.session, "states": want.states, "hosts": want.hosts },
        "state": state,
        "created_at": text(webhook.created_at),
        "created_by": webhook.created_by,
        "delivered": webhook.delivered,
        "given_up": webhook.buried,
        "last_success_at": maybe(webhook.last_success.map(|last| last.at)),
        "last_failure": webhook.last_failure.as_ref().map(|last| {
            json!({ "at": text(last.at), "event": last.event, "status": last.status, "reason": last.reason })
        }),
        "failing_since": maybe(webhook.failing_since),
        "next_attempt_at": maybe(webhook.not_before),
    })
}
