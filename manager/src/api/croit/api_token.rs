//! API tokens (spec/hooks.md §2.1).

use axum::Json as Answer;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use hostler_common::time::Timestamp;
use http::StatusCode;
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::json;

use super::Croit;
use super::body::{Json, empty};
use super::failure::identity_failure;
use super::guard::Asker;
use super::page::{Columns, Kind, Paging, column, listed, row};
use crate::api::native::error::{Error, Result};
use crate::api::native::path::Id;
use crate::identity::NewApiToken;

/// What the list can be filtered and sorted by.
const COLUMNS: Columns = &[
    column("id", Kind::Number),
    column("name", Kind::Text),
    column("roles", Kind::List),
    column("expiry", Kind::Date),
    column("forHooks", Kind::Flag),
];

/// The roles that the dialect knows (spec/hooks.md §2.1).
const ROLES: [&str; 3] = ["admin", "viewer", "securefolder"];

/// A token to be made.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TokenBody {
    name: Option<String>,
    roles: Option<Vec<String>>,
    expiry: Option<String>,
    #[serde(default)]
    for_hooks: bool,
}

/// Names of roles, in any case, as they are stored.
fn checked(given: Option<Vec<String>>) -> Result<Vec<String>> {
    let given = given.ok_or_else(|| Error::field("roles", "is required"))?;
    let mut roles: Vec<String> = Vec::with_capacity(given.len());
    for name in given {
        let name = name.to_ascii_lowercase();
        if !ROLES.contains(&name.as_str()) {
            return Err(Error::field("roles", format_args!("must be of {}", ROLES.join(", "))));
        }
        if !roles.contains(&name) {
            roles.push(name);
        }
    }
    if roles.is_empty() {
        return Err(Error::field("roles", "must name at least one role"));
    }
    Ok(roles)
}

/// `GET /api-tokens`
pub(super) async fn list(State(croit): State<Croit>, paging: Paging) -> Result<Response> {
    let found = croit.api.identity.api_tokens().await.map_err(identity_failure)?;
    let rows: Result<Vec<_>> = found
        .into_iter()
        .map(|token| {
            row(&json!({
                "id": token.id, "name": token.name, "roles": token.roles,
                "expiry": token.expires_at.map(Timestamp::rfc3339), "forHooks": token.for_hooks,
                "createdAt": token.created_at.rfc3339(), "createdBy": token.created_by,
            }))
        })
        .collect();
    listed(COLUMNS, &paging, rows?)
}

/// `POST /api-tokens`: the answer is the token itself, a JSON string.
pub(super) async fn create(State(croit): State<Croit>, asker: Asker, Json(body): Json<TokenBody>) -> Result<Response> {
    let name = body.name.ok_or_else(|| Error::field("name", "is required"))?;
    let roles = checked(body.roles)?;
    let moment = |text: String| {
        text.parse::<Timestamp>().map_err(|_| Error::field("expiry", "must be a moment such as 2026-01-02T03:04:05Z"))
    };
    let expires_at = body.expiry.map(moment).transpose()?;
    let new = NewApiToken { name, roles, for_hooks: body.for_hooks, expires_at };
    let (_, token) = croit.api.identity.api_token_create(&asker.by(), new).await.map_err(identity_failure)?;
    Ok(Answer(token.expose_secret()).into_response())
}

/// `PATCH /api-tokens/{id}`
pub(super) async fn update(
    State(croit): State<Croit>,
    asker: Asker,
    Id(id): Id<i64>,
    Json(body): Json<TokenBody>,
) -> Result<Response> {
    let roles = checked(body.roles)?;
    croit.api.identity.api_token_roles(&asker.by(), id, roles).await.map_err(identity_failure)?;
    Ok(empty(StatusCode::NO_CONTENT))
}

/// `DELETE /api-tokens/{id}`
pub(super) async fn remove(State(croit): State<Croit>, asker: Asker, Id(id): Id<i64>) -> Result<Response> {
    croit.api.identity.api_token_remove(&asker.by(), id).await.map_err(identity_failure)?;
    Ok(empty(StatusCode::NO_CONTENT))
}
