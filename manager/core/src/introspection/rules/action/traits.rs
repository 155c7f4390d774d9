//! `add-trait` and `remove-trait`. Both may be repeated without effect.

use super::Parameters;
use crate::introspection::document::Failure;
use crate::introspection::node::Node;

/// Longest trait, in characters.
const MAX_LENGTH: usize = 255;

pub(super) fn add(parameters: &Parameters<'_>, node: &mut Node) -> Result<(), Failure> {
    let name = parameters.text("name");
    if name.is_empty() || name.chars().count() > MAX_LENGTH {
        return Err(Failure::new(format!("Failed to add trait {name}: it must have 1 to {MAX_LENGTH} characters")));
    }
    if !node.traits.iter().any(|present| present == name) {
        node.traits.push(name.to_owned());
    }
    Ok(())
}

pub(super) fn remove(parameters: &Parameters<'_>, node: &mut Node) -> Result<(), Failure> {
    node.traits.retain(|present| present != parameters.text("name"));
    Ok(())
}
