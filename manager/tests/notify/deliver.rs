//! Whole sessions whose projects hear of them by webhook (spec/maintenance.md §9, 6, 15, 16).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hostler_common::time::Timestamp;
use hostler_core::event::Recorded;
use hostler_manager::webhook::secret::{brought, signatures};
use serde_json::{Value, json};

use super::receiver::{Got, Receiver, Reply};
use super::stage::{BASE, Stage};
use super::tacker;

const SECRET: &str = "a secret of the project's own";

/// A moment as events write it.
fn moment(value: &Value) -> Timestamp {
    let text = value.as_str().unwrap();
    assert!(text.len() == 19 && text.as_bytes()[10] == b' ', "{text}");
    format!("{}Z", text.replace(' ', "T")).parse().unwrap()
}

/// That every event says what §4 says, and when it does.
fn check(told: &[Recorded], hosts: usize) {
    let mut percent = 0;
    let mut of_hosts: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for event in told {
        let data = &event.data;
        assert_eq!(data["service"], "fenix", "{event:?}");
        let state = data["state"].as_str().unwrap();
        match event.kind.as_str() {
            "maintenance.scheduled" if state == "INSTANCE_ACTION_DONE" => {
                assert_eq!((&data["reply_at"], &data["actions_at"]), (&Value::Null, &Value::Null));
                assert_eq!(data["instance_ids"].as_array().unwrap().len(), 1);
            }
            "maintenance.scheduled" => {
                assert!(moment(&data["reply_at"]) > event.at, "{event:?}");
                assert!(
                    moment(&data["actions_at"]) >= moment(&data["reply_at"]) || state == "MAINTENANCE",
                    "{event:?}"
                );
                assert!(data["metadata"].is_object() && data["allowed_actions"].is_array());
            }
            "maintenance.host" => of_hosts.entry(data["host"].as_str().unwrap()).or_default().push(state),
            "maintenance.session" => {
                let now = data["percent_done"].as_u64().unwrap();
                assert!(now >= percent, "{event:?}");
                assert_eq!(now == 100, state == "MAINTENANCE_DONE", "{event:?}");
                percent = now;
            }
            other => panic!("{other}: {event:?}"),
        }
    }
    assert_eq!((percent, of_hosts.len()), (100, hosts), "{of_hosts:?}");
    for (host, states) in of_hosts {
        assert_eq!(states, ["IN_MAINTENANCE", "MAINTENANCE_COMPLETE"], "{host}");
    }
}

/// Signed as Standard Webhooks says, for whoever knows the secret.
fn check_signature(got: &Got) {
    let at: i64 = got.header("webhook-timestamp").parse().unwrap();
    let want = signatures(&[brought(SECRET).unwrap()], got.header("webhook-id"), at, &got.body).unwrap();
    assert_eq!(got.header("webhook-signature"), want);
}

/// Runs a session to its end; the requests that the receiver took, each event once, in the order of their arrival.
async fn through(workflow: &str, receiver: &Receiver, taken: impl Fn(usize) -> bool) -> (Stage, Vec<Got>) {
    let stage = Stage::open(3).await;
    for (n, place) in [0, 0, 1].into_iter().enumerate() {
        let id = format!("3f7a2b60-5c11-4e0b-9d55-{n:012}");
        stage.instance(&id, "tenant", place);
        let constraint = json!({"project_id": "tenant", "lead_time": 5, "migration_type": "MIGRATE"});
        stage.put(&format!("/v1/instance/{id}"), &constraint).await.is(200);
    }
    let body = json!({
        "url": receiver.url(), "format": "aodh", "project_id": "tenant", "secret": SECRET,
        "event_types": ["maintenance.planned"],
    });
    let made = stage.subscribe("admin", &body).await;
    assert!(made.get("secret").is_none(), "who brought it knows it");
    assert_eq!(made["event_types"], json!(["maintenance.scheduled"]));
    let id = stage.session(&json!({"workflow": workflow})).await;
    let (mut seen, mut known) = (0, Vec::new());
    let state = stage
        .finish(&id, async || {
            let got = receiver.got();
            for (n, one) in got.iter().enumerate().skip(seen).filter(|(n, _)| taken(*n)) {
                assert!(n >= seen);
                check_signature(one);
                if workflow == "vnf" {
                    tacker::answer(&stage, one).await;
                } else {
                    bulk(&stage, one).await;
                }
                known.push(one.clone());
            }
            seen = got.len();
        })
        .await;
    assert_eq!(state, "MAINTENANCE_DONE");
    (stage, known)
}

