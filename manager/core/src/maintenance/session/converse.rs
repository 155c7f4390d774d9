//! What answers, refusals and silence lead to (spec/maintenance.md §2.3, §2.4, §3.9).

use std::time::Duration;

use hostler_common::id::HostId;
use serde_json::json;

use super::Turn;
use super::ask::answer_of;
use crate::maintenance::policy::{OnNack, OnNoReply};
use crate::maintenance::question::{Answer, Question};
use crate::maintenance::row::StepState;
use crate::maintenance::spec::Force;
use crate::maintenance::state::{Reason, State};

/// How late the end of a window may be noticed before it counts as an outage of ours: then it is granted once more (§2.6).
pub const OUTAGE: Duration = Duration::from_secs(15);

/// Questions that belong together.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// About the session, in that state.
    Session(State),
    /// About the instances of that host.
    Lane(HostId),
}

impl Group {
    pub fn has(self, question: &Question) -> bool {
        match self {
            Self::Session(state) => question.host.is_none() && question.state == state,
            Self::Lane(host) => question.host == Some(host),
        }
    }
}

/// Where a conversation stands.
#[derive(Debug, PartialEq, Eq)]
pub enum Talk {
    /// Somebody has to answer.
    Open,
    /// All agree, or were overruled.
    Agreed,
    /// The session cannot go on.
    Failed(Reason),
    /// The host is left out.
    Skip(Reason),
    /// The host comes after all others.
    Defer(Reason),
}

impl Turn<'_> {
    /// Looks at the questions of a group: asks again where that is due, and says what they come to. A refusal counts at once,
    /// whoever is silent besides.
    pub(super) fn converse(&mut self, group: Group) -> Talk {
        let mut open = false;
        let mut end = None;
        let refused_first = |questions: &[Question]| {
            let mut order: Vec<usize> = (0..questions.len()).filter(|n| group.has(&questions[*n])).collect();
            order.sort_by_key(|n| questions[*n].answer != Answer::Nack);
            order
        };
        for index in refused_first(&self.s.questions) {
            match self.settle(index, group) {
                Talk::Agreed => {}
                Talk::Open => open = true,
                other => end = end.or(Some(other)),
            }
            if end.is_some() {
                break;
            }
        }
        end.unwrap_or(if open { Talk::Open } else { Talk::Agreed })
    }

    fn settle(&mut self, index: usize, group: Group) -> Talk {
        let Some(question) = self.s.questions.get(index).cloned() else { return Talk::Agreed };
        match question.answer {
            Answer::Ack | Answer::Presumed => Talk::Agreed,
            Answer::Waiting => self.settle_silence(index, &question),
            Answer::Nack => self.settle_refusal(index, &question, group),
        }
    }

    fn settle_silence(&mut self, index: usize, question: &Question) -> Talk {
        if self.now() < question.reply_at {
            self.wake_at(question.reply_at);
            return Talk::Open;
        }
        let listens = self.facts().subscribed.contains(&question.project);
        if !listens {
            self.presume(index);
            return Talk::Agreed;
        }
        let outage = self.now() > question.reply_at.after(OUTAGE) && !question.granted;
        if outage || question.attempt < self.s.spec.policy.reply_attempts {
            self.ask_again(index, !outage);
            return self.await_again(index);
        }
        match self.s.spec.policy.on_no_reply {
            OnNoReply::DefaultAction => {
                self.presume(index);
                Talk::Agreed
            }
            OnNoReply::Fail => {
                let text = format!(
                    "the project {} did not answer {} in {} attempts",
                    question.project,
                    question.state.name(),
                    question.attempt
                );
                Talk::Failed(self.about(question, "reply.timeout", text))
            }
        }
    }

    fn settle_refusal(&mut self, index: usize, question: &Question, group: Group) -> Talk {
        if self.forced(question.host, |force| force.ignore_nack) {
            self.presume(index);
            return Talk::Agreed;
        }
        let text = format!("the project {} refused {}", question.project, question.state.name());
        let reason = self.about(question, "reply.nack", text);
        for choice in self.s.spec.policy.on_nack.clone() {
            match (choice, group) {
                (OnNack::Retry, _) if question.attempt < self.s.spec.policy.reply_attempts => {
                    if self.now() >= question.reply_at {
                        self.ask_again(index, true);
                    }
                    return self.await_again(index);
                }
                (OnNack::Fail, _) => return Talk::Failed(reason),
                (OnNack::SkipHost, Group::Lane(_)) => return Talk::Skip(reason),
                (OnNack::Defer, Group::Lane(host)) if !self.s.deferred.contains(&host) => return Talk::Defer(reason),
                (OnNack::Force, _) => {
                    self.presume(index);
                    return Talk::Agreed;
                }
                (OnNack::Retry | OnNack::SkipHost | OnNack::Defer, _) => {}
            }
        }
        Talk::Failed(reason)
    }

    fn await_again(&mut self, index: usize) -> Talk {
        if let Some(at) = self.s.questions.get(index).map(|question| question.reply_at) {
            self.wake_at(at);
        }
        Talk::Open
    }

    /// Policy decides in the place of the project.
    fn presume(&mut self, index: usize) {
        let Some(question) = self.s.questions.get_mut(index) else { return };
        let before = answer_of(question);
        let key = question.id;
        question.answer = Answer::Presumed;
        question.actions.clear();
        self.ended(key, StepState::Skipped, json!({ "presumed": true, "instead_of": before }), None);
    }

    fn about(&self, question: &Question, code: &str, text: String) -> Reason {
        let reason = Reason::new(code, text);
        match question.host.and_then(|host| self.row(host)) {
            Some(row) => reason.on(row.host, row.name.clone()),
            None => reason,
        }
    }

    /// Whether somebody ordered an override, for the session or for that host.
    pub(super) fn forced(&self, host: Option<HostId>, what: impl Fn(&Force) -> bool) -> bool {
        let name = host.and_then(|host| self.row(host)).map(|row| row.name.as_str());
        self.s.force.iter().any(|force| what(force) && (force.host.is_none() || force.host.as_deref() == name))
    }
}
