//! No manager is there for minutes or hours, wherever a run stands: nobody's fault, so nothing fails of it.

use super::world::World;
use super::*;

/// How long no manager is there: shorter than a script may take, longer than that, longer than people may take to answer.
const AWAY: [u64; 3] = [600, 7 * 3600, 30 * 3600];

const HOSTS: u128 = 4;

fn kinds() -> Vec<Spec> {
    let two = Spec { max_concurrency: Quota::Count(2), max_errors: Some(Quota::Count(0)), ..spec(HOSTS) };
    let canary = Spec { canary: 1, ..spec(HOSTS) };
    vec![two, canary, hook_spec(HOSTS, true), hook_spec(HOSTS, false)]
}

/// The next thing that happens where nothing is wrong: people answer, agents take jobs, begin, and end. `false` at the end.
fn step(world: &mut World) -> bool {
    if let Some(question) = world.question.clone() {
        world.command(Command::Answer { token: question.token, response: "continue".into() }).unwrap();
        return true;
    }
    let Some(position) = world.open().first().copied() else {
        assert!(world.ended.is_some(), "it waits for nothing: {:?}", world.run);
        return false;
    };
    match world.job_state(position) {
        Some(JobState::Queued) => world.report(position, JobState::Delivered),
        Some(JobState::Delivered) => world.report(position, JobState::Running),
        _ => world.report(position, JobState::Succeeded),
    }
    true
}

/// Another manager finds everything overdue and nobody connected, and agents come back one after the other.
fn outage(world: &mut World, seconds: u64, back: impl Fn(&mut World, u128)) {
    for n in 1..=HOSTS {
        world.disconnect(n);
    }
    world.nobody_for(seconds);
    for n in 1..=HOSTS {
        world.pass(15);
        world.connect(n);
        back(world, n);
    }
}

fn ends_well(mut world: World, what: &str) {
    for _ in 0..100 {
        world.pass(1);
        if !step(&mut world) {
            break;
        }
    }
    assert_eq!(world.ended, Some((TaskEnd::Finished, 0)), "{what}: {:?}", world.run);
    let counts = &world.run.counts;
    assert_eq!((counts.lost, counts.undeliverable, counts.cancelled), (0, 0, 0), "{what}");
    assert!(world.cancelled.is_empty() && world.late == 0, "{what}");
    assert_eq!(world.begun_jobs.len(), if world.run.any_one { 1 } else { 4 }, "{what}");
}

fn steps(spec: &Spec) -> usize {
    let mut world = World::started(spec.clone());
    (0..100).take_while(|_| step(&mut world)).count()
}

fn at_every_step(back: impl Fn(&mut World, u128) + Copy) {
    for (kind, spec) in kinds().iter().enumerate() {
        for at in 0..steps(spec) {
            for away in AWAY {
                let mut world = World::started(spec.clone());
                (0..at).for_each(|_| assert!(step(&mut world)));
                outage(&mut world, away, back);
                ends_well(world, &format!("kind {kind}, step {at}, away for {away} s"));
            }
        }
    }
}

#[test]
fn an_outage_at_any_step_changes_nothing_of_the_end() {
    at_every_step(|_, _| {});
}

#[test]
fn what_ended_during_an_outage_is_reported_after_it() {
    at_every_step(|world, n| {
        let position = usize::try_from(n - 1).unwrap();
        if matches!(world.job_state(position), Some(JobState::Delivered | JobState::Running)) {
            world.report(position, JobState::Succeeded);
        }
    });
}

#[test]
fn the_end_of_a_cancelled_run_is_awaited_as_long_as_agents_come_back() {
    let mut world = World::started(spec(HOSTS));
    (0..4).for_each(|position| world.report(position, JobState::Running));
    world.command(Command::Cancel).unwrap();
    outage(&mut world, 600, |world, n| world.report(usize::try_from(n - 1).unwrap(), JobState::Cancelled));
    assert_eq!(world.ended, Some((TaskEnd::Cancelled, CANCELLED)));
    assert_eq!((world.run.counts.cancelled, world.run.counts.lost), (4, 0));
}

#[test]
fn an_agent_that_does_not_come_back_is_given_up_all_the_same() {
    let mut world = World::started(spec(2));
    world.report(0, JobState::Running);
    world.disconnect(1);
    world.disconnect(2);
    world.nobody_for(7 * 3600);
    world.pass(119);
    assert_eq!(world.ended, None);
    world.pass(10);
    assert_eq!(world.ended, Some((TaskEnd::Failed, 255)));
    assert_eq!((world.run.counts.lost, world.run.counts.undeliverable), (1, 1));
}
