//! The swarm's other side: what an operator's client says to the manager.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context as _;
use hostler_common::id::HostId;
use hostler_common::time::Timestamp;
use serde_json::Value;

/// The longest page of the list.
const PAGE: usize = 1000;

/// The manager's REST interface.
#[derive(Clone, Debug)]
pub struct Rest {
    client: reqwest::Client,
    url: String,
    token: String,
}

/// The record of one introspection, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its state.
    pub state: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Why it did not end as it should.
    pub error: Option<String>,
}

impl Status {
    fn of(record: &Value) -> anyhow::Result<Self> {
        let moment = |key: &str| record[key].as_str().map(|text| format!("{text}Z").parse::<Timestamp>());
        let moment = |key: &str| moment(key).transpose().map_err(|error| anyhow::anyhow!("{key}: {error:?}"));
        Ok(Self {
            state: record["state"].as_str().context("a record without state")?.to_owned(),
            started_at: moment("started_at")?.context("a record without started_at")?,
            finished_at: moment("finished_at")?,
            error: record["error"].as_str().map(str::to_owned),
        })
    }

    /// How long the run took, if it is over.
    #[must_use]
    pub fn took(&self) -> Option<Duration> {
        self.finished_at.map(|at| at.since(self.started_at))
    }
}

impl Rest {
    /// The interface at `url`, such as `http://127.0.0.1:8080`.
    ///
    /// # Errors
    /// No client can be made.
    pub fn new(url: &str, token: &str) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(60)).no_proxy().build()?;
        Ok(Self { client, url: url.trim_end_matches('/').to_owned(), token: token.to_owned() })
    }

    async fn text(&self, method: reqwest::Method, path: &str) -> anyhow::Result<String> {
        let request =
            self.client.request(method.clone(), format!("{}{path}", self.url)).header("X-Auth-Token", &self.token);
        let response = request.send().await.with_context(|| format!("{method} {path}"))?;
        let status = response.status();
        let text = response.text().await.with_context(|| format!("{method} {path}"))?;
        anyhow::ensure!(status.is_success(), "{method} {path}: {status}: {text}");
        Ok(text)
    }

    async fn json(&self, path: &str) -> anyhow::Result<Value> {
        let text = self.text(reqwest::Method::GET, path).await?;
        serde_json::from_str(&text).with_context(|| format!("GET {path}"))
    }

    /// What is under a path.
    ///
    /// # Errors
    /// Nothing, or the manager does not answer.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.json(path).await
    }

    /// What is under a path with these parameters behind the question mark.
    ///
    /// # Errors
    /// Nothing, or the manager does not answer.
    pub async fn query(&self, path: &str, parameters: &[(&str, &str)]) -> anyhow::Result<Value> {
        let url = reqwest::Url::parse_with_params(&format!("{}{path}", self.url), parameters)?;
        let request = self.client.get(url).header("X-Auth-Token", &self.token);
        let response = request.send().await?.error_for_status()?;
        Ok(serde_json::from_slice(&response.bytes().await?)?)
    }

    /// What the manager answers to that body.
    ///
    /// # Errors
    /// It refuses it, or does not answer.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let request = self.client.post(format!("{}{path}", self.url)).header("X-Auth-Token", &self.token);
        let request = request.header("Content-Type", "application/json").body(body.to_string());
        let response = request.send().await.with_context(|| format!("POST {path}"))?;
        let status = response.status();
        let text = response.text().await.with_context(|| format!("POST {path}"))?;
        anyhow::ensure!(status.is_success(), "POST {path}: {status}: {text}");
        serde_json::from_str(&text).with_context(|| format!("POST {path}"))
    }

    /// Waits for the first bytes of what is under a path.
    ///
    /// # Errors
    /// There are none, or the manager does not answer.
    pub async fn first_byte(&self, path: &str) -> anyhow::Result<()> {
        let request = self.client.get(format!("{}{path}", self.url)).header("X-Auth-Token", &self.token);
        let mut response = request.send().await?.error_for_status()?;
        while let Some(bytes) = response.chunk().await? {
            if !bytes.is_empty() {
                // Read to its end, so that the connection can be used again.
                while response.chunk().await?.is_some() {}
                return Ok(());
            }
        }
        anyhow::bail!("GET {path}: no byte came")
    }

    /// How many agents are connected.
    ///
    /// # Errors
    /// The manager does not answer, or does not say.
    pub async fn connected(&self) -> anyhow::Result<u64> {
        let text = self.text(reqwest::Method::GET, "/metrics").await?;
        let line = text.lines().find_map(|line| line.strip_prefix("hostler_agents_connected "));
        line.and_then(|count| count.trim().parse().ok()).context("/metrics does not say how many agents are connected")
    }

    /// Starts the introspection of a host, given by id or name.
    ///
    /// # Errors
    /// It is refused.
    pub async fn start(&self, host: &str) -> anyhow::Result<()> {
        self.text(reqwest::Method::POST, &format!("/v1/introspection/{host}")).await?;
        Ok(())
    }

    /// The record of a host, given by id or name.
    ///
    /// # Errors
    /// There is none.
    pub async fn status(&self, host: &str) -> anyhow::Result<Status> {
        Status::of(&self.json(&format!("/v1/introspection/{host}")).await?)
    }

    /// All records. One that begins while the pages are read may be missing.
    ///
    /// # Errors
    /// The manager does not answer.
    pub async fn statuses(&self) -> anyhow::Result<HashMap<HostId, Status>> {
        let mut all = HashMap::new();
        let mut marker = String::new();
        loop {
            let page = self.json(&format!("/v1/introspection?limit={PAGE}{marker}")).await?;
            let records = page["introspection"].as_array().context("the list has no list")?;
            for record in records {
                let host = record["uuid"].as_str().and_then(|id| id.parse().ok()).context("a record without uuid")?;
                all.insert(host, Status::of(record)?);
                marker = format!("&marker={host}");
            }
            if records.len() < PAGE {
                return Ok(all);
            }
        }
    }
}
