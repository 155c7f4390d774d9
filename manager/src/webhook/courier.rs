//! Performs what the machines of webhooks say: one courier per webhook, in every manager.
//!
//! Couriers own nothing. What they may deliver they claim through the machine, whose version arbitrates between managers;
//! what they found out they give back as its input. A courier that dies leaves a claim that ends by itself.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use hostler_common::error::Class;
use hostler_common::id::{EventNumber, WebhookId};
use hostler_common::time::Timestamp;
use hostler_core::webhook::{Command, Failed, Seek, Webhook};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Webhooks;
use super::ahead::Ahead;
use crate::store::event::event_find;
use crate::store::webhook::{webhook_find, webhook_list};
use crate::store::{Error, Result};

/// The longest time without a look at the rows: what a lost wake-up costs at the most.
const POLL: Duration = Duration::from_secs(5);

/// How long changes are gathered before anybody looks.
const GATHER: Duration = Duration::from_millis(25);

/// How long it is gathered before it is looked for new webhooks.
const GATHER_LIST: Duration = Duration::from_millis(250);

/// How long to wait after the store did not answer, or somebody else was faster.
const RETRY: Duration = Duration::from_millis(500);

/// So many events that are not wanted, or so much time, and the cursor is moved past them.
const PASSED_MAX: i64 = 1000;
const PASSED_AGE: Duration = Duration::from_secs(3600);

impl Webhooks {
    /// Delivers events until `stop`. Deliveries under way are brought to their ends.
    pub async fn run(&self, stop: CancellationToken) {
        let mut couriers: HashMap<WebhookId, JoinHandle<()>> = HashMap::new();
        let mut changes = self.engine.wake.watch();
        loop {
            changes.mark_unchanged();
            couriers.retain(|_, courier| !courier.is_finished());
            match self.ids().await {
                Ok(ids) => {
                    for id in ids {
                        couriers.entry(id).or_insert_with(|| {
                            let courier = Courier::new(self.clone(), id);
                            tokio::spawn(courier.run(stop.clone()))
                        });
                    }
                }
                Err(error) => tracing::warn!(%error, "webhooks cannot be listed"),
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(POLL) => {}
                _changed = changes.changed() => tokio::time::sleep(GATHER_LIST).await,
            }
        }
        for courier in couriers.into_values() {
            if let Err(error) = courier.await {
                tracing::error!(%error, "a courier of webhooks panicked");
            }
        }
    }

    async fn ids(&self) -> Result<Vec<WebhookId>> {
        let all = webhook_list(&mut *self.engine.store.read().await?).await?;
        Ok(all.into_iter().map(|webhook| webhook.id).collect())
    }
}

/// What a courier does next.
enum Next {
    /// It looks again after that time, or when something changed.
    Wait(Duration),
    /// Nothing: the webhook is gone.
    End,
}

struct Courier {
    webhooks: Webhooks,
    id: WebhookId,
    ahead: Ahead,
    moved_at: Instant,
}

impl Courier {
    fn new(webhooks: Webhooks, id: WebhookId) -> Self {
        Self { webhooks, id, ahead: Ahead::new(), moved_at: Instant::now() }
    }

