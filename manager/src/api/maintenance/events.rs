//! `GET /v1/events`: what happens in sessions, as it happens (spec/maintenance.md §4.6).

use axum::body::Body;
use hostler_common::id::SessionId;
use hostler_core::event::{FILTER_ENTRIES, KindPattern};
use hostler_core::maintenance::notice::{self, Audience, Form, KINDS, Narrowing, PLANNED, SCHEDULED};
use hostler_core::policy::Action;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Response};
use uuid::Uuid;

use super::error::{Failure, shown};
use super::path::session_id;
use super::transport::Call;
use crate::api::follow::{self, Interest, Refused, Streams};

/// Answers with a stream that goes on until the client leaves.
pub(super) async fn follow(call: &Call<'_>) -> Result<Response<Body>, Failure> {
    let want = Narrowing {
        kinds: kinds("type", &words(call, "type")?)?,
        session: session("session", call.parameter("session").as_deref())?,
        states: words(call, "state")?,
        hosts: words(call, "host")?,
    };
    let (project, admin) = heard(call, call.parameter("project_id"), Action::MaintenanceEvents)?;
    let base = call.link("");
    let audience = Audience { id: Uuid::nil(), project, admin, want, form: Form::Cloudevents, base };
    if call.parts.method == Method::HEAD {
        // It would have no end.
        let mut response = Response::new(Body::empty());
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        return Ok(response);
    }
    let streams = call.parts.extensions.get::<Streams>().ok_or_else(Failure::internal)?;
    let present = audience.listens().map(|(project, session)| (project.to_owned(), session));
    let base = audience.base.clone();
    let interest = Interest {
        wants: Box::new(move |event| audience.admits(event)),
        write: Box::new(move |event| notice::cloudevent(&notice::linked(event.clone(), &base))),
        present,
    };
    let opened = follow::open(call.engine(), streams, &call.parts.headers, call.parameter("after"), interest).await;
    opened.map_err(|refused| match refused {
        Refused::Number(name) => Failure::field(name, Refused::NUMBER),
        Refused::Full => Failure::unavailable(Refused::FULL),
        Refused::Store(error) => error.into(),
    })
}

/// For which project somebody hears, and whether they hear what is meant for administrators. Those who may do `action`
/// anywhere hear everything, or speak for the project that they name; others speak for their own.
pub(super) fn heard(call: &Call<'_>, asked: Option<String>, action: Action) -> Result<(Option<String>, bool), Failure> {
    if call.may_anywhere(action) {
        return Ok((asked, true));
    }
    let Some(own) = call.project() else {
        return Err(Failure::denied("the token is not one of a project"));
    };
    call.must_in(action, own, Failure::no_project())?;
    if asked.is_some_and(|asked| asked != own) {
        return Err(Failure::denied("that is another project"));
    }
    Ok((Some(own.to_owned()), false))
}

/// The entries of a parameter with commas.
fn words(call: &Call<'_>, name: &str) -> Result<Vec<String>, Failure> {
    let text = call.parameter(name).unwrap_or_default();
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
    let words: Vec<String> = words.map(str::to_owned).collect();
    if words.len() > FILTER_ENTRIES {
        return Err(Failure::field(name, format_args!("may have at most {FILTER_ENTRIES} entries")));
    }
    Ok(words)
}

/// Kinds of events by their names or as patterns; each must be able to occur.
pub(super) fn kinds(field: &str, names: &[String]) -> Result<Vec<KindPattern>, Failure> {
    let mut kinds = Vec::new();
    for name in names {
        // The tenant's event has two names in what is written about it, and one on the wire (§4.1).
        let meant = if name == PLANNED { SCHEDULED } else { name.as_str() };
        let pattern = KindPattern::parse(meant).filter(|pattern| KINDS.iter().any(|kind| pattern.matches(kind)));
        let pattern = pattern.ok_or_else(|| {
            let known = KINDS.join(", ");
            Failure::field(field, format_args!("{:?} is none of {known}", shown(name)))
        })?;
        if !kinds.contains(&pattern) {
            kinds.push(pattern);
        }
    }
    Ok(kinds)
}

/// The session that is meant, if one is.
pub(super) fn session(field: &str, text: Option<&str>) -> Result<Option<SessionId>, Failure> {
    let read = |text| session_id(text).map_err(|_| Failure::field(field, "must be the id of a session"));
    text.map(read).transpose()
}
