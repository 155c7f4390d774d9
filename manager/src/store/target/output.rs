//! What scripts wrote: kept with their targets, put together when somebody reads it (spec/hooks.md §9, §10).

use hostler_common::id::{HostId, JobId, TaskId};
use hostler_common::job::{Captured, Merged, Stream};
use hostler_common::time::Timestamp;
use hostler_core::run::target::TargetState;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::read::parse_job;
use crate::store::tx::{Connection, Result};

/// The output of one target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The host's name.
    pub name: String,
    /// The bytes of both streams in the order of their arrival.
    pub bytes: Captured,
    /// Where the stream changes.
    pub marks: Vec<(u64, Stream)>,
    /// Why the target is not `ok`.
    pub error: Option<String>,
}

impl Kept {
    /// The bytes as text, with a line in the place of what was not kept.
    #[must_use]
    pub fn text(&self) -> String {
        let bytes = &self.bytes;
        let mut text = String::from_utf8_lossy(&bytes.head).into_owned();
        let kept = (bytes.head.len() + bytes.tail.len()) as u64;
        if bytes.total > kept {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(&format!("… {} bytes omitted …\n", bytes.total - kept));
        }
        text.push_str(&String::from_utf8_lossy(&bytes.tail));
        text
    }
}

const COLUMNS: &str = "select position, host_name, error, output_bytes, head, tail, marks from target";

fn kept_from(row: &AnyRow) -> Result<Kept> {
    let bytes = |name: &str| -> Result<Vec<u8>> { Ok(row.try_get::<Option<Vec<u8>>, _>(name)?.unwrap_or_default()) };
    let marks: Option<String> = row.try_get("marks")?;
    Ok(Kept {
        name: row.try_get("host_name")?,
        bytes: Captured {
            head: bytes("head")?,
            tail: bytes("tail")?,
            total: u64::try_from(row.try_get::<i64, _>("output_bytes")?).unwrap_or(0),
        },
        marks: marks.map(|marks| serde_json::from_str(&marks)).transpose()?.unwrap_or_default(),
        error: row.try_get("error")?,
    })
}

/// What a script wrote on one host of a task; `None` if the task has no such host.
///
/// # Errors
/// See [`crate::store::Error`].
pub async fn target_output(connection: &mut Connection, task: TaskId, host: HostId) -> Result<Option<Kept>> {
    let text = format!("{COLUMNS} where task = $1 and host_id = $2");
    let row =
        sqlx::query(sqlx::AssertSqlSafe(text)).bind(task.0).bind(host.to_string()).fetch_optional(connection).await?;
    row.as_ref().map(kept_from).transpose()
}

/// How many targets are read in one go.
const PAGE: i64 = 16;

/// What a script wrote so far, while it runs.
pub type Live<'a> = &'a (dyn Fn(JobId) -> Option<Merged> + Sync);

/// The last `max` bytes of what a script wrote on all hosts of a task, one host after the other; with several hosts, each
/// line begins with the host. Empty for a task that has no targets. The store does not have what those wrote whose scripts
/// still run: `live` knows it, and is not needed for a task that is over.
///
/// # Errors
/// See [`crate::store::Error`].
pub async fn task_text(
    connection: &mut Connection,
    task: TaskId,
    max: usize,
    live: Option<Live<'_>>,
) -> Result<String> {
    let (total,): (i64,) =
        sqlx::query_as("select count(*) from target where task = $1").bind(task.0).fetch_one(&mut *connection).await?;
    let mut parts = match live {
        Some(live) => running_parts(connection, task, max, (live, total > 1)).await?,
        None => Vec::new(),
    };
    let (mut size, mut before): (usize, Option<i64>) = (0, None);
    let page = if max <= 64 << 10 { 1 } else { PAGE };
    let text = format!(
        "{COLUMNS} where task = $1 and position < $2 and (output_bytes > 0 or error is not null) \
         order by position desc limit $3"
    );
    while size < max {
        let rows = sqlx::query(sqlx::AssertSqlSafe(text.clone()))
            .bind(task.0)
            .bind(before.unwrap_or(i64::MAX))
            .bind(page)
            .fetch_all(&mut *connection)
            .await?;
        for row in &rows {
            let position = row.try_get("position")?;
            before = Some(position);
            let part = lines(&kept_from(row)?, total > 1);
            size += part.len();
            parts.push((position, part));
        }
        if rows.len() < usize::try_from(page).unwrap_or(1) {
            break;
        }
    }
    parts.sort_unstable_by_key(|(position, _)| *position);
    Ok(last(&parts.into_iter().map(|(_, part)| part).collect::<String>(), max))
}

