//! What follows from hooks, jobs and time.

use hostler_common::id::HostId;
use hostler_common::job::Captured;
use hostler_common::step::{CrushEdit, DiskPurpose, FormatDisk, NetworkChange, NetworkFile, OsdMode};
use hostler_common::time::Timestamp;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::operation::OperationOptions;
use crate::run::target::Seat;

mod outage;

fn cx(seconds: i64) -> Context<Facts> {
    let seat = Seat { number: 1, name: "host-1".into(), connected: true, seen_at: None, revoked: false };
    let facts = Facts { seat: Some(seat), job_state: Some(JobState::Queued), task: None, cluster: Some("fsid".into()) };
    let seed = u128::from(seconds.unsigned_abs()) + 1;
    Context {
        now: Timestamp::from_micros(seconds * 1_000_000),
        since: crate::machine::LONG_AGO,
        actor: None,
        seed,
        facts,
    }
}

fn format() -> Step {
    Step::FormatDisk(FormatDisk {
        device: "/dev/sdb".into(),
        purpose: DiskPurpose::Osd,
        serial: None,
        size: None,
        mode: OsdMode::Lvm,
        device_class: None,
        filesystem: None,
    })
}

fn crush(version: Option<u64>) -> Step {
    Step::Crush(CrushChange { version, edit: CrushEdit::Reweight { item: "osd.1".into(), weight: "0.5".into() } })
}

fn start(step: Step, options: OperationOptions) -> Decision<Operation> {
    let host = HostId(Uuid::from_u128(1));
    let command = Command::Start(Box::new(Start { step, host, options }));
    Operation::new(Uuid::from_u128(2)).decide(Input::Command(command), &cx(0)).unwrap()
}

fn verdict(tag: u32, veto: Option<&str>) -> Input<Command> {
    let verdict = Verdict { tag, veto: veto.map(str::to_owned), warnings: vec!["w".into()] };
    Input::Message(json!({ "chain": verdict }))
}

fn ended(operation: &Operation, state: JobState, stdout: &Value, reason: Option<&str>) -> Input<Command> {
    let head = stdout.to_string().into_bytes();
    let stdout = Captured { total: head.len() as u64, head, tail: Vec::new() };
    let outcome = Outcome { stdout, reason: reason.map(str::to_owned), ..Outcome::default() };
    Input::Job(JobUpdate { job: operation.job.unwrap(), state, outcome: Some(outcome) })
}

fn step(decision: &Decision<Operation>) -> Option<Step> {
    decision.effects.iter().find_map(|effect| match effect {
        Effect::RunJob(JobSpec { work: Work::Step(step), .. }) => Some((**step).clone()),
        _ => None,
    })
}

fn told(decision: &Decision<Operation>) -> Option<Occurrence> {
    decision.effects.iter().find_map(|effect| match effect {
        Effect::Tell(message) => match serde_json::from_value(message.body.clone()).unwrap() {
            Word::Occur { occurrence, .. } => Some(*occurrence),
            _ => None,
        },
        _ => None,
    })
}

fn close(decision: &Decision<Operation>) -> Option<(TaskEnd, String)> {
    decision.effects.iter().find_map(|effect| match effect {
        Effect::Task(TaskChange::Close { end, output }) => Some((*end, output.clone())),
        _ => None,
    })
}

/// The document that the task gets.
fn result(decision: &Decision<Operation>) -> Option<Value> {
    decision.effects.iter().find_map(|effect| match effect {
        Effect::Task(TaskChange::Result { result, .. }) => result.clone(),
        _ => None,
    })
}

fn read(operation: &Operation, version: u64, hash: &str) -> Input<Command> {
    ended(
        operation,
        JobState::Succeeded,
        &json!({ "changed": false, "detail": "", "after": { "version": version, "hash": hash } }),
        None,
    )
}

