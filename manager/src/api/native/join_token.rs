//! Join tokens: make, list, revoke.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use hostler_common::id::JoinTokenId;
use hostler_common::text::HOST_NAME_MAX;
use hostler_common::time::Timestamp;
use http::StatusCode;
use serde::Serialize;

use super::body::Fields;
use super::error::{Error, Result};
use super::guard::Actor;
use super::path::Id;
use super::query::{Page, Query};
use crate::api::Api;
use crate::fleet::NewJoinToken;
use crate::store::join_token::{JoinToken, join_token_list};

/// How long a token can be used unless the caller says otherwise, in seconds.
const LIFETIME_DEFAULT: i64 = 3600;

/// How many entries a list has at the most; the fleet may allow less.
const ENTRIES_MAX: usize = 1000;

/// `JoinToken` of docs/native-api.md.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenView {
    id: String,
    description: Option<String>,
    created_at: String,
    created_by: String,
    expires_at: String,
    uses: i64,
    used: i64,
    names: Vec<String>,
    networks: Vec<String>,
    roles: Vec<String>,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

impl TokenView {
    fn of(token: JoinToken, now: Timestamp, text: Option<String>) -> Self {
        Self {
            id: token.id.to_string(),
            state: token.state(now),
            description: token.description,
            created_at: token.created_at.rfc3339(),
            created_by: token.created_by,
            expires_at: token.expires_at.rfc3339(),
            uses: token.uses,
            used: token.used,
            names: token.names,
            networks: token.networks,
            roles: token.roles,
            token: text,
        }
    }
}

/// `POST /join-tokens`
///
/// # Errors
/// A field breaks a rule; see [`crate::store::Error`].
pub async fn create(
    State(api): State<Api>,
    Actor(actor): Actor,
    fields: Fields,
) -> Result<(StatusCode, Json<TokenView>)> {
    let (token, text) = api.fleet.join_token_create(wanted(fields)?, &actor).await?;
    Ok((StatusCode::CREATED, Json(TokenView::of(token, api.engine.clock.now(), Some(text)))))
}

/// What is asked for; whether it makes sense is for the fleet to say.
fn wanted(mut fields: Fields) -> Result<NewJoinToken> {
    let lifetime = fields.integer("expiresIn", 1, i64::MAX)?.unwrap_or(LIFETIME_DEFAULT);
    let new = NewJoinToken {
        description: fields.text("description", 4096)?,
        expires_in: Duration::from_secs(lifetime.unsigned_abs()),
        uses: fields.integer("uses", 0, i64::MAX)?.unwrap_or(1),
        names: fields.texts("names", ENTRIES_MAX, HOST_NAME_MAX)?.unwrap_or_default(),
        networks: fields.texts("networks", ENTRIES_MAX, 64)?.unwrap_or_default(),
        roles: fields.texts("roles", ENTRIES_MAX, 64)?.unwrap_or_default(),
    };
    fields.finish()?;
    Ok(new)
}

/// `GET /join-tokens`
///
/// # Errors
/// A parameter breaks a rule; see [`crate::store::Error`].
pub async fn list(State(api): State<Api>, mut query: Query) -> Result<Json<Page<TokenView>>> {
    let (limit, before) = (query.limit()?, query.after()?);
    query.finish()?;
    let mut connection = api.engine.store.read().await?;
    let found = join_token_list(&mut connection, before, limit + 1).await?;
    let now = api.engine.clock.now();
    Ok(Json(Page::new(found, limit, |token| token.id, |token| TokenView::of(token, now, None))))
}

/// `DELETE /join-tokens/{id}`
///
/// # Errors
/// There is no such token; see [`crate::store::Error`].
pub async fn revoke(State(api): State<Api>, Actor(actor): Actor, Id(id): Id<JoinTokenId>) -> Result<StatusCode> {
    if api.fleet.join_token_revoke(id, &actor).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Error::not_found(format!("there is no join token {id}")))
    }
}
