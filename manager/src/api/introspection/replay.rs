//! `Idempotency-Key` in this dialect (spec/introspection.md §1.8): what is remembered of a mutation, and what is answered.

use axum::body::Body;
use hostler_common::id::{HostId, RuleId};
use http::{Response, StatusCode};
use serde_json::json;

use super::error::Failure;
use super::json;
use super::transport::Call;
use crate::api::replay;
use crate::store::Connection;

pub(super) use crate::api::replay::{Running, Ticket};

/// What a mutation did. It is all that is needed to answer it once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// Something was begun.
    Accepted,
    /// Something was removed.
    Removed,
    /// A rule was made.
    Rule(RuleId),
    /// Data of a host were processed.
    Node(HostId),
}

impl Done {
    /// The answer, but for that of a rule, which is rendered where rules are.
    pub(super) fn into_response(self) -> Response<Body> {
        match self {
            Self::Accepted => json::accepted(),
            Self::Removed => json::no_content(),
            Self::Rule(id) => json::json(StatusCode::CREATED, &json!({ "uuid": id.to_string() })),
            Self::Node(id) => json::json(StatusCode::OK, &json!({ "uuid": id.to_string() })),
        }
    }

    fn text(self) -> String {
        match self {
            Self::Accepted => "accepted".into(),
            Self::Removed => "removed".into(),
            Self::Rule(id) => format!("rule:{id}"),
            Self::Node(id) => format!("node:{id}"),
        }
    }

    fn from_text(text: &str) -> Option<Self> {
        match text.split_once(':') {
            None if text == "accepted" => Some(Self::Accepted),
            None if text == "removed" => Some(Self::Removed),
            Some(("rule", id)) => id.parse().ok().map(Self::Rule),
            Some(("node", id)) => id.parse().ok().map(Self::Node),
            _ => None,
        }
    }
}

/// What is to be done with a request.
pub(super) enum Entrance {
    /// Carry it out; if it has a key, remember that.
    New(Option<Ticket>),
    /// It was carried out before.
    Again(Done),
}

/// Looks at the key of a request.
///
/// # Errors
/// 400 for an unusable key, 409 while the first request with it is under way, 422 if it was another request.
pub(super) async fn enter(call: &Call<'_>, body: &[u8]) -> Result<Entrance, Failure> {
    let dialect = call.dialect;
    let who = call.actor().unwrap_or_default();
    match replay::enter(&dialect.api.engine, &dialect.running, who, call.parts, body).await? {
        replay::Entrance::New(ticket) => Ok(Entrance::New(ticket)),
        replay::Entrance::Again(outcome, ticket) => {
            Ok(Done::from_text(&outcome).map_or(Entrance::New(Some(ticket)), Entrance::Again))
        }
    }
}

impl From<replay::Refused> for Failure {
    fn from(refused: replay::Refused) -> Self {
        let status = match refused {
            replay::Refused::Unusable => StatusCode::BAD_REQUEST,
            replay::Refused::Running => StatusCode::CONFLICT,
            replay::Refused::Other => StatusCode::UNPROCESSABLE_ENTITY,
            replay::Refused::Store(error) => return error.into(),
        };
        Self::new(status, refused.to_string())
    }
}

/// Remembers what a request did. If that fails, the request succeeded nevertheless, and says so.
pub(super) async fn remember(call: &Call<'_>, ticket: Option<Ticket>, done: Done) {
    replay::remember(&call.dialect.api.engine, ticket, done.text()).await;
}

/// A key that is remembered in the transaction of the mutation itself.
#[derive(Clone, Debug)]
pub(super) struct Memo(replay::Memo);

impl From<&Ticket> for Memo {
    fn from(ticket: &Ticket) -> Self {
        Self(ticket.memo())
    }
}

impl Memo {
    /// Remembers, in that transaction, what the request did.
    ///
    /// # Errors
    /// See [`crate::store::Error`].
    pub(super) async fn write(
        self,
        tx: &mut Connection,
        done: Done,
        now: hostler_common::time::Timestamp,
    ) -> crate::store::Result<()> {
        self.0.write(tx, done.text(), now).await
    }
}
