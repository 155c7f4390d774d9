//! Introspection rules, in the order of their creation (spec/introspection.md §3).

use hostler_common::id::RuleId;
use hostler_common::time::Timestamp;
use hostler_core::introspection::rules::Rule;

use super::tx::{Connection, Error, Result, next_number};

type Row = (String,);

fn rule_from((document,): Row) -> Result<Rule> {
    let stored = serde_json::from_str(&document)?;
    Rule::from_stored(&stored).map_err(|error| Error::Broken(format!("a stored rule cannot be read: {error}")))
}

/// Stores a new rule, last in order.
///
/// # Errors
/// [`super::Error::Exists`] if the id is taken; see [`super::Error`].
pub async fn rule_insert(connection: &mut Connection, rule: &Rule, at: Timestamp) -> Result<()> {
    let position = next_number(connection, "rule").await?;
    sqlx::query("insert into rule (id, position, document, created_at) values ($1, $2, $3, $4)")
        .bind(rule.id.to_string())
        .bind(position)
        .bind(rule.representation().to_string())
        .bind(at.as_micros())
        .execute(connection)
        .await?;
    Ok(())
}

/// Writes a rule over the one with its id, keeping its place; `false` if there is none.
///
/// # Errors
/// See [`super::Error`].
pub async fn rule_replace(connection: &mut Connection, rule: &Rule) -> Result<bool> {
    let done = sqlx::query("update rule set document = $2 where id = $1")
        .bind(rule.id.to_string())
        .bind(rule.representation().to_string())
        .execute(connection)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// The rule of that id.
///
/// # Errors
/// See [`super::Error`].
pub async fn rule_find(connection: &mut Connection, id: RuleId) -> Result<Option<Rule>> {
    let row: Option<Row> = sqlx::query_as("select document from rule where id = $1")
        .bind(id.to_string())
        .fetch_optional(connection)
        .await?;
    row.map(rule_from).transpose()
}

/// All rules in their order.
///
/// # Errors
/// See [`super::Error`].
pub async fn rule_list(connection: &mut Connection) -> Result<Vec<Rule>> {
    let rows: Vec<Row> = sqlx::query_as("select document from rule order by position").fetch_all(connection).await?;
    rows.into_iter().map(rule_from).collect()
}

/// Removes a rule; `false` if there is none of that id.
///
/// # Errors
/// See [`super::Error`].
pub async fn rule_delete(connection: &mut Connection, id: RuleId) -> Result<bool> {
    let done = sqlx::query("delete from rule where id = $1").bind(id.to_string()).execute(connection).await?;
    Ok(done.rows_affected() > 0)
}

/// Removes all rules; returns how many.
///
/// # Errors
/// See [`super::Error`].
pub async fn rule_purge(connection: &mut Connection) -> Result<u64> {
    Ok(sqlx::query("delete from rule").execute(connection).await?.rows_affected())
}
