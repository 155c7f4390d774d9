//! Programs of jobs: what is run for which work, and how the agent learns of their ends.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use hostler_common::id::JobId;
use hostler_common::job::{DOCUMENT_MAX, JobSpec, JobState, Work};
use hostler_common::step::Step;

use super::reboots::{Settled, settle};
use super::{Daemon, Inner, fitness};
use crate::files::write_plain;
use crate::journal::Journal;
use crate::process::{Program, contain};
use crate::runner::{Fate, Fitness, Input, Phase};
use crate::steps;

/// How long a program has between TERM and KILL.
const GRACE: Duration = Duration::from_secs(10);

/// The most of the outputs that are kept while no manager can be reached, in bytes (spec/hooks.md §8).
const UNTAKEN_MAX: u64 = 50 << 20;

impl Daemon {
    /// Starts the program of a job; what follows where that does not work.
    pub(super) fn start(&mut self, job: JobId) -> Option<Input> {
        let spec = &self.runner.entry(job)?.spec;
        // It may have waited, and the host have changed its mind.
        if let Fitness::Refused(reason) = fitness(&self.scripts, &self.steps, &self.downloads, spec) {
            return Some(Input::NotAllowed(job, reason));
        }
        let error = self.try_start(job).err()?;
        Some(Input::NotStarted(job, error.to_string()))
    }

    fn try_start(&mut self, job: JobId) -> io::Result<()> {
        let Some(entry) = self.runner.entry(job) else { return Ok(()) };
        let program = self.program_of(&entry.spec)?;
        let folder = self.journal.folder(job);
        let child = folder.start(&self.executable, &program)?;
        tracing::info!(%job, kind = entry.spec.work.kind(), "job started");
        if program.script.is_some() {
            self.streams.begin(job, folder, self.outbox.link());
        }
        let Some(mut child) = child else {
            self.wait_for(job);
            return Ok(());
        };
        let ended = self.inner.clone();
        tokio::spawn(async move {
            if let Err(error) = child.wait().await {
                tracing::error!(%job, %error, "the supervisor of a program cannot be waited for");
            }
            // The daemon is gone when the agent stops; the next one finds the end on the disk.
            ended.send(Inner::Ended(job)).await.ok();
        });
        Ok(())
    }

    /// The program that does the work of a job.
    fn program_of(&self, spec: &JobSpec) -> io::Result<Program> {
        let text = |path: &Path| {
            path.to_str().map(str::to_owned).ok_or_else(|| io::Error::other("a path of the agent is not UTF-8"))
        };
        match &spec.work {
            Work::Introspect { sections } => {
                let mut argv =
                    vec![text(&self.executable)?, "probe".into(), "--state-dir".into(), text(&self.state_dir)?];
                if !sections.is_empty() {
                    argv.extend(["--sections".into(), sections.join(",")]);
                }
                Ok(Program {
                    argv,
                    deadline: spec.deadline,
                    grace: GRACE,
                    stdout_head: DOCUMENT_MAX,
                    stdout_tail: 0,
                    limits: contain::Limits::probe(),
                    within: None,
                    script: None,
                    changes_host: false,
                    env: BTreeMap::new(),
                    refuses_by: None,
                })
            }
            Work::Script(run) if run.env.contains_key("HOOK_EVENT") && !run.env.contains_key("CLUSTER_FSID") => {
                let mut run = run.clone();
                run.env.insert("CLUSTER_FSID".into(), self.hooks.fsid());
                self.scripts.program(spec, &run, GRACE)
            }
            Work::Script(run) => self.scripts.program(spec, run, GRACE),
            Work::Step(step) => {
                let file = self.journal.folder(spec.id).path().join("step.json");
                write_plain(&file, &serde_json::to_vec(step)?)?;
                let argv = ["step", "--file", &text(&file)?, "--state-dir", &text(&self.state_dir)?];
                let mut argv: Vec<String> =
                    std::iter::once(text(&self.executable)?).chain(argv.map(str::to_owned)).collect();
                if let Step::Fetch(_) = step.as_ref() {
                    for path in self.downloads.allowed() {
                        argv.extend(["--allow-path".to_owned(), text(path)?]);
                    }
                }
                Ok(Program {
                    argv,
                    deadline: spec.deadline,
                    grace: GRACE,
                    stdout_head: DOCUMENT_MAX,
                    stdout_tail: 0,
                    limits: contain::Limits::default(),
                    within: None,
                    script: None,
                    changes_host: true,
                    env: steps::environment(),
                    refuses_by: Some(steps::REFUSED.into()),
                })
            }
        }
    }

