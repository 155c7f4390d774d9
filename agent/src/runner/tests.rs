use std::time::Duration;

use hostler_common::id::HostId;
use hostler_common::job::Work;
use hostler_common::script::{Digest, ScriptRef, ScriptRun};
use hostler_common::step::Step;
use uuid::Uuid;

use super::*;

fn job(n: u128) -> JobSpec {
    JobSpec {
        id: JobId(Uuid::from_u128(n)),
        host: HostId(Uuid::nil()),
        work: Work::Introspect { sections: Vec::new() },
        deadline: Duration::from_secs(60),
    }
}

fn runner(at_once: usize) -> Runner {
    let limits = Limits { kinds: vec!["introspect".into()], at_once };
    Runner::recover(limits, Vec::new(), |_| Fate::Unknown, |_| Fitness::Ready).0
}

#[test]
fn a_job_is_recorded_before_anything_else_is_done_with_it() {
    let mut runner = runner(1);
    let id = job(1).id;
    assert_eq!(
        runner.on(Input::Deliver(job(1), Fitness::Ready)),
        [Effect::Record(id), Effect::Start(id), Effect::Report(id)]
    );
    assert_eq!(runner.on(Input::Ended(id, JobState::Succeeded)), [Effect::Record(id), Effect::Report(id)]);
    assert_eq!(runner.on(Input::Acknowledge(id)), [Effect::Forget(id)]);
}

#[test]
fn a_known_job_is_answered_and_never_run_again() {
    let mut runner = runner(1);
    let id = job(1).id;
    runner.on(Input::Deliver(job(1), Fitness::Ready));
    assert_eq!(runner.on(Input::Deliver(job(1), Fitness::Ready)), [Effect::Report(id)]);
    runner.on(Input::Ended(id, JobState::Succeeded));
    assert_eq!(runner.on(Input::Deliver(job(1), Fitness::Ready)), [Effect::Report(id)]);
    runner.on(Input::Acknowledge(id));
    assert_eq!(runner.on(Input::Deliver(job(1), Fitness::Ready)), []);
}

#[test]
fn jobs_wait_for_their_turn_in_the_order_of_their_ids() {
    let mut runner = runner(1);
    runner.on(Input::Deliver(job(1), Fitness::Ready));
    runner.on(Input::Deliver(job(3), Fitness::Ready));
    runner.on(Input::Deliver(job(2), Fitness::Ready));
    let effects = runner.on(Input::Ended(job(1).id, JobState::Failed));
    assert!(effects.contains(&Effect::Start(job(2).id)));
    assert!(!effects.contains(&Effect::Start(job(3).id)));
}

#[test]
fn what_the_host_does_not_allow_is_refused_with_the_reason() {
    let limits = Limits { kinds: Vec::new(), at_once: 1 };
    let (mut runner, _) = Runner::recover(limits, Vec::new(), |_| Fate::Unknown, |_| Fitness::Ready);
    let effects = runner.on(Input::Deliver(job(1), Fitness::Ready));
    assert_eq!(effects, [Effect::Record(job(1).id), Effect::Report(job(1).id)]);
    let entry = runner.entry(job(1).id).unwrap();
    assert!(
        matches!(&entry.phase, Phase::Ended { state: JobState::Refused, reason: Some(text) } if text.contains("introspect"))
    );
}

#[test]
fn a_cancel_ends_what_waits_and_stops_what_runs() {
    let mut runner = runner(1);
    runner.on(Input::Deliver(job(1), Fitness::Ready));
    runner.on(Input::Deliver(job(2), Fitness::Ready));
    assert_eq!(runner.on(Input::Cancel(job(1).id)), [Effect::Stop(job(1).id)]);
    assert_eq!(runner.on(Input::Cancel(job(2).id)), [Effect::Record(job(2).id), Effect::Report(job(2).id)]);
    assert_eq!(runner.on(Input::Cancel(job(9).id)), []);
}

#[test]
fn recovery_follows_what_became_of_the_programs() {
    let entry = |n, phase| Entry { spec: job(n), phase, after: None, ready: false };
    let journal = vec![
        entry(1, Phase::Started),
        entry(2, Phase::Started),
        entry(3, Phase::Started),
        entry(4, Phase::Accepted),
        entry(5, Phase::Ended { state: JobState::Failed, reason: None }),
    ];
    let limits = Limits { kinds: vec!["introspect".into()], at_once: 2 };
    let fate = |spec: &JobSpec| match spec.id.0.as_u128() {
        1 => Fate::Alive,
        2 => Fate::Ended(JobState::Succeeded),
        _ => Fate::Unknown,
    };
    let (mut runner, effects) = Runner::recover(limits, journal, fate, |_| Fitness::Ready);
    let id = |n| job(n).id;
    assert_eq!(
        effects,
        [
            Effect::Watch(id(1)),
            Effect::Clear(id(3)),
            Effect::Record(id(2)),
            Effect::Record(id(3)),
            Effect::Record(id(4)),
            Effect::Start(id(4)),
            Effect::Report(id(4))
        ]
    );
    assert_eq!(runner.journal()[&id(3)], JobState::Lost);
    assert_eq!(runner.on(Input::Connected), [Effect::Report(id(2)), Effect::Report(id(3)), Effect::Report(id(5))]);
}

