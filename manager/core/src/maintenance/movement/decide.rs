//! What follows from what happens to a move.

use hostler_common::error::Class;
use serde_json::Value;

use super::super::instance::MoveAction;
use super::super::state::Reason;
use super::super::word::{FromMove, MOVE, MoveOrder, ToSession};
use super::state::{BACKOFF, ENDING, ENDINGS, Move, Phase};
use super::words::{End, Retry, Word, Write};
use crate::machine::{Context, Decision, Effect, Input, Machine, Message, Refusal};

/// When the move is given up on; then, when it is asked for again that the attempt be ended.
const DEADLINE: &str = "deadline";

/// When the next attempt begins.
const RETRY: &str = "retry";

/// The kind of the machines that order moves.
const SESSION: &str = "session";

impl Machine for Move {
    const KIND: &'static str = MOVE;
    type Command = Word;
    type Facts = ();
    type Write = Write;

    fn decide(&self, input: Input<Word>, cx: &Context<()>) -> Result<Decision<Self>, Refusal> {
        let stay = || Ok(Decision::to(self.clone()));
        match input {
            Input::Command(word) => Ok(self.hear(word, cx)),
            Input::Message(body) => match serde_json::from_value::<Word>(body.clone()) {
                Ok(word) => Ok(self.hear(word, cx)),
                Err(_) => self.begin(body, cx),
            },
            Input::Timer(name) if name == RETRY && self.phase == Phase::Waiting => Ok(self.again(cx)),
            Input::Timer(name) if name == DEADLINE => Ok(self.late(cx)),
            Input::Timer(_) | Input::Job(_) => stay(),
        }
    }
}

impl Move {
    /// Takes the order; a second one changes nothing.
    fn begin(&self, body: Value, cx: &Context<()>) -> Result<Decision<Self>, Refusal> {
        if self.phase != Phase::Fresh {
            return Ok(Decision::to(self.clone()));
        }
        let order: MoveOrder = serde_json::from_value(body)
            .map_err(|error| Refusal::new(Class::Internal, format!("not an order to move an instance: {error}")))?;
        let deadline = cx.now.after(std::time::Duration::from_secs(order.timeout.into()));
        let mut next = self.clone();
        (next.deadline, next.order) = (Some(deadline), Some(order.clone()));
        if order.action == MoveAction::OwnAction {
            let reason = Reason::new("move.action", "an instance of which its owner takes care is not moved by us");
            return Ok(next.over(None, Some(reason)));
        }
        Ok(next.attempt(&order, cx).effect(Effect::SetTimer(DEADLINE, deadline)))
    }

    /// Orders an attempt.
    fn attempt(mut self, order: &MoveOrder, cx: &Context<()>) -> Decision<Self> {
        let attempt = cx.fresh_id(0);
        let order = Box::new(self.next_order(order));
        self.attempt = Some(attempt);
        self.attempts += 1;
        self.phase = Phase::Moving;
        Decision::to(self).write(Write::Order { attempt, order })
    }

    fn again(&self, cx: &Context<()>) -> Decision<Self> {
        match self.order.clone() {
            Some(order) => self.clone().attempt(&order, cx),
            None => Decision::to(self.clone()),
        }
    }

    fn hear(&self, word: Word, cx: &Context<()>) -> Decision<Self> {
        match (word, self.phase) {
            (Word::Abort, Phase::Fresh | Phase::Waiting) => {
                let reason = Reason::new("move.aborted", "the move is not wanted any more");
                self.clone().over(self.order.as_ref().map(|order| order.from), Some(reason))
            }
            (Word::Abort, Phase::Moving) => {
                self.clone().end(Reason::new("move.aborted", "the move is not wanted any more"), cx)
            }
            (Word::Ended { attempt, end }, Phase::Moving | Phase::Ending) if self.attempt == Some(attempt) => {
                self.ended(end, cx)
            }
            (Word::Abort | Word::Ended { .. }, _) => Decision::to(self.clone()),
        }
    }

