//! The machine against the conflict matrix (spec/introspection.md §1.8), and through whole runs (§2).

mod any_order;

use std::sync::Arc;
use std::time::Duration;

use hostler_common::error::Class;
use hostler_common::id::{HostId, JobId};
use hostler_common::job::{Captured, JobState, JobUpdate, Outcome};
use hostler_common::time::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::introspection::command::{Held, Settings};
use crate::introspection::node::Node;
use crate::machine::StepOutcome;

type Decided = Result<Decision<Introspection>, Refusal>;

const NOW: i64 = 1_800_000_000_000_000;

fn host() -> HostId {
    HostId(Uuid::from_u128(7))
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(NOW).after(Duration::from_secs(seconds))
}

fn document() -> Value {
    json!({
        "inventory": {
            "interfaces": [{ "name": "eth0", "mac_address": "52:54:00:aa:00:01", "ipv4_address": "192.0.2.5" }],
            "cpu": { "count": 4, "architecture": "x86_64" },
            "memory": { "total": 4_294_967_296_u64, "physical_mb": 4096 },
            "disks": [],
            "system_vendor": { "system_uuid": "4C4C4544-0000-1010-8020-B1C04F303132" },
        },
        "logs": "secret",
    })
}

fn cx(seconds: u64) -> Context<Facts> {
    let facts = Facts {
        node: Node::new(host(), "ceph-07"),
        revoked: false,
        known: Identity::default(),
        held: None,
        base: None,
        stored: Some(document()),
        rules: Vec::new(),
        settings: Arc::new(Settings::default()),
    };
    Context {
        now: at(seconds),
        since: crate::machine::LONG_AGO,
        actor: Some("user:admin".into()),
        seed: u128::from(seconds) << 64 | 99,
        facts,
    }
}

fn in_state(state: State) -> Introspection {
    let job = matches!(state, State::Waiting).then(|| JobId(Uuid::from_u128(1)));
    let finished_at = state.is_terminal().then(|| at(0));
    Introspection { state, run: 3, started_at: at(0), finished_at, job, ..Introspection::new(host()) }
}

fn start() -> Input<Command> {
    Input::Command(Command::Start { manage_boot: None, sections: Vec::new() })
}

fn abort() -> Input<Command> {
    Input::Command(Command::Abort)
}

fn reapply(data: Option<Value>) -> Input<Command> {
    Input::Command(Command::Reapply { data })
}

fn callback() -> Input<Command> {
    Input::Command(Command::Callback { data: document() })
}

fn timer(name: &str) -> Input<Command> {
    Input::Timer(name.into())
}

fn update(job: JobId, state: JobState, output: &[u8]) -> Input<Command> {
    let stdout = Captured { head: output.to_vec(), tail: Vec::new(), total: output.len() as u64 };
    let outcome = state.is_final().then(|| Outcome { stdout, ..Outcome::default() });
    Input::Job(JobUpdate { job, state, outcome })
}

/// What a decision comes to: the state after it, or the class and text of the refusal.
fn came_to(decided: &Decided) -> Result<State, (Class, String)> {
    match decided {
        Ok(decision) => Ok(decision.next.state),
        Err(refusal) => Err((refusal.class, refusal.message.clone())),
    }
}

fn no_transition(state: State) -> Result<State, (Class, String)> {
    let text = format!("Can not transition from state '{state}' on event 'start' (no defined transition)");
    Err((Class::Invalid, text))
}

fn locked() -> Result<State, (Class, String)> {
    Err((Class::Conflict, "Node locked, please, try again later".into()))
}

fn set_timer(decision: &Decision<Introspection>, name: &str) -> Option<Timestamp> {
    decision.effects.iter().rev().find_map(|effect| match effect {
        Effect::SetTimer(known, due_at) if *known == name => Some(*due_at),
        _ => None,
    })
}

fn ordered(decision: &Decision<Introspection>) -> Option<&JobSpec> {
    decision.effects.iter().find_map(|effect| match effect {
        Effect::RunJob(spec) => Some(spec),
        _ => None,
    })
}

#[test]
fn spec_8_6_conflict_matrix_start() {
    for state in State::ALL {
        let decided = came_to(&in_state(state).decide(start(), &cx(100)));
        let want = match state {
            State::Waiting | State::Finished | State::Error => Ok(State::Starting),
            other => no_transition(other),
        };
        assert_eq!(decided, want, "{state}");
    }
    let first = Introspection::new(host()).decide(start(), &cx(0)).unwrap();
    assert_eq!((first.next.state, first.next.run, first.next.started_at), (State::Starting, 1, at(0)));
}