    /// Takes up a program that runs already.
    pub(super) fn watch(&mut self, job: JobId) {
        tracing::info!(%job, "a running job was found");
        if self.runner.entry(job).is_some_and(|entry| matches!(entry.spec.work, Work::Script(_))) {
            self.streams.begin(job, self.journal.folder(job), self.outbox.link());
        }
        self.wait_for(job);
    }

    /// Waits for the end of a program whose supervisor is not our child.
    fn wait_for(&self, job: JobId) {
        let (folder, ended) = (self.journal.folder(job), self.inner.clone());
        // A thread of its own, not one of the runtime: it may wait for as long as the program runs, also while we stop.
        std::thread::spawn(move || {
            if let Err(error) = folder.wait() {
                tracing::error!(%job, %error, "a running program cannot be watched");
            }
            ended.blocking_send(Inner::Ended(job)).ok();
        });
    }

    pub(super) fn stop(&self, job: JobId) {
        tracing::info!(%job, "job is to be cancelled");
        let folder = self.journal.folder(job);
        tokio::spawn(async move {
            // A supervisor that was started this instant has not said its number yet.
            for _ in 0..250 {
                match folder.stop() {
                    Ok(()) => return,
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
            tracing::error!(%job, "a program cannot be ended");
        });
    }

    /// Ends what a supervisor that is gone left behind.
    pub(super) fn clear(&self, job: JobId) {
        let folder = self.journal.folder(job);
        tokio::task::spawn_blocking(move || {
            if let Err(error) = folder.clear() {
                tracing::error!(%job, %error, "what is left of a lost program cannot be ended");
            }
        });
    }

    /// The supervisor of a program is gone, or has said that its end is recorded.
    pub(super) async fn program_ended(&mut self, job: JobId) {
        let end = self.journal.end_state(job);
        let started = self.runner.entry(job).filter(|entry| entry.phase == Phase::Started);
        let settled = started.map(|entry| settle(&self.journal, &entry.spec, end.as_ref().ok().copied().flatten()));
        let input = match (settled, end) {
            (Some(Settled::Open(time)), _) => return self.look_again(job, time),
            (Some(Settled::Ended(state)), _) | (_, Ok(Some(state))) => Input::Ended(job, state),
            (_, Ok(None)) if !self.journal.folder(job).begun() => {
                let unit = format!("hostler-run-{job}.service");
                Input::NotStarted(job, format!("its supervisor did not start; the host's journal may say why ({unit})"))
            }
            (_, Ok(None)) => Input::Ended(job, JobState::Lost),
            (_, Err(error)) => {
                tracing::error!(%job, %error, "the end of a program cannot be read");
                Input::Ended(job, JobState::Lost)
            }
        };
        self.streams.end(job).await;
        self.give(input).await;
        self.tidy_downloads();
        if self.outbox.link().is_none() {
            let ended = self.runner.ended();
            match self.journal.trim(&ended, UNTAKEN_MAX) {
                Ok(0) => {}
                Ok(jobs) => tracing::warn!(jobs, "outputs that no manager took were dropped, as there is no room"),
                Err(error) => tracing::warn!(%error, "outputs that no manager took cannot be dropped"),
            }
        }
    }
}

/// What became of a job that was started before the agent was.
pub(super) fn fate(journal: &Journal, spec: &JobSpec) -> Fate {
    let folder = journal.folder(spec.id);
    // First the lock, then the end: a supervisor that ends between the two has left its end.
    let alive = folder.alive().unwrap_or(false);
    let end = journal.end_state(spec.id);
    if !alive {
        match settle(journal, spec, end.as_ref().ok().copied().flatten()) {
            Settled::Ended(state) => return Fate::Ended(state),
            // Whoever waits for its end looks again.
            Settled::Open(_) => return Fate::Alive,
            Settled::Own => {}
        }
    }
    match end {
        Ok(Some(state)) => Fate::Ended(state),
        Ok(None) if alive => Fate::Alive,
        Ok(None) | Err(_) => Fate::Unknown,
    }
}
