//! Bodies of requests: read within the limits, and taken apart field by field so that every refusal names its field.

use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Map, Value};

use super::error::{Error, Result};
use crate::api::json::kind;

/// The largest body, in bytes.
pub const BODY_MAX: usize = 1 << 20;

/// A JSON document of any kind.
#[derive(Clone, Debug)]
pub struct Document(pub Value);

impl<S: Send + Sync> FromRequest<S> for Document {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self> {
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| {
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                let text = format!("the body is larger than {BODY_MAX} bytes");
                return Error::new(StatusCode::PAYLOAD_TOO_LARGE, text);
            }
            Error::new(StatusCode::BAD_REQUEST, "the body ended before its announced length")
        })?;
        read(&bytes).map(Self)
    }
}

/// Reads a body; an empty one counts as an empty object.
fn read(bytes: &[u8]) -> Result<Value> {
    let refuse = |text: String| Error::new(StatusCode::BAD_REQUEST, text);
    let text = std::str::from_utf8(bytes)
        .map_err(|error| refuse(format!("the body is not UTF-8 from byte {} on", error.valid_up_to())))?;
    if text.trim().is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    serde_json::from_str(text).map_err(|error| {
        if error.to_string().starts_with("recursion limit") {
            return refuse("the body is nested deeper than 128 levels".into());
        }
        refuse(format!("the body is not JSON: {error}"))
    })
}

/// A JSON object whose fields are taken one by one; [`Fields::finish`] refuses what is left.
#[derive(Clone, Debug)]
pub struct Fields {
    left: Map<String, Value>,
    known: Vec<&'static str>,
}

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self> {
        Self::of(Document::from_request(request, state).await?.0)
    }
}

impl Fields {
    /// The fields of a document.
    ///
    /// # Errors
    /// It is not an object.
    pub fn of(document: Value) -> Result<Self> {
        match document {
            Value::Object(left) => Ok(Self { left, known: Vec::new() }),
            other => {
                let text = format!("the body must be an object, is {}", kind(&other));
                Err(Error::new(StatusCode::BAD_REQUEST, text))
            }
        }
    }

    /// The value of a field; `None` if it is absent.
    pub fn take(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.left.shift_remove(name)
    }

    /// A text of at most `max` bytes; outer `None` if absent, inner `None` if null.
    ///
    /// # Errors
    /// It is something else, too long, or holds control characters other than line breaks and tabs.
    pub fn nullable_text(&mut self, name: &'static str, max: usize) -> Result<Option<Option<String>>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(Value::String(text)) => checked_text(name, text, max).map(|text| Some(Some(text))),
            Some(other) => Err(Error::field(name, format_args!("must be a text, is {}", kind(&other)))),
        }
    }

    /// A text of at most `max` bytes; null counts as absent.
    ///
    /// # Errors
    /// See [`Fields::nullable_text`].
    pub fn text(&mut self, name: &'static str, max: usize) -> Result<Option<String>> {
        Ok(self.nullable_text(name, max)?.flatten())
    }

    /// A text that must be there.
    ///
    /// # Errors
    /// It is absent; see [`Fields::nullable_text`].
    pub fn required_text(&mut self, name: &'static str, max: usize) -> Result<String> {
        self.text(name, max)?.ok_or_else(|| Error::field(name, "is required"))
    }

    /// An integer from `least` to `most`; null counts as absent.
    ///
    /// # Errors
    /// It is something else.
    pub fn integer(&mut self, name: &'static str, least: i64, most: i64) -> Result<Option<i64>> {
        let rule = || format!("must be an integer from {least} to {most}");
        match self.take(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_i64() {
                Some(number) if (least..=most).contains(&number) => Ok(Some(number)),
                Some(number) => Err(Error::field(name, format_args!("{}, is {number}", rule()))),
                None => Err(Error::field(name, format_args!("{}, is {}", rule(), kind(&value)))),
            },
        }
    }

    /// A list of at most `count` texts of at most `max` bytes each, without repetitions; null counts as absent.
    ///
    /// # Errors
    /// It is something else, too long, or an entry is.
    pub fn texts(&mut self, name: &'static str, count: usize, max: usize) -> Result<Option<Vec<String>>> {
        let items = match self.take(name) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Array(items)) => items,
            Some(other) => {
                return Err(Error::field(name, format_args!("must be a list of texts, is {}", kind(&other))));
            }
        };
        if items.len() > count {
            return Err(Error::field(name, format_args!("may have at most {count} entries, has {}", items.len())));
        }
        let mut texts: Vec<String> = Vec::with_capacity(items.len());
        for item in items {
            let Value::String(text) = item else {
                return Err(Error::field(name, format_args!("must be a list of texts, has {}", kind(&item))));
            };
            let text = checked_text(name, text, max)?;
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        Ok(Some(texts))
    }

    /// Refuses fields that nobody asked for.
    ///
    /// # Errors
    /// There is one.
    pub fn finish(self) -> Result<()> {
        match self.left.keys().next() {
            None => Ok(()),
            Some(name) => {
                let known = if self.known.is_empty() { "none".to_owned() } else { self.known.join(", ") };
                Err(Error::field(&shown(name), format_args!("is not a field here; fields are: {known}")))
            }
        }
    }
}

fn checked_text(name: &str, text: String, max: usize) -> Result<String> {
    if text.len() > max {
        return Err(Error::field(name, format_args!("may have at most {max} bytes, has {}", text.len())));
    }
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
        return Err(Error::field(name, "may not contain control characters"));
    }
    Ok(text)
}

/// A name from the caller, as far as an error text shows it.
pub(super) fn shown(name: &str) -> String {
    let clipped = hostler_common::text::clip(name, 64);
    clipped.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
