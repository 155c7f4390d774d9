//! A whole manager behind a real socket, with a clock that tests own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use hostler_common::id::{EventNumber, HostId};
use hostler_common::time::{Clock, SystemClock, Timestamp};
use hostler_manager::api::{Api, server};
use hostler_manager::assemble::{engine_settings, fleet_settings, store_options};
use hostler_manager::config::Config;
use hostler_manager::engine::{Engine, OsSeeds};
use hostler_manager::fleet::Fleet;
use hostler_manager::fleet::ca::Ca;
use hostler_manager::hooks::Hooks;
use hostler_manager::identity::Identity;
use hostler_manager::store::Store;
use hostler_manager::store::event::{Record, event_list};
use hostler_manager::store::host::host_insert;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A clock that runs on from the real time only when it is told to.
pub struct HandClock(AtomicI64);

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// The answer, if it has this status.
    #[track_caller]
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// A manager that serves.
pub struct Site {
    pub api: Api,
    pub address: SocketAddr,
    pub dir: tempfile::TempDir,
    pub http: reqwest::Client,
    secure: bool,
    clock: Arc<HandClock>,
    _stop: DropGuard,
}

/// A client that believes these authorities, and shows that certificate.
pub fn client(authorities: &[&Path], own: Option<&Path>) -> reqwest::Client {
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    let mut builder = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20));
    let read = |path: &Path| reqwest::Certificate::from_pem(&std::fs::read(path).unwrap()).unwrap();
    builder = builder.tls_certs_only(authorities.iter().map(|path| read(path)));
    if let Some(own) = own {
        builder = builder.identity(reqwest::Identity::from_pem(&std::fs::read(own).unwrap()).unwrap());
    }
    builder.build().unwrap()
}

impl Site {
    /// A manager with these settings; `DIR` in them is its own directory, after `prepare` put into it what it needs.
    pub async fn prepared(settings: &str, prepare: impl FnOnce(&Path)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        prepare(dir.path());
        let path = dir.path().display().to_string();
        let token = |name: &str| {
            let hash = hex::encode(Sha256::digest(name));
            format!("[[auth.static_tokens]]\nname = '{name}'\ntoken_sha256 = '{hash}'\nroles = ['{name}']\n")
        };
        let tokens: String = ["admin", "service", "reader"].into_iter().map(token).collect();
        let file = dir.path().join("manager.toml");
        let text = format!("state_dir = '{path}'\n{}\n{tokens}", settings.replace("DIR", &path));
        std::fs::write(&file, text).unwrap();
        let config = Config::load(&file).unwrap();
        hostler_manager::assemble::check(&config).unwrap();
        let store = Store::open(&store_options(&config)).await.unwrap();
        let clock = Arc::new(HandClock(AtomicI64::new(SystemClock.now().as_micros())));
        let engine = Engine::new(store, Arc::clone(&clock) as _, Arc::new(OsSeeds), engine_settings(&config));
        let identity = Identity::new(engine.clone(), &config.auth);
        if let Some(bootstrap) = &config.bootstrap {
            identity.bootstrap(bootstrap).await.unwrap();
        }
        let ca = Arc::new(Ca::open(dir.path(), clock.now()).unwrap());
        let fleet = Fleet::new(engine.clone(), ca, fleet_settings(&config));
        let tls = server::tls_of(&config.listen).unwrap();
        let secure = tls.is_some();
        let hooks = Hooks::open(engine.clone(), dir.path(), 256 << 10).unwrap();
        let api = Api { engine, identity, fleet, hooks, config: Arc::new(config) };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        tokio::spawn(server::serve(api.clone(), listener, tls, stop.clone()));
        Self { api, address, dir, http: client(&[], None), secure, clock, _stop: stop.drop_guard() }
    }

    pub async fn with(settings: &str) -> Self {
        Self::prepared(settings, |_| ()).await
    }

