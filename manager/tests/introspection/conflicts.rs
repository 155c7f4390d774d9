//! Point 6: the conflict matrix, double starts, aborts, repeated requests. Point 10: no power.

use std::time::Duration;

use hostler_common::job::Work;
use hostler_manager::store::task::{TaskFilter, task_list};

use super::fixture::{World, document};

const STATES: [&str; 7] = ["starting", "waiting", "processing", "reapplying", "aborting", "finished", "error"];

fn no_transition(state: &str) -> (u16, String) {
    (400, format!("Can not transition from state '{state}' on event 'start' (no defined transition)"))
}

#[tokio::test]
async fn spec_8_6_conflict_matrix() {
    for state in STATES {
        for action in ["start", "abort", "reapply"] {
            let world = World::new().await;
            let host = world.host("a").await;
            world.bring_to(host, state).await;
            world.clock.advance(Duration::from_secs(31));
            let path = format!("/v1/introspection/{host}");
            let path = match action {
                "start" => path,
                "abort" => path + "/abort",
                _ => path + "/data/unprocessed",
            };
            let body = if action == "reapply" { document("52:54:00:aa:00:02").to_string() } else { String::new() };
            let answer = world.post(&path, &body).await;
            let locked = (409, "Node locked, please, try again later".to_owned());
            let want = match (action, state) {
                ("start", "waiting" | "finished" | "error") | ("abort", _) => None,
                ("start", _) => Some(no_transition(state)),
                (_, "waiting" | "finished" | "error") => None,
                _ => Some(locked),
            };
            match want {
                None => {
                    assert_eq!(answer.status, 202, "{action} in {state}: {:?}", answer.body);
                    assert_eq!(answer.body.as_ref(), b"{}\n");
                }
                Some(refusal) => assert_eq!(answer.refusal(), refusal, "{action} in {state}"),
            }
        }
    }
}

