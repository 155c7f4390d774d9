//! Webhooks on the wire: `Webhook` of docs/native-api.md.

use hostler_common::id::{EventNumber, WebhookId};
use hostler_core::webhook::{Phase, Webhook};
use serde::Serialize;
use serde_json::{Value, json};

use crate::api::Api;
use crate::api::native::filter;
use crate::store::Result;
use crate::store::event::{event_list, event_newest};
use crate::store::webhook::{dead_letter_count, webhook_find};

/// How many events after the cursor are looked at to say how far it is behind.
const LAG_MAX: u32 = 200;

/// A webhook and where it stands.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookView {
    id: WebhookId,
    name: String,
    url: String,
    enabled: bool,
    state: &'static str,
    filter: Value,
    format: &'static str,
    policy: Value,
    subscription: Option<Value>,
    created_at: String,
    created_by: String,
    delivered: u64,
    dead_letters: i64,
    last_success: Option<Value>,
    last_failure: Option<Value>,
    failing_since: Option<String>,
    next_attempt_at: Option<String>,
    sending: Option<Value>,
    cursor: EventNumber,
    lag: Lag,
    secrets: usize,
}

/// How far a webhook is behind.
#[derive(Clone, Debug, Serialize)]
struct Lag {
    /// Events that wait.
    events: usize,
    /// Whether there are more than were looked at.
    more: bool,
    /// How long the oldest of them waits, in seconds.
    seconds: u64,
}

impl WebhookView {
    /// A webhook as the store knows it now.
    ///
    /// # Errors
    /// See [`crate::store::Error`].
    pub async fn read(api: &Api, webhook: Webhook) -> Result<Self> {
        let now = api.engine.clock.now();
        let mut connection = api.engine.store.read().await?;
        let dead_letters = dead_letter_count(&mut connection, webhook.id).await?;
        // Read after the count: whoever sees a dead letter also sees why it is one.
        let webhook = webhook_find(&mut connection, webhook.id).await?.unwrap_or(webhook);
        let next = event_list(&mut connection, webhook.cursor, LAG_MAX).await?;
        let newest = event_newest(&mut connection).await?;
        let more = next.last().is_some_and(|last| last.number < newest);
        let mut waiting = next.iter().filter(|event| webhook.wants(event)).peekable();
        let seconds = waiting.peek().map_or(0, |oldest| now.since(oldest.at).as_secs());
        let lag = Lag { events: waiting.count(), more, seconds };
        let enabled = webhook.phase == Phase::Active;
        Ok(Self {
            id: webhook.id,
            enabled,
            state: state(&webhook),
            filter: filter::render(&webhook.spec.filter),
            format: webhook.spec.format.name(),
            policy: policy(&webhook),
            subscription: webhook.spec.audience.as_ref().map(|audience| {
                json!({ "id": audience.id, "project": audience.project, "format": audience.form.name() })
            }),
            created_at: webhook.created_at.rfc3339(),
            delivered: webhook.delivered,
            dead_letters,
            last_success: webhook
                .last_success
                .map(|last| json!({ "at": last.at.rfc3339(), "event": last.event, "status": last.status })),
            last_failure: webhook.last_failure.as_ref().map(|last| {
                json!({ "at": last.at.rfc3339(), "event": last.event, "status": last.status, "reason": last.reason })
            }),
            failing_since: webhook.failing_since.map(|since| since.rfc3339()),
            next_attempt_at: webhook.not_before.filter(|at| enabled && *at > now).map(|at| at.rfc3339()),
            sending: webhook.sending.as_ref().map(|sending| {
                json!({ "event": sending.event, "replay": sending.replay, "failedAttempts": sending.failed })
            }),
            cursor: webhook.cursor,
            lag,
            secrets: webhook.valid_secrets(now).count(),
            name: webhook.spec.name,
            url: webhook.spec.url,
            created_by: webhook.created_by,
        })
    }

    /// The number of the webhook.
    #[must_use]
    pub fn id(&self) -> WebhookId {
        self.id
    }
}

/// Where it stands, in a word.
fn state(webhook: &Webhook) -> &'static str {
    match &webhook.phase {
        Phase::Active if webhook.failing_since.is_some() => "failing",
        Phase::Active => "ok",
        Phase::Off(hostler_core::webhook::Off::Asked) => "disabled",
        Phase::Off(why) => why.name(),
        Phase::Fresh | Phase::Gone => "gone",
    }
}

fn policy(webhook: &Webhook) -> Value {
    let policy = webhook.spec.policy;
    json!({
        "retryFor": policy.retry_for.as_secs(), "maxAttempts": policy.max_attempts,
        "onExhausted": policy.on_exhausted.name(),
    })
}

/// A webhook together with its secret, which is shown this once.
#[derive(Clone, Serialize)]
pub struct WebhookSecretView {
    #[serde(flatten)]
    webhook: WebhookView,
    secret: String,
}

impl WebhookSecretView {
    /// That webhook and its secret.
    #[must_use]
    pub fn new(webhook: WebhookView, secret: &str) -> Self {
        Self { webhook, secret: secret.to_owned() }
    }
}
