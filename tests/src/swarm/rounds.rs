//! What is asked of a swarm, and how long that takes.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _};
use hostler_common::id::HostId;
use hostler_common::time::Timestamp;
use tokio::time::Instant;

use super::rest::Rest;

/// How often the list is asked for while all hosts are awaited.
const POLL: Duration = Duration::from_millis(100);

/// How often one record is asked for while it is awaited.
const WATCH: Duration = Duration::from_millis(2);

/// Waits until `agents` are connected.
///
/// # Errors
/// They are not within `patience`, or the manager does not answer.
pub async fn all_connected(rest: &Rest, agents: u64, patience: Duration) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    loop {
        let connected = rest.connected().await?;
        if connected >= agents {
            return Ok(begun.elapsed());
        }
        anyhow::ensure!(begun.elapsed() < patience, "{connected} of {agents} agents are connected");
        tokio::time::sleep(POLL).await;
    }
}

/// What came of a round over all hosts.
#[derive(Clone, Debug)]
pub struct Round {
    /// From the first request until the list showed every host as finished.
    pub took: Duration,
    /// From start to end of each, by the manager's own record.
    pub each: Vec<Duration>,
    /// How long each start was in being accepted.
    pub accepts: Vec<Duration>,
    /// Those that ended otherwise than they should.
    pub errors: Vec<String>,
}

/// Waits until every one of `hosts` has a run that ended, and that is none of `before`.
///
/// # Errors
/// They have not within `patience`, or the manager does not answer.
pub async fn all_ended(
    rest: &Rest,
    hosts: &[HostId],
    before: &HashMap<HostId, Timestamp>,
    patience: Duration,
) -> anyhow::Result<Round> {
    let begun = Instant::now();
    loop {
        let statuses = rest.statuses().await?;
        let ended: Vec<_> = hosts
            .iter()
            .filter_map(|host| statuses.get(host).filter(|status| before.get(host) != Some(&status.started_at)))
            .filter(|status| status.finished_at.is_some())
            .collect();
        if ended.len() == hosts.len() {
            let each = ended.iter().filter_map(|status| status.took()).collect();
            let errors = ended.iter().filter_map(|status| status.error.clone()).collect();
            return Ok(Round { took: begun.elapsed(), each, accepts: Vec::new(), errors });
        }
        anyhow::ensure!(begun.elapsed() < patience, "{} of {} introspections ended", ended.len(), hosts.len());
        tokio::time::sleep(POLL).await;
    }
}

/// Starts an introspection of every host, `at_once` requests at a time, and waits until all ended.
///
/// # Errors
/// A start is refused, or not all end within `patience`.
pub async fn introspect(rest: &Rest, hosts: &[HostId], at_once: usize, patience: Duration) -> anyhow::Result<Round> {
    let before: HashMap<_, _> =
        rest.statuses().await?.into_iter().map(|(host, status)| (host, status.started_at)).collect();
    let begun = Instant::now();
    let starts = futures::stream::iter(hosts).map(|host| async move {
        let begun = Instant::now();
        rest.start(&host.to_string()).await?;
        anyhow::Ok(begun.elapsed())
    });
    let accepts: Vec<Duration> = starts.buffer_unordered(at_once.max(1)).try_collect().await?;
    let round = all_ended(rest, hosts, &before, patience).await?;
    Ok(Round { took: begun.elapsed(), accepts, ..round })
}

/// How long one introspection takes for its client: from the request until the record shows its end.
///
/// # Errors
/// It is refused, ends otherwise than it should, or not within `patience`.
pub async fn latency(rest: &Rest, host: &str, patience: Duration) -> anyhow::Result<Duration> {
    let before = rest.status(host).await.ok().map(|status| status.started_at);
    let begun = Instant::now();
    rest.start(host).await?;
    loop {
        let status = rest.status(host).await?;
        if status.finished_at.is_some() && before != Some(status.started_at) {
            let took = begun.elapsed();
            return match status.error {
                Some(error) => Err(anyhow::anyhow!(error)).with_context(|| host.to_owned()),
                None => Ok(took),
            };
        }
        anyhow::ensure!(begun.elapsed() < patience, "{host}: still {} after {patience:?}", status.state);
        tokio::time::sleep(WATCH).await;
    }
}
