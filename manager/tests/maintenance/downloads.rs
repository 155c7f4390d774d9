//! Files of sessions: those that cannot be had, or are not what they must be, end a session before anybody is told of it
//! (spec/maintenance.md §5.5; §9, 18).

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use hostler_manager::download::Downloads;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::crew::{Crew, Nobody};

const CONTENT: &str = "firmware";

/// A server with a file `fw.bin`, its checksum beside it, and a file without one.
async fn mirror() -> String {
    let sum = || hex::encode(Sha256::digest(CONTENT));
    let routes = Router::new()
        .route("/fw.bin", get(async || CONTENT))
        .route("/fw.bin.sha256", get(async move || sum()))
        .route("/bare.bin", get(async || CONTENT));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    base
}

/// Two hosts, one of which has an instance of a project that listens, and somebody who fetches.
async fn crew() -> (Crew, Downloads, String) {
    let crew = Crew::new(2, "[maintenance]\ndownload_http = true\n").await;
    let (_, project) = crew.site.person("ann", "member").await;
    crew.instance("a1", &project, 0);
    crew.site.listen_for(&project).await;
    let downloads = Downloads::new(crew.site.api.engine.clone(), &crew.site.api.config);
    (crew, downloads, project)
}

#[tokio::test]
async fn spec_9_18_files_are_there_before_anybody_is_told() {
    let (mut crew, downloads, project) = crew().await;
    let base = mirror().await;
    let id =
        crew.session(json!({"download": [format!("{base}/fw.bin")], "maintenance_at": "2031-04-12 22:00:00"})).await;
    for _ in 0..3 {
        crew.step(&mut [Nobody]).await;
    }
    let detail = crew.detail(&id).await;
    assert_eq!(
        (&detail["phase"], &detail["downloads"][0]["state"]),
        (&json!("fetching"), &json!("PENDING")),
        "{detail}"
    );
    assert!(crew.told(&project).is_empty(), "{:?}", crew.notices);
    assert_eq!(downloads.fetch_wanted().await.unwrap(), 1);
    assert_eq!(downloads.fetch_wanted().await.unwrap(), 0);
    let file = crew.detail(&id).await["downloads"][0].clone();
    let sum = hex::encode(Sha256::digest(CONTENT));
    let want = json!({"remote_file": format!("{base}/fw.bin"), "local_file": "fw.bin", "sha256": sum,
                      "size": CONTENT.len(), "state": "VERIFIED", "details": null, "attempts": 1});
    assert_eq!(file, want);
    let path = format!("/v1/maintenance/{id}/steps?kind=download");
    let steps = crew.site.of("admin", "GET", &path, &Value::Null).await.is(200);
    assert_eq!(
        (&steps["steps"][0]["name"], &steps["steps"][0]["state"]),
        (&json!("fw.bin"), &json!("DONE")),
        "{steps}"
    );
    crew.news().await;
    assert_eq!(crew.told(&project), ["MAINTENANCE"]);
}

#[tokio::test]
async fn spec_9_18_a_wrong_checksum_ends_the_session_before_anybody_is_told() {
    let (mut crew, downloads, project) = crew().await;
    let base = mirror().await;
    let wrong = json!({"url": format!("{base}/fw.bin"), "sha256": "00".repeat(32)});
    let id = crew.session(json!({"download": [wrong]})).await;
    downloads.fetch_wanted().await.unwrap();
    assert_eq!(crew.finish(&id, &mut [Nobody]).await, "MAINTENANCE_FAILED");
    let detail = crew.detail(&id).await;
    assert_eq!(detail["reason"]["code"], "download.checksum", "{detail}");
    assert_eq!((&detail["downloads"][0]["state"], &detail["prev_state"]), (&json!("FAILED"), &json!("MAINTENANCE")));
    assert!(crew.told(&project).is_empty(), "{:?}", crew.notices);
    // Whoever lets it go on gets another attempt, and nobody is told either.
    crew.site.clock.advance(Duration::from_secs(1));
    let path = format!("/v1/maintenance/{id}");
    for body in [json!({}), json!({"state": "START_MAINTENANCE"})] {
        crew.site.of("admin", "PUT", &path, &body).await.is(200);
        assert_eq!(crew.detail(&id).await["phase"], "fetching");
        assert_eq!(downloads.fetch_wanted().await.unwrap(), 1);
        assert_eq!(crew.finish(&id, &mut [Nobody]).await, "MAINTENANCE_FAILED");
        crew.site.clock.advance(Duration::from_secs(1));
    }
    assert!(crew.told(&project).is_empty(), "{:?}", crew.notices);
    assert_eq!(crew.detail(&id).await["downloads"][0]["attempts"], 3);
}

#[tokio::test]
async fn spec_9_18_what_can_be_known_at_once_is_refused_at_once() {
    let (crew, _, _) = crew().await;
    let base = mirror().await;
    let post = async |entry: Value| {
        let body = json!({"maintenance_at": "2031-04-12 22:00:00", "download": [entry]});
        crew.site.of("admin", "POST", "/v1/maintenance", &body).await
    };
    let sum = "00".repeat(32);
    let url = format!("{base}/fw.bin");
    for entry in [
        json!(format!("{base}/bare.bin")),
        json!({"url": url}),
        json!({"url": url, "sha256": sum, "name": "../../etc/cron.d/x"}),
        json!({"url": url, "sha256": sum, "name": "/etc/x"}),
        json!({"url": url, "sha256": sum, "name": ".."}),
        json!({"url": url, "sha256": sum, "size": 1_u64 << 50}),
        json!({"url": url, "sha256": sum, "signature": "A".repeat(88)}),
        json!("file:///etc/shadow"),
        json!("https://user:secret@m.example/a"),
    ] {
        let body = post(entry.clone()).await.is(422);
        assert!(body["field"].as_str().unwrap().starts_with("download[0]"), "{entry}: {body}");
    }
    let strict = Crew::new(1, "").await;
    let body = json!({"maintenance_at": "2031-04-12 22:00:00", "download": [{"url": url, "sha256": sum}]});
    let text = strict.site.of("admin", "POST", "/v1/maintenance", &body).await.error(422);
    assert!(text.contains("plain HTTP"), "{text}");
    let listed = crew.site.of("admin", "GET", "/v1/maintenance", &Value::Null).await.is(200);
    assert_eq!(listed["sessions"], json!([]), "nothing is left behind");
}
