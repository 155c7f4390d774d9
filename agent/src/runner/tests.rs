use std::time::Duration;

use hostler_common::id::HostId;
use hostler_common::job::Work;
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
    Runner::recover(limits, Vec::new(), |_| Fate::Unknown).0
}

#[test]
fn a_job_is_recorded_before_anything_else_is_done_with_it() {
    let mut runner = runner(1);
    let id = job(1).id;
    assert_eq!(
        runner.on(Input::Deliver(job(1))),
        [Effect::Record(id), Effect::Report(id), Effect::Record(id), Effect::Start(id), Effect::Report(id)]
    );
    assert_eq!(runner.on(Input::Ended(id, JobState::Succeeded)), [Effect::Record(id), Effect::Report(id)]);
    assert_eq!(runner.on(Input::Acknowledge(id)), [Effect::Forget(id)]);
}

#[test]
fn a_known_job_is_answered_and_never_run_again() {
    let mut runner = runner(1);
    let id = job(1).id;
    runner.on(Input::Deliver(job(1)));
    assert_eq!(runner.on(Input::Deliver(job(1))), [Effect::Report(id)]);
    runner.on(Input::Ended(id, JobState::Succeeded));
    assert_eq!(runner.on(Input::Deliver(job(1))), [Effect::Report(id)]);
    runner.on(Input::Acknowledge(id));
    assert_eq!(runner.on(Input::Deliver(job(1))), []);
}

#[test]
fn jobs_wait_for_their_turn_in_the_order_of_their_ids() {
    let mut runner = runner(1);
    runner.on(Input::Deliver(job(1)));
    runner.on(Input::Deliver(job(3)));
    runner.on(Input::Deliver(job(2)));
    let effects = runner.on(Input::Ended(job(1).id, JobState::Failed));
    assert!(effects.contains(&Effect::Start(job(2).id)));
    assert!(!effects.contains(&Effect::Start(job(3).id)));
}

#[test]
fn what_the_host_does_not_allow_is_refused_with_the_reason() {
    let limits = Limits { kinds: Vec::new(), at_once: 1 };
    let (mut runner, _) = Runner::recover(limits, Vec::new(), |_| Fate::Unknown);
    let effects = runner.on(Input::Deliver(job(1)));
    assert_eq!(effects, [Effect::Record(job(1).id), Effect::Report(job(1).id)]);
    let entry = runner.entry(job(1).id).unwrap();
    assert!(
        matches!(&entry.phase, Phase::Ended { state: JobState::Refused, reason: Some(text) } if text.contains("introspect"))
    );
}

#[test]
fn a_cancel_ends_what_waits_and_stops_what_runs() {
    let mut runner = runner(1);
    runner.on(Input::Deliver(job(1)));
    runner.on(Input::Deliver(job(2)));
    assert_eq!(runner.on(Input::Cancel(job(1).id)), [Effect::Stop(job(1).id)]);
    assert_eq!(runner.on(Input::Cancel(job(2).id)), [Effect::Record(job(2).id), Effect::Report(job(2).id)]);
    assert_eq!(runner.on(Input::Cancel(job(9).id)), []);
}

#[test]
fn recovery_follows_what_became_of_the_programs() {
    let entry = |n, phase| Entry { spec: job(n), phase };
    let journal = vec![
        entry(1, Phase::Started),
        entry(2, Phase::Started),
        entry(3, Phase::Started),
        entry(4, Phase::Accepted),
        entry(5, Phase::Ended { state: JobState::Failed, reason: None }),
    ];
    let limits = Limits { kinds: vec!["introspect".into()], at_once: 2 };
    let (mut runner, effects) = Runner::recover(limits, journal, |spec| match spec.id.0.as_u128() {
        1 => Fate::Alive,
        2 => Fate::Ended(JobState::Succeeded),
        _ => Fate::Unknown,
    });
    let id = |n| job(n).id;
    assert_eq!(
        effects,
        [
            Effect::Watch(id(1)),
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
        runner.on(Input::Deliver(job(n)));
        runner.on(Input::Ended(job(n).id, JobState::Succeeded));
        runner.on(Input::Acknowledge(job(n).id));
    }
    assert_eq!(runner.jobs.len(), REMEMBERED);
    assert!(runner.entry(job(0).id).is_none());
}
