//! Bodies taken apart field by field, so that every refusal names its field and its rule (spec/maintenance.md §1.2: 422).

use bytes::Bytes;
use hostler_common::time::Timestamp;
use hostler_core::maintenance::constraint::lenient_truth;
use serde_json::{Map, Value};

use super::error::{Failure, shown};
use super::moment;
use crate::api::bounded::commas;
use crate::api::json::kind;

/// More values than this are not looked at.
const VALUES_MAX: usize = 100_000;

/// The object that a body consists of.
///
/// # Errors
/// 400 where it is not JSON, 422 where it is no object.
pub(super) fn object(body: &Bytes) -> Result<Map<String, Value>, Failure> {
    if commas(body) >= VALUES_MAX {
        return Err(Failure::invalid(format!("the body has more than {VALUES_MAX} values")));
    }
    let value =
        serde_json::from_slice(body).map_err(|error| Failure::unreadable(format!("the body is not JSON: {error}")))?;
    match value {
        Value::Object(map) => Ok(map),
        other => Err(Failure::invalid(format!("the body must be an object, is {}", kind(&other)))),
    }
}

/// An object whose fields are taken one by one; [`Fields::finish`] refuses what is left. Null counts as absent.
#[derive(Debug)]
pub(super) struct Fields {
    left: Map<String, Value>,
    /// What stands before the names of fields in errors: empty, or `actions[2].`.
    prefix: String,
}

impl Fields {
    /// The fields of a body.
    pub(super) fn new(object: Map<String, Value>) -> Self {
        Self { left: object, prefix: String::new() }
    }

    /// The fields of an object inside a body, which errors call `name`.
    ///
    /// # Errors
    /// It is no object.
    pub(super) fn within(name: &str, value: Value) -> Result<Self, Failure> {
        match value {
            Value::Object(left) => Ok(Self { left, prefix: format!("{name}.") }),
            other => Err(Failure::field(name, format_args!("must be an object, is {}", kind(&other)))),
        }
    }

    /// The name of a field in errors.
    pub(super) fn name(&self, field: &str) -> String {
        format!("{}{field}", self.prefix)
    }

    /// A refusal of a field.
    pub(super) fn wrong(&self, field: &str, rule: impl std::fmt::Display) -> Failure {
        Failure::field(&self.name(field), rule)
    }

    /// The value of a field.
    pub(super) fn take(&mut self, field: &str) -> Option<Value> {
        self.left.shift_remove(field).filter(|value| !value.is_null())
    }

    /// A text of at most `max` characters, without control characters but line breaks and tabs.
    ///
    /// # Errors
    /// 422.
    pub(super) fn text(&mut self, field: &str, max: usize) -> Result<Option<String>, Failure> {
        let Some(value) = self.take(field) else { return Ok(None) };
        checked(&self.name(field), value, max).map(Some)
    }

    /// A list of different texts that are not empty.
    ///
    /// # Errors
    /// 422.
    pub(super) fn texts(&mut self, field: &str, count: usize, max: usize) -> Result<Vec<String>, Failure> {
        let mut texts: Vec<String> = Vec::new();
        for (index, value) in self.list(field, count)?.into_iter().enumerate() {
            let name = format!("{}[{index}]", self.name(field));
            let text = checked(&name, value, max)?;
            if text.is_empty() {
                return Err(Failure::field(&name, "must not be empty"));
            }
            if texts.contains(&text) {
                return Err(Failure::field(&name, format_args!("{:?} is named twice", shown(&text))));
            }
            texts.push(text);
        }
        Ok(texts)
    }

    /// A list of at most `count` values; absent is empty.
    ///
    /// # Errors
    /// 422.
    pub(super) fn list(&mut self, field: &str, count: usize) -> Result<Vec<Value>, Failure> {
        match self.take(field) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) if items.len() > count => {
                Err(self.wrong(field, format_args!("may have at most {count} entries, has {}", items.len())))
            }
            Some(Value::Array(items)) => Ok(items),
            Some(other) => Err(self.wrong(field, format_args!("must be a list, is {}", kind(&other)))),
        }
    }

    /// An object of at most `max` bytes as JSON; absent is empty.
    ///
    /// # Errors
    /// 422.
    pub(super) fn object(&mut self, field: &str, max: usize) -> Result<Map<String, Value>, Failure> {
        match self.take(field) {
            None => Ok(Map::new()),
            Some(Value::Object(map)) => {
                let size = serde_json::to_string(&map).map_or(usize::MAX, |text| text.len());
                if size > max {
                    return Err(self.wrong(field, format_args!("may have at most {max} bytes, has {size}")));
                }
                Ok(map)
            }
            Some(other) => Err(self.wrong(field, format_args!("must be an object, is {}", kind(&other)))),
        }
    }

    /// A truth value, also as a text.
    ///
    /// # Errors
    /// 422.
    pub(super) fn truth(&mut self, field: &str) -> Result<Option<bool>, Failure> {
        let Some(value) = self.take(field) else { return Ok(None) };
        lenient_truth(&value).map(Some).ok_or_else(|| self.wrong(field, "must be true or false"))
    }

    /// A moment.
    ///
    /// # Errors
    /// 422.
    pub(super) fn moment(&mut self, field: &str) -> Result<Option<Timestamp>, Failure> {
        let Some(value) = self.take(field) else { return Ok(None) };
        let read = value.as_str().and_then(moment::parse);
        let rule = "must be a time such as \"2031-04-12 22:00:00\" (UTC) or \"2031-04-12T22:00:00Z\"";
        read.map(Some).ok_or_else(|| self.wrong(field, rule))
    }

    /// Refuses fields that mean nothing; those that begin with `x-` are the caller's own affair.
    ///
    /// # Errors
    /// 422 with the first of them.
    pub(super) fn finish(self) -> Result<(), Failure> {
        let unknown = self.left.keys().find(|name| !name.starts_with("x-"));
        unknown.map_or(Ok(()), |name| Err(self.wrong(&shown(name), "is not a field here")))
    }
}

fn checked(name: &str, value: Value, max: usize) -> Result<String, Failure> {
    match value {
        Value::String(text) if text.chars().count() > max => {
            Err(Failure::field(name, format_args!("may have at most {max} characters")))
        }
        Value::String(text) if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')) => {
            Err(Failure::field(name, "may not contain control characters"))
        }
        Value::String(text) => Ok(text),
        other => Err(Failure::field(name, format_args!("must be a text, is {}", kind(&other)))),
    }
}
