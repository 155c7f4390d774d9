//! Files that steps put in their place: fetched before, removed after.

use std::collections::BTreeSet;

use hostler_common::id::JobId;
use hostler_common::job::Work;
use hostler_common::script::Digest;
use hostler_common::step::Step;
use hostler_common::step::maintenance::Fetch;

use super::{Daemon, Inner, open};
use crate::runner::{Entry, Input};

/// The file that a job puts in its place.
fn file_of(entry: &Entry) -> Option<&Fetch> {
    match &entry.spec.work {
        Work::Step(step) => match step.as_ref() {
            Step::Fetch(fetch) => Some(fetch),
            _ => None,
        },
        Work::Script(_) | Work::Introspect { .. } => None,
    }
}

impl Daemon {
    /// Fetches the file of a job, if nobody does that already.
    pub(super) fn download(&mut self, job: JobId) {
        let Some(entry) = self.runner.entry(job) else { return };
        let Some(fetch) = file_of(entry) else { return };
        let (Ok(digest), size, patience) = (fetch.sha256.parse::<Digest>(), fetch.size, entry.spec.deadline) else {
            return;
        };
        let begin = !self.downloading.contains_key(&digest);
        self.downloading.entry(digest).or_default().push(job);
        if !begin {
            return;
        }
        let (downloads, link, told) = (self.downloads.clone(), self.channel.subscribe(), self.inner.clone());
        tokio::spawn(async move {
            let fetched = downloads.fetch(digest, size, link, patience).await;
            told.send(Inner::Downloaded(digest, fetched)).await.ok();
        });
    }

    /// A file is here, or cannot be had.
    pub(super) async fn downloaded(&mut self, digest: Digest, fetched: Result<(), String>) {
        if let Err(reason) = &fetched {
            tracing::warn!(file = %digest, reason, "a file cannot be had");
        }
        for job in self.downloading.remove(&digest).unwrap_or_default() {
            self.give(Input::Fetched(job, fetched.clone())).await;
        }
        self.tidy_downloads();
    }

    /// Removes files that no job wants any more.
    pub(super) fn tidy_downloads(&self) {
        let wanted = self.runner.entries().filter(|entry| open(entry)).filter_map(file_of);
        let mut wanted: BTreeSet<Digest> = wanted.filter_map(|fetch| fetch.sha256.parse().ok()).collect();
        wanted.extend(self.downloading.keys());
        self.downloads.keep_only(&wanted);
    }
}
