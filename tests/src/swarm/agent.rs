//! One agent of a swarm: the agent's own link and runner over a journal in memory.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hostler_agent::link;
use hostler_agent::runner::{Effect, Fate, Fitness, Input, Limits, Runner, Steps};
use hostler_agent::shared_identity::SharedIdentity;
use hostler_common::id::JobId;
use hostler_common::job::{Captured, JobState, JobUpdate, Merged, Outcome, Work};
use hostler_common::step::maintenance::Boot;
use hostler_common::step::{Step, StepResult};
use hostler_common::time::{Clock as _, SystemClock};
use hostler_proto::v1;
use hostler_proto::v1::agent_frame::Frame as Up;
use hostler_proto::v1::manager_frame::Frame as Down;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::document::Template;

/// The kinds of jobs that they do; scripts write one byte and end, steps change nothing.
const KINDS: [&str; 3] = ["introspect", "script", "step"];

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
    /// How many of them were scripts.
    pub scripts: AtomicU64,
    /// How long it took from one step of a host until the next was there.
    pub gaps: Mutex<Vec<Duration>>,
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
            scripts: AtomicU64::new(0),
            gaps: Mutex::default(),
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
    /// When the last step came.
    stepped: Option<Instant>,
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
        Self { number, shared, runner, runs: 0, documents, stepped: None, up: None, ended, endings, turn: Some(turn) }
    }

    /// Keeps a link to a manager and does what that says, until `stop`.
    pub async fn run(mut self, identity: SharedIdentity, managers: Vec<String>, stop: CancellationToken) {
        let (events, mut happened) = mpsc::channel(8);
        let link = tokio::spawn(link::run(identity.clone(), managers, events, Arc::default(), stop.clone()));
        let host = identity.host();
        // No hooks of a start have to end before.
        self.give(Input::Steps(Steps::Taken)).await;
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
            boot_id: self.boot_id(),
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
        let mut probe = if script { script_takes } else { self.shared.probe };
        if self.step(job).is_some() {
            probe = Duration::ZERO;
            self.note_step();
        } else if !script {
            self.runs += 1;
            self.documents.insert(job, self.runs);
        }
        if script {
            self.shared.scripts.fetch_add(1, Ordering::Relaxed);
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

    /// A step takes no time here: what lies between two of them is the manager's.
    fn note_step(&mut self) {
        let now = Instant::now();
        if let Some(before) = self.stepped.replace(now) {
            self.shared.gaps.lock().unwrap_or_else(PoisonError::into_inner).push(now - before);
        }
    }

    fn step(&self, job: JobId) -> Option<&Step> {
        match &self.runner.entry(job)?.spec.work {
            Work::Step(step) => Some(step),
            _ => None,
        }
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
        if let Some(step) = self.step(job) {
            return said(json!(self.result(step)));
        }
        let Some(run) = self.documents.get(&job) else { return Outcome::default() };
        said(self.shared.template.of(self.number, *run))
    }

    fn result(&self, step: &Step) -> StepResult {
        let after = match step {
            Step::Precheck(_) => json!(Boot { boot_id: self.boot_id(), kernel: "none".into() }),
            _ => Value::Null,
        };
        StepResult { changed: false, before: Value::Null, after, detail: String::new() }
    }

    fn boot_id(&self) -> String {
        uuid::Uuid::from_u128(u128::from(self.number)).to_string()
    }
}

/// The outcome of a program that said that, and no more.
fn said(document: Value) -> Outcome {
    let head = document.to_string().into_bytes();
    let stdout = Captured { total: head.len() as u64, head, tail: Vec::new() };
    Outcome { exit_code: Some(0), stdout, ..Outcome::default() }
}
