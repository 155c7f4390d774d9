//! Whatever comes in whatever order: a run never stops silently, and a finished one never moves by itself.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// What the engine does with effects, as far as the machine can tell.
struct World {
    machine: Introspection,
    seconds: u64,
    seed: u128,
    timers: BTreeMap<&'static str, Timestamp>,
    jobs: Vec<JobId>,
    open_tasks: usize,
    permit_active: bool,
}

/// One thing that can happen.
#[derive(Clone, Debug)]
enum Happening {
    Start(Option<bool>, bool),
    Abort,
    Reapply(bool),
    Callback,
    Enrol,
    /// The next timer comes due, and time is then.
    NextTimer,
    /// A timer that nobody set.
    StrayTimer(&'static str),
    /// A report of the current job, or of an earlier one.
    Report {
        back: usize,
        state: JobState,
        good: bool,
    },
    Wait(u64),
}

fn happening() -> impl Strategy<Value = Happening> {
    let states = proptest::sample::select(JobState::ALL.to_vec());
    let names = proptest::sample::select(vec![SET_UP, PROCESS, ABORT_END, DEADLINE, "unknown"]);
    prop_oneof![
        3 => (proptest::option::of(any::<bool>()), any::<bool>()).prop_map(|(boot, all)| Happening::Start(boot, all)),
        1 => Just(Happening::Abort),
        1 => any::<bool>().prop_map(Happening::Reapply),
        1 => Just(Happening::Callback),
        1 => Just(Happening::Enrol),
        6 => Just(Happening::NextTimer),
        1 => names.prop_map(Happening::StrayTimer),
        4 => (0..3_usize, states, any::<bool>())
            .prop_map(|(back, state, good)| Happening::Report { back, state, good }),
        1 => (0..90_u64).prop_map(Happening::Wait),
    ]
}

impl World {
    fn new(permit_active: bool) -> Self {
        let machine = Introspection::new(host());
        Self { machine, seconds: 0, seed: 0, timers: BTreeMap::new(), jobs: Vec::new(), open_tasks: 0, permit_active }
    }

    /// The input of a happening; `None` if it cannot happen now. Timers that come due are taken from the world.
    fn input(&mut self, happening: Happening) -> Option<Input<Command>> {
        Some(match happening {
            Happening::Start(manage_boot, all) => {
                let sections = if all { Vec::new() } else { vec!["cpu".to_owned()] };
                Input::Command(Command::Start { manage_boot, sections })
            }
            Happening::Abort => abort(),
            Happening::Reapply(data) => reapply(data.then(document)),
            Happening::Callback => callback(),
            Happening::Enrol => Input::Command(Command::Enrol),
            Happening::NextTimer => {
                let (name, due_at) = self.timers.iter().min_by_key(|(_, due_at)| **due_at).map(|(n, d)| (*n, *d))?;
                self.timers.remove(name);
                self.seconds = self.seconds.max(due_at.since(at(0)).as_secs());
                timer(name)
            }
            Happening::StrayTimer(name) => {
                // The engine fires only what is set; a deadline, or the work itself, never comes early.
                if self.timers.contains_key(name) || matches!(name, DEADLINE | ABORT_END | SET_UP | PROCESS) {
                    return None;
                }
                timer(name)
            }
            Happening::Report { back, state, good } => {
                let job = *self.jobs.iter().rev().nth(back)?;
                let text = if good { document().to_string() } else { "[]".to_owned() };
                update(job, state, text.as_bytes())
            }
            Happening::Wait(seconds) => {
                self.seconds += seconds;
                return None;
            }
        })
    }

    fn step(&mut self, happening: Happening) -> Result<(), TestCaseError> {
        let Some(input) = self.input(happening) else { return Ok(()) };
        let may_begin = matches!(&input, Input::Command(command) if !matches!(command, Command::Abort));
        let mut cx = cx(self.seconds);
        self.seed += 1;
        cx.seed = self.seed << 64;
        cx.facts.settings = Arc::new(Settings { permit_active: self.permit_active, ..Settings::default() });
        let before = self.machine.clone();
        let Ok(decision) = before.decide(input, &cx) else { return Ok(()) };
        if before.state.is_terminal() && !may_begin {
            prop_assert_eq!(&decision.next, &before);
            prop_assert!(decision.writes.is_empty() && decision.events.is_empty());
            prop_assert!(decision.effects.is_empty());
        }
        for effect in decision.effects {
            self.perform(effect)?;
        }
        self.machine = decision.next;
        self.check()
    }

    fn perform(&mut self, effect: Effect) -> Result<(), TestCaseError> {
        match effect {
            Effect::RunJob(spec) => {
                // The one kind of work there is reads facts: power and boot are out of reach by construction.
                let reads_only = matches!(spec.work, Work::Introspect { .. });
                prop_assert!(reads_only);
                let known: BTreeSet<_> = self.jobs.iter().copied().collect();
                prop_assert!(!known.contains(&spec.id), "a job id was used twice");
                self.jobs.push(spec.id);
            }
            Effect::CancelJob(job) => prop_assert!(self.jobs.contains(&job)),
            Effect::SetTimer(name, due_at) => {
                self.timers.insert(name, due_at);
            }
            Effect::ClearTimer(name) => {
                self.timers.remove(name);
            }
            Effect::Task(TaskChange::Open { .. }) => self.open_tasks += 1,
            Effect::Task(TaskChange::Close { .. }) => {
                prop_assert!(self.open_tasks > 0, "a task was closed twice");
                self.open_tasks -= 1;
            }
            Effect::Task(_) => prop_assert_eq!(self.open_tasks, 1),
            Effect::Tell(message) => prop_assert!(false, "it tells nobody: {message:?}"),
        }
        Ok(())
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let machine = &self.machine;
        if machine.state.is_terminal() {
            prop_assert_eq!(machine.finished_at.is_some(), machine.run > 0);
            prop_assert_eq!(machine.error.is_some(), machine.state == State::Error);
            prop_assert!(machine.job.is_none());
            prop_assert!(!self.timers.contains_key(DEADLINE));
            prop_assert_eq!(self.open_tasks, 0);
        } else {
            prop_assert!(machine.finished_at.is_none() && machine.error.is_none());
            prop_assert!(self.timers.contains_key(DEADLINE), "{} has no deadline", machine.state);
            let next = match machine.state {
                State::Starting => SET_UP,
                State::Processing | State::Reapplying => PROCESS,
                State::Aborting => ABORT_END,
                _ => "",
            };
            let pending = machine.job.is_some() || self.timers.contains_key(next) || self.timers.contains_key(SET_UP);
            prop_assert!(pending, "{} waits for nothing", machine.state);
            prop_assert_eq!(self.open_tasks, 1);
        }
        // Every state is stored, and read back by a manager that starts anew.
        let text = serde_json::to_string(machine).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Introspection>(&text).unwrap(), machine);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_run_never_stops_silently(
        happenings in proptest::collection::vec(happening(), 1..60),
        permit_active in any::<bool>(),
    ) {
        let mut world = World::new(permit_active);
        for happening in happenings {
            world.step(happening)?;
        }
        // Left alone, it comes to an end by its timers.
        for _ in 0..16 {
            world.step(Happening::NextTimer)?;
        }
        prop_assert!(world.machine.state.is_terminal(), "still {}", world.machine.state);
    }
}
