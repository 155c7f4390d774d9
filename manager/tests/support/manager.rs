//! A manager without its listeners, hosts without agents, and a clock that stands still until it is moved: what the test
//! programs of the dialects have in common.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use hostler_common::id::HostId;
use hostler_common::job::{Captured, JobSpec, JobState, JobUpdate, Outcome};
use hostler_common::time::{Clock, Timestamp};
use hostler_manager::api::Api;
use hostler_manager::assemble::{engine_settings, fleet_settings, store_options};
use hostler_manager::config::Config;
use hostler_manager::engine::{Engine, EngineSettings, OsSeeds};
use hostler_manager::fleet::Fleet;
use hostler_manager::fleet::ca::Ca;
use hostler_manager::hooks::Hooks;
use hostler_manager::identity::Identity;
use hostler_manager::store::{Store, host, job};
use http::Response;
use http::response::Parts;
use http_body_util::BodyExt as _;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

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
pub struct Manager {
    pub api: Api,
    pub clock: Arc<HandClock>,
    _dir: tempfile::TempDir,
}

impl Manager {
    /// A manager with these settings, besides its state directory.
    pub async fn new(settings: &str) -> Self {
        Self::prepared(settings, |_| ()).await
    }

    /// The same, after `prepare` had a look at the directory, which is `DIR` in the settings.
    pub async fn prepared(settings: &str, prepare: impl FnOnce(&Path)) -> Self {
        Self::changed(settings, prepare, |_| ()).await
    }

    /// The same, with settings of the engine that no file can hold.
    pub async fn changed(
        settings: &str,
        prepare: impl FnOnce(&Path),
        change: impl FnOnce(&mut EngineSettings),
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        prepare(dir.path());
        let path = dir.path().display().to_string();
        let file = dir.path().join("manager.toml");
        std::fs::write(&file, format!("state_dir = '{path}'\n{}", settings.replace("DIR", &path))).unwrap();
        let config = Config::load(&file).unwrap();
        let store = Store::open(&store_options(&config)).await.unwrap();
        let clock = Arc::new(HandClock(AtomicI64::new(START)));
        let mut settings = engine_settings(&config);
        change(&mut settings);
        let engine = Engine::new(store, Arc::clone(&clock) as _, Arc::new(OsSeeds), settings);
        let identity = Identity::new(engine.clone(), &config.auth);
        if let Some(bootstrap) = &config.bootstrap {
            identity.bootstrap(bootstrap).await.unwrap();
        }
        let ca = Arc::new(Ca::open(dir.path(), clock.now()).unwrap());
        let hooks = Hooks::open(engine.clone(), &config.state_dir, config.croit.script_max_bytes as usize).unwrap();
        let fleet = Fleet::new(engine.clone(), ca, fleet_settings(&config)).with_keys(hooks.keys());
        Self { api: Api { engine, identity, fleet, hooks, config: Arc::new(config) }, clock, _dir: dir }
    }

    /// A new host.
    pub async fn host_with(&self, name: &str, roles: &[&str]) -> HostId {
        let (id, name, now) = (HostId(uuid::Uuid::now_v7()), name.to_owned(), self.clock.now());
        let roles: Vec<String> = roles.iter().map(|role| (*role).to_owned()).collect();
        let write = self
            .api
            .engine
            .store
            .write(move |tx| Box::pin(async move { host::host_insert(tx, id, &name, &roles, now).await }));
        write.await.unwrap();
        id
    }

    /// The agent of a host connects.
    pub async fn connect(&self, host: HostId) {
        let (hello, now) = (
            host::Greeting { version: "1".into(), boot_id: "first".into(), address: "192.0.2.1:1".into() },
            self.clock.now(),
        );
        let write = self
            .api
            .engine
            .store
            .write(move |tx| Box::pin(async move { host::host_online(tx, host, &hello, now).await }));
        write.await.unwrap();
    }

    /// Runs the timers that are due.
    pub async fn run_due(&self) {
        self.api.engine.run_due().await.unwrap();
    }

    /// The jobs that an agent of the host would have to do, and whether they are to be cancelled.
    pub async fn jobs(&self, host: HostId) -> Vec<(JobSpec, bool)> {
        let mut connection = self.api.engine.store.read().await.unwrap();
        let open = job::job_open(&mut connection, host).await.unwrap();
        open.into_iter().map(|record| (record.spec, record.cancel)).collect()
    }

    /// What the host's agent answers; hooks and rules do not run yet.
    pub async fn report(&self, spec: &JobSpec, document: &Value) {
        let head = document.to_string().into_bytes();
        let stdout = Captured { total: head.len() as u64, head, tail: Vec::new() };
        let outcome = Outcome { exit_code: Some(0), stdout, ..Outcome::default() };
        let update = JobUpdate { job: spec.id, state: JobState::Succeeded, outcome: Some(outcome) };
        self.api.engine.job_update(spec.host, update).await.unwrap();
    }
}

/// Settings of tokens that are named like the role of their bearer, and read so.
pub fn tokens(roles: &[&str]) -> String {
    let token = |role: &&str| {
        let hash = hex::encode(Sha256::digest(role));
        format!("[[auth.static_tokens]]\nname = \"{role}\"\ntoken_sha256 = \"{hash}\"\nroles = [\"{role}\"]\n")
    };
    roles.iter().map(token).collect()
}

/// An answer with all of its body.
pub async fn whole(response: Response<Body>) -> (Parts, Bytes) {
    let (parts, body) = response.into_parts();
    (parts, body.collect().await.unwrap().to_bytes())
}
