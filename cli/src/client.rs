//! The thin client of the manager's REST API: builds a request, enforces limits, turns every refusal into a [`Failure`].
//!
//! It knows the shapes of errors and pages and nothing else; what the answers mean is the commands' business. It follows
//! no redirect, so a token never goes to another server.

pub mod stream;

use std::path::Path;
use std::time::Duration;

use reqwest::{Certificate, Method, Response, StatusCode, Url, header};
use serde_json::{Value, json};

use crate::connect::{Login, Target};
use crate::failure::{Failure, Kind};

/// How long the TCP and TLS handshakes may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a whole exchange may take. Everything that lasts longer in the manager is a task and answers at once.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// The largest answer that is read; an inventory has at most 16 MiB, twice with its processed keys.
const ANSWER_MAX: usize = 64 << 20;
/// The largest number of items that a list command collects.
const ITEMS_MAX: usize = 1_000_000;
/// The introspection dialect's newest version, which all its requests name.
const INTROSPECTION_VERSION: &str = "1.18";

/// A connection to one manager.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    token: Option<String>,
    local: bool,
}

/// One request that is being put together.
pub struct Call<'a> {
    client: &'a Client,
    doing: String,
    method: Method,
    url: Result<Url, Failure>,
    body: Option<Value>,
    headers: Vec<(&'static str, String)>,
}

/// An answer with its headers.
pub struct Reply {
    /// The headers.
    pub headers: header::HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Client {
    /// Makes a client for a manager. Sends nothing yet.
    ///
    /// # Errors
    /// The CA file cannot be read or holds no certificate.
    pub fn new(target: &Target) -> Result<Self, Failure> {
        let loopback = is_loopback(&target.url);
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("hostler/", env!("CARGO_PKG_VERSION")));
        if loopback {
            builder = builder.no_proxy();
        }
        if target.url.scheme() == "http" {
            // Without this, a machine without system certificates could not even talk plain HTTP.
            builder = builder.tls_certs_only([]);
        } else if let Some(path) = &target.ca_file {
            builder = builder.tls_certs_only(certificates(path)?);
        }
        let http = builder.build().map_err(|error| {
            Failure::new(Kind::Failed, "cannot set up TLS", chain(&error))
                .hint("name a CA file with --ca-file or HOSTLER_CA_FILE if this machine has no system certificates")
        })?;
        Ok(Self { http, base: target.url.clone(), token: target.token.clone(), local: target.up_file.is_some() })
    }

    /// The manager's URL without a trailing slash.
    #[must_use]
    pub fn url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// The same manager with another token.
    #[must_use]
    pub fn with_token(&self, token: String) -> Self {
        Self { token: Some(token), ..self.clone() }
    }

