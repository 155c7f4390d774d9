//! What is due, stage by stage (spec/maintenance.md §2.2, §2.3).

use std::time::Duration;

use super::converse::{Group, Talk};
use super::empty::LOOK;
use super::facts::Fetched;
use super::lane::shown_state;
use super::{Stage, Turn};
use crate::machine::TaskEnd;
use crate::maintenance::policy::UnmanagedProject;
use crate::maintenance::question::Answer;
use crate::maintenance::row::StepKind;
use crate::maintenance::spec::ActionType;
use crate::maintenance::state::{Reason, State};

/// How many things one decision may do; what is left is done by the next one.
const STEPS: usize = 1000;

impl Turn<'_> {
    /// Does whatever is due, until nothing is; `told` is the state that was told last.
    pub(super) fn advance(&mut self, told: State) {
        if self.s.is_over() {
            return;
        }
        self.refresh();
        // One decision tells of one state: whoever follows the session sees each.
        if shown_state(&self.s) != told {
            self.again = true;
            return;
        }
        for _ in 0..STEPS {
            self.wake = None;
            if !self.step() || self.s.is_over() {
                return;
            }
            if shown_state(&self.s) != told {
                self.again = true;
                return;
            }
        }
        self.again = true;
    }

    /// One step. Says whether anything changed, so that there may be more to do.
    fn step(&mut self) -> bool {
        if self.overdue_moves() {
            return true;
        }
        match self.s.stage {
            Stage::Failing => return self.step_failing(),
            Stage::Unwinding => return self.step_unwinding(),
            _ if self.s.paused => return false,
            _ => {}
        }
        match self.s.stage {
            Stage::Fetching => self.step_fetching(),
            Stage::Announcing => self.step_announcing(),
            Stage::Starting => self.step_starting(),
            Stage::Pre => self.step_errand(ActionType::Pre, Stage::Evaluating),
            Stage::Evaluating => self.step_evaluating(),
            Stage::ScalingIn => self.step_scaling(),
            Stage::Rolling => self.step_rolling(),
            Stage::Post => self.step_errand(ActionType::Post, Stage::Completing),
            Stage::Completing => self.step_completing(),
            Stage::Fresh | Stage::Failing | Stage::Unwinding | Stage::Failed | Stage::Done | Stage::Gone => false,
        }
    }

    /// Downloads are there before anybody is disturbed.
    fn step_fetching(&mut self) -> bool {
        if self.needs_session_approval() {
            return self.await_approval();
        }
        match self.facts().downloads.clone() {
            Fetched::All => self.enter(Stage::Announcing),
            Fetched::Failed(reason) => self.fail(reason),
            Fetched::Pending => {
                let limit = Duration::from_secs(u64::from(self.s.spec.policy.step_timeout));
                if self.now() < self.attended(self.s.since).after(limit) {
                    self.wake_at(self.now().after(LOOK));
                    return false;
                }
                self.fail(Reason::new("download.timeout", "the downloads did not come in time"));
            }
        }
        true
    }

    fn step_announcing(&mut self) -> bool {
        if let Some(reason) = self.unmanaged().or_else(|| self.unconstrained()) {
            self.fail(reason);
            return true;
        }
        self.ask_session(State::Maintenance, None);
        match self.converse(Group::Session(State::Maintenance)) {
            Talk::Open => false,
            Talk::Agreed => {
                self.enter(Stage::Starting);
                true
            }
            Talk::Failed(reason) | Talk::Skip(reason) | Talk::Defer(reason) => {
                self.fail(reason);
                true
            }
        }
    }

    /// Projects for which nobody listens, where the policy does not suffer them.
    fn unmanaged(&self) -> Option<Reason> {
        if self.s.spec.policy.unmanaged_project != UnmanagedProject::Fail {
            return None;
        }
        let silent: Vec<String> =
            self.projects().into_iter().filter(|project| !self.facts().subscribed.contains(project)).collect();
        let text = || format!("nobody listens for the projects {}", silent.join(", "));
        (!silent.is_empty()).then(|| Reason::new("project.unsubscribed", text()))
    }

    /// Instances without a record of what they need, where the workflow asks for one (§3.5 H). Owners for whom nobody listens
    /// are treated by default, and so are all where somebody ordered that.
    fn unconstrained(&self) -> Option<Reason> {
        if !self.per_instance() || self.forced(None, |force| force.ignore_constraints) {
            return None;
        }
        let facts = self.facts();
        let missing: Vec<&str> = self
            .instances
            .values()
            .filter(|one| facts.subscribed.contains(&one.project) && !facts.constraints.contains_key(&one.id))
            .map(|one| one.id.as_str())
            .collect();
        let named = || missing.iter().take(20).copied().collect::<Vec<_>>().join(", ");
        let text = || format!("{} instances have no constraints: {}", missing.len(), named());
        (!missing.is_empty()).then(|| Reason::new("constraints.missing", text()))
    }

    fn step_starting(&mut self) -> bool {
        // Who agreed may still refuse until the window closes.
        if let Talk::Failed(reason) = self.converse(Group::Session(State::Maintenance)) {
            self.fail(reason);
            return true;
        }
        let at = self.s.spec.maintenance_at;
        if self.now() < at {
            self.wake_at(at);
            return false;
        }
        if self.await_window().is_some() {
            return self.s.stage != Stage::Starting;
        }
        self.retire(|question| question.state == State::Maintenance);
        self.enter(Stage::Pre);
        true
    }

    /// A plan is made of hosts whose agents had the time to come back.
    fn step_evaluating(&mut self) -> bool {
        if let Some(back) = self.awaits_agents() {
            self.wake_at(back.min(self.now().after(LOOK)));
            return false;
        }
        self.evaluate()
    }

    fn step_errand(&mut self, kind: ActionType, then: Stage) -> bool {
        let stage = self.s.stage;
        if self.errand(kind) {
            self.enter(then);
        }
        self.s.stage != stage
    }

    /// All hosts are done: projects are told, and asked whether they are well (§2.3: whatever they say, the hosts are done).
    fn step_completing(&mut self) -> bool {
        self.ask_session(State::MaintenanceComplete, None);
        match self.converse(Group::Session(State::MaintenanceComplete)) {
            Talk::Open => return false,
            Talk::Agreed => {}
            Talk::Failed(reason) | Talk::Skip(reason) | Talk::Defer(reason) => {
                if self.s.spec.policy.fail_on_incomplete {
                    self.fail(reason);
                    return true;
                }
                self.warn(reason.text);
                let open = |answer| matches!(answer, Answer::Waiting | Answer::Nack);
                if self.s.questions.iter().any(|one| open(one.answer) && self.now() < one.reply_at) {
                    return self.await_rest();
                }
            }
        }
        self.complete()
    }

    /// One refuses the end; the others still have their time to answer.
    fn await_rest(&mut self) -> bool {
        let now = self.now();
        let next = self.s.questions.iter().filter(|one| one.answer == Answer::Waiting && one.reply_at > now);
        match next.map(|one| one.reply_at).min() {
            Some(at) => {
                self.wake_at(at);
                false
            }
            None => self.complete(),
        }
    }

    /// The end, well or not.
    fn complete(&mut self) -> bool {
        self.retire(|_| true);
        let failures = self.failures();
        let good = self.rows.iter().filter(|row| row.maintained).count();
        let most = self.s.spec.policy.max_failed_hosts.of(self.rows.len());
        let left_out = self.rows.iter().filter(|row| !row.maintained).count();
        if failures > most || (good == 0 && left_out > 0) {
            let text = format!("{failures} hosts failed and {left_out} are not done, of {}", self.rows.len());
            self.fail(Reason::new("hosts.failed", text));
            return true;
        }
        if left_out > 0 {
            self.warn(format!("{left_out} hosts are not done"));
        }
        self.enter(Stage::Done);
        self.unfence_all();
        // A host that could not be given back stays the session's: its deletion tries again.
        self.unlock_all();
        self.s.reason = None;
        let output = self.s.warnings.join("\n");
        self.close_task(TaskEnd::Finished, 0, output);
        self.noted(StepKind::Notify, State::MaintenanceDone.name(), None, serde_json::Value::Null);
        true
    }

    /// Questions whose window passed while the session rested are asked again, and windows that are open begin anew.
    pub(super) fn thaw(&mut self) {
        for index in 0..self.s.questions.len() {
            let question = &self.s.questions[index];
            if question.answer == Answer::Waiting && question.reply_at <= self.now() {
                self.ask_again(index, false);
            }
        }
    }
}
