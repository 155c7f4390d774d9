//! What a caller may ask about themselves: where they can go, and what is there.

use axum::response::Response;
use serde_json::json;

use super::call::{Call, listed, user_session};
use super::failure::Failure;
use super::{catalog, projects};
use crate::store::identity::ProjectFilter;

type Result<T> = std::result::Result<T, Failure>;

/// `GET /v3/auth/catalog`.
pub(super) async fn catalog(call: Call) -> Result<Response> {
    call.who().await?;
    Ok(listed(&call, "catalog", catalog::render(&call)))
}

/// `GET /v3/auth/projects`: those that a token can be for. Callers that are no user have roles everywhere.
pub(super) async fn projects(call: Call) -> Result<Response> {
    let who = call.who().await?;
    let found = match user_session(&who).and_then(|session| session.user) {
        Some(user) => call.api.identity.projects_of(user).await?,
        None => call.api.identity.projects(&ProjectFilter::default(), 1000).await?,
    };
    let items = found.iter().filter(|project| project.enabled).map(|project| projects::render(&call, project));
    let items = items.collect();
    Ok(listed(&call, "projects", items))
}

/// `GET /v3/auth/domains`: there are no tokens for a domain.
pub(super) async fn domains(call: Call) -> Result<Response> {
    call.who().await?;
    Ok(listed(&call, "domains", Vec::new()))
}

/// `GET /v3/auth/system`.
pub(super) async fn system(call: Call) -> Result<Response> {
    let who = call.who().await?;
    let has = match user_session(&who).and_then(|session| session.user) {
        Some(user) => call.api.identity.has_system(user).await?,
        None => true,
    };
    Ok(listed(&call, "system", if has { vec![json!({"all": true})] } else { vec![] }))
}
