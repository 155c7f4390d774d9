//! Actions: the table of them, their validation and their effects on the node (spec/introspection.md §3.3).

mod attribute;
mod capability;
mod fail;
mod traits;

use serde_json::{Map, Value};

use super::format::Formatter;
use super::schema;
use crate::introspection::document::{Failure, python};
use crate::introspection::node::Node;

/// An action of a rule.
#[derive(Clone, Debug)]
pub struct Action {
    kind: &'static Kind,
    parameters: Map<String, Value>,
}

/// One kind of action: a row of [`KINDS`].
#[derive(Debug)]
struct Kind {
    name: &'static str,
    required: &'static [&'static str],
    optional: &'static [&'static str],
    /// Whether `value` must be there but may be null.
    nullable_value: bool,
    /// Whether `value` is formatted with the document.
    formatted: bool,
    apply: fn(&Parameters<'_>, &mut Node) -> Result<(), Failure>,
}

static KINDS: [Kind; 6] = [
    Kind {
        name: "fail",
        required: &["message"],
        optional: &[],
        nullable_value: false,
        formatted: false,
        apply: fail::apply,
    },
    Kind {
        name: "set-attribute",
        required: &["path"],
        optional: &["value", "reset_interfaces"],
        nullable_value: true,
        formatted: true,
        apply: attribute::set,
    },
    Kind {
        name: "set-capability",
        required: &["name"],
        optional: &["value"],
        nullable_value: false,
        formatted: true,
        apply: capability::set,
    },
    Kind {
        name: "extend-attribute",
        required: &["path", "value"],
        optional: &["unique"],
        nullable_value: false,
        formatted: true,
        apply: attribute::extend,
    },
    Kind {
        name: "add-trait",
        required: &["name"],
        optional: &[],
        nullable_value: false,
        formatted: false,
        apply: traits::add,
    },
    Kind {
        name: "remove-trait",
        required: &["name"],
        optional: &[],
        nullable_value: false,
        formatted: false,
        apply: traits::remove,
    },
];

/// Parameters that are texts wherever they occur.
const TEXTS: [&str; 2] = ["path", "name"];

/// The parameters of an action that is being applied, its `value` formatted.
struct Parameters<'a> {
    given: &'a Map<String, Value>,
    value: Value,
}

impl Parameters<'_> {
    /// A parameter of [`TEXTS`], which validation has found to be one.
    fn text(&self, key: &str) -> &str {
        self.given.get(key).and_then(Value::as_str).unwrap_or_default()
    }
}

/// Reads the actions of a rule. The depth of `json` must be bounded.
pub(super) fn parse_all(json: Option<&Value>) -> Result<Vec<Action>, String> {
    let invalid = |reason: String| format!("Validation failed for actions: {reason}");
    let json = json.ok_or_else(|| invalid("'actions' is a required property".to_owned()))?;
    let items = schema::array(json).map_err(invalid)?;
    if items.is_empty() {
        return Err(invalid("[] is too short".to_owned()));
    }
    items.iter().map(Action::parse).collect()
}

impl Action {
    fn parse(json: &Value) -> Result<Self, String> {
        let invalid = |reason: String| format!("Validation failed for actions: {reason}");
        let map = schema::object(json).map_err(invalid)?;
        let kind = schema::required(map, "action")
            .and_then(|name| schema::one_of(name, &KINDS, |kind| kind.name))
            .map_err(invalid)?;
        kind.check(map).map_err(|reason| format!("Invalid parameters for action {}: {reason}", kind.name))?;
        let mut parameters = map.clone();
        parameters
            .retain(|key, value| key != "action" && (!value.is_null() || (kind.nullable_value && key == "value")));
        Ok(Self { kind, parameters })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.kind.name
    }

    /// As shown by the API.
    #[must_use]
    pub fn representation(&self) -> Value {
        let mut shown = Map::new();
        shown.insert("action".to_owned(), Value::from(self.kind.name));
        shown.extend(self.parameters.clone());
        Value::Object(shown)
    }

    /// Applies the action to the node.
    ///
    /// # Errors
    /// The value cannot be formatted, the node cannot take it, or the action is `fail`. The node is unchanged then.
    pub fn apply(&self, node: &mut Node, formatter: &mut Formatter<'_>) -> Result<(), Failure> {
        let value = self.parameters.get("value").unwrap_or(&Value::Null);
        let value = if self.kind.formatted { formatter.value(value)? } else { value.clone() };
        (self.kind.apply)(&Parameters { given: &self.parameters, value }, node)
    }
}

impl Kind {
    fn check(&self, map: &Map<String, Value>) -> Result<(), String> {
        if self.nullable_value && map.get("value").is_some_and(Value::is_null) {
            return self.check_present(map, &[]);
        }
        self.check_present(map, if self.nullable_value { &["value"] } else { &[] })
    }

    fn check_present(&self, map: &Map<String, Value>, also_required: &[&str]) -> Result<(), String> {
        let required: Vec<&str> = self.required.iter().chain(also_required).copied().collect();
        schema::parameters(map, &["action"], &required, self.optional)?;
        match TEXTS.iter().find(|key| map.get(**key).is_some_and(|value| !value.is_null() && !value.is_string())) {
            Some(key) => Err(format!("{key} must be a string, not {}", python::type_name(&map[*key]))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
