//! What follows from what happens to a stay.

use super::{Facts, Stay};
use crate::machine::{Context, Decision, Input, Machine, Refusal};
use crate::maintenance::row::Write;
use crate::maintenance::word::ToStay;

impl Machine for Stay {
    const KIND: &'static str = "stay";
    type Command = ToStay;
    type Facts = Facts;
    type Write = Write;

    fn decide(&self, _input: Input<ToStay>, _cx: &Context<Facts>) -> Result<Decision<Self>, Refusal> {
        Ok(Decision::to(self.clone()))
    }
}
