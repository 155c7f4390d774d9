//! What follows from what happens to a session.

use hostler_common::error::Class;

use super::command::Command;
use super::document::Session;
use super::facts::Facts;
use crate::machine::{Context, Decision, Input, Machine, Refusal};
use crate::maintenance::row::Write;

impl Machine for Session {
    const KIND: &'static str = "session";
    type Command = Command;
    type Facts = Facts;
    type Write = Write;

    fn decide(&self, input: Input<Command>, _cx: &Context<Facts>) -> Result<Decision<Self>, Refusal> {
        match input {
            Input::Command(_) => Err(Refusal::new(Class::Unavailable, "sessions are not there yet")),
            Input::Job(_) | Input::Timer(_) | Input::Message(_) => Ok(Decision::to(self.clone())),
        }
    }
}
