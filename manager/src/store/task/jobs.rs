//! Which jobs run the script of a task, for those who watch what it writes.

use std::collections::HashMap;

use hostler_common::id::{JobId, TaskId};

use crate::store::tx::{Connection, Error, Result};

/// Where a job runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    /// The host's small number; `None` if the host is gone.
    pub number: Option<i64>,
    /// The host's name.
    pub name: String,
}

/// The jobs of a task, with their hosts.
///
/// # Errors
/// See [`Error`].
pub async fn task_jobs(connection: &mut Connection, task: TaskId) -> Result<HashMap<JobId, Seat>> {
    let rows: Vec<(String, Option<i64>, String)> =
        sqlx::query_as("select job_id, host_number, host_name from target where task = $1")
            .bind(task.0)
            .fetch_all(connection)
            .await?;
    rows.into_iter()
        .map(|(job, number, name)| {
            let job = job.parse().map_err(|_| Error::Broken(format!("not a job id: {job}")))?;
            Ok((job, Seat { number, name }))
        })
        .collect()
}
