//! Events as CloudEvents 1.0 (spec/maintenance.md §4.6, docs/events.md).
//!
//! `id` is the number of the event and `source` names the installation, so the two together are unique everywhere, as the
//! standard asks for.

use serde_json::{Map, Value, json};

use crate::event::Recorded;

/// The version of the standard.
pub const SPEC_VERSION: &str = "1.0";

/// What stands before our kinds in the attribute `type`.
const TYPE_PREFIX: &str = "io.hostler.";

/// The media type of an event in structured mode.
pub const MEDIA_TYPE: &str = "application/cloudevents+json";

/// The longest name of an installation, in bytes.
const NAME_MAX: usize = 64;

/// Whether a text can name an installation: it becomes a part of a URI reference.
#[must_use]
pub fn name_fits(name: &str) -> bool {
    let sign = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(sign)
}

/// The attribute `source` of an installation of that name.
#[must_use]
pub fn source(name: &str) -> String {
    format!("/hostler/{name}")
}

/// The attributes of an event, in the order in which they are written.
fn attributes(name: &str, event: &Recorded) -> Vec<(&'static str, String)> {
    let mut all = vec![
        ("specversion", SPEC_VERSION.to_owned()),
        ("id", event.number.to_string()),
        ("source", source(name)),
        ("type", format!("{TYPE_PREFIX}{}", event.kind)),
        ("time", event.at.rfc3339()),
    ];
    // The standard has no empty attributes.
    if !event.subject.is_empty() {
        all.push(("subject", event.subject.clone()));
    }
    if let Some(actor) = event.actor.as_ref().filter(|actor| !actor.is_empty()) {
        all.push(("actor", actor.clone()));
    }
    all.push(("severity", event.severity().name().to_owned()));
    all
}

/// An event in structured mode: one JSON object with its attributes and its particulars.
#[must_use]
pub fn structured(name: &str, event: &Recorded) -> Value {
    let mut object: Map<String, Value> =
        attributes(name, event).into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
    object.insert("datacontenttype".into(), "application/json".into());
    object.insert("data".into(), event.data.clone());
    object.into()
}

/// The headers of an event in binary mode, whose body is its particulars alone.
#[must_use]
pub fn headers(name: &str, event: &Recorded) -> Vec<(String, String)> {
    attributes(name, event).into_iter().map(|(key, value)| (format!("ce-{key}"), header_text(&value))).collect()
}

/// A value as the HTTP binding writes it: what is not printable ASCII, and `"` and `%`, percent-encoded.
fn header_text(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        if (0x21..0x7f).contains(&byte) && !matches!(byte, b'"' | b'%') {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// An event as the native API shows it: `Event` of docs/native-api.md.
#[must_use]
pub fn native(event: &Recorded) -> Value {
    json!({
        "number": event.number, "at": event.at.rfc3339(), "kind": event.kind, "subject": event.subject,
        "actor": event.actor, "data": event.data,
    })
}

#[cfg(test)]
mod tests {
    use hostler_common::id::EventNumber;
    use hostler_common::time::Timestamp;

    use super::*;

    fn event() -> Recorded {
        Recorded {
            number: EventNumber(7),
            at: Timestamp::from_micros(1_767_323_045_678_901),
            kind: "host.identity_changed".into(),
            subject: "höst \"7\"".into(),
            actor: Some("user:admin".into()),
            data: json!({ "severity": "alarm", "n": 1 }),
        }
    }

    #[test]
    fn structured_mode_has_every_attribute() {
        assert_eq!(
            structured("main", &event()),
            json!({
                "specversion": "1.0", "id": "7", "source": "/hostler/main", "type": "io.hostler.host.identity_changed",
                "time": "2026-01-02T03:04:05.678901Z", "subject": "höst \"7\"", "actor": "user:admin",
                "severity": "alarm", "datacontenttype": "application/json", "data": { "severity": "alarm", "n": 1 },
            })
        );
    }

    #[test]
    fn attributes_are_never_empty() {
        let bare = Recorded { subject: String::new(), actor: None, data: json!(null), ..event() };
        let object = structured("main", &bare);
        assert!(object.get("subject").is_none() && object.get("actor").is_none());
        assert_eq!((&object["severity"], &object["data"]), (&json!("info"), &Value::Null));
    }

    #[test]
    fn binary_mode_encodes_what_headers_cannot_hold() {
        let headers = headers("main", &event());
        let find = |name: &str| headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        assert_eq!(find("ce-id"), Some("7"));
        assert_eq!(find("ce-subject"), Some("h%C3%B6st%20%227%22"));
        assert_eq!(find("ce-type"), Some("io.hostler.host.identity_changed"));
    }

    #[test]
    fn names_are_parts_of_uris() {
        for (name, fits) in [("main", true), ("eu-1.prod_a", true), ("", false), ("a b", false), ("a/b", false)] {
            assert_eq!(name_fits(name), fits, "{name}");
        }
        assert!(!name_fits(&"a".repeat(65)));
    }
}
