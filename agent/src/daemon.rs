//! The running agent: gives what happens to the runner and carries out what it answers, in order.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use hostler_common::id::JobId;
use hostler_common::job::{DOCUMENT_MAX, JobSpec, Work};
use hostler_common::time::{Clock, SystemClock};
use hostler_proto::v1;
use hostler_proto::v1::agent_frame::Frame as Up;
use hostler_proto::v1::manager_frame::Frame as Down;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::journal::Journal;
use crate::link;
use crate::process::Program;
use crate::process::contain;
use crate::runner::{Effect, Fate, Input, Limits, Runner};
use crate::shared_identity::SharedIdentity;

/// How long a program has between TERM and KILL.
const GRACE: Duration = Duration::from_secs(10);

/// How long the daemon waits before it writes to the journal again, on a full disk.
const RETRY: Duration = Duration::from_secs(1);

/// The agent.
pub struct Daemon {
    journal: Journal,
    runner: Runner,
    identity: SharedIdentity,
    /// This executable, as it was found when the agent started: an upgrade replaces the file and keeps the name.
    executable: PathBuf,
    state_dir: PathBuf,
    capabilities: Vec<String>,
    /// The steps that the host allows.
    steps: Vec<String>,
    up: Option<mpsc::Sender<v1::AgentFrame>>,
    ended: mpsc::Sender<JobId>,
    endings: mpsc::Receiver<JobId>,
}

