//! Inventories that are read again by themselves, their ages, drift across the fleet, and hosts that became another machine.

use std::time::Duration;

use hostler_common::id::HostId;
use hostler_common::job::Work;
use hostler_common::time::Clock as _;
use hostler_manager::store::job;
use serde_json::{Value, json};

use crate::app::{App, document};

/// A whole document with sections as our agent has them.
fn whole(disk: u64, hash: &str) -> Value {
    let section = |hash: &str, ttl: u32| json!({"status": "ok", "hash": hash, "ttl_s": ttl});
    let mut whole = document(disk);
    whole["fleet"] = json!({
        "schema": 1, "complete": true, "storage": {"size": disk}, "os": {"kernel": {"running": "6.12"}},
        "sections": {"storage": section(hash, 600), "system": section("y", 86_400), "os": section("o", 21_600)},
    });
    whole
}

/// What a refresh of `storage` brings.
fn part(disk: u64, hash: &str) -> Value {
    let mut part = whole(disk, hash);
    part["fleet"]["complete"] = json!(false);
    part["fleet"]["sections"].as_object_mut().unwrap().shift_remove("os");
    part["fleet"].as_object_mut().unwrap().shift_remove("os");
    part["inventory"] =
        json!({"disks": part["inventory"]["disks"], "system_vendor": part["inventory"]["system_vendor"]});
    part
}

/// Lets so much time pass that storage is due, and answers with that.
async fn refresh(app: &App, host: HostId, answer: &Value) {
    app.clock.advance(Duration::from_secs(600));
    app.deliver(host, answer).await;
}

async fn begun(app: &App, name: &str) -> HostId {
    let id = app.host(name).await;
    app.connect(id).await;
    app.introspect(id, &whole(1_000, "h1")).await;
    app.api.engine.refreshes_begin().await.unwrap();
    id
}

async fn open_sections(app: &App, host: HostId) -> Vec<Vec<String>> {
    let mut connection = app.api.engine.store.read().await.unwrap();
    let open = job::job_open(&mut connection, host).await.unwrap();
    open.into_iter()
        .filter(|job| !job.cancel)
        .filter_map(|job| match job.spec.work {
            Work::Introspect { sections } => Some(sections),
            Work::Script(_) | Work::Step(_) => None,
        })
        .collect()
}

async fn events(app: &App, kind: &str) -> Vec<Value> {
    let all = app.get("/api/events?limit=1000").await.expect(200);
    all["data"].as_array().unwrap().iter().filter(|event| event["kind"] == kind).cloned().collect()
}

#[tokio::test]
async fn a_refresh_renews_the_inventory_and_leaves_the_dialect_alone() {
    let app = App::start().await;
    let id = begun(&app, "a").await;
    let dialect = |path: &str| format!("/v1/introspection/{id}{path}");
    let call = async |path: String| app.call("admin", "GET", &path, "").await.expect(200);
    let (status, data) = (call(dialect("")).await, call(dialect("/data")).await);
    let tasks = app.get("/api/tasks").await.expect(200);

    refresh(&app, id, &part(1_000, "h1")).await;
    let list = app.get("/api/hosts/a/inventories").await.expect(200);
    assert_eq!(list["data"].as_array().unwrap().len(), 1, "nothing changed: {list}");
    assert_eq!(list["data"][0]["freshness"]["storage"]["stale"], false);
    let read_at = list["data"][0]["freshness"]["storage"]["collectedAt"].as_str().unwrap().to_owned();
    assert!(read_at.as_str() > list["data"][0]["collectedAt"].as_str().unwrap());

    refresh(&app, id, &part(2_000, "h2")).await;
    let list = app.get("/api/hosts/a/inventories").await.expect(200);
    assert_eq!(list["data"].as_array().unwrap().len(), 2, "{list}");
    assert!(list["data"][1].get("freshness").is_none());
    let latest = app.get("/api/hosts/a/inventories/latest").await.expect(200);
    assert_eq!(latest["inventory"]["disks"][0]["size"], 2_000);
    assert_eq!((&latest["cpus"], &latest["fleet"]["os"]["kernel"]["running"]), (&json!(64), &json!("6.12")));
    let changed = events(&app, "inventory.changed").await;
    assert_eq!((changed.len(), &changed[0]["data"]["severity"]), (1, &json!("info")));
    let changes = app.get("/api/hosts/a/inventory-changes").await.expect(200);
    assert_eq!(changes["data"][0]["inventory"], list["data"][0]["id"]);
    let path = changes["data"][0]["changes"][0]["path"].as_str().unwrap();
    assert!(path.contains("disks") || path.contains("storage"), "{changes}");

    assert_eq!((call(dialect("")).await, call(dialect("/data")).await), (status, data));
    assert_eq!(app.get("/api/tasks").await.expect(200), tasks, "nobody asked, so nobody follows it");
    let mut connection = app.api.engine.store.read().await.unwrap();
    let jobs: i64 = job::job_counts(&mut connection).await.unwrap().iter().map(|(_, count)| count).sum();
    assert_eq!(jobs, 1, "the jobs of refreshes are forgotten");
}

