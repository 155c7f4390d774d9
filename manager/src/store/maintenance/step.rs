//! The history of sessions: rows are added and ended, never changed again (spec/maintenance.md §5.7).

use std::collections::HashMap;

use hostler_common::id::{HostId, JobId, SessionId};
use hostler_common::time::Timestamp;
use hostler_core::maintenance::row::{StepBegun, StepEnded, StepState};
use hostler_core::maintenance::state::Reason;
use serde_json::Value;
use sqlx::Row as _;
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::super::dialect::storable;
use super::super::host::parse_host;
use super::super::tx::{Connection, Error, Result};
use super::{CHUNK, reason_from, reason_text, rows_of, small};

/// A step of a session.
#[derive(Clone, Debug, PartialEq)]
pub struct StepRow {
    /// Its number: rises with each step of any session.
    pub number: i64,
    /// On which host.
    pub host: Option<HostId>,
    /// About which instance.
    pub instance: Option<String>,
    /// What kind of thing it is: the name of a [`hostler_core::maintenance::row::StepKind`].
    pub kind: String,
    /// What it is called.
    pub name: String,
    /// Which attempt it is, counted from 1.
    pub attempt: u32,
    /// Where it stands: the name of a [`StepState`].
    pub state: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// The job that does it, or did.
    pub job: Option<JobId>,
    /// Who asked for it, where somebody did.
    pub actor: Option<String>,
    /// What it was given.
    pub input: Value,
    /// What it left.
    pub result: Value,
    /// Why it did not end as it should.
    pub error: Option<Reason>,
}

fn step_from(row: &AnyRow) -> Result<StepRow> {
    let (host, job): (Option<String>, Option<String>) = (row.try_get("host_id")?, row.try_get("job_id")?);
    Ok(StepRow {
        number: row.try_get("number")?,
        host: host.as_deref().map(parse_host).transpose()?,
        instance: row.try_get("instance_id")?,
        kind: row.try_get("kind")?,
        name: row.try_get("name")?,
        attempt: small(row.try_get("attempt")?),
        state: row.try_get("state")?,
        started_at: Timestamp::from_micros(row.try_get("started_at")?),
        finished_at: row.try_get::<Option<i64>, _>("finished_at")?.map(Timestamp::from_micros),
        job: job.map(|text| text.parse().map_err(|_| Error::Broken(format!("not a job id: {text}")))).transpose()?,
        actor: row.try_get("actor")?,
        input: serde_json::from_str(row.try_get("input")?)?,
        result: serde_json::from_str(row.try_get("result")?)?,
        error: reason_from(row.try_get::<Option<String>, _>("error")?.as_deref())?,
    })
}

/// Writes steps of a session that begin and steps that end. A key that is there already does not begin again, and one that
/// has ended stays as it is.
///
/// # Errors
/// See [`Error`].
pub async fn step_put_all(
    connection: &mut Connection,
    session: SessionId,
    (begun, ended): (&[StepBegun], &[StepEnded]),
    actor: Option<&str>,
    at: Timestamp,
) -> Result<()> {
    let mut ends: HashMap<Uuid, &StepEnded> = ended.iter().map(|end| (end.key, end)).collect();
    // What begins and ends at once is one row, written once.
    let lines: Vec<(&StepBegun, Option<&StepEnded>)> =
        begun.iter().map(|step| (step, ends.get(&step.key).copied())).collect();
    insert(connection, session, &lines, actor, at).await?;
    for step in begun {
        ends.remove(&step.key);
    }
    for end in ended.iter().filter(|end| ends.contains_key(&end.key)) {
        finish(connection, session, end, at).await?;
    }
    Ok(())
}