#[test]
fn hooks_before_then_the_step_then_hooks_after() {
    let begun = start(format(), OperationOptions::default());
    assert_eq!(told(&begun).unwrap().point, HookPoint::PreFormatDisk);
    assert_eq!(step(&begun), None, "not before the hooks have ended");
    let doing = begun.next.decide(verdict(0, None), &cx(1)).unwrap();
    assert_eq!(step(&doing), Some(format()));
    let result = json!({ "changed": true, "detail": "done", "after": { "osd": { "osd_id": 4 } } });
    let done = doing.next.decide(ended(&doing.next, JobState::Succeeded, &result, None), &cx(2)).unwrap();
    let after = told(&done).unwrap();
    assert_eq!(
        (after.point, after.values),
        (HookPoint::PostFormatDisk, ["/dev/sdb", "", "osd", "4", "ok"].map(str::to_owned).to_vec())
    );
    assert_eq!(close(&done), Some((TaskEnd::Finished, "warning: w\ndone".into())));
}

/// All that is told of a decision, in its order.
fn all_told(decision: &Decision<Operation>) -> Vec<Occurrence> {
    let words = decision.effects.iter().filter_map(|effect| match effect {
        Effect::Tell(message) => serde_json::from_value(message.body.clone()).ok(),
        _ => None,
    });
    words.filter_map(|word| if let Word::Occur { occurrence, .. } = word { Some(*occurrence) } else { None }).collect()
}

#[test]
fn a_change_of_the_network_is_a_change_of_the_configuration_also_where_it_was_put_back() {
    let file = |path: &str| NetworkFile { path: path.into(), contents: None };
    let files = vec![file("/etc/systemd/network/a.network"), file("/etc/systemd/network/b.network")];
    let change = Step::Network(NetworkChange { interfaces: vec!["eth0".into(), "eth1".into()], files, confirm_s: 30 });
    for (state, result, reason, went) in [
        (JobState::Succeeded, json!({ "changed": true, "detail": "", "after": { "result": "ok" } }), None, "ok"),
        (
            JobState::Failed,
            json!({ "changed": false, "detail": "", "after": { "result": "rolled_back" } }),
            Some("put back"),
            "rolled_back",
        ),
        (JobState::Failed, json!(null), Some("half of it"), "half of it"),
    ] {
        let doing = start(change.clone(), OperationOptions::default()).next.decide(verdict(0, None), &cx(1)).unwrap();
        let done = doing.next.decide(ended(&doing.next, state, &result, reason), &cx(2)).unwrap();
        let [network, configuration] = &all_told(&done)[..] else { panic!("{done:?}") };
        assert_eq!(
            (network.point, &network.values[..]),
            (HookPoint::PostNetworkConfig, &["eth0,eth1", "", went].map(str::to_owned)[..])
        );
        let objects = "/etc/systemd/network/a.network,/etc/systemd/network/b.network";
        assert_eq!(
            (configuration.point, &configuration.values[..]),
            (HookPoint::PostConfigChanged, &["", "", objects, went].map(str::to_owned)[..])
        );
        assert_ne!(network.id, configuration.id);
    }
    let forced = OperationOptions { skip_hooks: true, depth: 0 };
    let doing = start(change, forced);
    let done = doing.next.decide(ended(&doing.next, JobState::Succeeded, &json!(null), None), &cx(2)).unwrap();
    assert!(all_told(&done).is_empty());
}

#[test]
fn a_veto_prevents_the_step() {
    let begun = start(format(), OperationOptions::default());
    let veto = "hook 1 (s1) on host-1 exited 3";
    let vetoed = begun.next.decide(verdict(0, Some(veto)), &cx(1)).unwrap();
    assert_eq!(step(&vetoed), None);
    assert_eq!(close(&vetoed), Some((TaskEnd::Failed, format!("warning: w\n{veto}"))));
    assert!(told(&vetoed).is_none(), "nothing happened, so nobody is told");
}

