//! What follows from the ends of hooks.

use hostler_common::hook::{HookPoint, Origin};
use proptest::prelude::*;

use super::*;
use crate::hook::plan;
use crate::hook::plan::tests::{hook, host, occurrence};

fn cx(seconds: i64) -> Context<Vec<Link>> {
    Context {
        now: Timestamp::from_micros(seconds * 1_000_000),
        since: crate::machine::LONG_AGO,
        actor: None,
        seed: 5,
        facts: Vec::new(),
    }
}

fn started(failures: &[OnFailure], blocking: bool) -> (Chain, Vec<Effect>) {
    let happened = occurrence(HookPoint::PreFormatDisk, Origin::Manager);
    let hooks: Vec<_> = (1..=failures.len()).map(|n| hook(i64::try_from(n).unwrap(), happened.point)).collect();
    let planned = plan(&happened, Some(host(1)), &hooks, &[], 0);
    let link = |(one, failure): (&crate::hook::Planned, &OnFailure)| Link {
        spec: one.spec(&happened),
        on_failure: *failure,
        not_before: None,
    };
    let links = planned.iter().zip(failures).map(link).collect();
    let parent = Parent { kind: "operation".into(), subject: "o".into(), tag: 1 };
    let start = Word::Start { links, blocking, parent: Some(parent) };
    let decision = Chain::new(Uuid::from_u128(8)).decide(Input::Command(start), &cx(0)).unwrap();
    (decision.next, decision.effects)
}

fn report(tag: u32, end: TaskEnd) -> Input<Word> {
    let failure = (end == TaskEnd::Failed).then(|| ("host-1".to_owned(), "exited 3".to_owned()));
    Input::Message(json!({ "run": Report { tag, end, status_code: 3, failure } }))
}

/// The words that runs are told.
fn words(effects: &[Effect]) -> Vec<(usize, String)> {
    let told = |effect: &Effect| match effect {
        Effect::Tell(message) if message.kind == "run" => {
            let body = message.body.get("word").and_then(Value::as_str)?;
            Some((0, format!("{body} {}", message.subject)))
        }
        _ => None,
    };
    effects.iter().filter_map(told).collect()
}

fn verdict(effects: &[Effect]) -> Option<Verdict> {
    effects.iter().find_map(|effect| match effect {
        Effect::Tell(message) if message.kind == "operation" => {
            serde_json::from_value(message.body["chain"].clone()).ok()
        }
        _ => None,
    })
}

#[test]
fn hooks_begin_one_after_the_other() {
    let (chain, effects) = started(&[OnFailure::Block; 2], true);
    let [first, second] = [chain.made[0].run, chain.made[1].run];
    let begins: Vec<String> = words(&effects).into_iter().map(|(_, word)| word).collect();
    assert_eq!(begins, [format!("start {first}"), format!("start {second}"), format!("begin {first}")]);
    let next = chain.decide(report(0, TaskEnd::Finished), &cx(1)).unwrap();
    assert_eq!(words(&next.effects), [(0, format!("begin {second}"))]);
    let last = next.next.decide(report(1, TaskEnd::Finished), &cx(2)).unwrap();
    assert_eq!(verdict(&last.effects), Some(Verdict { tag: 1, veto: None, warnings: vec![] }));
    assert!(last.next.over);
}

#[test]
fn a_failure_that_blocks_drops_the_rest_and_vetoes() {
    let (chain, _) = started(&[OnFailure::Block; 3], true);
    let ended = chain.decide(report(0, TaskEnd::Failed), &cx(1)).unwrap();
    assert_eq!(verdict(&ended.effects).unwrap().veto.as_deref(), Some("hook 1 (s1) on host-1 exited 3"));
    assert_eq!(words(&ended.effects).len(), 2, "both others are dropped");
    let echo = ended.next.decide(report(1, TaskEnd::Cancelled), &cx(1)).unwrap();
    assert!(echo.effects.is_empty(), "it is over already");
}

