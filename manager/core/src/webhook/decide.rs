//! The machine of webhooks.
//!
//! At every moment it is off, waits for events, waits for the end of a pause, or is being delivered under a claim that
//! ends. A result counts only under the claim that it was asked with, so no event is passed over or counted twice, whoever
//! is late.

use std::time::Duration;

use hostler_common::error::Class;
use hostler_common::id::EventNumber;
use hostler_common::text::clip;
use serde_json::{Value, json};
use uuid::Uuid;

use super::backoff;
use super::command::{Command, Failed, New, Seek, Write};
use super::state::{Claim, Failure, Off, OnExhausted, Phase, Sealed, Sending, Spec, Success, Webhook};
use crate::machine::{Context, Decision, Effect, Event, Input, Machine, Refusal};

/// Timer: a pause or a claim ends.
const LOOK: &str = "look";
/// Timer: the older secret counts no more.
const SECRET: &str = "secret";

/// How long whoever claimed a delivery has for it: the longest attempt, and then some.
pub const LEASE: Duration = Duration::from_secs(60);

/// How many dead letters may wait to be tried once more.
pub const REPLAYS_MAX: usize = 1000;

/// The longest reason of a failure that is kept, in bytes.
const REASON_MAX: usize = 512;

/// The status with which a receiver says that it is gone for good.
const GONE: u16 = 410;

type Decided = Result<Decision<Webhook>, Refusal>;

impl Machine for Webhook {
    const KIND: &'static str = "webhook";
    type Command = Command;
    type Facts = ();
    type Write = Write;

    fn decide(&self, input: Input<Command>, cx: &Context<()>) -> Decided {
        let mut decision = self.decided(input, cx)?;
        let listens = decision.next.listens();
        if listens != self.listens() {
            let listens = listens.map(|(project, session)| (project.to_owned(), session));
            decision.writes.push(Write::Listens(listens));
        }
        Ok(decision)
    }
}

impl Webhook {
    fn decided(&self, input: Input<Command>, cx: &Context<()>) -> Decided {
        match input {
            Input::Command(Command::Create(new)) => self.create(*new, cx),
            Input::Command(command) => match self.phase {
                Phase::Fresh | Phase::Gone => {
                    Err(Refusal::new(Class::NotFound, format!("there is no webhook {}", self.id)))
                }
                Phase::Active | Phase::Off(_) => self.command(command, cx),
            },
            Input::Timer(name) if name == SECRET => Ok(Decision::to(self.without_old_secrets(cx))),
            Input::Timer(_) => Ok(self.look(cx)),
            // No agent and no other machine has anything to say to a webhook.
            Input::Job(_) | Input::Message(_) => Ok(Decision::to(self.clone())),
        }
    }

    fn create(&self, new: New, cx: &Context<()>) -> Decided {
        if self.phase != Phase::Fresh {
            return Err(Refusal::new(Class::Conflict, format!("webhook {} exists already", self.id)));
        }
        let next = Self {
            phase: Phase::Active,
            spec: new.spec,
            secrets: vec![Sealed { value: new.sealed, until: None }],
            cursor: new.after,
            created_at: cx.now,
            created_by: cx.actor.clone().unwrap_or_default(),
            ..self.clone()
        };
        let event = next.event("webhook.created", json!({ "name": next.spec.name }));
        Ok(Decision::to(next).event(event))
    }

    fn command(&self, command: Command, cx: &Context<()>) -> Decided {
        match command {
            Command::Create(new) => self.create(*new, cx),
            Command::Change(spec) => Ok(self.change(*spec)),
            Command::Rotate { sealed, keep } => Ok(self.rotate(sealed, keep, cx)),
            Command::Enable => Ok(self.enable()),
            Command::Disable => Ok(self.disable()),
            Command::Delete => {
                let event = self.event("webhook.deleted", json!({ "name": self.spec.name }));
                let next = Self { phase: Phase::Gone, ..self.clone() };
                Ok(Decision::to(next).effect(Effect::ClearTimer(LOOK)).effect(Effect::ClearTimer(SECRET)).event(event))
            }
            Command::Claim(seek) => self.claim(&seek, cx),
            Command::Delivered { claim, status, next } => self.delivered(claim, status, next, cx),
            Command::Failed { claim, failed } => self.failed(claim, failed, cx),
            Command::Lost { claim } => self.lost(claim),
            Command::Replay(event) => self.replay(event),
        }
    }

    fn change(&self, spec: Spec) -> Decision<Self> {
        let mut next = Self { spec, ..self.clone() };
        if next.spec == self.spec {
            return Decision::to(next);
        }
        next.generation += 1;
        // It may be the change that heals it.
        next.not_before = None;
        if next.sending.as_ref().is_some_and(|sending| sending.claim.is_none() && !sending.replay) {
            // The cursor is still before it: if it is wanted any more, it is found again.
            next.sending = None;
        }
        let event = next.event("webhook.changed", json!({ "name": next.spec.name }));
        Decision::to(next).event(event)
    }

