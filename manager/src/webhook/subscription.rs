//! Subscriptions to maintenance: webhooks that projects make for themselves (spec/maintenance.md §4.5, §4.6).
//!
//! They are webhooks like any other, with the same order, signature, repetitions and dead letters; only whom they tell, how
//! it is written and where they may lead is their own.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hostler_common::time::Timestamp;
use hostler_core::event::Recorded;
use hostler_core::maintenance::notice::{self, Audience, Form, aodh};
use hostler_core::maintenance::state::State;
use hostler_core::webhook::{Spec, Webhook};
use secrecy::SecretString;
use serde_json::Value;

use super::post::Post;
use super::{Webhooks, fresh_secret, rendered, seal};
use crate::capability::Capability;
use crate::engine::NewWebhook;
use crate::hooks::Vault;
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
            Some(audience) => {
                let base = public.unwrap_or(&audience.base);
                let mut event = notice::linked(event.clone(), base);
                if self.capabilities && audience.project.is_some() {
                    let most = if audience.form == Form::Aodh { aodh::TRAIT_MAX } else { usize::MAX };
                    add_rights(&self.vault, &mut event.data, most);
                }
                told(spec, audience, base, &event)
            }
            None => match public {
                Some(base) => rendered(&self.name, spec.format, &notice::linked(event.clone(), base)),
                None => rendered(&self.name, spec.format, event),
            },
        }
    }
}

fn told(spec: &Spec, audience: &Audience, base: &str, event: &Recorded) -> (Bytes, Vec<(String, String)>) {
    let body = match audience.form {
        Form::Cloudevents => notice::cloudevent(event),
        Form::Plain => notice::plain(event),
        Form::Aodh => aodh::alarm(event, audience.id, &spec.name, base),
    };
    (body.to_string().into(), vec![("content-type".into(), audience.form.media_type().into())])
}

/// Has the links of a question carry the right to answer it, for receivers that have no token (§1.12); not where they would
/// become longer than `most` characters.
fn add_rights(vault: &Vault, data: &mut Value, most: usize) {
    let text = |name: &str| data[name].as_str().map(str::to_owned);
    let (Some(session), Some(project)) = (text("session_id"), text("project_id")) else { return };
    let Some(state) = text("state").and_then(|name| State::from_name(&name)) else { return };
    let reply_at = text("reply_at").and_then(|blank| format!("{}Z", blank.replacen(' ', "T", 1)).parse().ok());
    let Some(reply_at): Option<Timestamp> = reply_at else { return };
    // What is told is a whole second; the answer counts until some time within it.
    let right = Capability { state, until: reply_at.after(Duration::from_secs(1)) };
    let of_project = format!("/v1/maintenance/{session}/{project}");
    let instance = data["instance_ids"][0].as_str().map(|instance| format!("{of_project}/{instance}"));
    for (name, path) in [("reply_url", instance.as_ref().unwrap_or(&of_project)), ("instance_ids", &of_project)] {
        let sealed = right.link(vault, path);
        let sealed = sealed.as_deref().and_then(|link| link.rsplit_once('?'));
        if let (Some(Value::String(link)), Some((_, right))) = (data.get_mut(name), sealed)
            && link.chars().count() + right.len() < most
        {
            link.push('?');
            link.push_str(right);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn links_carry_the_right_to_one_answer() {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::open(dir.path()).unwrap();
        let data = |instances: Value, path: &str| {
            json!({
                "session_id": "s", "project_id": "p q", "state": "PLANNED_MAINTENANCE", "instance_ids": instances,
                "reply_url": format!("https://m/v1/maintenance/{path}"), "reply_at": "2031-04-12 22:10:40",
            })
        };
        let read = |link: &Value, path: &str| {
            let (_, right) = link.as_str().unwrap().split_once("?cap=").unwrap();
            Capability::read(&vault, path, right).unwrap()
        };
        let mut whole = data(json!("https://m/v1/maintenance/s/p%20q"), "s/p%20q");
        add_rights(&vault, &mut whole, usize::MAX);
        for name in ["reply_url", "instance_ids"] {
            let right = read(&whole[name], "/v1/maintenance/s/p q");
            assert_eq!(
                (right.state, right.until.rfc3339().as_str()),
                (State::PlannedMaintenance, "2031-04-12T22:10:41.000000Z")
            );
        }
        let mut one = data(json!(["i"]), "s/p%20q/i");
        add_rights(&vault, &mut one, usize::MAX);
        read(&one["reply_url"], "/v1/maintenance/s/p q/i");
        assert_eq!(one["instance_ids"], json!(["i"]));
        for (name, value) in [("reply_at", Value::Null), ("state", json!("INSTANCE_ACTION_DONE"))] {
            let mut none = data(json!(["i"]), "s/p%20q");
            none[name] = value;
            let before = none.clone();
            add_rights(&vault, &mut none, usize::MAX);
            assert_eq!(none, before);
        }
        let mut long = data(json!(["i"]), "s/p%20q/i");
        add_rights(&vault, &mut long, 60);
        assert_eq!(long, data(json!(["i"]), "s/p%20q/i"));
    }
}
