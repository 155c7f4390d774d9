use hostler_common::id::WebhookId;
use hostler_common::time::Timestamp;

use super::super::state::{Format, Policy};
use super::*;
use crate::event::Filter;

mod any_order;
mod audience;

fn spec(policy: Policy) -> Spec {
    Spec {
        name: "pager".into(),
        url: "https://receiver.example/x".into(),
        filter: Filter::default(),
        format: Format::Cloudevents,
        policy,
        audience: None,
    }
}

fn context(now: Timestamp, seed: u128) -> Context<()> {
    Context { now, since: crate::machine::LONG_AGO, actor: Some("user:admin".into()), seed, facts: () }
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(0).after(Duration::from_secs(seconds))
}

fn made(policy: Policy) -> Webhook {
    let new = New { spec: spec(policy), sealed: "s1".into(), after: EventNumber(10) };
    decide(&Webhook::fresh(WebhookId(3)), Command::Create(Box::new(new)), 0).unwrap().next
}

fn decide(webhook: &Webhook, command: Command, seconds: u64) -> Decided {
    webhook.decide(Input::Command(command), &context(at(seconds), u128::from(seconds) + 77))
}

fn seek(webhook: &Webhook, found: i64) -> Seek {
    Seek {
        from: webhook.cursor,
        generation: webhook.generation,
        passed: EventNumber(found - 1),
        found: Some(EventNumber(found)),
        missed: 0,
    }
}

fn claimed(webhook: &Webhook, found: i64, seconds: u64) -> (Webhook, Uuid) {
    let next = decide(webhook, Command::Claim(seek(webhook, found)), seconds).unwrap().next;
    let claim = next.sending.as_ref().unwrap().claim.unwrap();
    (next, claim.id)
}

fn failure(status: u16) -> Failed {
    Failed { status: Some(status), reason: format!("answered {status}"), retry_after: None }
}

fn fail(webhook: &Webhook, claim: Uuid, status: u16, seconds: u64) -> Decision<Webhook> {
    decide(webhook, Command::Failed { claim, failed: failure(status) }, seconds).unwrap()
}

fn kinds(decision: &Decision<Webhook>) -> Vec<&'static str> {
    decision.events.iter().map(|event| event.kind).collect()
}

#[test]
fn a_delivery_goes_on_with_the_next_event_in_the_same_decision() {
    let webhook = made(Policy::default());
    let (webhook, claim) = claimed(&webhook, 12, 1);
    assert_eq!(webhook.cursor, EventNumber(11));
    let next = Some(Seek { from: EventNumber(12), ..seek(&webhook, 15) });
    let done = decide(&webhook, Command::Delivered { claim, status: 204, next }, 2).unwrap();
    assert_eq!((done.next.cursor, done.next.delivered), (EventNumber(14), 1));
    let sending = done.next.sending.clone().unwrap();
    assert_eq!(sending.event, EventNumber(15));
    assert_ne!(sending.claim.unwrap().id, claim);
    assert_eq!(done.effects, [Effect::SetTimer(LOOK, at(2).after(LEASE))]);
    let last = decide(&done.next, Command::Delivered { claim: sending.claim.unwrap().id, status: 200, next: None }, 3);
    let last = last.unwrap();
    assert_eq!((last.next.cursor, &last.next.sending), (EventNumber(15), &None));
    assert_eq!(last.effects, [Effect::ClearTimer(LOOK)]);
}

#[test]
fn results_under_another_claim_change_nothing() {
    let webhook = made(Policy::default());
    let (webhook, claim) = claimed(&webhook, 11, 1);
    let stray = Uuid::from_u128(5);
    for command in [
        Command::Delivered { claim: stray, status: 200, next: None },
        Command::Failed { claim: stray, failed: failure(500) },
        Command::Lost { claim: stray },
        Command::Claim(seek(&webhook, 12)),
    ] {
        assert_eq!(decide(&webhook, command, 2).unwrap_err().class, Class::Conflict);
    }
    // Whoever is late for longer than the lease has lost the claim to the next one.
    let late = 1 + LEASE.as_secs();
    let (webhook, second) = claimed(&webhook, 11, late);
    assert_ne!(second, claim);
    assert!(decide(&webhook, Command::Delivered { claim, status: 200, next: None }, late).is_err());
    assert!(decide(&webhook, Command::Delivered { claim: second, status: 200, next: None }, late).is_ok());
}

