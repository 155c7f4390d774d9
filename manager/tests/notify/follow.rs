//! Whole sessions whose projects follow the stream of events (spec/maintenance.md §9, 16).

use std::collections::BTreeSet;
use std::net::SocketAddr;

use hostler_manager::api::server::{Limits, Service, serve_connections};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::lab::LONG;
use super::site::Site;
use super::stage::{BASE, Stage};

/// One message of a stream.
#[derive(Clone, Debug)]
struct Message {
    id: i64,
    event: String,
    data: Value,
}

/// A client that follows over a socket of its own.
struct Client {
    response: reqwest::Response,
    text: String,
    /// The last id that it was told.
    last: i64,
}

/// Serves the dialect on a port of its own until `stop`.
async fn serve(stage: &Stage, stop: &CancellationToken) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = Service::new(stage.router.clone(), Limits::default());
    tokio::spawn(serve_connections(service, listener, None, stop.clone()));
    address
}

impl Client {
    async fn open(address: SocketAddr, token: &str, query: &str, last: Option<i64>) -> Self {
        rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        let mut request = client.get(format!("http://{address}/v1/events?{query}")).header("X-Auth-Token", token);
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last.to_string());
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut client = Self { response, text: String::new(), last: last.unwrap_or(0) };
        assert!(client.block().await.contains("retry: "));
        client
    }

    /// Everything up to the next empty line.
    async fn block(&mut self) -> String {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                if let Some(id) = block.lines().find_map(|line| line.strip_prefix("id: ")) {
                    self.last = id.parse().unwrap();
                }
                return block;
            }
            let chunk = tokio::time::timeout(LONG, self.response.chunk()).await.expect("nothing comes").unwrap();
            self.text.push_str(std::str::from_utf8(&chunk.expect("the stream ended")).unwrap());
        }
    }

    async fn next(&mut self) -> Message {
        loop {
            let block = self.block().await;
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned));
            if let Some(data) = field("data: ") {
                let data = serde_json::from_str(&data).unwrap();
                return Message { id: self.last, event: field("event: ").unwrap(), data };
            }
        }
    }
}

/// Answers every question to a project that was recorded and not answered.
async fn answer(stage: &Stage, token: &str, project: &str, answered: &mut BTreeSet<i64>) {
    for event in stage.told().await {
        let state = event.data["state"].as_str().unwrap_or_default().to_owned();
        let asked = event.data["project_id"] == project && state != "INSTANCE_ACTION_DONE";
        if event.kind != "maintenance.scheduled" || !asked || !answered.insert(event.number.0) {
            continue;
        }
        let path = event.data["reply_url"].as_str().unwrap();
        let mut body = json!({"state": format!("ACK_{state}")});
        if state.ends_with("_MAINTENANCE") {
            let listed = stage.of(token, "GET", path, &Value::Null).await.is(200);
            let ids = listed["instance_ids"].as_array().unwrap().clone();
            body["instance_actions"] =
                ids.iter().map(|id| (id.as_str().unwrap().to_owned(), json!("MIGRATE"))).collect();
        }
        stage.of(token, "PUT", path, &body).await.is(200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spec_9_16_a_stream_is_resumed_without_loss_or_repetition() {
    let stage = Stage::open(3).await;
    let stop = CancellationToken::new();
    let address = serve(&stage, &stop).await;
    let mut client = Client::open(address, "admin", "after=0", None).await;
    let id = stage.session(&json!({})).await;
    let mut seen: Vec<Message> = Vec::new();
    let state = stage
        .finish(&id, async || {
            let told = stage.told().await.len();
            while seen.len() < told {
                seen.push(client.next().await);
                if seen.len().is_multiple_of(3) {
                    // The connection is lost; what happens meanwhile is made good.
                    client = Client::open(address, "admin", "after=0", Some(client.last)).await;
                }
            }
        })
        .await;
    assert_eq!(state, "MAINTENANCE_DONE");
    let told = stage.told().await;
    while seen.len() < told.len() {
        seen.push(client.next().await);
    }
    let (ids, want): (Vec<i64>, Vec<i64>) =
        (seen.iter().map(|message| message.id).collect(), told.iter().map(|event| event.number.0).collect());
    assert_eq!(ids, want);
    for message in &seen {
        let event = &message.data;
        assert_eq!((&event["id"], &event["type"]), (&json!(message.id.to_string()), &json!(message.event)));
        assert_eq!(event["source"], format!("/v1/maintenance/{id}"));
        assert_eq!(event["specversion"], "1.0");
    }
    let last = &seen.last().unwrap().data;
    assert_eq!((&last["data"]["state"], &last["data"]["percent_done"]), (&json!("MAINTENANCE_DONE"), &json!(100)));
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_follows_counts_as_listening_and_hears_their_own() {
    let stage = Stage::with(&Site::guarded_settings(), 2).await;
    let ((ann, anns), (bob, bobs)) = (stage.person("ann", "member").await, stage.person("bob", "member").await);
    stage.instance("i-ann", &anns, 0);
    stage.instance("i-bob", &bobs, 1);
    let stop = CancellationToken::new();
    let address = serve(&stage, &stop).await;
    let mut client = Client::open(address, &ann, "", None).await;
    let _other = Client::open(address, &bob, "type=maintenance.*", None).await;
    let id = stage.session(&json!({})).await;
    let (mut of_ann, mut of_bob) = (BTreeSet::new(), BTreeSet::new());
    let state = stage
        .finish(&id, async || {
            answer(&stage, &ann, &anns, &mut of_ann).await;
            answer(&stage, &bob, &bobs, &mut of_bob).await;
        })
        .await;
    assert_eq!(state, "MAINTENANCE_DONE");
    let told = stage.told().await;
    let own: Vec<i64> =
        told.iter().filter(|event| event.data["project_id"] == anns.as_str()).map(|event| event.number.0).collect();
    assert!(own.len() >= 3, "{own:?}");
    for number in own {
        let message = client.next().await;
        assert_eq!((message.id, message.event.as_str()), (number, "maintenance.scheduled"));
        let data = &message.data["data"];
        assert_eq!(data["project_id"], anns.as_str());
        assert!(data["reply_url"].as_str().unwrap().starts_with(BASE), "{data}");
        assert!(data.get("request_id").is_none() && data.get("from").is_none(), "{data}");
    }
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_know_their_parameters() {
    let stage = Stage::with(&Site::guarded_settings(), 1).await;
    let (ann, anns) = stage.person("ann", "member").await;
    for wrong in ["after=x", "after=-1", "type=host.enrolled", "type=maintenance.other", "session=x"] {
        stage.of("admin", "GET", &format!("/v1/events?{wrong}"), &Value::Null).await.error(422);
    }
    stage.get("/v1/events").await.error(401);
    stage.of(&ann, "GET", "/v1/events?project_id=other", &Value::Null).await.error(403);
    let head = stage.of(&ann, "HEAD", &format!("/v1/events?project_id={anns}"), &Value::Null).await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    assert_eq!(head.headers["content-type"], "text/event-stream");
    stage.of("admin", "POST", "/v1/events", &json!({})).await.error(405);
}
