//! What the manager has to hear, until the link takes it: nobody waits for a slow link, and nothing of it is kept twice, as
//! everything is on the disk already.

use std::collections::BTreeSet;

use hostler_common::cluster::ClusterState;
use hostler_common::id::JobId;
use hostler_proto::v1::AgentFrame;
use tokio::sync::mpsc::{OwnedPermit, Sender};

/// What is to be sent next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// The first report after this number, if there is one.
    Report(u64),
    /// What a cluster is like.
    Cluster(Box<ClusterState>),
    /// Where a job stands.
    Job(JobId),
}

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    link: Option<Sender<AgentFrame>>,
    /// Reports up to this number were sent on this link.
    reported: u64,
    more_reports: bool,
    /// Only the latest counts.
    cluster: Option<ClusterState>,
    jobs: BTreeSet<JobId>,
}

impl Outbox {
    /// A link begins.
    pub(super) fn open(&mut self, link: Sender<AgentFrame>) {
        *self = Self { link: Some(link), more_reports: true, cluster: self.cluster.take(), ..Self::default() };
    }

    /// The link is gone. What was not sent is found again on the disk.
    pub(super) fn close(&mut self) {
        self.link = None;
        self.jobs.clear();
    }

    pub(super) fn link(&self) -> Option<&Sender<AgentFrame>> {
        self.link.as_ref()
    }

    pub(super) fn job(&mut self, job: JobId) {
        if self.link.is_some() {
            self.jobs.insert(job);
        }
    }

    pub(super) fn report(&mut self) {
        self.more_reports = true;
    }

    pub(super) fn cluster(&mut self, state: ClusterState) {
        self.cluster = Some(state);
    }

    /// Waits until there is something to send and room for it on the link.
    pub(super) async fn room(&self) -> OwnedPermit<AgentFrame> {
        if let Some(link) = &self.link
            && (self.more_reports || self.cluster.is_some() || !self.jobs.is_empty())
            && let Ok(permit) = link.clone().reserve_owned().await
        {
            return permit;
        }
        // A link that is gone says so next.
        std::future::pending().await
    }

    /// What is sent next: first what happened, as the jobs belong to it.
    pub(super) fn next(&mut self) -> Option<Item> {
        if self.more_reports {
            return Some(Item::Report(self.reported));
        }
        if let Some(state) = self.cluster.take() {
            return Some(Item::Cluster(Box::new(state)));
        }
        self.jobs.pop_first().map(Item::Job)
    }

    /// What became of [`Item::Report`]: the number of the one that was sent.
    pub(super) fn sent_report(&mut self, number: Option<u64>) {
        match number {
            Some(number) => self.reported = number,
            None => self.more_reports = false,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;
    use uuid::Uuid;

    use super::*;

    #[tokio::test]
    async fn reports_go_before_the_jobs_that_belong_to_them() {
        let job = JobId(Uuid::from_u128(1));
        let mut outbox = Outbox::default();
        outbox.job(job);
        assert_eq!(outbox.next(), None, "without a link nothing is kept");
        let (link, mut sent) = mpsc::channel(1);
        outbox.open(link);
        outbox.job(job);
        outbox.cluster(ClusterState::default());
        outbox.room().await.send(AgentFrame::default());
        assert_eq!(outbox.next(), Some(Item::Report(0)));
        outbox.sent_report(Some(4));
        assert_eq!(outbox.next(), Some(Item::Report(4)));
        outbox.sent_report(None);
        assert_eq!(outbox.next(), Some(Item::Cluster(Box::default())));
        // The link is full.
        let waits = tokio::time::timeout(std::time::Duration::from_millis(20), outbox.room()).await;
        assert!(waits.is_err());
        sent.recv().await.unwrap();
        outbox.room().await;
        assert_eq!((outbox.next(), outbox.next()), (Some(Item::Job(job)), None));
    }
}
