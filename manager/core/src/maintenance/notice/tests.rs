use hostler_common::id::{EventNumber, SessionId};

use super::*;
use crate::event::KindPattern;

const SESSION_ID: &str = "5d0e1c4c-2f5d-11f0-9a59-0242ac110002";

fn event(kind: &str, data: Value) -> Recorded {
    Recorded {
        number: EventNumber(7),
        at: Timestamp::from_micros(1_767_323_045_678_901),
        kind: kind.into(),
        subject: "s".into(),
        actor: Some("user:admin".into()),
        data,
    }
}

fn scheduled() -> Recorded {
    event(
        SCHEDULED,
        json!({
            "service": "fenix", "project_id": "p", "session_id": SESSION_ID, "state": "PLANNED_MAINTENANCE",
            "instance_ids": ["i"], "allowed_actions": ["MIGRATE", "OWN_ACTION"],
            "reply_url": format!("/v1/maintenance/{SESSION_ID}/p/i"), "reply_at": "2031-04-12 22:10:40",
            "actions_at": "2031-04-12 22:10:40", "metadata": {"kernel": "6.12"},
            "from": "192.0.2.9", "request_id": "req-1",
        }),
    )
}

fn audience(project: Option<&str>, admin: bool) -> Audience {
    Audience {
        id: Uuid::from_u128(1),
        project: project.map(str::to_owned),
        admin,
        want: Narrowing::default(),
        form: Form::Aodh,
        base: "https://mgr.example:12347".into(),
    }
}

fn traits(alarm: &Value) -> Vec<(String, i64, Value)> {
    let all = alarm["reason_data"]["event"]["traits"].as_array().unwrap();
    all.iter().map(|one| (one[0].as_str().unwrap().into(), one[1].as_i64().unwrap(), one[2].clone())).collect()
}

#[test]
fn links_become_whole_and_lists_stay() {
    let event = linked(scheduled(), "https://mgr.example:12347/");
    assert_eq!(event.data["reply_url"], format!("https://mgr.example:12347/v1/maintenance/{SESSION_ID}/p/i"));
    assert_eq!(event.data["instance_ids"], json!(["i"]));
    assert_eq!(linked(event.clone(), "https://other.example"), event, "not twice");
}

#[test]
fn cloudevents_name_the_session_and_what_it_is_about() {
    let told = cloudevent(&scheduled());
    assert_eq!(
        (&told["source"], &told["type"], &told["subject"], &told["id"], &told["time"]),
        (
            &json!(format!("/v1/maintenance/{SESSION_ID}")),
            &json!("maintenance.scheduled"),
            &json!("i"),
            &json!("7"),
            &json!("2026-01-02T03:04:05.678901Z")
        )
    );
    assert!(told["data"].get("request_id").is_none() && told["data"].get("from").is_none(), "{told}");
    let host =
        cloudevent(&event(HOST, json!({"session_id": SESSION_ID, "host": "kvm-a07", "state": "IN_MAINTENANCE"})));
    assert_eq!(host["subject"], "kvm-a07");
    assert!(cloudevent(&event(SESSION, json!({"session_id": SESSION_ID}))).get("subject").is_none());
}

#[test]
fn plain_ones_have_the_envelope_of_upstream() {
    let told = plain(&scheduled());
    assert_eq!(
        (&told["priority"], &told["event_type"], &told["publisher_id"], &told["timestamp"]),
        (&json!("info"), &json!("maintenance.scheduled"), &json!("fenix"), &json!("2026-01-02 03:04:05.678901"))
    );
    assert_eq!(told["payload"]["reply_at"], "2031-04-12 22:10:40");
    assert_eq!(told["message_id"], plain(&scheduled())["message_id"]);
}

#[test]
fn alarms_have_the_traits_that_clients_read() {
    let alarm = aodh::alarm(&scheduled(), Uuid::from_u128(1), "vnf", "https://mgr.example");
    assert_eq!(
        (&alarm["previous"], &alarm["current"], &alarm["severity"], &alarm["reason_data"]["type"]),
        (&json!("alarm"), &json!("alarm"), &json!("low"), &json!("event"))
    );
    let traits = traits(&alarm);
    let names: Vec<&str> = traits.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "service",
            "allowed_actions",
            "instance_ids",
            "reply_url",
            "state",
            "session_id",
            "actions_at",
            "project_id",
            "reply_at",
            "metadata"
        ]
    );
    assert_eq!(traits[1], ("allowed_actions".into(), 1, json!("[\"MIGRATE\", \"OWN_ACTION\"]")));
    assert_eq!(traits[2], ("instance_ids".into(), 1, json!("[\"i\"]")));
    assert_eq!(traits[6], ("actions_at".into(), 4, json!("2031-04-12T22:10:40Z")));
    assert_eq!(traits[9], ("metadata".into(), 1, json!("{\"kernel\": \"6.12\"}")));
}