#[test]
fn a_look_of_another_generation_or_from_another_place_does_not_count() {
    let webhook = made(Policy::default());
    let stale = Seek { generation: 7, ..seek(&webhook, 11) };
    assert!(decide(&webhook, Command::Claim(stale), 1).is_err());
    let elsewhere = Seek { from: EventNumber(9), ..seek(&webhook, 11) };
    assert!(decide(&webhook, Command::Claim(elsewhere), 1).is_err());
    let nothing = Seek { found: None, passed: EventNumber(900), ..seek(&webhook, 11) };
    let passed = decide(&webhook, Command::Claim(nothing), 1).unwrap();
    assert_eq!((passed.next.cursor, &passed.next.sending), (EventNumber(900), &None));
    let gap = Seek { missed: 4, ..seek(&webhook, 15) };
    assert_eq!(kinds(&decide(&webhook, Command::Claim(gap), 1).unwrap()), ["webhook.gap"]);
}

#[test]
fn failures_pause_and_success_tells_that_it_is_over() {
    let (webhook, claim) = claimed(&made(Policy::default()), 11, 1);
    let failed = fail(&webhook, claim, 500, 2);
    assert_eq!(kinds(&failed), ["webhook.failing"]);
    let until = failed.next.not_before.unwrap();
    assert!(until >= at(3) && until <= at(4), "{until}");
    assert_eq!(failed.effects, [Effect::SetTimer(LOOK, until)]);
    assert!(decide(&failed.next, Command::Claim(seek(&failed.next, 11)), 2).is_err(), "not within the pause");
    let (webhook, claim) = claimed(&failed.next, 11, 10);
    assert_eq!(webhook.sending.as_ref().unwrap().failed, 1);
    let again = fail(&webhook, claim, 500, 11);
    assert!(kinds(&again).is_empty(), "one event for all failures in a row");
    let (webhook, claim) = claimed(&again.next, 11, 60);
    let done = decide(&webhook, Command::Delivered { claim, status: 200, next: None }, 61).unwrap();
    assert_eq!(kinds(&done), ["webhook.recovered"]);
    assert_eq!(done.events[0].data["failedSeconds"], 59);
    assert_eq!((done.next.failures, done.next.failing_since), (0, None));
    assert_eq!(done.next.last_failure.unwrap().reason, "answered 500");
}

#[test]
fn a_receiver_may_ask_to_be_left_alone() {
    let (webhook, claim) = claimed(&made(Policy::default()), 11, 1);
    let failed = Failed { retry_after: Some(Duration::from_secs(120)), ..failure(503) };
    let done = decide(&webhook, Command::Failed { claim, failed }, 1).unwrap();
    assert_eq!(done.next.not_before, Some(at(121)));
}

#[test]
fn what_cannot_be_delivered_is_given_up_by_count_or_by_time() {
    let by_count = Policy { max_attempts: Some(2), ..Policy::default() };
    let by_time = Policy { retry_for: Duration::from_secs(100), ..Policy::default() };
    for (policy, second) in [(by_count, 50), (by_time, 101)] {
        let (webhook, claim) = claimed(&made(policy), 11, 1);
        let first = fail(&webhook, claim, 500, 1);
        assert!(first.writes.is_empty());
        let (webhook, claim) = claimed(&first.next, 11, second);
        let given_up = fail(&webhook, claim, 502, second);
        let bury =
            Write::Bury { event: EventNumber(11), attempts: 2, status: Some(502), reason: "answered 502".into() };
        assert_eq!(given_up.writes, [bury]);
        assert_eq!(kinds(&given_up), ["webhook.dead_letter"]);
        assert_eq!((given_up.next.cursor, given_up.next.buried), (EventNumber(11), 1));
        assert!(given_up.next.not_before.is_some() && given_up.next.sending.is_none());
    }
}

#[test]
fn a_policy_may_stop_instead_and_enabling_begins_with_the_same_event() {
    let policy = Policy { max_attempts: Some(1), on_exhausted: OnExhausted::Stop, ..Policy::default() };
    let (webhook, claim) = claimed(&made(policy), 11, 1);
    let stopped = fail(&webhook, claim, 500, 1);
    assert_eq!(kinds(&stopped), ["webhook.failing", "webhook.disabled"]);
    assert_eq!(stopped.next.phase, Phase::Off(Off::Exhausted));
    assert!(stopped.writes.is_empty());
    assert_eq!(stopped.next.claimable_at(at(9)), None);
    assert!(decide(&stopped.next, Command::Claim(seek(&stopped.next, 11)), 900).is_err());
    let enabled = decide(&stopped.next, Command::Enable, 901).unwrap().next;
    let (webhook, _) = claimed(&enabled, 11, 901);
    assert_eq!(webhook.sending.unwrap().event, EventNumber(11));
}

