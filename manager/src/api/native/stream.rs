//! `GET /events/stream`: events as they happen (docs/events.md).

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use hostler_core::cloudevent;
use http::{HeaderMap, StatusCode};

use super::error::{Error, Result};
use super::filter;
use super::query::Query;
use crate::api::Api;
use crate::api::follow::{self, Interest, Refused, Streams};

/// The form of the data of a message.
#[derive(Clone, Copy, Debug)]
enum Form {
    Cloudevents,
    Native,
}

impl Form {
    fn from_name(name: &str) -> Option<Self> {
        match name {
            "cloudevents" => Some(Self::Cloudevents),
            "native" => Some(Self::Native),
            _ => None,
        }
    }
}

/// `GET /events/stream`
///
/// # Errors
/// A parameter breaks a rule, or too many streams are open; see [`crate::store::Error`].
pub async fn follow(
    State(api): State<Api>,
    Extension(streams): Extension<Streams>,
    headers: HeaderMap,
    mut query: Query,
) -> Result<Response> {
    let filter = filter::of_query(&api, &mut query).await?;
    let form = query.word("format", "cloudevents, native", Form::from_name)?.unwrap_or(Form::Cloudevents);
    let after = query.take("after")?;
    query.finish()?;
    let name = api.config.events.name.clone();
    let interest = Interest {
        wants: Box::new(move |event| filter.matches(event)),
        write: Box::new(move |event| match form {
            Form::Cloudevents => cloudevent::structured(&name, event),
            Form::Native => cloudevent::native(event),
        }),
        present: None,
    };
    follow::open(&api.engine, &streams, &headers, after, interest).await.map_err(|refused| match refused {
        Refused::Number(name) => Error::field(name, Refused::NUMBER),
        Refused::Full => Error::new(StatusCode::SERVICE_UNAVAILABLE, Refused::FULL),
        Refused::Store(error) => error.into(),
    })
}
