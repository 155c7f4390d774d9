//! A receiver that does what the client of upstream's alarms does (spec/maintenance.md §1.13, §4.5): it reads traits, takes
//! whatever looks like a list or an object apart, and answers each question, twice where it names a way to move.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::receiver::Got;
use super::stage::{BASE, Stage};

/// The states that it knows.
const STATES: [&str; 6] = [
    "MAINTENANCE",
    "SCALE_IN",
    "PREPARE_MAINTENANCE",
    "PLANNED_MAINTENANCE",
    "MAINTENANCE_COMPLETE",
    "INSTANCE_ACTION_DONE",
];

/// The traits of an alarm, taken apart as the client does it. What it could not read fails here.
pub fn read(body: &Value) -> BTreeMap<String, Value> {
    assert_eq!((&body["current"], &body["reason_data"]["type"]), (&json!("alarm"), &json!("event")), "{body}");
    let event = &body["reason_data"]["event"];
    assert_eq!(event["event_type"], "maintenance.scheduled");
    let mut data = BTreeMap::new();
    for one in event["traits"].as_array().unwrap() {
        let (name, value) = (one[0].as_str().unwrap(), &one[2]);
        let text = value.as_str().expect("it takes every value for a text");
        assert!(text.chars().count() <= 255, "{name}: {text}");
        let read = if text.contains('[') || text.contains('{') {
            let plain = text.replace("u'", "'");
            assert!(plain.chars().all(|sign| !sign.is_control()), "{name}: {plain:?}");
            serde_json::from_str(&plain).unwrap_or_else(|error| panic!("{name}: {error}: {plain}"))
        } else {
            json!(text)
        };
        if one[1] == 4 {
            assert!(text.ends_with('Z') && text.parse::<hostler_common::time::Timestamp>().is_ok(), "{name}: {text}");
        }
        data.insert(name.to_owned(), read);
    }
    for name in ["instance_ids", "session_id", "state", "reply_url"] {
        assert!(data.contains_key(name), "{name}: {data:?}");
    }
    let state = data["state"].as_str().unwrap();
    assert!(STATES.contains(&state), "{state}");
    if matches!(state, "PREPARE_MAINTENANCE" | "PLANNED_MAINTENANCE") {
        assert!(!data["allowed_actions"].as_array().unwrap().is_empty() && data["instance_ids"].is_array(), "{data:?}");
    }
    data
}

/// Answers what came; exactly 200 counts.
pub async fn answer(stage: &Stage, got: &Got) {
    let data = read(&got.json());
    let state = data["state"].as_str().unwrap();
    let path = data["reply_url"].as_str().unwrap().strip_prefix(BASE).expect("links are whole");
    let mut body = json!({ "session_id": data["session_id"], "state": format!("ACK_{state}") });
    let mut times = 1;
    if let Some(ids) = data["instance_ids"].as_array().filter(|_| state != "INSTANCE_ACTION_DONE") {
        body["instance_ids"] = ids[0].clone();
        body["instance_action"] = data["allowed_actions"][0].clone();
        times = 2;
    }
    if let Some(link) = data["instance_ids"].as_str() {
        let listed = stage.of("admin", "GET", link.strip_prefix(BASE).unwrap(), &Value::Null).await.is(200);
        assert!(!listed["instance_ids"].as_array().unwrap().is_empty(), "{listed}");
    }
    for _ in 0..times {
        stage.of("admin", "PUT", path, &body).await.is(200);
    }
}
