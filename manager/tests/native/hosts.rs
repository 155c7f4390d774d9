//! Hosts: list, show, describe, revoke, delete.

use axum::body::Body;
use hostler_manager::store::cluster::{Reach, reach_put};
use serde_json::json;

use crate::app::{App, document};

#[tokio::test]
async fn a_host_is_found_by_id_name_and_number_and_has_all_fields() {
    let app = App::start().await;
    let id = app.host("ceph-07").await;
    app.connect(id).await;
    app.introspect(id, &document(1_000)).await;
    let host = app.get("/api/hosts/ceph-07").await.expect(200);
    for name in [id.to_string(), id.to_string().to_uppercase(), "1".into(), "ceph%2D07".into(), "ceph-07/".into()] {
        assert_eq!(app.get(&format!("/api/hosts/{name}")).await.expect(200), host, "{name}");
    }
    assert_eq!(
        host,
        json!({
            "id": id.to_string(), "number": 1, "name": "ceph-07", "description": null, "state": "online", "roles": [],
            "labels": {}, "zone": null,
            "agent": {"version": "0.1.0", "state": "online", "connectedAt": "2026-01-02T03:04:05.678901Z",
                      "lastSeenAt": "2026-01-02T03:04:05.678901Z", "address": "192.0.2.9:5", "certificateSerial": null,
                      "certificateExpiresAt": null, "bootId": "boot", "degraded": false},
            "cluster": null, "createdAt": "2026-01-02T03:04:05.678901Z",
            "introspection": {"state": "finished", "startedAt": "2026-01-02T03:05:05.678901Z",
                              "finishedAt": "2026-01-02T03:05:05.678901Z", "error": null},
            "summary": {"manufacturer": "Maker", "product": "Product", "serial": "N1", "cpuModel": "Model", "cpus": 64,
                        "memoryMb": 262_144, "disks": 1, "interfaces": 1, "os": null, "kernel": null},
            "staleSections": [],
            "sections": {"disks": {"status": "ok", "collectedAt": "2026-01-02T03:05:05.678901Z", "maxAgeS": 0, "stale": false}},
            "identityChange": null,
        })
    );
    for missing in ["nobody", "2", "6f1d2c3a-0b4e-4a5f-8c6d-7e8f90a1b2c3", "-1", "99999999999999999999"] {
        assert_eq!(app.get(&format!("/api/hosts/{missing}")).await.error(404), format!("there is no host {missing}"));
    }
}

#[tokio::test]
async fn a_host_shows_its_cluster_and_that_it_is_degraded() {
    let app = App::start().await;
    let (id, _other) = (app.host("a").await, app.host("b").await);
    let reach = Reach { fsid: Some("6f1d".into()), degraded: true };
    let store = &app.api.engine.store;
    store.write(move |tx| Box::pin(async move { reach_put(tx, id, &reach).await })).await.unwrap();
    let listed = app.get("/api/hosts").await.expect(200);
    let shown = app.get("/api/hosts/a").await.expect(200);
    for host in [&listed["data"][0], &shown] {
        assert_eq!((&host["cluster"], &host["agent"]["degraded"]), (&json!("6f1d"), &json!(true)), "{host}");
    }
    let other = &listed["data"][1];
    assert_eq!((&other["cluster"], &other["agent"]["degraded"]), (&json!(null), &json!(false)), "{other}");
}

#[tokio::test]
async fn a_name_of_digits_wins_over_a_number() {
    let app = App::start().await;
    app.host("first").await;
    app.host("1").await;
    assert_eq!(app.get("/api/hosts/1").await.expect(200)["name"], "1");
    assert_eq!(app.get("/api/hosts/2").await.expect(200)["name"], "1");
}

#[tokio::test]
async fn lists_are_paged_and_filtered() {
    let app = App::start().await;
    for number in 1..=5 {
        let id = app.host(&format!("host-{number}")).await;
        if number % 2 == 0 {
            app.connect(id).await;
        }
    }
    let (mut names, mut after, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = app.get(&format!("/api/hosts?limit=2{after}")).await.expect(200);
        names.extend(page["data"].as_array().unwrap().iter().map(|host| host["name"].as_str().unwrap().to_owned()));
        pages += 1;
        let Some(next) = page.get("next") else { break };
        after = format!("&after={}", next.as_str().unwrap());
    }
    assert_eq!((names.join(" ").as_str(), pages), ("host-1 host-2 host-3 host-4 host-5", 3));

    let count = |path: &'static str| {
        let app = &app;
        async move { app.get(path).await.expect(200)["data"].as_array().unwrap().len() }
    };
    assert_eq!(count("/api/hosts?state=online").await, 2);
    assert_eq!(count("/api/hosts?state=enrolled&limit=2").await, 2);
    assert_eq!(count("/api/hosts?state=revoked").await, 0);
    assert_eq!(count("/api/hosts?name=host-4").await, 1);
    assert_eq!(count("/api/hosts?name=host-4&state=enrolled").await, 0);
    assert_eq!(count("/api/hosts?name=nobody").await, 0);
}

#[tokio::test]
async fn hosts_are_described_and_the_description_is_taken_away() {
    let app = App::start().await;
    let id = app.host("a").await;
    let patch = |body: serde_json::Value| app.call("admin", "PATCH", "/api/hosts/a", body.to_string());
    let said = json!({"description": "Rack 4", "zone": "z1", "roles": ["storage", "compute"], "labels": {"row": "7"}});
    let host = patch(said.clone()).await.expect(200);
    for (key, value) in said.as_object().unwrap() {
        assert_eq!(&host[key], value, "{key}");
    }
    assert_eq!(patch(json!({})).await.expect(200), host);
    let host = patch(json!({"zone": null, "labels": {}})).await.expect(200);
    assert_eq!((&host["zone"], &host["labels"], &host["description"]), (&json!(null), &json!({}), &json!("Rack 4")));

    let events = app.get("/api/events").await.expect(200);
    let told: Vec<_> =
        events["data"].as_array().unwrap().iter().map(|event| (&event["actor"], &event["data"]["fields"])).collect();
    let want = [json!(["description", "labels", "roles", "zone"]), json!(["labels", "zone"])];
    assert_eq!(told, [(&json!("token:admin"), &want[0]), (&json!("token:admin"), &want[1])]);
    assert_eq!(events["data"][0]["subject"], id.to_string());
}

#[tokio::test]
async fn only_hosts_without_agent_are_deleted() {
    let app = App::start().await;
    let id = app.host("a").await;
    app.connect(id).await;
    let delete = || app.call("admin", "DELETE", "/api/hosts/a", Body::empty());
    let text = delete().await.error(409);
    assert!(text.contains("revoke"), "{text}");
    let revoked = app.post("/api/hosts/a/agent/revoke", json!({"reason": "stolen"})).await;
    assert_eq!((revoked.status, revoked.text.as_str()), (204, ""));
    assert_eq!(app.get("/api/hosts/a").await.expect(200)["state"], "revoked");
    let text = app.post("/api/hosts/a/introspect", json!({})).await.error(409);
    assert!(text.contains("revoked"), "{text}");
    assert_eq!(delete().await.status, 204);
    app.get("/api/hosts/a").await.error(404);
    delete().await.error(404);
    let kinds: Vec<_> = app.get("/api/events").await.expect(200)["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["kind"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(kinds, ["agent.revoked", "host.deleted"]);

    app.host("never-connected").await;
    let answer = app.call("admin", "DELETE", "/api/hosts/never-connected", Body::empty()).await;
    assert_eq!(answer.status, 204);
}
