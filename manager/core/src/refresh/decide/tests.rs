use std::sync::Arc;

use hostler_common::job::Captured;
use proptest::prelude::*;
use uuid::Uuid;

use super::super::command::Settings;
use super::*;
use crate::introspection::node::Node;

const DAY: u64 = 86_400;

fn host() -> HostId {
    HostId(Uuid::from_u128(7))
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(1_800_000_000_000_000).after(Duration::from_secs(seconds))
}

fn cx(seconds: u64) -> Context<Facts> {
    let facts = Facts {
        online: true,
        revoked: false,
        boot_id: Some("boot-1".into()),
        run: 3,
        introspecting: false,
        free: true,
        inventory: true,
        base: Some(document("S1", "h1")),
        node: Node::new(host(), "ceph-07"),
        known: Identity { system_uuid: None, serial: Some("N1".into()) },
        held: None,
        settings: Arc::new(Settings::default()),
    };
    Context {
        now: at(seconds),
        since: crate::machine::LONG_AGO,
        actor: None,
        seed: u128::from(seconds) << 64 | 99,
        facts,
    }
}

/// A whole document.
fn document(disk: &str, hash: &str) -> Value {
    json!({
        "inventory": {
            "interfaces": [{ "name": "eth0", "mac_address": "52:54:00:aa:00:01", "ipv4_address": "192.0.2.5" }],
            "disks": [{ "name": "/dev/sda", "serial": disk, "size": 1 }],
            "cpu": { "count": 4, "architecture": "x86_64" },
            "memory": { "total": 1024, "physical_mb": 4096 },
            "system_vendor": { "serial_number": "N1" },
        },
        "error": null,
        "fleet": { "complete": true, "sections": { "storage": { "status": "ok", "hash": hash, "ttl_s": 600 } } },
    })
}

/// What a refresh of some sections brings.
fn part(disk: &str, hash: &str, serial: &str) -> Value {
    let mut part = document(disk, hash);
    part["fleet"]["complete"] = json!(false);
    let inventory = json!({ "disks": part["inventory"]["disks"], "system_vendor": { "serial_number": serial } });
    part["inventory"] = inventory;
    part["fleet"]["sections"]["system"] = json!({ "status": "ok", "hash": "y", "ttl_s": 9 });
    part
}

fn begun() -> Refresh {
    Refresh::new(host()).decide(Input::Command(Command::Begin), &cx(0)).unwrap().next
}

fn timer(name: &str) -> Input<Command> {
    Input::Timer(name.into())
}

/// A refresh whose groups are all due, and has its probe.
fn probing() -> Refresh {
    begun().decide(timer(LOOK), &cx(2 * DAY)).unwrap().next
}

fn ended(refresh: &Refresh, state: JobState, text: &str) -> Input<Command> {
    let stdout = Captured { head: text.as_bytes().to_vec(), tail: Vec::new(), total: text.len() as u64 };
    let outcome = Some(Outcome { stdout, ..Outcome::default() });
    Input::Job(JobUpdate { job: refresh.probe.as_ref().unwrap().job, state, outcome })
}

fn ordered(decision: &Decision<Refresh>) -> Option<Vec<String>> {
    decision.effects.iter().find_map(|effect| match effect {
        Effect::RunJob(JobSpec { work: Work::Introspect { sections }, .. }) => Some(sections.clone()),
        _ => None,
    })
}

fn next_look(decision: &Decision<Refresh>) -> Option<(&'static str, Timestamp)> {
    decision.effects.iter().find_map(|effect| match effect {
        Effect::SetTimer(name, at) => Some((*name, *at)),
        _ => None,
    })
}

#[test]
fn what_is_due_is_read_together_and_always_says_which_machine_it_is() {
    let begun = begun();
    let first = *begun.due.values().min().unwrap();
    assert!(first > at(0) && first <= at(600), "{first}");
    let now = Context { now: begun.due[&Group::Topology], ..cx(0) };
    let decision = begun.decide(timer(LOOK), &now).unwrap();
    let sections = ordered(&decision).unwrap();
    for wanted in ["system", "net", "lldp", "storage", "usb", "ceph"] {
        assert!(sections.iter().any(|section| section == wanted), "{sections:?}");
    }
    assert!(!sections.iter().any(|section| section == "bmc"));
    let all = begun.decide(timer(LOOK), &cx(2 * DAY)).unwrap();
    assert_eq!(ordered(&all).unwrap().len(), 18);
    assert_eq!(next_look(&all), Some((DEADLINE, at(2 * DAY + 180))));
    let mut empty = cx(2 * DAY);
    empty.facts.inventory = false;
    assert_eq!(ordered(&begun.decide(timer(LOOK), &empty).unwrap()), Some(Vec::new()), "the first reads everything");
}

