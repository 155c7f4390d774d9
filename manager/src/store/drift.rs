//! What hosts of one kind are compared by, and where they differ (spec/introspection.md §6.4).

use std::collections::BTreeMap;

use hostler_common::id::HostId;
use hostler_common::time::Timestamp;

use super::dialect::storable;
use super::host::parse_host;
use super::tx::{Connection, Result};

/// Writes the facts of a host over those of before.
///
/// # Errors
/// See [`super::Error`].
pub async fn fact_put(connection: &mut Connection, host: HostId, facts: &BTreeMap<&'static str, String>) -> Result<()> {
    sqlx::query("delete from fact where host_id = $1").bind(host.to_string()).execute(&mut *connection).await?;
    for (name, value) in facts {
        sqlx::query("insert into fact (host_id, name, value) values ($1, $2, $3)")
            .bind(host.to_string())
            .bind(*name)
            .bind(storable(value))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// What makes hosts comparable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Manufacturer and product of the machine.
    Model,
    /// The set of roles.
    Roles,
}

impl Kind {
    /// The column of the host that says it: text of ours, so that it can stand in a statement.
    fn column(self) -> &'static str {
        match self {
            Self::Model => "host.model",
            Self::Roles => "host.roles",
        }
    }
}

/// A fact in which hosts of one kind differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The kind: a model, or a list of roles as stored.
    pub kind: String,
    /// The name of the fact.
    pub fact: String,
    /// How many hosts of the kind know the fact.
    pub hosts: i64,
    /// How many values there are.
    pub values: i64,
}

/// Facts in which hosts of one kind differ, in the order of kinds and names, after `after`. Revoked hosts do not count.
/// `names` are the facts that are looked at, our own words.
///
/// # Errors
/// See [`super::Error`].
pub async fn drift_list(
    connection: &mut Connection,
    by: Kind,
    names: &[&str],
    after: Option<(String, String)>,
    limit: u32,
) -> Result<Vec<Difference>> {
    let column = by.column();
    let text = format!(
        "select {column}, fact.name, count(*), count(distinct fact.value) from fact \
         join host on host.id = fact.host_id where {column} is not null and {column} not in ('', '[]') \
         and host.agent_state <> 'revoked' and $1 like '%,' || fact.name || ',%' \
         and ($2 = '' or {column} > $2 or ({column} = $2 and fact.name > $3)) \
         group by {column}, fact.name having count(distinct fact.value) > 1 order by {column}, fact.name limit $4"
    );
    let (kind, name) = after.unwrap_or_default();
    // Only the column varies, and it is one of two of ours.
    let rows: Vec<(String, String, i64, i64)> = sqlx::query_as(sqlx::AssertSqlSafe(text))
        .bind(format!(",{},", names.join(",")))
        .bind(kind)
        .bind(name)
        .bind(i64::from(limit))
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().map(|(kind, fact, hosts, values)| Difference { kind, fact, hosts, values }).collect())
}

/// The values of a fact among hosts of one kind and how many hosts have each, the most frequent first.
///
/// # Errors
/// See [`super::Error`].
pub async fn drift_values(
    connection: &mut Connection,
    by: Kind,
    difference: &Difference,
    limit: u32,
) -> Result<Vec<(String, i64)>> {
    let text = format!(
        "select fact.value, count(*) as hosts from fact join host on host.id = fact.host_id \
         where {} = $1 and fact.name = $2 and host.agent_state <> 'revoked' \
         group by fact.value order by hosts desc, fact.value limit $3",
        by.column()
    );
    Ok(sqlx::query_as(sqlx::AssertSqlSafe(text))
        .bind(&difference.kind)
        .bind(&difference.fact)
        .bind(i64::from(limit))
        .fetch_all(connection)
        .await?)
}

/// A host with an unusual value.
#[derive(Clone, Debug, PartialEq)]
pub struct Outlier {
    /// The host.
    pub host: HostId,
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// When the host last said anything.
    pub seen_at: Option<Timestamp>,
}

/// The hosts of a kind whose value is not `usual`, or all if there is no usual one, in the order of their numbers.
///
/// # Errors
/// See [`super::Error`].
pub async fn drift_outliers(
    connection: &mut Connection,
    by: Kind,
    difference: &Difference,
    usual: Option<&str>,
    limit: u32,
) -> Result<Vec<Outlier>> {
    let text = format!(
        "select host.id, host.name, fact.value, host.last_seen_at from fact join host on host.id = fact.host_id \
         where {} = $1 and fact.name = $2 and host.agent_state <> 'revoked' and ($3 = 0 or fact.value <> $4) \
         order by host.number limit $5",
        by.column()
    );
    let rows: Vec<(String, String, String, Option<i64>)> = sqlx::query_as(sqlx::AssertSqlSafe(text))
        .bind(&difference.kind)
        .bind(&difference.fact)
        .bind(i64::from(usual.is_some()))
        .bind(usual.unwrap_or_default())
        .bind(i64::from(limit))
        .fetch_all(connection)
        .await?;
    rows.into_iter()
        .map(|(host, name, value, seen_at)| {
            Ok(Outlier { host: parse_host(&host)?, name, value, seen_at: seen_at.map(Timestamp::from_micros) })
        })
        .collect()
}
