//! A simulated host: the real runner over a journal in memory that survives its crashes, and programs that survive them too.

use std::collections::{BTreeMap, VecDeque};

use hostler_agent::runner::{Effect, Entry, Fate, Fitness, Input, Limits, Phase, Runner, Steps};
use hostler_common::id::{HostId, JobId};
use hostler_common::job::{Captured, JobSpec, JobState, JobUpdate, Merged, Outcome, Work};
use hostler_manager::fleet::desk::Order;

/// A program of a job: it goes on without the agent.
#[derive(Clone, Debug, Default)]
struct Program {
    end: Option<JobState>,
    stopped: bool,
    /// What it leaves, where that is not made up when it is told.
    outcome: Option<Outcome>,
    /// Whether it is what makes the host boot: its end is judged by the boot that follows.
    boots: bool,
}

/// A host.
#[derive(Debug)]
pub struct Agent {
    /// Who it is.
    pub host: HostId,
    /// How often each job was started: the first invariant is that this is never more than once.
    pub started: BTreeMap<JobId, u32>,
    /// How many of them read some sections only, which is what refreshes do here.
    pub refreshes: u32,
    journal: BTreeMap<JobId, Entry>,
    programs: BTreeMap<JobId, Program>,
    runner: Option<Runner>,
    /// Effects that were decided on and not yet carried out.
    effects: VecDeque<Effect>,
    /// What waits to be sent.
    pub outgoing: VecDeque<JobUpdate>,
    connected: bool,
    runs: u32,
}

impl Agent {
    /// A host whose agent is not running.
    #[must_use]
    pub fn new(host: HostId) -> Self {
        Self {
            host,
            started: BTreeMap::new(),
            refreshes: 0,
            journal: BTreeMap::new(),
            programs: BTreeMap::new(),
            runner: None,
            effects: VecDeque::new(),
            outgoing: VecDeque::new(),
            connected: false,
            runs: 0,
        }
    }

    /// Whether the agent runs.
    #[must_use]
    pub fn alive(&self) -> bool {
        self.runner.is_some()
    }

    /// Starts the agent: it takes up its journal.
    pub fn start(&mut self) {
        let limits = Limits { kinds: ["introspect", "script", "step"].map(Into::into).into(), at_once: 2 };
        let programs = &self.programs;
        let fate = |spec: &JobSpec| match programs.get(&spec.id) {
            None => Fate::Unknown,
            Some(Program { end: Some(state), .. }) => Fate::Ended(*state),
            Some(Program { end: None, .. }) => Fate::Alive,
        };
        let journal = self.journal.values().cloned().collect();
        let (runner, effects) = Runner::recover(limits, journal, fate, |_| Fitness::Ready);
        self.runner = Some(runner);
        self.effects = effects.into();
        self.give(Input::Steps(Steps::Taken));
    }

    /// Kills the agent at this instant: what was not carried out is lost, the journal and the programs stay.
    pub fn crash(&mut self) {
        self.runner = None;
        self.effects.clear();
        self.disconnect();
    }

    /// The machine itself loses power: its programs die without a trace.
    pub fn power_loss(&mut self) {
        self.crash();
        self.programs.retain(|_, program| program.end.is_some() || program.boots);
    }

    /// The jobs whose programs run, and whether somebody wants them stopped.
    #[must_use]
    pub fn running(&self) -> Vec<(JobSpec, bool)> {
        let runs = self.programs.iter().filter(|(_, program)| program.end.is_none() && !program.boots);
        runs.filter_map(|(id, program)| Some((self.journal.get(id)?.spec.clone(), program.stopped))).collect()
    }

    /// A program ends and leaves that.
    pub fn end(&mut self, job: JobId, state: JobState, outcome: Outcome) {
        if let Some(program) = self.programs.get_mut(&job) {
            (program.end, program.outcome) = (Some(state), Some(outcome));
            self.give(Input::Ended(job, state));
        }
    }

    /// A program makes the host boot: it goes down with everything that runs there.
    pub fn go_down(&mut self, job: JobId) {
        if let Some(program) = self.programs.get_mut(&job) {
            program.boots = true;
        }
        self.power_loss();
    }

    /// The host is up again: whatever made it boot ended well, and left that.
    pub fn come_up(&mut self, outcome: &Outcome) {
        for program in self.programs.values_mut().filter(|program| program.boots && program.end.is_none()) {
            (program.end, program.outcome) = (Some(JobState::Succeeded), Some(outcome.clone()));
        }
        self.start();
    }

    /// The journal as a hello tells it, and what follows from being connected.
    pub fn connect(&mut self) -> Option<BTreeMap<JobId, JobState>> {
        let journal = self.runner.as_ref()?.journal();
        self.connected = true;
        self.give(Input::Connected);
        Some(journal)
    }

    /// The link is gone, with everything that was on its way.
    pub fn disconnect(&mut self) {
        self.connected = false;
        self.outgoing.clear();
    }

