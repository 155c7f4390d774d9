//! Subscriptions to maintenance: webhooks that projects make for themselves (spec/maintenance.md §4.5, §4.6).
//!
//! They are webhooks like any other, with the same order, signature, repetitions and dead letters; only whom they tell, how
//! it is written and where they may lead is their own.

use std::sync::Arc;

use bytes::Bytes;
use hostler_core::event::Recorded;
use hostler_core::maintenance::notice::{self, Audience, Form, aodh};
use hostler_core::webhook::{Spec, Webhook};
use secrecy::SecretString;

use super::post::Post;
use super::{Webhooks, fresh_secret, rendered, seal};
use crate::engine::NewWebhook;
use crate::store::Result;

impl Webhooks {
    /// What keeps a text from being the URL of a subscription: those lead to addresses that anybody can reach, unless the
    /// settings allow others.
    ///
    /// # Errors
    /// That, for whoever wrote it.
    pub fn check_target(&self, text: &str) -> std::result::Result<(), String> {
        self.strict.0.url(text).map(drop)
    }

    /// Makes a subscription, signed with that secret or with a new one, that is told of events from now on.
    ///
    /// # Errors
    /// Class `Exhausted` if there are too many; see [`crate::store::Error`].
    pub async fn subscribe(
        &self,
        spec: Spec,
        secret: Option<SecretString>,
        actor: &str,
    ) -> Result<(Webhook, SecretString)> {
        let secret = secret.map_or_else(fresh_secret, Ok)?;
        let (vault, shown) = (Arc::clone(&self.vault), secret.clone());
        let seal = move |id| seal(&vault, id, &shown);
        let (most, most_of_project) = self.most_subscriptions;
        let new = NewWebhook { spec, after: None, most, most_of_project };
        Ok((self.engine.webhook_create(new, seal, actor).await?, secret))
    }

    /// What sends to a receiver, and guards where it leads.
    pub(super) fn post_of(&self, webhook: &Webhook) -> &Post {
        if webhook.spec.audience.is_some() { &self.strict.1 } else { &self.post }
    }

    /// The body and the headers of an event as a webhook wants it.
    pub(super) fn written(&self, spec: &Spec, event: &Recorded) -> (Bytes, Vec<(String, String)>) {
        let public = self.public.as_deref();
        match &spec.audience {
            Some(audience) => told(spec, audience, public.unwrap_or(&audience.base), event),
            None => match public {
                Some(base) => rendered(&self.name, spec.format, &notice::linked(event.clone(), base)),
                None => rendered(&self.name, spec.format, event),
            },
        }
    }
}

fn told(spec: &Spec, audience: &Audience, base: &str, event: &Recorded) -> (Bytes, Vec<(String, String)>) {
    let event = notice::linked(event.clone(), base);
    let body = match audience.form {
        Form::Cloudevents => notice::cloudevent(&event),
        Form::Plain => notice::plain(&event),
        Form::Aodh => aodh::alarm(&event, audience.id, &spec.name, base),
    };
    (body.to_string().into(), vec![("content-type".into(), audience.form.media_type().into())])
}
