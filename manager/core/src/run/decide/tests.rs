//! The table of inputs and what follows; random orders are in [`any_order`].

use hostler_common::hook::{HookPoint, Occurrence};
use hostler_common::id::{HookId, HostId, JobId, ScriptId};
use hostler_common::script::{Digest, ScriptRef};
use hostler_common::time::Timestamp;
use uuid::Uuid;

use super::super::quota::Quota;
use super::super::spec::{HookOrigin, Origin, Parent};
use super::*;

mod any_order;
mod outage;
mod world;

use world::World;

fn script() -> ScriptRef {
    ScriptRef { id: None, name: "a.sh".into(), revision: 1, digest: Digest([1; 32]), signature: String::new() }
}

fn hosts(count: u128) -> Vec<HostId> {
    (1..=count).map(|n| HostId(Uuid::from_u128(n))).collect()
}

fn spec(count: u128) -> Spec {
    Spec::new("a.sh on hosts", script(), hosts(count), Origin::Execute)
}

fn hook_spec(count: u128, any_one: bool) -> Spec {
    let occurrence = Occurrence {
        id: Uuid::from_u128(9),
        point: HookPoint::OnAudit,
        origin: hostler_common::hook::Origin::Manager,
        at: Timestamp::from_micros(0),
        values: ["root", "POST", "/x", "200", "scripts", "create"].map(str::to_owned).to_vec(),
    };
    let origin =
        HookOrigin { hook: HookId(4), script: ScriptId(7), occurrence, blocking: false, any_one, stdin_json: true };
    Spec { origin: Origin::Hook(Box::new(origin)), ..spec(count) }
}

#[test]
fn all_hosts_run_and_the_task_finishes() {
    let mut world = World::started(Spec { max_concurrency: Quota::Count(2), ..spec(5) });
    assert_eq!(world.open(), [0, 1]);
    for position in 0..5 {
        world.report(position, JobState::Running);
        world.report(position, JobState::Succeeded);
        assert!(world.open().len() <= 2);
    }
    assert_eq!(world.ended, Some((TaskEnd::Finished, 0)));
    assert_eq!(world.progress, 5);
    assert!(world.timers.is_empty());
}

#[test]
fn the_sixth_failure_stops_the_run() {
    let mut world =
        World::started(Spec { max_errors: Some(Quota::Count(5)), max_concurrency: Quota::Count(50), ..spec(1000) });
    for position in 0..6 {
        world.report(position, JobState::Running);
        world.fail(position, 7);
    }
    let begun = world.run.total() - world.run.counts.skipped;
    assert_eq!(begun, 55, "after the sixth failure none begins");
    for position in 6..55 {
        world.report(position, JobState::Succeeded);
    }
    assert_eq!(world.ended, Some((TaskEnd::Failed, 7)));
    assert_eq!(world.run.counts.skipped, 945);
}

#[test]
fn the_status_is_that_of_the_first_failure_in_the_order_of_hosts() {
    let mut world = World::started(spec(3));
    world.fail(2, 9);
    world.fail(1, 4);
    world.report(0, JobState::Succeeded);
    assert_eq!(world.ended, Some((TaskEnd::Failed, 4)));
}

#[test]
fn hosts_that_are_away_are_not_waited_for() {
    let mut world = World::new();
    for n in 1..=300 {
        world.away(n);
    }
    world.start(Spec { max_concurrency: Quota::Count(1), ..spec(301) });
    assert_eq!(world.open(), [300], "the last one is there");
    world.report(300, JobState::Succeeded);
    assert_eq!(world.ended, Some((TaskEnd::Failed, 255)));
}

#[test]
fn a_job_that_nobody_takes_ends_after_a_minute() {
    let mut world = World::started(spec(2));
    world.report(0, JobState::Succeeded);
    world.disconnect(2);
    world.pass(59);
    assert_eq!(world.ended, None);
    world.pass(2);
    assert_eq!(world.ended, Some((TaskEnd::Failed, 255)));
    assert!(world.cancelled.contains(&world.job(1)));
    // It had reached the agent all the same: what came of it is kept, and changes nothing else.
    world.report(1, JobState::Succeeded);
    assert_eq!((world.late, world.run.counts.undeliverable), (1, 1));
}