    /// Takes what the manager says.
    pub fn take(&mut self, order: Order) {
        self.give(match order {
            Order::Run(spec) => Input::Deliver(spec, Fitness::Ready),
            Order::Cancel(job) => Input::Cancel(job),
            Order::Acknowledge(job) => Input::Acknowledge(job),
        });
    }

    fn give(&mut self, input: Input) {
        if let Some(runner) = &mut self.runner {
            self.effects.extend(runner.on(input));
        }
    }

    /// Carries out one effect; `false` if there is none.
    pub fn step(&mut self) -> bool {
        let (Some(runner), Some(effect)) = (&self.runner, self.effects.pop_front()) else { return false };
        match effect {
            Effect::Record(job) => self.journal.extend(runner.entry(job).map(|entry| (job, entry.clone()))),
            Effect::Forget(job) => {
                self.journal.extend(runner.entry(job).map(|entry| (job, entry.clone())));
                self.programs.remove(&job);
            }
            Effect::Remove(job) => {
                self.journal.remove(&job);
            }
            Effect::Start(job) => {
                *self.started.entry(job).or_default() += 1;
                let in_part = |work: &Work| matches!(work, Work::Introspect { sections } if !sections.is_empty());
                self.refreshes += u32::from(runner.entry(job).is_some_and(|entry| in_part(&entry.spec.work)));
                self.programs.insert(job, Program::default());
            }
            Effect::Stop(job) => {
                if let Some(program) = self.programs.get_mut(&job) {
                    program.stopped = true;
                }
            }
            Effect::Watch(_) | Effect::Fetch(_) | Effect::Clear(_) => {}
            Effect::Report(job) => {
                let update = runner.entry(job).and_then(|entry| self.update(entry));
                if self.connected {
                    self.outgoing.extend(update);
                }
            }
        }
        true
    }

    fn update(&self, entry: &Entry) -> Option<JobUpdate> {
        let state = entry.phase.state()?;
        let outcome = state.is_final().then(|| match &entry.phase {
            Phase::Ended { reason: Some(reason), .. } => Outcome { reason: Some(reason.clone()), ..Outcome::default() },
            _ => match entry.spec.work {
                Work::Introspect { .. } => self.outcome(state),
                Work::Script(_) | Work::Step(_) => {
                    let left = self.programs.get(&entry.spec.id).and_then(|program| program.outcome.clone());
                    left.unwrap_or_else(|| said(state))
                }
            },
        });
        Some(JobUpdate { job: entry.spec.id, state, outcome })
    }

    fn outcome(&self, state: JobState) -> Outcome {
        let text = if state == JobState::Succeeded { document(self.host, self.runs) } else { String::new() };
        let total = text.len() as u64;
        Outcome {
            exit_code: Some(i32::from(state != JobState::Succeeded)),
            stdout: Captured { head: text.into_bytes(), tail: Vec::new(), total },
            ..Outcome::default()
        }
    }

    /// One of the running programs ends; `false` if none runs.
    pub fn end_program(&mut self, pick: usize, fails: bool) -> bool {
        let running: Vec<JobId> =
            self.programs.iter().filter(|(_, program)| program.end.is_none()).map(|(id, _)| *id).collect();
        if running.is_empty() {
            return false;
        }
        let job = running[pick % running.len()];
        self.runs += 1;
        if let Some(program) = self.programs.get_mut(&job) {
            let state = match (program.stopped, fails) {
                (true, _) => JobState::Cancelled,
                (false, true) => JobState::Failed,
                (false, false) => JobState::Succeeded,
            };
            program.end = Some(state);
            self.give(Input::Ended(job, state));
        }
        true
    }

    /// Whether the agent has nothing left to do and the manager has everything that it did.
    #[must_use]
    pub fn settled(&self) -> bool {
        self.effects.is_empty()
            && self.outgoing.is_empty()
            && self.journal.values().all(|entry| entry.phase == Phase::Acknowledged)
            && self.programs.is_empty()
    }

    /// How many entries the journal has.
    #[must_use]
    pub fn journal_len(&self) -> usize {
        self.journal.len()
    }
}

/// What a simulated script leaves.
fn said(state: JobState) -> Outcome {
    let head = b"done\n".to_vec();
    let bytes = Captured { total: head.len() as u64, head, tail: Vec::new() };
    Outcome {
        exit_code: Some(i32::from(state != JobState::Succeeded)),
        merged: Some(Merged { bytes, ..Merged::default() }),
        ..Outcome::default()
    }
}

/// What a simulated probe finds.
fn document(host: HostId, run: u32) -> String {
    serde_json::json!({
        "inventory": {
            "hostname": host.to_string(),
            "cpu": { "count": 2, "architecture": "x86_64", "flags": ["vmx", "aes"] },
            "memory": { "total": 1 << 30, "physical_mb": 1024 + run % 3 },
            "disks": [{ "name": "/dev/vda", "size": 10_u64 << 30, "serial": "S1" }],
            "interfaces": [{ "name": "eth0", "mac_address": "52:54:00:00:00:01", "ipv4_address": "192.0.2.1", "has_carrier": true }],
            "system_vendor": { "system_uuid": host.to_string() },
        },
        "error": null,
    })
    .to_string()
}
