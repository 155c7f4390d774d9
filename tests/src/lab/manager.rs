//! A real manager.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Daemon, binary, until};
use crate::namespace::Namespace;

/// The static administrator's token of every manager of the lab.
const TOKEN: &str = "lab-admin-token";

/// How long something that is local may take on a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// What a manager of the lab is like, besides the usual.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// More lines of its settings.
    pub settings: String,
    /// Where its state is; a folder of its own if not given.
    pub state_dir: Option<std::path::PathBuf>,
    /// Where it and its agents run: on this machine's loopback if not given.
    pub place: Option<Place>,
}

/// A network namespace for a manager.
#[derive(Clone, Debug)]
pub struct Place {
    /// The namespace.
    pub namespace: Namespace,
    /// The address there on which agents are heard. REST is on the loopback there, and the tests reach it from here.
    pub address: std::net::IpAddr,
}

/// A running manager.
#[derive(Debug)]
pub struct Manager {
    state_dir: std::path::PathBuf,
    place: Option<Place>,
    daemon: Daemon,
    http: reqwest::Client,
    /// Where it listens for REST, as it knows it.
    rest: String,
    /// Root of its REST interface, as the tests reach it.
    pub url: String,
    /// Where its agents connect.
    pub agents: String,
    // The last one: it goes when the process is gone and its log was shown.
    dir: tempfile::TempDir,
}

/// An answer of the REST interface.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body; null where it is no JSON.
    pub body: Value,
}

impl Manager {
    /// Starts a manager with the usual settings: administrator `admin` with password `lab-password`.
    ///
    /// # Errors
    /// It does not become ready.
    pub async fn start() -> anyhow::Result<Self> {
        Self::with(Options::default()).await
    }

    /// Starts a manager.
    ///
    /// # Errors
    /// It does not become ready.
    pub async fn with(options: Options) -> anyhow::Result<Self> {
        // It fails only when it was done before.
        rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
        let dir = tempfile::tempdir()?;
        let state_dir = options.state_dir.unwrap_or_else(|| dir.path().join("manager"));
        let hash = hex::encode(Sha256::digest(TOKEN));
        let agents = options.place.as_ref().map_or_else(|| "127.0.0.1".to_owned(), |place| place.address.to_string());
        let settings = format!(
            "state_dir = {state_dir:?}\n[listen]\nrest = \"127.0.0.1:0\"\nagents = \"{agents}:0\"\n\
             [bootstrap]\nusername = \"admin\"\npassword = \"lab-password\"\n\
             [[auth.static_tokens]]\nname = \"lab\"\ntoken_sha256 = \"{hash}\"\nroles = [\"admin\"]\n{}",
            options.settings
        );
        std::fs::write(dir.path().join("manager.toml"), settings)?;
        let daemon = launch(dir.path(), options.place.as_ref())?;
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build()?;
        let place = options.place;
        let mut manager = Self {
            dir,
            state_dir,
            place,
            daemon,
            http,
            rest: String::new(),
            url: String::new(),
            agents: String::new(),
        };
        manager.find().await?;
        Ok(manager)
    }

    /// Waits until it is ready and learns where it listens.
    async fn find(&mut self) -> anyhow::Result<()> {
        let file = self.state_dir.join("listening.json");
        until(SOON, "the manager listens", async || Ok(file.is_file())).await?;
        let listening: Value = serde_json::from_slice(&std::fs::read(&file)?)?;
        let at = |key: &str| listening[key].as_str().map(str::to_owned).context("listening.json");
        let rest = at("rest")?;
        // Started again, it listens where it did.
        if rest != self.rest {
            self.url = match &self.place {
                Some(place) => format!("http://{}", place.namespace.reach(rest.parse()?)?),
                None => format!("http://{rest}"),
            };
            self.rest = rest;
        }
        self.agents = at("agents")?;
        let ready = format!("{}/readyz", self.url);
        until(SOON, "the manager is ready", async || {
            Ok(self.http.get(&ready).send().await.is_ok_and(|answer| answer.status().is_success()))
        })
        .await
    }

