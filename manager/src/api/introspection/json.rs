//! Rendering: keys sorted, one newline at the end (spec/introspection.md §1.1).

use axum::body::Body;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;
use serde_json::Value;

pub(super) use crate::api::answer::raw;

/// A JSON answer.
pub(super) fn json(status: StatusCode, value: &Value) -> Response<Body> {
    let mut text = Vec::with_capacity(256);
    write_sorted(&mut text, value);
    text.push(b'\n');
    raw(status, text.into())
}

/// 202: the work goes on after the answer.
pub(super) fn accepted() -> Response<Body> {
    raw(StatusCode::ACCEPTED, Bytes::from_static(b"{}\n"))
}

/// 204, with a type nevertheless: some proxies of the dialect's users choke on an answer without one.
pub(super) fn no_content() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    response
}

/// Appends a text, a number or any other value as it is.
pub(super) fn write<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    // Texts, numbers and JSON values written to memory: nothing there can fail.
    let _infallible = serde_json::to_writer(out, value);
}

/// Appends a value with the keys of all objects sorted. Its depth must be bounded, as that of everything parsed is.
fn write_sorted(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_sorted(out, item);
            }
            out.push(b']');
        }
        Value::Object(map) => {
            let mut entries: Vec<(&String, &Value)> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            out.push(b'{');
            for (index, (key, item)) in entries.into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(out, key);
                out.push(b':');
                write_sorted(out, item);
            }
            out.push(b'}');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => write(out, value),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_sorted_on_every_level() {
        let mut text = Vec::new();
        write_sorted(&mut text, &json!({"b": [{"z": 1, "a": "\u{1}\""}], "a": null, "B": 1.5}));
        assert_eq!(String::from_utf8(text).unwrap(), r#"{"B":1.5,"a":null,"b":[{"a":"\u0001\"","z":1}]}"#);
    }
}