#[test]
fn a_receiver_that_is_gone_is_left_alone_for_good() {
    let (webhook, claim) = claimed(&made(Policy::default()), 11, 1);
    let gone = fail(&webhook, claim, 410, 1);
    assert_eq!(gone.next.phase, Phase::Off(Off::Gone));
    assert_eq!(kinds(&gone), ["webhook.failing", "webhook.disabled"]);
}

#[test]
fn dead_letters_are_tried_once_more_before_anything_else() {
    let webhook = made(Policy::default());
    let asked = decide(&webhook, Command::Replay(EventNumber(4)), 1).unwrap();
    assert_eq!(kinds(&asked), ["webhook.replay_requested"]);
    assert_eq!(decide(&asked.next, Command::Replay(EventNumber(4)), 1).unwrap().next, asked.next, "asked once");
    let (webhook, claim) = claimed(&asked.next, 11, 1);
    assert_eq!(webhook.sending.as_ref().map(|sending| (sending.event, sending.replay)), Some((EventNumber(4), true)));
    let next = Some(seek(&webhook, 11));
    let done = decide(&webhook, Command::Delivered { claim, status: 200, next }, 2).unwrap();
    assert_eq!(done.writes, [Write::Exhume(EventNumber(4))]);
    assert_eq!((done.next.cursor, done.next.sending.unwrap().event), (EventNumber(10), EventNumber(11)));
    let failed = fail(&webhook, claim, 500, 2);
    assert!(matches!(&failed.writes[..], [Write::Bury { event: EventNumber(4), attempts: 1, .. }]));
    assert_eq!((failed.next.cursor, &failed.next.sending), (EventNumber(10), &None));
    assert_eq!(failed.next.buried, 0, "it was counted when it was given up");
}

#[test]
fn two_secrets_sign_for_a_while() {
    let webhook = made(Policy::default());
    let keep = Duration::from_secs(60);
    let once = decide(&webhook, Command::Rotate { sealed: "s2".into(), keep }, 1).unwrap();
    let signing = |webhook: &Webhook, seconds| {
        webhook.valid_secrets(at(seconds)).map(|sealed| sealed.value.clone()).collect::<Vec<_>>()
    };
    assert_eq!(signing(&once.next, 60), ["s2", "s1"]);
    assert_eq!(signing(&once.next, 61), ["s2"]);
    assert_eq!(once.effects, [Effect::SetTimer(SECRET, at(61))]);
    let twice = decide(&once.next, Command::Rotate { sealed: "s3".into(), keep }, 2).unwrap().next;
    assert_eq!(signing(&twice, 3), ["s3", "s2"]);
    let later = twice.decide(Input::Timer(SECRET.into()), &context(at(62), 1)).unwrap().next;
    assert_eq!(later.secrets.len(), 1);
}

#[test]
fn a_change_lets_go_of_what_nobody_delivers_yet() {
    let (webhook, claim) = claimed(&made(Policy::default()), 11, 1);
    let failed = fail(&webhook, claim, 500, 1).next;
    let other = Spec { name: "other".into(), ..failed.spec.clone() };
    let changed = decide(&failed, Command::Change(Box::new(other.clone())), 2).unwrap().next;
    assert_eq!((&changed.sending, changed.not_before, changed.generation), (&None, None, 1));
    assert_eq!(decide(&changed, Command::Change(Box::new(other.clone())), 3).unwrap().next, changed);
    let held = decide(&webhook, Command::Change(Box::new(other)), 2).unwrap().next;
    let stale = Seek { from: EventNumber(11), ..seek(&webhook, 12) };
    let done = decide(&held, Command::Delivered { claim, status: 200, next: Some(stale) }, 3).unwrap().next;
    assert_eq!((done.cursor, done.sending), (EventNumber(11), None), "what was looked up before counts no more");
}

#[test]
fn nobody_can_do_anything_with_what_is_not_there() {
    let fresh = Webhook::fresh(WebhookId(3));
    let gone = decide(&made(Policy::default()), Command::Delete, 1).unwrap().next;
    for webhook in [fresh, gone] {
        for command in
            [Command::Enable, Command::Delete, Command::Replay(EventNumber(1)), Command::Claim(seek(&webhook, 11))]
        {
            assert_eq!(decide(&webhook, command, 2).unwrap_err().class, Class::NotFound);
        }
    }
}

#[test]
fn a_document_survives_its_text() {
    let (webhook, _) = claimed(&made(Policy::default()), 11, 1);
    let text = serde_json::to_string(&webhook).unwrap();
    assert_eq!(serde_json::from_str::<Webhook>(&text).unwrap(), webhook);
}
