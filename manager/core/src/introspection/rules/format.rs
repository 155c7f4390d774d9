//! Formatting of the `value` of an action: Python's format language with the single variable `data`
//! (spec/introspection.md §3.4).
//!
//! Only lookups in the document are possible, never attributes of anything else. What one run may produce is limited,
//! as `{data}` turns few bytes of a rule into a whole document.

mod spec;

use serde_json::{Map, Value};

use crate::introspection::document::{Failure, python};
use spec::Spec;

/// How many bytes the formatting of one run may produce.
const MAX_OUTPUT: usize = 16 << 20;

/// Formats values with one document.
#[derive(Debug)]
pub struct Formatter<'a> {
    data: &'a Value,
    left: usize,
}

/// Why a text cannot be formatted.
enum Problem {
    /// Something that is looked up is not there.
    Missing(String),
    /// The format text itself, or a format that does not fit the value.
    Format(String),
}

fn format_problem<T>(reason: impl Into<String>) -> Result<T, Problem> {
    Err(Problem::Format(reason.into()))
}

impl<'a> Formatter<'a> {
    /// A formatter for one run over the processed document `data`, whose depth must be bounded.
    #[must_use]
    pub fn new(data: &'a Value) -> Self {
        Self { data, left: MAX_OUTPUT }
    }

    /// Formats all texts in `value`, those in lists and those in objects, keys included. Other values stay.
    ///
    /// # Errors
    /// `Invalid formatting variable key provided in value <v>: <key>`, or `Invalid format string in value <v>: <why>`.
    pub fn value(&mut self, value: &Value) -> Result<Value, Failure> {
        Ok(match value {
            Value::String(text) => Value::String(self.text(text)?),
            Value::Array(items) => Value::Array(items.iter().map(|item| self.value(item)).collect::<Result<_, _>>()?),
            Value::Object(map) => {
                let mut formatted = Map::new();
                for (key, item) in map {
                    formatted.insert(self.text(key)?, self.value(item)?);
                }
                Value::Object(formatted)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        })
    }

    fn text(&mut self, text: &str) -> Result<String, Failure> {
        let formatted = self.expand(text).map_err(|problem| {
            Failure::new(match problem {
                Problem::Missing(key) => format!("Invalid formatting variable key provided in value {text}: {key}"),
                Problem::Format(reason) => format!("Invalid format string in value {text}: {reason}"),
            })
        })?;
        self.left = self.left.checked_sub(formatted.len()).ok_or_else(|| {
            Failure::new(format!("Formatting the values of one run gives more than {MAX_OUTPUT} bytes"))
        })?;
        Ok(formatted)
    }

    fn expand(&self, text: &str) -> Result<String, Problem> {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            out.push_str(&rest[..at]);
            let (brace, after) = rest[at..].split_at(1);
            if let Some(after) = after.strip_prefix(brace) {
                out.push_str(brace);
                rest = after;
                continue;
            }
            if brace == "}" {
                return format_problem("single '}' encountered in format string");
            }
            let Some(end) = after.find('}') else { return format_problem("expected '}' before end of string") };
            let field = &after[..end];
            if field.contains('{') {
                return format_problem("fields within fields are not supported");
            }
            out.push_str(&self.field(field)?);
            if out.len() > self.left {
                return Ok(out);
            }
            rest = &after[end + 1..];
        }
        out.push_str(rest);
        Ok(out)
    }

    /// One field without its braces: lookup, conversion, format.
    fn field(&self, field: &str) -> Result<String, Problem> {
        let (value, rest) = self.look_up(field)?;
        let (shown, rest) = match rest.strip_prefix('!') {
            None => (None, rest),
            Some(rest) => match rest.split_at_checked(1) {
                Some(("s", rest)) => (Some(Value::String(python::str(value))), rest),
                Some(("r", rest)) => (Some(Value::String(python::repr(value))), rest),
                _ => return format_problem("only the conversions !s and !r are supported"),
            },
        };
        let spec = match rest.strip_prefix(':') {
            Some(spec) => spec,
            None if rest.is_empty() => "",
            None => return format_problem("expected ':' after conversion specifier"),
        };
        let value = shown.as_ref().unwrap_or(value);
        if spec.is_empty() {
            return Ok(python::str(value));
        }
        Spec::parse(spec).and_then(|spec| spec.apply(value)).map_err(Problem::Format)
    }

    /// The value that a field names, and what follows the name.
    fn look_up<'f>(&self, field: &'f str) -> Result<(&'a Value, &'f str), Problem> {
        let end = field.find(['.', '[', '!', ':']).unwrap_or(field.len());
        let (name, mut rest) = field.split_at(end);
        if name != "data" {
            return Err(Problem::Missing(name.to_owned()));
        }
        let mut value = self.data;
        loop {
            let key;
            if let Some(after) = rest.strip_prefix('[') {
                let Some(end) = after.find(']') else { return format_problem("expected ']' before end of string") };
                (key, rest) = (&after[..end], &after[end + 1..]);
                if !rest.is_empty() && !rest.starts_with(['.', '[', '!', ':']) {
                    return format_problem("only '.' or '[' may follow ']'");
                }
            } else if let Some(after) = rest.strip_prefix('.') {
                let end = after.find(['.', '[', '!', ':']).unwrap_or(after.len());
                (key, rest) = after.split_at(end);
            } else {
                return Ok((value, rest));
            }
            if key.is_empty() {
                return format_problem("empty attribute in format string");
            }
            value = item(value, key).ok_or_else(|| Problem::Missing(key.to_owned()))?;
        }
    }
}

/// `value[key]`, and the same for `value.key`: digits are an index and never the key of an object, as in Python.
fn item<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    let digits = key.bytes().all(|b| b.is_ascii_digit());
    match value {
        Value::Object(map) if !digits => map.get(key),
        Value::Array(items) if digits => key.parse::<usize>().ok().and_then(|index| items.get(index)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
