//! Sessions from their request to their end, as administrators see them (spec/maintenance.md §1.3 to §1.8).

use std::time::Duration;

use serde_json::{Value, json};

use super::site::Site;

const AT: &str = "2031-04-12 22:00:00";

/// A manager of three hosts whose agents are there.
async fn three(settings: &str) -> Site {
    let site = Site::with(&format!("[auth]\nstrategy = \"none\"\n{settings}")).await;
    for name in ["kvm-a07", "kvm-a08", "kvm-a09"] {
        site.host(name, &["compute"]).await;
    }
    site
}

async fn created(site: &Site, body: &Value) -> String {
    let body = site.post("/v1/maintenance", body).await.is(200);
    body["session_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn spec_9_02_the_smallest_request_and_what_is_seen_of_it() {
    let site = three("").await;
    let id = created(&site, &json!({"maintenance_at": AT})).await;
    assert!(uuid::Uuid::try_parse(&id).is_ok() && id.len() == 36);
    let path = format!("/v1/maintenance/{id}");
    assert_eq!(site.get(&path).await.is(200), json!({"session_id": id, "state": "MAINTENANCE"}));
    assert_eq!(site.get("/v1/maintenance").await.is(200), json!({"sessions": [id], "session_id": [id]}));
    let detail = site.get(&format!("{path}/detail")).await.is(200);
    for (key, want) in [
        ("session_id", json!(id)),
        ("state", json!("MAINTENANCE")),
        ("prev_state", Value::Null),
        ("maintenance_at", json!(AT)),
        ("workflow", json!("default")),
        ("metadata", json!({})),
        ("meta", json!({})),
        ("percent_done", json!(0)),
        ("paused", json!(false)),
        ("projects", json!([])),
        ("instances", json!([])),
        ("action_plugins", json!([])),
        ("downloads", json!([])),
        ("continue_with", Value::Null),
    ] {
        assert_eq!(detail[key], want, "{key}: {detail}");
    }
    let hosts = site.get(&format!("{path}/hosts")).await.is(200)["hosts"].clone();
    assert_eq!(detail["hosts"], hosts);
    let names: Vec<&str> = hosts.as_array().unwrap().iter().map(|host| host["hostname"].as_str().unwrap()).collect();
    assert_eq!(names, ["kvm-a07", "kvm-a08", "kvm-a09"]);
    assert_eq!(
        (&hosts[0]["type"], &hosts[0]["maintained"], &hosts[0]["phase"]),
        (&json!("compute"), &json!(false), &json!("pending"))
    );
    let plan = site.get(&format!("{path}/plan")).await.is(200)["plan"].clone();
    assert_eq!(plan["hosts"].as_array().unwrap().len(), 3, "{plan}");
    assert!(plan["hosts"][0]["host"].as_str().unwrap().starts_with("kvm-a0"), "{plan}");
    let steps = site.get(&format!("{path}/steps?limit=1")).await.is(200);
    assert!(steps["steps"].is_array() && steps.get("next").is_some());
    let events = site.get(&format!("{path}/events")).await.is(200);
    assert!(
        events["events"].as_array().unwrap().iter().all(|event| event["data"]["session_id"] == json!(id)),
        "{events}"
    );
}

#[tokio::test]
async fn spec_9_02_requests_as_the_reference_shows_them() {
    let site = three("[maintenance]\nrequire_checksum = false\n").await;
    // What runs before all hosts runs on the host of the manager.
    site.host("mgmt", &["management"]).await;
    let seed = json!({
        "hosts": ["kvm-a07", "kvm-a08"], "state": "MAINTENANCE", "maintenance_at": "2031-04-12 22:00:00",
        "workflow": "default", "metadata": {"openstack_release": "queens"},
        "download": ["https://m.example/plugin.tar.gz", "https://m.example/image.qcow2"],
        "actions": [{"plugin": "dummy", "type": "host"}, {"plugin": "dummy", "type": "pre"}],
    });
    let id = created(&site, &seed).await;
    let detail = site.get(&format!("/v1/maintenance/{id}/detail")).await.is(200);
    assert_eq!(detail["downloads"][0]["local_file"], "plugin.tar.gz");
    assert_eq!(detail["action_plugins"].as_array().unwrap().len(), 2);
    assert_eq!(detail["metadata"], json!({"openstack_release": "queens"}));
}

#[tokio::test]
async fn a_start_in_the_past_is_a_start_soon() {
    let site = three("").await;
    // The clock says 2026-01-02 03:04:05.
    for (asked, begins) in [
        ("2001-01-01 00:00:00", "2026-01-02 03:04:10"),
        ("2026-01-02T03:04:06Z", "2026-01-02 03:04:10"),
        ("2026-01-02 04:04:40.5+01:00", "2026-01-02 03:04:40"),
    ] {
        let id = created(&site, &json!({"maintenance_at": asked})).await;
        let detail = site.get(&format!("/v1/maintenance/{id}/detail")).await.is(200);
        assert_eq!(detail["maintenance_at"], begins, "{asked}");
        let warned = detail["warnings"].as_array().unwrap().iter().any(|text| text.as_str().unwrap().contains("start"));
        assert_eq!(warned, begins.ends_with(":10"), "{detail}");
        assert_ne!(detail["state"], "MAINTENANCE_FAILED");
        site.delete(&format!("/v1/maintenance/{id}")).await.is(200);
        site.run_due().await;
    }
}

#[tokio::test]
async fn what_is_refused_leaves_nothing_behind() {
    let site = three("[maintenance]\nmax_active_sessions = 2\n").await;
    let with = |key: &str, value: Value| {
        let mut body = json!({"maintenance_at": AT, "hosts": ["kvm-a07"]});
        body[key] = value;
        body
    };
    for body in [
        with("hosts", json!(["nobody"])),
        with("hosts", json!(["kvm-a07", "kvm-a07"])),
        with("actions", json!([{"plugin": "no_such", "type": "host"}])),
        with("workflow", json!("k8s")),
        with("maintenance_at", Value::Null),
    ] {
        site.post("/v1/maintenance", &body).await.error(422);
    }
    assert_eq!(site.get("/v1/maintenance").await.is(200)["sessions"], json!([]));
    let first = created(&site, &with("x-y", json!(1))).await;
    let taken = site.post("/v1/maintenance", &with("hosts", json!(["kvm-a07", "kvm-a08"]))).await.is(409);
    assert_eq!((&taken["hosts"], &taken["code"]), (&json!(["kvm-a07"]), &json!("host.locked")));
    let second = created(&site, &with("hosts", json!(["kvm-a08"]))).await;
    let many = site.post("/v1/maintenance", &with("hosts", json!(["kvm-a09"]))).await;
    assert_eq!(many.error(509), "Too many sessions");
    let all = site.get("/v1/maintenance").await.is(200);
    assert_eq!(all, json!({"sessions": [first, second], "session_id": [first, second]}), "newest last");
}

#[tokio::test]
async fn spec_9_03_lists_under_both_names_and_narrowed() {
    let site = three("").await;
    let mut ids = Vec::new();
    for host in ["kvm-a07", "kvm-a08", "kvm-a09"] {
        ids.push(created(&site, &json!({"maintenance_at": AT, "hosts": [host]})).await);
    }
    let list = async |query: &str| site.get(&format!("/v1/maintenance?{query}")).await.is(200)["sessions"].clone();
    let all = site.get("/v1/maintenance").await.is(200);
    assert_eq!(all, json!({"sessions": ids, "session_id": ids}));
    assert_eq!(list("host=kvm-a08").await, json!([ids[1]]));
    assert_eq!(list("state=MAINTENANCE&limit=2").await, json!([ids[0], ids[1]]));
    assert_eq!(list(&format!("limit=2&marker={}", ids[1])).await, json!([ids[2]]));
    assert_eq!(list("state=SCALE_IN").await, json!([]));
    assert_eq!(list("project_id=p").await, json!([]));
    for wrong in ["state=x", "limit=0", "limit=x", "host=nobody", "marker=x", "deleted=maybe"] {
        site.get(&format!("/v1/maintenance?{wrong}")).await.error(422);
    }
}

#[tokio::test]
async fn a_dry_run_writes_nothing() {
    let site = three("").await;
    let body = json!({"maintenance_at": AT, "dry_run": true});
    let answer = site.post("/v1/maintenance", &body).await.is(200);
    assert_eq!(answer["plan"]["hosts"].as_array().unwrap().len(), 3, "{answer}");
    assert!(answer.get("session_id").is_none());
    assert_eq!(site.get("/v1/maintenance").await.is(200)["sessions"], json!([]));
    let wrong = json!({"maintenance_at": AT, "dry_run": true, "hosts": ["nobody"]});
    site.post("/v1/maintenance", &wrong).await.error(422);
}

#[tokio::test]
async fn a_request_that_is_repeated_with_its_key() {
    let site = three("").await;
    let key = [("idempotency-key", "k-1")];
    let body = json!({"maintenance_at": AT}).to_string();
    let first = site.call("POST", "/v1/maintenance", &key, &body).await.is(200);
    assert_eq!(site.call("POST", "/v1/maintenance", &key, &body).await.is(200), first);
    let other = json!({"maintenance_at": AT, "name": "x"}).to_string();
    site.call("POST", "/v1/maintenance", &key, &other).await.error(422);
    site.call("POST", "/v1/maintenance", &[("idempotency-key", "")], &body).await.error(400);
    site.call("POST", "/v1/maintenance", &[("idempotency-key", "k-2")], &body).await.error(409);
    site.clock.advance(Duration::from_secs(24 * 3600 + 1));
    site.call("POST", "/v1/maintenance", &key, &body).await.error(409);
}

#[tokio::test]
async fn both_verbs_change_a_session() {
    let site = three("").await;
    let id = created(&site, &json!({"maintenance_at": AT, "hosts": ["kvm-a07", "kvm-a08"]})).await;
    let path = format!("/v1/maintenance/{id}");
    let link = format!("http://mgr.example:12347{path}");
    for (method, paused) in [("PUT", true), ("POST", false), ("PUT", false)] {
        let body = json!({"paused": paused}).to_string();
        let answer = site.call(method, &format!("{path}/"), &[], &body).await.is(200);
        assert_eq!(answer, json!({"maintenance": link, "session_id": id, "state": "MAINTENANCE"}));
        assert_eq!(site.get(&format!("{path}/detail")).await.is(200)["paused"], paused);
    }
    let later =
        json!({"maintenance_at": "2031-05-01T00:00:00+02:00", "add_hosts": ["kvm-a09"], "remove_hosts": ["kvm-a07"]});
    site.put(&path, &later).await.is(200);
    let detail = site.get(&format!("{path}/detail")).await.is(200);
    assert_eq!(detail["maintenance_at"], "2031-04-30 22:00:00");
    let names: Vec<&str> =
        detail["hosts"].as_array().unwrap().iter().map(|host| host["hostname"].as_str().unwrap()).collect();
    assert_eq!(names, ["kvm-a08", "kvm-a09"]);
    site.put(&path, &json!({"policy": {"on_fail": "skip"}})).await.is(200);
    let policy = site.get(&format!("{path}/detail")).await.is(200)["policy"].clone();
    assert_eq!((&policy["on_fail"], &policy["reply_window"]), (&json!("skip"), &json!(40)));
    let conflict = site.put(&path, &json!({"state": "PLANNED_MAINTENANCE"})).await.is(409);
    assert_eq!((&conflict["state"], &conflict["requested"]), (&json!("MAINTENANCE"), &json!("PLANNED_MAINTENANCE")));
    site.put(&path, &json!({"state": "MAINTENANCE_DONE"})).await.error(422);
    site.put(&path, &json!({"retry_hosts": ["nobody"]})).await.error(422);
    site.put(&path, &json!({"unknown": 1})).await.error(422);
    let failed = site.put(&path, &json!({"state": "MAINTENANCE_FAILED"})).await.is(200);
    assert_eq!(failed["state"], "MAINTENANCE_FAILED");
    let detail = site.get(&format!("{path}/detail")).await.is(200);
    assert_eq!((&detail["prev_state"], &detail["continue_with"]), (&json!("MAINTENANCE"), &json!("MAINTENANCE")));
    assert_eq!(site.put(&path, &json!({})).await.is(200)["state"], "MAINTENANCE");
}

#[tokio::test]
async fn a_session_that_is_deleted() {
    let site = three("").await;
    let id = created(&site, &json!({"maintenance_at": AT})).await;
    let path = format!("/v1/maintenance/{id}");
    site.call("DELETE", &format!("{path}?mode=leave"), &[], "").await.error(422);
    assert_eq!(site.delete(&format!("{path}/")).await.is(200), json!({}));
    assert_eq!(site.delete(&path).await.is(200), json!({}), "a repetition");
    assert_eq!(site.get(&path).await.error(404), "Invalid session");
    site.put(&path, &json!({})).await.error(404);
    assert_eq!(site.get("/v1/maintenance").await.is(200)["sessions"], json!([]));
    assert_eq!(site.get("/v1/maintenance?deleted=true").await.is(200)["sessions"], json!([id]));
    let detail = site.get(&format!("{path}/detail")).await.is(200);
    assert!(detail["deleted_at"].is_string(), "{detail}");
    site.run_due().await;
    created(&site, &json!({"maintenance_at": AT})).await;
}
