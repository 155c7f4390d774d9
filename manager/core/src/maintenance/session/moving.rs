//! Instances on their way (spec/maintenance.md §3.8).

use std::time::Duration;

use hostler_common::id::HostId;
use hostler_common::time::Timestamp;
use serde_json::{Value, json};

use super::document::{OpenMove, Own};
use super::{Turn, event};
use crate::machine::{Effect, Message};
use crate::maintenance::constraint::DEFAULT_INTERRUPTION;
use crate::maintenance::instance::{Instance, MoveAction};
use crate::maintenance::plan::Landing;
use crate::maintenance::policy::{ComputeMode, Policy};
use crate::maintenance::row::{StepBegun, StepKind, StepState};
use crate::maintenance::state::Reason;
use crate::maintenance::word::{FromMove, INTERRUPTION, MOVE, MoveOrder};

/// How many times its own time limit a move may take in all, with its retries.
const MOVE_LIMIT: u32 = 5;

/// What is added to that, so that a move tells its own end first.
const MOVE_SLACK: Duration = Duration::from_secs(600);

/// How long a move may take in all.
fn limit(policy: &Policy) -> Duration {
    Duration::from_secs(u64::from(policy.move_timeout)) * MOVE_LIMIT + MOVE_SLACK
}

impl Turn<'_> {
    fn begun_for(&mut self, one: &Instance, from: HostId, action: MoveAction, input: Value) -> uuid::Uuid {
        let key = self.fresh();
        let now = self.now();
        self.begun(StepBegun {
            key,
            host: Some(from),
            instance: Some(one.id.clone()),
            kind: StepKind::Move,
            name: action.name().into(),
            attempt: 1,
            job: None,
            input,
        });
        if let Some(row) = self.instances.get_mut(&one.id) {
            (row.action, row.action_done) = (Some(action), false);
            (row.impacted_from, row.recovered_at) = (Some(now), None);
        }
        if let Some(lane) = self.lane_mut(from) {
            lane.since = now;
        }
        key
    }

    /// An instance sets out.
    pub(super) fn begin_move(&mut self, one: &Instance, action: MoveAction, landing: Landing, chosen: bool) {
        let input = json!({ "to": landing.to, "others": landing.others });
        let id = self.begun_for(one, one.host, action, input);
        let policy = &self.s.spec.policy;
        let bears = self.facts().constraints.get(&one.id).map(|constraint| constraint.max_interruption_time);
        let order = MoveOrder {
            session: self.s.id.0,
            instance: one.id.clone(),
            from: one.host,
            to: Some(landing.to),
            others: landing.others,
            action,
            max_interruption: (action == MoveAction::LiveMigrate).then_some(bears.unwrap_or(DEFAULT_INTERRUPTION)),
            timeout: policy.move_timeout,
        };
        let limit = limit(policy);
        self.s.moves.push(OpenMove {
            id,
            instance: one.id.clone(),
            project: one.project.clone(),
            from: one.host,
            to: Some(landing.to),
            action,
            chosen,
            until: self.now().after(limit),
        });
        let message = Message { kind: MOVE.into(), subject: id.to_string(), body: json!(order) };
        self.out.effects.push(Effect::Tell(message));
    }

    /// The owner of an instance takes it away.
    pub(super) fn begin_own(&mut self, one: &Instance, reply_at: Timestamp) {
        let grace = Duration::from_secs(u64::from(self.s.spec.policy.own_action_grace));
        let until = reply_at.max(self.now()).after(grace);
        let key = self.begun_for(one, one.host, MoveAction::OwnAction, json!({ "until": event::blank(until) }));
        if let Some(lane) = self.lane_mut(one.host) {
            lane.own.insert(one.id.clone(), Own { key, until });
        }
    }

    /// Nobody waits any longer for owners who were to take their instances away from that host.
    pub(super) fn forget_own(&mut self, host: HostId) {
        let own = self.lane_mut(host).map(|lane| std::mem::take(&mut lane.own)).unwrap_or_default();
        for (id, Own { key, .. }) in own {
            self.ended(key, StepState::Cancelled, Value::Null, None);
            self.recovers(&id, false);
        }
    }

    /// An instance has left its host, or does not leave it any more: from when it counts as healthy again.
    fn recovers(&mut self, id: &str, done: bool) {
        let recovery = self.group_of(id).map_or(0, |group| group.recovery_time);
        let at = self.now().after(Duration::from_secs(u64::from(recovery)));
        if let Some(row) = self.instances.get_mut(id) {
            row.recovered_at = Some(at);
            row.action_done = done;
            row.project_state = if done { Some(event::ACTION_DONE.into()) } else { row.project_state.take() };
        }
    }

    /// It has left, by whichever way.
    pub(super) fn left_host(&mut self, from: HostId, id: &str, project: &str) {
        let now = self.now();
        self.recovers(id, true);
        self.tell_action_done(project, id);
        if let Some(lane) = self.lane_mut(from) {
            lane.since = now;
            lane.moved.insert(id.to_owned(), now);
        }
    }

    /// A move has its end. One that is not known, or is told twice, changes nothing.
    pub(super) fn move_said(&mut self, word: FromMove) {
        let Some(place) = self.s.moves.iter().position(|one| one.id == word.id) else { return };
        let going = self.s.moves.remove(place);
        match word.failure {
            None => {
                if let (Some(row), Some(host)) = (self.instances.get_mut(&going.instance), word.host) {
                    row.host = host;
                }
                self.ended(going.id, StepState::Done, json!({ "host": word.host }), None);
                self.left_host(going.from, &going.instance, &going.project);
            }
            Some(reason) => self.move_failed(&going, reason),
        }
    }

    /// Another way is tried; where the owner chose the one that failed, the owner is asked again without it.
    fn move_failed(&mut self, going: &OpenMove, reason: Reason) {
        self.ended(going.id, StepState::Failed, Value::Null, Some(reason.clone()));
        self.recovers(&going.instance, false);
        if let Some(row) = self.instances.get_mut(&going.instance) {
            row.details = Some(reason.text.clone());
        }
        let ask = going.chosen || reason.code == INTERRUPTION;
        self.bar(going.from, &going.instance, going.action, ask);
        let ignored = self.s.spec.policy.compute_mode == ComputeMode::IgnoreExt;
        let now = self.now();
        let Some(lane) = self.lane_mut(going.from) else { return };
        lane.since = now;
        let barred = lane.barred.get(&going.instance);
        let spent = barred.is_some_and(|barred| barred.contains(&MoveAction::Migrate));
        if spent && ignored {
            lane.left.insert(going.instance.clone());
            let text = format!("{} stays on {}: {}", going.instance, lane.name, reason.text);
            self.warn(text);
        } else if spent {
            let text = format!("{} cannot leave {}: {}", going.instance, lane.name, reason.text);
            self.cannot_empty(going.from, Reason { text, ..reason });
        }
    }

    /// That way does not work for that instance.
    pub(super) fn bar(&mut self, host: HostId, id: &str, action: MoveAction, ask: bool) {
        if let Some(lane) = self.lane_mut(host) {
            lane.barred.entry(id.to_owned()).or_default().insert(action);
        }
        for question in self.s.questions.iter_mut().filter(|question| question.host == Some(host)) {
            question.actions.remove(id);
            if ask {
                question.instances.retain(|other| other != id);
            }
        }
        // A question about nothing is none.
        self.retire(|question| question.host == Some(host) && question.instances.is_empty());
    }

    /// Moves of which nothing is heard are given up on.
    pub(super) fn overdue_moves(&mut self) -> bool {
        let now = self.now();
        let least = self.cx.since.after(limit(&self.s.spec.policy));
        let until = |one: &OpenMove| one.until.max(least);
        let due = self.s.moves.iter().find(|one| until(one) <= now).cloned();
        let next = self.s.moves.iter().map(until).min();
        if let Some(next) = next {
            self.wake_at(next);
        }
        let Some(going) = due else { return false };
        self.s.moves.retain(|one| one.id != going.id);
        let text = format!("nothing was heard of the move of {} in time", going.instance);
        self.move_failed(&going, Reason::new("move.lost", text));
        true
    }
}
