//! Rules: tried without effect, replaced in their place.

use hostler_core::introspection::rules::parse;
use hostler_manager::store::rule::{rule_insert, rule_list};
use serde_json::{Value, json};

use crate::app::{App, document};

fn rule(value: &str) -> Value {
    json!({"description": "sets zone",
           "conditions": [{"op": "ge", "field": "cpus", "value": 1}],
           "actions": [{"action": "set-attribute", "path": "/extra/zone", "value": value}]})
}

async fn store(app: &App, body: Value) -> String {
    let id = "00000000-0000-0000-0000-00000000000".to_owned() + body["n"].as_str().unwrap();
    let rule = parse(&body).unwrap().with_id(id.parse().unwrap());
    let now = hostler_common::time::Timestamp::from_micros(0);
    let store = &app.api.engine.store;
    store.write(move |tx| Box::pin(async move { rule_insert(tx, &rule, now).await })).await.unwrap();
    id
}

async fn dry_run(app: &App, body: Value) -> crate::app::Answer {
    app.call("service", "POST", "/api/rules/dry-run", body.to_string()).await
}

#[tokio::test]
async fn rules_are_tried_without_effect() {
    let app = App::start().await;
    let id = app.host("a").await;
    let text = dry_run(&app, json!({"host": "a"})).await.error(409);
    assert!(text.contains("introspect it first"), "{text}");
    app.introspect(id, &document(1)).await;
    let unmet = json!({"conditions": [{"op": "lt", "field": "cpus", "value": 1}],
                       "actions": [{"action": "fail", "message": "x"}]});
    let tried = dry_run(&app, json!({"host": "1", "rules": [rule("z9"), unmet]})).await.expect(200);
    assert_eq!(tried["failure"], Value::Null);
    assert_eq!(tried["node"]["extra"]["zone"], "z9");
    let report = &tried["report"];
    assert_eq!(
        (&report[0]["rule"], &report[0]["matched"], &report[0]["actionsApplied"]),
        (&json!(1), &json!(true), &json!(1))
    );
    assert_eq!((&report[1]["rule"], &report[1]["matched"]), (&json!(2), &json!(false)));
    assert_eq!(report[1]["failingCondition"]["index"], 0);
    let change = tried["changes"].as_array().unwrap().iter().find(|change| change["path"] == "/extra/zone").unwrap();
    assert_eq!((&change["op"], &change["new"]), (&json!("added"), &json!("z9")));

    let failing =
        json!({"uuid": "00000000-0000-0000-0000-000000000009", "actions": [{"action": "fail", "message": "no"}]});
    let tried = dry_run(&app, json!({"host": "a", "rules": [rule("z9"), failing]})).await.expect(200);
    assert!(tried["failure"].as_str().unwrap().contains("no"), "{tried}");
    assert_eq!(tried["report"][1]["rule"], "00000000-0000-0000-0000-000000000009");
    assert_eq!(tried["node"]["extra"].get("zone"), None);

    let tried = dry_run(&app, json!({"host": "a"})).await.expect(200);
    assert_eq!((&tried["report"], &tried["changes"]), (&json!([]), &json!([])), "nothing was stored");
}

#[tokio::test]
async fn bad_rules_are_named_by_their_place() {
    let app = App::start().await;
    app.host("a").await;
    let text = dry_run(&app, json!({"host": "a", "rules": [rule("z"), {"actions": []}]})).await.error(400);
    assert!(text.starts_with("rules: rule 2: "), "{text}");
    dry_run(&app, json!({"host": "nobody"})).await.error(404);
    assert_eq!(dry_run(&app, json!({})).await.error(400), "host: is required");
}

#[tokio::test]
async fn a_replaced_rule_keeps_its_place() {
    let app = App::start().await;
    let (mut first, mut second) = (rule("1"), rule("2"));
    first["n"] = json!("1");
    second["n"] = json!("2");
    let id = store(&app, first).await;
    store(&app, second).await;
    let put = |id: &str, body: Value| {
        let path = format!("/api/rules/{id}");
        let app = &app;
        async move { app.call("service", "PUT", &path, body.to_string()).await }
    };
    let replaced = put(&id, rule("new")).await.expect(200);
    assert_eq!((&replaced["uuid"], &replaced["actions"][0]["value"]), (&json!(id), &json!("new")));
    let mut connection = app.api.engine.store.read().await.unwrap();
    let rules: Vec<Value> =
        rule_list(&mut connection).await.unwrap().iter().map(|rule| rule.representation()).collect();
    let values: Vec<_> = rules.iter().map(|rule| rule["actions"][0]["value"].as_str().unwrap()).collect();
    assert_eq!(values, ["new", "2"]);

    let missing = "00000000-0000-0000-0000-000000000007";
    put(missing, rule("x")).await.error(404);
    let mut other = rule("x");
    other["uuid"] = json!(missing);
    assert!(put(&id, other).await.error(400).starts_with("uuid: "));
    put(&id, json!({"actions": []})).await.error(400);
    let events = app.get("/api/events").await.expect(200);
    assert_eq!(events["data"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&events["data"][0]["kind"], &events["data"][0]["actor"]),
        (&json!("rule.replaced"), &json!("token:service"))
    );
}
