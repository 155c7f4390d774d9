//! The manager of the tests behind the introspection dialect.

use std::net::SocketAddr;
use std::ops::Deref;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use hostler_common::id::HostId;
use hostler_common::job::JobSpec;
use hostler_manager::api::introspection;
use hostler_manager::api::peer::Peer;
use http::{HeaderMap, Method, Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt as _;

pub use super::support::START;
use super::support::{Manager, tokens, whole};

/// The manager and its routes.
pub struct World {
    manager: Manager,
    pub router: Router,
}

impl Deref for World {
    type Target = Manager;

    fn deref(&self) -> &Manager {
        &self.manager
    }
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    /// The text of an error, after a check that the body has the one shape that errors have.
    pub fn error(&self) -> String {
        let body = self.json();
        let text = body["error"]["message"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned();
        assert_eq!(body, json!({ "error": { "message": text } }));
        assert_eq!(self.headers["content-type"], "application/json");
        text
    }

    /// Status and text of an error.
    pub fn refusal(&self) -> (u16, String) {
        (self.status.as_u16(), self.error())
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

impl World {
    /// A manager that asks for no proof of identity.
    pub async fn new() -> Self {
        Self::with("[auth]\nstrategy = \"none\"\n").await
    }

    /// A manager that knows the tokens `admin`, `service` and `reader`, each of a caller with the role of that name.
    pub async fn with_tokens() -> Self {
        Self::with(&format!("[auth]\nstrategy = \"token\"\n{}", tokens(&["admin", "service", "reader"]))).await
    }

    /// A manager with these settings.
    pub async fn with(settings: &str) -> Self {
        let manager = Manager::new(settings).await;
        let router = introspection::routes(manager.api.clone());
        Self { manager, router }
    }

    /// A new host.
    pub async fn host(&self, name: &str) -> HostId {
        self.host_with(name, &["storage"]).await
    }

    /// Sends a request.
    pub async fn send(&self, request: Request<Body>) -> Answer {
        send(&self.router, request).await
    }

    /// Sends a request with these headers.
    pub async fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(path);
        request = request.header("host", "manager.example:5050");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], "").await
    }

    pub async fn post(&self, path: &str, body: &str) -> Answer {
        self.call("POST", path, &[], body).await
    }

    /// Starts a run and lets it come to the point where the probe is ordered.
    pub async fn wait_for_probe(&self, host: HostId) -> JobSpec {
        let answer = self.post(&format!("/v1/introspection/{host}"), "").await;
        assert_eq!(answer.status, 202, "{:?}", answer.body);
        self.run_due().await;
        assert_eq!(self.state(host).await, "waiting");
        self.jobs(host).await.into_iter().find(|(_, cancelled)| !cancelled).unwrap().0
    }

    /// A whole run that ends as it should.
    pub async fn introspect(&self, host: HostId, document: &Value) {
        let spec = self.wait_for_probe(host).await;
        self.report(&spec, document).await;
        self.run_due().await;
        let status = self.get(&format!("/v1/introspection/{host}")).await.json();
        assert_eq!(status["state"], "finished", "{status}");
    }

    /// The state of a host's record.
    pub async fn state(&self, host: HostId) -> String {
        let answer = self.get(&format!("/v1/introspection/{host}")).await;
        answer.json()["state"].as_str().unwrap_or_else(|| panic!("{:?}", answer.body)).to_owned()
    }

    /// Brings a host's record into a state.
    pub async fn bring_to(&self, host: HostId, state: &str) {
        let path = format!("/v1/introspection/{host}");
        match state {
            "starting" => assert_eq!(self.post(&path, "").await.status, 202),
            "waiting" => drop(self.wait_for_probe(host).await),
            "processing" => {
                let spec = self.wait_for_probe(host).await;
                self.report(&spec, &document("52:54:00:aa:00:01")).await;
            }
            "aborting" => {
                self.bring_to_processing_and_abort(host, &path).await;
            }
            "reapplying" => {
                self.introspect(host, &document("52:54:00:aa:00:01")).await;
                assert_eq!(self.post(&format!("{path}/data/unprocessed"), "").await.status, 202);
            }
            "finished" => self.introspect(host, &document("52:54:00:aa:00:01")).await,
            "error" => {
                drop(self.wait_for_probe(host).await);
                self.clock.advance(Duration::from_secs(601));
                self.run_due().await;
            }
            other => panic!("no way to {other}"),
        }
        assert_eq!(self.state(host).await, state);
    }

    async fn bring_to_processing_and_abort(&self, host: HostId, path: &str) {
        let spec = self.wait_for_probe(host).await;
        self.report(&spec, &document("52:54:00:aa:00:01")).await;
        assert_eq!(self.post(&format!("{path}/abort"), "").await.status, 202);
    }
}

/// Sends a request to a router, from an address that `x-test-peer` names, or from loopback.
pub async fn send(router: &Router, mut request: Request<Body>) -> Answer {
    let peer = request.headers_mut().remove("x-test-peer");
    let peer = peer.map_or_else(|| "127.0.0.1".to_owned(), |peer| peer.to_str().unwrap().to_owned());
    let peer = SocketAddr::new(peer.parse().unwrap(), 40_000);
    request.extensions_mut().insert(Peer::plain(peer));
    let (parts, body) = whole(router.clone().oneshot(request).await.unwrap()).await;
    Answer { status: parts.status, headers: parts.headers, body }
}

/// What a small host reports.
pub fn document(mac: &str) -> Value {
    json!({
        "zebra": 1,
        "inventory": {
            "interfaces": [{ "name": "eth0", "mac_address": mac, "ipv4_address": "192.0.2.5" }],
            "cpu": { "count": 4, "architecture": "x86_64", "flags": [] },
            "memory": { "total": 4_294_967_296_u64, "physical_mb": 4096 },
            "disks": [{ "name": "/dev/sda", "size": 500_000_000_000_u64 }],
            "bmc_address": "192.0.2.200",
        },
        "fleet": { "schema": 1, "sections": {} },
        "logs": "c2VjcmV0",
    })
}