#[test]
fn why_a_step_failed_is_in_result_output_and_history() {
    let begun = start(format(), OperationOptions { skip_hooks: true, depth: 0 });
    let why = "format_disk: not begun: /dev/sdb is mounted";
    for (state, long) in [(JobState::Failed, 1), (JobState::Refused, 1), (JobState::Failed, 10_000)] {
        let why = why.repeat(long);
        let failed = begun.next.decide(ended(&begun.next, state, &Value::Null, Some(&why)), &cx(1)).unwrap();
        let kept = clip(&why, REASON_MAX);
        assert_eq!(close(&failed), Some((TaskEnd::Failed, kept.to_owned())));
        let told = result(&failed).unwrap();
        assert_eq!((&told["state"], &told["error"]), (&json!(state.name()), &json!(kept)));
        let line = failed.steps.last().unwrap();
        let wanted = (machine::StepOutcome::Failed, "format_disk", kept);
        assert_eq!((line.outcome, line.what.as_str(), line.detail.as_str()), wanted);
    }
    let put_back = json!({ "changed": false, "detail": "put back", "after": { "result": "rolled_back" } });
    let failed = begun.next.decide(ended(&begun.next, JobState::Failed, &put_back, Some("no")), &cx(1)).unwrap();
    let told = result(&failed).unwrap();
    assert_eq!((&told["after"]["result"], &told["error"]), (&json!("rolled_back"), &json!("no")), "{told}");
}

#[test]
fn an_administrator_may_go_without_hooks_and_hooks_not_too_deep() {
    let forced = start(format(), OperationOptions { skip_hooks: true, depth: 3 });
    assert!(step(&forced).is_some() && told(&forced).is_none());
    let options = OperationOptions { skip_hooks: false, depth: 4 };
    let host = HostId(Uuid::from_u128(1));
    let command = Command::Start(Box::new(Start { step: format(), host, options }));
    let deep = Operation::new(Uuid::from_u128(2)).decide(Input::Command(command), &cx(0)).unwrap_err();
    assert_eq!(deep.class, Class::Conflict);
}

#[test]
fn hooks_run_again_only_if_the_crush_map_differs() {
    let reading = start(crush(None), OperationOptions::default());
    assert_eq!(step(&reading), Some(Step::CrushRead));
    let hooks = reading.next.decide(read(&reading.next, 9, "a"), &cx(1)).unwrap();
    assert_eq!(told(&hooks).unwrap().values[0], "9");
    let doing = hooks.next.decide(verdict(0, None), &cx(2)).unwrap();
    assert!(matches!(step(&doing), Some(Step::Crush(CrushChange { version: Some(9), .. }))));
    // Somebody was faster; the map says the same, as far as it matters.
    let again = doing.next.decide(ended(&doing.next, JobState::Refused, &json!({}), Some("moved")), &cx(3)).unwrap();
    assert_eq!(step(&again), Some(Step::CrushRead));
    let same = again.next.decide(read(&again.next, 10, "a"), &cx(4)).unwrap();
    assert!(told(&same).is_none() && matches!(step(&same), Some(Step::Crush(CrushChange { version: Some(10), .. }))));
    // Once more, and now it differs.
    let again = same.next.decide(ended(&same.next, JobState::Refused, &json!({}), Some("moved")), &cx(5)).unwrap();
    let differs = again.next.decide(read(&again.next, 11, "b"), &cx(6)).unwrap();
    assert_eq!(told(&differs).unwrap().values[0], "11");
    let late = differs.next.decide(verdict(0, None), &cx(7)).unwrap();
    assert_eq!(step(&late), None, "a verdict over an older map does not count");
    let doing = differs.next.decide(verdict(2, None), &cx(7)).unwrap();
    let result = json!({ "changed": true, "detail": "x", "after": { "version": 12 } });
    let done = doing.next.decide(ended(&doing.next, JobState::Succeeded, &result, None), &cx(8)).unwrap();
    assert_eq!(told(&done).unwrap().values[..2], ["11".to_owned(), "12".to_owned()]);
}

