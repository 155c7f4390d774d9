//! Everything in one text: the counters of the process, what the store knows, what the kernel says of the process.

use hostler_common::time::Timestamp;

use super::figure;
use crate::api::Api;
use crate::metrics::hot::COUNTERS;
use crate::metrics::text::{Kind, Text};
use crate::store::maintenance::{Figures, figures};
use crate::store::{Result, host, job};

/// The content type of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The whole text. A store that does not answer costs the figures that it has, and `hostler_store_up` says so: the
/// metrics are needed most when something is down.
pub async fn gather(api: &Api) -> String {
    let mut text = Text::default();
    text.metric("hostler_build_info", Kind::Gauge, "The version that runs; always 1.");
    text.sample("hostler_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    text.metric("hostler_agents_connected", Kind::Gauge, "Agents that are connected to this manager.");
    text.sample("hostler_agents_connected", &[], api.fleet.connected());
    COUNTERS.write(&mut text);
    let stored = stored(api).await;
    text.metric("hostler_store_up", Kind::Gauge, "Whether the store answers.");
    text.sample("hostler_store_up", &[], u8::from(stored.is_ok()));
    match stored {
        Ok(stored) => stored.write(api.engine.clock.now(), &mut text),
        Err(error) => tracing::warn!(%error, "the metrics of the store cannot be read"),
    }
    write_process(&mut text);
    text.finish()
}

/// What the store counts.
struct Stored {
    hosts: Vec<(String, i64)>,
    jobs: Vec<(String, i64)>,
    maintenance: Figures,
}

async fn stored(api: &Api) -> Result<Stored> {
    let mut connection = api.engine.store.read().await?;
    Ok(Stored {
        hosts: host::host_counts(&mut connection).await?,
        jobs: job::job_counts(&mut connection).await?,
        maintenance: figures(&mut connection).await?,
    })
}

impl Stored {
    fn write(&self, now: Timestamp, text: &mut Text) {
        let counted = |found: &[(String, i64)], name: &str| {
            found.iter().find(|(state, _)| state == name).map_or(0, |(_, count)| *count)
        };
        let name = "hostler_hosts";
        text.metric(name, Kind::Gauge, "Hosts by the state of their agents.");
        for state in host::AgentState::ALL {
            text.sample(name, &[("state", state.name())], counted(&self.hosts, state.name()));
        }
        let name = "hostler_jobs";
        text.metric(name, Kind::Gauge, "Jobs on record by where they stand; old ones are dropped in time.");
        for state in hostler_common::job::JobState::ALL {
            text.sample(name, &[("state", state.name())], counted(&self.jobs, state.name()));
        }
        figure::write(&self.maintenance, now, text);
    }
}

/// What the kernel says of this process; nothing where there is no `/proc`.
fn write_process(text: &mut Text) {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return };
    let number = |key: &str| status_number(&status, key);
    if let Some(kib) = number("VmRSS:") {
        let name = "process_resident_memory_bytes";
        text.metric(name, Kind::Gauge, "Resident memory size in bytes.");
        text.sample(name, &[], kib * 1024);
    }
    if let Some(threads) = number("Threads:") {
        text.metric("process_threads", Kind::Gauge, "Threads of the process.");
        text.sample("process_threads", &[], threads);
    }
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        text.metric("process_open_fds", Kind::Gauge, "Open file descriptors.");
        text.sample("process_open_fds", &[], files.count());
    }
}

fn status_number(status: &str, key: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix(key))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::status_number;

    #[test]
    fn numbers_of_the_status_file() {
        let status = "Name:\thostler\nVmRSS:\t   12345 kB\nThreads:\t9\n";
        assert_eq!(status_number(status, "VmRSS:"), Some(12_345));
        assert_eq!(status_number(status, "Threads:"), Some(9));
        assert_eq!(status_number(status, "VmSwap:"), None);
    }
}
