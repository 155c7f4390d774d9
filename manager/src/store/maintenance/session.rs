//! Sessions: what lists show of them. The rest of a session is in the document of its machine.

use hostler_common::error::Class;
use hostler_common::id::{HostId, SessionId};
use hostler_common::time::Timestamp;
use hostler_core::maintenance::spec::{Spec, Workflow};
use hostler_core::maintenance::state::State;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::super::dialect::{numbered, storable};
use super::super::tx::{Connection, Error, Result, next_number};
use super::{small, unknown};

/// A session as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// Which.
    pub id: SessionId,
    /// Its place among all: rises with each.
    pub number: i64,
    /// Its state.
    pub state: State,
    /// The state in which it failed.
    pub prev_state: Option<State>,
    /// Whether it is paused.
    pub paused: bool,
    /// Percent of hosts that are done.
    pub percent: u8,
    /// When it begins.
    pub maintenance_at: Timestamp,
    /// What was asked for.
    pub spec: Spec,
    /// Who asked.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// Since when it is in its state.
    pub entered_at: Timestamp,
    /// When it was deleted.
    pub deleted_at: Option<Timestamp>,
}

const COLUMNS: &str = "s.id, s.number, s.state, s.prev_state, s.paused, s.percent, s.maintenance_at, s.spec, s.created_by, \
                       s.created_at, s.entered_at, s.deleted_at";

fn state_of(text: &str) -> Result<State> {
    State::from_name(text).ok_or_else(|| unknown("state of a session", text))
}

fn session_from(row: &AnyRow) -> Result<SessionRow> {
    let id: String = row.try_get("id")?;
    let prev_state: Option<String> = row.try_get("prev_state")?;
    Ok(SessionRow {
        id: session_id(&id)?,
        number: row.try_get("number")?,
        state: state_of(row.try_get("state")?)?,
        prev_state: prev_state.map(|text| state_of(&text)).transpose()?,
        paused: row.try_get::<i64, _>("paused")? != 0,
        percent: u8::try_from(small(row.try_get("percent")?)).unwrap_or(100),
        maintenance_at: Timestamp::from_micros(row.try_get("maintenance_at")?),
        spec: serde_json::from_str(row.try_get("spec")?)?,
        created_by: row.try_get("created_by")?,
        created_at: Timestamp::from_micros(row.try_get("created_at")?),
        entered_at: Timestamp::from_micros(row.try_get("entered_at")?),
        deleted_at: row.try_get::<Option<i64>, _>("deleted_at")?.map(Timestamp::from_micros),
    })
}

pub(super) fn session_id(text: &str) -> Result<SessionId> {
    text.parse().map_err(|_| Error::Broken(format!("not the id of a session: {text}")))
}

/// A session that is about to be made.
#[derive(Clone, Copy, Debug)]
pub struct NewSession<'a> {
    /// Its id.
    pub id: SessionId,
    /// What is asked for.
    pub spec: &'a Spec,
    /// Who asks.
    pub actor: &'a str,
}

/// The number of a session that is about to be made. Until its transaction ends, no other one gets an answer, so that two
/// never take the same last place.
///
/// # Errors
/// See [`Error`].
pub async fn session_number(connection: &mut Connection) -> Result<i64> {
    next_number(connection, "maintenance_session").await
}

/// A new session, in its first state.
///
/// # Errors
/// [`Error::Exists`] if the id is taken; see [`Error`].
pub async fn session_insert(
    connection: &mut Connection,
    number: i64,
    new: NewSession<'_>,
    at: Timestamp,
) -> Result<()> {
    sqlx::query(
        "insert into maintenance_session (id, number, state, paused, percent, maintenance_at, workflow, name, spec, \
         created_by, created_at, entered_at) values ($1, $2, $3, 0, 0, $4, $5, $6, $7, $8, $9, $9)",
    )
    .bind(new.id.to_string())
    .bind(number)
    .bind(State::Maintenance.name())
    .bind(new.spec.maintenance_at.as_micros())
    .bind(Workflow::name(new.spec.workflow))
    .bind(new.spec.name.as_deref().map(storable))
    .bind(storable(&serde_json::to_string(new.spec)?))
    .bind(storable(new.actor))
    .bind(at.as_micros())
    .execute(connection)
    .await?;
    Ok(())
}