#[test]
fn memory_of_acknowledged_jobs_is_bounded() {
    let mut runner = runner(1);
    for n in 0..2000 {
        runner.on(Input::Deliver(job(n), Fitness::Ready));
        runner.on(Input::Ended(job(n).id, JobState::Succeeded));
        runner.on(Input::Acknowledge(job(n).id));
    }
    assert_eq!(runner.jobs.len(), REMEMBERED);
    assert!(runner.entry(job(0).id).is_none());
}

fn script(n: u128, blocking: bool) -> JobSpec {
    let script =
        ScriptRef { id: None, name: "s".into(), revision: 1, digest: Digest([0; 32]), signature: String::new() };
    let run = ScriptRun { args: vec!["a".into()], stdin: Some("much".into()), blocking, ..ScriptRun::new(script) };
    JobSpec { work: Work::Script(Box::new(run)), ..job(n) }
}

fn step(n: u128) -> JobSpec {
    JobSpec { work: Work::Step(Box::new(Step::CrushRead)), ..job(n) }
}

fn all_kinds() -> Runner {
    let kinds = ["introspect", "script", "step"].map(str::to_owned).to_vec();
    Runner::recover(Limits { kinds, at_once: 1 }, Vec::new(), |_| Fate::Unknown, |_| Fitness::Ready).0
}

fn started(effects: &[Effect]) -> Vec<u128> {
    let start = |effect: &Effect| if let Effect::Start(id) = effect { Some(id.0.as_u128()) } else { None };
    effects.iter().filter_map(start).collect()
}

#[test]
fn each_lane_has_its_own_places_and_its_own_queue() {
    let mut runner = all_kinds();
    let mut give = |spec: JobSpec| {
        let id = spec.id;
        let effects = runner.on(Input::Deliver(spec, Fitness::Ready));
        (started(&effects).len(), runner.entry(id).unwrap().phase.clone())
    };
    assert_eq!(give(job(1)).0, 1);
    assert_eq!(give(job(2)).0, 0, "a place is taken");
    assert_eq!(give(script(3, true)).0, 1);
    assert_eq!(give(script(4, true)).0, 0, "one script that blocks at a time");
    let begun: usize = (10..50).map(|n| give(script(n, false)).0).sum();
    assert_eq!(begun, 4);
    // 36 of 40 could not begin, of which 32 may wait.
    let (_, phase) = give(script(60, false));
    let Phase::Ended { state: JobState::Refused, reason: Some(reason) } = phase else { panic!("{phase:?}") };
    assert!(reason.contains("queue full"), "{reason}");
    assert_eq!(give(script(61, true)).1, Phase::Accepted, "another queue");
}

#[test]
fn what_is_wanting_is_fetched_before_it_takes_a_place() {
    let mut runner = all_kinds();
    let id = script(1, true).id;
    let effects = runner.on(Input::Deliver(script(1, true), Fitness::Wanting));
    assert_eq!(effects, [Effect::Record(id), Effect::Report(id), Effect::Fetch(id)]);
    assert_eq!(started(&runner.on(Input::Deliver(script(2, true), Fitness::Ready))), [2]);
    assert_eq!(runner.on(Input::Fetched(id, Ok(()))), []);
    assert_eq!(started(&runner.on(Input::Ended(script(2, true).id, JobState::Failed))), [1]);
    let third = script(3, false).id;
    runner.on(Input::Deliver(script(3, false), Fitness::Wanting));
    let effects = runner.on(Input::Fetched(third, Err("gone".into())));
    assert_eq!(effects, [Effect::Record(third), Effect::Report(third)]);
    let entry = runner.entry(third).unwrap();
    assert_eq!(entry.phase, Phase::Ended { state: JobState::Refused, reason: Some("gone".into()) });
    let refused = runner.on(Input::Deliver(script(4, false), Fitness::Refused("no signature".into())));
    assert_eq!(refused, [Effect::Record(script(4, false).id), Effect::Report(script(4, false).id)]);
}