/// The last `max` bytes, or somewhat more, of what those targets wrote so far whose scripts run; each with its position.
async fn running_parts(
    connection: &mut Connection,
    task: TaskId,
    max: usize,
    (live, prefixed): (Live<'_>, bool),
) -> Result<Vec<(i64, String)>> {
    let text = "select position, host_name, job_id from target \
                where task = $1 and state = $2 and output_bytes = 0 order by position desc";
    let rows: Vec<(i64, String, String)> =
        sqlx::query_as(text).bind(task.0).bind(TargetState::Running.name()).fetch_all(connection).await?;
    let (mut parts, mut size) = (Vec::new(), 0);
    for (position, name, job) in rows {
        if size >= max {
            break;
        }
        let Some(so_far) = live(parse_job(&job)?) else { continue };
        let part = lines(&Kept { name, bytes: so_far.bytes, marks: so_far.marks, error: None }, prefixed);
        size += part.len();
        parts.push((position, part));
    }
    Ok(parts)
}

/// The output of one target as lines; the reason of a failure is the last one, if the script said nothing itself.
fn lines(kept: &Kept, prefixed: bool) -> String {
    let mut text = kept.text();
    if let Some(error) = kept.error.as_ref().filter(|_| text.is_empty()) {
        text = format!("{error}\n");
    }
    if !prefixed {
        return text;
    }
    text.lines().map(|line| format!("[{}] {line}\n", kept.name)).collect()
}

/// The last `max` bytes of a text, from the beginning of a character on.
fn last(text: &str, max: usize) -> String {
    let mut from = text.len().saturating_sub(max);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    text[from..].to_owned()
}

/// Forgets what scripts wrote that ended before `until`; returns on how many targets.
///
/// # Errors
/// See [`crate::store::Error`].
pub async fn output_prune(connection: &mut Connection, until: Timestamp, limit: u32) -> Result<u64> {
    let done = sqlx::query(
        "update target set head = null, tail = null, marks = null, truncated = 1 where job_id in \
         (select job_id from target where finished_at < $1 and head is not null order by finished_at limit $2)",
    )
    .bind(until.as_micros())
    .bind(i64::from(limit))
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_has_a_line() {
        let bytes = Captured { head: b"begin".to_vec(), tail: b"end\n".to_vec(), total: 100 };
        let kept = Kept { name: "a".into(), bytes, ..Kept::default() };
        assert_eq!(kept.text(), "begin\n… 91 bytes omitted …\nend\n");
        assert_eq!(lines(&kept, true), "[a] begin\n[a] … 91 bytes omitted …\n[a] end\n");
        let failed = Kept { name: "b".into(), error: Some("away".into()), ..Kept::default() };
        assert_eq!(lines(&failed, true), "[b] away\n");
        let binary = Captured { head: vec![b'a', 0xff, b'b'], tail: Vec::new(), total: 3 };
        assert_eq!(Kept { bytes: binary, ..Kept::default() }.text(), "a\u{fffd}b");
    }

    #[test]
    fn the_end_of_a_text_begins_with_a_character() {
        assert_eq!(last("aéb", 2), "b");
        assert_eq!(last("aéb", 3), "éb");
        assert_eq!(last("ab", 9), "ab");
    }
}
