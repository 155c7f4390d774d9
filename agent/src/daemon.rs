//! The running agent: gives what happens to the runner and carries out what it answers, in order.

mod downloads;
mod local;
mod outbox;
mod programs;
mod reboots;
mod streams;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hostler_common::id::JobId;
use hostler_common::job::{JobSpec, Work};
use hostler_common::script::Digest;
use hostler_common::step::Step;
use hostler_common::time::{Clock, SystemClock};
use hostler_proto::v1;
use hostler_proto::v1::agent_frame::Frame as Up;
use hostler_proto::v1::manager_frame::Frame as Down;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use uuid::Uuid;

use self::outbox::{Item, Outbox};
use self::programs::fate;
use self::streams::Streams;
use crate::boot;
use crate::config::Config;
use crate::downloads::Downloads;
use crate::hooks::Hooks;
use crate::hooks::startup::{Start, Startup};
use crate::journal::Journal;
use crate::link;
use crate::process::bell::{self, Bell, Word};
use crate::runner::{Effect, Entry, Fitness, Input, Limits, Phase, Runner};
use crate::script::Scripts;
use crate::shared_identity::SharedIdentity;
use crate::watch::{Handle, Seen};

/// How long the daemon waits before it writes to the journal again, on a full disk.
const RETRY: Duration = Duration::from_secs(1);

/// How long bytes of a script may take to come.
const FETCH: Duration = Duration::from_secs(60);

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
    outbox: Outbox,
    streams: Streams,
    scripts: Scripts,
    hooks: Hooks,
    downloads: Downloads,
    /// Which jobs wait for which file.
    downloading: BTreeMap<Digest, Vec<JobId>>,
    start: Start,
    /// The occurrence of this start.
    before_start: Uuid,
    startup: Startup,
    ready: Option<oneshot::Sender<()>>,
    /// Which jobs wait for which script.
    fetching: BTreeMap<Digest, Vec<JobId>>,
    /// How whoever fetches reaches the manager.
    channel: watch::Sender<Option<Channel>>,
    /// Makes the link begin anew.
    anew: Arc<Notify>,
    /// Absent where the socket cannot be: then ends and output are found out later.
    bell: Option<Bell>,
    inner: mpsc::Sender<Inner>,
    happened: mpsc::Receiver<Inner>,
    /// Who watches the host, once the agent has started.
    watchers: Option<Handle>,
    see: mpsc::Sender<Seen>,
    seen: mpsc::Receiver<Seen>,
}

/// What happens within the agent.
#[derive(Debug)]
enum Inner {
    /// A supervisor is gone.
    Ended(JobId),
    /// A script is here, or cannot be had.
    Fetched(Digest, Result<(), String>),
    /// A file is here, or cannot be had.
    Downloaded(Digest, Result<(), String>),
    /// The reach of a cluster was found out.
    Reach(Option<String>),
}

impl Daemon {
    /// Takes up the journal in `state_dir`. `ready` hears when the scripts before the agent's start have ended.
    ///
    /// # Errors
    /// The agent's state cannot be read.
    pub async fn new(
        state_dir: PathBuf,
        identity: SharedIdentity,
        config: &Config,
        ready: oneshot::Sender<()>,
    ) -> io::Result<Self> {
        let host = identity.host();
        let journal = Journal::open(&state_dir)?;
        let scripts = Scripts::open(&state_dir, host, config)?;
        let mut hooks = Hooks::open(&state_dir, host)?;
        if let Err(reason) = hooks.bundle.verify(&scripts.keys) {
            tracing::error!(reason, "the hooks that are kept on this host are not used");
        }
        let bell = Bell::hang(&bell::place(&state_dir));
        let bell = bell.inspect_err(|error| tracing::warn!(%error, "ends of programs are found out later")).ok();
        let limits = Limits { kinds: config.allow.jobs.clone(), at_once: config.allow.jobs_at_once };
        let steps = &config.allow.steps;
        let downloads = Downloads::open(&state_dir, &config.allow.paths)?;
        let fitness = |spec: &JobSpec| fitness(&scripts, steps, &downloads, spec);
        let entries = journal.entries()?;
        let (runner, effects) = Runner::recover(limits, entries, |spec| fate(&journal, spec), fitness);
        scripts.places.tidy(|job| runner.entry(job).is_some_and(open));
        let (inner, happened) = mpsc::channel(64);
        let (see, seen) = mpsc::channel(64);
        let mut daemon = Self {
            start: Start::note(&state_dir, &boot::id(), env!("CARGO_PKG_VERSION"))?,
            journal,
            runner,
            identity,
            executable: std::env::current_exe()?,
            state_dir,
            capabilities: config.allow.jobs.clone(),
            steps: config.allow.steps.clone(),
            outbox: Outbox::default(),
            streams: Streams::default(),
            scripts,
            hooks,
            downloads,
            downloading: BTreeMap::new(),
            before_start: Uuid::now_v7(),
            startup: Startup::Done,
            ready: Some(ready),
            fetching: BTreeMap::new(),
            channel: watch::channel(None).0,
            anew: Arc::default(),
            bell,
            inner,
            happened,
            watchers: None,
            see,
            seen,
        };
        daemon.tidy_folders();
        daemon.tidy_downloads();
        daemon.perform(effects).await;
        Ok(daemon)
    }

