//! The list of all records, by pages (spec/introspection.md §1.7.3).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use axum::body::Body;
use hostler_common::id::{HostId, uuid_like};
use hostler_common::time::Timestamp;
use hostler_core::introspection::document::python;
use hostler_core::introspection::state::State;
use http::{HeaderName, Response, StatusCode};
use serde_json::Value;

use super::error::Failure;
use super::json;
use super::pages::Request;
use super::path::parameter;
use super::transport::Call;
use crate::store::introspection::{Position, status_find};

/// The URL of the next page. Not `Link` with `rel="next"`: openstacksdk follows that by a key that its parser does not
/// know and crashes, while it pages by the marker without it.
const NEXT_PAGE: HeaderName = HeaderName::from_static("x-next-page");

/// `GET /v1/introspection`.
pub(super) async fn get(call: &Call<'_>) -> Result<Response<Body>, Failure> {
    let query = call.parts.uri.query();
    let api = &call.dialect.api;
    let marker = parameter(query, "marker").map(|text| marker_of(&text)).transpose()?;
    let given = parameter(query, "limit");
    let limit = limit_of(given.as_deref(), api.config.introspection.api_max_limit)?;
    let states = parameter(query, "state").map_or(Ok(Vec::new()), |text| states_of(&text))?;
    let after = match marker {
        None => None,
        Some(host) => {
            let at = parameter(query, "position").and_then(|text| text.parse().ok());
            Some((position_of(call, host, at.map(Timestamp::from_micros)).await?, host))
        }
    };
    let request = Request { collection: call.links.absolute("/v1/introspection"), after, limit, states };
    let page = call.dialect.pages.get(&api.engine.store, request).await?;
    // Somebody who pages will name the last record of this page next; who takes all there is will not.
    if let Some(last) = page.last
        && (given.is_some() || after.is_some() || page.next.is_some())
    {
        call.dialect.positions.remember(last);
    }
    let mut response = json::raw(StatusCode::OK, page.body.clone());
    if let Some(next) = &page.next {
        response.headers_mut().insert(NEXT_PAGE, next.clone());
    }
    Ok(response)
}

fn marker_of(text: &str) -> Result<HostId, Failure> {
    uuid_like(text).map(HostId).ok_or_else(|| Failure::invalid("Bad request: Marker not UUID-like"))
}

fn limit_of(text: Option<&str>, max: u32) -> Result<u32, Failure> {
    let Some(text) = text else { return Ok(max) };
    let trimmed = text.trim();
    let digits = trimmed.strip_prefix(['-', '+']).unwrap_or(trimmed);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        let shown = python::repr(&Value::from(hostler_common::text::clip(text, 200)));
        return Err(Failure::invalid(format!("Bad request: invalid literal for int() with base 10: {shown}")));
    }
    match digits.trim_start_matches('0').parse::<u32>() {
        _ if digits.bytes().all(|b| b == b'0') => Ok(max),
        _ if trimmed.starts_with('-') => Err(Failure::invalid("Bad request: Limit cannot be negative")),
        Ok(limit) if limit <= max => Ok(limit),
        _ => Err(Failure::invalid(format!("Bad request: Limit over {max}"))),
    }
}

fn states_of(text: &str) -> Result<Vec<State>, Failure> {
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for name in text.split(',') {
        match State::from_name(name) {
            Some(state) if !known.contains(&state) => known.push(state),
            Some(_) => {}
            None => unknown.push(name),
        }
    }
    if unknown.is_empty() {
        return Ok(known);
    }
    let unknown = unknown.join(", ");
    let shown = hostler_common::text::clip(&unknown, 1000);
    Err(Failure::invalid(format!("Bad request: State(s) \"{shown}\" are not valid")))
}

/// When the run of the marker's record began, as the client saw it: as the link of the page before says, as it stood on the
/// page that was served last with that record at its end, or as it stands now.
async fn position_of(call: &Call<'_>, host: HostId, told: Option<Timestamp>) -> Result<Timestamp, Failure> {
    if let Some(at) = told.or_else(|| call.dialect.positions.find(host)) {
        return Ok(at);
    }
    let mut connection = call.dialect.api.engine.store.read().await?;
    let status = status_find(&mut connection, host).await?;
    status.map(|status| status.started_at).ok_or_else(|| Failure::not_found("The requested node was not found."))
}

/// How many positions of one age are kept.
const POSITIONS: usize = 8192;

/// Where pages ended. When as many as are kept have come, those that came before them are forgotten.
#[derive(Default)]
pub(super) struct Positions {
    ages: Mutex<(HashMap<HostId, Timestamp>, HashMap<HostId, Timestamp>)>,
}

impl Positions {
    fn remember(&self, (at, host): Position) {
        let mut ages = self.ages.lock().unwrap_or_else(PoisonError::into_inner);
        let (young, old) = &mut *ages;
        young.insert(host, at);
        if young.len() >= POSITIONS {
            *old = std::mem::take(young);
        }
    }

    fn find(&self, host: HostId) -> Option<Timestamp> {
        let ages = self.ages.lock().unwrap_or_else(PoisonError::into_inner);
        ages.0.get(&host).or_else(|| ages.1.get(&host)).copied()
    }
}
