//! Which version answers.

use axum::Json;
use serde::Serialize;

use super::error::Result;
use super::query::Query;

/// The version of this API; rises only if something that worked before works no more.
pub const API_VERSION: u32 = 1;

/// The answer.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    version: &'static str,
    api_version: u32,
}

/// `GET /version`
///
/// # Errors
/// A parameter is given; there is none.
pub async fn show(query: Query) -> Result<Json<Version>> {
    query.finish()?;
    Ok(Json(Version { version: env!("CARGO_PKG_VERSION"), api_version: API_VERSION }))
}
