//! A manager's identity with a clock that tests own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hostler_common::time::{Clock, Timestamp};
use hostler_manager::api::peer::Peer;
use hostler_manager::api::{Api, identity};
use hostler_manager::assemble::fleet_settings;
use hostler_manager::config::Config;
use hostler_manager::engine::{Engine, EngineSettings, OsSeeds};
use hostler_manager::fleet::Fleet;
use hostler_manager::fleet::ca::Ca;
use hostler_manager::hooks::Hooks;
use hostler_manager::identity::Identity;
use hostler_manager::store::{Options, Store};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

/// 2026-01-02T03:04:05Z.
const START: i64 = 1_767_323_045_000_000;

/// SHA-256 of `statictoken`.
pub const STATIC_SHA256: &str = "8af25b76d8e94843513a17b9111eacad3c5b56ae7ceeb4d0322d4ac57571f473";

pub struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    /// The answer, if it has this status.
    #[track_caller]
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self
    }

    /// The answer, if it is an error of the dialect with this status and this in its message.
    #[track_caller]
    pub fn refuses(self, status: u16, part: &str) -> Self {
        let answer = self.is(status);
        let error = &answer.body["error"];
        assert_eq!(error["code"], status, "{}", answer.body);
        assert_eq!(error["title"], answer.status.canonical_reason().unwrap());
        assert!(error["message"].as_str().unwrap().contains(part), "{error} lacks {part}");
        answer
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The names in a list.
    pub fn names(&self, key: &str) -> Vec<String> {
        self.body[key].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    }
}

pub struct Lab {
    pub api: Api,
    clock: Arc<TestClock>,
    router: Router,
    _dir: tempfile::TempDir,
}

impl Lab {
    pub async fn new() -> Self {
        Self::with("").await
    }

    /// With more lines in the section `[auth]` of the configuration; `DIR` in them is a directory of the test.
    pub async fn with(auth: &str) -> Self {
        Self::prepared(auth, |_| ()).await
    }

    /// As [`Self::with`], after `prepare` had a look at the directory.
    pub async fn prepared(auth: &str, prepare: impl FnOnce(&std::path::Path)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        prepare(dir.path());
        let path = dir.path().display().to_string();
        let text = format!(
            "state_dir = '{path}'\n[listen]\ntrusted_proxies = ['10.9.9.9']\n\
             [bootstrap]\nusername = 'admin'\npassword = 'secret'\n[auth]\n{}\n\
             [[auth.static_tokens]]\nname = 'up'\ntoken_sha256 = '{STATIC_SHA256}'\nroles = ['admin']\n",
            auth.replace("DIR", &path)
        );
        let file = dir.path().join("manager.toml");
        std::fs::write(&file, text).unwrap();
        let config = Config::load(&file).unwrap();
        let store = Store::open(&Options::Sqlite(dir.path().join("store.sqlite"))).await.unwrap();
        let clock = Arc::new(TestClock(AtomicI64::new(START)));
        let engine = Engine::new(store, Arc::clone(&clock) as _, Arc::new(OsSeeds), EngineSettings::default());
        let identity = Identity::new(engine.clone(), &config.auth);
        identity.bootstrap(config.bootstrap.as_ref().unwrap()).await.unwrap();
        let ca = Arc::new(Ca::open(dir.path(), clock.now()).unwrap());
        let fleet = Fleet::new(engine.clone(), ca, fleet_settings(&config));
        let hooks = Hooks::open(engine.clone(), &config.state_dir, 256 << 10).unwrap();
        let api = Api { engine, identity, fleet, hooks, config: Arc::new(config) };
        let router = Router::new().nest_service("/identity", identity::routes(api.clone()));
        Self { api, clock, router, _dir: dir }
    }

    pub fn pass(&self, by: Duration) {
        self.clock.0.fetch_add(i64::try_from(by.as_micros()).unwrap(), Ordering::SeqCst);
    }

    /// Changes the store as another manager on it would: without the knowledge of this one.
    pub async fn sql(&self, statement: &'static str) {
        let write = self.api.engine.store.write(move |tx| {
            Box::pin(async move {
                sqlx::query(statement).execute(tx).await?;
                Ok(())
            })
        });
        write.await.unwrap();
    }

    pub async fn raw(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// A request from 192.0.2.7 with these headers; the path begins after `/identity`.
    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Answer {
        let mut request =
            Request::builder().method(method).uri(format!("/identity{path}")).header("host", "fleet:8080");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let mut request = request.body(body).unwrap();
        let address: SocketAddr = "192.0.2.7:4321".parse().unwrap();
        request.extensions_mut().insert(Peer { address: Some(address) });
        self.raw(request).await
    }

    pub async fn get(&self, token: &str, path: &str) -> Answer {
        self.send("GET", path, &[("x-auth-token", token)], None).await
    }

    pub async fn delete(&self, token: &str, path: &str) -> Answer {
        self.send("DELETE", path, &[("x-auth-token", token)], None).await
    }

    pub async fn put(&self, token: &str, path: &str) -> Answer {
        self.send("PUT", path, &[("x-auth-token", token)], None).await
    }

    pub async fn post(&self, token: &str, path: &str, body: Value) -> Answer {
        self.send("POST", path, &[("x-auth-token", token)], Some(&body)).await
    }

    pub async fn patch(&self, token: &str, path: &str, body: Value) -> Answer {
        self.send("PATCH", path, &[("x-auth-token", token)], Some(&body)).await
    }

    pub async fn login(&self, auth: Value) -> Answer {
        self.send("POST", "/v3/auth/tokens", &[], Some(&json!({"auth": auth}))).await
    }

    /// The answer to a login by password.
    pub async fn password(&self, name: &str, password: &str, scope: Value) -> Answer {
        let user = json!({"name": name, "domain": {"id": "default"}, "password": password});
        let identity = json!({"methods": ["password"], "password": {"user": user}});
        self.login(json!({"identity": identity, "scope": scope})).await
    }

    /// A token of the first administrator in their project.
    pub async fn admin(&self) -> String {
        self.password("admin", "secret", Value::Null).await.is(201).header("x-subject-token").to_owned()
    }

    /// Makes a project; its id.
    pub async fn project(&self, admin: &str, name: &str) -> String {
        let answer = self.post(admin, "/v3/projects", json!({"project": {"name": name}})).await.is(201);
        answer.body["project"]["id"].as_str().unwrap().to_owned()
    }

    /// Makes a user with the password `pw`; their id.
    pub async fn user(&self, admin: &str, name: &str) -> String {
        let answer = self.post(admin, "/v3/users", json!({"user": {"name": name, "password": "pw"}})).await.is(201);
        answer.body["user"]["id"].as_str().unwrap().to_owned()
    }

    /// Makes the project `p`, and the user `ann` with a role in it; the ids of both and a token of the user for it.
    pub async fn ann(&self, admin: &str, role: &str) -> (String, String, String) {
        let (project, user) = (self.project(admin, "p").await, self.user(admin, "ann").await);
        self.put(admin, &format!("/v3/projects/{project}/users/{user}/roles/{role}")).await.is(204);
        let answer = self.password("ann", "pw", json!({"project": {"id": project}})).await.is(201);
        let token = answer.header("x-subject-token").to_owned();
        (project, user, token)
    }
}
