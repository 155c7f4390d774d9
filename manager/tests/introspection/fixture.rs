//! A manager without its listeners, hosts without agents, and a clock that stands still until it is moved.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use hostler_common::id::HostId;
use hostler_common::job::{Captured, JobSpec, JobState, JobUpdate, Outcome};
use hostler_common::time::{Clock, Timestamp};
use hostler_core::introspection::command::Settings;
use hostler_manager::api::peer::Peer;
use hostler_manager::api::{Api, introspection};
use hostler_manager::assemble::fleet_settings;
use hostler_manager::config::Config;
use hostler_manager::engine::{Engine, EngineSettings, OsSeeds, Retention};
use hostler_manager::fleet::Fleet;
use hostler_manager::fleet::ca::Ca;
use hostler_manager::hooks::Hooks;
use hostler_manager::identity::Identity;
use hostler_manager::store::{Options, Store, host, job};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tower::ServiceExt as _;

/// When tests begin: 2026-01-02T03:04:05.678901.
pub const START: i64 = 1_767_323_045_678_901;

/// A clock that is moved by hand.
#[derive(Debug)]
pub struct HandClock(AtomicI64);

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

impl HandClock {
    /// Moves on.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_micros()).unwrap(), Ordering::SeqCst);
    }
}

/// The manager and its surroundings.
pub struct World {
    pub api: Api,
    pub clock: Arc<HandClock>,
    pub router: Router,
    _dir: tempfile::TempDir,
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
        let tokens: String = ["admin", "service", "reader"]
            .into_iter()
            .map(|name| {
                let hash = hex::encode(Sha256::digest(name));
                format!("[[auth.static_tokens]]\nname = \"{name}\"\ntoken_sha256 = \"{hash}\"\nroles = [\"{name}\"]\n")
            })
            .collect();
        Self::with(&format!("[auth]\nstrategy = \"token\"\n{tokens}")).await
    }

    /// A manager with these settings.
    pub async fn with(settings: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("manager.toml");
        std::fs::write(&file, format!("state_dir = {:?}\n{settings}", dir.path())).unwrap();
        let config = Config::load(&file).unwrap();
        let store = Store::open(&Options::Sqlite(dir.path().join("hostler.db"))).await.unwrap();
        let clock = Arc::new(HandClock(AtomicI64::new(START)));
        let machine = Settings {
            permit_active: config.introspection.permit_active_introspection,
            processing: config.introspection.processing.clone(),
            ..Settings::default()
        };
        let settings = EngineSettings {
            introspection: Arc::new(machine),
            inventories_kept: config.introspection.inventories_kept,
            retention: Retention::default(),
            ..EngineSettings::default()
        };
        let engine = Engine::new(store, Arc::clone(&clock) as _, Arc::new(OsSeeds), settings);
        let identity = Identity::new(engine.clone(), &config.auth);
        let ca = Arc::new(Ca::open(dir.path(), clock.now()).unwrap());
        let fleet = Fleet::new(engine.clone(), ca, fleet_settings(&config));
        let hooks = Hooks::open(engine.clone(), &config.state_dir, 256 << 10).unwrap();
        let api = Api { engine, identity, fleet, hooks, config: Arc::new(config) };
        let router = introspection::routes(api.clone());
        Self { api, clock, router, _dir: dir }
    }

    /// A new host.
    pub async fn host(&self, name: &str) -> HostId {
        let (id, name, now) = (HostId(uuid::Uuid::new_v4()), name.to_owned(), self.clock.now());
        let write = self.api.engine.store.write(move |tx| {
            Box::pin(async move { host::host_insert(tx, id, &name, &["storage".to_owned()], now).await })
        });
        write.await.unwrap();
        id
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

    /// Runs the timers that are due.
    pub async fn run_due(&self) {
        self.api.engine.run_due().await.unwrap();
    }

    /// The jobs that an agent of the host would have to do.
    pub async fn jobs(&self, host: HostId) -> Vec<(JobSpec, bool)> {
        let mut connection = self.api.engine.store.read().await.unwrap();
        let open = job::job_open(&mut connection, host).await.unwrap();
        open.into_iter().map(|record| (record.spec, record.cancel)).collect()
    }

    /// Starts a run and lets it come to the point where the probe is ordered.
    pub async fn wait_for_probe(&self, host: HostId) -> JobSpec {
        let answer = self.post(&format!("/v1/introspection/{host}"), "").await;
        assert_eq!(answer.status, 202, "{:?}", answer.body);
        self.run_due().await;
        assert_eq!(self.state(host).await, "waiting");
        self.jobs(host).await.into_iter().find(|(_, cancelled)| !cancelled).unwrap().0
    }

    /// What the host's agent answers; hooks and rules do not run yet.
    pub async fn report(&self, spec: &JobSpec, document: &Value) {
        let head = document.to_string().into_bytes();
        let stdout = Captured { total: head.len() as u64, head, tail: Vec::new() };
        let outcome = Outcome { exit_code: Some(0), stdout, ..Outcome::default() };
        let update = JobUpdate { job: spec.id, state: JobState::Succeeded, outcome: Some(outcome) };
        self.api.engine.job_update(spec.host, update).await.unwrap();
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
    request.extensions_mut().insert(Peer { address: Some(peer) });
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    Answer { status: parts.status, headers: parts.headers, body: body.collect().await.unwrap().to_bytes() }
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