/// Answers as the sample manager of upstream does: for all instances at once.
async fn bulk(stage: &Stage, got: &Got) {
    let data = tacker_free(&got.json());
    let state = data["state"].as_str().unwrap();
    if state == "INSTANCE_ACTION_DONE" {
        return;
    }
    let path = |url: &Value| url.as_str().unwrap().strip_prefix(BASE).unwrap().to_owned();
    let listed = stage.get(&path(&data["instance_ids"])).await.is(200);
    let mut body = json!({"session_id": data["session_id"], "state": format!("ACK_{state}")});
    if state.ends_with("_MAINTENANCE") {
        let ids = listed["instance_ids"].as_array().unwrap();
        body["instance_actions"] = ids.iter().map(|id| (id.as_str().unwrap().to_owned(), json!("MIGRATE"))).collect();
    }
    stage.put(&path(&data["reply_url"]), &body).await.is(200);
}

/// Traits by their names.
fn tacker_free(body: &Value) -> BTreeMap<String, Value> {
    let all = body["reason_data"]["event"]["traits"].as_array().unwrap();
    all.iter().map(|one| (one[0].as_str().unwrap().to_owned(), one[2].clone())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spec_9_06_a_session_is_conducted_by_alarms() {
    let receiver = Receiver::new().await;
    let (stage, known) = through("vnf", &receiver, |_| true).await;
    let states: BTreeSet<String> =
        known.iter().map(|got| tacker::read(&got.json())["state"].as_str().unwrap().to_owned()).collect();
    for state in ["MAINTENANCE", "PLANNED_MAINTENANCE", "INSTANCE_ACTION_DONE", "MAINTENANCE_COMPLETE"] {
        assert!(states.contains(state), "{state}: {states:?}");
    }
    for got in &known {
        let metadata = &tacker::read(&got.json())["metadata"];
        assert!(*metadata == json!({"kernel": "6.12"}) || *metadata == json!({}), "{metadata}");
    }
    check(&stage.told().await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spec_9_15_events_of_a_whole_session_say_what_they_must() {
    let receiver = Receiver::new().await;
    let (stage, known) = through("default", &receiver, |_| true).await;
    check(&stage.told().await, 3);
    let told = stage.told().await;
    let scheduled: Vec<i64> =
        told.iter().filter(|event| event.kind == "maintenance.scheduled").map(|event| event.number.0).collect();
    let arrived: Vec<i64> = known.iter().map(Got::id).collect();
    assert_eq!(arrived, scheduled, "each arrives once, in order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spec_9_16_what_is_refused_comes_again_in_its_order() {
    // Every third attempt fails.
    let fails = |n: usize| n % 3 == 1;
    let receiver = Receiver::with(move |n, _| Reply::status(if fails(n) { 503 } else { 200 })).await;
    let (stage, known) = through("default", &receiver, move |n| !fails(n)).await;
    let got = receiver.got();
    let all: Vec<i64> = got.iter().map(Got::id).collect();
    assert!(all.windows(2).all(|pair| pair[0] <= pair[1]), "{all:?}");
    for pair in got.windows(2).filter(|pair| pair[0].id() == pair[1].id()) {
        assert_eq!(pair[0].body, pair[1].body, "the same event, byte for byte");
        assert!(pair[0].header("webhook-timestamp") <= pair[1].header("webhook-timestamp"));
    }
    let scheduled = stage.told().await;
    let scheduled = scheduled.iter().filter(|event| event.kind == "maintenance.scheduled").count();
    let distinct: BTreeSet<i64> = all.iter().copied().collect();
    assert_eq!((distinct.len(), known.len()), (scheduled, scheduled), "none is lost, and none is taken twice");
    assert!(all.len() > scheduled, "some came again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_host_is_told_and_back_when_it_is_left_out() {
    let mut stage = Stage::open(2).await;
    stage.failing.insert(stage.hosts[0]);
    let receiver = Receiver::new().await;
    let body =
        json!({"url": receiver.url(), "format": "plain", "event_types": ["maintenance.host", "maintenance.session"]});
    stage.subscribe("admin", &body).await;
    let id = stage.session(&json!({})).await;
    assert_eq!(stage.finish(&id, async || ()).await, "MAINTENANCE_FAILED");
    let failed = receiver.got().last().unwrap().json();
    assert_eq!(failed["payload"]["state"], "MAINTENANCE_FAILED", "{failed}");
    let bodies = || receiver.got().iter().map(Got::json).collect::<Vec<Value>>();
    let session = |body: &&Value| body["event_type"] == "maintenance.session";
    let last = bodies().iter().rfind(session).cloned().unwrap();
    assert!(last["payload"]["reason"]["text"].is_string() && last["payload"]["percent_done"] != 100, "{last}");
    stage
        .put(&format!("/v1/maintenance/{id}"), &json!({"skip_hosts": ["kvm-a01"], "state": "START_MAINTENANCE"}))
        .await;
    assert_eq!(stage.finish(&id, async || ()).await, "MAINTENANCE_DONE");
    let of = |host: &str| -> Vec<String> {
        let mine = |body: &&Value| body["event_type"] == "maintenance.host" && body["payload"]["host"] == host;
        bodies().iter().filter(mine).map(|body| body["payload"]["state"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(of("kvm-a01"), ["IN_MAINTENANCE", "MAINTENANCE_FAILED", "MAINTENANCE_COMPLETE"]);
    assert_eq!(of("kvm-a02"), ["IN_MAINTENANCE", "MAINTENANCE_COMPLETE"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_fails_for_a_day_is_given_up_and_nobody_listens() {
    let stage = Stage::open(1).await;
    stage.instance("i", "tenant", 0);
    let receiver = Receiver::with(|_, _| Reply::status(500)).await;
    let body = json!({"url": receiver.url(), "project_id": "tenant"});
    let made = stage.subscribe("admin", &body).await;
    assert!(made["secret"].as_str().unwrap().starts_with("whsec_"));
    let path = format!("/v1/subscription/{}", made["id"].as_str().unwrap());
    let id = stage.session(&json!({})).await;
    let detail = stage.get(&format!("/v1/maintenance/{id}/detail")).await.is(200);
    let mut subscribed = detail["projects"][0]["subscribed"].clone();
    let mut shown = Value::Null;
    for _ in 0..60 {
        stage.work().await;
        stage.settle().await;
        if subscribed == Value::Null {
            let detail = stage.get(&format!("/v1/maintenance/{id}/detail")).await.is(200);
            subscribed = detail["projects"][0]["subscribed"].clone();
        }
        shown = stage.get(&path).await.is(200);
        if shown["state"] == "exhausted" {
            break;
        }
        stage.clock.advance(Duration::from_secs(3600));
    }
    assert_eq!(subscribed, true);
    assert_eq!(shown["state"], "exhausted", "{shown}");
    assert!(receiver.got().len() >= 9, "{}", receiver.got().len());
    let letters = shown["dead_letters"].as_array().unwrap();
    assert!(letters.iter().all(|letter| letter["attempts"] == 9 && letter["status"] == 500), "{letters:?}");
    let session = id.parse().map(hostler_common::id::SessionId).unwrap();
    let mut connection = stage.api.engine.store.read().await.unwrap();
    let now = hostler_common::time::Clock::now(&*stage.clock);
    let listened = hostler_manager::store::maintenance::listened(&mut connection, session, now).await.unwrap();
    assert!(listened.is_empty(), "{listened:?}");
}
