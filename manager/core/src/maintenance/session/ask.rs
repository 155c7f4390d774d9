//! Questions to projects: whom, what, and until when (spec/maintenance.md §2.4, §2.5).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hostler_common::id::HostId;
use serde_json::{Value, json};

use super::create::FLOOR;
use super::document::Shown;
use super::turn::asked;
use super::{Turn, event};
use crate::maintenance::constraint::DEFAULT_LEAD_TIME;
use crate::maintenance::instance::MoveAction;
use crate::maintenance::question::{Answer, Question, Reply};
use crate::maintenance::row::{StepBegun, StepKind, StepState};
use crate::maintenance::spec::Workflow;
use crate::maintenance::state::{Reason, State};

/// How many answers are kept to recognize one that is repeated.
const PAST: usize = 256;

/// A question that is to be asked.
pub struct Asking {
    pub state: State,
    pub host: Option<HostId>,
    pub project: String,
    pub instance: Option<String>,
    pub instances: Vec<String>,
    pub allowed: Vec<MoveAction>,
}

impl Turn<'_> {
    /// Asks.
    pub(super) fn ask(&mut self, asking: Asking) {
        let Asking { state, host, project, instance, instances, allowed } = asking;
        for id in &instances {
            if let Some(row) = self.instances.get_mut(id) {
                row.project_state = asked(state);
            }
        }
        let mut question = Question {
            id: self.fresh(),
            state,
            host,
            project,
            instance,
            instances,
            allowed,
            asked_at: self.now(),
            reply_at: self.now(),
            attempt: 1,
            granted: false,
            answer: Answer::Waiting,
            actions: BTreeMap::new(),
        };
        question.reply_at = self.now().after(self.window(&question));
        self.send(question.clone());
        self.s.questions.push(question);
    }

    /// Asks once more; `counted` as another attempt, or because nobody could have answered.
    pub(super) fn ask_again(&mut self, index: usize, counted: bool) {
        let Some(old) = self.s.questions.get(index).cloned() else { return };
        let (state, error) = match old.answer {
            Answer::Nack => (StepState::Done, None),
            _ => (StepState::Failed, Some(Reason::new("reply.timeout", "nobody answered in time"))),
        };
        self.ended(old.id, state, answer_of(&old), error);
        let mut question = old;
        question.id = self.fresh();
        question.asked_at = self.now();
        question.reply_at = self.now().after(self.window(&question));
        question.attempt += u32::from(counted);
        question.granted = !counted;
        question.answer = Answer::Waiting;
        question.actions.clear();
        self.send(question.clone());
        if let Some(place) = self.s.questions.get_mut(index) {
            *place = question;
        }
    }

    fn send(&mut self, question: Question) {
        self.out.events.push(event::question(&self.s, &question));
        self.note_asked(question);
    }

    /// The step of history that lasts until the answer.
    pub(super) fn note_asked(&mut self, question: Question) {
        let input = json!({
            "project": question.project, "instances": question.instances, "allowed": question.allowed,
            "reply_at": event::blank(question.reply_at),
        });
        self.begun(StepBegun {
            key: question.id,
            host: question.host,
            instance: question.instance,
            kind: StepKind::Reply,
            name: question.state.name().into(),
            attempt: question.attempt,
            job: None,
            input,
        });
    }

    /// How long there is to answer a question that is asked now.
    fn window(&self, question: &Question) -> Duration {
        let policy = &self.s.spec.policy;
        let seconds = |seconds: u32| Duration::from_secs(u64::from(seconds));
        match question.state {
            State::Maintenance => {
                let left = self.s.spec.maintenance_at.since(self.now());
                seconds(policy.reply_window).min(left).max(FLOOR)
            }
            State::ScaleIn | State::MaintenanceComplete => seconds(policy.scale_in_reply_window).max(FLOOR),
            _ if self.s.spec.workflow == Workflow::Vnf => {
                let notice = |id: &String| self.facts().constraints.get(id).map_or(DEFAULT_LEAD_TIME, |c| c.lead_time);
                seconds(question.instances.iter().map(notice).max().unwrap_or(0)).max(FLOOR)
            }
            _ => seconds(policy.reply_window).max(FLOOR),
        }
    }

    /// The projects of the session: those of its instances.
    pub(super) fn projects(&self) -> BTreeSet<String> {
        self.instances.values().map(|one| one.project.clone()).collect()
    }

    /// Asks every project of the session for which somebody listens and that was not asked yet. With `only`, those that own
    /// some of these instances, about these. Says whether anybody was asked now.
    pub(super) fn ask_session(&mut self, state: State, only: Option<&[String]>) -> bool {
        let mut fresh = false;
        for project in self.projects() {
            // Who agreed to the session once is not asked again, wherever it goes on.
            let agreed = |past: &Reply| {
                past.ack && past.state == State::Maintenance && state == past.state && past.project == project
            };
            let covered = self.s.questions.iter().any(|one| one.state == state && one.project == project)
                || self.s.past.iter().any(agreed);
            if covered || !self.facts().subscribed.contains(&project) {
                continue;
            }
            let mine = |id: &&String| self.instances.get(*id).is_some_and(|one| one.project == project);
            let instances: Vec<String> = only.unwrap_or(&[]).iter().filter(mine).cloned().collect();
            if only.is_some() && instances.is_empty() {
                continue;
            }
            for row in self.instances.values_mut().filter(|row| row.project == project) {
                row.project_state = None;
            }
            self.ask(Asking { state, host: None, project, instance: None, instances, allowed: Vec::new() });
            fresh = true;
        }
        fresh
    }

    /// Forgets questions; answers that led to something are remembered for a while.
    pub(super) fn retire(&mut self, pick: impl Fn(&Question) -> bool) {
        let (gone, kept) = std::mem::take(&mut self.s.questions).into_iter().partition::<Vec<_>, _>(&pick);
        self.s.questions = kept;
        for question in gone {
            match question.answer {
                Answer::Waiting => {
                    self.ended(question.id, StepState::Cancelled, Value::Null, None);
                    continue;
                }
                Answer::Presumed => continue,
                Answer::Ack | Answer::Nack => {}
            }
            if question.answer == Answer::Nack {
                self.ended(question.id, StepState::Done, answer_of(&question), None);
            }
            self.s.past.push(Reply {
                project: question.project,
                instance: question.instance,
                state: question.state,
                ack: question.answer == Answer::Ack,
                actions: question.actions,
            });
        }
        let excess = self.s.past.len().saturating_sub(PAST);
        self.s.past.drain(..excess);
    }

    /// Projects that are not asked about a host are shown as asked nothing (§2.4).
    pub(super) fn clear_others(&mut self) {
        let asked: BTreeSet<&String> = self.s.questions.iter().map(|question| &question.project).collect();
        for (project, shown) in &mut self.s.projects {
            if !asked.contains(project) {
                *shown = Shown { subscribed: shown.subscribed, ..Shown::default() };
            }
        }
        let about: BTreeSet<&String> = self.s.questions.iter().flat_map(|question| &question.instances).collect();
        for row in self.instances.values_mut() {
            if !about.contains(&row.id) && row.project_state.as_deref() != Some(event::ACTION_DONE) {
                row.project_state = None;
            }
        }
    }
}

/// What was answered, for history.
pub fn answer_of(question: &Question) -> Value {
    json!({ "answer": question.answer, "actions": question.actions })
}