#[test]
fn spec_8_6_conflict_matrix_abort() {
    for state in State::ALL {
        let decision = in_state(state).decide(abort(), &cx(100)).unwrap();
        let want = match state {
            State::Starting | State::Waiting | State::Processing | State::Reapplying => State::Aborting,
            State::Finished | State::Error | State::Enrolling | State::Aborting => state,
        };
        assert_eq!(decision.next.state, want, "{state}");
        let cancels = decision.effects.contains(&Effect::CancelJob(JobId(Uuid::from_u128(1))));
        assert_eq!(cancels, state == State::Waiting, "{state}");
        // What is accepted and does nothing is at least on record.
        let skipped = decision.steps.iter().any(|step| step.outcome == StepOutcome::Skipped);
        assert_eq!(skipped, matches!(state, State::Finished | State::Enrolling | State::Aborting), "{state}");
    }
    let unknown = came_to(&Introspection::new(host()).decide(abort(), &cx(0)));
    assert_eq!(unknown, Err((Class::NotFound, format!("Could not find node {} in cache", host()))));
}

#[test]
fn spec_8_6_conflict_matrix_reapply() {
    for state in State::ALL {
        let decided = in_state(state).decide(reapply(None), &cx(100));
        let want = match state {
            State::Finished | State::Error => Ok(State::Reapplying),
            State::Waiting => Ok(State::Waiting),
            _ => locked(),
        };
        assert_eq!(came_to(&decided), want, "{state}");
        if let Ok(decision) = decided {
            assert_eq!(decision.next.started_at, at(100), "{state}");
            assert!(decision.writes.is_empty(), "{state}");
        }
    }
    let unknown = came_to(&Introspection::new(host()).decide(reapply(None), &cx(0)));
    assert_eq!(unknown, Err((Class::NotFound, format!("Could not find node {} in cache", host()))));
}

#[test]
fn spec_8_6_conflict_matrix_callback() {
    for state in State::ALL {
        let decided = came_to(&in_state(state).decide(callback(), &cx(100)));
        let want = match state {
            State::Waiting => Ok(State::Processing),
            // The dialect waits for the end of these two first.
            State::Starting | State::Processing => {
                Err((Class::Conflict, "Node is locked, please, retry later".to_owned()))
            }
            _ => Err((Class::Invalid, NOT_AWAITED.to_owned())),
        };
        assert_eq!(decided, want, "{state}");
    }
    let mut active = cx(0);
    active.facts.settings = Arc::new(Settings { permit_active: true, ..Settings::default() });
    let taken = Introspection::new(host()).decide(callback(), &active).unwrap();
    assert_eq!((taken.next.state, taken.next.run), (State::Processing, 1));
    assert_eq!(set_timer(&taken, PROCESS), Some(at(0)));
}

#[test]
fn spec_8_6_a_second_start_within_the_window_is_the_first() {
    let first = Introspection::new(host()).decide(start(), &cx(0)).unwrap().next;
    let waiting = first.decide(timer(SET_UP), &cx(1)).unwrap().next;
    for machine in [&first, &waiting] {
        let again = machine.decide(start(), &cx(29)).unwrap();
        assert_eq!(&again.next, machine);
        assert!(again.effects.is_empty() && again.writes.is_empty() && again.events.is_empty());
    }
    // Other parameters, or the end of the window, make another run; the job of the one before is taken back.
    let other = Input::Command(Command::Start { manage_boot: Some(false), sections: vec!["cpu".into()] });
    for (input, seconds) in [(other, 2), (start(), 30)] {
        let restarted = waiting.decide(input, &cx(seconds)).unwrap();
        assert_eq!((restarted.next.run, restarted.next.started_at), (2, at(seconds)));
        assert!(restarted.effects.contains(&Effect::CancelJob(waiting.job.unwrap())));
    }
}

