//! The rules of a link: what an agent is told, and what becomes of what it says (design §4, §5).
//!
//! Knows no socket, so that simulations drive it frame by frame. What a link was told lives in its [`Session`] and may be
//! forgotten at any instant: the next hello finds out what the agent has.

use std::collections::{BTreeMap, HashSet};

use hostler_common::id::{HostId, JobId};
use hostler_common::job::{JobSpec, JobState, JobUpdate, Outcome};
use hostler_common::time::Timestamp;
use hostler_core::machine::Event;
use serde_json::json;

use super::Fleet;
use super::accept::HostCertificate;
use super::enrol::admit;
use crate::store::host::{Greeting, host_offline, host_online};
use crate::store::job::{self, job_open};
use crate::store::{self, event};

/// What an agent says first.
#[derive(Clone, Debug)]
pub struct Hello {
    /// Who it is and where from.
    pub greeting: Greeting,
    /// Its wall clock.
    pub clock: Timestamp,
    /// The jobs of its journal.
    pub journal: BTreeMap<JobId, JobState>,
}

/// One link.
#[derive(Debug)]
pub struct Session {
    /// Whose.
    pub host: HostId,
    /// Since when.
    pub since: Timestamp,
    sent: HashSet<JobId>,
    cancelled: HashSet<JobId>,
}

/// Something that an agent is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// Do this.
    Run(JobSpec),
    /// End that.
    Cancel(JobId),
    /// The outcome of that is recorded.
    Acknowledge(JobId),
}

impl Fleet {
    /// Begins a link: checks the certificate and the clock, and settles what the agent's journal says.
    ///
    /// # Errors
    /// [`store::Error::Refused`] with the reason; see [`store::Error`].
    pub async fn hello(&self, who: &HostCertificate, hello: Hello) -> store::Result<Session> {
        self.check_clock(hello.clock)?;
        let (host, who, now) = (who.host, who.clone(), self.engine.clock.now());
        let greeting = hello.greeting;
        let is_new = self
            .engine
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let is_new = admit(tx, &who, &greeting.address, now).await?;
                    host_online(tx, host, &greeting, now).await?;
                    let event = Event {
                        kind: "agent.connected",
                        subject: host.to_string(),
                        data: json!({ "version": greeting.version, "address": greeting.address }),
                    };
                    event::event_insert(tx, now, None, &event).await?;
                    Ok(is_new)
                })
            })
            .await?;
        if is_new {
            self.look_into(host).await?;
        }
        self.settle(host, &hello.journal).await?;
        self.engine.wake.changed();
        Ok(Session { host, since: now, sent: HashSet::new(), cancelled: HashSet::new() })
    }

    /// Compares the open jobs of a host with its agent's journal. Outcomes come as updates of their own.
    async fn settle(&self, host: HostId, journal: &BTreeMap<JobId, JobState>) -> store::Result<()> {
        for open in self.open_jobs(host).await? {
            let id = open.spec.id;
            match (open.state, journal.get(&id)) {
                // The agent has it and the report of that was lost.
                (_, Some(state)) if !state.is_final() => {
                    self.engine.job_update(host, JobUpdate { job: id, state: *state, outcome: None }).await?;
                }
                // Its outcome follows, or nobody has it yet.
                (_, Some(_)) | (JobState::Queued, None) => {}
                // The agent had it and knows nothing of it: its disk was replaced. Nobody can know how it ended.
                (_, None) => {
                    let outcome = Outcome {
                        reason: Some("the agent's journal does not have the job any more".into()),
                        ..Outcome::default()
                    };
                    let update = JobUpdate { job: id, state: JobState::Lost, outcome: Some(outcome) };
                    self.engine.job_update(host, update).await?;
                }
            }
        }
        Ok(())
    }

    /// What there is to tell the agent now.
    ///
    /// # Errors
    /// See [`store::Error`].
    pub async fn outbox(&self, session: &mut Session) -> store::Result<Vec<Order>> {
        let mut orders = Vec::new();
        for open in self.open_jobs(session.host).await? {
            let id = open.spec.id;
            if !open.cancel {
                if open.state == JobState::Queued && session.sent.insert(id) {
                    orders.push(Order::Run(open.spec));
                }
            } else if open.state == JobState::Queued && !session.sent.contains(&id) {
                // The hello settled what the agent has: it does not have this one.
                self.engine.job_dropped(session.host, id).await?;
            } else if session.cancelled.insert(id) {
                orders.push(Order::Cancel(id));
            }
        }
        Ok(orders)
    }

    /// Takes what an agent says of a job. The answer, if any, may be sent: it is durable what it acknowledges.
    ///
    /// # Errors
    /// See [`store::Error`]; the agent keeps the report and says it again on its next link.
    pub async fn update(&self, session: &Session, update: JobUpdate) -> store::Result<Option<Order>> {
        let (job, ends) = (update.job, update.state.is_final());
        self.engine.job_update(session.host, update).await?;
        Ok(ends.then_some(Order::Acknowledge(job)))
    }

    /// Whether output of that job is taken from the host of this link: it is open, and the host's own.
    ///
    /// # Errors
    /// See [`store::Error`].
    pub async fn output_is_taken(&self, session: &Session, id: JobId) -> store::Result<bool> {
        let outputs = &self.engine.outputs;
        if let Some(own) = outputs.knows(id, session.host) {
            return Ok(own);
        }
        let found = {
            let mut connection = self.engine.store.read().await?;
            job::job_find(&mut connection, id).await?
        };
        let own = found.is_some_and(|job| job.spec.host == session.host && !job.state.is_final());
        if own {
            outputs.begin(id, session.host);
        }
        Ok(own)
    }

    /// The public keys with which scripts may be signed.
    #[must_use]
    pub fn signing_keys(&self) -> Vec<Vec<u8>> {
        self.keys.signing.clone()
    }

    /// Ends a link.
    ///
    /// # Errors
    /// See [`store::Error`].
    pub async fn goodbye(&self, session: &Session, seen_at: Timestamp) -> store::Result<()> {
        let (host, since, now) = (session.host, session.since, self.engine.clock.now());
        self.engine
            .store
            .write(move |tx| {
                Box::pin(async move {
                    if host_offline(tx, host, since, seen_at).await? {
                        let event = Event { kind: "agent.disconnected", subject: host.to_string(), data: json!({}) };
                        event::event_insert(tx, now, None, &event).await?;
                    }
                    Ok(())
                })
            })
            .await?;
        self.engine.wake.changed();
        Ok(())
    }

    async fn open_jobs(&self, host: HostId) -> store::Result<Vec<job::Record>> {
        let mut connection = self.engine.store.read().await?;
        job_open(&mut connection, host).await
    }
}