    /// An attempt ended.
    fn ended(&self, end: End, cx: &Context<()>) -> Decision<Self> {
        let mut next = self.clone();
        let Some(failure) = end.failure else { return next.over(end.host, None) };
        if self.phase == Phase::Ending {
            // Why it was to be ended says more than that it was.
            let reason = self.reason.clone().unwrap_or_else(|| Reason::new(failure.code, failure.text));
            return next.over(end.host, Some(reason));
        }
        let reason = Reason::new(failure.code, failure.text);
        let wait = BACKOFF.get(self.attempts.saturating_sub(1) as usize);
        let moment = wait.map(|wait| cx.now.after(*wait));
        match (failure.retry, moment) {
            (Retry::Later, Some(at)) if self.deadline.is_none_or(|deadline| at < deadline) => {
                let to = self.order.as_ref().map(|order| self.next_order(order).to);
                next.tried.extend(to.flatten().filter(|to| !self.tried.contains(to)));
                (next.phase, next.reason) = (Phase::Waiting, Some(reason));
                Decision::to(next).effect(Effect::SetTimer(RETRY, at))
            }
            (Retry::Never | Retry::Later, _) => next.over(end.host, Some(reason)),
        }
    }

    /// It took too long.
    fn late(&self, cx: &Context<()>) -> Decision<Self> {
        match self.phase {
            Phase::Fresh | Phase::Over => Decision::to(self.clone()),
            Phase::Waiting | Phase::Moving if self.deadline.is_some_and(|due| cx.missed(due)) => self.granted(cx),
            Phase::Ending if cx.coming_back() => {
                Decision::to(self.clone()).effect(Effect::SetTimer(DEADLINE, cx.back()))
            }
            Phase::Waiting => {
                let reason = self.reason.clone();
                self.clone().over(self.order.as_ref().map(|order| order.from), reason)
            }
            Phase::Moving => {
                let seconds = self.order.as_ref().map_or(0, |order| order.timeout);
                let text = format!("the move did not end within {seconds} s");
                self.clone().end(Reason::new("move.timeout", text), cx)
            }
            Phase::Ending if self.endings >= ENDINGS => {
                let text = "the compute side does not say what became of the move";
                self.clone().over(None, Some(Reason::new("move.outcome_unknown", text)))
            }
            Phase::Ending => {
                let reason = self.reason.clone();
                self.clone().end(reason.unwrap_or_else(|| Reason::new("move.timeout", "it took too long")), cx)
            }
        }
    }

    /// No manager was there to see how it went, so it gets its time once more (§2.6).
    fn granted(&self, cx: &Context<()>) -> Decision<Self> {
        let seconds = self.order.as_ref().map_or(0, |order| order.timeout);
        let deadline = cx.now.after(std::time::Duration::from_secs(seconds.into()));
        let next = Self { deadline: Some(deadline), ..self.clone() };
        Decision::to(next).effect(Effect::SetTimer(DEADLINE, deadline))
    }

    /// Asks that the attempt be ended, and waits for what is said of that.
    fn end(mut self, reason: Reason, cx: &Context<()>) -> Decision<Self> {
        let abort = self.attempt.map(Write::Abort);
        (self.phase, self.reason) = (Phase::Ending, Some(reason));
        self.endings += 1;
        let decision = Decision::to(self).effect(Effect::SetTimer(DEADLINE, cx.now.after(ENDING)));
        match abort {
            Some(abort) => decision.write(abort),
            None => decision,
        }
    }

    /// Tells its session, once.
    fn over(mut self, host: Option<hostler_common::id::HostId>, failure: Option<Reason>) -> Decision<Self> {
        self.phase = Phase::Over;
        self.reason.clone_from(&failure);
        let id = self.id;
        let told = self.order.as_ref().map(|order| {
            let from = FromMove { id, instance: order.instance.clone(), host, failure };
            // What is told is plain data: it always has a JSON form.
            let body = serde_json::to_value(ToSession::Move(from)).unwrap_or(Value::Null);
            Message { kind: SESSION.into(), subject: order.session.to_string(), body }
        });
        let decision = Decision::to(self).effect(Effect::ClearTimer(DEADLINE)).effect(Effect::ClearTimer(RETRY));
        match told {
            Some(message) => decision.effect(Effect::Tell(message)),
            None => decision,
        }
    }
}