    fn rotate(&self, sealed: String, keep: Duration, cx: &Context<()>) -> Decision<Self> {
        let mut next = self.clone();
        next.secrets.truncate(1);
        let until = cx.now.after(keep);
        for old in &mut next.secrets {
            old.until = Some(until);
        }
        next.secrets.insert(0, Sealed { value: sealed, until: None });
        let event = next.event("webhook.secret_rotated", json!({ "until": until.rfc3339() }));
        Decision::to(next).effect(Effect::SetTimer(SECRET, until)).event(event)
    }

    fn without_old_secrets(&self, cx: &Context<()>) -> Self {
        let mut next = self.clone();
        next.secrets.retain(|sealed| sealed.until.is_none_or(|until| until > cx.now));
        next
    }

    fn enable(&self) -> Decision<Self> {
        if self.phase == Phase::Active {
            return Decision::to(self.clone());
        }
        let mut next = Self {
            phase: Phase::Active,
            failures: 0,
            failing_since: None,
            not_before: None,
            burying: false,
            ..self.clone()
        };
        if let Some(sending) = &mut next.sending {
            sending.failed = 0;
        }
        let event = next.event("webhook.enabled", json!({}));
        Decision::to(next).event(event)
    }

    fn disable(&self) -> Decision<Self> {
        let mut next = self.clone();
        match next.phase {
            Phase::Active => next.off(Off::Asked, Decision::to),
            Phase::Off(_) | Phase::Fresh | Phase::Gone => Decision::to(next),
        }
    }

    /// Switches it off, and says so.
    fn off(&mut self, why: Off, finish: impl FnOnce(Self) -> Decision<Self>) -> Decision<Self> {
        let severity = if why == Off::Asked { "info" } else { "alarm" };
        let last = self.last_failure.as_ref().map(|failure| failure.reason.clone());
        let event = self.event("webhook.disabled", json!({ "why": why.name(), "error": last, "severity": severity }));
        self.phase = Phase::Off(why);
        finish(self.clone()).event(event)
    }

    /// A pause or a claim may have ended. Whoever delivers looks at the row.
    fn look(&self, cx: &Context<()>) -> Decision<Self> {
        let mut next = self.clone();
        if let Some(sending) = &mut next.sending
            && sending.claim.is_some_and(|claim| claim.until <= cx.now)
        {
            sending.claim = None;
        }
        Decision::to(next)
    }

    fn claim(&self, seek: &Seek, cx: &Context<()>) -> Decided {
        let refuse = |text: &str| Err(Refusal::new(Class::Conflict, format!("webhook {}: {text}", self.id)));
        if self.phase != Phase::Active {
            return refuse("it is switched off");
        }
        if self.not_before.is_some_and(|at| at > cx.now) {
            return refuse("its receiver is left alone for a while");
        }
        let mut next = self.look(cx).next;
        next.not_before = None;
        if next.sending.as_ref().is_some_and(|sending| sending.claim.is_some()) {
            return refuse("somebody delivers to it");
        }
        if next.sending.is_none()
            && next.replays.is_empty()
            && (seek.from, seek.generation) != (next.cursor, next.generation)
        {
            return refuse("it moved on meanwhile");
        }
        Ok(next.take(seek, cx))
    }

    /// Takes what is next under a new claim: what is on its way already, a dead letter, or what was found.
    fn take(mut self, seek: &Seek, cx: &Context<()>) -> Decision<Self> {
        let mut missed = None;
        if self.sending.is_none() && !self.replays.is_empty() {
            self.sending = Some(Sending { event: self.replays.remove(0), replay: true, failed: 0, claim: None });
        } else if self.sending.is_none() && (seek.from, seek.generation) == (self.cursor, self.generation) {
            self.cursor = self.cursor.max(seek.passed);
            missed = Some(seek.missed).filter(|missed| *missed > 0);
            self.sending = seek.found.map(|event| Sending { event, replay: false, failed: 0, claim: None });
        }
        let told = missed.map(|missed| self.event("webhook.gap", json!({ "missed": missed, "severity": "alarm" })));
        let until = cx.now.after(LEASE);
        let timer = match &mut self.sending {
            Some(sending) => {
                sending.claim = Some(Claim { id: cx.fresh_id(0), until });
                Effect::SetTimer(LOOK, until)
            }
            None => Effect::ClearTimer(LOOK),
        };
        let decision = Decision::to(self).effect(timer);
        match told {
            Some(told) => decision.event(told),
            None => decision,
        }
    }

    /// The event that is delivered under that claim.
    fn held(&self, claim: Uuid) -> Result<&Sending, Refusal> {
        let held = self.sending.as_ref().filter(|sending| sending.claim.is_some_and(|held| held.id == claim));
        held.ok_or_else(|| Refusal::new(Class::Conflict, format!("webhook {}: the claim has ended", self.id)))
    }

