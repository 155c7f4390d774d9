//! One agent of a swarm: the agent's own link and runner over a journal in memory.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::time::Duration;

use hostler_agent::link;
use hostler_agent::runner::{Effect, Fate, Fitness, Input, Limits, Runner};
use hostler_agent::shared_identity::SharedIdentity;
use hostler_common::id::JobId;
use hostler_common::job::{Captured, JobState, JobUpdate, Merged, Outcome, Work};
use hostler_common::time::{Clock as _, SystemClock};
use hostler_proto::v1;
use hostler_proto::v1::agent_frame::Frame as Up;
use hostler_proto::v1::manager_frame::Frame as Down;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::document::Template;

/// The kinds of jobs that they do; scripts write one byte and end.
const KINDS: [&str; 2] = ["introspect", "script"];

/// What a script writes.
const BYTE: &[u8] = b"x";

/// What all agents of a swarm share.
#[derive(Debug)]
pub struct Shared {
    /// What they find.
    pub template: Template,
    /// How long their probes take.
    pub probe: Duration,
    /// How long their scripts take, in milliseconds.
    pub script_ms: AtomicU64,
    /// With which code their scripts end.
    pub exit_code: AtomicI32,
    /// How many jobs were begun.
    pub begun: AtomicU64,
    /// How many outcomes the manager acknowledged.
    pub acknowledged: AtomicU64,
    /// How often a link ended.
    pub closed: AtomicU64,
}

impl Shared {
    /// Of a swarm that has done nothing; its scripts end at once, and well.
    #[must_use]
    pub fn new(template: Template, probe: Duration) -> Self {
        Self {
            template,
            probe,
            script_ms: AtomicU64::new(0),
            exit_code: AtomicI32::new(0),
            begun: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            closed: AtomicU64::new(0),
        }
    }
}

/// An agent.
pub struct Agent {
    number: u32,
    shared: Arc<Shared>,
    runner: Runner,
    runs: u32,
    documents: HashMap<JobId, u32>,
    up: Option<mpsc::Sender<v1::AgentFrame>>,
    ended: mpsc::Sender<JobId>,
    endings: mpsc::Receiver<JobId>,
    /// Its place among those that connect; given back when the handshake is done.
    turn: Option<OwnedSemaphorePermit>,
}

impl Agent {
    /// The agent of that number, with an empty journal.
    #[must_use]
    pub fn new(number: u32, shared: Arc<Shared>, turn: OwnedSemaphorePermit) -> Self {
        let limits = Limits { kinds: KINDS.map(str::to_owned).to_vec(), at_once: 2 };
        let (runner, _nothing) = Runner::recover(limits, Vec::new(), |_| Fate::Unknown, |_| Fitness::Ready);
        let (ended, endings) = mpsc::channel(8);
        let documents = HashMap::new();
        Self { number, shared, runner, runs: 0, documents, up: None, ended, endings, turn: Some(turn) }
    }