#[tokio::test]
async fn an_introspection_takes_the_place_of_a_refresh() {
    let app = App::start().await;
    let id = begun(&app, "a").await;
    app.clock.advance(Duration::from_secs(600));
    app.api.engine.run_due().await.unwrap();
    assert_eq!(open_sections(&app, id).await.len(), 1);
    app.post("/api/hosts/a/introspect", json!({})).await.expect(202);
    app.api.engine.run_due().await.unwrap();
    assert_eq!(open_sections(&app, id).await, [Vec::<String>::new()], "the introspection alone");
    app.clock.advance(Duration::from_secs(60));
    app.api.engine.run_due().await.unwrap();
    assert_eq!(open_sections(&app, id).await, [Vec::<String>::new()], "and no refresh beside it");
}

#[tokio::test]
async fn a_partial_introspection_keeps_the_rest() {
    let app = App::start().await;
    let id = begun(&app, "a").await;
    app.clock.advance(Duration::from_secs(60));
    app.post("/api/hosts/a/introspect", json!({"sections": ["storage"]})).await.expect(202);
    app.deliver(id, &part(3_000, "h3")).await;
    let status = app.get("/api/hosts/a").await.expect(200);
    assert_eq!(status["introspection"]["state"], "finished", "{status}");
    let latest = app.get("/api/hosts/a/inventories/latest").await.expect(200);
    assert_eq!((&latest["inventory"]["disks"][0]["size"], &latest["cpus"]), (&json!(3_000), &json!(64)));
    assert!(status["sections"]["storage"]["collectedAt"].as_str() > status["sections"]["os"]["collectedAt"].as_str());
}

#[tokio::test]
async fn no_more_hosts_are_read_at_once_than_may_be_and_all_get_their_turn() {
    let app = App::start().await;
    let mut hosts = Vec::new();
    for n in 0..40 {
        let id = app.host(&format!("host-{n}")).await;
        app.connect(id).await;
        hosts.push(id);
    }
    app.api.engine.refreshes_begin().await.unwrap();
    app.clock.advance(Duration::from_secs(600));
    let mut read = 0;
    for _ in 0..8 {
        app.api.engine.run_due().await.unwrap();
        let mut open = Vec::new();
        for host in &hosts {
            open.extend((!open_sections(&app, *host).await.is_empty()).then_some(*host));
        }
        assert!(open.len() <= 32, "{} at once", open.len());
        for host in open {
            app.deliver(host, &whole(1_000, "h1")).await;
            read += 1;
        }
        app.clock.advance(Duration::from_secs(60));
        if read >= hosts.len() {
            break;
        }
    }
    for n in 0..40 {
        app.get(&format!("/api/hosts/host-{n}/inventories/latest")).await.expect(200);
    }
}

#[tokio::test]
async fn facts_age_and_a_host_that_is_away_waits() {
    let app = App::start().await;
    let id = begun(&app, "a").await;
    let host = app.get("/api/hosts/a").await.expect(200);
    assert_eq!(host["sections"]["storage"]["maxAgeS"], 1800);
    assert_eq!((&host["staleSections"], &host["sections"]["os"]["maxAgeS"]), (&json!([]), &json!(64_800)));
    app.clock.advance(Duration::from_secs(1801));
    let host = app.get("/api/hosts/a").await.expect(200);
    assert_eq!(host["staleSections"], json!(["storage"]));
    let list = app.get("/api/hosts").await.expect(200);
    assert_eq!((&list["data"][0]["staleSections"], list["data"][0].get("sections")), (&json!(["storage"]), None));

    let since = app.clock.now().before(Duration::from_secs(1861));
    app.disconnect(id, since).await;
    app.clock.advance(Duration::from_secs(3600));
    app.api.engine.run_due().await.unwrap();
    assert!(open_sections(&app, id).await.is_empty());
    assert_eq!(app.get("/api/hosts/a").await.expect(200)["staleSections"], json!(["os", "storage", "system"]));
    app.connect(id).await;
    app.deliver(id, &part(1_000, "h1")).await;
    assert_eq!(app.get("/api/hosts/a").await.expect(200)["staleSections"], json!([]));
}

