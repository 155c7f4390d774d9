//! Where the files of sessions stand: one row for each that was begun.

use std::collections::BTreeSet;

use hostler_common::id::SessionId;
use hostler_common::script::Digest;
use hostler_common::time::Timestamp;
use hostler_core::maintenance::state::Reason;

use super::super::tx::{Connection, Result};
use super::{reason_from, reason_text, small, unknown};

/// Where a file stands (spec/maintenance.md §5.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DownloadState {
    /// It is on its way.
    Fetching,
    /// It is here, and what it must be.
    Verified,
    /// It cannot be had, or is not what it must be.
    Failed,
}

impl DownloadState {
    const ALL: [Self; 3] = [Self::Fetching, Self::Verified, Self::Failed];

    /// The stable name, as stored and shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fetching => "FETCHING",
            Self::Verified => "VERIFIED",
            Self::Failed => "FAILED",
        }
    }
}

/// A file of a session that was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DownloadRow {
    /// Its place among the session's files, counted from 0.
    pub place: u32,
    /// Where it stands.
    pub state: DownloadState,
    /// What it is, once it is here.
    pub digest: Option<Digest>,
    /// Its size in bytes, once it is here.
    pub size: Option<u64>,
    /// Why it is not here.
    pub reason: Option<Reason>,
    /// How often it was begun.
    pub attempts: u32,
    /// Since when it stands there.
    pub since: Timestamp,
}

impl DownloadRow {
    /// Whether nothing more is to be done about it, in a session that waits for its files since then: one that failed before is
    /// tried again.
    #[must_use]
    pub fn is_settled(&self, since: Timestamp) -> bool {
        match self.state {
            DownloadState::Fetching => false,
            DownloadState::Verified => true,
            DownloadState::Failed => self.since >= since,
        }
    }
}

/// The files of a session that were begun, in their order.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn download_rows(connection: &mut Connection, session: SessionId) -> Result<Vec<DownloadRow>> {
    type Row = (i64, String, Option<String>, Option<i64>, Option<String>, i64, i64);
    let rows: Vec<Row> = sqlx::query_as(
        "select place, state, sha256, size, reason, attempts, since from maintenance_download \
         where session_id = $1 order by place",
    )
    .bind(session.to_string())
    .fetch_all(connection)
    .await?;
    let read = |(place, state, sha256, size, reason, attempts, since): Row| {
        let known = DownloadState::ALL.into_iter().find(|known| known.name() == state);
        Ok(DownloadRow {
            place: small(place),
            state: known.ok_or_else(|| unknown("state of a download", &state))?,
            digest: sha256.map(|text| text.parse().map_err(|_| unknown("digest", &text))).transpose()?,
            size: size.and_then(|size| u64::try_from(size).ok()),
            reason: reason_from(reason.as_deref())?,
            attempts: small(attempts),
            since: Timestamp::from_micros(since),
        })
    };
    rows.into_iter().map(read).collect()
}

/// Writes where a file stands.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn download_put(connection: &mut Connection, session: SessionId, row: &DownloadRow) -> Result<()> {
    sqlx::query(
        "insert into maintenance_download (session_id, place, state, sha256, size, reason, attempts, since) \
         values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (session_id, place) do update set state = excluded.state, \
         sha256 = excluded.sha256, size = excluded.size, reason = excluded.reason, attempts = excluded.attempts, \
         since = excluded.since",
    )
    .bind(session.to_string())
    .bind(i64::from(row.place))
    .bind(row.state.name())
    .bind(row.digest.map(|digest| digest.to_string()))
    .bind(row.size.map(|size| i64::try_from(size).unwrap_or(i64::MAX)))
    .bind(reason_text(row.reason.as_ref())?)
    .bind(i64::from(row.attempts))
    .bind(row.since.as_micros())
    .execute(connection)
    .await?;
    Ok(())
}

/// What the files are that sessions have which are not deleted.
///
/// # Errors
/// See [`super::super::Error`].
pub async fn download_wanted(connection: &mut Connection) -> Result<BTreeSet<Digest>> {
    let rows: Vec<(String,)> = sqlx::query_as(
        "select distinct d.sha256 from maintenance_download d join maintenance_session s on s.id = d.session_id \
         where s.deleted_at is null and d.sha256 is not null",
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(|(text,)| text.parse().map_err(|_| unknown("digest", &text))).collect()
}
