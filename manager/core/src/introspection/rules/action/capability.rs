//! `set-capability`: sets one entry of the text `properties.capabilities`; without a value it is removed.

use super::Parameters;
use crate::introspection::document::{Failure, python};
use crate::introspection::node::Node;

pub(super) fn set(parameters: &Parameters<'_>, node: &mut Node) -> Result<(), Failure> {
    let value = (!parameters.value.is_null()).then(|| python::str(&parameters.value));
    node.set_capability(parameters.text("name"), value.as_deref());
    Ok(())
}