#[test]
fn a_clock_that_jumps_ends_no_script() {
    let mut world = World::started(spec(1));
    world.report(0, JobState::Running);
    world.pass(3 * 365 * 86_400);
    assert_eq!(world.ended, None, "the agent is connected: it counts the time");
    world.report(0, JobState::Succeeded);
    assert_eq!(world.ended, Some((TaskEnd::Finished, 0)));
}

#[test]
fn a_script_whose_host_is_gone_is_lost() {
    let mut world = World::started(spec(2));
    world.report(0, JobState::Running);
    world.report(1, JobState::Running);
    world.disconnect(1);
    world.remove_job(1);
    world.pass(3600 + 60 + 121);
    assert_eq!(world.ended, Some((TaskEnd::Failed, 255)));
    assert_eq!(world.run.counts.lost, 2);
}

#[test]
fn cancel_drops_what_waits_and_ends_what_runs() {
    let mut world = World::started(Spec { max_concurrency: Quota::Count(2), ..spec(4) });
    world.report(0, JobState::Running);
    world.command(Command::Cancel).unwrap();
    world.command(Command::Cancel).unwrap();
    assert_eq!(world.run.counts.cancelled, 2);
    assert_eq!(world.cancelled.len(), 2);
    world.report(0, JobState::Cancelled);
    assert_eq!(world.ended, None);
    world.report(1, JobState::Cancelled);
    assert_eq!(world.ended, Some((TaskEnd::Cancelled, CANCELLED)));
}

#[test]
fn a_cancel_waits_a_minute_for_agents_that_are_gone() {
    let mut world = World::started(spec(2));
    world.report(0, JobState::Running);
    world.report(1, JobState::Running);
    world.command(Command::Cancel).unwrap();
    world.report(0, JobState::Cancelled);
    world.pass(61);
    assert_eq!(world.ended, Some((TaskEnd::Cancelled, CANCELLED)));
    assert_eq!(world.run.counts.lost, 1);
}

#[test]
fn what_finishes_before_a_cancel_arrives_has_finished() {
    let mut world = World::started(spec(1));
    world.report(0, JobState::Running);
    world.command(Command::Cancel).unwrap();
    world.report(0, JobState::Succeeded);
    assert_eq!(world.ended, Some((TaskEnd::Finished, 0)));
}

#[test]
fn after_the_canary_somebody_is_asked_once() {
    let mut world = World::started(Spec { canary: 1, ..spec(3) });
    assert_eq!(world.open(), [0]);
    world.report(0, JobState::Succeeded);
    let question = world.question.clone().unwrap();
    assert!(world.open().is_empty());
    let wrong = world.command(Command::Answer { token: Uuid::nil(), response: "continue".into() }).unwrap_err();
    assert_eq!(wrong.class, Class::Conflict);
    let odd = world.command(Command::Answer { token: question.token, response: "maybe".into() }).unwrap_err();
    assert_eq!(odd.class, Class::Conflict);
    world.command(Command::Answer { token: question.token, response: "continue".into() }).unwrap();
    assert_eq!(world.open(), [1, 2]);
    assert!(world.command(Command::Answer { token: question.token, response: "stop".into() }).is_err());
}

#[test]
fn a_question_that_nobody_answers_stops_the_run() {
    let mut world = World::started(Spec { canary: 1, ..spec(3) });
    world.report(0, JobState::Succeeded);
    world.pass(86_401);
    assert_eq!(world.run.counts.skipped, 2);
    assert_eq!(world.ended.map(|(end, _)| end), Some(TaskEnd::Failed));
}

