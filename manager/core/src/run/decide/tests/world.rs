//! What the engine does with the decisions of a run, as far as the run can tell.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use hostler_common::id::TaskId;
use hostler_common::job::Outcome;
use hostler_common::script::ScriptRun;
use hostler_common::time::Timestamp;

use super::*;
use crate::machine::Question;
use crate::run::target::{Begun, Seat, Waiting};

/// A row.
#[derive(Clone, Debug)]
pub(super) struct Row {
    host: HostId,
    job: JobId,
    state: TargetState,
    begun_at: Timestamp,
    job_state: Option<JobState>,
    exit_code: Option<i32>,
}

pub(super) struct World {
    pub(super) run: Run,
    pub(super) rows: Vec<Row>,
    spec: Option<Spec>,
    now: Timestamp,
    since: Timestamp,
    left_at: Option<Timestamp>,
    seed: u128,
    pub(super) timers: BTreeMap<&'static str, Timestamp>,
    pub(super) begun_jobs: BTreeSet<JobId>,
    pub(super) scripts: BTreeMap<JobId, ScriptRun>,
    pub(super) cancelled: BTreeSet<JobId>,
    pub(super) ended: Option<(TaskEnd, i32)>,
    status_code: i32,
    pub(super) progress: u32,
    pub(super) question: Option<Question>,
    pub(super) told: Vec<Message>,
    pub(super) late: u32,
    away: BTreeSet<HostId>,
    gone: BTreeSet<HostId>,
    pub(super) room: u32,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            run: Run::new(Uuid::from_u128(5)),
            rows: Vec::new(),
            spec: None,
            now: Timestamp::from_micros(1_000_000_000),
            since: crate::machine::LONG_AGO,
            left_at: None,
            seed: 1,
            timers: BTreeMap::new(),
            begun_jobs: BTreeSet::new(),
            scripts: BTreeMap::new(),
            cancelled: BTreeSet::new(),
            ended: None,
            status_code: 0,
            progress: 0,
            question: None,
            told: Vec::new(),
            late: 0,
            away: BTreeSet::new(),
            gone: BTreeSet::new(),
            room: 500,
        }
    }

    pub(super) fn started(spec: Spec) -> Self {
        let mut world = Self::new();
        world.start(spec);
        world
    }

    pub(super) fn start(&mut self, spec: Spec) {
        self.command(Command::Start(Box::new(Start { spec, parent: None, held: false }))).unwrap();
    }

    /// Its agent has been away for long.
    pub(super) fn away(&mut self, n: u128) {
        self.away.insert(HostId(Uuid::from_u128(n)));
    }

    /// Its agent goes away now.
    pub(super) fn disconnect(&mut self, n: u128) {
        self.gone.insert(HostId(Uuid::from_u128(n)));
    }

    pub(super) fn connect(&mut self, n: u128) {
        self.gone.remove(&HostId(Uuid::from_u128(n)));
    }

    pub(super) fn remove_job(&mut self, position: usize) {
        self.rows[position].job_state = None;
    }

    pub(super) fn job(&self, position: usize) -> JobId {
        self.rows[position].job
    }

    pub(super) fn open(&self) -> Vec<usize> {
        let open = |row: &Row| matches!(row.state, TargetState::Delivering | TargetState::Running);
        self.rows.iter().enumerate().filter(|(_, row)| open(row)).map(|(n, _)| n).collect()
    }

    pub(super) fn command(&mut self, command: Command) -> Result<(), Refusal> {
        self.give(Input::Command(command))
    }

    pub(super) fn word(&mut self, word: &Word) {
        self.give(Input::Message(serde_json::to_value(word).unwrap())).unwrap();
    }

    pub(super) fn report(&mut self, position: usize, state: JobState) {
        self.outcome(position, state, state.is_final().then(|| Outcome { exit_code: Some(0), ..Outcome::default() }));
    }

    pub(super) fn fail(&mut self, position: usize, exit_code: i32) {
        let outcome = Outcome { exit_code: Some(exit_code), ..Outcome::default() };
        self.outcome(position, JobState::Failed, Some(outcome));
    }

    /// The engine hands on what is new, and each end once.
    fn outcome(&mut self, position: usize, state: JobState, outcome: Option<Outcome>) {
        let row = &mut self.rows[position];
        let Some(known) = row.job_state else { return };
        let rank = |state| JobState::ALL.iter().position(|other| *other == state);
        if known.is_final() || (!state.is_final() && rank(state) <= rank(known)) {
            return;
        }
        row.job_state = Some(state);
        let job = row.job;
        self.give(Input::Job(JobUpdate { job, state, outcome })).unwrap();
    }

    /// Time passes; timers come due on the way. A long time is a jump of the clock, which is seen once.
    pub(super) fn pass(&mut self, seconds: u64) {
        let until = self.now.after(Duration::from_secs(seconds));
        let jump = seconds > 1_000_000;
        while let Some((name, at)) = self.timers.iter().map(|(name, at)| (*name, *at)).min_by_key(|(_, at)| *at) {
            if at > until {
                break;
            }
            self.now = if jump { until } else { self.now.max(at) };
            self.timer(name);
            if jump {
                break;
            }
        }
        self.now = until;
    }

    /// Time passes that no manager sees; another one then finds all that came due at once.
    pub(super) fn nobody_for(&mut self, seconds: u64) {
        self.left_at = Some(self.now);
        self.now = self.now.after(Duration::from_secs(seconds));
        self.since = self.now;
        let due = |world: &Self| world.timers.iter().find(|(_, at)| **at <= world.now).map(|(name, _)| *name);
        while let Some(name) = due(self) {
            self.timer(name);
        }
    }

    /// What is known of a job.
    pub(super) fn job_state(&self, position: usize) -> Option<JobState> {
        self.rows[position].job_state
    }

    /// A timer comes due that may not be set.
    pub(super) fn timer(&mut self, name: &'static str) {
        self.timers.remove(name);
        self.give(Input::Timer(name.to_owned())).unwrap();
    }

    fn facts(&self, input: &Input<Command>) -> Facts {
        let wants = self.run.wants(input) as usize;
        let pending = self.numbered().filter(|(_, row)| row.state == TargetState::Pending);
        let waiting = pending.take(wants).map(|(position, row)| Waiting {
            position,
            host: row.host,
            job: row.job,
            seat: Some(Seat {
                number: i64::try_from(row.host.0.as_u128()).unwrap(),
                name: format!("host-{}", row.host.0.as_u128()),
                connected: !self.away.contains(&row.host) && !self.gone.contains(&row.host),
                seen_at: Some(self.seen_at(row.host)),
                revoked: false,
            }),
        });
        let target = match input {
            Input::Job(update) => self.numbered().find(|(_, row)| row.job == update.job).map(|(n, row)| (n, row.state)),
            _ => None,
        };
        let begun =
            self.numbered().filter(|(n, _)| self.open().contains(&(*n as usize))).map(|(position, row)| Begun {
                position,
                job: row.job,
                state: row.state,
                begun_at: row.begun_at,
                job_state: row.job_state,
                connected: !self.gone.contains(&row.host),
            });
        Facts {
            task: Some(TaskId(77)),
            spec: self.spec.clone().filter(|_| wants > 0),
            waiting: waiting.collect(),
            target,
            begun: begun.collect(),
            all: self.summaries(),
            room: self.room,
        }
    }

    /// When a host was there last: those that are away were so at the beginning, the others as long as a manager was.
    fn seen_at(&self, host: HostId) -> Timestamp {
        match () {
            () if self.away.contains(&host) => Timestamp::from_micros(0),
            () if self.gone.contains(&host) => self.left_at.unwrap_or(self.now),
            () => self.now,
        }
    }

    fn numbered(&self) -> impl Iterator<Item = (u32, &Row)> {
        (0..).zip(&self.rows)
    }

    fn summaries(&self) -> Vec<Summary> {
        let summary = |(position, row): (u32, &Row)| Summary {
            position,
            host: row.host,
            number: None,
            name: format!("host-{}", row.host.0.as_u128()),
            state: row.state,
            exit_code: row.exit_code,
            signal: None,
            started_at: None,
            finished_at: None,
            output_bytes: 0,
            truncated: false,
            error: None,
        };
        self.numbered().map(summary).collect()
    }

    fn give(&mut self, input: Input<Command>) -> Result<(), Refusal> {
        let mut queue = VecDeque::from([input]);
        let mut rounds = 0;
        while let Some(input) = queue.pop_front() {
            rounds += 1;
            assert!(rounds < 1000, "a run talks to itself for ever");
            self.seed += 1;
            let facts = self.facts(&input);
            let cx = Context { now: self.now, since: self.since, actor: None, seed: self.seed, facts };
            let decision = self.run.decide(input, &cx)?;
            for write in decision.writes {
                self.write(write);
            }
            for effect in decision.effects {
                queue.extend(self.effect(effect).map(Input::Message));
            }
            self.run = decision.next;
            self.counts_are_those_of_the_rows();
        }
        Ok(())
    }

    fn counts_are_those_of_the_rows(&self) {
        for state in TargetState::ALL {
            let rows = self.rows.iter().filter(|row| row.state == *state).count();
            assert_eq!(self.run.counts.of(*state) as usize, rows, "{state:?} in {:?}", self.run);
        }
    }

    fn write(&mut self, write: Write) {
        let now = self.now;
        match write {
            Write::Begin(spec, targets) => {
                self.spec = Some(*spec);
                self.rows.extend(targets.into_iter().map(|new| Row {
                    host: new.host,
                    job: new.job,
                    state: TargetState::Pending,
                    begun_at: now,
                    job_state: None,
                    exit_code: None,
                }));
            }
            Write::Adopt(job) => {
                let row = self.rows.iter_mut().find(|row| row.job == job.id).unwrap();
                row.job_state = Some(JobState::Running);
            }
            Write::Launched(first, last) => {
                for row in &mut self.rows[first as usize..=last as usize] {
                    assert_eq!(row.state, TargetState::Pending, "a target begins once");
                    (row.state, row.begun_at) = (TargetState::Delivering, now);
                }
            }
            Write::Running(position) => self.set(position, TargetState::Running),
            Write::Ended { position, state, outcome, .. } => {
                self.set(position, state);
                self.rows[position as usize].exit_code = outcome.and_then(|outcome| outcome.exit_code);
            }
            Write::Late(position, _) => {
                assert!(self.rows[position as usize].state.is_final());
                self.late += 1;
            }
            Write::Rest(first, state, _) => {
                for position in first..u32::try_from(self.rows.len()).unwrap() {
                    assert_eq!(self.rows[position as usize].state, TargetState::Pending);
                    self.set(position, state);
                }
            }
        }
    }

    fn set(&mut self, position: u32, state: TargetState) {
        let row = &mut self.rows[position as usize];
        assert!(!row.state.is_final(), "a target that ended moves from {:?} to {state:?}", row.state);
        row.state = state;
    }

    fn effect(&mut self, effect: Effect) -> Option<serde_json::Value> {
        match effect {
            Effect::RunJob(spec) => {
                assert!(self.begun_jobs.insert(spec.id), "a job is ordered twice");
                let row = self.rows.iter_mut().find(|row| row.job == spec.id).unwrap();
                assert_eq!(row.host, spec.host);
                row.job_state = Some(JobState::Queued);
                if let Work::Script(script) = spec.work {
                    self.scripts.insert(spec.id, *script);
                }
            }
            Effect::CancelJob(job) => {
                self.cancelled.insert(job);
            }
            Effect::SetTimer(name, at) => {
                self.timers.insert(name, at);
            }
            Effect::ClearTimer(name) => {
                self.timers.remove(name);
            }
            Effect::Tell(message) if message.kind == Run::KIND => return Some(message.body),
            Effect::Tell(message) => self.told.push(message),
            Effect::Task(change) => self.task(change),
        }
        None
    }

    fn task(&mut self, change: TaskChange) {
        match change {
            TaskChange::Progress(complete) => {
                assert!(complete <= self.run.total());
                self.progress = complete;
            }
            TaskChange::Ask(question) => self.question = Some(question),
            TaskChange::Answered => self.question = None,
            TaskChange::Result { status_code, .. } => self.status_code = status_code,
            TaskChange::Close { end, .. } => {
                assert_eq!(self.ended, None, "a task ends once");
                self.ended = Some((end, self.status_code));
            }
            TaskChange::Open { .. } | TaskChange::Running | TaskChange::Cancelling | TaskChange::About(_) => {}
        }
    }
}
