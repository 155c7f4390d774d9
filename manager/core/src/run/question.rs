//! After the first targets somebody may be asked whether the others follow.

use hostler_common::error::Class;
use uuid::Uuid;

use super::command::{ANSWER, Facts};
use super::state::{Canary, Run};
use super::target::TargetState;
use crate::machine::{Context, Decision, Effect, Question, Refusal, TaskChange};

/// The timer at which the default counts.
pub(super) const QUESTION: &str = "question";

const GO_ON: &str = "continue";
const STOP: &str = "stop";

impl Run {
    pub(super) fn ask(&mut self, decision: Decision<Self>, cx: &Context<Facts>) -> Decision<Self> {
        let (done, rest) = (self.next(), self.counts.pending);
        let failed = self.counts.errors();
        let question = Question {
            token: cx.fresh_id(0x61_736b),
            message: format!("{done} hosts are done, {failed} of them failed. Continue with the other {rest}?"),
            options: vec![GO_ON.into(), STOP.into()],
            default: STOP.into(),
            urgent: failed > 0,
            asked_at: cx.now,
            expires_at: cx.now.after(ANSWER),
        };
        self.canary = Canary::Asked(question.clone());
        put(decision, question)
    }

    pub(super) fn answer(&self, token: Uuid, response: &str, cx: &Context<Facts>) -> Result<Decision<Self>, Refusal> {
        let refuse = |text: &str| Err(Refusal::new(Class::Conflict, text));
        let Canary::Asked(question) = &self.canary else { return refuse("the task asks nothing") };
        if question.token != token {
            return refuse("the token is not that of the question that the task asks now");
        }
        if !question.options.iter().any(|option| option == response) {
            return Err(Refusal::new(
                Class::Conflict,
                format!("{response:?} is not one of {}", question.options.join(", ")),
            ));
        }
        Ok(self.answered(response == GO_ON, cx))
    }

    /// Nobody answered in time. Where nobody could, because no manager was there, people get the time once more.
    pub(super) fn unanswered(&self, cx: &Context<Facts>) -> Decision<Self> {
        match &self.canary {
            Canary::Asked(question) if cx.missed(question.expires_at) => {
                let question = Question { expires_at: cx.now.after(ANSWER), ..question.clone() };
                let next = Self { canary: Canary::Asked(question.clone()), ..self.clone() };
                put(Decision::to(next), question)
            }
            Canary::Asked(question) => self.answered(question.default == GO_ON, cx),
            Canary::None | Canary::After(_) => Decision::to(self.clone()),
        }
    }

    fn answered(&self, go_on: bool, cx: &Context<Facts>) -> Decision<Self> {
        let mut run = self.clone();
        run.canary = Canary::None;
        let mut decision =
            Decision::to(run.clone()).effect(Effect::ClearTimer(QUESTION)).effect(Effect::Task(TaskChange::Answered));
        if !go_on {
            run.stopped = true;
            decision = run.drop_rest(decision, TargetState::Skipped, "the answer was to stop");
        }
        run.advance(decision, cx)
    }
}

fn put(decision: Decision<Run>, question: Question) -> Decision<Run> {
    let due = question.expires_at;
    decision.effect(Effect::Task(TaskChange::Ask(question))).effect(Effect::SetTimer(QUESTION, due))
}