#[test]
fn spec_8_5_a_run_from_start_to_finish() {
    let started = Introspection::new(host()).decide(start(), &cx(0)).unwrap();
    assert_eq!((set_timer(&started, SET_UP), set_timer(&started, DEADLINE)), (Some(at(0)), Some(at(60))));
    let waiting = started.next.decide(timer(SET_UP), &cx(1)).unwrap();
    assert_eq!((waiting.next.state, set_timer(&waiting, DEADLINE)), (State::Waiting, Some(at(601))));
    let job = ordered(&waiting).unwrap().id;
    assert_eq!(waiting.next.job, Some(job));
    let running = waiting.next.decide(update(job, JobState::Running, b""), &cx(2)).unwrap();
    assert_eq!((&running.next, running.effects.as_slice()), (&waiting.next, &[Effect::Task(TaskChange::Running)][..]));
    let text = document().to_string();
    let received = running.next.decide(update(job, JobState::Succeeded, text.as_bytes()), &cx(3)).unwrap();
    assert_eq!((received.next.state, received.next.job), (State::Processing, None));
    assert_eq!((set_timer(&received, PROCESS), set_timer(&received, DEADLINE)), (Some(at(3)), Some(at(123))));
    assert!(matches!(&received.writes[..], [Write::Unprocessed(data)] if data.get("logs").is_none()));
    let done = received.next.decide(timer(PROCESS), &cx(4)).unwrap();
    assert_eq!((done.next.state, done.next.finished_at, &done.next.error), (State::Finished, Some(at(4)), &None));
    assert!(matches!(&done.writes[..], [Write::Processed { fresh: true, .. }, Write::Node(_)]));
    assert!(done.effects.contains(&Effect::ClearTimer(DEADLINE)));
    assert_eq!(done.events[0].kind, "introspection.finished");
}

#[test]
fn spec_8_5_a_probe_error_in_waiting_ends_the_run_and_a_second_start_works() {
    let waiting = in_state(State::Waiting);
    let job = waiting.job.unwrap();
    let ends = [
        (update(job, JobState::Failed, b""), "Probe failed: the probe ended as failed"),
        (update(job, JobState::TimedOut, b""), "Probe failed: the probe ended as timed_out"),
        (update(job, JobState::Refused, b""), "Probe failed: the probe ended as refused"),
        (update(job, JobState::Cancelled, b""), "Probe failed: the probe ended as cancelled"),
        (update(job, JobState::Succeeded, b"[1]"), "Invalid data: expected a JSON object, got list"),
        (update(job, JobState::Succeeded, b"{"), "Probe failed: its document cannot be read"),
        (update(job, JobState::Succeeded, b"\xff"), "Probe failed: its document cannot be read"),
    ];
    for (input, text) in ends {
        let ended = waiting.decide(input, &cx(5)).unwrap().next;
        assert_eq!((ended.state, ended.finished_at, ended.job), (State::Error, Some(at(5)), None));
        assert!(ended.error.as_deref().unwrap().starts_with(text), "{:?}", ended.error);
        assert_eq!(came_to(&ended.decide(start(), &cx(6))), Ok(State::Starting));
    }
}

#[test]
fn a_document_over_the_limit_ends_the_run() {
    let waiting = in_state(State::Waiting);
    let stdout = Captured { head: b"{}".to_vec(), tail: Vec::new(), total: 99 };
    let outcome = Some(Outcome { stdout, ..Outcome::default() });
    let input = Input::Job(JobUpdate { job: waiting.job.unwrap(), state: JobState::Succeeded, outcome });
    let ended = waiting.decide(input, &cx(5)).unwrap().next;
    assert_eq!(ended.error.as_deref(), Some("Probe failed: its document of 99 bytes is over the limit"));
}

#[test]
fn a_lost_probe_is_repeated_twice_and_then_ends_the_run() {
    let mut machine = Introspection::new(host()).decide(start(), &cx(0)).unwrap().next;
    machine = machine.decide(timer(SET_UP), &cx(1)).unwrap().next;
    let mut jobs = vec![machine.job.unwrap()];
    for seconds in [2, 3] {
        let repeated = machine.decide(update(machine.job.unwrap(), JobState::Lost, b""), &cx(seconds)).unwrap();
        assert_eq!(repeated.next.state, State::Waiting);
        machine = repeated.next;
        assert!(!jobs.contains(&machine.job.unwrap()));
        jobs.push(machine.job.unwrap());
    }
    let ended = machine.decide(update(machine.job.unwrap(), JobState::Lost, b""), &cx(4)).unwrap().next;
    assert_eq!(ended.error.as_deref(), Some("Probe failed: the probe ended as lost"));
    assert_eq!(ended.state, State::Error);
}

#[test]
fn spec_8_5_every_state_times_out_with_the_text_of_the_dialect() {
    for state in State::ALL {
        let ended = in_state(state).decide(timer(DEADLINE), &cx(700)).unwrap().next;
        if state.is_terminal() {
            assert_eq!(ended, in_state(state));
        } else {
            assert_eq!((ended.state, ended.finished_at), (State::Error, Some(at(700))), "{state}");
            assert_eq!(ended.error.as_deref(), Some("Introspection timeout"), "{state}");
        }
    }
}

