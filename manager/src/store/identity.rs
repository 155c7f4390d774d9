//! stub
use super::tx::{Connection, Result};
use hostler_common::time::Timestamp;
#[allow(missing_docs)]
pub async fn token_prune(_c: &mut Connection, _n: Timestamp) -> Result<u64> {
    Ok(0)
}
