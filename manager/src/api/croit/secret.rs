//! Secrets for scripts: stored, listed, removed, never read back (spec/hooks.md §10). An extension of the dialect.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;

use super::Croit;
use super::body::{Json, empty};
use super::guard::Asker;
use super::page::{Columns, Kind, Paging, column, listed, row};
use crate::api::native::error::Result;
use crate::api::native::path::Id;

/// What the list can be filtered and sorted by.
const COLUMNS: Columns = &[
    column("name", Kind::Text),
    column("createdAt", Kind::Date),
    column("updatedAt", Kind::Date),
    column("updatedBy", Kind::Text),
];

/// A value to be stored.
#[derive(Debug, Deserialize)]
pub(super) struct SecretBody {
    value: SecretString,
}

/// `GET /secrets`
pub(super) async fn list(State(croit): State<Croit>, paging: Paging) -> Result<Response> {
    let found = croit.hooks().secrets().await?;
    let rows: Result<Vec<_>> = found
        .into_iter()
        .map(|secret| {
            row(&json!({
                "name": secret.name, "createdAt": secret.created_at.rfc3339(),
                "updatedAt": secret.updated_at.rfc3339(), "updatedBy": secret.updated_by,
            }))
        })
        .collect();
    listed(COLUMNS, &paging, rows?)
}

/// `PUT /secrets/{id}`; the id is the name.
pub(super) async fn put(
    State(croit): State<Croit>,
    asker: Asker,
    Id(name): Id<String>,
    Json(body): Json<SecretBody>,
) -> Result<Response> {
    croit.hooks().secret_put(asker.name(), &name, body.value).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

/// `DELETE /secrets/{id}`; the id is the name.
pub(super) async fn remove(State(croit): State<Croit>, asker: Asker, Id(name): Id<String>) -> Result<Response> {
    croit.hooks().secret_remove(asker.name(), &name).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}
