//! Settings of the cluster (spec/hooks.md §4.2).

use axum::body::Body;
use hostler_common::cluster::{ClusterState, FilesystemSettings, Settings};
use hostler_common::step::{FullRatios, RecoverySpeed};
use serde_json::{Value, json};

use crate::app::App;

async fn watched(filesystems: &[&str]) -> App {
    let app = App::start().await;
    let id = app.host("h1").await;
    let one = FilesystemSettings { max_mds: 1, allow_standby_replay: true };
    let settings = Settings {
        recovery_speed: Some(RecoverySpeed::Slow),
        full_ratios: FullRatios { nearfull: Some(8500), backfillfull: Some(9000), full: Some(9500) },
        min_compat_client: "luminous".into(),
        filesystems: filesystems.iter().map(|name| ((*name).to_owned(), one)).collect(),
    };
    let state = ClusterState { fsid: "f".into(), settings: Some(settings), ..ClusterState::default() };
    app.api.fleet.cluster_state(id, state).await.unwrap();
    app
}

#[tokio::test]
async fn spec_4_2_settings_are_read() {
    let app = watched(&["fs"]).await;
    for (path, wanted) in [
        ("recovery-speed", json!({"speed": "slow"})),
        ("osd-full-ratios", json!({"nearfullRatio": 0.85, "backfillfullRatio": 0.9, "fullRatio": 0.95})),
        ("max-mds", json!([{"filesystem": "fs", "maxMds": 1}])),
        ("allow-standby-replay", json!([{"filesystem": "fs", "allowStandbyReplay": true}])),
        ("min-compat-client", json!({"minCompatClient": "luminous"})),
    ] {
        let answer = app.call("reader", "GET", &format!("/api/maintenance/{path}"), Body::empty()).await;
        assert_eq!(answer.expect(200), wanted, "{path}");
        app.get(&format!("/api/maintenance/{path}?cluster=other")).await.error(404);
    }
    let nobody = App::start().await;
    nobody.get("/api/maintenance/recovery-speed").await.error(409);
}

async fn put(app: &App, method: &str, path: &str, body: Value) -> (u16, String) {
    let answer = app.call("admin", method, &format!("/api/maintenance/{path}"), body.to_string()).await;
    (answer.status, answer.text)
}

#[tokio::test]
async fn spec_4_2_changes_of_settings_are_checked_and_ordered() {
    let app = watched(&["fs"]).await;
    // The agent is not connected: each is a step, and fails for that.
    for (method, path, body) in [
        ("PUT", "recovery-speed", json!({"speed": "fast"})),
        ("PATCH", "osd-full-ratios", json!({"fullRatio": 0.96})),
        ("PUT", "max-mds", json!({"maxMds": 2})),
        ("PUT", "max-mds", json!({"maxMds": 2, "filesystem": "fs"})),
        ("PUT", "allow-standby-replay", json!({"allowStandbyReplay": false})),
        ("PUT", "min-compat-client", json!({"minCompatClient": "mimic"})),
        ("POST", "osd/3/scrub", json!({})),
        ("POST", "osd/3/deep-scrub", json!({})),
    ] {
        let (status, text) = put(&app, method, path, body).await;
        assert!(status == 409 && text.contains("not connected"), "{path}: {status} {text}");
    }
    let tasks = app.get("/api/tasks").await.expect(200);
    let names: Vec<&str> =
        tasks["data"].as_array().unwrap().iter().rev().map(|task| task["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "Set recovery speed fast on h1",
            "Set full ratios on h1",
            "Set max_mds of fs to 2 on h1",
            "Set max_mds of fs to 2 on h1",
            "Forbid standby-replay of fs on h1",
            "Require clients of mimic or newer on h1",
            "Scrub osd.3 on h1",
            "Deep-scrub osd.3 on h1",
        ]
    );
    for (method, path, body) in [
        ("PUT", "recovery-speed", json!({"speed": "warp"})),
        ("PATCH", "osd-full-ratios", json!({})),
        ("PATCH", "osd-full-ratios", json!({"fullRatio": 1.5})),
        ("PUT", "max-mds", json!({"maxMds": 0})),
        ("PUT", "max-mds", json!({"maxMds": 2, "filesystem": "other"})),
        ("PUT", "min-compat-client", json!({"minCompatClient": "--force"})),
    ] {
        let (status, text) = put(&app, method, path, body).await;
        assert_eq!(status, 400, "{path}: {text}");
    }
    assert_eq!(put(&app, "POST", "osd/3/repair", json!({})).await.0, 404);
    assert_eq!(put(&app, "POST", "osd/x/scrub", json!({})).await.0, 404);
    let several = watched(&["a", "b"]).await;
    let (status, text) = put(&several, "PUT", "max-mds", json!({"maxMds": 2})).await;
    assert!(status == 400 && text.contains("several file systems"), "{status} {text}");
}