    /// Keeps a link to a manager and does what that says, until `stop`.
    pub async fn run(mut self, identity: SharedIdentity, managers: Vec<String>, stop: CancellationToken) {
        let (events, mut happened) = mpsc::channel(8);
        let link = tokio::spawn(link::run(identity.clone(), managers, events, Arc::default(), stop.clone()));
        let host = identity.host();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(event) = happened.recv() => match event {
                    link::Event::Opening { up, greeted, .. } => self.greet(up, greeted).await,
                    link::Event::Closed => {
                        self.up = None;
                        self.shared.closed.fetch_add(1, Ordering::Relaxed);
                    }
                    link::Event::Frame(Down::Job(job)) => {
                        if let Ok(spec) = job.into_spec(host) {
                            self.give(Input::Deliver(spec, Fitness::Ready)).await;
                        }
                    }
                    link::Event::Frame(Down::Cancel(cancel)) => {
                        if let Ok(job) = cancel.job() {
                            self.give(Input::Cancel(job)).await;
                        }
                    }
                    link::Event::Frame(Down::Acknowledge(acknowledge)) => {
                        if let Ok(job) = acknowledge.job() {
                            self.shared.acknowledged.fetch_add(1, Ordering::Relaxed);
                            self.give(Input::Acknowledge(job)).await;
                        }
                    }
                    link::Event::Frame(Down::Welcome(_) | Down::Assignment(_) | Down::AcknowledgeReport(_)) => {}
                },
                Some(job) = self.endings.recv() => self.end(job).await,
            }
        }
        drop(self.up.take());
        link.await.ok();
    }

    async fn greet(&mut self, up: mpsc::Sender<v1::AgentFrame>, greeted: oneshot::Sender<()>) {
        self.turn = None;
        let journal = self.runner.journal();
        let hello = v1::Hello {
            version: env!("CARGO_PKG_VERSION").into(),
            boot_id: uuid::Uuid::from_u128(u128::from(self.number)).to_string(),
            clock_us: SystemClock.now().as_micros(),
            capabilities: KINDS.map(str::to_owned).to_vec(),
            journal: journal.into_iter().map(|(job, state)| v1::JournalEntry::new(job, state)).collect(),
            ..v1::Hello::default()
        };
        // The queue is new and empty: there is room for the hello.
        up.try_send(v1::AgentFrame { frame: Some(Up::Hello(hello)) }).ok();
        greeted.send(()).ok();
        self.up = Some(up);
        self.give(Input::Connected).await;
    }

    async fn end(&mut self, job: JobId) {
        let failed = self.runs_script(job) && self.shared.exit_code.load(Ordering::Relaxed) != 0;
        let state = if failed { JobState::Failed } else { JobState::Succeeded };
        self.give(Input::Ended(job, state)).await;
    }

    fn runs_script(&self, job: JobId) -> bool {
        self.runner.entry(job).is_some_and(|entry| matches!(entry.spec.work, Work::Script(_)))
    }

    async fn give(&mut self, input: Input) {
        for effect in self.runner.on(input) {
            match effect {
                // The journal is the runner's own memory, which a swarm does not outlive.
                Effect::Record(_) | Effect::Watch(_) | Effect::Stop(_) | Effect::Fetch(_) | Effect::Clear(_) => {}
                Effect::Forget(job) | Effect::Remove(job) => {
                    self.documents.remove(&job);
                }
                Effect::Start(job) => self.start(job).await,
                Effect::Report(job) => self.report(job).await,
            }
        }
    }

    async fn start(&mut self, job: JobId) {
        self.shared.begun.fetch_add(1, Ordering::Relaxed);
        let script = self.runs_script(job);
        let ended = self.ended.clone();
        let script_takes = Duration::from_millis(self.shared.script_ms.load(Ordering::Relaxed));
        let probe = if script { script_takes } else { self.shared.probe };
        if !script {
            self.runs += 1;
            self.documents.insert(job, self.runs);
        }
        if script {
            let output = v1::Output { id: job.to_string(), offset: 0, data: BYTE.into(), stderr: false };
            if let Some(up) = &self.up {
                // A link that is gone has no watchers.
                up.send(v1::AgentFrame { frame: Some(Up::Output(output)) }).await.ok();
            }
        }
        tokio::spawn(async move {
            if !probe.is_zero() {
                tokio::time::sleep(probe).await;
            }
            // The agent is gone when the swarm ends.
            ended.send(job).await.ok();
        });
    }

    async fn report(&mut self, job: JobId) {
        let (Some(up), Some(state)) = (&self.up, self.runner.entry(job).and_then(|entry| entry.phase.state())) else {
            return;
        };
        let outcome = state.is_final().then(|| self.outcome(job));
        let update = JobUpdate { job, state, outcome };
        if up.send(v1::AgentFrame { frame: Some(Up::Update(update.into())) }).await.is_err() {
            self.up = None;
        }
    }

    fn outcome(&self, job: JobId) -> Outcome {
        if self.runs_script(job) {
            let bytes = Captured { head: BYTE.into(), tail: Vec::new(), total: BYTE.len() as u64 };
            let merged = Some(Merged { bytes, ..Merged::default() });
            let exit_code = Some(self.shared.exit_code.load(Ordering::Relaxed));
            return Outcome { exit_code, merged, ..Outcome::default() };
        }
        let Some(run) = self.documents.get(&job) else { return Outcome::default() };
        let head = self.shared.template.of(self.number, *run).to_string().into_bytes();
        let stdout = Captured { total: head.len() as u64, head, tail: Vec::new() };
        Outcome { exit_code: Some(0), stdout, ..Outcome::default() }
    }
}
