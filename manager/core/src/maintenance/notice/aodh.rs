//! Events as Aodh sends them when an event alarm fires (§4.5): what clients expect that were written for upstream.
//!
//! Traits are flat and short there. A value that is no text travels as one, written so that a reader of JSON and a reader of
//! YAML get the same out of it; one that is too long gives way to a link.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{message_id, payload};
use crate::event::Recorded;
use crate::maintenance::session::event::{HOST, SCHEDULED};

/// The longest value of a trait, in characters.
pub const TRAIT_MAX: usize = 255;

/// Types of traits.
const TEXT: u8 = 1;
const INTEGER: u8 = 2;
const MOMENT: u8 = 4;

/// The traits of an event, in their order.
fn names(kind: &str) -> &'static [&'static str] {
    match kind {
        SCHEDULED => &[
            "service",
            "allowed_actions",
            "instance_ids",
            "reply_url",
            "state",
            "session_id",
            "actions_at",
            "project_id",
            "reply_at",
            "metadata",
        ],
        HOST => &["host", "project_id", "session_id", "state"],
        _ => &["service", "session_id", "host", "state", "percent_done", "phase", "project_id"],
    }
}

/// The body of a request for an event. Links of the event are whole already; `base` is what others begin with.
#[must_use]
pub fn alarm(event: &Recorded, alarm: Uuid, name: &str, base: &str) -> Value {
    json!({
        "alarm_id": alarm,
        "alarm_name": name,
        "severity": "low",
        "previous": "alarm",
        "current": "alarm",
        "reason": format!("Event {} hits the query of alarm {name}", event.kind),
        "reason_data": {
            "type": "event",
            "event": {
                "message_id": message_id(event),
                "event_type": event.kind,
                "generated": event.at.rfc3339(),
                "traits": traits(event, base),
                "raw": {},
                // The one of Ceilometer, which is empty where its messages are not signed. The request is.
                "message_signature": "",
            },
        },
    })
}

fn traits(event: &Recorded, base: &str) -> Vec<Value> {
    let payload = payload(event);
    let mut traits = Vec::new();
    for &name in names(&event.kind) {
        let (kind, value): (u8, Value) = match payload.get(name) {
            None | Some(Value::Null) => continue,
            Some(Value::String(text)) if name.ends_with("_at") => (MOMENT, iso(text).into()),
            Some(Value::String(text)) => (TEXT, clipped(text).into()),
            Some(Value::Number(number)) => (INTEGER, number.clone().into()),
            Some(value) => (TEXT, flow(value).into()),
        };
        let long = value.as_str().is_some_and(|text| text.chars().count() > TRAIT_MAX);
        let value = if long { instead(name, &payload, base).unwrap_or(value) } else { value };
        traits.push(json!([name, kind, value]));
    }
    traits
}

/// A link to where a value can be had that is too long, if there is one. A link to an answer has no other.
fn instead(name: &str, payload: &Map<String, Value>, base: &str) -> Option<Value> {
    let text = |name: &str| payload.get(name).and_then(Value::as_str).unwrap_or_default();
    let base = base.trim_end_matches('/');
    let of_project = format!("{base}/v1/maintenance/{}/{}", text("session_id"), segment(text("project_id")));
    match name {
        "metadata" => Some(flow(&json!({ "href": format!("{of_project}?metadata=true") })).into()),
        "instance_ids" => Some(of_project.into()),
        _ => None,
    }
}

/// `2031-04-12 22:10:40` as `2031-04-12T22:10:40Z`.
fn iso(blank: &str) -> String {
    format!("{}Z", blank.replacen(' ', "T", 1))
}

/// A link that is cut leads nowhere: only other texts are.
fn clipped(text: &str) -> String {
    match text.contains("://") {
        true => text.to_owned(),
        false => text.chars().take(TRAIT_MAX).collect(),
    }
}

/// A segment of a path.
#[must_use]
pub fn segment(text: &str) -> String {
    let mut all = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            all.push(char::from(byte));
        } else {
            all.push_str(&format!("%{byte:02X}"));
        }
    }
    all
}

/// A value as JSON that is also a flow of YAML: with blanks after colons and commas, and no sign that YAML does not know.
/// Stored values came through the parser, so their depth is bounded.
#[must_use]
pub fn flow(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let entry = |(key, value): (&String, &Value)| format!("{}: {}", quoted(key), flow(value));
            format!("{{{}}}", map.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
        Value::String(text) => quoted(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

fn quoted(text: &str) -> String {
    let mut all = String::with_capacity(text.len() + 2);
    for sign in Value::from(text).to_string().chars() {
        match sign {
            // Readers of YAML refuse these, or take them for line breaks.
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                all.push_str(&format!("\\u{:04x}", u32::from(sign)));
            }
            other => all.push(other),
        }
    }
    // One client takes `u'` out of everything, for the sake of old texts of another language: it must not occur.
    all.replace("u'", "\\u0075'")
}
