//! `fail`: ends the run with a message. The message is taken as it is, as upstream does not format it either.

use super::Parameters;
use crate::introspection::document::{Failure, python};
use crate::introspection::node::Node;

pub(super) fn apply(parameters: &Parameters<'_>, _: &mut Node) -> Result<(), Failure> {
    Err(Failure::new(parameters.given.get("message").map(python::str).unwrap_or_default()))
}
