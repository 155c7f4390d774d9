//! What is told of maintenance to those who are not its machines: who hears what, and how it is written
//! (spec/maintenance.md §4).
//!
//! Machines record events whose URLs are paths. Whoever delivers one puts the address of the manager in front
//! ([`linked`]) and writes it in the [`Form`] that is wanted; only the fields of §4 leave the house, not what else is known
//! of the cause.

pub mod aodh;
mod audience;

pub use super::session::event::{HOST, SCHEDULED, SESSION, STALLED};
pub use audience::{Audience, Narrowing};

use hostler_common::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::{Builder, Uuid};

use crate::cloudevent;
use crate::event::Recorded;

/// To administrators: a flag of a Ceph cluster is set for long (§8.3).
pub const FLAG_OLD: &str = "maintenance.flag_old";

/// To administrators: a host is held with its storage as it is (§8.6).
pub const STORAGE_HELD: &str = "maintenance.storage_held";

/// The other name that some give to [`SCHEDULED`]: it is never told, and asking for it is asking for that (§4.1).
pub const PLANNED: &str = "maintenance.planned";

/// Every kind of event that is told, the one for projects first.
pub const KINDS: [&str; 6] = [SCHEDULED, HOST, SESSION, STALLED, FLAG_OLD, STORAGE_HELD];

/// The name of whoever tells it, as upstream has it.
const PUBLISHER: &str = "fenix";

/// What the store adds to particulars of any event, and what is nobody's business outside.
const CAUSE: [&str; 2] = ["from", "request_id"];

/// What stands in the first half of the ids of messages: the second is the number of the event.
const MESSAGE: u64 = 0x686f_7374_6c65_7231;

/// How an event is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// CloudEvents 1.0, structured mode.
    #[default]
    Cloudevents,
    /// As an alarm of Aodh: what unchanged clients of upstream expect.
    Aodh,
    /// The envelope of upstream's own notifications around the payload.
    Plain,
}

impl Form {
    /// All forms.
    pub const ALL: [Self; 3] = [Self::Cloudevents, Self::Aodh, Self::Plain];

    /// The stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cloudevents => "cloudevents",
            Self::Aodh => "aodh",
            Self::Plain => "plain",
        }
    }

    /// The form of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.name() == name)
    }

    /// The media type of a body in this form.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Cloudevents => cloudevent::MEDIA_TYPE,
            Self::Aodh | Self::Plain => "application/json",
        }
    }
}

/// Whether an event is told as one of maintenance.
#[must_use]
pub fn is_notice(kind: &str) -> bool {
    KINDS.contains(&kind)
}

/// The same with URLs that lead to the manager at `base`, such as `https://mgr.example:12347`.
#[must_use]
pub fn linked(mut event: Recorded, base: &str) -> Recorded {
    if event.kind != SCHEDULED {
        return event;
    }
    for name in ["reply_url", "instance_ids"] {
        if let Some(Value::String(path)) = event.data.get_mut(name)
            && path.starts_with('/')
        {
            path.insert_str(0, base.trim_end_matches('/'));
        }
    }
    event
}

/// The payload of §4.2 to §4.4.
#[must_use]
pub fn payload(event: &Recorded) -> Map<String, Value> {
    let mut payload = event.data.as_object().cloned().unwrap_or_default();
    for name in CAUSE {
        payload.remove(name);
    }
    payload
}

/// The id under which an event is known in messages of other systems. It is the same each time that the event is sent.
#[must_use]
pub fn message_id(event: &Recorded) -> Uuid {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&MESSAGE.to_be_bytes());
    bytes[8..].copy_from_slice(&event.number.0.to_be_bytes());
    Builder::from_custom_bytes(bytes).into_uuid()
}

/// An event as a CloudEvent: `source` is the session, `subject` the host, the instance or the project (§4.6). Number and
/// source together are unique.
#[must_use]
pub fn cloudevent(event: &Recorded) -> Value {
    let payload = payload(event);
    let text = |name: &str| payload.get(name).and_then(Value::as_str).map(str::to_owned);
    let session = text("session_id").unwrap_or_default();
    let one = match payload.get("instance_ids") {
        Some(Value::Array(ids)) if ids.len() == 1 => ids[0].as_str().map(str::to_owned),
        _ => None,
    };
    let subject = if event.kind == SCHEDULED { one.or_else(|| text("project_id")) } else { text("host") };
    let mut all = Map::new();
    let mut put = |name: &str, value: Value| all.insert(name.to_owned(), value);
    put("specversion", cloudevent::SPEC_VERSION.into());
    put("id", event.number.to_string().into());
    put("source", format!("/v1/maintenance/{session}").into());
    put("type", event.kind.clone().into());
    put("time", event.at.rfc3339().into());
    if let Some(subject) = subject.filter(|subject| !subject.is_empty()) {
        put("subject", subject.into());
    }
    put("datacontenttype", "application/json".into());
    put("data", payload.into());
    all.into()
}

/// An event in the envelope of upstream's notifications (§4.1).
#[must_use]
pub fn plain(event: &Recorded) -> Value {
    json!({
        "priority": "info",
        "event_type": event.kind,
        "timestamp": moment(event.at),
        "publisher_id": PUBLISHER,
        "message_id": message_id(event),
        "payload": payload(event),
    })
}

fn moment(at: Timestamp) -> String {
    at.naive().replace('T', " ")
}

#[cfg(test)]
mod tests;
