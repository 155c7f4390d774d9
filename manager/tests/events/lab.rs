//! A manager on a runtime of its own, so that it can die at any moment and begin anew on the same store.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use hostler_common::time::{Clock, SystemClock, Timestamp};
use hostler_core::machine::Event;
use hostler_manager::api::Api;
use hostler_manager::api::server::{Limits, Service, router, serve_connections};
use hostler_manager::assemble::{engine_settings, fleet_settings, store_options};
use hostler_manager::config::Config;
use hostler_manager::engine::{Engine, OsSeeds};
use hostler_manager::fleet::Fleet;
use hostler_manager::fleet::ca::Ca;
use hostler_manager::hooks::Hooks;
use hostler_manager::identity::Identity;
use hostler_manager::store::Store;
use hostler_manager::webhook::Webhooks;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes, shorter than anybody's patience.
pub const LONG: Duration = Duration::from_secs(60);

/// The time of this machine, and as much later as a test wants.
#[derive(Default)]
pub struct LateClock(AtomicI64);

impl Clock for LateClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(SystemClock.now().as_micros() + self.0.load(Ordering::Relaxed))
    }
}

/// What lasts longer than a manager.
pub struct Lab {
    pub dir: tempfile::TempDir,
    pub clock: Arc<LateClock>,
    settings: Value,
}

/// A manager that runs.
pub struct Manager {
    pub engine: Engine,
    pub address: SocketAddr,
    pub stop: CancellationToken,
    runtime: Option<Runtime>,
}

impl Lab {
    pub fn new() -> Self {
        Self::with(json!({}))
    }

    /// With further settings.
    pub fn with(settings: Value) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), clock: Arc::default(), settings }
    }

    fn config(&self) -> Config {
        let token = |name: &str| {
            let hash = hex::encode(Sha256::digest(name.as_bytes()));
            json!({ "name": name, "token_sha256": hash, "roles": [name] })
        };
        let tokens: Vec<_> = ["admin", "reader"].into_iter().map(token).collect();
        let mut all = json!({ "state_dir": self.dir.path(), "auth": { "static_tokens": tokens } });
        for (key, value) in self.settings.as_object().unwrap() {
            all[key] = value.clone();
        }
        serde_json::from_value(all).unwrap()
    }

    /// Starts a manager on the store, which may be one of before.
    pub async fn start(&self) -> Manager {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (config, clock, stop) = (self.config(), Arc::clone(&self.clock), CancellationToken::new());
        let dir = self.dir.path().to_owned();
        let token = stop.clone();
        let begun = runtime.spawn(async move {
            let store = Store::open(&store_options(&config)).await.unwrap();
            let engine = Engine::new(store, clock, Arc::new(OsSeeds), engine_settings(&config));
            let ca = Arc::new(Ca::open(&dir, SystemClock.now()).unwrap());
            let fleet = Fleet::new(engine.clone(), ca, fleet_settings(&config));
            let identity = Identity::new(engine.clone(), &config.auth);
            let hooks = Hooks::open(engine.clone(), &config.state_dir, 256 << 10).unwrap();
            let api = Api { engine: engine.clone(), identity, fleet, hooks, config: Arc::new(config) };
            let webhooks = Webhooks::new(engine.clone(), Arc::clone(api.hooks.vault()), &api.config);
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let service = Service::new(router::router(api, token.clone()), Limits::default());
            tokio::spawn(serve_connections(service, listener, None, token.clone()));
            tokio::spawn({
                let (engine, token) = (engine.clone(), token.clone());
                async move { engine.run_timers(token).await }
            });
            tokio::spawn(async move { webhooks.run(token).await });
            (engine, address)
        });
        let (engine, address) = begun.await.unwrap();
        Manager { engine, address, stop, runtime: Some(runtime) }
    }

    /// Lets so much time pass at once.
    pub fn pass(&self, time: Duration) {
        self.clock.0.fetch_add(i64::try_from(time.as_micros()).unwrap(), Ordering::Relaxed);
    }
}

impl Manager {
    /// Ends it wherever it is.
    pub fn crash(mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }

    /// Records events of that kind with numbers of their own: `first..first + count`.
    pub async fn emit(&self, kind: &'static str, first: usize, count: usize) {
        for n in first..first + count {
            self.emit_one(kind, &n.to_string(), json!({ "n": n })).await;
        }
    }

    pub async fn emit_one(&self, kind: &'static str, subject: &str, data: Value) {
        let event = Event { kind, subject: subject.into(), data };
        self.engine.emit(Some("user:test"), event).await.unwrap();
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}/api{path}", self.address)
    }

    /// Asks as an administrator; the status and the JSON of the answer.
    pub async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = client().request(method, self.url(path)).header("X-Auth-Token", "admin");
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
        (status, if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() })
    }

    /// Makes a webhook; the answer, which has the secret.
    pub async fn webhook(&self, body: Value) -> Value {
        let (status, made) = self.ask("POST", "/webhooks", Some(body)).await;
        assert_eq!(status, 201, "{made}");
        made
    }

    pub async fn show(&self, id: &Value) -> Value {
        let (status, webhook) = self.ask("GET", &format!("/webhooks/{id}"), None).await;
        assert_eq!(status, 200, "{webhook}");
        webhook
    }

    /// Waits until a webhook is as wanted.
    pub async fn until(&self, id: &Value, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = tokio::time::Instant::now() + LONG;
        loop {
            let webhook = self.show(id).await;
            if wanted(&webhook) {
                return webhook;
            }
            assert!(tokio::time::Instant::now() < deadline, "it did not come to that: {webhook:#}");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A client without anything of this machine's surroundings.
pub fn client() -> reqwest::Client {
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap()
}