#[tokio::test]
async fn spec_8_6_a_double_start_within_the_window_dispatches_one_probe() {
    let world = World::new().await;
    let host = world.host("a").await;
    let path = format!("/v1/introspection/{host}");
    // What clients send: nothing, the spellings of two libraries, and a body that does not count.
    for (query, body) in
        [("", ""), ("?manage_boot=0", ""), ("?manage_boot=False", r#"{"uuid": "a"}"#), ("?manage_boot=no", "x")]
    {
        assert_eq!(world.post(&format!("{path}{query}"), body).await.status, 202, "{query}");
        world.run_due().await;
        world.clock.advance(Duration::from_secs(7));
    }
    let first = world.get(&path).await.json();
    assert_eq!(world.jobs(host).await.len(), 1);
    world.clock.advance(Duration::from_secs(10));
    assert_eq!(world.post(&path, "").await.status, 202);
    world.run_due().await;
    assert_ne!(world.get(&path).await.json()["started_at"], first["started_at"]);
    let jobs = world.jobs(host).await;
    assert_eq!(jobs.iter().map(|(_, cancelled)| *cancelled).collect::<Vec<_>>(), [true, false]);
}

#[tokio::test]
async fn spec_8_6_abort_while_processing_ends_in_error() {
    for state in ["starting", "waiting", "processing", "reapplying"] {
        let world = World::new().await;
        let host = world.host("a").await;
        world.bring_to(host, state).await;
        assert_eq!(world.post("/v1/introspection/a/abort/", "").await.status, 202);
        world.run_due().await;
        let status = world.get("/v1/introspection/a").await.json();
        assert_eq!((status["state"].as_str(), status["error"].as_str()), (Some("error"), Some("Canceled by operator")));
        assert_eq!(status["finished"], true);
        assert!(world.jobs(host).await.iter().all(|(_, cancelled)| *cancelled), "{state}");
    }
}

#[tokio::test]
async fn spec_8_5_a_run_times_out_with_the_text_of_the_dialect_and_starts_again() {
    let world = World::new().await;
    let host = world.host("a").await;
    world.bring_to(host, "error").await;
    let status = world.get("/v1/introspection/a").await.json();
    assert_eq!(status["error"], "Introspection timeout");
    assert_eq!(status["started_at"], "2026-01-02T03:04:05.678901");
    assert_eq!(status["finished_at"], "2026-01-02T03:14:06.678901");
    assert_eq!(status["links"][0]["href"], format!("http://manager.example:5050/v1/introspection/{host}"));
    let mut keys: Vec<_> = status.as_object().unwrap().keys().cloned().collect();
    keys.sort();
    assert_eq!(keys, ["error", "finished", "finished_at", "links", "started_at", "state", "uuid"]);
    assert_eq!(world.post("/v1/introspection/a", "").await.status, 202);
    let status = world.get("/v1/introspection/a").await.json();
    assert_eq!((&status["error"], &status["finished_at"]), (&serde_json::Value::Null, &serde_json::Value::Null));
}

#[tokio::test]
async fn spec_8_6_a_repeated_request_with_its_key_is_done_once() {
    let world = World::new().await;
    let host = world.host("a").await;
    let key = [("Idempotency-Key", "k1")];
    let path = "/v1/introspection/a";
    assert_eq!(world.call("POST", path, &key, "").await.status, 202);
    let spec = {
        world.run_due().await;
        world.jobs(host).await[0].0.clone()
    };
    world.report(&spec, &document("52:54:00:aa:00:01")).await;
    world.run_due().await;
    assert_eq!(world.state(host).await, "finished");
    // Long after the window of double starts the key still tells that this is the same request.
    world.clock.advance(Duration::from_secs(3600));
    assert_eq!(world.call("POST", path, &key, "").await.status, 202);
    assert_eq!(world.state(host).await, "finished");
    let other = world.call("POST", "/v1/introspection/a/abort", &key, "").await.refusal();
    assert_eq!(other, (422, "The Idempotency-Key was used for another request".to_owned()));
    assert_eq!(world.call("POST", path, &[("Idempotency-Key", "")], "").await.refusal().0, 400);
    let tasks = {
        let mut connection = world.api.engine.store.read().await.unwrap();
        task_list(&mut connection, &TaskFilter::default(), 10).await.unwrap().len()
    };
    assert_eq!(tasks, 1);
    world.clock.advance(Duration::from_secs(24 * 3600));
    assert_eq!(world.call("POST", path, &key, "").await.status, 202);
    assert_eq!(world.state(host).await, "starting");
}

#[tokio::test]
async fn spec_8_6_a_failed_request_does_not_use_up_its_key() {
    let world = World::new().await;
    let key = [("Idempotency-Key", "k1")];
    assert_eq!(world.call("POST", "/v1/introspection/a", &key, "").await.status, 404);
    world.host("a").await;
    assert_eq!(world.call("POST", "/v1/introspection/a", &key, "").await.status, 202);
}

#[tokio::test]
async fn spec_8_6_concurrent_requests_with_one_key_are_done_once() {
    let world = World::new().await;
    let rule = r#"{"actions": [{"action": "fail", "message": "x"}]}"#;
    let key = [("Idempotency-Key", "same")];
    let calls = (0..16).map(|_| world.call("POST", "/v1/rules", &key, rule));
    let answers = futures::future::join_all(calls).await;
    assert!(answers.iter().all(|answer| matches!(answer.status.as_u16(), 201 | 409)));
    assert_eq!(world.get("/v1/rules").await.json()["rules"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn spec_8_10_managed_boot_is_refused_and_no_job_does_anything_but_read() {
    let world = World::new().await;
    let host = world.host("a").await;
    let path = "/v1/introspection/a";
    let text = "Managed boot is requested, but this installation cannot manage boot ((can_manage_boot set to False)";
    for spelling in ["1", "t", "true", "True", "on", "y", "YES", "%20yes%20"] {
        let answer = world.post(&format!("{path}?manage_boot={spelling}"), "").await;
        assert_eq!(answer.refusal(), (400, text.to_owned()), "{spelling}");
    }
    for (spelling, shown) in [("", ""), ("2", "2"), ("maybe", "maybe"), ("nein+", "nein ")] {
        let answer = world.post(&format!("{path}?manage_boot={spelling}"), "").await;
        assert_eq!(answer.refusal(), (400, format!("Invalid boolean value for manage_boot: {shown}")));
    }
    // The first value counts.
    assert_eq!(world.post(&format!("{path}?manage_boot=0&manage_boot=1"), "").await.status, 202);
    for state in ["waiting", "aborting", "finished", "error", "reapplying"] {
        let world = World::new().await;
        let host = world.host("a").await;
        world.bring_to(host, state).await;
        world.run_due().await;
        for (spec, _) in world.jobs(host).await {
            assert!(matches!(spec.work, Work::Introspect { .. }));
        }
    }
    assert!(world.jobs(host).await.is_empty());
}
