//! Connections to servers that operators name: through the guard, without redirects and proxies, with one limit of time for all of
//! an exchange.

use std::path::Path;
use std::time::Duration;

use hostler_common::text::clip;
use reqwest::{Certificate, Client, Url, redirect};

use super::guard::Guard;

/// How long a connection that is not used is kept.
const IDLE: Duration = Duration::from_secs(30);

/// The longest description of a failure, in bytes.
const REASON_MAX: usize = 400;

/// What makes connections. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reach {
    guard: Guard,
    plain: Result<Client, String>,
    secure: Result<Client, String>,
}

impl Reach {
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

    /// The URL, and what connects to it.
    ///
    /// # Errors
    /// The guard refuses the URL, or connections of its kind cannot be made; for people.
    pub fn to(&self, url: &str) -> Result<(Url, &Client), String> {
        let url = self.guard.url(url).map_err(|why| format!("the URL {why}"))?;
        let client = if url.scheme() == "http" { &self.plain } else { &self.secure };
        Ok((url, client.as_ref().map_err(Clone::clone)?))
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

/// Why there was no answer, for people; `who` should have given one.
#[must_use]
pub fn told(error: &reqwest::Error, who: &str) -> String {
    let what = if error.is_timeout() {
        return format!("{who} did not answer in time");
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
