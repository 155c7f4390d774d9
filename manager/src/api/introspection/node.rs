//! From what stands in a URL to a host (spec/introspection.md §1.5).

use hostler_common::id::{HostId, uuid_like};

use super::Dialect;
use super::error::Failure;
use crate::store::host::host_by_name;
use crate::store::introspection::{Status, status_find};

/// The host that a URL names. A UUID, in any spelling, is taken as it is; whether there is such a host is asked by
/// whoever needs to know. A name is looked up.
///
/// # Errors
/// 404 for an unknown name.
pub(super) async fn resolve(dialect: &Dialect, text: &str) -> Result<HostId, Failure> {
    if let Some(id) = uuid_like(text) {
        return Ok(HostId(id));
    }
    let mut connection = dialect.api.engine.store.read().await?;
    host_by_name(&mut connection, text).await?.ok_or_else(|| Failure::unknown_node(text))
}

/// The record of the host that a URL names.
///
/// # Errors
/// 404 for an unknown name, and for a host that was never introspected.
pub(super) async fn status(dialect: &Dialect, text: &str) -> Result<Status, Failure> {
    let mut connection = dialect.api.engine.store.read().await?;
    let host = match uuid_like(text) {
        Some(id) => HostId(id),
        None => host_by_name(&mut connection, text).await?.ok_or_else(|| Failure::unknown_node(text))?,
    };
    status_find(&mut connection, host).await?.ok_or_else(|| Failure::never_introspected(host))
}