async fn insert(
    connection: &mut Connection,
    session: SessionId,
    lines: &[(&StepBegun, Option<&StepEnded>)],
    actor: Option<&str>,
    at: Timestamp,
) -> Result<()> {
    for chunk in lines.chunks(CHUNK) {
        let mut number = numbers(connection, chunk.len()).await?;
        let text = format!(
            "insert into maintenance_step (number, session_id, step_key, host_id, instance_id, kind, name, attempt, state, \
             started_at, finished_at, job_id, actor, input, result, error) values {} \
             on conflict (session_id, step_key) do nothing",
            rows_of(1, chunk.len(), 16)
        );
        let mut query = sqlx::query(sqlx::AssertSqlSafe(text));
        for (step, end) in chunk {
            query = query
                .bind(number)
                .bind(session.to_string())
                .bind(step.key.to_string())
                .bind(step.host.map(|host| host.to_string()))
                .bind(step.instance.as_deref().map(storable))
                .bind(step.kind.name())
                .bind(storable(&step.name))
                .bind(i64::from(step.attempt))
                .bind(end.map_or(StepState::Running, |end| end.state).name())
                .bind(at.as_micros())
                .bind(end.map(|_| at.as_micros()))
                .bind(step.job.map(|job| job.to_string()))
                .bind(actor.map(storable))
                .bind(json_text(&step.input))
                .bind(end.map_or_else(|| "null".into(), |end| json_text(&end.result)))
                .bind(end.map(|end| reason_text(end.error.as_ref())).transpose()?.flatten());
            number += 1;
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// The first of so many fresh numbers.
async fn numbers(connection: &mut Connection, count: usize) -> Result<i64> {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let (last,): (i64,) =
        sqlx::query_as("update counter set value = value + $1 where name = 'maintenance_step' returning value")
            .bind(count)
            .fetch_one(connection)
            .await?;
    Ok(last - count + 1)
}

async fn finish(connection: &mut Connection, session: SessionId, end: &StepEnded, at: Timestamp) -> Result<()> {
    sqlx::query(
        "update maintenance_step set state = $3, finished_at = $4, result = $5, error = $6 \
         where session_id = $1 and step_key = $2 and finished_at is null",
    )
    .bind(session.to_string())
    .bind(end.key.to_string())
    .bind(end.state.name())
    .bind(at.as_micros())
    .bind(json_text(&end.result))
    .bind(reason_text(end.error.as_ref())?)
    .execute(connection)
    .await?;
    Ok(())
}

/// Where the plug-ins of a session stand: of each and each host the last step, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginStand {
    /// Which plug-in.
    pub plugin: String,
    /// On which host; `None` is the one on which the manager runs.
    pub host: Option<HostId>,
    /// The name of a [`StepState`].
    pub state: String,
}

/// See [`PluginStand`].
///
/// # Errors
/// See [`super::super::Error`].
pub async fn plugin_stands(connection: &mut Connection, session: SessionId) -> Result<Vec<PluginStand>> {
    let rows: Vec<(String, Option<String>, String)> = sqlx::query_as(
        "select name, host_id, state from maintenance_step where number in (select max(number) from maintenance_step \
         where session_id = $1 and kind = 'plugin' group by name, host_id) order by name, number",
    )
    .bind(session.to_string())
    .fetch_all(connection)
    .await?;
    let read = |(plugin, host, state): (String, Option<String>, String)| {
        Ok(PluginStand { plugin, host: host.as_deref().map(parse_host).transpose()?, state })
    };
    rows.into_iter().map(read).collect()
}

/// JSON text as every engine can keep it: a NUL character is written as an escape in it, so nothing is lost.
fn json_text(value: &Value) -> String {
    value.to_string()
}

/// Which steps are listed; what is `None` does not restrict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepFilter {
    /// On that host.
    pub host: Option<HostId>,
    /// In that state.
    pub state: Option<String>,
    /// Of that kind.
    pub kind: Option<String>,
}

/// Steps of a session with greater numbers than `after`, in their order.
///
/// # Errors
/// See [`Error`].
pub async fn step_rows(
    connection: &mut Connection,
    session: SessionId,
    filter: &StepFilter,
    after: i64,
    limit: u32,
) -> Result<Vec<StepRow>> {
    let rows = sqlx::query(
        "select number, host_id, instance_id, kind, name, attempt, state, started_at, finished_at, job_id, actor, \
         input, result, error from maintenance_step where session_id = $1 and number > $2 \
         and ($3 = '' or host_id = $3) and ($4 = '' or state = $4) and ($5 = '' or kind = $5) \
         order by number limit $6",
    )
    .bind(session.to_string())
    .bind(after)
    .bind(filter.host.map(|host| host.to_string()).unwrap_or_default())
    .bind(filter.state.clone().unwrap_or_default())
    .bind(filter.kind.clone().unwrap_or_default())
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    rows.iter().map(step_from).collect()
}