#[test]
fn a_manager_that_comes_back_goes_on_with_what_waits_for_no_agent() {
    for state in State::ALL.into_iter().filter(|state| !state.is_terminal()) {
        let record = in_state(state);
        let back = Context { since: at(690), ..cx(700) };
        let looked = record.decide(timer(DEADLINE), &back).unwrap();
        // Who waits for an agent waits until a moment that was told from the beginning.
        let goes_on = state != State::Waiting;
        assert_eq!(looked.next == record, goes_on, "{state}");
        assert_eq!(set_timer(&looked, DEADLINE).is_some_and(|due| due > at(700)), goes_on, "{state}");
    }
}

#[test]
fn spec_8_6_abort_ends_in_error_with_the_text_of_the_dialect() {
    for state in [State::Starting, State::Waiting, State::Processing, State::Reapplying] {
        let aborting = in_state(state).decide(abort(), &cx(10)).unwrap();
        assert_eq!((set_timer(&aborting, ABORT_END), set_timer(&aborting, DEADLINE)), (Some(at(10)), Some(at(70))));
        // Whatever else was under way comes too late.
        let late = aborting.next.decide(timer(PROCESS), &cx(10)).unwrap();
        assert_eq!(late.next, aborting.next);
        assert!(late.effects.is_empty() && late.writes.is_empty());
        let late = aborting.next.decide(timer(SET_UP), &cx(10)).unwrap();
        assert!(late.effects.is_empty());
        let ended = aborting.next.decide(timer(ABORT_END), &cx(11)).unwrap();
        assert_eq!(ended.next.error.as_deref(), Some("Canceled by operator"), "{state}");
        assert_eq!((ended.next.state, ended.next.finished_at), (State::Error, Some(at(11))));
        assert_eq!(ended.events[0].kind, "introspection.cancelled");
    }
}

#[test]
fn late_reports_of_an_earlier_run_change_nothing() {
    let old = in_state(State::Waiting);
    let restarted = old.decide(start(), &cx(60)).unwrap().next;
    let waiting = restarted.decide(timer(SET_UP), &cx(61)).unwrap().next;
    let text = document().to_string();
    for machine in [&restarted, &waiting, &in_state(State::Finished), &in_state(State::Error)] {
        for state in [JobState::Running, JobState::Succeeded, JobState::Failed, JobState::Lost] {
            let decision = machine.decide(update(old.job.unwrap(), state, text.as_bytes()), &cx(62)).unwrap();
            assert_eq!(&decision.next, machine);
            assert!(decision.effects.is_empty() && decision.writes.is_empty() && decision.events.is_empty());
        }
    }
}

#[test]
fn spec_8_8_reapply_takes_new_data_with_the_command_or_not_at_all() {
    let data = json!({ "inventory": {}, "logs": "x" });
    for state in State::ALL {
        match in_state(state).decide(reapply(Some(data.clone())), &cx(100)) {
            Ok(decision) if state.is_terminal() => {
                assert!(
                    matches!(&decision.writes[..], [Write::Unprocessed(kept)] if *kept == json!({"inventory": {}}))
                );
                assert!(!decision.next.fresh);
            }
            Ok(decision) => assert!(decision.writes.is_empty(), "{state}"),
            Err(refusal) => assert_eq!(refusal.class, Class::Conflict, "{state}"),
        }
    }
    let mut nothing = cx(100);
    nothing.facts.stored = None;
    let text = format!("Introspection data not found for node {}, processed=False", host());
    let refused = came_to(&in_state(State::Finished).decide(reapply(None), &nothing));
    assert_eq!(refused, Err((Class::NotFound, text)));
}

#[test]
fn a_reapply_that_the_hooks_refuse_leaves_the_processed_document() {
    let mut broken = cx(100);
    broken.facts.stored = Some(json!({ "inventory": {} }));
    let reapplying = in_state(State::Finished).decide(reapply(None), &broken).unwrap().next;
    let ended = reapplying.decide(timer(PROCESS), &broken).unwrap();
    let error = ended.next.error.unwrap();
    assert!(
        error.starts_with("Pre-processing failures detected reapplying introspection on stored data:\n"),
        "{error}"
    );
    assert!(!ended.writes.iter().any(|write| matches!(write, Write::Processed { .. } | Write::Unprocessed(_))));
}

