//! One attempt: a request to a receiver, and what its answer means.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use hostler_common::text::clip;
use reqwest::{Certificate, Client, Response, StatusCode, Url, header, redirect};

use super::guard::Guard;

/// How much of an answer is read, in bytes. It says nothing that counts; a connection can only be used again when it is
/// read to its end.
const ANSWER_MAX: usize = 4 << 10;

/// How long a connection that is not used is kept.
const IDLE: Duration = Duration::from_secs(30);

/// The longest description of a failure, in bytes.
const REASON_MAX: usize = 400;

/// What is sent.
#[derive(Clone, Debug)]
pub struct Message {
    /// The headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

/// What came of an attempt that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
    /// Why, for people.
    pub reason: String,
    /// How long the receiver asks to be left alone.
    pub retry_after: Option<Duration>,
}

impl Failure {
    pub(super) fn of(reason: impl Into<String>) -> Self {
        Self { status: None, reason: reason.into(), retry_after: None }
    }
}

/// Sends messages. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Post {
    guard: Guard,
    plain: Result<Client, String>,
    secure: Result<Client, String>,
}

impl Post {
    /// Prepares connections; opens none. What stands in the way is told by each attempt that it concerns.
    #[must_use]
    pub fn new(guard: Guard, timeout: Duration, ca_file: Option<&Path>) -> Self {
        // It fails only when it was done before.
        rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
        let client = |extra: Option<Vec<Certificate>>, secure: bool| {
            let mut builder = Client::builder()
                .timeout(timeout)
                .connect_timeout(timeout)
                .redirect(redirect::Policy::none())
                // A proxy would connect for us, past the guard.
                .no_proxy()
                .referer(false)
                .pool_max_idle_per_host(1)
                .pool_idle_timeout(IDLE)
                .dns_resolver(guard.clone())
                .user_agent(concat!("hostler-manager/", env!("CARGO_PKG_VERSION")));
            if !secure {
                // Without this, a machine without system certificates could not even talk plain HTTP.
                builder = builder.tls_certs_only([]);
            } else if let Some(extra) = extra {
                builder = builder.tls_certs_merge(extra);
            }
            builder.build().map_err(|error| format!("TLS cannot be set up: {}", cause(&error)))
        };
        let secure = certificates(ca_file).and_then(|extra| client(extra, true));
        Self { plain: client(None, false), secure, guard }
    }

    /// Sends a message and waits for the answer; returns its status.
    ///
    /// # Errors
    /// The receiver may not be reached, is not reached, or answers with anything but 2xx.
    pub async fn send(&self, url: &str, message: Message) -> Result<u16, Failure> {
        let url = self.guard.url(url).map_err(|why| Failure::of(format!("the URL {why}")))?;
        let client = self.client(&url).map_err(Failure::of)?;
        let mut request = client.post(url).body(message.body);
        for (name, value) in message.headers {
            request = request.header(name, value);
        }
        let response = request.send().await.map_err(|error| Failure::of(told(&error)))?;
        let status = response.status();
        let failure = judge(&response);
        drain(response).await;
        match failure {
            None => Ok(status.as_u16()),
            Some(failure) => Err(failure),
        }
    }

    fn client(&self, url: &Url) -> Result<&Client, String> {
        let client = if url.scheme() == "http" { &self.plain } else { &self.secure };
        client.as_ref().map_err(Clone::clone)
    }
}

fn certificates(ca_file: Option<&Path>) -> Result<Option<Vec<Certificate>>, String> {
    let Some(path) = ca_file else { return Ok(None) };
    let fail = |why: String| format!("webhooks.ca_file: {}: {why}", path.display());
    let pem = std::fs::read(path).map_err(|error| fail(error.to_string()))?;
    let found = Certificate::from_pem_bundle(&pem).map_err(|error| fail(cause(&error)))?;
    if found.is_empty() { Err(fail("holds no certificate".into())) } else { Ok(Some(found)) }
}

/// Whether the certificates of a file can be used.
///
/// # Errors
/// They cannot; the text names the file.
pub fn check_ca_file(path: &Path) -> Result<(), String> {
    certificates(Some(path)).map(drop)
}

/// What an answer means; `None` if the event was taken.
fn judge(response: &Response) -> Option<Failure> {
    let status = response.status();
    if status.is_success() {
        return None;
    }
    let name = status.canonical_reason().unwrap_or("no known status");
    let more = if status.is_redirection() { "; redirects are not followed" } else { "" };
    let waits = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
    let seconds = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    Some(Failure {
        status: Some(status.as_u16()),
        reason: format!("the receiver answered {} ({name}){more}", status.as_u16()),
        retry_after: seconds.filter(|_| waits).map(Duration::from_secs),
    })
}

/// Reads an answer to its end, if that is near; else the connection is not used again.
async fn drain(mut response: Response) {
    let mut read = 0;
    while let Ok(Some(chunk)) = response.chunk().await {
        read += chunk.len();
        if read > ANSWER_MAX {
            return;
        }
    }
}

fn told(error: &reqwest::Error) -> String {
    let what = if error.is_timeout() {
        return "the receiver did not answer in time".into();
    } else if error.is_connect() {
        "no connection"
    } else {
        "the exchange failed"
    };
    clip(&format!("{what}: {}", cause(error)), REASON_MAX).to_owned()
}

/// The innermost cause of an error, which is the one that says something, and which does not repeat the URL.
fn cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
