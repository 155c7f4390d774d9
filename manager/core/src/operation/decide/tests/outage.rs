//! No manager is there for hours, wherever an operation stands: nobody's fault, so nothing fails of it.

use super::*;

/// When another manager is there.
const BACK: i64 = 7 * 3600;

/// What is known by a manager that has just come, so many seconds after it came.
fn after(seconds: i64, job: JobState, connected: bool) -> Context<Facts> {
    let mut cx = cx(BACK + seconds);
    cx.since = Timestamp::from_micros(BACK * 1_000_000);
    cx.facts.job_state = Some(job);
    cx.facts.seat.as_mut().unwrap().connected = connected;
    cx
}

fn check() -> Input<Command> {
    Input::Timer(CHECK.into())
}

fn next_check(decision: &Decision<Operation>) -> Option<i64> {
    decision.effects.iter().rev().find_map(|effect| match effect {
        Effect::SetTimer(CHECK, at) => Some(at.as_micros() / 1_000_000 - BACK),
        _ => None,
    })
}

/// Operations that wait for a job: for the map to be read, or for the change.
fn waiting() -> Vec<Operation> {
    let forced = OperationOptions { skip_hooks: true, depth: 0 };
    vec![start(crush(None), OperationOptions::default()).next, start(format(), forced).next]
}

#[test]
fn a_job_is_waited_for_as_long_as_agents_come_back() {
    for operation in waiting() {
        for state in [JobState::Queued, JobState::Delivered, JobState::Running] {
            let looked = operation.decide(check(), &after(0, state, false)).unwrap();
            assert_eq!((close(&looked), &looked.next), (None, &operation), "{state:?}");
            assert_eq!(next_check(&looked), Some(120), "{state:?}");
            assert!(!looked.effects.iter().any(|effect| matches!(effect, Effect::CancelJob(_))), "{state:?}");
            let told = looked.next.decide(read(&operation, 9, "a"), &after(40, state, true)).unwrap();
            assert!(!matches!(close(&told), Some((TaskEnd::Failed | TaskEnd::Cancelled, _))), "{state:?}");
            // Who does not come back is not waited for any longer.
            let given_up = looked.next.decide(check(), &after(120, state, false)).unwrap();
            assert!(matches!(close(&given_up), Some((TaskEnd::Failed, _))), "{state:?}");
        }
    }
}

#[test]
fn a_job_that_an_agent_may_just_have_got_is_waited_for() {
    for operation in waiting() {
        let looked = operation.decide(check(), &after(119, JobState::Queued, true)).unwrap();
        assert_eq!((close(&looked), next_check(&looked)), (None, Some(120)));
    }
}

#[test]
fn the_end_of_a_cancelled_one_is_awaited_as_long_as_agents_come_back() {
    for operation in waiting() {
        let cancelled = operation.decide(Input::Command(Command::Cancel), &cx(10)).unwrap().next;
        let looked = cancelled.decide(check(), &after(0, JobState::Running, false)).unwrap();
        assert_eq!((close(&looked), next_check(&looked)), (None, Some(120)));
        let confirmed = ended(&operation, JobState::Cancelled, &json!({}), None);
        let told = looked.next.decide(confirmed, &after(30, JobState::Running, true)).unwrap();
        assert_eq!(close(&told), Some((TaskEnd::Cancelled, "cancelled".into())));
        let given_up = looked.next.decide(check(), &after(120, JobState::Running, false)).unwrap();
        assert!(matches!(close(&given_up), Some((TaskEnd::Cancelled, _))));
    }
}