    /// A manager whose identity other managers may ask: with the administrator `admin`, and the user `hostler` that has
    /// the role `service` in the project `services`.
    pub async fn keystone(more: &str, prepare: impl FnOnce(&Path)) -> Self {
        let settings = format!("[bootstrap]\nusername = 'admin'\npassword = 'secret'\n{more}");
        let site = Self::prepared(&settings, prepare).await;
        let project = site.api.identity.clone();
        let by = hostler_manager::identity::By { name: "test".into(), from: None };
        let new = hostler_manager::identity::NewProject {
            name: "services".into(),
            description: String::new(),
            enabled: true,
        };
        let services = project.project_create(&by, new).await.unwrap();
        site.user("hostler", services.id, hostler_core::policy::Role::Service).await;
        site
    }

    /// Makes a user with the password `pw` and that role in a project.
    pub async fn user(&self, name: &str, project: hostler_common::id::ProjectId, role: hostler_core::policy::Role) {
        use hostler_manager::store::identity::{Grant, Scope};
        let by = hostler_manager::identity::By { name: "test".into(), from: None };
        let new = hostler_manager::identity::NewUser {
            name: name.into(),
            description: String::new(),
            email: None,
            enabled: true,
            project: Some(project),
            password: Some("pw".to_owned().into()),
        };
        let user = self.api.identity.user_create(&by, new).await.unwrap();
        for scope in [Scope::Project(project), Scope::System] {
            self.api.identity.grant_create(&by, Grant { user: user.id, scope, role }).await.unwrap();
        }
    }

    pub fn url(&self, path: &str) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://localhost:{}{path}", self.address.port())
    }

    pub fn pass(&self, by: Duration) {
        self.clock.0.fetch_add(i64::try_from(by.as_micros()).unwrap(), Ordering::SeqCst);
    }

    /// Sends a request through that client.
    pub async fn send(
        &self,
        http: &reqwest::Client,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> reqwest::Result<Answer> {
        let mut request = http.request(method.parse().unwrap(), self.url(path)).body(body.to_owned());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer { status, headers, text: response.text().await? })
    }

    pub async fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.send(&self.http, method, path, headers, body).await.unwrap()
    }

    pub async fn get(&self, token: &str, path: &str) -> Answer {
        self.call("GET", path, &[("x-auth-token", token)], "").await
    }

    /// A token of a user of this manager's identity.
    pub async fn login(&self, name: &str, password: &str, scope: Value) -> String {
        let user = json!({"name": name, "domain": {"id": "default"}, "password": password});
        let identity = json!({"methods": ["password"], "password": {"user": user}});
        let body = json!({"auth": {"identity": identity, "scope": scope}}).to_string();
        self.call("POST", "/identity/v3/auth/tokens", &[], &body).await.is(201).header("x-subject-token").to_owned()
    }

    pub async fn host(&self, name: &str) -> HostId {
        let (id, name, now) = (HostId(uuid::Uuid::now_v7()), name.to_owned(), self.api.engine.clock.now());
        let store = &self.api.engine.store;
        store.write(move |tx| Box::pin(async move { host_insert(tx, id, &name, &[], now).await })).await.unwrap();
        id
    }

    pub async fn events(&self) -> Vec<Record> {
        let mut connection = self.api.engine.store.read().await.unwrap();
        event_list(&mut connection, EventNumber(0), 10_000).await.unwrap()
    }
}

/// An authority of a test.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Writes its certificate.
    pub fn write(&self, file: &Path) -> PathBuf {
        std::fs::write(file, &self.pem).unwrap();
        file.to_owned()
    }

    /// Writes a certificate of that common name, and its key, into two files and into one.
    pub fn issue(&self, dir: &Path, name: &str, alternative: &[SanType]) -> PathBuf {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.subject_alt_names = alternative.to_vec();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        std::fs::write(dir.join(format!("{name}.crt")), &certificate).unwrap();
        std::fs::write(dir.join(format!("{name}.key")), key.serialize_pem()).unwrap();
        let both = dir.join(format!("{name}.pem"));
        std::fs::write(&both, format!("{certificate}{}", key.serialize_pem())).unwrap();
        both
    }

    /// Writes the certificate of a server on this machine: `server.crt` and `server.key`.
    pub fn issue_server(&self, dir: &Path) {
        self.issue(dir, "server", &[SanType::DnsName("localhost".try_into().unwrap())]);
    }
}