impl Daemon {
    /// Takes up the journal in `state_dir`.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn new(state_dir: PathBuf, identity: SharedIdentity, config: &Config) -> io::Result<Self> {
        let journal = Journal::open(&state_dir)?;
        let limits = Limits { kinds: config.allow.jobs.clone(), at_once: config.allow.jobs_at_once };
        let (runner, effects) = Runner::recover(limits, journal.entries()?, |spec| fate(&journal, spec));
        let (ended, endings) = mpsc::channel(64);
        let mut daemon = Self {
            journal,
            runner,
            identity,
            executable: std::env::current_exe()?,
            state_dir,
            capabilities: config.allow.jobs.clone(),
            steps: config.allow.steps.clone(),
            up: None,
            ended,
            endings,
        };
        daemon.perform(effects).await;
        Ok(daemon)
    }

    /// Runs until `stop`. Programs go on without the agent.
    pub async fn run(mut self, managers: Vec<String>, stop: CancellationToken) {
        let (events, mut happened) = mpsc::channel(64);
        let link = tokio::spawn(link::run(self.identity.clone(), managers, events, stop.clone()));
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(event) = happened.recv() => self.take(event).await,
                Some(job) = self.endings.recv() => self.program_ended(job).await,
            }
        }
        drop(self.up.take());
        drop(link.await);
    }

    async fn take(&mut self, event: link::Event) {
        match event {
            link::Event::Opening(up, greeted) => self.greet(up, greeted).await,
            link::Event::Closed => self.up = None,
            link::Event::Frame(frame) => {
                if let Some(input) = self.input_of(frame) {
                    self.give(input).await;
                }
            }
        }
    }

    async fn greet(&mut self, up: mpsc::Sender<v1::AgentFrame>, greeted: oneshot::Sender<()>) {
        let journal = self.runner.journal();
        let hello = v1::Hello {
            version: env!("CARGO_PKG_VERSION").into(),
            boot_id: boot_id(),
            clock_us: SystemClock.now().as_micros(),
            capabilities: self.capabilities.clone(),
            journal: journal.into_iter().map(|(job, state)| v1::JournalEntry::new(job, state)).collect(),
            ..v1::Hello::default()
        };
        // The queue is new and empty: there is room for the hello.
        up.try_send(v1::AgentFrame { frame: Some(Up::Hello(hello)) }).ok();
        // The link may be gone already; then it says so next.
        greeted.send(()).ok();
        self.up = Some(up);
        self.give(Input::Connected).await;
    }

    /// What a frame means to the runner; `None` if nothing.
    fn input_of(&self, frame: Down) -> Option<Input> {
        let read = match frame {
            Down::Job(job) => job.into_spec(self.identity.host()).map(Input::Deliver),
            Down::Cancel(cancel) => cancel.job().map(Input::Cancel),
            Down::Acknowledge(acknowledge) => acknowledge.job().map(Input::Acknowledge),
            Down::Welcome(_) | Down::Assignment(_) | Down::AcknowledgeReport(_) => return None,
        };
        read.inspect_err(|error| tracing::warn!(%error, "an order cannot be understood")).ok()
    }

    async fn program_ended(&mut self, job: JobId) {
        let input = match self.journal.end_state(job) {
            Ok(Some(state)) => Input::Ended(job, state),
            Ok(None) => Input::Ended(job, hostler_common::job::JobState::Lost),
            Err(error) => {
                tracing::error!(%job, %error, "the end of a program cannot be read");
                Input::Ended(job, hostler_common::job::JobState::Lost)
            }
        };
        self.give(input).await;
    }

    async fn give(&mut self, input: Input) {
        let effects = self.runner.on(input);
        self.perform(effects).await;
    }

    /// Carries out effects in their order. What a failure leads to is an input like others.
    async fn perform(&mut self, effects: Vec<Effect>) {
        let mut queue = std::collections::VecDeque::from(effects);
        while let Some(effect) = queue.pop_front() {
            match effect {
                Effect::Record(job) => self.record(job).await,
                Effect::Forget(job) => self.tidy(job, "forgotten", |journal, entry| journal.forget(entry)),
                Effect::Remove(job) => {
                    if let Err(error) = self.journal.remove(job) {
                        tracing::warn!(%job, %error, "a job cannot be removed from the journal");
                    }
                }
                Effect::Start(job) => {
                    if let Err(error) = self.start(job) {
                        queue.extend(self.runner.on(Input::NotStarted(job, error.to_string())));
                    }
                }
                Effect::Watch(job) => self.watch(job),
                Effect::Stop(job) => self.stop(job),
                Effect::Report(job) => self.report(job).await,
            }
        }
    }

    /// Writes an entry, however long that takes: nothing that depends on it may happen before.
    async fn record(&self, job: JobId) {
        let Some(entry) = self.runner.entry(job) else { return };
        while let Err(error) = self.journal.record(entry) {
            tracing::error!(%job, %error, "the journal cannot be written; trying again");
            tokio::time::sleep(RETRY).await;
        }
    }

    fn tidy(&self, job: JobId, what: &str, act: impl Fn(&Journal, &crate::runner::Entry) -> io::Result<()>) {
        let Some(entry) = self.runner.entry(job) else { return };
        if let Err(error) = act(&self.journal, entry) {
            tracing::warn!(%job, %error, "a job cannot be {what} in the journal");
        }
    }

    fn start(&self, job: JobId) -> io::Result<()> {
        let Some(entry) = self.runner.entry(job) else { return Ok(()) };
        let program = self.program_of(&entry.spec)?;
        let mut child = self.journal.folder(job).start(&self.executable, &program)?;
        let ended = self.ended.clone();
        tracing::info!(%job, kind = entry.spec.work.kind(), "job started");
        tokio::spawn(async move {
            if let Err(error) = child.wait().await {
                tracing::error!(%job, %error, "the supervisor of a program cannot be waited for");
            }
            // The daemon is gone when the agent stops; the next one finds the end on the disk.
            ended.send(job).await.ok();
        });
        Ok(())
    }

    /// The program that does the work of a job.
    fn program_of(&self, spec: &JobSpec) -> io::Result<Program> {
        let text = |path: &std::path::Path| {
            path.to_str().map(str::to_owned).ok_or_else(|| io::Error::other("a path of the agent is not UTF-8"))
        };
        match &spec.work {
            Work::Introspect { sections } => {
                let mut argv =
                    vec![text(&self.executable)?, "probe".into(), "--state-dir".into(), text(&self.state_dir)?];
                if !sections.is_empty() {
                    argv.extend(["--sections".into(), sections.join(",")]);
                }
                let (stdout_head, limits) = (DOCUMENT_MAX, contain::Limits::probe());
                Ok(Program {
                    argv,
                    deadline: spec.deadline,
                    grace: GRACE,
                    stdout_head,
                    stdout_tail: 0,
                    limits,
                    within: None,
                })
            }
            Work::Step(step) if !self.steps.iter().any(|allowed| allowed == step.name()) => {
                Err(io::Error::other(format!("the host does not allow the step {} (allow.steps)", step.name())))
            }
            Work::Step(step) => {
                let file = self.journal.folder(spec.id).path().join("step.json");
                crate::files::write_json(&file, step)?;
                let argv = ["step", "--file", &text(&file)?, "--state-dir", &text(&self.state_dir)?];
                let argv = std::iter::once(text(&self.executable)?).chain(argv.map(str::to_owned)).collect();
                let (stdout_head, limits) = (DOCUMENT_MAX, contain::Limits::default());
                Ok(Program {
                    argv,
                    deadline: spec.deadline,
                    grace: GRACE,
                    stdout_head,
                    stdout_tail: 0,
                    limits,
                    within: None,
                })
            }
            Work::Script(_) => Err(io::Error::other("this release cannot do that")),
        }
    }

    /// Waits for the end of a program whose supervisor is not our child.
    fn watch(&self, job: JobId) {
        let (folder, ended) = (self.journal.folder(job), self.ended.clone());
        tracing::info!(%job, "a running job was found");
        // A thread of its own, not one of the runtime: it may wait for as long as the program runs, also while we stop.
        std::thread::spawn(move || {
            if let Err(error) = folder.wait() {
                tracing::error!(%job, %error, "a running program cannot be watched");
            }
            ended.blocking_send(job).ok();
        });
    }

    fn stop(&self, job: JobId) {
        tracing::info!(%job, "job is to be cancelled");
        let folder = self.journal.folder(job);
        tokio::spawn(async move {
            // A supervisor that was started this instant has not said its number yet.
            for _ in 0..50 {
                match folder.stop() {
                    Ok(()) => return,
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
            tracing::error!(%job, "a program cannot be ended");
        });
    }

    async fn report(&mut self, job: JobId) {
        let (Some(up), Some(entry)) = (&self.up, self.runner.entry(job)) else { return };
        match self.journal.update(entry) {
            Ok(Some(update)) => {
                let frame = v1::AgentFrame { frame: Some(Up::Update(update.into())) };
                // A link that is gone says so next; the hello after it makes up for what was not sent.
                if up.send(frame).await.is_err() {
                    self.up = None;
                }
            }
            Ok(None) => {}
            Err(error) => tracing::error!(%job, %error, "the outcome of a job cannot be read"),
        }
    }
}

fn fate(journal: &Journal, spec: &JobSpec) -> Fate {
    let folder = journal.folder(spec.id);
    // First the lock, then the end: a supervisor that ends between the two has left its end.
    let alive = folder.alive().unwrap_or(false);
    match journal.end_state(spec.id) {
        Ok(Some(state)) => Fate::Ended(state),
        Ok(None) if alive => Fate::Alive,
        Ok(None) | Err(_) => Fate::Unknown,
    }
}

fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}