#[test]
fn what_is_too_long_for_a_trait_is_a_link_and_what_is_null_is_left_out() {
    let mut event = scheduled();
    event.data["metadata"] = json!({"text": "ü".repeat(300)});
    event.data["reply_at"] = Value::Null;
    event.data["actions_at"] = Value::Null;
    event.data["project_id"] = json!("a b");
    let traits = traits(&aodh::alarm(&event, Uuid::from_u128(1), "vnf", "https://mgr.example/"));
    assert!(traits.iter().all(|(name, ..)| !name.ends_with("_at")));
    let metadata: Value = serde_json::from_str(traits.last().unwrap().2.as_str().unwrap()).unwrap();
    let href = format!("https://mgr.example/v1/maintenance/{SESSION_ID}/a%20b?metadata=true");
    assert_eq!(metadata, json!({ "href": href }));
    for (name, _, value) in &traits {
        assert!(value.as_str().unwrap().chars().count() <= aodh::TRAIT_MAX, "{name}");
    }
}

#[test]
fn traits_of_hosts_and_sessions() {
    let host = event(
        HOST,
        json!({"service": "fenix", "session_id": SESSION_ID, "host": "kvm-a07", "state": "IN_MAINTENANCE", "project_id": "ops"}),
    );
    let names: Vec<String> =
        traits(&aodh::alarm(&host, Uuid::from_u128(1), "x", "")).into_iter().map(|t| t.0).collect();
    assert_eq!(names, ["host", "project_id", "session_id", "state"]);
    let session = event(SESSION, json!({"session_id": SESSION_ID, "state": "START_MAINTENANCE", "percent_done": 33}));
    let percent = traits(&aodh::alarm(&session, Uuid::from_u128(1), "x", ""));
    assert!(percent.contains(&("percent_done".into(), 2, json!(33))), "{percent:?}");
}

#[test]
fn flows_are_json_that_yaml_reads_too() {
    let value = json!({"a": [1, true, null, "x\u{7f}\u{2028}\n\"'"], "menu'": {}, "b": -1.5});
    let text = aodh::flow(&value);
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    assert!(!text.contains("u'") && !text.contains('\u{7f}') && !text.contains('\u{2028}'), "{text}");
    assert_eq!(aodh::flow(&json!([])), "[]");
    assert_eq!(aodh::flow(&json!({})), "{}");
}

#[test]
fn projects_hear_their_own_questions_only() {
    let host =
        event(HOST, json!({"session_id": SESSION_ID, "host": "h", "state": "IN_MAINTENANCE", "project_id": "p"}));
    let mut foreign = scheduled();
    foreign.data["project_id"] = json!("q");
    let tenant = audience(Some("p"), false);
    assert!(tenant.admits(&scheduled()) && !tenant.admits(&foreign));
    assert!(!tenant.admits(&host), "even where the project is the administrators' own");
    let nobody = audience(None, false);
    assert!(!nobody.admits(&scheduled()) && !nobody.admits(&host));
    let all = audience(None, true);
    assert!(all.admits(&scheduled()) && all.admits(&foreign) && all.admits(&host));
    assert!(!all.admits(&event("host.enrolled", json!({"project_id": "p"}))));
    let admin = audience(Some("p"), true);
    assert!(admin.admits(&host) && !admin.admits(&foreign));
    assert!(admin.admits(&event(FLAG_OLD, json!({"session_id": SESSION_ID, "host": "h"}))));
}

#[test]
fn who_wants_less_hears_less_and_may_not_count_as_listening() {
    let kinds = |text: &str| vec![KindPattern::parse(text).unwrap()];
    let with = |want: Narrowing| Audience { want, ..audience(Some("p"), false) };
    let session = SessionId(SESSION_ID.parse().unwrap());
    assert_eq!(audience(Some("p"), false).listens(), Some(("p", None)));
    assert_eq!(audience(None, true).listens(), None);
    let one = with(Narrowing { session: Some(session), kinds: kinds("maintenance.*"), ..Narrowing::default() });
    assert!(one.admits(&scheduled()));
    assert_eq!(one.listens(), Some(("p", Some(session))));
    let other = with(Narrowing { session: Some(SessionId(Uuid::from_u128(9))), ..Narrowing::default() });
    assert!(!other.admits(&scheduled()));
    let states = with(Narrowing { states: vec!["planned_maintenance".into()], ..Narrowing::default() });
    assert!(states.admits(&scheduled()));
    assert_eq!(states.listens(), None);
    let host = with(Narrowing { kinds: kinds(HOST), ..Narrowing::default() });
    assert!(!host.admits(&scheduled()));
    assert_eq!(host.listens(), None);
    let named = with(Narrowing { hosts: vec!["h".into()], ..Narrowing::default() });
    assert!(!named.admits(&scheduled()));
    assert_eq!(named.listens(), None);
}
