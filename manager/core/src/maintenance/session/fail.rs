//! How a session fails, is deleted, and gives everything back (spec/maintenance.md §1.7, §2.6).

use std::time::Duration;

use hostler_common::id::HostId;

use super::document::{Errand, LaneStage, Then};
use super::{Stage, Turn};
use crate::machine::{Effect, TaskChange, TaskEnd};
use crate::maintenance::host::HostPhase;
use crate::maintenance::row::Write;
use crate::maintenance::spec::Leave;
use crate::maintenance::state::{Reason, State};
use crate::maintenance::word::ToStay;

/// How long after a host could not be given back it is tried again.
const RETRY: Duration = Duration::from_secs(10 * 60);

/// How often that is tried before the host is left as it is.
const ENDS: u32 = 48;

impl Turn<'_> {
    /// The session fails: no further host begins. Hosts at work finish; those that were only prepared are given back.
    pub(super) fn fail(&mut self, reason: Reason) {
        if matches!(self.s.stage, Stage::Failing | Stage::Unwinding) || self.s.is_over() {
            return;
        }
        self.s.prev_state = Some(super::lane::shown_state(&self.s));
        self.s.reason = Some(reason);
        self.let_go_on();
        self.enter(Stage::Failing);
        self.retire(|question| question.host.is_some());
        for host in self.lanes_in(&[LaneStage::Preparing, LaneStage::Emptying]) {
            if !self.at_work(host) {
                self.end_lane(host, Then::Pending, &ToStay::End(Leave::Exit));
            }
        }
        // Whoever lets the session go on decides about outcomes that are unknown, too.
        for host in self.lanes_in(&[LaneStage::Unknown]) {
            let name = self.row(host).map(|row| row.name.clone()).unwrap_or_default();
            let text = "the outcome of its last step is unknown";
            self.settle_host(host, HostPhase::Failed, Some(Reason::new("step.outcome_unknown", text).on(host, name)));
        }
        self.end_errand();
    }

    /// Whether the stay of a host is past its preparations: one whose host has no instances does not say so.
    fn at_work(&self, host: HostId) -> bool {
        let phases = [
            HostPhase::StorageEntry,
            HostPhase::Working,
            HostPhase::Rebooting,
            HostPhase::Verifying,
            HostPhase::StorageExit,
            HostPhase::Soaking,
        ];
        self.row(host).is_some_and(|row| phases.contains(&row.phase))
    }

    /// Takes back every rest, so that hosts can finish.
    fn let_go_on(&mut self) {
        if self.s.paused || self.s.outside {
            self.tell_lanes(&ToStay::Pause(false));
        }
        (self.s.paused, self.s.outside) = (false, false);
    }

    pub(super) fn tell_lanes(&mut self, word: &ToStay) {
        let hosts: Vec<_> = self.s.lanes.iter().map(|lane| lane.host).collect();
        for host in hosts {
            self.tell_stay(host, word);
        }
    }

    fn end_errand(&mut self) {
        if let Some(Errand { kind, host, failed }) = self.s.errand.clone() {
            match failed {
                true => self.s.errand = None,
                false => self.tell_errand(host, kind, &ToStay::End(Leave::Exit)),
            }
        }
    }

    /// Fails when nothing is in flight any more.
    pub(super) fn step_failing(&mut self) -> bool {
        if !self.s.lanes.is_empty() || !self.s.moves.is_empty() || self.s.errand.is_some() {
            return false;
        }
        self.unfence_all();
        self.retire_unanswered();
        self.enter(Stage::Failed);
        self.s.state = State::MaintenanceFailed;
        let output = self.s.reason.as_ref().map(|reason| format!("{}: {}", reason.code, reason.text));
        self.close_task(TaskEnd::Failed, 1, output.unwrap_or_default());
        false
    }

    /// Agreements are kept, so that a session that goes on does not ask for them again.
    fn retire_unanswered(&mut self) {
        use crate::maintenance::question::Answer;
        self.retire(|question| matches!(question.answer, Answer::Waiting | Answer::Nack));
    }

    pub(super) fn close_task(&mut self, end: TaskEnd, status_code: i32, output: String) {
        self.out.effects.push(Effect::Task(TaskChange::Result { status_code, result: None }));
        self.out.effects.push(Effect::Task(TaskChange::Close { end, output }));
    }

    /// Cancels and archives the session. Where hosts are held, that also ends the attempts to give them back.
    pub(super) fn delete(&mut self, leave: Leave) {
        let before = self.s.deleted;
        if self.s.stage == Stage::Gone || (before.is_some() && leave == Leave::Exit) || before == Some(leave) {
            return;
        }
        let actor = self.actor();
        self.said("session.deleted", format!("by {actor}"));
        self.s.deleted = Some(leave);
        if matches!(self.s.stage, Stage::Fresh | Stage::Done) {
            self.over();
            return;
        }
        if before.is_none() {
            let over = self.s.stage == Stage::Failed;
            self.let_go_on();
            self.retire(|_| true);
            self.tell_over();
            if !over {
                self.out.effects.push(Effect::Task(TaskChange::Cancelling));
            }
            self.end_errand();
            self.enter(Stage::Unwinding);
            // A host that failed is as the failure left it: its stay gives it back.
            let failed: Vec<_> = self.rows.iter().filter(|row| row.phase == HostPhase::Failed).cloned().collect();
            for row in failed {
                self.open_lane(&row);
            }
        }
        let hosts: Vec<_> = self.s.lanes.iter().map(|lane| lane.host).collect();
        for host in hosts {
            self.end_lane(host, Then::Pending, &ToStay::End(leave));
        }
    }

    /// Gives everything back, then lets go of the hosts.
    pub(super) fn step_unwinding(&mut self) -> bool {
        let now = self.now();
        let leave = self.s.deleted.unwrap_or_default();
        let stuck = |host| self.row(host).is_some_and(|row| row.phase == HostPhase::Failed);
        let stuck: Vec<_> = self.s.lanes.iter().filter(|lane| stuck(lane.host)).cloned().collect();
        for lane in stuck {
            let again = lane.since.after(RETRY);
            if now < again {
                self.wake_at(again);
            } else if lane.ends < ENDS {
                self.end_lane(lane.host, Then::Pending, &ToStay::End(leave));
            } else {
                self.warn(format!("{} could not be given back: it is left as it is", lane.name));
                self.s.lanes.retain(|one| one.host != lane.host);
            }
        }
        if !self.s.lanes.is_empty() || !self.s.moves.is_empty() || self.s.errand.is_some() {
            return false;
        }
        self.over();
        true
    }

    /// Nothing of the session is left.
    fn over(&mut self) {
        let was_open = !matches!(self.s.state, State::MaintenanceDone | State::MaintenanceFailed);
        self.unfence_all();
        self.unlock_all();
        self.enter(Stage::Gone);
        if was_open {
            self.close_task(TaskEnd::Cancelled, 1, "deleted".into());
        }
    }

    pub(super) fn unlock_all(&mut self) {
        let hosts: Vec<_> = self.rows.iter().map(|row| row.host).collect();
        self.out.writes.extend(hosts.into_iter().map(Write::Unlock));
    }
}
