//! Servers (spec/hooks.md §4.1).

use std::time::Duration;

use axum::body::Body;
use serde_json::{Value, json};

use crate::app::{App, document};
use crate::pagination;

#[tokio::test]
async fn spec_13_1_servers_round_trip() {
    let app = App::start().await;
    let id = app.host("h1").await;
    app.connect(id).await;
    let mut found = document(1);
    found["fleet"]["os"] =
        json!({"release": {"pretty_name": "Debian 12", "version_id": "12"}, "boot_time": 1_767_319_445});
    found["fleet"]["system"] = json!({"machine_id": "0123", "board_name": "X12"});
    found["fleet"]["net"] = json!({"listeners": [{"port": 22}, {"port": 22}, {"port": 6789}]});
    found["fleet"]["ceph"] = json!({"daemons": [{"type": "osd", "id": "7", "style": "package", "socket": true}]});
    app.introspect(id, &found).await;
    app.host("h2").await;
    let servers = app.get("/api/servers").await.expect(200);
    let server = &servers[0];
    for (name, value) in json!({
        "id": 1, "hostname": "h1", "state": "running", "stateLabel": "Running", "macs": ["52:54:00:aa:00:01"],
        "macsFormatted": "52:54:00:aa:00:01", "ip": "192.0.2.50", "ips": ["192.0.2.50"], "image": "Debian 12",
        "imageDescription": "12", "machineId": "0123", "usedPorts": [22, 6789], "daemonVersion": "0.1.0",
    })
    .as_object()
    .unwrap()
    {
        assert_eq!(&server[name], value, "{name}");
    }
    assert_eq!(server["services"]["osd"], json!({"deployed": 1, "running": 1, "isDeployed": true, "isRunning": true}));
    assert_eq!(server["services"].as_object().unwrap().len(), 12);
    assert_eq!((&server["health"]["bootSource"], &server["health"]["bootedFromDisk"]), (&json!("Disk"), &json!(true)));
    assert_eq!(server["hardware"]["cpu"], "Model");
    assert_eq!(server["ipmi"]["ip"], "192.0.2.10");
    assert_eq!((&servers[1]["state"], &servers[1]["macs"]), (&json!("booting"), &json!([])));
    let wanted = json!({"where": {"hostname": {"_eq": "h2"}}});
    let page = app.get(&format!("/api/servers?{}", pagination(&wanted))).await.expect(200);
    assert_eq!((&page["total"], &page["data"][0]["id"]), (&json!(1), &json!(2)));
    assert_eq!(&app.get("/api/servers/1").await.expect(200), server);
    app.get("/api/servers/3").await.error(404);
    app.get("/api/servers/x").await.error(404);
    let services = app.get("/api/servers/1/services").await.expect(200);
    assert_eq!((&services[0]["id"], &services[0]["running"]), (&json!("osd.7"), &json!(true)));
    app.get(&format!("/api/servers?{}", pagination(&json!({"where": {"nothing": {"_eq": "1"}}})))).await.error(400);
}

#[tokio::test]
async fn spec_4_1_a_viewer_may_redetect() {
    let app = App::start().await;
    let id = app.host("h1").await;
    app.connect(id).await;
    app.clock.advance(Duration::from_secs(60));
    let answer = app.call("reader", "POST", "/api/servers/1/redetect", Body::empty()).await;
    assert_eq!((answer.status, answer.text.as_str()), (201, ""));
    let tasks = app.get("/api/tasks").await.expect(200);
    assert_eq!(
        (&tasks["data"][0]["kind"], &tasks["data"][0]["startedBy"]),
        (&json!("introspection"), &json!("token:reader"))
    );
    let value: Value = app.get("/api/servers/1").await.expect(200);
    assert_eq!(value["lastSeen"], "PT60S");
    app.call("reader", "POST", "/api/servers/9/redetect", Body::empty()).await.error(404);
}

#[tokio::test]
async fn spec_4_1_services_are_started_as_tasks() {
    let app = App::start().await;
    let id = app.host("h1").await;
    app.connect(id).await;
    let mut found = document(1);
    found["fleet"]["ceph"] = json!({"daemons": [{"type": "osd", "id": "7", "socket": false}]});
    app.introspect(id, &found).await;
    let answer = app.call("admin", "POST", "/api/servers/1/services/osd.7/restart", Body::empty()).await;
    assert_eq!((answer.status, answer.text.as_str()), (201, ""));
    let place = answer.headers["location"].to_str().unwrap().to_owned();
    let task = app.get(&place).await.expect(200);
    assert_eq!(
        (&task["object"], &task["done"], &task["startedBy"]),
        (&json!("h1"), &json!(false), &json!("token:admin"))
    );
    for path in
        ["1/services/osd.8/restart", "1/services/osd/restart", "1/services/osd.7/format", "2/services/osd.7/stop"]
    {
        app.call("admin", "POST", &format!("/api/servers/{path}"), Body::empty()).await.error(404);
    }
    let step = json!({"step": {"step": "ceph_daemon", "kind": "osd", "id": "7", "action": "start"}, "skipHooks": true});
    let task = app.post("/api/servers/1/steps", step).await.expect(200);
    assert_eq!(task["done"], false, "{task}");
    app.post("/api/servers/1/steps", json!({"step": {"step": "reboot"}})).await.error(400);
}

#[tokio::test]
async fn spec_4_2_flags_of_the_cluster() {
    use hostler_common::cluster::{Check, ClusterState, Health};
    let app = App::start().await;
    app.get("/api/maintenance/flags").await.error(409);
    let id = app.host("h1").await;
    let check = Check { message: "noout flag(s) set".into(), ..Check::default() };
    let health = Health { status: "HEALTH_WARN".into(), checks: [("OSDMAP_FLAGS".to_owned(), check)].into() };
    let state = ClusterState { fsid: "f".into(), health: Some(health), ..ClusterState::default() };
    app.api.fleet.cluster_state(id, state).await.unwrap();
    let flags = app.get("/api/maintenance/flags").await.expect(200);
    let set: Vec<_> = flags.as_array().unwrap().iter().filter(|flag| flag["currentState"] == true).collect();
    assert_eq!((set.len(), &set[0]["name"], &set[0]["recommendedState"]), (1, &json!("noout"), &json!(false)));
    // The agent is not connected: the operation fails and says why.
    let text = app.call("admin", "PUT", "/api/maintenance/flags/noout/unset", Body::empty()).await.error(409);
    assert!(text.contains("not connected"), "{text}");
    app.call("admin", "PUT", "/api/maintenance/flags/nosuch/set", Body::empty()).await.error(404);
    app.call("admin", "PUT", "/api/maintenance/flags/noout/toggle", Body::empty()).await.error(404);
}
