//! Which hosts could have sent a document: by the addresses that stand in what is stored of them
//! (spec/introspection.md §1.7.8, §2.4).

use hostler_common::id::HostId;

use super::host::parse_host;
use super::tx::{Connection, Result};

/// The stored texts of a host in which one of the addresses occurs.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The host.
    pub host: HostId,
    /// Its node document.
    pub node: String,
    /// Its last processed document, if there is one.
    pub document: Option<String>,
}

/// How many candidates are looked at; an address that more hosts share tells nothing.
const MAX: i64 = 256;

/// Hosts whose node or last document contains one of `addresses`, in any case of letters: those with a run that awaits
/// data, or all. A text that contains an address need not have it in the place that counts; the caller looks.
///
/// # Errors
/// See [`super::Error`].
pub async fn lookup_candidates(connection: &mut Connection, addresses: &[String], all: bool) -> Result<Vec<Candidate>> {
    if addresses.is_empty() {
        return Ok(Vec::new());
    }
    let places: Vec<String> = (2..addresses.len() + 2).map(|n| format!("(${n})")).collect();
    // A list of rows and not a chain of `or`: documents from outside may have thousands of addresses, and SQLite bounds
    // the depth of an expression. Both engines call the first column of such a list `column1`.
    let text = format!(
        "select h.id, h.node, d.document from host h left join introspection i on i.host_id = h.id \
         left join introspection_data d on d.host_id = h.id and d.kind = 'processed' \
         where h.agent_state <> 'revoked' and ($1 = 1 or i.state in ('starting', 'waiting', 'processing')) \
         and exists (select 1 from (values {}) as wanted where lower(h.node) like wanted.column1 \
         or lower(coalesce(d.document, '')) like wanted.column1) limit {MAX}",
        places.join(", ")
    );
    // Only the number of placeholders varies; the addresses themselves are bound.
    let mut query =
        sqlx::query_as::<_, (String, String, Option<String>)>(sqlx::AssertSqlSafe(text)).bind(i64::from(all));
    for address in addresses {
        // A sign of a pattern stands for any character, itself included.
        query = query.bind(format!("%{}%", address.to_lowercase().replace(['%', '_', '\\'], "_")));
    }
    let rows = query.fetch_all(connection).await?;
    rows.into_iter().map(|(host, node, document)| Ok(Candidate { host: parse_host(&host)?, node, document })).collect()
}
