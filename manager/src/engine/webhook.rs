//! What the engine must know of webhooks, and how they are made and removed.

use futures::future::BoxFuture;
use hostler_common::error::Class;
use hostler_common::id::{EventNumber, WebhookId};
use hostler_core::machine::Input;
use hostler_core::webhook::{Command, New, Spec, Webhook, Write};

use super::run::{Domain, apply};
use super::{Engine, Turn};
use crate::store::maintenance::{listener_delete, listener_put_in};
use crate::store::webhook::{
    DeadLetter, dead_letter_delete, dead_letter_exists, dead_letter_put, webhook_delete, webhook_list, webhook_number,
};
use crate::store::{Connection, Error, Result, event};

/// How often it is tried again after another manager was faster.
const TRIES: usize = 8;

/// A webhook; the subject is its number.
#[derive(Clone, Copy, Debug)]
pub struct WebhookDomain;

impl Domain for WebhookDomain {
    type Machine = Webhook;

    fn fresh(subject: &str) -> Result<Webhook> {
        let id = subject.parse().map_err(|_| Error::Broken(format!("not the number of a webhook: {subject}")))?;
        Ok(Webhook::fresh(id))
    }

    fn facts<'t>(
        _turn: &'t Turn,
        tx: &'t mut Connection,
        webhook: &'t Webhook,
        input: &'t Input<Command>,
    ) -> BoxFuture<'t, Result<()>> {
        Box::pin(async move {
            if let Input::Command(Command::Replay(event)) = input
                && !dead_letter_exists(tx, webhook.id, *event).await?
            {
                let text = format!("event {event} is no dead letter of webhook {}", webhook.id);
                return Err(Error::Refused(Class::NotFound, text));
            }
            Ok(())
        })
    }

    fn write<'t>(
        turn: &'t Turn,
        tx: &'t mut Connection,
        next: &'t Webhook,
        writes: Vec<Write>,
    ) -> BoxFuture<'t, Result<()>> {
        Box::pin(async move {
            for write in writes {
                match write {
                    Write::Bury { event, attempts, status, reason } => {
                        let letter = DeadLetter { event, at: turn.now, attempts, status, reason };
                        dead_letter_put(tx, next.id, &letter).await?;
                    }
                    Write::Exhume(event) => dead_letter_delete(tx, next.id, event).await?,
                    Write::Listens(listens) => {
                        let listener = format!("webhook/{}", next.id);
                        listener_delete(tx, &listener).await?;
                        if let Some((project, session)) = listens {
                            listener_put_in(tx, &project, session, &listener, None).await?;
                        }
                    }
                }
            }
            Ok(())
        })
    }
}

/// A webhook that is to be made.
#[derive(Clone, Debug)]
pub struct NewWebhook {
    /// What is asked for.
    pub spec: Spec,
    /// The last event that it is not told of; `None` for the newest that there is.
    pub after: Option<EventNumber>,
    /// How many of its sort there may be: webhooks of operators, or subscriptions to maintenance.
    pub most: u32,
    /// How many of its sort there may be of its project.
    pub most_of_project: u32,
}

impl NewWebhook {
    /// Refuses if there are too many of its sort already.
    fn check_room(&self, all: &[Webhook]) -> Result<()> {
        let alike = |one: &&Webhook| one.spec.audience.is_some() == self.spec.audience.is_some();
        if all.iter().filter(alike).count() >= self.most as usize {
            let (what, key) = match self.spec.audience {
                None => ("webhooks", "webhooks.max"),
                Some(_) => ("subscriptions", "maintenance.subscriptions_max"),
            };
            let text = format!("there are {} {what} already; remove one, or raise {key}", self.most);
            return Err(Error::Refused(Class::Exhausted, text));
        }
        let Some(audience) = &self.spec.audience else { return Ok(()) };
        let same = |one: &&Webhook| one.spec.audience.as_ref().is_some_and(|other| other.project == audience.project);
        if all.iter().filter(same).count() >= self.most_of_project as usize {
            let text = format!("the project has {} subscriptions already; remove one", self.most_of_project);
            return Err(Error::Refused(Class::Exhausted, text));
        }
        Ok(())
    }
}

impl Engine {
    /// Makes a webhook. `seal` encrypts its secret once its number is known.
    ///
    /// # Errors
    /// Class `Exhausted` if there are too many; see [`Error`].
    pub async fn webhook_create<F>(&self, new: NewWebhook, seal: F, actor: &str) -> Result<Webhook>
    where
        F: Fn(WebhookId) -> Result<String> + Clone + Send + Sync + 'static,
    {
        let mut tries = 0;
        loop {
            let (turn, new, seal) = (self.turn(Some(actor)), new.clone(), seal.clone());
            let work = self.store.write(move |tx| {
                Box::pin(async move {
                    // Until this transaction ends nobody else gets a number: two never take the same last place.
                    let id = webhook_number(tx).await?;
                    new.check_room(&webhook_list(tx).await?)?;
                    let newest = event::event_newest(tx).await?;
                    let after = new.after.unwrap_or(newest).min(newest);
                    let command = Command::Create(Box::new(New { spec: new.spec, sealed: seal(id)?, after }));
                    apply::<WebhookDomain>(&turn, tx, &id.to_string(), Input::Command(command)).await
                })
            });
            tries += 1;
            match work.await {
                Err(Error::Moved) if tries < TRIES => {}
                Ok(done) => {
                    self.woken(&done);
                    return Ok(done.machine);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Removes a webhook with all that belongs to it.
    ///
    /// # Errors
    /// Class `NotFound` if there is none of that number; see [`Error`].
    pub async fn webhook_delete(&self, id: WebhookId, actor: &str) -> Result<()> {
        let mut tries = 0;
        loop {
            let turn = self.turn(Some(actor));
            let work = self.store.write(move |tx| {
                Box::pin(async move {
                    let done =
                        apply::<WebhookDomain>(&turn, tx, &id.to_string(), Input::Command(Command::Delete)).await?;
                    webhook_delete(tx, id).await?;
                    Ok(done)
                })
            });
            tries += 1;
            match work.await {
                Err(Error::Moved) if tries < TRIES => {}
                Ok(done) => {
                    self.woken(&done);
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Asks something of a webhook.
    ///
    /// # Errors
    /// Class `NotFound` if there is none of that number, the webhook's own refusal; see [`Error`].
    pub async fn webhook_ask(&self, id: WebhookId, command: Command, actor: Option<&str>) -> Result<Webhook> {
        Ok(self.input::<WebhookDomain>(&id.to_string(), Input::Command(command), actor).await?.machine)
    }
}