/// What changes of a session's row.
#[derive(Clone, Copy, Debug)]
pub struct SessionChange {
    /// Its state.
    pub state: State,
    /// The state in which it failed.
    pub prev_state: Option<State>,
    /// Whether it is paused.
    pub paused: bool,
    /// Percent of hosts that are done.
    pub percent: u8,
    /// When it begins.
    pub maintenance_at: Timestamp,
    /// Whether it was deleted.
    pub deleted: bool,
}

/// Writes what lists show of a session. The moment of its deletion stays the first one.
///
/// # Errors
/// See [`Error`].
pub async fn session_update(
    connection: &mut Connection,
    id: SessionId,
    new: SessionChange,
    at: Timestamp,
) -> Result<()> {
    sqlx::query(
        "update maintenance_session set entered_at = case when state = $2 then entered_at else $7 end, state = $2, \
         prev_state = $3, paused = $4, percent = $5, maintenance_at = $6, deleted_at = case when $8 = 0 then null else coalesce(deleted_at, $7) end where id = $1",
    )
    .bind(id.to_string())
    .bind(new.state.name())
    .bind(new.prev_state.map(State::name))
    .bind(i64::from(new.paused))
    .bind(i64::from(new.percent))
    .bind(new.maintenance_at.as_micros())
    .bind(at.as_micros())
    .bind(i64::from(new.deleted))
    .execute(connection)
    .await?;
    Ok(())
}

/// The session of that id, deleted or not.
///
/// # Errors
/// See [`Error`].
pub async fn session_get(connection: &mut Connection, id: SessionId) -> Result<Option<SessionRow>> {
    let text = format!("select {COLUMNS} from maintenance_session s where s.id = $1");
    let row = sqlx::query(sqlx::AssertSqlSafe(text)).bind(id.to_string()).fetch_optional(connection).await?;
    row.as_ref().map(session_from).transpose()
}

/// Which sessions are listed; what is `None` does not restrict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Deleted ones, rather than those that are not.
    pub deleted: bool,
    /// In that state.
    pub state: Option<State>,
    /// With that host.
    pub host: Option<HostId>,
    /// With that project.
    pub project: Option<String>,
    /// After that session in the order of the list.
    pub after: Option<SessionId>,
    /// At most so many; `None` means all.
    pub limit: Option<u32>,
}

/// Sessions, the newest last.
///
/// # Errors
/// Class `NotFound` if the session after which the list is to begin is unknown; see [`Error`].
pub async fn session_list(connection: &mut Connection, filter: &Filter) -> Result<Vec<SessionRow>> {
    let after = match filter.after {
        None => 0,
        Some(id) => {
            session_get(connection, id)
                .await?
                .ok_or_else(|| Error::Refused(Class::NotFound, format!("there is no session {id}")))?
                .number
        }
    };
    let text = format!(
        "select {COLUMNS} from maintenance_session s where s.number > $1 and (s.deleted_at is not null) = ($2 = 1) \
         and ($3 = '' or s.state = $3) \
         and ($4 = '' or exists (select 1 from maintenance_host h where h.session_id = s.id and h.host_id = $4)) \
         and ($5 = '' or exists (select 1 from maintenance_project p where p.session_id = s.id and p.project_id = $5)) \
         order by s.number limit $6"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(text))
        .bind(after)
        .bind(i64::from(filter.deleted))
        .bind(filter.state.map_or("", State::name))
        .bind(filter.host.map(|host| host.to_string()).unwrap_or_default())
        .bind(filter.project.clone().unwrap_or_default())
        .bind(i64::from(filter.limit.unwrap_or(i32::MAX.unsigned_abs())))
        .fetch_all(connection)
        .await?;
    rows.iter().map(session_from).collect()
}

/// The names of the states in which a session is over.
const OVER: [&str; 2] = ["MAINTENANCE_DONE", "MAINTENANCE_FAILED"];

/// How many sessions but this one are neither over nor deleted.
///
/// # Errors
/// See [`Error`].
pub async fn session_active(connection: &mut Connection, but: SessionId) -> Result<u32> {
    let text = format!(
        "select count(*) from maintenance_session where id <> $1 and deleted_at is null and state not in ({})",
        numbered(2, OVER.len())
    );
    let query = sqlx::query_as(sqlx::AssertSqlSafe(text)).bind(but.to_string());
    let query = OVER.iter().fold(query, |query, state| query.bind(*state));
    let (count,): (i64,) = query.fetch_one(connection).await?;
    Ok(small(count))
}