#[test]
fn data_of_another_machine_are_not_used() {
    let mut other = cx(5);
    other.facts.known.system_uuid = Some("00000000-0000-1010-8020-b1c04f303132".into());
    let waiting = in_state(State::Waiting);
    let text = document().to_string();
    let ended = waiting.decide(update(waiting.job.unwrap(), JobState::Succeeded, text.as_bytes()), &other).unwrap();
    assert_eq!(ended.next.state, State::Error);
    assert!(ended.next.error.unwrap().starts_with("Identity changed: system UUID is 4c4c4544-"));
    let [Write::Hold { document, known, found }] = ended.writes.as_slice() else { panic!("{:?}", ended.writes) };
    assert_eq!((document.get("logs"), known), (None, &other.facts.known));
    let event = ended.events.iter().find(|event| event.kind == "host.identity_changed").unwrap();
    assert_eq!(event.data["severity"], "alarm");

    let accept = || Input::Command(Command::AcceptIdentity);
    let refused = came_to(&in_state(State::Error).decide(accept(), &other)).unwrap_err();
    assert_eq!(refused.0, Class::NotFound);
    other.facts.held = Some(Held { found: found.clone(), document: Some(document.clone()) });
    assert_eq!(came_to(&in_state(State::Waiting).decide(accept(), &other)).unwrap_err().0, Class::Conflict);
    let accepted = in_state(State::Error).decide(accept(), &other).unwrap();
    assert_eq!(accepted.next.state, State::Processing);
    assert!(accepted.writes.iter().any(|write| matches!(write, Write::Accepted(identity) if identity == found)));
    assert!(accepted.writes.iter().any(|write| matches!(write, Write::Unprocessed(data) if data == document)));
}

#[test]
fn spec_8_10_a_start_that_wants_the_boot_managed_is_refused_and_a_revoked_host_too() {
    let boot = Input::Command(Command::Start { manage_boot: Some(true), sections: Vec::new() });
    let text = "Managed boot is requested, but this installation cannot manage boot ((can_manage_boot set to False)";
    assert_eq!(came_to(&in_state(State::Finished).decide(boot, &cx(1))), Err((Class::Invalid, text.into())));
    let mut revoked = cx(1);
    revoked.facts.revoked = true;
    let (class, text) = came_to(&in_state(State::Finished).decide(start(), &revoked)).unwrap_err();
    assert_eq!(class, Class::Invalid);
    assert!(text.starts_with("Invalid provision state for introspection: \"revoked\", valid states are"), "{text}");
}

#[test]
fn a_new_host_is_enrolled_once() {
    let enrolling = Introspection::new(host()).decide(Input::Command(Command::Enrol), &cx(0)).unwrap().next;
    assert_eq!((enrolling.state, enrolling.run), (State::Enrolling, 1));
    let ordered_at = enrolling.decide(timer(SET_UP), &cx(1)).unwrap();
    assert!(ordered(&ordered_at).is_some());
    let again = ordered_at.next.decide(Input::Command(Command::Enrol), &cx(2)).unwrap();
    assert_eq!(again.next, ordered_at.next);
    assert!(again.effects.is_empty());
}

#[test]
fn an_error_text_is_kept_within_its_limit() {
    let waiting = in_state(State::Waiting);
    let outcome = Some(Outcome { reason: Some("é".repeat(ERROR_MAX)), ..Outcome::default() });
    let input = Input::Job(JobUpdate { job: waiting.job.unwrap(), state: JobState::Failed, outcome });
    let ended = waiting.decide(input, &cx(5)).unwrap().next;
    assert!(ended.error.unwrap().len() <= ERROR_MAX);
}

#[test]
fn a_run_over_some_sections_puts_them_into_the_newest_inventory() {
    let mut some = cx(5);
    let part = json!({
        "inventory": { "cpu": { "count": 8, "architecture": "x86_64" } },
        "fleet": { "complete": false, "sections": { "cpu": { "status": "ok", "hash": "new" } } },
    });
    some.facts.base = Some(document());
    let waiting = Introspection { sections: vec!["cpu".into()], ..in_state(State::Waiting) };
    let input = update(waiting.job.unwrap(), JobState::Succeeded, part.to_string().as_bytes());
    let taken = waiting.decide(input, &some).unwrap();
    let [Write::Unprocessed(whole)] = taken.writes.as_slice() else { panic!("{:?}", taken.writes) };
    assert_eq!(whole["inventory"]["cpu"]["count"], 8);
    assert_eq!(whole["inventory"]["interfaces"], document()["inventory"]["interfaces"]);
}

#[test]
fn a_published_refresh_is_a_run_that_needs_no_probe() {
    let publish = || Input::Command(Command::Publish { data: document() });
    let done = in_state(State::Finished).decide(publish(), &cx(5)).unwrap();
    assert_eq!((done.next.state, done.next.run, ordered(&done)), (State::Processing, 4, None));
    for state in State::ALL.into_iter().filter(|state| !state.is_terminal()) {
        assert_eq!(came_to(&in_state(state).decide(publish(), &cx(5))).unwrap_err().0, Class::Conflict, "{state}");
    }
}