#[test]
fn one_of_several_hosts_is_enough() {
    let mut world = World::started(hook_spec(3, true));
    assert_eq!(world.open(), [0]);
    world.disconnect(1);
    world.pass(31);
    assert_eq!(world.open(), [1], "the first one did not begin in time");
    world.report(1, JobState::Running);
    assert_eq!(world.run.counts.skipped, 1, "once begun, no other one is tried");
    world.report(1, JobState::Succeeded);
    assert_eq!(world.ended, Some((TaskEnd::Finished, 0)));
}

#[test]
fn a_held_run_waits_for_its_parent_and_tells_it_the_end() {
    let parent = Parent { kind: "chain".into(), subject: "s".into(), tag: 3 };
    let mut world = World::new();
    let start = Start { spec: hook_spec(1, false), parent: Some(parent.clone()), held: true };
    world.command(Command::Start(Box::new(start.clone()))).unwrap();
    assert!(world.open().is_empty());
    world.word(&Word::Begin);
    world.fail(0, 5);
    let told = world.told.pop().unwrap();
    let report: Report = serde_json::from_value(told.body["run"].clone()).unwrap();
    assert_eq!((told.kind.as_str(), report.tag, report.status_code), ("chain", 3, 5));
    assert_eq!(report.failure, Some(("host-1".into(), "exited 5".into())));

    let mut world = World::new();
    world.command(Command::Start(Box::new(start))).unwrap();
    world.word(&Word::Drop { reason: "hook 1 failed".into() });
    assert_eq!(world.ended, Some((TaskEnd::Cancelled, CANCELLED)));
    assert!(world.begun_jobs.is_empty());
}

#[test]
fn hooks_get_their_environment() {
    let world = World::started(hook_spec(1, false));
    let script = world.scripts[&world.job(0)].clone();
    for (name, value) in [
        ("HOOK_EVENT", "OnAudit"),
        ("HOOK_ID", "4"),
        ("HOOK_SCRIPT_ID", "7"),
        ("HOOK_TASK_ID", "77"),
        ("HOOK_SERVER_NAME", "host-1"),
        ("HOOK_ATTEMPT", "1"),
        ("HOOK_USER", "root"),
    ] {
        assert_eq!(script.env.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert!(script.stdin.unwrap().contains("\"server\":{\"id\":1,\"name\":\"host-1\"}"));
}

#[test]
fn an_adopted_script_is_running_already() {
    let job = JobId(Uuid::from_u128(99));
    let mut world = World::new();
    world.command(Command::Adopt(Box::new(Adoption { spec: hook_spec(1, false), job }))).unwrap();
    assert_eq!(world.run.counts.running, 1);
    assert!(world.begun_jobs.is_empty(), "no job is ordered");
    world.report(0, JobState::Succeeded);
    assert_eq!(world.ended, Some((TaskEnd::Finished, 0)));
}

#[test]
fn bad_orders_are_refused() {
    let twice = Spec { hosts: vec![HostId(Uuid::from_u128(1)); 2], ..spec(1) };
    let long = Spec { deadline: DEADLINE_MAX * 2, ..spec(1) };
    let env = Spec { env: [("LD_PRELOAD".to_owned(), "x".to_owned())].into(), ..spec(1) };
    let args = Spec { args: vec!["a\0b".into()], ..spec(1) };
    for bad in [spec(0), twice, long, env, args] {
        let start = Start { spec: bad, parent: None, held: false };
        let refusal = World::new().command(Command::Start(Box::new(start))).unwrap_err();
        assert_eq!(refusal.class, Class::Invalid, "{refusal}");
    }
    let mut world = World::started(hook_spec(0, true));
    assert_eq!(world.ended, Some((TaskEnd::Failed, 255)), "a hook without a host fails and says so");
    assert!(world.command(Command::Start(Box::new(Start { spec: spec(1), parent: None, held: false }))).is_err());
}

#[test]
fn phases_move_as_their_table_says() {
    for from in Phase::ALL {
        assert!(from.may_become(from));
        assert!(from == Phase::Over || !Phase::Over.may_become(from));
    }
}
