//! Subscriptions to maintenance: who counts as listening, and when a receiver is given up (spec/maintenance.md §4.6).

use hostler_common::id::SessionId;
use serde_json::json;

use super::*;
use crate::event::Recorded;
use crate::maintenance::notice::{Audience, Form, HOST, Narrowing, SCHEDULED};

fn audience(want: Narrowing) -> Box<Audience> {
    let (id, project) = (Uuid::from_u128(1), Some("p".to_owned()));
    Box::new(Audience { id, project, admin: false, want, form: Form::Aodh, base: String::new() })
}

fn subscription() -> Decision<Webhook> {
    let spec = Spec { audience: Some(audience(Narrowing::default())), ..spec(Policy::of_subscriptions()) };
    let new = New { spec, sealed: "s1".into(), after: EventNumber(10) };
    decide(&Webhook::fresh(WebhookId(3)), Command::Create(Box::new(new)), 0).unwrap()
}

#[test]
fn somebody_listens_for_as_long_as_it_delivers() {
    let listens = Write::Listens(Some(("p".into(), None)));
    let made = subscription();
    assert_eq!(made.writes, std::slice::from_ref(&listens));
    let off = decide(&made.next, Command::Disable, 1).unwrap();
    assert_eq!(off.writes, [Write::Listens(None)]);
    assert_eq!(decide(&off.next, Command::Enable, 2).unwrap().writes, std::slice::from_ref(&listens));
    assert_eq!(decide(&made.next, Command::Delete, 2).unwrap().writes, [Write::Listens(None)]);
    let session = SessionId(Uuid::from_u128(5));
    let want = Narrowing { session: Some(session), ..Narrowing::default() };
    let spec = Spec { audience: Some(audience(want)), ..made.next.spec.clone() };
    let changed = decide(&made.next, Command::Change(Box::new(spec)), 2).unwrap();
    assert_eq!(changed.writes, [Write::Listens(Some(("p".into(), Some(session))))]);
    let gone = claimed(&made.next, 11, 1);
    let gone = fail(&gone.0, gone.1, GONE, 1);
    assert!(gone.writes.contains(&Write::Listens(None)), "the receiver does not want to hear any more");
}

#[test]
fn an_event_is_tried_nine_times_and_a_receiver_for_a_day() {
    let (mut webhook, mut seconds, mut tries) = (subscription().next, 1, 0);
    let mut dead = Vec::new();
    while webhook.phase == Phase::Active {
        let event = webhook.cursor.0 + 1;
        let (next, claim) = claimed(&webhook, event, seconds);
        let failed = fail(&next, claim, 500, seconds);
        tries += 1;
        for write in &failed.writes {
            if let Write::Bury { event, attempts, .. } = write {
                assert_eq!(*attempts, 9);
                dead.push(event.0);
            }
        }
        webhook = failed.next;
        assert!(webhook.not_before.is_none_or(|at_| at_.since(at(seconds)) <= Duration::from_secs(3600)));
        seconds += 3600;
        assert!(seconds < 100 * 3600, "it goes on for ever");
    }
    assert_eq!(webhook.phase, Phase::Off(Off::Exhausted));
    assert_eq!((dead, tries), (vec![11, 12], 25), "one try an hour for a day");
    assert_eq!(webhook.listens(), None);
}

#[test]
fn a_subscription_is_told_of_its_own_only() {
    let webhook = subscription().next;
    let event = |kind: &str, project: &str| Recorded {
        number: EventNumber(1),
        at: at(0),
        kind: kind.into(),
        subject: String::new(),
        actor: None,
        data: json!({ "project_id": project }),
    };
    assert!(webhook.wants(&event(SCHEDULED, "p")));
    for (kind, project) in [(SCHEDULED, "q"), (HOST, "p"), ("host.enrolled", "p")] {
        assert!(!webhook.wants(&event(kind, project)), "{kind} {project}");
    }
}

#[test]
fn documents_of_before_are_read() {
    let mut text = serde_json::to_value(made(Policy::default())).unwrap();
    text["spec"].as_object_mut().unwrap().remove("audience");
    for name in ["pace", "off_after"] {
        text["spec"]["policy"].as_object_mut().unwrap().remove(name);
    }
    assert_eq!(serde_json::from_value::<Webhook>(text).unwrap(), made(Policy::default()));
}