    fn delivered(&self, claim: Uuid, status: u16, seek: Option<Seek>, cx: &Context<()>) -> Decided {
        let sending = self.held(claim)?;
        let mut next = self.clone();
        next.sending = None;
        next.delivered += 1;
        next.last_success = Some(Success { at: cx.now, event: sending.event, status });
        next.failures = 0;
        next.burying = false;
        next.not_before = None;
        let since = next.failing_since.take();
        let mut exhumed = None;
        if sending.replay {
            exhumed = Some(Write::Exhume(sending.event));
        } else {
            next.cursor = sending.event;
        }
        let recovered = since.map(|since| {
            let seconds = cx.now.since(since).as_secs();
            next.event("webhook.recovered", json!({ "failedSeconds": seconds }))
        });
        let mut decision = match seek.filter(|_| next.phase == Phase::Active) {
            Some(seek) => next.take(&seek, cx),
            None => Decision::to(next).effect(Effect::ClearTimer(LOOK)),
        };
        decision.writes.extend(exhumed);
        decision.events.extend(recovered);
        Ok(decision)
    }

    fn failed(&self, claim: Uuid, failed: Failed, cx: &Context<()>) -> Decided {
        let sending = self.held(claim)?.clone();
        let attempts = sending.failed + 1;
        let reason = clip(&failed.reason, REASON_MAX).to_owned();
        let mut next = self.clone();
        next.last_failure =
            Some(Failure { at: cx.now, event: sending.event, status: failed.status, reason: reason.clone() });
        next.failures = next.failures.saturating_add(1);
        let begins = next.failing_since.is_none();
        let since = *next.failing_since.get_or_insert(cx.now);
        next.sending = Some(Sending { failed: attempts, claim: None, ..sending });
        let policy = next.spec.policy;
        let exhausted =
            policy.max_attempts.is_some_and(|most| attempts >= most) || cx.now.since(since) >= policy.retry_for;
        let dead = policy.off_after.is_some_and(|limit| cx.now.since(since) >= limit);
        let bury = Write::Bury { event: sending.event, attempts, status: failed.status, reason: reason.clone() };
        let pause = |next: Self| next.pause(failed.retry_after, cx);
        let mut decision = if failed.status == Some(GONE) && !sending.replay && next.phase == Phase::Active {
            next.off(Off::Gone, |next| Decision::to(next).effect(Effect::ClearTimer(LOOK)))
        } else if sending.replay {
            // One more try was asked for, and was had.
            next.sending = None;
            pause(next).write(bury)
        } else if (dead || (exhausted && policy.on_exhausted == OnExhausted::Stop)) && next.phase == Phase::Active {
            next.off(Off::Exhausted, |next| Decision::to(next).effect(Effect::ClearTimer(LOOK)))
        } else if exhausted && policy.on_exhausted == OnExhausted::DeadLetter {
            pause(next.buried(sending.event)).write(bury)
        } else {
            pause(next)
        };
        if begins {
            let data = json!({ "error": reason, "event": sending.event, "severity": "warning" });
            decision.events.insert(0, self.event("webhook.failing", data));
        }
        if decision.next.burying && !self.burying {
            let data = json!({ "error": reason, "event": sending.event, "severity": "alarm" });
            decision.events.push(self.event("webhook.dead_letter", data));
        }
        Ok(decision)
    }

    /// The same, with that event given up.
    fn buried(mut self, event: EventNumber) -> Self {
        self.sending = None;
        self.cursor = event;
        self.buried += 1;
        self.burying = true;
        self
    }

    /// The receiver is left alone for a while.
    fn pause(mut self, asked: Option<Duration>, cx: &Context<()>) -> Decision<Self> {
        let until = cx.now.after(backoff::pause(self.spec.policy.pace, self.failures, cx.seed, asked));
        self.not_before = Some(until);
        Decision::to(self).effect(Effect::SetTimer(LOOK, until))
    }

    fn lost(&self, claim: Uuid) -> Decided {
        let sending = self.held(claim)?;
        let mut next = Self { sending: None, ..self.clone() };
        let mut decision = if sending.replay {
            Decision::to(next).write(Write::Exhume(sending.event))
        } else {
            next.cursor = sending.event;
            Decision::to(next)
        };
        decision.events.push(self.event("webhook.gap", json!({ "missed": 1, "severity": "alarm" })));
        Ok(decision.effect(Effect::ClearTimer(LOOK)))
    }

    fn replay(&self, event: EventNumber) -> Decided {
        let mut next = self.clone();
        let under_way = next.sending.as_ref().is_some_and(|sending| sending.replay && sending.event == event);
        if under_way || next.replays.contains(&event) {
            return Ok(Decision::to(next));
        }
        if next.replays.len() >= REPLAYS_MAX {
            let text = format!("{REPLAYS_MAX} dead letters wait already; try again when some are through");
            return Err(Refusal::new(Class::Exhausted, text));
        }
        next.replays.push(event);
        let told = next.event("webhook.replay_requested", json!({ "event": event }));
        Ok(Decision::to(next).event(told))
    }

    fn event(&self, kind: &'static str, data: Value) -> Event {
        Event { kind, subject: self.id.to_string(), data }
    }
}

#[cfg(test)]
mod tests;
