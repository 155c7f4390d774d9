//! Which targets begin now, and when those that have begun are given up.

use std::time::Duration;

use hostler_common::job::{JobSpec, JobState, Work};
use hostler_common::time::Timestamp;

use super::command::{Facts, Word, Write, due};
use super::state::{Canary, Phase, Run};
use super::target::{Begun, Seat, TargetState};
use crate::machine::{Context, Decision, Effect};

/// The timer at which open targets are looked at.
pub(super) const CHECK: &str = "check";

/// The timer at which it is looked for room under the manager's own limit.
pub(super) const LAUNCH: &str = "launch";

/// How often it is looked for room.
const ROOM_AGAIN: Duration = Duration::from_secs(1);

/// How soon open targets are looked at again at the earliest.
const CHECK_AGAIN: Duration = Duration::from_secs(5);

/// How long an agent may be away and still count as about to come back.
const AWAY: Duration = Duration::from_secs(60);

impl Run {
    /// Begins what may begin, and sees to it that something happens next.
    pub(super) fn advance(mut self, mut decision: Decision<Self>, cx: &Context<Facts>) -> Decision<Self> {
        if self.phase == Phase::Active {
            let drop = match () {
                () if self.any_one && self.somewhere() => Some("it began on another host"),
                () if self.errors_max.is_some_and(|most| self.counts.errors() > most) => {
                    self.stopped = self.stopped || self.counts.pending > 0;
                    Some("too many hosts failed")
                }
                () => None,
            };
            if let Some(reason) = drop {
                decision = self.drop_rest(decision, TargetState::Skipped, reason);
            }
            decision = self.launch(decision, cx);
        }
        if self.counts.pending == 0 && self.counts.open() == 0 && self.phase != Phase::Over {
            decision = decision.effect(Effect::Tell(Word::Conclude.to(self.id)));
        }
        decision.next = self;
        decision
    }

    /// Whether the script began anywhere, or may have.
    fn somewhere(&self) -> bool {
        let counts = &self.counts;
        counts.running + counts.ok + counts.failed + counts.timed_out + counts.lost + counts.cancelled > 0
    }

    /// Ends all targets that have not begun.
    pub(super) fn drop_rest(&mut self, decision: Decision<Self>, state: TargetState, reason: &str) -> Decision<Self> {
        if self.counts.pending == 0 {
            return decision;
        }
        let first = self.next();
        *self.counts.of_mut(state) += self.counts.pending;
        self.counts.pending = 0;
        decision.write(Write::Rest(first, state, reason.to_owned()))
    }

    fn launch(&mut self, mut decision: Decision<Self>, cx: &Context<Facts>) -> Decision<Self> {
        let Some(spec) = &cx.facts.spec else { return decision };
        let limit = match &self.canary {
            Canary::None => u32::MAX,
            Canary::After(first) => *first,
            Canary::Asked(_) => 0,
        };
        let mut room = if self.blocking { u32::MAX } else { cx.facts.room };
        let (first, mut jobs, mut missing) = (self.next(), Vec::new(), Vec::new());
        for waiting in &cx.facts.waiting {
            let full = self.counts.open() >= self.at_once || room == 0 || self.next() >= limit;
            let failed = self.errors_max.is_some_and(|most| self.counts.errors() > most);
            if full || failed || waiting.position != self.next() {
                break;
            }
            match reachable(waiting.seat.as_ref(), cx) {
                Ok(seat) => {
                    let attempt = if self.any_one { waiting.position + 1 } else { 1 };
                    let script = spec.on(seat, cx.facts.task, attempt);
                    let work = Work::Script(Box::new(script));
                    jobs.push(JobSpec { id: waiting.job, host: waiting.host, work, deadline: self.deadline });
                    self.move_one(TargetState::Pending, TargetState::Delivering);
                    room -= 1;
                }
                Err(reason) => {
                    missing.push((waiting.position, reason));
                    self.move_one(TargetState::Pending, TargetState::Undeliverable);
                }
            }
        }
        if !jobs.is_empty() {
            decision = decision.write(Write::Launched(first, self.next() - 1));
        }
        for (position, reason) in &missing {
            decision = decision.write(Write::Ended {
                position: *position,
                state: TargetState::Undeliverable,
                outcome: None,
                error: Some((*reason).to_owned()),
            });
        }
        let began = !jobs.is_empty();
        decision.effects.extend(jobs.into_iter().map(Effect::RunJob));
        if began && self.check_at.is_none() {
            decision = self.check_after(decision, cx.now.after(self.patience));
        }
        self.continue_later(decision, room, !missing.is_empty(), limit, cx)
    }