#[tokio::test]
async fn data_of_another_machine_wait_for_a_decision() {
    let app = App::start().await;
    let id = begun(&app, "a").await;
    let before = app.get("/api/hosts/a/inventories/latest").await.expect(200);
    app.post("/api/hosts/a/identity/accept", json!({})).await.error(404);
    app.post("/api/hosts/a/identity/discard", json!({})).await.error(404);
    let mut other = whole(9_000, "h9");
    other["inventory"]["system_vendor"]["serial_number"] = json!("N2");
    app.introspect(id, &other).await;
    let host = app.get("/api/hosts/a").await.expect(200);
    assert_eq!(host["introspection"]["state"], "error");
    assert_eq!(host["identityChange"]["found"], json!({"systemUuid": null, "serial": "N2"}));
    assert_eq!(app.get("/api/hosts/a/inventories/latest").await.expect(200), before);
    assert_eq!(events(&app, "host.identity_changed").await[0]["data"]["severity"], "alarm");

    app.post("/api/hosts/a/identity/discard", json!({})).await.expect(204);
    assert_eq!(app.get("/api/hosts/a").await.expect(200)["identityChange"], Value::Null);

    // A refresh sees it too: first in part, then whole.
    let mut seen = part(9_000, "h9");
    seen["inventory"]["system_vendor"]["serial_number"] = json!("N2");
    refresh(&app, id, &seen).await;
    assert_eq!(app.get("/api/hosts/a/identity").await.expect(200)["change"], Value::Null);
    assert_eq!(open_sections(&app, id).await, [Vec::<String>::new()]);
    app.deliver(id, &other).await;
    let identity = app.get("/api/hosts/a/identity").await.expect(200);
    assert_eq!((&identity["known"]["serial"], &identity["change"]["found"]["serial"]), (&json!("N1"), &json!("N2")));

    let begun = app.post("/api/hosts/a/identity/accept", json!({})).await.expect(202);
    app.api.engine.run_due().await.unwrap();
    let task = app.get(&format!("/api/tasks/{}", begun["task"])).await.expect(200);
    assert_eq!(task["state"], "FINISHED", "{task}");
    let latest = app.get("/api/hosts/a/inventories/latest").await.expect(200);
    assert_eq!(latest["inventory"]["disks"][0]["size"], 9_000);
    let identity = app.get("/api/hosts/a/identity").await.expect(200);
    assert_eq!((&identity["known"]["serial"], &identity["change"]), (&json!("N2"), &Value::Null));
    assert_eq!(events(&app, "host.identity_accepted").await[0]["actor"], "token:admin");
}

#[tokio::test]
async fn hosts_of_one_model_that_differ_are_found_page_by_page() {
    let app = App::start().await;
    for n in 0..5_u64 {
        let id = app.host(&format!("host-{n}")).await;
        let mut found = whole(1_000, "h");
        found["inventory"]["system_vendor"]["firmware"] = json!({"version": if n == 3 { "1.9" } else { "2.0" }});
        found["fleet"]["os"]["kernel"]["running"] = json!(format!("6.{}", n % 2));
        if n == 4 {
            found["inventory"]["system_vendor"]["product_name"] = json!("Other");
            found["inventory"]["system_vendor"]["firmware"]["version"] = json!("7");
        }
        app.introspect(id, &found).await;
    }
    let all = app.get("/api/inventory-drift").await.expect(200);
    let rows = all["data"].as_array().unwrap();
    let facts: Vec<_> = rows.iter().map(|row| row["fact"].as_str().unwrap()).collect();
    assert_eq!(facts, ["firmware.version", "os.kernel"], "{all}");
    let firmware = &rows[0];
    assert_eq!(
        (&firmware["kind"], &firmware["hosts"], &firmware["usual"]),
        (&json!("Maker Product"), &json!(4), &json!("2.0"))
    );
    assert_eq!((&firmware["class"], &firmware["severity"]), (&json!("firmware"), &json!("warning")));
    assert_eq!((&firmware["outlierCount"], &firmware["outliers"][0]["name"]), (&json!(1), &json!("host-3")));
    // Two against two: nobody is the odd one.
    assert_eq!((&rows[1]["usual"], &rows[1]["outlierCount"]), (&Value::Null, &json!(4)));
    let page = app.get("/api/inventory-drift?limit=1").await.expect(200);
    let next = page["next"].as_str().unwrap();
    let page = app.get(&format!("/api/inventory-drift?limit=1&after={next}")).await.expect(200);
    assert_eq!((&page["data"][0], page.get("next")), (&rows[1], None));
    let one = app.get("/api/inventory-drift?fact=os.kernel").await.expect(200);
    assert_eq!(one["data"].as_array().unwrap().len(), 1);
    app.get("/api/inventory-drift?fact=nonsense").await.error(400);
    app.get("/api/inventory-drift?by=zone").await.error(400);

    for n in 0..5 {
        let body = json!({"roles": ["storage", "compute"]}).to_string();
        app.call("admin", "PATCH", &format!("/api/hosts/host-{n}"), body).await.expect(200);
    }
    let roles = app.get("/api/inventory-drift?by=role").await.expect(200);
    assert_eq!(roles["data"].as_array().unwrap().len(), 1, "software alone: {roles}");
    assert_eq!((&roles["data"][0]["fact"], &roles["data"][0]["usual"]), (&json!("os.kernel"), &json!("6.0")));
}