    /// Kills it at this instant.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.daemon.kill()
    }

    /// Starts it again on what it left, on the same ports.
    ///
    /// # Errors
    /// It does not become ready.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        std::fs::remove_file(self.state_dir.join("listening.json"))?;
        let file = self.dir.path().join("manager.toml");
        let settings = std::fs::read_to_string(&file)?;
        let heard = self.agents.rsplit_once(':').context("an address has a port")?.0;
        let settings = settings
            .replace("rest = \"127.0.0.1:0\"", &format!("rest = \"{}\"", self.rest))
            .replace(&format!("agents = \"{heard}:0\""), &format!("agents = \"{}\"", self.agents));
        std::fs::write(&file, settings)?;
        self.daemon = launch(self.dir.path(), self.place.as_ref())?;
        self.find().await
    }

    /// Where it runs, if not on this machine's loopback: agents and other programs that call it run there too.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// Its process.
    #[must_use]
    pub fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    /// Where its state is.
    #[must_use]
    pub fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    /// The token of the administrator.
    #[must_use]
    pub fn token(&self) -> &'static str {
        TOKEN
    }

    /// A request as the administrator.
    ///
    /// # Errors
    /// There was no answer.
    pub async fn call(&self, method: &str, path: &str, body: Option<Value>) -> anyhow::Result<Answer> {
        let method = reqwest::Method::from_bytes(method.as_bytes())?;
        let mut request = self.http.request(method, format!("{}{path}", self.url)).header("X-Auth-Token", TOKEN);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        let body = serde_json::from_slice(&answer.bytes().await?).unwrap_or(Value::Null);
        Ok(Answer { status, body })
    }

    /// The body of a successful GET.
    ///
    /// # Errors
    /// There was no answer, or another one.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let answer = self.call("GET", path, None).await?;
        ensure!(answer.status == 200, "GET {path}: {answer:?}");
        Ok(answer.body)
    }

    /// A fresh join token; `more` are further fields of the request.
    ///
    /// # Errors
    /// It was refused.
    pub async fn join_token(&self, more: Value) -> anyhow::Result<String> {
        let mut body = json!({ "uses": 0 });
        if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
            body.extend(more);
        }
        let answer = self.call("POST", "/api/join-tokens", Some(body)).await?;
        ensure!(answer.status == 201, "{answer:?}");
        answer.body["token"].as_str().map(str::to_owned).context("no token in the answer")
    }

    /// All events of that kind.
    ///
    /// # Errors
    /// There was no answer.
    pub async fn events(&self, kind: &str) -> anyhow::Result<Vec<Value>> {
        let mut found = Vec::new();
        let mut after = 0;
        loop {
            let page = self.get(&format!("/api/events?after={after}&limit=1000")).await?;
            let data = page["data"].as_array().cloned().unwrap_or_default();
            found.extend(data.iter().filter(|event| event["kind"] == kind).cloned());
            match data.last().and_then(|event| event["number"].as_i64()) {
                Some(last) if data.len() == 1000 => after = last,
                _ => return Ok(found),
            }
        }
    }

    /// Waits until the host is in that state.
    ///
    /// # Errors
    /// It is not, soon.
    pub async fn host_is(&self, name: &str, state: &str) -> anyhow::Result<()> {
        until(SOON, &format!("host {name} is {state}"), async || {
            let answer = self.call("GET", &format!("/api/hosts/{name}"), None).await?;
            Ok(answer.status == 200 && answer.body["state"] == state)
        })
        .await
    }

    /// Waits until no run of the host is under way, and returns its record.
    ///
    /// # Errors
    /// The run does not end.
    pub async fn introspected(&self, name: &str) -> anyhow::Result<Value> {
        let path = format!("/v1/introspection/{name}");
        until(SOON, &format!("the introspection of {name} ends"), async || {
            let answer = self.call("GET", &path, None).await?;
            Ok(answer.status == 200 && answer.body["finished"] == true)
        })
        .await?;
        self.get(&path).await
    }
}

fn launch(dir: &Path, place: Option<&Place>) -> anyhow::Result<Daemon> {
    let config = dir.join("manager.toml");
    let config = config.to_str().context("a path that is no text")?;
    Daemon::start_at(place, &binary("hostler-manager"), &["run", "--config", config], &[], dir.join("manager.log"))
}