    /// What makes targets begin that did not begin now, where no end of another one will.
    fn continue_later(
        &mut self,
        decision: Decision<Self>,
        room: u32,
        missing: bool,
        limit: u32,
        cx: &Context<Facts>,
    ) -> Decision<Self> {
        if self.counts.pending == 0 || self.counts.open() >= self.at_once || self.next() >= limit {
            if self.counts.open() == 0 && self.counts.pending > 0 && matches!(self.canary, Canary::After(_)) {
                return self.ask(decision, cx);
            }
            return decision;
        }
        if room == 0 {
            return decision.effect(Effect::SetTimer(LAUNCH, cx.now.after(ROOM_AGAIN)));
        }
        // Room is left, and all targets that were looked at are away: the next ones may be there.
        if missing || self.counts.open() == 0 {
            return decision.effect(Effect::Tell(Word::GoOn.to(self.id)));
        }
        decision
    }

    pub(super) fn check_after(&mut self, decision: Decision<Self>, at: Timestamp) -> Decision<Self> {
        self.check_at = Some(at);
        decision.effect(Effect::SetTimer(CHECK, at))
    }

    /// Gives up those open targets whose time has passed.
    pub(super) fn check(mut self, mut decision: Decision<Self>, cx: &Context<Facts>) -> Decision<Self> {
        self.check_at = None;
        let mut next: Option<Timestamp> = None;
        for begun in &cx.facts.begun {
            match self.give_up(begun, cx) {
                Some((state, reason)) => {
                    decision = self.ended_without_outcome(decision, begun, state, reason);
                }
                None => {
                    if self.any_one && begun.job_state == Some(JobState::Delivered) && self.due(begun, cx) <= cx.now {
                        decision = decision.effect(Effect::CancelJob(begun.job));
                    }
                    let at = self.due(begun, cx).max(cx.now.after(CHECK_AGAIN));
                    next = Some(next.map_or(at, |other| other.min(at)));
                }
            }
        }
        if let Some(at) = next {
            decision = self.check_after(decision, at);
        }
        self.advance(decision, cx)
    }

    fn ended_without_outcome(
        &mut self,
        decision: Decision<Self>,
        begun: &Begun,
        state: TargetState,
        reason: &str,
    ) -> Decision<Self> {
        self.move_one(begun.state, state);
        let ended = Write::Ended { position: begun.position, state, outcome: None, error: Some(reason.to_owned()) };
        // An agent that comes back later must not begin with it.
        decision.write(ended).effect(Effect::CancelJob(begun.job))
    }

    /// When a target is given up; never while agents come back after an outage.
    fn due(&self, begun: &Begun, cx: &Context<Facts>) -> Timestamp {
        due(begun, self.patience, self.deadline).max(cx.back())
    }

    /// What becomes of an open target that is not waited for any longer. While an agent is connected it is the one that
    /// counts the time of a script: clocks of hosts and of the manager may jump.
    fn give_up(&self, begun: &Begun, cx: &Context<Facts>) -> Option<(TargetState, &'static str)> {
        let late = self.due(begun, cx) <= cx.now;
        let taken_by = begun.begun_at.after(2 * self.patience).max(cx.back().after(self.patience));
        match begun.job_state {
            None => Some((TargetState::Lost, "the host was removed")),
            Some(JobState::Queued) if late && !begun.connected => {
                Some((TargetState::Undeliverable, "the agent is not connected"))
            }
            Some(JobState::Queued) if taken_by <= cx.now => {
                Some((TargetState::Undeliverable, "the agent does not take the job"))
            }
            Some(JobState::Delivered | JobState::Running) => {
                let silent = Begun { state: TargetState::Running, ..*begun };
                let lost = self.due(&silent, cx) <= cx.now && !begun.connected;
                lost.then_some((TargetState::Lost, "the agent has gone; nobody knows how the script ended"))
            }
            Some(_) => None,
        }
    }
}

/// Whether it is worth to hand a job to that host now.
fn reachable<'s>(seat: Option<&'s Seat>, cx: &Context<Facts>) -> Result<&'s Seat, &'static str> {
    let seat = seat.ok_or("there is no such host any more")?;
    if seat.revoked {
        return Err("its agent was cut off");
    }
    let soon = |seen: Timestamp| cx.coming_back() || seen.after(AWAY) > cx.now;
    if seat.connected || seat.seen_at.is_some_and(soon) {
        return Ok(seat);
    }
    Err(if seat.seen_at.is_some() { "its agent is not connected" } else { "its agent has never connected" })
}
