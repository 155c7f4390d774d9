//! Point 8: the stored documents.

use std::io::Read as _;

use axum::body::Body;
use http::Request;
use serde_json::json;

use super::fixture::{World, document};

const MAC: &str = "52:54:00:aa:00:01";

#[tokio::test]
async fn spec_8_8_documents_come_as_stored_and_without_logs() {
    let world = World::new().await;
    let host = world.host("a").await;
    for (path, processed) in [("data", "True"), ("data/unprocessed", "False")] {
        let answer = world.get(&format!("/v1/introspection/a/{path}")).await;
        let text = format!("Introspection data not found for node {host}, processed={processed}");
        assert_eq!(answer.refusal(), (404, text));
    }
    world.introspect(host, &document(MAC)).await;
    let raw = world.get("/v1/introspection/a/data/unprocessed").await;
    let mut want = document(MAC);
    want.as_object_mut().unwrap().shift_remove("logs");
    assert_eq!(raw.body, want.to_string(), "in the order in which it came");
    assert_eq!(raw.header("content-type"), Some("application/json"));
    let processed = world.get("/v1/introspection/a/data").await.json();
    assert_eq!(processed["all_interfaces"]["eth0"]["mac"], MAC);
    assert!(processed.get("logs").is_none());
}

#[tokio::test]
async fn spec_8_8_etag_and_gzip() {
    let world = World::new().await;
    let host = world.host("a").await;
    let mut large = document(MAC);
    large["filler"] = json!("x".repeat(100_000));
    world.introspect(host, &large).await;
    let path = "/v1/introspection/a/data/unprocessed";
    let plain = world.get(path).await;
    let etag = plain.header("etag").unwrap().to_owned();
    assert!(etag.starts_with('"') && etag.ends_with('"'));
    for matching in [etag.as_str(), "*", &format!("\"other\", W/{etag}")] {
        let answer = world.call("GET", path, &[("If-None-Match", matching)], "").await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (304, 0), "{matching}");
        assert_eq!(answer.header("etag"), Some(etag.as_str()));
    }
    assert_eq!(world.call("GET", path, &[("If-None-Match", "\"other\"")], "").await.status, 200);
    let packed = world.call("GET", path, &[("Accept-Encoding", "br, gzip;q=0.5")], "").await;
    assert_eq!((packed.header("content-encoding"), packed.header("vary")), (Some("gzip"), Some("Accept-Encoding")));
    assert!(packed.body.len() < plain.body.len() / 10);
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed.body.as_ref()).read_to_string(&mut text).unwrap();
    assert_eq!(text, plain.body);
    let packed_tag = packed.header("etag").unwrap().to_owned();
    assert_ne!(packed_tag, etag);
    let headers = [("Accept-Encoding", "gzip"), ("If-None-Match", packed_tag.as_str())];
    assert_eq!(world.call("GET", path, &headers, "").await.status, 304);
    for refusing in ["gzip;q=0", "identity", "*;q=0"] {
        let answer = world.call("GET", path, &[("Accept-Encoding", refusing)], "").await;
        assert_eq!(answer.header("content-encoding"), None, "{refusing}");
    }
}

#[tokio::test]
async fn spec_8_8_the_old_document_is_served_during_a_new_run() {
    let world = World::new().await;
    let host = world.host("a").await;
    world.introspect(host, &document(MAC)).await;
    let before = world.get("/v1/introspection/a/data").await.body;
    let spec = world.wait_for_probe(host).await;
    assert_eq!(world.get("/v1/introspection/a/data").await.body, before);
    world.report(&spec, &document("52:54:00:aa:00:02")).await;
    assert_eq!(world.get("/v1/introspection/a/data").await.body, before, "hooks have not run yet");
    world.run_due().await;
    assert_ne!(world.get("/v1/introspection/a/data").await.body, before);
}

#[tokio::test]
async fn spec_8_8_a_reapply_that_is_refused_leaves_the_store_unchanged() {
    let world = World::new().await;
    let host = world.host("a").await;
    world.introspect(host, &document(MAC)).await;
    let spec = world.wait_for_probe(host).await;
    world.report(&spec, &document(MAC)).await;
    let before = world.get("/v1/introspection/a/data/unprocessed").await.body;
    let other = document("52:54:00:aa:00:02").to_string();
    let answer = world.post("/v1/introspection/a/data/unprocessed", &other).await;
    assert_eq!(answer.refusal(), (409, "Node locked, please, try again later".to_owned()));
    assert_eq!(world.get("/v1/introspection/a/data/unprocessed").await.body, before);
    let never = world.host("b").await;
    assert_eq!(world.post("/v1/introspection/b/data/unprocessed", &other).await.status, 404);
    assert_eq!(world.get(&format!("/v1/introspection/{never}/data/unprocessed")).await.status, 404);
}

#[tokio::test]
async fn spec_8_8_reapply_with_and_without_data() {
    let world = World::new().await;
    let host = world.host("a").await;
    world.introspect(host, &document(MAC)).await;
    let path = "/v1/introspection/a/data/unprocessed";
    let stored = world.get(path).await.body;
    // A rule that did not exist at the first run takes part now.
    let rule = r#"{"actions": [{"action": "set-attribute", "path": "/extra/again", "value": "yes"}]}"#;
    assert_eq!(world.post("/v1/rules", rule).await.status, 201);
    for body in ["", "{}", " {} "] {
        assert_eq!(world.post(path, body).await.status, 202);
        assert_eq!(world.state(host).await, "reapplying");
        world.run_due().await;
        assert_eq!(world.state(host).await, "finished");
        assert_eq!(world.get(path).await.body, stored);
    }
    let node = {
        let mut connection = world.api.engine.store.read().await.unwrap();
        hostler_manager::store::host::host_fetch(&mut connection, host).await.unwrap().node
    };
    assert_eq!(node.extra["again"], "yes");
    // Without a length, as a chunked body has none.
    let chunks = [
        "{\"inventory\"",
        ": {\"interfaces\": [{\"name\": \"e\", \"mac_address\": \"52:54:00:aa:00:09\", \"ipv4_address\": \"192.0.2.9\"}]}}",
    ];
    let body = Body::from_stream(futures::stream::iter(chunks.map(Ok::<_, std::io::Error>)));
    let request = Request::post(path).body(body).unwrap();
    assert_eq!(world.send(request).await.status, 202);
    world.run_due().await;
    assert_eq!(world.get("/v1/introspection/a/data").await.json()["all_interfaces"]["e"]["mac"], "52:54:00:aa:00:09");
    // What the hooks refuse is an error of the run, and the processed document stays.
    let processed = world.get("/v1/introspection/a/data").await.body;
    assert_eq!(world.post(path, r#"{"inventory": {}}"#).await.status, 202);
    world.run_due().await;
    let error = world.get("/v1/introspection/a").await.json()["error"].as_str().unwrap().to_owned();
    assert!(
        error.starts_with("Pre-processing failures detected reapplying introspection on stored data:\n"),
        "{error}"
    );
    assert_eq!(world.get("/v1/introspection/a/data").await.body, processed);
}