    /// Starts a request; `doing` completes the sentence "cannot …", `path` are the segments, unescaped.
    #[must_use]
    pub fn call(&self, method: Method, doing: impl Into<String>, path: &[&str]) -> Call<'_> {
        let doing = doing.into();
        let url = self.locate(path).map_err(|why| Failure::new(Kind::Usage, format!("cannot {doing}"), why));
        let headers = match path.first() {
            Some(&"introspection") => {
                vec![("X-OpenStack-Ironic-Inspector-API-Version", INTROSPECTION_VERSION.to_string())]
            }
            _ => Vec::new(),
        };
        Call { client: self, doing, method, url, body: None, headers }
    }

    /// A reading request.
    #[must_use]
    pub fn get(&self, doing: impl Into<String>, path: &[&str]) -> Call<'_> {
        self.call(Method::GET, doing, path)
    }

    /// A request that makes or starts something.
    #[must_use]
    pub fn post(&self, doing: impl Into<String>, path: &[&str]) -> Call<'_> {
        self.call(Method::POST, doing, path)
    }

    /// A deleting request.
    #[must_use]
    pub fn delete(&self, doing: impl Into<String>, path: &[&str]) -> Call<'_> {
        self.call(Method::DELETE, doing, path)
    }

    /// Collects the pages of a list of the native API, at most `limit` items, all if there is none.
    ///
    /// # Errors
    /// As [`Call::json`].
    pub async fn pages(
        &self,
        doing: &str,
        path: &[&str],
        query: &[(&str, Option<&str>)],
        limit: Option<usize>,
    ) -> Result<Vec<Value>, Failure> {
        let limit = limit.unwrap_or(ITEMS_MAX);
        let mut items = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page_size = (limit - items.len()).clamp(1, 1000).to_string();
            let mut call = self.get(doing, path).query("limit", Some(&page_size)).query("after", after.as_deref());
            for (key, value) in query {
                call = call.query(key, *value);
            }
            let mut page = call.json().await?;
            let Some(Value::Array(found)) = page.get_mut("data").map(Value::take) else {
                return Err(Failure::new(
                    Kind::Failed,
                    format!("cannot {doing}"),
                    "the answer is not a page of a list",
                ));
            };
            let next = page.get("next").and_then(Value::as_str).map(str::to_owned);
            items.extend(found);
            items.truncate(limit);
            if items.len() >= limit || next.is_none() || next == after {
                return Ok(items);
            }
            after = next;
        }
    }

    /// All pages of a list of the croit dialect, or the first `limit` items: that dialect counts what comes before, and takes
    /// what is asked for as one JSON text.
    ///
    /// # Errors
    /// As [`Call::json`].
    pub async fn counted_pages(
        &self,
        doing: &str,
        path: &[&str],
        condition: &Value,
        limit: usize,
    ) -> Result<Vec<Value>, Failure> {
        let mut items = Vec::new();
        loop {
            let page_size = (limit - items.len()).clamp(1, 1000);
            let asked = json!({"after": items.len(), "limit": page_size, "where": condition}).to_string();
            let mut page = self.get(doing, path).query("pagination", Some(&asked)).json().await?;
            let Some(Value::Array(found)) = page.get_mut("data").map(Value::take) else {
                return Err(Failure::new(
                    Kind::Failed,
                    format!("cannot {doing}"),
                    "the answer is not a page of a list",
                ));
            };
            let last = found.len() < page_size;
            items.extend(found);
            items.truncate(limit);
            if last || items.len() >= limit {
                return Ok(items);
            }
        }
    }

    /// Logs in with a password and returns the token and what Keystone tells of it.
    ///
    /// # Errors
    /// As [`Call::json`].
    pub async fn log_in(&self, login: &Login) -> Result<(String, Value), Failure> {
        let domain = json!({"name": login.domain});
        let user = json!({"name": login.username, "password": login.password, "domain": domain});
        let body = json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": {"name": login.project, "domain": domain}},
        }});
        let doing = format!("log in as {}", login.username);
        let anonymous = Self { token: None, ..self.clone() };
        let call = anonymous.post(doing.as_str(), &["identity", "v3", "auth", "tokens"]).body(body);
        let reply = call.reply().await?;
        let token = reply.headers.get("X-Subject-Token").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let token =
            token.ok_or_else(|| Failure::new(Kind::Failed, format!("cannot {doing}"), "the answer has no token"))?;
        let mut told = parse(&doing, &reply.body)?;
        Ok((token, told["token"].take()))
    }

    fn locate(&self, path: &[&str]) -> Result<Url, String> {
        if let Some(bad) = path.iter().find(|part| matches!(**part, "" | "." | "..")) {
            return Err(format!("{bad:?} is not a name or an id"));
        }
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| "the manager's URL cannot have a path".to_string())?
            .pop_if_empty()
            .extend(path);
        Ok(url)
    }

    fn unreachable(&self, doing: &str, error: &reqwest::Error) -> Failure {
        let why = if error.is_timeout() {
            format!("{} did not answer in time", self.url())
        } else {
            format!("no connection to {} ({})", self.url(), chain(error))
        };
        let hint = if self.local {
            "is `hostler up` running? Start it, or name another manager with --url and --token"
        } else {
            "check the address (--url, HOSTLER_URL), the CA (--ca-file, HOSTLER_CA_FILE) and that the manager runs"
        };
        Failure::new(Kind::Unreachable, format!("cannot {doing}"), why).hint(hint)
    }
}