#[test]
fn a_probe_waits_for_a_named_thing_until_a_named_time() {
    type Case = (fn(&mut Facts), Option<Wait>, &'static str, Duration);
    let cases: [Case; 5] = [
        (|facts| facts.online = false, Some(Wait::Agent), WHEN_ONLINE, OFFLINE_LOOK),
        (|facts| facts.introspecting = true, Some(Wait::Introspection), LOOK, INTROSPECTION_LOOK),
        (|facts| facts.free = false, Some(Wait::Place), LOOK, Duration::from_secs(60)),
        (|facts| facts.revoked = true, None, WHEN_ONLINE, IDLE_LOOK),
        (
            |facts| facts.settings = Arc::new(Settings { enabled: false, ..Settings::default() }),
            None,
            WHEN_ONLINE,
            IDLE_LOOK,
        ),
    ];
    for (edit, wait, name, longest) in cases {
        let mut cx = cx(2 * DAY);
        edit(&mut cx.facts);
        let decision = begun().decide(timer(LOOK), &cx).unwrap();
        assert_eq!((decision.next.waits_for, ordered(&decision)), (wait, None));
        let (timer, at) = next_look(&decision).unwrap();
        assert_eq!(timer, name);
        assert!(at > cx.now && at <= cx.now.after(longest), "{wait:?} {at}");
    }
}

#[test]
fn a_reboot_makes_the_parts_of_the_machine_due() {
    let done = probing().decide(ended(&probing(), JobState::Succeeded, "{}"), &cx(2 * DAY)).unwrap().next;
    assert!(!done.is_due(&cx(2 * DAY).facts, at(2 * DAY)));
    let mut rebooted = cx(2 * DAY + 1);
    rebooted.facts.boot_id = Some("boot-2".into());
    let decision = done.decide(timer(LOOK), &rebooted).unwrap();
    assert_eq!(ordered(&decision).unwrap(), Group::Static.sections());
    assert_eq!(decision.next.boot_id.as_deref(), Some("boot-2"));
}

#[test]
fn only_what_really_changed_is_written() {
    let probing = probing();
    let same = part("S1", "h1", "N1");
    let mut known = cx(2 * DAY);
    known.facts.base.as_mut().unwrap()["fleet"]["sections"]["system"] = json!({ "status": "ok", "hash": "y" });
    let decision = probing.decide(ended(&probing, JobState::Succeeded, &same.to_string()), &known).unwrap();
    assert!(matches!(decision.writes.as_slice(), [Write::Seen(read), Write::Forget(_)] if read.len() == 2));
    assert!(decision.next.probe.is_none() && decision.next.due.values().all(|due| *due > known.now));

    let other = part("S2", "h2", "N1").to_string();
    let decision = probing.decide(ended(&probing, JobState::Succeeded, &other), &known).unwrap();
    let [Write::Seen(_), Write::Inventory { unprocessed, processed }, Write::Forget(_)] = decision.writes.as_slice()
    else {
        panic!("{:?}", decision.writes)
    };
    assert_eq!(unprocessed["inventory"]["disks"][0]["serial"], "S2");
    assert_eq!(processed["macs"], json!(["52:54:00:aa:00:01"]), "hooks ran over the whole document");

    known.facts.settings = Arc::new(Settings { publish: true, ..Settings::default() });
    let decision = probing.decide(ended(&probing, JobState::Succeeded, &same.to_string()), &known).unwrap();
    assert!(
        decision
            .writes
            .iter()
            .any(|write| matches!(write, Write::Publish(data) if data["inventory"]["cpu"]["count"] == 4))
    );
}

#[test]
fn an_introspection_wins() {
    let probing = probing();
    let text = part("S2", "h2", "N1").to_string();
    let edits: [fn(&mut Facts); 2] = [|facts| facts.introspecting = true, |facts| facts.run = 4];
    for (edit, state) in edits.into_iter().zip([JobState::Cancelled, JobState::Succeeded]) {
        let mut cx = cx(2 * DAY + 5);
        edit(&mut cx.facts);
        let decision = probing.decide(ended(&probing, state, &text), &cx).unwrap();
        assert!(matches!(decision.writes.as_slice(), [Write::Forget(_)]), "{:?}", decision.writes);
        assert_eq!((decision.next.failures, decision.events.len()), (0, 0));
        assert_eq!(decision.next.due, probing.due, "what was due is due again afterwards");
        assert_eq!(next_look(&decision), Some((LOOK, cx.now.after(INTROSPECTION_LOOK))));
    }
}

#[test]
fn failures_are_told_once_and_an_agent_that_went_away_is_none() {
    let probing = probing();
    let failed = probing.decide(ended(&probing, JobState::Succeeded, "[]"), &cx(2 * DAY + 1)).unwrap();
    assert_eq!(failed.events[0].kind, "inventory.refresh_failed");
    assert_eq!(failed.next.error.as_deref(), Some("Invalid data: expected a JSON object, got list"));
    let again = failed.next.decide(timer(LOOK), &cx(4 * DAY)).unwrap().next;
    let twice = again.decide(timer(DEADLINE), &cx(4 * DAY + 200)).unwrap();
    assert_eq!((twice.next.failures, twice.events.len()), (2, 0));
    assert!(twice.effects.contains(&Effect::CancelJob(again.probe.unwrap().job)));
    let third = twice.next.decide(timer(LOOK), &cx(6 * DAY)).unwrap().next;
    let well = third.decide(ended(&third, JobState::Succeeded, &part("S1", "h1", "N1").to_string()), &cx(6 * DAY));
    assert_eq!(well.unwrap().events[0].kind, "inventory.refresh_recovered");

    let mut away = cx(2 * DAY + 200);
    away.facts.online = false;
    let waiting = probing.decide(timer(DEADLINE), &away).unwrap();
    assert_eq!((waiting.next.failures, waiting.next.waits_for), (0, Some(Wait::Agent)));
    assert_eq!(waiting.next.due, probing.due);
}

#[test]
fn another_machine_is_read_whole_held_back_and_told_once() {
    let probing = probing();
    let text = part("X", "x", "N2").to_string();
    let seen = probing.decide(ended(&probing, JobState::Succeeded, &text), &cx(2 * DAY + 1)).unwrap();
    assert!(seen.events.is_empty() && seen.next.whole && matches!(seen.writes.as_slice(), [Write::Forget(_)]));
    let whole = seen.next.decide(timer(LOOK), &cx(2 * DAY + 2)).unwrap();
    assert_eq!(ordered(&whole), Some(Vec::new()));
    let mut data = document("X", "x");
    data["inventory"]["system_vendor"]["serial_number"] = json!("N2");
    let held = whole.next.decide(ended(&whole.next, JobState::Succeeded, &data.to_string()), &cx(2 * DAY + 3)).unwrap();
    assert_eq!((held.events[0].kind, &held.events[0].data["severity"]), ("host.identity_changed", &json!("alarm")));
    let found = Identity { system_uuid: None, serial: Some("N2".into()) };
    assert!(held.writes.iter().any(|write| matches!(write, Write::Hold { found: other, .. } if *other == found)));
    assert!(!held.next.whole && held.next.due.values().all(|due| *due > at(2 * DAY + 3)));
    let mut known = cx(2 * DAY + 1);
    known.facts.held = Some(found);
    let quiet = probing.decide(ended(&probing, JobState::Succeeded, &text), &known).unwrap();
    assert!(quiet.events.is_empty() && !quiet.next.whole && matches!(quiet.writes.as_slice(), [Write::Forget(_)]));
}

#[derive(Clone, Debug)]
enum Happening {
    Timer,
    Stray(&'static str),
    End(JobState, u8),
    Late(JobState),
    Flip(u8),
    Time(u64),
}

fn happening() -> impl Strategy<Value = Happening> {
    let finals = || proptest::sample::select(JobState::ALL.to_vec());
    prop_oneof![
        5 => Just(Happening::Timer),
        1 => proptest::sample::select(vec![LOOK, WHEN_ONLINE, DEADLINE, "x"]).prop_map(Happening::Stray),
        4 => (finals(), 0..4_u8).prop_map(|(state, kind)| Happening::End(state, kind)),
        1 => finals().prop_map(Happening::Late),
        3 => (0..6_u8).prop_map(Happening::Flip),
        2 => (0..90_000_u64).prop_map(Happening::Time),
    ]
}

#[test]
fn a_probe_is_waited_for_as_long_as_agents_come_back() {
    let refresh = probing();
    for online in [false, true] {
        let mut now = cx(4 * DAY);
        (now.since, now.facts.online) = (at(4 * DAY), online);
        let looked = refresh.decide(timer(DEADLINE), &now).unwrap();
        assert_eq!((&looked.next, ordered(&looked)), (&refresh, None), "{online}");
        assert_eq!(next_look(&looked), Some((DEADLINE, at(4 * DAY + 120))), "{online}");
        assert!(
            looked.events.is_empty() && !looked.effects.iter().any(|effect| matches!(effect, Effect::CancelJob(_)))
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever happens in whatever order: there is a next moment, and never a probe where none may be.
    #[test]
    fn a_refresh_never_stops_and_never_collides(happenings in proptest::collection::vec(happening(), 1..60)) {
        let mut seconds = 0;
        let mut facts = cx(0).facts;
        let mut timers: BTreeMap<&'static str, Timestamp> = BTreeMap::new();
        let mut machine = Refresh::new(host());
        let mut inputs: Vec<Option<Happening>> = happenings.into_iter().map(Some).collect();
        inputs.insert(0, None);
        for happening in inputs {
            let input = match happening {
                None => Input::Command(Command::Begin),
                Some(Happening::Timer) => {
                    let (name, due) = timers.iter().min_by_key(|(_, due)| **due).map(|(n, d)| (*n, *d)).unwrap();
                    timers.remove(name);
                    seconds = seconds.max(due.since(at(0)).as_secs() + 1);
                    timer(name)
                }
                Some(Happening::Stray(name)) => timer(name),
                Some(Happening::End(state, kind)) if machine.probe.is_some() => {
                    let text = match kind {
                        0 => "nonsense".to_owned(),
                        1 => part("S1", "h1", "N1").to_string(),
                        2 => part("S2", "h2", "N2").to_string(),
                        _ => document("S3", "h3").to_string(),
                    };
                    let Input::Job(mut update) = ended(&machine, state, &text) else { unreachable!() };
                    if !state.is_final() { update.outcome = None; }
                    Input::Job(update)
                }
                Some(Happening::Late(state)) => {
                    let outcome = state.is_final().then(Outcome::default);
                    Input::Job(JobUpdate { job: JobId(Uuid::from_u128(1)), state, outcome })
                }
                Some(Happening::Flip(0)) => { facts.online = !facts.online; continue }
                Some(Happening::Flip(1)) => { facts.introspecting = !facts.introspecting; facts.run += 1; continue }
                Some(Happening::Flip(2)) => { facts.free = !facts.free; continue }
                Some(Happening::Flip(3)) => { facts.revoked = !facts.revoked; continue }
                Some(Happening::Flip(_)) => { facts.inventory = !facts.inventory; continue }
                Some(Happening::Time(more)) => { seconds += more; continue }
                Some(Happening::End(..)) => continue,
            };
            let cx = Context { facts: facts.clone(), ..cx(seconds) };
            let had = machine.probe.clone();
            let decision = machine.decide(input, &cx).unwrap();
            let may = facts.online && !facts.introspecting && facts.free && !facts.revoked && had.is_none();
            prop_assert!(may || ordered(&decision).is_none(), "a probe where none may be");
            for effect in &decision.effects {
                match effect {
                    Effect::SetTimer(name, due) => drop(timers.insert(name, *due)),
                    Effect::ClearTimer(name) => drop(timers.remove(name)),
                    Effect::RunJob(_) | Effect::CancelJob(_) => {}
                    Effect::Task(_) => prop_assert!(false, "a refresh has no task"),
                    Effect::Tell(message) => prop_assert!(false, "it tells nobody: {message:?}"),
                }
            }
            machine = decision.next;
            let text = serde_json::to_string(&machine).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Refresh>(&text).unwrap(), &machine);
            let guarded = if machine.probe.is_some() { timers.contains_key(DEADLINE) } else { !timers.is_empty() };
            prop_assert!(guarded, "{:?} has no next moment: {:?}", machine, timers);
        }
    }
}
