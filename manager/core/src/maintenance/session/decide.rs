//! What follows from what happens to a session.

use super::command::Command;
use super::document::Session;
use super::facts::Facts;
use super::{Stage, Turn};
use crate::machine::{Context, Decision, Input, Machine, Refusal};
use crate::maintenance::row::Write;
use crate::maintenance::word::ToSession;

impl Machine for Session {
    const KIND: &'static str = "session";
    type Command = Command;
    type Facts = Facts;
    type Write = Write;

    fn decide(&self, input: Input<Command>, cx: &Context<Facts>) -> Result<Decision<Self>, Refusal> {
        let mut turn = Turn::new(self, cx);
        match input {
            Input::Command(Command::Create(create)) => turn.create(*create)?,
            Input::Command(Command::Update(update)) => turn.update(update)?,
            Input::Command(Command::Reply(reply)) => turn.reply(&reply)?,
            Input::Command(Command::Delete(leave)) => turn.delete(leave),
            Input::Message(body) => match serde_json::from_value(body) {
                Ok(ToSession::Stay(word)) => turn.stay_said(word),
                Ok(ToSession::Move(word)) => turn.move_said(word),
                // What nobody of this release says is no reason to stop.
                Err(_) => {}
            },
            // A timer that came due is there no longer, also where the clock went back since and it is to be set to the same
            // moment again.
            Input::Timer(_) => turn.s.wake_at = None,
            Input::Job(_) => {}
        }
        if self.stage != Stage::Fresh || turn.s.stage != Stage::Fresh {
            turn.advance(self.state);
        }
        Ok(turn.finish(self))
    }
}

#[cfg(test)]
mod tests;
