//! Webhooks at the edge: secrets, signatures, requests. The rules are in the core (`hostler_core::webhook`), the rows in
//! the store; what is decided there is performed here.

mod ahead;
mod courier;
pub mod guard;
pub mod post;
pub mod reach;
pub mod secret;
mod subscription;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hostler_common::error::Class;
use hostler_common::id::{EventNumber, WebhookId};
use hostler_core::cloudevent;
use hostler_core::event::Recorded;
use hostler_core::webhook::{Command, Format, Spec, Webhook};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use crate::config::Config;
use crate::engine::{Engine, NewWebhook};
use crate::hooks::Vault;
use crate::store::webhook::webhook_find;
use crate::store::{Error, Result};
use guard::Guard;
use post::{Failure, Message, Post};

/// Manages webhooks and delivers to them. Cheap to clone.
#[derive(Clone)]
pub struct Webhooks {
    engine: Engine,
    vault: Arc<Vault>,
    guard: Guard,
    post: Post,
    /// What subscriptions of projects may reach, and how.
    strict: (Guard, Post),
    name: Arc<str>,
    /// What links to the manager begin with, if the settings say it.
    public: Option<Arc<str>>,
    /// Whether links of questions carry the right to answer them.
    capabilities: bool,
    most: u32,
    /// How many subscriptions there may be, and how many of one project.
    most_subscriptions: (u32, u32),
}

/// What came of an event that was sent to try a receiver.
#[derive(Clone, Debug)]
pub struct Tried {
    /// The status of the answer that took it, or why it was not taken.
    pub outcome: std::result::Result<u16, Failure>,
    /// How long it took.
    pub took: Duration,
}

impl Webhooks {
    /// Prepares deliveries with those settings; opens no connection.
    #[must_use]
    pub fn new(engine: Engine, vault: Arc<Vault>, config: &Config) -> Self {
        let settings = &config.webhooks;
        let guard = Guard::new(settings, config.listen.rest.ip().is_loopback());
        let timeout = Duration::from_secs(settings.timeout_s.into());
        let post = Post::new(guard.clone(), timeout, settings.ca_file.as_deref());
        let maintenance = &config.maintenance;
        let strict = guard.strict(&maintenance.subscription_networks);
        let strict = (strict.clone(), Post::new(strict, timeout, settings.ca_file.as_deref()));
        Self {
            engine,
            vault,
            guard,
            post,
            strict,
            name: config.events.name.as_str().into(),
            public: maintenance.public_url.as_deref().map(Arc::from),
            capabilities: maintenance.capability_links,
            most: settings.max,
            most_subscriptions: (maintenance.subscriptions_max, maintenance.subscriptions_per_project),
        }
    }

    /// What keeps a text from being the URL of a receiver.
    ///
    /// # Errors
    /// That, for whoever wrote it.
    pub fn check_url(&self, text: &str) -> std::result::Result<(), String> {
        self.guard.url(text).map(drop)
    }

    /// Makes a webhook that is told of events after `after`, or from now on. The secret is told this once.
    ///
    /// # Errors
    /// Class `Exhausted` if there are too many; see [`Error`].
    pub async fn create(&self, spec: Spec, after: Option<EventNumber>, actor: &str) -> Result<(Webhook, SecretString)> {
        let secret = fresh_secret()?;
        let (vault, shown) = (Arc::clone(&self.vault), secret.clone());
        let seal = move |id| seal(&vault, id, &shown);
        let new = NewWebhook { spec, after, most: self.most, most_of_project: u32::MAX };
        Ok((self.engine.webhook_create(new, seal, actor).await?, secret))
    }

    /// Signs with a new secret from now on; the one before signs too for `keep`. The secret is told this once.
    ///
    /// # Errors
    /// Class `NotFound` if there is no such webhook; see [`Error`].
    pub async fn rotate(&self, id: WebhookId, keep: Duration, actor: &str) -> Result<(Webhook, SecretString)> {
        let secret = fresh_secret()?;
        let sealed = seal(&self.vault, id, &secret)?;
        let webhook = self.engine.webhook_ask(id, Command::Rotate { sealed, keep }, Some(actor)).await?;
        Ok((webhook, secret))
    }

    /// Sends an event that nothing happened for, at once and outside of the order. Nothing is recorded of it.
    ///
    /// # Errors
    /// Class `NotFound` if there is no such webhook; see [`Error`].
    pub async fn test(&self, id: WebhookId, actor: &str) -> Result<Tried> {
        let webhook = webhook_find(&mut *self.engine.store.read().await?, id).await?;
        let webhook = webhook.ok_or_else(|| Error::Refused(Class::NotFound, format!("there is no webhook {id}")))?;
        let now = self.engine.clock.now();
        let event = Recorded {
            // No event that is recorded has a number below 0, and no other test has this one.
            number: EventNumber(-now.as_micros()),
            at: now,
            kind: "webhook.test".into(),
            subject: id.to_string(),
            actor: Some(actor.to_owned()),
            data: json!({ "webhook": webhook.spec.name }),
        };
        let begun = Instant::now();
        let outcome = match self.message(&webhook, &event) {
            Ok(message) => self.post_of(&webhook).send(&webhook.spec.url, message).await,
            Err(failure) => Err(failure),
        };
        Ok(Tried { outcome, took: begun.elapsed() })
    }

    /// An event as this webhook wants it, signed for now.
    fn message(&self, webhook: &Webhook, event: &Recorded) -> std::result::Result<Message, Failure> {
        let now = self.engine.clock.now();
        let opened = webhook.valid_secrets(now).map(|sealed| self.vault.unseal(&vault_name(webhook.id), &sealed.value));
        let secrets = opened.collect::<std::result::Result<Vec<_>, _>>();
        let secrets = secrets.map_err(|error| Failure::of(format!("the event cannot be signed: {error}")))?;
        let (body, mut headers) = self.written(&webhook.spec, event);
        let (id, timestamp) = (event.number.to_string(), now.as_micros().div_euclid(1_000_000));
        let signed = secret::signatures(&secrets, &id, timestamp, &body)
            .ok_or_else(|| Failure::of("the event cannot be signed: a secret is not one of ours"))?;
        headers.push(("webhook-id".into(), id));
        headers.push(("webhook-timestamp".into(), timestamp.to_string()));
        headers.push(("webhook-signature".into(), signed));
        Ok(Message { headers, body })
    }
}

/// The body and the headers of an event in a format of any webhook.
fn rendered(name: &str, format: Format, event: &Recorded) -> (Bytes, Vec<(String, String)>) {
    let (body, mut headers, media) = match format {
        Format::Cloudevents => (cloudevent::structured(name, event), Vec::new(), cloudevent::MEDIA_TYPE),
        Format::CloudeventsBinary => (event.data.clone(), cloudevent::headers(name, event), "application/json"),
        Format::Native => (cloudevent::native(event), Vec::new(), "application/json"),
    };
    headers.push(("content-type".into(), media.into()));
    (body.to_string().into(), headers)
}

fn fresh_secret() -> Result<SecretString> {
    secret::fresh().map_err(|error| Error::Unavailable(format!("no random numbers: {error}")))
}

/// The name under which the secrets of a webhook are sealed.
fn vault_name(id: WebhookId) -> String {
    format!("webhook/{id}")
}

fn seal(vault: &Vault, id: WebhookId, secret: &SecretString) -> Result<String> {
    vault.seal(&vault_name(id), secret.expose_secret()).map_err(|error| Error::Broken(error.to_string()))
}
