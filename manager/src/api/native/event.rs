//! Events: the numbered record of what happened.

use axum::Json;
use axum::extract::State;
use hostler_common::id::EventNumber;
use hostler_core::event::Filter;
use serde::Serialize;
use serde_json::Value;

use super::error::{Error, Result};
use super::filter;
use super::query::Query;
use crate::api::Api;
use crate::store::Connection;
use crate::store::event::{Record, event_list};

/// How large the particulars of all events of an answer may be together, in bytes. A page that reaches it ends early;
/// `last` says where the next one begins.
const PAGE_MAX: usize = 2 << 20;

/// How many events are looked at in one go for a filter, and how often: a page may end early, and even be empty.
const LOOK: u32 = 500;
const LOOKS: usize = 40;

/// `Event` of docs/native-api.md.
#[derive(Clone, Debug, Serialize)]
pub struct EventView {
    number: i64,
    at: String,
    kind: String,
    subject: String,
    actor: Option<String>,
    data: Value,
}

/// A page of events.
#[derive(Clone, Debug, Serialize)]
pub struct Events {
    data: Vec<EventView>,
    last: i64,
}

/// `GET /events`
///
/// # Errors
/// A parameter breaks a rule; see [`crate::store::Error`].
pub async fn list(State(api): State<Api>, mut query: Query) -> Result<Json<Events>> {
    let after = match query.take("after")? {
        None => 0,
        Some(text) => {
            let read = text.parse().ok().filter(|number: &i64| *number >= 0);
            read.ok_or_else(|| Error::field("after", "must be the number of an event, or 0"))?
        }
    };
    let (limit, filter) = (query.limit()?, filter::of_query(&api, &mut query).await?);
    query.finish()?;
    let mut connection = api.engine.store.read().await?;
    let (found, looked_at) = wanted(&mut connection, &filter, EventNumber(after), limit).await?;
    let whole = found.len();
    let mut events = page(found, after, PAGE_MAX);
    if events.data.len() == whole && whole < limit as usize {
        // What is not wanted needs no second look.
        events.last = looked_at.0;
    }
    Ok(Json(events))
}

/// Events after a number that fit a filter, and the last one that was looked at.
async fn wanted(
    connection: &mut Connection,
    filter: &Filter,
    after: EventNumber,
    limit: u32,
) -> crate::store::Result<(Vec<Record>, EventNumber)> {
    let (mut found, mut at) = (Vec::new(), after);
    for _ in 0..LOOKS {
        let size = if *filter == Filter::default() { limit } else { LOOK };
        let read = event_list(connection, at, size).await?;
        let end = read.len() < size as usize;
        for event in read {
            at = event.number;
            if filter.matches(&event) {
                found.push(event);
            }
            if found.len() >= limit as usize {
                return Ok((found, at));
            }
        }
        if end {
            break;
        }
    }
    Ok((found, at))
}

/// As many events as fit, and always the first, so that a reader gets on.
fn page(found: Vec<Record>, after: i64, max: usize) -> Events {
    let mut events = Events { data: Vec::with_capacity(found.len()), last: after };
    let mut size = 0;
    for record in found {
        let record = record.shortened();
        size += record.data.to_string().len();
        if size > max && !events.data.is_empty() {
            break;
        }
        events.last = record.number.0;
        events.data.push(EventView {
            number: record.number.0,
            at: record.at.rfc3339(),
            kind: record.kind,
            subject: record.subject,
            actor: record.actor,
            data: record.data,
        });
    }
    events
}

#[cfg(test)]
mod tests {
    use hostler_common::time::Timestamp;
    use hostler_core::event::TEXT_MAX;
    use serde_json::json;

    use super::*;

    fn record(number: i64, text: &str) -> Record {
        Record {
            number: EventNumber(number),
            at: Timestamp::from_micros(number),
            kind: "k".into(),
            subject: "s".into(),
            actor: None,
            data: json!({ "deep": [text] }),
        }
    }

    #[test]
    fn long_texts_are_cut_and_a_full_page_ends_early() {
        let long = "é".repeat(TEXT_MAX);
        let all = || vec![record(5, &long), record(6, "short"), record(7, &long)];
        let events = page(all(), 4, usize::MAX);
        assert_eq!((events.data.len(), events.last), (3, 7));
        assert_eq!(events.data[0].data["deep"][0].as_str().unwrap().len(), TEXT_MAX + "…".len());
        let events = page(all(), 4, TEXT_MAX + 100);
        assert_eq!((events.data.len(), events.last), (2, 6));
        let events = page(all(), 4, 1);
        assert_eq!((events.data.len(), events.last), (1, 5));
        assert_eq!(page(Vec::new(), 4, 1).last, 4);
    }
}
