//! The audit trail as administrators read it (spec/hooks.md §7.12).

use axum::Json as Answer;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

use super::Croit;
use super::parameters::Parameters;
use crate::api::native::error::{Error, Result};
use crate::api::native::path::Id;
use crate::store::audit::{Entry, audit_find, audit_list};

/// How many entries a list has unless the caller says otherwise, and at the most.
const LIMITS: (u32, u32) = (50, 100);

/// `AuditInfo`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AuditInfo {
    id: i64,
    time: String,
    category: String,
    operation: String,
    username: String,
    ip: Option<String>,
    method: String,
    status: u16,
    endpoint: String,
    query_params: String,
    body: Option<String>,
    request_id: String,
    from_hook: bool,
}

impl AuditInfo {
    fn of(entry: Entry) -> Self {
        Self {
            id: entry.id,
            time: entry.at.rfc3339(),
            category: entry.category,
            operation: entry.operation,
            username: entry.username,
            ip: entry.ip,
            method: entry.method,
            status: entry.status,
            endpoint: entry.endpoint,
            query_params: entry.query_params,
            body: entry.body,
            request_id: entry.request_id,
            from_hook: entry.from_hook,
        }
    }
}

/// `GET /audit`
pub(super) async fn list(State(croit): State<Croit>, parameters: Parameters) -> Result<Response> {
    let limit = parameters.number("limit")?.unwrap_or(LIMITS.0);
    if !(1..=LIMITS.1).contains(&limit) {
        return Err(Error::field("limit", format_args!("must be from 1 to {}", LIMITS.1)));
    }
    let offset = parameters.number("offset")?.unwrap_or(0);
    let mut connection = croit.api.engine.store.read().await?;
    let found = audit_list(&mut connection, offset, limit).await?;
    Ok(Answer(found.into_iter().map(AuditInfo::of).collect::<Vec<_>>()).into_response())
}

/// `GET /audit/{id}`
pub(super) async fn show(State(croit): State<Croit>, Id(id): Id<i64>) -> Result<Response> {
    let mut connection = croit.api.engine.store.read().await?;
    let found = audit_find(&mut connection, id).await?;
    let entry = found.ok_or_else(|| Error::not_found(format!("there is no audit entry {id}")))?;
    Ok(Answer(AuditInfo::of(entry)).into_response())
}
