//! Scripts of the library and all their revisions, which are never changed (spec/hooks.md §10).

use hostler_common::id::ScriptId;
use hostler_common::script::{Digest, ScriptRef};
use hostler_common::time::Timestamp;

use super::tx::{Connection, Error, Result, next_number};

/// A script of the library, without its contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// Its number.
    pub id: ScriptId,
    /// Its name, unique.
    pub name: String,
    /// Its newest revision.
    pub revision: u32,
    /// When it was made.
    pub created_at: Timestamp,
}

/// One revision of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// What runs of it refer to.
    pub script: ScriptRef,
    /// How many bytes it has.
    pub size: u64,
    /// Who made it.
    pub author: String,
    /// When.
    pub at: Timestamp,
}

type ScriptRow = (i64, String, i64, i64);

fn script_from((id, name, revision, created_at): ScriptRow) -> Result<Script> {
    let created_at = Timestamp::from_micros(created_at);
    Ok(Script { id: ScriptId(id), name, revision: revision_from(revision)?, created_at })
}

fn revision_from(number: i64) -> Result<u32> {
    u32::try_from(number).map_err(|_| Error::Broken(format!("not a revision: {number}")))
}

/// Reads the columns that make a [`ScriptRef`].
pub(super) fn script_ref(
    id: Option<i64>,
    name: String,
    revision: i64,
    digest: &str,
    signature: String,
) -> Result<ScriptRef> {
    let digest: Digest = digest.parse().map_err(|_| Error::Broken(format!("not a digest: {digest}")))?;
    Ok(ScriptRef { id: id.map(ScriptId), name, revision: revision_from(revision)?, digest, signature })
}

/// The number of a script that is about to be made.
///
/// # Errors
/// See [`Error`].
pub async fn script_number(connection: &mut Connection) -> Result<ScriptId> {
    next_number(connection, "script").await.map(ScriptId)
}

/// Makes a script; its first revision is written by [`revision_insert`].
///
/// # Errors
/// [`Error::Exists`] if the name is taken; see [`Error`].
pub async fn script_insert(connection: &mut Connection, script: &Script) -> Result<()> {
    sqlx::query("insert into script (id, name, revision, created_at) values ($1, $2, $3, $4)")
        .bind(script.id.0)
        .bind(&script.name)
        .bind(i64::from(script.revision))
        .bind(script.created_at.as_micros())
        .execute(connection)
        .await?;
    Ok(())
}

/// Writes name and newest revision.
///
/// # Errors
/// [`Error::Exists`] if the name is taken; see [`Error`].
pub async fn script_update(connection: &mut Connection, script: &Script) -> Result<()> {
    sqlx::query("update script set name = $2, revision = $3 where id = $1")
        .bind(script.id.0)
        .bind(&script.name)
        .bind(i64::from(script.revision))
        .execute(connection)
        .await?;
    Ok(())
}

/// Removes a script with its revisions and its hooks; `false` if there is none.
///
/// # Errors
/// See [`Error`].
pub async fn script_delete(connection: &mut Connection, id: ScriptId) -> Result<bool> {
    let done = sqlx::query("delete from script where id = $1").bind(id.0).execute(connection).await?;
    Ok(done.rows_affected() > 0)
}

/// The script of that number.
///
/// # Errors
/// See [`Error`].
pub async fn script_find(connection: &mut Connection, id: ScriptId) -> Result<Option<Script>> {
    let row: Option<ScriptRow> = sqlx::query_as("select id, name, revision, created_at from script where id = $1")
        .bind(id.0)
        .fetch_optional(connection)
        .await?;
    row.map(script_from).transpose()
}

/// The script of that name.
///
/// # Errors
/// See [`Error`].
pub async fn script_by_name(connection: &mut Connection, name: &str) -> Result<Option<Script>> {
    let row: Option<ScriptRow> = sqlx::query_as("select id, name, revision, created_at from script where name = $1")
        .bind(name)
        .fetch_optional(connection)
        .await?;
    row.map(script_from).transpose()
}

/// All scripts, by number.
///
/// # Errors
/// See [`Error`].
pub async fn script_list(connection: &mut Connection) -> Result<Vec<Script>> {
    let rows: Vec<ScriptRow> =
        sqlx::query_as("select id, name, revision, created_at from script order by id").fetch_all(connection).await?;
    rows.into_iter().map(script_from).collect()
}

