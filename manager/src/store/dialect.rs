//! All that differs between SQLite and PostgreSQL, besides how transactions are grouped.

use std::fmt::Write as _;
use std::fs::File;
use std::path::Path;

use hostler_common::error::Class;
use sqlx::migrate::MigrateError;
use sqlx::{Connection as _, Executor as _};

use super::tx::{Connection, Error, Result};

/// How long a writer waits for another process that holds SQLite's write lock.
const BUSY_TIMEOUT_MS: u32 = 5000;

/// The URL of a SQLite file that is made if it is not there. Its folder must be there.
///
/// # Errors
/// [`Error::Unavailable`] with the path, if the folder cannot be reached.
pub(super) fn sqlite_url(path: &Path) -> Result<String> {
    let fail = |reason: &str| Error::Unavailable(format!("{}: {reason}", path.display()));
    let folder = folder_of(path);
    // A URL is tidied up on its way; a path without `.`, `..` and links means the same afterwards.
    let folder = folder.canonicalize().map_err(|error| fail(&error.to_string()))?;
    let whole = folder.join(path.file_name().ok_or_else(|| fail("names no file"))?);
    let mut url = String::from("sqlite://");
    for byte in whole.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.".contains(byte) {
            url.push(char::from(*byte));
        } else {
            // Writing to a string cannot fail.
            write!(url, "%{byte:02X}").ok();
        }
    }
    url.push_str("?mode=rwc");
    Ok(url)
}

/// The folder that a file is in.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Has the file keep a write-ahead log. SQLite refuses this at once, without patience, while another connection is about to
/// do the same; so whoever does it holds the folder's lock.
pub(super) async fn journal_sqlite(connection: &mut Connection, path: &Path) -> Result<()> {
    let folder = folder_of(path).to_owned();
    let locked =
        tokio::task::spawn_blocking(move || File::open(folder).and_then(|folder| folder.lock().map(|()| folder)));
    let fail = |reason: String| Error::Unavailable(format!("its folder cannot be locked: {reason}"));
    let lock = locked.await.map_err(|error| fail(error.to_string()))?.map_err(|error| fail(error.to_string()))?;
    connection.execute("pragma journal_mode = wal").await?;
    drop(lock);
    Ok(())
}

/// What every connection to SQLite needs: commits that survive a power cut, enforced references, patience.
pub(super) async fn prepare_sqlite(connection: &mut Connection) -> Result<()> {
    let pragmas =
        format!("pragma synchronous = full; pragma foreign_keys = on; pragma busy_timeout = {BUSY_TIMEOUT_MS}");
    connection.execute(sqlx::AssertSqlSafe(pragmas)).await?;
    Ok(())
}

/// What a connection to SQLite that only reads needs.
pub(super) async fn prepare_sqlite_reader(connection: &mut Connection) -> std::result::Result<(), sqlx::Error> {
    connection.execute("pragma query_only = on; pragma busy_timeout = 5000; pragma cache_size = -4000").await?;
    Ok(())
}

/// Brings the schema of a SQLite file up to date, in one transaction that keeps others out: SQLite has no other lock.
pub(super) async fn migrate_sqlite(connection: &mut Connection) -> Result<()> {
    let mut transaction = connection.begin_with("begin immediate").await?;
    migrate(&mut transaction).await?;
    Ok(transaction.commit().await?)
}

/// Brings the schema up to date. On PostgreSQL, an advisory lock keeps others out.
pub(super) async fn migrate(connection: &mut Connection) -> Result<()> {
    sqlx::migrate!("./migrations").run_direct(None, connection, false).await.map_err(|error| match error {
        MigrateError::VersionMissing(version) => Error::Broken(format!(
            "its schema has version {version}, which this release does not know: it was written by a newer one"
        )),
        MigrateError::Execute(error) => error.into(),
        other => Error::Broken(format!("the schema cannot be brought up to date: {other}")),
    })
}

/// What an error of the engine means to us.
pub(super) fn meaning(error: &dyn sqlx::error::DatabaseError) -> Error {
    let text = || error.to_string();
    let code = error.code().unwrap_or_default();
    if error.is_unique_violation() {
        Error::Exists(error.message().to_owned())
    } else if is_contention(&code) {
        Error::Moved
    } else if code == "22021" {
        // PostgreSQL: a text with a NUL character.
        Error::Refused(Class::Invalid, "a text has a character that cannot be stored".into())
    } else if is_passing(&code) {
        Error::Unavailable(text())
    } else {
        Error::Broken(text())
    }
}

/// Whether two transactions were in each other's way and this one was ended for that: class 40 of PostgreSQL, deadlocks
/// and conflicts.
fn is_contention(code: &str) -> bool {
    code.len() == 5 && code.starts_with("40")
}

/// Whether an engine's code says that the same may succeed later. SQLite: busy 5, locked 6, I/O 10, full 13, cannot open
/// 14, read-only 8 (with their extended codes, whose low byte they are). PostgreSQL: classes 08 connection, 53 resources,
/// 57 intervention, 58 system.
fn is_passing(code: &str) -> bool {
    if code.len() == 5 {
        return matches!(&code[..2], "08" | "53" | "57" | "58");
    }
    code.parse::<u32>().is_ok_and(|number| matches!(number & 0xff, 5 | 6 | 8 | 10 | 13 | 14))
}

/// A text as every engine can keep it: programs and agents may say NUL characters, PostgreSQL has none.
pub(super) fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// So many places of bound values in a list, counted from `first`: `$3, $4, $5`.
pub(super) fn numbered(first: usize, count: usize) -> String {
    let places: Vec<String> = (first..first + count).map(|place| format!("${place}")).collect();
    places.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passing_failures_are_told_from_broken_statements() {
        for passing in ["5", "261", "13", "10", "778", "08006", "53100", "57P01"] {
            assert!(is_passing(passing), "{passing}");
        }
        for lasting in ["1", "19", "42601", "23505", ""] {
            assert!(!is_passing(lasting) && !is_contention(lasting), "{lasting}");
        }
        for contention in ["40001", "40P01"] {
            assert!(!is_passing(contention) && is_contention(contention), "{contention}");
        }
    }

    #[test]
    fn paths_become_urls_without_loss() {
        let url = sqlite_url(Path::new("/./a b?c#d%e.db")).unwrap();
        assert_eq!(url, "sqlite:///a%20b%3Fc%23d%25e.db?mode=rwc");
        assert!(
            matches!(sqlite_url(Path::new("/missing/x.db")), Err(Error::Unavailable(text)) if text.contains("/missing/x.db"))
        );
        assert!(matches!(sqlite_url(Path::new("/")), Err(Error::Unavailable(_))));
    }
}