impl Call<'_> {
    /// Adds a parameter, if there is a value.
    #[must_use]
    pub fn query(mut self, key: &str, value: Option<&str>) -> Self {
        if let (Ok(url), Some(value)) = (&mut self.url, value) {
            url.query_pairs_mut().append_pair(key, value);
        }
        self
    }

    /// Sets the JSON body.
    #[must_use]
    pub fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Sends it and reads a JSON answer.
    ///
    /// # Errors
    /// The manager is not reached, refuses, or answers with something that is not JSON.
    pub async fn json(self) -> Result<Value, Failure> {
        let doing = self.doing.clone();
        let reply = self.reply().await?;
        parse(&doing, &reply.body)
    }

    /// Sends it and expects nothing but success.
    ///
    /// # Errors
    /// The manager is not reached or refuses.
    pub async fn done(self) -> Result<(), Failure> {
        self.reply().await.map(drop)
    }

    /// Sends it and reads the whole answer.
    ///
    /// # Errors
    /// The manager is not reached or refuses, or the answer is too large.
    pub async fn reply(self) -> Result<Reply, Failure> {
        let (client, doing) = (self.client, self.doing.clone());
        let mut response = self.send("application/json", REQUEST_TIMEOUT).await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| client.unreachable(&doing, &error))? {
            if bytes.len() + chunk.len() > ANSWER_MAX {
                let why = format!("the answer is larger than {}", crate::output::human::bytes(ANSWER_MAX as u64));
                return Err(Failure::new(Kind::Failed, format!("cannot {doing}"), why));
            }
            bytes.extend_from_slice(&chunk);
        }
        if response.status().is_success() {
            return Ok(Reply { headers: response.headers().clone(), body: bytes });
        }
        Err(refusal(&doing, response.status(), response.headers(), &bytes))
    }

    /// Sends it and returns the answer, whatever its status; the whole exchange may take so long.
    async fn send(self, accept: &'static str, patience: Duration) -> Result<Response, Failure> {
        let Self { client, doing, method, url, body, headers } = self;
        let mut request = client.http.request(method, url?).header(header::ACCEPT, accept).timeout(patience);
        if let Some(token) = &client.token {
            request = request.header("X-Auth-Token", sensitive(&doing, token)?);
        }
        for (name, value) in headers {
            request = request.header(name, sensitive(&doing, &value)?);
        }
        if let Some(body) = &body {
            request = request.json(body);
        }
        request.send().await.map_err(|error| client.unreachable(&doing, &error))
    }
}

/// Turns a refusal in any of the three dialects into a failure.
fn refusal(doing: &str, status: StatusCode, headers: &header::HeaderMap, body: &[u8]) -> Failure {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |value: &Value| value.as_str().map(str::to_owned).filter(|text| !text.is_empty());
    let why = text(&value["message"])
        .or_else(|| text(&value["error"]["message"]))
        .or_else(|| text(&value["error"]))
        .unwrap_or_else(|| status.canonical_reason().unwrap_or("refused").to_owned());
    let details = match &value["details"] {
        Value::Object(map) if !map.is_empty() => format!(" ({})", crate::output::field::inline(&value["details"])),
        _ => String::new(),
    };
    let kind = Kind::of_status(status.as_u16());
    let why = format!("{}{details} (HTTP {})", why.trim_end(), status.as_u16());
    let mut failure = Failure::new(kind, format!("cannot {doing}"), why);
    failure.status = Some(status.as_u16());
    failure.hint = hint(kind).map(str::to_owned);
    let id = headers.get("X-Request-Id").or_else(|| headers.get("X-OpenStack-Request-ID"));
    failure.request = id.and_then(|id| id.to_str().ok()).map(str::to_owned);
    failure
}

/// What helps against each kind of refusal in general; commands add what they know better.
fn hint(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Unreachable => Some("set HOSTLER_TOKEN (or --token), or HOSTLER_USERNAME and HOSTLER_PASSWORD"),
        Kind::Denied => Some("use a token whose roles allow it; docs/native-api.md names the role of each request"),
        Kind::Unavailable => Some("try again later"),
        Kind::Failed => Some("the manager's log has more under this request id"),
        Kind::ReaderGone
        | Kind::Usage
        | Kind::NotFound
        | Kind::Conflict
        | Kind::Rejected
        | Kind::Deadline
        | Kind::Interrupted
        | Kind::Script(_) => None,
    }
}

fn parse(doing: &str, body: &[u8]) -> Result<Value, Failure> {
    if body.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(body).map_err(|error| {
        Failure::new(Kind::Failed, format!("cannot {doing}"), format!("the answer is not JSON: {error}"))
            .hint("is this the address of a Hostler manager?")
    })
}

fn sensitive(doing: &str, text: &str) -> Result<header::HeaderValue, Failure> {
    let mut value = header::HeaderValue::from_str(text).map_err(|_| {
        Failure::new(Kind::Usage, format!("cannot {doing}"), "the token contains characters that no token has")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn certificates(path: &Path) -> Result<Vec<Certificate>, Failure> {
    let failed = |why: String| {
        Failure::new(Kind::Usage, format!("cannot use the CA file {}", path.display()), why)
            .hint("--ca-file and HOSTLER_CA_FILE name a PEM file with the certificates to trust")
    };
    let pem = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    let found = Certificate::from_pem_bundle(&pem).map_err(|error| failed(chain(&error)))?;
    if found.is_empty() { Err(failed("it holds no certificate".into())) } else { Ok(found) }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// An error with its innermost cause, which is the one that says something.
fn chain(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests;