/// Stores a revision with its contents.
///
/// # Errors
/// [`Error::Exists`] if the script has that revision already; see [`Error`].
pub async fn revision_insert(connection: &mut Connection, revision: &Revision, contents: &str) -> Result<()> {
    let id = next_number(connection, "script_revision").await?;
    let script = &revision.script;
    sqlx::query(
        "insert into script_revision (id, script_id, name, revision, digest, signature, size, author, at, contents) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(id)
    .bind(script.id.map(|id| id.0))
    .bind(&script.name)
    .bind(i64::from(script.revision))
    .bind(script.digest.to_string())
    .bind(&script.signature)
    .bind(i64::try_from(revision.size).unwrap_or(i64::MAX))
    .bind(&revision.author)
    .bind(revision.at.as_micros())
    .bind(contents)
    .execute(connection)
    .await?;
    Ok(())
}

type RevisionRow = (Option<i64>, String, i64, String, String, i64, String, i64);

fn revision_row((id, name, revision, digest, signature, size, author, at): RevisionRow) -> Result<Revision> {
    Ok(Revision {
        script: script_ref(id, name, revision, &digest, signature)?,
        size: u64::try_from(size).unwrap_or(0),
        author,
        at: Timestamp::from_micros(at),
    })
}

/// One revision of a script.
///
/// # Errors
/// See [`Error`].
pub async fn revision_find(connection: &mut Connection, id: ScriptId, revision: u32) -> Result<Option<Revision>> {
    let row: Option<RevisionRow> = sqlx::query_as(
        "select script_id, name, revision, digest, signature, size, author, at from script_revision \
         where script_id = $1 and revision = $2",
    )
    .bind(id.0)
    .bind(i64::from(revision))
    .fetch_optional(connection)
    .await?;
    row.map(revision_row).transpose()
}

/// All revisions of a script, oldest first.
///
/// # Errors
/// See [`Error`].
pub async fn revision_list(connection: &mut Connection, id: ScriptId) -> Result<Vec<Revision>> {
    let rows: Vec<RevisionRow> = sqlx::query_as(
        "select script_id, name, revision, digest, signature, size, author, at from script_revision \
         where script_id = $1 order by revision",
    )
    .bind(id.0)
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(revision_row).collect()
}

/// The verbatim script of that digest, if one was run before.
///
/// # Errors
/// See [`Error`].
pub async fn verbatim_find(connection: &mut Connection, digest: &Digest) -> Result<Option<Revision>> {
    let row: Option<RevisionRow> = sqlx::query_as(
        "select script_id, name, revision, digest, signature, size, author, at from script_revision \
         where digest = $1 and script_id is null order by id limit 1",
    )
    .bind(digest.to_string())
    .fetch_optional(connection)
    .await?;
    row.map(revision_row).transpose()
}

/// The contents that have that digest, whichever script or revision they belong to.
///
/// # Errors
/// See [`Error`].
pub async fn contents_find(connection: &mut Connection, digest: &Digest) -> Result<Option<String>> {
    let row: Option<(String,)> = sqlx::query_as("select contents from script_revision where digest = $1 limit 1")
        .bind(digest.to_string())
        .fetch_optional(connection)
        .await?;
    Ok(row.map(|(contents,)| contents))
}

/// Removes at most `limit` verbatim scripts from before `until` that no run on record names; returns how many.
///
/// # Errors
/// See [`Error`].
pub async fn verbatim_prune(connection: &mut Connection, until: Timestamp, limit: u32) -> Result<u64> {
    let text = "delete from script_revision where id in (select old.id from script_revision old \
                where old.script_id is null and old.at < $1 \
                and not exists (select 1 from run where run.digest = old.digest) limit $2)";
    let done = sqlx::query(text).bind(until.as_micros()).bind(i64::from(limit)).execute(connection).await?;
    Ok(done.rows_affected())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_make_no_sense_are_refused() {
        assert!(script_ref(Some(1), "a".into(), -1, &"0".repeat(64), String::new()).is_err());
        assert!(script_ref(Some(1), "a".into(), 1, "00", String::new()).is_err());
        assert!(script_ref(None, "a".into(), 1, &"0".repeat(64), String::new()).unwrap().id.is_none());
    }
}
