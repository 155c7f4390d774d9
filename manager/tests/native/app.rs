//! A whole manager without sockets: SQLite in a temporary directory, a clock that stands still, requests by function call.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use hostler_common::id::HostId;
use hostler_common::job::{Captured, JobState, JobUpdate, Outcome};
use hostler_common::time::{Clock, Timestamp};
use hostler_manager::api::Api;
use hostler_manager::api::server::{Limits, Service, router};
use hostler_manager::assemble::{engine_settings, fleet_settings, store_options};
use hostler_manager::config::Config;
use hostler_manager::engine::{Engine, OsSeeds};
use hostler_manager::fleet::Fleet;
use hostler_manager::fleet::ca::Ca;
use hostler_manager::hooks::Hooks;
use hostler_manager::identity::Identity;
use hostler_manager::store::host::{Greeting, host_insert, host_online};
use hostler_manager::store::{Store, job};
use http::{HeaderMap, Request};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A clock that stands still unless a test moves it.
pub struct FakeClock(Mutex<Timestamp>);

impl FakeClock {
    pub fn advance(&self, by: Duration) {
        let mut now = self.0.lock().unwrap();
        *now = now.after(by);
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

/// The manager under test.
pub struct App {
    pub api: Api,
    pub service: Service,
    pub clock: Arc<FakeClock>,
    pub stop: CancellationToken,
    _dir: tempfile::TempDir,
}

/// What a request was answered with.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// The body, if the status is that one.
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        if self.text.is_empty() { Value::Null } else { self.json() }
    }

    /// Asserts an error of the native shape, and returns its text.
    pub fn error(self, status: u16) -> String {
        let body = self.expect(status);
        assert_eq!(body["code"], status, "{body}");
        assert!(!body["error"].as_str().unwrap().is_empty(), "{body}");
        body["message"].as_str().unwrap().to_owned()
    }
}

impl App {
    pub async fn start() -> Self {
        Self::with(Limits::default()).await
    }

    pub async fn with(limits: Limits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let token = |name: &str| {
            let hash = hex::encode(Sha256::digest(name.as_bytes()));
            json!({ "name": name, "token_sha256": hash, "roles": [name] })
        };
        let tokens: Vec<_> = ["admin", "service", "member", "reader"].into_iter().map(token).collect();
        let settings = json!({ "state_dir": dir.path(), "auth": { "static_tokens": tokens } });
        let config: Config = serde_json::from_value(settings).unwrap();
        let store = Store::open(&store_options(&config)).await.unwrap();
        let clock = Arc::new(FakeClock(Mutex::new("2026-01-02T03:04:05.678901Z".parse().unwrap())));
        let engine = Engine::new(store, Arc::clone(&clock) as _, Arc::new(OsSeeds), engine_settings(&config));
        let ca = Arc::new(Ca::open(dir.path(), clock.now()).unwrap());
        let fleet = Fleet::new(engine.clone(), ca, fleet_settings(&config));
        let identity = Identity::new(engine.clone(), &config.auth);
        let hooks = Hooks::open(engine.clone(), &config.state_dir, 256 << 10).unwrap();
        let api = Api { engine, identity, fleet, hooks, config: Arc::new(config) };
        let stop = CancellationToken::new();
        let service = Service::new(router::router(api.clone(), stop.clone()), limits);
        Self { api, service, clock, stop, _dir: dir }
    }

    /// Sends any request from that address.
    pub async fn send(&self, request: Request<Body>, from: &str) -> Answer {
        let peer = from.parse::<SocketAddr>().unwrap();
        let (parts, body) = self.service.call(peer, request).await.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Answer { status: parts.status.as_u16(), headers: parts.headers, text }
    }

    /// Sends a request with the token of that role, or none if it is empty.
    pub async fn call(&self, role: &str, method: &str, path: &str, body: impl Into<Body>) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if !role.is_empty() {
            request = request.header("X-Auth-Token", role);
        }
        self.send(request.body(body.into()).unwrap(), "192.0.2.7:1234").await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call("reader", "GET", path, Body::empty()).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.call("admin", "POST", path, body.to_string()).await
    }

    /// A host that never connected.
    pub async fn host(&self, name: &str) -> HostId {
        let (id, name, now) = (HostId(Uuid::now_v7()), name.to_owned(), self.clock.now());
        let store = &self.api.engine.store;
        store.write(move |tx| Box::pin(async move { host_insert(tx, id, &name, &[], now).await })).await.unwrap();
        id
    }

    /// Makes a host's agent connected.
    pub async fn connect(&self, id: HostId) {
        let now = self.clock.now();
        let hello = Greeting { version: "0.1.0".into(), boot_id: "boot".into(), address: "192.0.2.9:5".into() };
        let store = &self.api.engine.store;
        store.write(move |tx| Box::pin(async move { host_online(tx, id, &hello, now).await })).await.unwrap();
    }

    /// Runs what is due, and answers the open job of a host with that document.
    pub async fn deliver(&self, host: HostId, document: &Value) {
        self.api.engine.run_due().await.unwrap();
        let open = {
            let mut connection = self.api.engine.store.read().await.unwrap();
            job::job_open(&mut connection, host).await.unwrap()
        };
        assert_eq!(open.len(), 1, "one job is expected: {open:?}");
        let head = document.to_string().into_bytes();
        let stdout = Captured { total: head.len() as u64, head, tail: Vec::new() };
        let outcome = Outcome { exit_code: Some(0), stdout, ..Outcome::default() };
        let update = JobUpdate { job: open[0].spec.id, state: JobState::Succeeded, outcome: Some(outcome) };
        self.api.engine.job_update(host, update).await.unwrap();
        self.api.engine.run_due().await.unwrap();
    }

    /// A whole introspection of a host with that document, through the API; returns the task.
    pub async fn introspect(&self, host: HostId, document: &Value) -> i64 {
        self.clock.advance(Duration::from_secs(60));
        let begun = self.post(&format!("/api/hosts/{host}/introspect"), json!({})).await.expect(202);
        self.deliver(host, document).await;
        begun["task"].as_i64().unwrap()
    }
}

/// What a probe might find, with a disk of that size.
pub fn document(disk: u64) -> Value {
    json!({
        "inventory": {
            "bmc_address": "192.0.2.10", "cpu": {"count": 64, "architecture": "x86_64", "model_name": "Model"},
            "memory": {"physical_mb": 262_144, "total": 270_011_011_072_u64},
            "disks": [{"name": "/dev/nvme0n1", "size": disk, "serial": "S1"}],
            "interfaces": [{"name": "ens1f0", "mac_address": "52:54:00:aa:00:01", "ipv4_address": "192.0.2.50"}],
            "system_vendor": {"manufacturer": "Maker", "product_name": "Product", "serial_number": "N1"},
        },
        "root_disk": {"name": "/dev/nvme0n1", "size": disk},
        "boot_interface": null, "error": null,
        "fleet": {"schema": 1, "sections": {"disks": {"status": "ok"}}},
    })
}