    /// Runs until `stop`. Programs go on without the agent.
    pub async fn run(mut self, managers: Vec<String>, stop: CancellationToken) {
        let (events, mut told) = mpsc::channel(64);
        let dialling = link::run(self.identity.clone(), managers, events, Arc::clone(&self.anew), stop.clone());
        let link = tokio::spawn(dialling);
        self.begin().await;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(event) = told.recv() => self.take(event).await,
                Some(inner) = self.happened.recv() => self.learn(inner).await,
                Some(seen) = self.seen.recv() => self.look(seen).await,
                (word, name) = hear(self.bell.as_ref()) => self.rung(word, &name).await,
                permit = self.outbox.room() => {
                    if let Some(frame) = self.next_frame() {
                        permit.send(v1::AgentFrame { frame: Some(frame) });
                    }
                }
            }
            self.advance().await;
        }
        self.outbox.close();
        // Who fetches ends with us.
        drop(self);
        drop(link.await);
    }

    async fn take(&mut self, event: link::Event) {
        match event {
            link::Event::Opening { up, channel, greeted } => self.greet(up, channel, greeted).await,
            link::Event::Closed => {
                self.outbox.close();
                self.channel.send_replace(None);
            }
            link::Event::Frame(frame) => self.frame(frame).await,
        }
    }

    async fn greet(&mut self, up: mpsc::Sender<v1::AgentFrame>, channel: Channel, greeted: oneshot::Sender<()>) {
        let journal = self.runner.journal();
        let hello = v1::Hello {
            version: env!("CARGO_PKG_VERSION").into(),
            boot_id: boot::id(),
            clock_us: SystemClock.now().as_micros(),
            capabilities: self.capabilities.clone(),
            journal: journal.into_iter().map(|(job, state)| v1::JournalEntry::new(job, state)).collect(),
            assignment: self.hooks.bundle.revision().to_owned(),
            cluster: self.hooks.cluster.clone().unwrap_or_default(),
            degraded: self.startup == Startup::Degraded,
        };
        // The queue is new and empty: there is room for the hello.
        up.try_send(v1::AgentFrame { frame: Some(Up::Hello(hello)) }).ok();
        // The link may be gone already; then it says so next.
        greeted.send(()).ok();
        self.streams.open(&up);
        self.outbox.open(up);
        self.channel.send_replace(Some(channel));
        self.give(Input::Connected).await;
    }

    async fn frame(&mut self, frame: Down) {
        let input = match frame {
            Down::Job(job) => return self.order(job).await,
            Down::Welcome(welcome) => return self.welcome(&welcome),
            Down::Assignment(assignment) => return self.assign(assignment),
            Down::AcknowledgeReport(acknowledge) => {
                if let Err(error) = self.hooks.spool.acknowledge(acknowledge.number) {
                    tracing::warn!(%error, "reports that the manager took cannot be removed");
                }
                return;
            }
            Down::Cancel(cancel) => cancel.job().map(Input::Cancel),
            Down::Acknowledge(acknowledge) => acknowledge.job().map(Input::Acknowledge),
        };
        match input {
            Ok(input) => self.give(input).await,
            Err(error) => tracing::warn!(%error, "an order cannot be understood"),
        }
    }

    /// The manager hands out a job.
    async fn order(&mut self, mut job: v1::Job) {
        let secrets = std::mem::take(&mut job.secrets);
        let spec = match job.into_spec(self.identity.host()) {
            Ok(spec) => spec,
            Err(error) => return tracing::warn!(%error, "an order cannot be understood"),
        };
        let known = self.runner.entry(spec.id).is_some();
        let kept = match &spec.work {
            Work::Script(run) if !known && !run.secrets.is_empty() => self.scripts.keep_secrets(spec.id, run, &secrets),
            _ => Ok(()),
        };
        let fitness = match kept {
            Ok(()) => fitness(&self.scripts, &self.steps, &self.downloads, &spec),
            Err(reason) => Fitness::Refused(reason),
        };
        self.give(Input::Deliver(spec, fitness)).await;
    }

    async fn learn(&mut self, inner: Inner) {
        match inner {
            Inner::Ended(job) => self.program_ended(job).await,
            Inner::Fetched(digest, fetched) => {
                for job in self.fetching.remove(&digest).unwrap_or_default() {
                    self.give(Input::Fetched(job, fetched.clone())).await;
                }
                if let Err(reason) = fetched {
                    tracing::warn!(script = %digest, reason, "a script cannot be had");
                }
            }
            Inner::Downloaded(digest, fetched) => self.downloaded(digest, fetched).await,
            Inner::Reach(fsid) => {
                if fsid.is_some() && self.outbox.link().is_some() {
                    // The hello says so.
                    self.anew.notify_one();
                }
                self.hooks.cluster = fsid;
            }
        }
    }

    async fn look(&mut self, seen: Seen) {
        match seen {
            Seen::Occurrence(occurrence) => {
                self.occur(occurrence, 1).await;
            }
            Seen::Cluster(state) => self.outbox.cluster(state),
        }
    }

    /// A supervisor rings.
    async fn rung(&mut self, word: Word, name: &str) {
        let Ok(job) = name.parse() else { return };
        match word {
            Word::Output => self.streams.news(job),
            // Who rings must have left an end: everybody on the host may ring.
            Word::Ended if matches!(self.journal.end_state(job), Ok(Some(_))) => self.program_ended(job).await,
            Word::Ended => {}
        }
    }

    /// The next frame for the manager; `None` where there turns out to be none.
    fn next_frame(&mut self) -> Option<Up> {
        match self.outbox.next()? {
            Item::Report(after) => {
                let report = self.hooks.spool.after(after);
                self.outbox.sent_report(report.as_ref().map(|report| report.number));
                let report = report?;
                let document = hostler_proto::write_document(&report);
                Some(Up::Report(v1::HostReport { number: report.number, report: document }))
            }
            Item::Cluster(state) => {
                Some(Up::Cluster(v1::ClusterState { state: hostler_proto::write_document(&state) }))
            }
            Item::Job(job) => {
                let update = self.journal.update(self.runner.entry(job)?);
                let update = update.inspect_err(|error| tracing::error!(%job, %error, "an outcome cannot be read"));
                update.ok()?.map(|update| Up::Update(update.into()))
            }
        }
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
                    if let Some(input) = self.start(job) {
                        queue.extend(self.runner.on(input));
                    }
                }
                Effect::Fetch(job) => self.fetch_for(job),
                Effect::Watch(job) => self.watch(job),
                Effect::Clear(job) => self.clear(job),
                Effect::Stop(job) => self.stop(job),
                Effect::Report(job) => self.outbox.job(job),
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
        if has_secrets(entry) && !open(entry) {
            self.scripts.places.remove(job);
        }
    }

    fn tidy(&self, job: JobId, what: &str, act: impl Fn(&Journal, &Entry) -> io::Result<()>) {
        let Some(entry) = self.runner.entry(job) else { return };
        if let Err(error) = act(&self.journal, entry) {
            tracing::warn!(%job, %error, "a job cannot be {what} in the journal");
        }
    }

    fn fetch_for(&mut self, job: JobId) {
        match self.runner.entry(job).map(|entry| &entry.spec.work) {
            Some(Work::Script(run)) => self.fetch(run.script.digest, Some(job)),
            Some(Work::Step(_)) => self.download(job),
            Some(Work::Introspect { .. }) | None => {}
        }
    }

    /// Fetches a script, if nobody does that already.
    fn fetch(&mut self, digest: Digest, job: Option<JobId>) {
        let begin = !self.fetching.contains_key(&digest);
        self.fetching.entry(digest).or_default().extend(job);
        if !begin {
            return;
        }
        let (cache, link, told) = (self.scripts.cache.clone(), self.channel.subscribe(), self.inner.clone());
        let wanted: BTreeSet<Digest> = self.hooks.bundle.scripts();
        tokio::spawn(async move {
            let fetched = cache.fetch(digest, link, FETCH, &wanted).await;
            told.send(Inner::Fetched(digest, fetched)).await.ok();
        });
    }
}

async fn hear(bell: Option<&Bell>) -> (Word, String) {
    match bell {
        Some(bell) => bell.hear().await,
        None => std::future::pending().await,
    }
}

fn open(entry: &Entry) -> bool {
    matches!(entry.phase, Phase::Accepted | Phase::Started)
}

fn has_secrets(entry: &Entry) -> bool {
    matches!(&entry.spec.work, Work::Script(run) if !run.secrets.is_empty())
}

fn fitness(scripts: &Scripts, steps: &[String], downloads: &Downloads, spec: &JobSpec) -> Fitness {
    match &spec.work {
        Work::Script(run) => scripts.fitness(spec.id, run),
        Work::Step(step) if !steps.iter().any(|allowed| allowed == step.name()) => {
            let name = step.name();
            Fitness::Refused(format!("this host does not allow the step {name} ([allow] steps in its agent.toml)"))
        }
        Work::Step(step) => match step.as_ref() {
            Step::Fetch(fetch) => downloads.fitness(fetch),
            _ => Fitness::Ready,
        },
        Work::Introspect { .. } => Fitness::Ready,
    }
}
