//! Whatever comes in whatever order: no target begins twice, counts add up, and a run never stops silently.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Happening {
    Report(usize, JobState),
    Cancel,
    Answer(bool),
    Pass(u64),
    Connect(u128, bool),
    Remove(usize),
    Room(u32),
    Stray(Word),
    StrayTimer(&'static str),
}

fn happening() -> impl Strategy<Value = Happening> {
    let states = proptest::sample::select(JobState::ALL.to_vec());
    let words = vec![Word::Begin, Word::GoOn, Word::Conclude, Word::Cancel, Word::Drop { reason: "x".into() }];
    let words = proptest::sample::select(words);
    let names = proptest::sample::select(vec![CHECK, LAUNCH, QUESTION, CANCEL_END, "unknown"]);
    prop_oneof![
        12 => (0..12_usize, states).prop_map(|(n, state)| Happening::Report(n, state)),
        1 => Just(Happening::Cancel),
        2 => any::<bool>().prop_map(Happening::Answer),
        3 => (1..200_u64).prop_map(Happening::Pass),
        2 => (1..13_u128, any::<bool>()).prop_map(|(n, there)| Happening::Connect(n, there)),
        1 => (0..12_usize).prop_map(Happening::Remove),
        1 => (0..3_u32).prop_map(Happening::Room),
        1 => words.prop_map(Happening::Stray),
        1 => names.prop_map(Happening::StrayTimer),
    ]
}

fn specs() -> impl Strategy<Value = Spec> {
    let errors = proptest::option::of((0..4_u32).prop_map(Quota::Count));
    (1..12_u128, 1..5_u32, errors, 0..3_u32, any::<bool>(), any::<bool>()).prop_map(
        |(count, at_once, max_errors, canary, hook, any_one)| {
            let base = if hook { hook_spec(count, any_one) } else { spec(count) };
            Spec { max_concurrency: Quota::Count(at_once), max_errors, canary, ..base }
        },
    )
}

fn happen(world: &mut World, happening: Happening) {
    match happening {
        Happening::Report(n, state) if n < world.rows.len() => world.report(n, state),
        Happening::Cancel => world.command(Command::Cancel).unwrap(),
        Happening::Answer(go_on) => {
            if let Some(question) = world.question.clone() {
                let response = if go_on { "continue" } else { "stop" };
                world.command(Command::Answer { token: question.token, response: response.into() }).unwrap();
            }
        }
        Happening::Pass(seconds) => world.pass(seconds),
        Happening::Connect(n, true) => world.connect(n),
        Happening::Connect(n, false) => world.disconnect(n),
        Happening::Remove(n) if n < world.rows.len() => world.remove_job(n),
        Happening::Room(room) => world.room = room,
        Happening::Stray(word) => world.word(&word),
        Happening::StrayTimer(name) if world.timers.contains_key(name) || name == "unknown" => world.timer(name),
        Happening::Report(..) | Happening::Remove(_) | Happening::StrayTimer(_) => {}
    }
}

/// A run is over, waits for its parent, or waits for something until a named time.
fn never_stops_silently(world: &World) {
    let waits = match world.run.phase {
        Phase::Over => world.ended.is_some() && world.timers.is_empty(),
        Phase::Fresh | Phase::Held => true,
        Phase::Active | Phase::Cancelling | Phase::Dropped => {
            let looked_at = world.open().is_empty() || world.timers.contains_key(CHECK);
            looked_at && !world.timers.is_empty() && world.ended.is_none()
        }
    };
    assert!(waits, "{:?} with timers {:?}", world.run, world.timers);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_run_keeps_its_promises(
        spec in specs(),
        held in any::<bool>(),
        happenings in proptest::collection::vec(happening(), 0..60),
    ) {
        let mut world = World::new();
        let any_one = spec.hook().is_some_and(|hook| hook.any_one);
        let at_once = if any_one { 1 } else { spec.max_concurrency.at_once(99) };
        world.command(Command::Start(Box::new(Start { spec, parent: None, held }))).unwrap();
        for happening in happenings {
            happen(&mut world, happening);
            prop_assert!(world.open().len() <= at_once as usize);
            never_stops_silently(&world);
        }
        // Nobody answers any more: time alone ends it.
        world.room = 500;
        world.word(&Word::Begin);
        for n in 1..13 {
            world.disconnect(n);
        }
        for _ in 0..60 {
            world.pass(86_400);
        }
        prop_assert_eq!(world.run.phase, Phase::Over);
        prop_assert!(world.ended.is_some());
        let ended = world.run.counts.ended();
        prop_assert_eq!(ended, world.run.total());
    }
}
