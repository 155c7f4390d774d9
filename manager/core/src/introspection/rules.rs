//! Introspection rules: conditions on the processed document and the node, and actions on the node
//! (spec/introspection.md §1.7.7, §3).
//!
//! [`parse`] turns what a client posts into a [`NewRule`] or says what is wrong with it; [`evaluate::run`] applies rules.
//! Operators and actions are rows of the tables in [`condition`] and [`action`].

pub mod action;
pub mod compare;
pub mod condition;
pub mod evaluate;
pub mod format;
pub mod path;
pub mod pattern;
mod schema;

pub use action::Action;
pub use condition::Condition;
pub use evaluate::{Culprit, Evaluation, RuleReport, run};

use hostler_common::error::Class;
use hostler_common::id::{RuleId, uuid_like};
use serde_json::{Map, Value, json};

use super::document::{self, python};

/// Longest scope, in characters.
const MAX_SCOPE: usize = 255;

/// A stored rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its id.
    pub id: RuleId,
    /// Free text.
    pub description: Option<String>,
    /// The nodes it is for: all, or those with exactly this `inspection_scope`.
    pub scope: Option<String>,
    /// All must hold; none is always true.
    pub conditions: Vec<Condition>,
    /// What happens then, in order; at least one.
    pub actions: Vec<Action>,
}

/// A rule that passed validation and has no id yet, unless its author chose one.
#[derive(Clone, Debug)]
pub struct NewRule {
    /// The id that the author asked for.
    pub id: Option<RuleId>,
    /// Free text.
    pub description: Option<String>,
    /// See [`Rule::scope`].
    pub scope: Option<String>,
    /// See [`Rule::conditions`].
    pub conditions: Vec<Condition>,
    /// See [`Rule::actions`].
    pub actions: Vec<Action>,
}

/// Why a rule cannot be created. The message is the answer to the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RuleError {
    /// The complete text.
    pub message: String,
}

impl RuleError {
    /// Always [`Class::Invalid`].
    #[must_use]
    pub fn class(&self) -> Class {
        Class::Invalid
    }
}

impl From<String> for RuleError {
    fn from(message: String) -> Self {
        Self { message }
    }
}

/// Validates the body of a rule creation. Unknown keys at the top are ignored; null and absent are the same there.
///
/// # Errors
/// With the texts of spec/introspection.md §1.7.7, §3.2 and §3.3.
pub fn parse(body: &Value) -> Result<NewRule, RuleError> {
    let map = document::check(body).map_err(|failure| failure.message)?;
    let id = match map.get("uuid") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) if text.is_empty() => None,
        Some(value) => {
            let id = value.as_str().and_then(uuid_like).map(RuleId);
            Some(id.ok_or_else(|| "Invalid UUID value".to_owned())?)
        }
    };
    let scope = optional_text(map, "scope")?.filter(|scope| !scope.is_empty());
    if scope.as_ref().is_some_and(|scope| scope.chars().count() > MAX_SCOPE) {
        return Err("Invalid scope: the length of the scope should be within 255 characters".to_owned().into());
    }
    let description = optional_text(map, "description")?;
    let conditions = match map.get("conditions") {
        None => Vec::new(),
        Some(conditions) => schema::array(conditions)
            .map_err(|reason| format!("Validation failed for conditions: {reason}"))?
            .iter()
            .map(Condition::parse)
            .collect::<Result<_, _>>()?,
    };
    Ok(NewRule { id, description, scope, conditions, actions: action::parse_all(map.get("actions"))? })
}

fn optional_text(map: &Map<String, Value>, key: &str) -> Result<Option<String>, RuleError> {
    match map.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(other) => Err(format!("Invalid {key}: expected a string, got {}", python::type_name(other)).into()),
    }
}

impl NewRule {
    /// The rule with that id. The caller uses [`NewRule::id`] where there is one.
    #[must_use]
    pub fn with_id(self, id: RuleId) -> Rule {
        let Self { description, scope, conditions, actions, .. } = self;
        Rule { id, description, scope, conditions, actions }
    }
}

impl Rule {
    /// The rule as the API shows it in full, without links, which depend on where the API is mounted. It is also what
    /// is stored: [`Rule::from_stored`] reads it.
    #[must_use]
    pub fn representation(&self) -> Value {
        json!({
            "uuid": self.id.to_string(),
            "description": self.description,
            "scope": self.scope,
            "conditions": self.conditions.iter().map(Condition::representation).collect::<Vec<_>>(),
            "actions": self.actions.iter().map(Action::representation).collect::<Vec<_>>(),
        })
    }

    /// Reads [`Rule::representation`] back.
    ///
    /// # Errors
    /// As [`parse`]; also if there is no id. A rule that was valid once can only fail here after a manager was
    /// replaced by an older one that knows fewer operators or actions.
    pub fn from_stored(stored: &Value) -> Result<Self, RuleError> {
        let rule = parse(stored)?;
        let id = rule.id.ok_or_else(|| "Invalid UUID value".to_owned())?;
        Ok(rule.with_id(id))
    }
}

#[cfg(test)]
mod tests;
