//! What is said to Keystone, and how: two requests, each bounded in time and size.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hostler_common::time::Timestamp;
use http::{HeaderValue, StatusCode};
use reqwest::{RequestBuilder, Response, redirect};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::answer::{self, Said};
use crate::config;

/// The largest answer that is read, in bytes. Without the catalogue, which is not asked for, a token has a few thousand.
const ANSWER_MAX: usize = 1 << 20;

/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(60);

type Result<T> = std::result::Result<T, String>;

/// What Keystone says to a question about a token.
#[derive(Debug)]
pub(super) enum Validation {
    /// It counts.
    Known(Said),
    /// It does not count.
    Unknown,
    /// The token with which the question was asked does not count.
    OwnRefused,
}

/// Asks one Keystone.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    tokens: String,
    settings: config::Keystone,
}

impl Client {
    /// A client that waits so long for an answer. Nothing is sent yet.
    ///
    /// # Errors
    /// The file with the authorities cannot be used.
    pub(super) fn new(settings: &config::Keystone, timeout: Duration) -> Result<Self> {
        // It fails only where the process has one already, which is the same.
        rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
        let mut builder = reqwest::Client::builder()
            // A redirect would carry tokens to wherever it says, and a proxy of the environment is not meant for them.
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(timeout)
            .timeout(timeout)
            .pool_idle_timeout(IDLE);
        if let Some(file) = &settings.ca_file {
            builder = builder.tls_backend_preconfigured(trusting(file)?);
        }
        let http = builder.build().map_err(|error| format!("no client for Keystone can be made: {}", chain(&error)))?;
        Ok(Self { http, tokens: format!("{}/auth/tokens?nocatalog", settings.v3()), settings: settings.clone() })
    }

    /// Gets a token for this manager itself, and until when it counts.
    ///
    /// # Errors
    /// Keystone does not give one.
    pub(super) async fn login(&self) -> Result<(SecretString, Timestamp)> {
        let response = send(self.http.post(&self.tokens).json(&self.proof())).await?;
        if response.status() != StatusCode::CREATED {
            return Err(format!("it answers the login of this manager with {}", response.status()));
        }
        let token = response.headers().get("x-subject-token").and_then(|token| token.to_str().ok());
        let token = token.map(SecretString::from).ok_or("its answer to the login of this manager has no token")?;
        let said = answer::read(&body(response).await?)?;
        Ok((token, said.expires_at))
    }

    /// Asks about a token, with one of our own.
    ///
    /// # Errors
    /// Keystone does not answer, or not as Keystone does.
    pub(super) async fn validate(&self, own: &SecretString, token: &str) -> Result<Validation> {
        let secret = |text: &str| {
            let value = HeaderValue::from_str(text).map_err(|_| "a token has characters that no header has");
            value.map(|mut value| {
                value.set_sensitive(true);
                value
            })
        };
        let request = self.http.get(&self.tokens).header("x-auth-token", secret(own.expose_secret())?);
        let response = send(request.header("x-subject-token", secret(token)?)).await?;
        match response.status() {
            StatusCode::OK => Ok(Validation::Known(answer::read(&body(response).await?)?)),
            StatusCode::NOT_FOUND if is_keystone(&body(response).await?) => Ok(Validation::Unknown),
            StatusCode::NOT_FOUND => Err("there is no Keystone at auth.keystone.auth_url".into()),
            StatusCode::UNAUTHORIZED => Ok(Validation::OwnRefused),
            StatusCode::FORBIDDEN => Err("the user of this manager may not look at tokens: it needs a role".into()),
            other => Err(format!("it answers with {other}")),
        }
    }

    /// The body of the login.
    fn proof(&self) -> Value {
        let settings = &self.settings;
        if let (Some(id), Some(secret)) = (&settings.application_credential_id, &settings.application_credential_secret)
        {
            let credential = json!({ "id": id, "secret": secret.expose_secret() });
            let methods = ["application_credential"];
            return json!({ "auth": { "identity": { "methods": methods, "application_credential": credential } } });
        }
        let password = settings.password.as_ref().map(|password| password.expose_secret());
        let user = json!({
            "name": settings.username, "domain": { "name": settings.user_domain_name }, "password": password,
        });
        let scope = match &settings.project_name {
            Some(name) => json!({ "project": { "name": name, "domain": { "name": settings.project_domain_name } } }),
            None => json!({ "system": { "all": true } }),
        };
        let identity = json!({ "methods": ["password"], "password": { "user": user } });
        json!({ "auth": { "identity": identity, "scope": scope } })
    }
}

/// TLS that believes the authorities in a PEM file, and no others.
fn trusting(file: &Path) -> Result<ClientConfig> {
    let wrong = |reason: String| format!("auth.keystone.ca_file: {}: {reason}", file.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| wrong(error.to_string()))? {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(wrong("there is no certificate in it".into()));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| wrong(error.to_string()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

async fn send(request: RequestBuilder) -> Result<Response> {
    request.send().await.map_err(|error| chain(&error))
}

/// The body, if it is not too large.
async fn body(mut response: Response) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| chain(&error))? {
        if all.len() + chunk.len() > ANSWER_MAX {
            return Err(format!("its answer is larger than {ANSWER_MAX} bytes"));
        }
        all.extend_from_slice(&chunk);
    }
    Ok(all)
}

/// Whether a 404 is Keystone's own about a token, and not that of whatever else listens there.
fn is_keystone(body: &[u8]) -> bool {
    serde_json::from_slice::<Value>(body).is_ok_and(|body| body["error"]["code"] == 404)
}

/// An error with its causes, of which the first alone says nothing.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
