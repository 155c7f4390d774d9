//! Answers of projects (spec/maintenance.md §1.9). An answer that is refused changes nothing.

use hostler_common::error::Class;

use super::Turn;
use super::ask::answer_of;
use super::converse::OUTAGE;
use crate::machine::Refusal;
use crate::maintenance::instance::MoveAction;
use crate::maintenance::question::{Answer, Question, Reply};
use crate::maintenance::row::StepState;
use crate::maintenance::spec::Workflow;

/// What an answer means for one question.
enum Fits {
    /// It is the one that was given before.
    Same,
    /// It counts.
    Counts,
    /// It does not.
    Refused(Refusal),
}

impl Turn<'_> {
    /// Takes an answer.
    pub(super) fn reply(&mut self, reply: &Reply) -> Result<(), Refusal> {
        let known = self.instances.values().any(|one| one.project == reply.project)
            || self.s.projects.contains_key(&reply.project);
        if !known || self.s.deleted.is_some() {
            return Err(Refusal::new(Class::NotFound, "the session has no such project"));
        }
        let meant = |question: &Question| {
            question.project == reply.project
                && question.state == reply.state
                && reply.instance.as_ref().is_none_or(|one| question.instances.contains(one))
        };
        let about: Vec<usize> = (0..self.s.questions.len()).filter(|n| meant(&self.s.questions[*n])).collect();
        if about.is_empty() {
            return self.repeated(reply);
        }
        let mut refusal = None;
        let mut fits = false;
        for index in about {
            match self.fit(&self.s.questions[index], reply) {
                Fits::Same => fits = true,
                Fits::Counts => {
                    fits = true;
                    self.answer(index, reply);
                }
                Fits::Refused(other) => refusal = refusal.or(Some(other)),
            }
        }
        match refusal {
            Some(refusal) if !fits => Err(refusal),
            _ => Ok(()),
        }
    }

    /// An answer to something that is not asked, or not any more: harmless if it says again what was said.
    fn repeated(&self, reply: &Reply) -> Result<(), Refusal> {
        let same = self.s.past.iter().any(|past| {
            past.project == reply.project
                && past.state == reply.state
                && past.ack == reply.ack
                && (past.instance.is_none() || reply.instance.is_none() || past.instance == reply.instance)
                && (reply.actions.is_empty() || past.actions == self.actions(reply, None))
        });
        if same {
            return Ok(());
        }
        let asked = self.s.questions.iter().find(|question| question.project == reply.project);
        let asked = asked.map_or_else(
            || format!("the session is in {}", self.s.state.name()),
            |question| format!("asked is {}", question.state.name()),
        );
        let text = format!("{} is not asked now: {asked}", reply.state.name());
        Err(Refusal::new(Class::Conflict, text))
    }

    fn fit(&self, question: &Question, reply: &Reply) -> Fits {
        let conflict = |text: &str| Fits::Refused(Refusal::new(Class::Conflict, text));
        let same = matches!((question.answer, reply.ack), (Answer::Ack, true) | (Answer::Nack, false));
        let actions = self.actions(reply, Some(question));
        if same && (actions.is_empty() || actions == question.actions) {
            return Fits::Same;
        }
        // What comes late because we were away counts: the window would be granted once more.
        let late = self.now() > question.reply_at && !self.s.paused && !self.s.outside;
        let away = self.now() > question.reply_at.after(OUTAGE) && !question.granted;
        match question.answer {
            Answer::Presumed => return conflict("it is too late: it was decided without an answer"),
            _ if late && !away => return conflict("it is too late: the time to answer is over"),
            Answer::Ack | Answer::Nack if late => return conflict("it is too late to change the answer"),
            Answer::Ack if self.acted(question) => return conflict("it is too late: the action has begun"),
            Answer::Ack | Answer::Nack | Answer::Waiting => {}
        }
        match reply.ack {
            true => self.actions_fit(question, reply),
            false => Fits::Counts,
        }
    }

    /// The actions of an answer that are about this question.
    fn actions(&self, reply: &Reply, question: Option<&Question>) -> std::collections::BTreeMap<String, MoveAction> {
        let about = |id: &String| question.is_none_or(|question| question.instances.contains(id));
        reply.actions.iter().filter(|(id, _)| about(id)).map(|(id, action)| (id.clone(), *action)).collect()
    }

    fn actions_fit(&self, question: &Question, reply: &Reply) -> Fits {
        if question.host.is_none() {
            return Fits::Counts;
        }
        let invalid = |text: String| Fits::Refused(Refusal::new(Class::Invalid, text));
        for id in &question.instances {
            let there = self.facts().computes.instances.iter().find(|one| one.id == *id);
            let still = there.is_some_and(|one| Some(one.host) == question.host);
            match reply.actions.get(id) {
                Some(MoveAction::LiveMigrate) if still && there.is_some_and(|one| !super::empty::can_live(one)) => {
                    return invalid(format!("the instance {id} cannot be moved while it runs"));
                }
                Some(action) if !question.allowed.contains(action) => {
                    return invalid(format!("{} is not offered for the instance {id}", action.name()));
                }
                None if still && self.s.spec.workflow == Workflow::Default => {
                    let named = |id: &&String| !reply.actions.contains_key(*id);
                    let missing: Vec<&str> = question.instances.iter().filter(named).map(String::as_str).collect();
                    return invalid(format!("an action is missing for: {}", missing.join(", ")));
                }
                _ => {}
            }
        }
        Fits::Counts
    }

    /// Whether anything was done on the strength of an answer.
    fn acted(&self, question: &Question) -> bool {
        let owned = |id: &String| question.host.and_then(|h| self.s.lane(h)).is_some_and(|l| l.own.contains_key(id));
        let moves = |id: &String| self.s.moves.iter().any(|one| one.instance == *id);
        let done = |id: &String| {
            self.instances.get(id).is_some_and(|one| one.project_state.as_deref() == Some(super::event::ACTION_DONE))
        };
        question.instances.iter().any(|id| owned(id) || moves(id) || done(id))
    }

    fn answer(&mut self, index: usize, reply: &Reply) {
        let actions = self.actions(reply, self.s.questions.get(index));
        let now = self.now();
        let Some(question) = self.s.questions.get_mut(index) else { return };
        let was = question.answer;
        question.answer = if reply.ack { Answer::Ack } else { Answer::Nack };
        question.actions = if reply.ack { actions } else { Default::default() };
        let (id, host, result) = (question.id, question.host, answer_of(question));
        // A refusal is a step that ends when it is known what becomes of it; agreement ends it, a change of mind is a line.
        match (was, reply.ack) {
            (Answer::Waiting | Answer::Nack, true) => self.ended(id, StepState::Done, result, None),
            (Answer::Waiting | Answer::Nack, false) => {}
            (Answer::Ack | Answer::Presumed, _) => self.said("reply.changed", result.to_string()),
        }
        if let Some(lane) = self.s.lanes.iter_mut().find(|lane| Some(lane.host) == host) {
            lane.since = now;
        }
    }
}