#[test]
fn warnings_and_ignored_failures_go_on() {
    let (chain, _) = started(&[OnFailure::Warn, OnFailure::Ignore], true);
    let next = chain.decide(report(0, TaskEnd::Failed), &cx(1)).unwrap().next;
    let ended = next.decide(report(1, TaskEnd::Failed), &cx(2)).unwrap();
    let verdict = verdict(&ended.effects).unwrap();
    assert_eq!((verdict.veto, verdict.warnings), (None, vec!["hook 1 (s1) on host-1 exited 3".to_owned()]));
    // Where nothing waits, nothing is vetoed.
    let (chain, _) = started(&[OnFailure::Block; 2], false);
    let next = chain.decide(report(0, TaskEnd::Failed), &cx(1)).unwrap();
    assert_eq!(words(&next.effects).len(), 1);
}

#[test]
fn hooks_that_take_too_long_together_are_ended() {
    let (chain, _) = started(&[OnFailure::Ignore; 2], true);
    let late = chain.decide(Input::Timer(DEADLINE.into()), &cx(901)).unwrap();
    assert_eq!(words(&late.effects).len(), 2, "one is cancelled, one is dropped");
    assert_eq!(verdict(&late.effects), None, "the one that runs has not ended yet");
    let ended = late.next.decide(report(0, TaskEnd::Cancelled), &cx(902)).unwrap();
    assert!(verdict(&ended.effects).unwrap().veto.unwrap().contains("900 seconds"));
}

#[test]
fn a_hook_that_is_cancelled_before_its_turn_is_not_waited_for() {
    let (chain, _) = started(&[OnFailure::Block, OnFailure::Warn, OnFailure::Block], true);
    let early = chain.decide(report(1, TaskEnd::Cancelled), &cx(1)).unwrap();
    assert!(early.effects.is_empty());
    let next = early.next.decide(report(0, TaskEnd::Finished), &cx(2)).unwrap();
    assert_eq!(words(&next.effects), [(0, format!("begin {}", chain.made[2].run))]);
    let ended = next.next.decide(report(2, TaskEnd::Finished), &cx(3)).unwrap();
    assert_eq!(verdict(&ended.effects).unwrap().warnings, ["hook 2 (s2) was cancelled"]);
}

#[test]
fn a_chain_of_nothing_says_so_at_once() {
    let (chain, effects) = started(&[], true);
    assert!(chain.over && verdict(&effects).is_some_and(|verdict| verdict.veto.is_none()));
}

proptest! {
    /// In any order of ends, cancels and timers: one verdict, and never two hooks at once.
    #[test]
    fn one_verdict_in_any_order(
        failures in proptest::collection::vec(0..3_u8, 0..4),
        happenings in proptest::collection::vec((0..6_u8, 0..4_u32), 0..30),
    ) {
        let kinds = [OnFailure::Block, OnFailure::Warn, OnFailure::Ignore];
        let failures: Vec<_> = failures.iter().map(|n| kinds[usize::from(*n)]).collect();
        let (mut chain, effects) = started(&failures, true);
        let mut verdicts = u32::from(verdict(&effects).is_some());
        for (what, tag) in happenings {
            let input = match what {
                0..3 => report(chain.at.min(3), [TaskEnd::Finished, TaskEnd::Failed, TaskEnd::Cancelled][usize::from(what)]),
                3 => report(tag, TaskEnd::Cancelled),
                4 => Input::Message(json!("cancel")),
                _ => Input::Timer(DEADLINE.into()),
            };
            let decision = chain.decide(input, &cx(5)).unwrap();
            verdicts += u32::from(verdict(&decision.effects).is_some());
            let begins = words(&decision.effects).iter().filter(|(_, word)| word.starts_with("begin")).count();
            prop_assert!(begins <= 1);
            chain = decision.next;
            prop_assert_eq!(verdicts, u32::from(chain.over));
        }
    }
}

#[test]
fn hooks_get_their_time_once_more_after_an_outage() {
    let (chain, _) = started(&[OnFailure::Block; 2], true);
    let back = 7 * 3600;
    let after = |seconds: i64| Context { since: cx(back).now, ..cx(back + seconds) };
    let looked = chain.decide(Input::Timer(DEADLINE.into()), &after(1)).unwrap();
    assert_eq!((&looked.next, verdict(&looked.effects)), (&chain, None));
    let again = cx(back + 1).now.after(TOGETHER_MAX);
    assert_eq!(looked.effects, [Effect::SetTimer(DEADLINE, again)]);
    let late = chain.decide(Input::Timer(DEADLINE.into()), &after(901)).unwrap();
    assert!(late.next.veto.is_some());
}