    async fn run(mut self, stop: CancellationToken) {
        let mut changes = self.webhooks.engine.wake.watch();
        while !stop.is_cancelled() {
            changes.mark_unchanged();
            let wait = match self.round(&stop).await {
                Ok(Next::Wait(wait)) => wait,
                Ok(Next::End) => return,
                Err(error) => {
                    tracing::warn!(webhook = %self.id, %error, "events cannot be delivered");
                    RETRY
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
                _changed = changes.changed() => tokio::time::sleep(GATHER).await,
            }
        }
    }

    /// One look at the webhook; delivers for as long as there is something.
    async fn round(&mut self, stop: &CancellationToken) -> Result<Next> {
        let engine = self.webhooks.engine.clone();
        let found = webhook_find(&mut *engine.store.read().await?, self.id).await?;
        let Some(webhook) = found else { return Ok(Next::End) };
        let now = engine.clock.now();
        match webhook.claimable_at(now) {
            None => return Ok(Next::Wait(POLL)),
            Some(at) if at > now => return Ok(Next::Wait(at.since(now).min(POLL))),
            Some(_) => {}
        }
        let seek = self.ahead.seek(&engine.store, &webhook, webhook.cursor).await?;
        let passed = seek.passed.0 - webhook.cursor.0;
        let old = passed > 0 && self.moved_at.elapsed() >= PASSED_AGE;
        let waiting = webhook.sending.is_some() || !webhook.replays.is_empty() || seek.found.is_some();
        if !waiting && passed < PASSED_MAX && !old {
            return Ok(Next::Wait(POLL));
        }
        match engine.webhook_ask(self.id, Command::Claim(seek), None).await {
            Ok(claimed) => {
                self.ahead.counted();
                self.moved_at = Instant::now();
                self.carry(claimed, stop).await?;
                Ok(Next::Wait(Duration::ZERO))
            }
            // Somebody else was faster, or it was changed: the next look tells.
            Err(Error::Refused(Class::Conflict, _) | Error::Moved) => Ok(Next::Wait(RETRY)),
            Err(Error::Refused(Class::NotFound, _)) => Ok(Next::End),
            Err(error) => Err(error),
        }
    }

    /// Delivers what was claimed, and what is claimed together with each result.
    async fn carry(&mut self, mut webhook: Webhook, stop: &CancellationToken) -> Result<()> {
        while let Some(sending) = webhook.sending.clone()
            && let Some(claim) = sending.claim
        {
            let from = if sending.replay { webhook.cursor } else { sending.event };
            let command = self.attempt(&webhook, claim.id).await?;
            let command = match command {
                Command::Delivered { claim, status, .. } if !stop.is_cancelled() => {
                    let next = self.next(&webhook, from).await;
                    Command::Delivered { claim, status, next }
                }
                other => other,
            };
            let goes_on = matches!(command, Command::Delivered { next: Some(_), .. });
            webhook = match self.report(command, claim.until).await {
                Ok(webhook) => webhook,
                Err(Error::Refused(_, reason)) => {
                    tracing::info!(webhook = %self.id, reason, "the result of a delivery came too late");
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            self.ahead.counted();
            if !goes_on {
                return Ok(());
            }
        }
        Ok(())
    }

    /// What follows after `from`; unknown where the store does not answer, which the next look makes good.
    async fn next(&mut self, webhook: &Webhook, from: EventNumber) -> Option<Seek> {
        self.ahead.seek(&self.webhooks.engine.store, webhook, from).await.ok()
    }

    /// Tries to deliver the event on its way; returns the result as the machine's next input.
    async fn attempt(&self, webhook: &Webhook, claim: Uuid) -> Result<Command> {
        let Some(sending) = &webhook.sending else { return Ok(Command::Lost { claim }) };
        let event = match self.ahead.event(sending.event) {
            Some(event) => Some(event),
            None => event_find(&mut *self.webhooks.engine.store.read().await?, sending.event).await?,
        };
        let Some(event) = event else { return Ok(Command::Lost { claim }) };
        let sent = match self.webhooks.message(webhook, &event.shortened()) {
            Ok(message) => self.webhooks.post_of(webhook).send(&webhook.spec.url, message).await,
            Err(failure) => Err(failure),
        };
        Ok(match sent {
            Ok(status) => Command::Delivered { claim, status, next: None },
            Err(failure) => {
                tracing::debug!(webhook = %self.id, event = %sending.event, reason = failure.reason, "not delivered");
                let failed =
                    Failed { status: failure.status, reason: failure.reason, retry_after: failure.retry_after };
                Command::Failed { claim, failed }
            }
        })
    }

    /// Gives a result back; a store that does not answer is waited for while the claim counts. A result that is lost
    /// after that costs a repetition.
    async fn report(&self, command: Command, until: Timestamp) -> Result<Webhook> {
        let engine = &self.webhooks.engine;
        loop {
            match engine.webhook_ask(self.id, command.clone(), None).await {
                Err(Error::Unavailable(_) | Error::Moved) if engine.clock.now() < until => {
                    tokio::time::sleep(RETRY).await;
                }
                done => return done,
            }
        }
    }
}