fn chain(needs_success: bool) -> Vec<(JobSpec, Option<After>, Fitness)> {
    let after = |n| Some(After { job: job(n).id, needs_success });
    vec![
        (script(1, false), None, Fitness::Ready),
        (script(2, false), after(1), Fitness::Ready),
        (script(3, false), after(2), Fitness::Ready),
    ]
}

#[test]
fn hooks_of_one_occurrence_run_one_after_the_other() {
    let mut runner = all_kinds();
    assert_eq!(started(&runner.on(Input::Local(chain(false)))), [1]);
    assert_eq!(started(&runner.on(Input::Ended(job(1).id, JobState::Failed))), [2]);
    assert_eq!(started(&runner.on(Input::Ended(job(2).id, JobState::Succeeded))), [3]);
}

#[test]
fn the_first_failure_of_hooks_that_block_ends_the_rest() {
    let mut runner = all_kinds();
    runner.on(Input::Local(chain(true)));
    let effects = runner.on(Input::Ended(job(1).id, JobState::TimedOut));
    assert_eq!(started(&effects), [] as [u128; 0]);
    for n in [2, 3] {
        assert!(matches!(runner.entry(job(n).id).unwrap().phase, Phase::Ended { state: JobState::Cancelled, .. }));
        assert!(effects.contains(&Effect::Record(job(n).id)) && effects.contains(&Effect::Report(job(n).id)));
    }
    // Also where the first one was refused.
    let mut jobs = chain(true);
    jobs[0].2 = Fitness::Refused("opted out".into());
    let mut runner = all_kinds();
    assert_eq!(started(&runner.on(Input::Local(jobs))), [] as [u128; 0]);
    assert!(matches!(runner.entry(job(3).id).unwrap().phase, Phase::Ended { state: JobState::Cancelled, .. }));
}

#[test]
fn a_chain_goes_on_after_a_restart() {
    let entry = |n, phase| Entry {
        spec: script(n, false),
        phase,
        after: (n > 1).then(|| After { job: job(n - 1).id, needs_success: true }),
        ready: false,
    };
    let kinds = vec!["script".to_owned()];
    let recover = |journal, fate| {
        let limits = Limits { kinds: kinds.clone(), at_once: 1 };
        Runner::recover(limits, journal, move |_| fate, |_| Fitness::Ready)
    };
    let journal = || vec![entry(1, Phase::Started), entry(2, Phase::Accepted)];
    assert_eq!(started(&recover(journal(), Fate::Ended(JobState::Succeeded)).1), [2]);
    assert_eq!(started(&recover(journal(), Fate::Alive).1), [] as [u128; 0]);
    let (runner, _) = recover(journal(), Fate::Unknown);
    assert!(matches!(runner.entry(job(2).id).unwrap().phase, Phase::Ended { state: JobState::Cancelled, .. }));
    let over = vec![entry(1, Phase::Acknowledged), entry(2, Phase::Accepted)];
    assert_eq!(started(&recover(over, Fate::Unknown).1), [2]);
}

#[test]
fn steps_wait_for_the_hooks_of_the_start_and_are_refused_where_these_failed() {
    let mut runner = all_kinds();
    assert_eq!(started(&runner.on(Input::Deliver(step(1), Fitness::Ready))), [] as [u128; 0]);
    assert_eq!(started(&runner.on(Input::Steps(Steps::Taken))), [1]);
    let mut runner = all_kinds();
    runner.on(Input::Deliver(step(1), Fitness::Ready));
    assert_eq!(runner.on(Input::Steps(Steps::Refused)), [Effect::Record(job(1).id), Effect::Report(job(1).id)]);
    runner.on(Input::Deliver(step(2), Fitness::Ready));
    for n in [1, 2] {
        let phase = &runner.entry(job(n).id).unwrap().phase;
        assert!(matches!(phase, Phase::Ended { state: JobState::Refused, .. }), "{phase:?}");
    }
    assert_eq!(started(&runner.on(Input::Deliver(script(3, false), Fitness::Ready))), [3]);
}

#[test]
fn a_lost_job_is_cleared_and_an_acknowledged_one_takes_no_room() {
    let mut runner = all_kinds();
    runner.on(Input::Deliver(script(1, false), Fitness::Ready));
    let id = job(1).id;
    let effects = runner.on(Input::Ended(id, JobState::Lost));
    assert_eq!(effects, [Effect::Record(id), Effect::Clear(id), Effect::Report(id)]);
    runner.on(Input::Acknowledge(id));
    let Work::Script(run) = &runner.entry(id).unwrap().spec.work else { panic!("another work") };
    assert!(run.args.is_empty() && run.stdin.is_none());
}
