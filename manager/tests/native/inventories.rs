//! Inventories: history, documents, differences.

use serde_json::json;

use crate::app::{App, document};

#[tokio::test]
async fn changed_inventories_are_kept_and_compared() {
    let app = App::start().await;
    let id = app.host("a").await;
    let text = app.get("/api/hosts/a/inventories/latest").await.error(404);
    assert!(text.contains("introspect it first"), "{text}");
    assert_eq!(app.get("/api/hosts/a/inventories").await.expect(200), json!({"data": []}));

    app.introspect(id, &document(1_000)).await;
    app.get("/api/hosts/a/inventory-diff").await.error(404);
    app.introspect(id, &document(1_000)).await;
    app.introspect(id, &document(2_000)).await;
    let list = app.get("/api/hosts/a/inventories").await.expect(200);
    let infos = list["data"].as_array().unwrap();
    assert_eq!(infos.len(), 2, "an inventory that says nothing new is not kept: {list}");
    assert_eq!(infos[0]["host"], id.to_string());
    assert_eq!(infos[0]["sections"], json!({"disks": "ok"}));
    assert_eq!(infos[0]["collectedAt"], "2026-01-02T03:07:05.678901Z");
    assert_eq!(infos[0]["hash"].as_str().unwrap().len(), 64);
    let page = app.get("/api/hosts/a/inventories?limit=1").await.expect(200);
    let next = page["next"].as_str().unwrap();
    let page = app.get(&format!("/api/hosts/a/inventories?limit=1&after={next}")).await.expect(200);
    assert_eq!((&page["data"][0], page.get("next")), (&infos[1], None));

    let (new, old) = (infos[0]["id"].as_str().unwrap(), infos[1]["id"].as_str().unwrap());
    let latest = app.get("/api/hosts/a/inventories/latest").await;
    assert_eq!(latest.headers["content-type"], "application/json");
    assert_eq!(latest.text.len() as u64, infos[0]["size"].as_u64().unwrap());
    let latest = latest.expect(200);
    assert_eq!((&latest["inventory"]["disks"][0]["size"], &latest["cpus"]), (&json!(2_000), &json!(64)));
    assert_eq!(app.get(&format!("/api/hosts/a/inventories/{new}")).await.expect(200), latest);
    let raw = app.get(&format!("/api/hosts/a/inventories/{old}?unprocessed=true")).await.expect(200);
    assert_eq!(raw, document(1_000));

    let changes = app.get("/api/hosts/a/inventory-diff").await.expect(200);
    assert_eq!((changes["from"].as_str(), changes["to"].as_str()), (Some(old), Some(new)));
    let found = changes["changes"].as_array().unwrap();
    let disk = found.iter().find(|change| change["path"].as_str().unwrap().starts_with("/inventory/disks/")).unwrap();
    assert_eq!((&disk["old"], &disk["new"], &disk["op"]), (&json!(1_000), &json!(2_000), &json!("changed")));
    assert_eq!(disk["class"], "hardware");
    assert!(["info", "warning", "alarm"].contains(&disk["severity"].as_str().unwrap()), "{disk}");
    let same = app.get(&format!("/api/hosts/a/inventory-diff?from={new}&to=latest")).await.expect(200);
    assert_eq!(same["changes"], json!([]));
    let back = app.get(&format!("/api/hosts/a/inventory-diff?from=latest&to={old}")).await.expect(200);
    assert_eq!(back["changes"].as_array().unwrap().len(), found.len());
}

#[tokio::test]
async fn inventories_of_another_host_are_not_shown() {
    let app = App::start().await;
    let (a, _b) = (app.host("a").await, app.host("b").await);
    app.introspect(a, &document(1)).await;
    let list = app.get("/api/hosts/a/inventories").await.expect(200);
    let id = list["data"][0]["id"].as_str().unwrap();
    app.get(&format!("/api/hosts/b/inventories/{id}")).await.error(404);
    app.get(&format!("/api/hosts/b/inventory-diff?from={id}&to={id}")).await.error(404);
    app.get("/api/hosts/a/inventories/nonsense").await.error(404);
    app.get("/api/hosts/a/inventories/latest?unprocessed=maybe").await.error(400);
}