#[test]
fn a_change_that_is_refused_for_itself_is_not_tried_again() {
    let reading = start(crush(None), OperationOptions { skip_hooks: true, depth: 0 });
    let doing = reading.next.decide(read(&reading.next, 9, "a"), &cx(1)).unwrap();
    let refused =
        doing.next.decide(ended(&doing.next, JobState::Refused, &json!({}), Some("no such item")), &cx(2)).unwrap();
    let failed = refused.next.decide(read(&refused.next, 9, "a"), &cx(3)).unwrap();
    assert_eq!(close(&failed), Some((TaskEnd::Failed, "no such item".into())));
    let pinned = start(crush(Some(7)), OperationOptions::default());
    let failed = pinned.next.decide(read(&pinned.next, 9, "a"), &cx(1)).unwrap();
    assert!(close(&failed).unwrap().1.contains("version 9 and not 7"));
}

#[test]
fn a_cluster_that_never_holds_still_ends_it() {
    let mut decision = start(crush(None), OperationOptions { skip_hooks: true, depth: 0 });
    for round in 0..20 {
        let at = cx(i64::from(round) + 1);
        let input = match step(&decision) {
            Some(Step::CrushRead) => read(&decision.next, 10 + u64::try_from(round).unwrap(), "a"),
            Some(_) => ended(&decision.next, JobState::Refused, &json!({}), Some("moved")),
            None => break,
        };
        decision = decision.next.decide(input, &at).unwrap();
    }
    assert_eq!(close(&decision), Some((TaskEnd::Failed, "moved".into())));
    assert_eq!(decision.next.crush.moved, MOVED_MAX);
}

proptest! {
    /// In any order of ends, verdicts, cancels and time it ends once, and until then it waits for something named.
    #[test]
    fn it_ends_once_and_never_silently(kind in 0..3_u8, happenings in proptest::collection::vec(0..9_u8, 0..25)) {
        let options = OperationOptions { skip_hooks: kind == 2, depth: 0 };
        let mut decision = start(if kind == 0 { format() } else { crush(None) }, options);
        let (mut ends, mut timer, mut seconds) = (0, false, 0);
        for happening in happenings.into_iter().map(Some).chain(std::iter::repeat_n(None, 40)) {
            for effect in &decision.effects {
                match effect {
                    Effect::SetTimer(..) => timer = true,
                    Effect::ClearTimer(_) => timer = false,
                    Effect::Task(TaskChange::Close { .. }) => ends += 1,
                    _ => {}
                }
            }
            let operation = decision.next.clone();
            prop_assert_eq!(ends, u32::from(operation.stage == Stage::Over));
            let waits = match operation.stage {
                Stage::Reading | Stage::Doing => timer && operation.job.is_some(),
                Stage::Hooks => operation.chain.is_some(),
                Stage::Fresh | Stage::Over => !timer,
            };
            prop_assert!(waits, "{:?}", operation);
            seconds += 100;
            let tag = operation.crush.moved;
            let job = operation.job.is_some();
            let input = match happening {
                Some(0) => verdict(tag, None),
                Some(1) => verdict(tag, Some("no")),
                Some(2) => Input::Command(Command::Cancel),
                Some(3) if job => ended(&operation, JobState::Refused, &json!({}), Some("moved")),
                Some(4) if job => ended(&operation, JobState::Failed, &json!({}), None),
                Some(5) if job => ended(&operation, JobState::Cancelled, &json!({}), None),
                Some(6 | 7) if job => read(&operation, u64::try_from(seconds).unwrap(), "h"),
                // The chain has its own deadline: it always gives a verdict.
                None if operation.stage == Stage::Hooks => verdict(tag, None),
                _ => {
                    timer = false;
                    Input::Timer(CHECK.into())
                }
            };
            if matches!(input, Input::Timer(_)) && operation.stage == Stage::Hooks && operation.cancel_at.is_none() {
                continue;
            }
            decision = operation.decide(input, &cx(seconds)).unwrap();
        }
        prop_assert_eq!(ends, 1);
    }
}
