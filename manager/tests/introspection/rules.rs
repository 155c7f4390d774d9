//! Point 7, as far as the interface is concerned: rules and their audit trail.

use hostler_common::id::EventNumber;
use hostler_manager::store::event::event_list;
use serde_json::{Value, json};

use super::fixture::World;

const ID: &str = "6f1d2c3a-0b4e-4a5f-8c6d-7e8f90a1b2c3";

fn rule(uuid: Value) -> String {
    json!({
        "uuid": uuid,
        "description": "many cores",
        "scope": "lab",
        "conditions": [{ "op": "ge", "field": "data://cpus", "value": 8 }],
        "actions": [{ "action": "set-attribute", "path": "/extra/big", "value": true }],
        "something": "else",
    })
    .to_string()
}

#[tokio::test]
async fn spec_8_7_rules_are_made_shown_listed_and_removed() {
    let world = World::new().await;
    let made = world.post("/v1/rules", &rule(json!(ID.to_uppercase()))).await;
    assert_eq!(made.status, 201);
    let links = json!([{ "href": format!("/v1/rules/{ID}"), "rel": "self" }]);
    let full = json!({
        "uuid": ID,
        "description": "many cores",
        "scope": "lab",
        "conditions": [{ "op": "ge", "field": "data://cpus", "value": 8, "invert": false, "multiple": "any" }],
        "actions": [{ "action": "set-attribute", "path": "/extra/big", "value": true }],
        "links": links,
    });
    assert_eq!(made.json(), full);
    assert!(made.body.starts_with(br#"{"actions":[{"action":"#), "keys are sorted");
    assert_eq!(world.get(&format!("/v1/rules/{}", ID.replace('-', ""))).await.json(), full);
    let second = world
        .post("/v1/rules", r#"{"actions":[{"action":"fail","message":"x"}],"uuid":null,"description":null}"#)
        .await
        .json();
    let listed = world.get("/v1/rules").await.json();
    let short = |uuid: &str, description: Value, scope: Value| {
        let links = json!([{ "href": format!("/v1/rules/{uuid}"), "rel": "self" }]);
        json!({ "uuid": uuid, "description": description, "scope": scope, "links": links })
    };
    let second_id = second["uuid"].as_str().unwrap();
    let want = [short(ID, json!("many cores"), json!("lab")), short(second_id, Value::Null, Value::Null)];
    assert_eq!(listed, json!({ "rules": want }));
    assert_eq!(world.call("DELETE", &format!("/v1/rules/{ID}"), &[], "").await.status, 204);
    for method in ["GET", "DELETE"] {
        for id in [ID, "anything"] {
            let answer = world.call(method, &format!("/v1/rules/{id}"), &[], "").await;
            assert_eq!(answer.refusal(), (404, format!("Rule {id} was not found")));
        }
    }
    for _ in 0..2 {
        assert_eq!(world.call("DELETE", "/v1/rules", &[], "").await.status, 204);
        assert_eq!(world.get("/v1/rules").await.json(), json!({ "rules": [] }));
    }
}

#[tokio::test]
async fn spec_8_7_refusals_of_a_new_rule() {
    let world = World::new().await;
    assert_eq!(world.post("/v1/rules", &rule(json!(ID))).await.status, 201);
    let conflict = (409, format!("Rule with UUID {ID} already exists"));
    assert_eq!(world.post("/v1/rules", &rule(json!(ID))).await.refusal(), conflict);
    assert_eq!(world.post(&format!("/v1/rules/{ID}"), &rule(json!(ID))).await.refusal(), conflict);
    assert_eq!(world.post("/v1/rules", &rule(json!("x"))).await.refusal(), (400, "Invalid UUID value".to_owned()));
    let mut long: Value = serde_json::from_str(&rule(Value::Null)).unwrap();
    long["scope"] = json!("s".repeat(256));
    let text = "Invalid scope: the length of the scope should be within 255 characters";
    assert_eq!(world.post("/v1/rules", &long.to_string()).await.refusal(), (400, text.to_owned()));
    let conditions =
        r#"{"conditions": [{"op": "bad", "field": "x"}], "actions": [{"action": "fail", "message": "x"}]}"#;
    let (status, text) = world.post("/v1/rules", conditions).await.refusal();
    assert!(status == 400 && text.starts_with("Validation failed for conditions: "), "{text}");
    for actions in ["{}", r#"{"actions": []}"#, r#"{"actions": [{"action": "bad"}]}"#] {
        assert_eq!(world.post("/v1/rules", actions).await.refusal().0, 400, "{actions}");
    }
    assert_eq!(world.get("/v1/rules").await.json()["rules"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn spec_8_4_rule_creation_at_its_own_url() {
    let world = World::new().await;
    let other = "00000000-0000-4000-8000-000000000001";
    assert_eq!(world.post(&format!("/v1/rules/{ID}"), &rule(json!(other))).await.refusal().0, 400);
    assert_eq!(world.post("/v1/rules/x", &rule(Value::Null)).await.refusal(), (400, "Invalid UUID value".to_owned()));
    for (id, body) in [(ID, rule(Value::Null)), (other, rule(json!(other)))] {
        let made = world.post(&format!("/v1/rules/{id}"), &body).await;
        assert_eq!((made.status.as_u16(), made.json()["uuid"].as_str()), (201, Some(id)));
    }
}

#[tokio::test]
async fn every_change_of_rules_is_audited_with_its_actor() {
    let world = World::with_tokens().await;
    let token = [("X-Auth-Token", "service")];
    assert_eq!(world.call("POST", "/v1/rules", &token, &rule(json!(ID))).await.status, 201);
    assert_eq!(world.call("POST", "/v1/rules", &token, &rule(json!(ID))).await.status, 409);
    assert_eq!(world.call("DELETE", &format!("/v1/rules/{ID}"), &token, "").await.status, 204);
    assert_eq!(world.call("DELETE", &format!("/v1/rules/{ID}"), &token, "").await.status, 404);
    assert_eq!(world.call("DELETE", "/v1/rules", &token, "").await.status, 204);
    let mut connection = world.api.engine.store.read().await.unwrap();
    let events = event_list(&mut connection, EventNumber(0), 10).await.unwrap();
    let seen: Vec<(&str, &str)> = events.iter().map(|event| (event.kind.as_str(), event.subject.as_str())).collect();
    let want =
        [("introspection.rule.created", ID), ("introspection.rule.deleted", ID), ("introspection.rule.purged", "all")];
    assert_eq!(seen, want);
    assert!(events.iter().all(|event| event.actor.as_deref() == Some("token:service")));
}

#[tokio::test]
async fn spec_8_6_a_repeated_creation_with_its_key_makes_one_rule() {
    let world = World::new().await;
    let key = [("Idempotency-Key", "k")];
    let first = world.call("POST", "/v1/rules", &key, &rule(Value::Null)).await;
    let again = world.call("POST", "/v1/rules", &key, &rule(Value::Null)).await;
    assert_eq!((first.status.as_u16(), again.status.as_u16()), (201, 201));
    assert_eq!(first.body, again.body);
    assert_eq!(world.get("/v1/rules").await.json()["rules"].as_array().unwrap().len(), 1);
}
