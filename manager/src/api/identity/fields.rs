//! Reading JSON objects field by field, so that every refusal names the field and the rule.

use serde_json::{Map, Value};

use super::failure::Failure;
use crate::api::json::kind;

type Result<T> = std::result::Result<T, Failure>;

/// An object that is being read. What was read is gone from it; [`Fields::finish`] refuses what nobody knows.
#[derive(Debug)]
pub(super) struct Fields {
    path: String,
    map: Map<String, Value>,
}

impl Fields {
    /// A whole body.
    pub(super) fn of(body: Value) -> Result<Self> {
        match body {
            Value::Object(map) => Ok(Self { path: String::new(), map }),
            other => Err(Failure::invalid("body", &format!("must be a JSON object, not {}", kind(&other)))),
        }
    }

    /// The object `{name: {…}}` of which a body consists.
    pub(super) fn only(body: Value, name: &str) -> Result<Self> {
        let mut outer = Self::of(body)?;
        let inner = outer.object(name)?;
        outer.finish()?;
        Ok(inner)
    }

    /// The full name of a field, for messages.
    pub(super) fn name(&self, field: &str) -> String {
        if self.path.is_empty() { field.to_owned() } else { format!("{}.{field}", self.path) }
    }

    /// The refusal of a field.
    pub(super) fn invalid(&self, field: &str, rule: &str) -> Failure {
        Failure::invalid(&self.name(field), rule)
    }

    fn wrong(&self, field: &str, expected: &str, found: &Value) -> Failure {
        self.invalid(field, &format!("must be {expected}, not {}", kind(found)))
    }

    fn required(&self, field: &str) -> Failure {
        self.invalid(field, "is required")
    }

    /// Takes a field; `null` is as good as none.
    pub(super) fn take(&mut self, field: &str) -> Option<Value> {
        self.map.remove(field).filter(|value| !value.is_null())
    }

    /// Whether the field is there, even as `null`.
    pub(super) fn has(&self, field: &str) -> bool {
        self.map.contains_key(field)
    }

    /// An object that may be left out.
    pub(super) fn maybe_object(&mut self, field: &str) -> Result<Option<Self>> {
        match self.take(field) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(Self { path: self.name(field), map })),
            Some(other) => Err(self.wrong(field, "an object", &other)),
        }
    }

    /// An object.
    pub(super) fn object(&mut self, field: &str) -> Result<Self> {
        self.maybe_object(field)?.ok_or_else(|| self.required(field))
    }

    /// A text that may be left out.
    pub(super) fn maybe_text(&mut self, field: &str) -> Result<Option<String>> {
        match self.take(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong(field, "a string", &other)),
        }
    }

    /// A text.
    pub(super) fn text(&mut self, field: &str) -> Result<String> {
        self.maybe_text(field)?.ok_or_else(|| self.required(field))
    }

    /// A truth value that may be left out.
    pub(super) fn maybe_flag(&mut self, field: &str) -> Result<Option<bool>> {
        match self.take(field) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(other) => Err(self.wrong(field, "true or false", &other)),
        }
    }

    /// A list that may be left out.
    pub(super) fn maybe_list(&mut self, field: &str) -> Result<Option<Vec<Value>>> {
        match self.take(field) {
            None => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items)),
            Some(other) => Err(self.wrong(field, "a list", &other)),
        }
    }

    /// A value of this object that was taken, or an item of it, as an object; `field` may be `roles[2]`.
    pub(super) fn item_of(&self, field: &str, item: Value) -> Result<Self> {
        match item {
            Value::Object(map) => Ok(Self { path: self.name(field), map }),
            other => Err(self.wrong(field, "an object", &other)),
        }
    }

    /// A field of the original that has no meaning here: it may be there, if it says nothing.
    pub(super) fn vacant(&mut self, field: &str) -> Result<()> {
        let vacant = match self.take(field) {
            None | Some(Value::Bool(false)) => true,
            Some(Value::Object(map)) => map.is_empty(),
            Some(Value::Array(items)) => items.is_empty(),
            Some(_) => false,
        };
        if vacant { Ok(()) } else { Err(self.invalid(field, "is not supported here; leave it out")) }
    }

    /// The domain of something that is made or changed: there is one.
    pub(super) fn one_domain(&mut self, field: &str) -> Result<()> {
        match self.maybe_text(field)?.as_deref() {
            None | Some(crate::identity::DOMAIN_ID) => Ok(()),
            Some(_) => Err(self.invalid(field, "must be default, the one domain there is")),
        }
    }

    /// Ends the reading.
    pub(super) fn finish(self) -> Result<()> {
        match self.map.keys().next() {
            None => Ok(()),
            Some(field) => Err(self.invalid(field, "is not a known field")),
        }
    }
}
