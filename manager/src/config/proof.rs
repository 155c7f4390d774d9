//! Proofs that somebody else vouches for: an existing Keystone, and client certificates (spec/introspection.md §1.4).

use std::path::PathBuf;

use hostler_core::policy::Role;
use reqwest::Url;
use secrecy::SecretString;
use serde::Deserialize;

use super::check::{Check, refuse};
use super::{Auth, Listen, Strategy, default_domain};

/// An existing Keystone, and as whom the manager asks it about the tokens of its callers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keystone {
    /// Its URL, with or without `/v3`. Callers read it in `WWW-Authenticate`.
    pub auth_url: String,
    /// The manager's own user there.
    #[serde(default)]
    pub username: Option<String>,
    /// The password of that user.
    #[serde(default)]
    pub password: Option<SecretString>,
    /// The domain of that user, by name.
    #[serde(default = "default_domain")]
    pub user_domain_name: String,
    /// The project that the user works in; without one, they work in the whole system.
    #[serde(default)]
    pub project_name: Option<String>,
    /// The domain of that project, by name.
    #[serde(default = "default_domain")]
    pub project_domain_name: String,
    /// An application credential, which counts before user and password: its id.
    #[serde(default)]
    pub application_credential_id: Option<String>,
    /// The secret of that credential.
    #[serde(default)]
    pub application_credential_secret: Option<SecretString>,
    /// Certificates of the authorities that may vouch for it, PEM; absent means those of the operating system.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Whether plain HTTP to another machine is allowed: all tokens and the password then cross the network in the clear.
    #[serde(default)]
    pub allow_plain_http: bool,
    /// How long what it said of a token is believed, in seconds.
    #[serde(default = "a_minute")]
    pub cache_s: u32,
    /// How long one answer of it may take, in seconds.
    #[serde(default = "five_seconds")]
    pub timeout_s: u32,
}

fn a_minute() -> u32 {
    60
}

fn five_seconds() -> u32 {
    5
}

impl Keystone {
    /// The URL of the version of its interface that is used, without a slash at the end.
    #[must_use]
    pub fn v3(&self) -> String {
        let url = self.auth_url.trim_end_matches('/');
        if url.ends_with("/v3") { url.to_owned() } else { format!("{url}/v3") }
    }

    fn check(&self) -> Check {
        let key = |name: &str| format!("auth.keystone.{name}");
        let form = "must be a URL such as \"https://keystone.example:5000/v3\", without a user and a query";
        let Ok(url) = Url::parse(&self.auth_url) else { return refuse(key("auth_url"), form) };
        let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() || !plain || url.fragment().is_some() {
            return refuse(key("auth_url"), form);
        }
        if url.scheme() == "http" && !is_loopback(&url) && !self.allow_plain_http {
            let rule =
                "plain HTTP to another machine is refused: use https, or set auth.keystone.allow_plain_http = true";
            return refuse(key("auth_url"), rule);
        }
        let user = (self.username.is_some(), self.password.is_some());
        let credential = (self.application_credential_id.is_some(), self.application_credential_secret.is_some());
        match (user, credential) {
            (_, (true, true)) | ((true, true), (false, false)) => {}
            ((false, true), (false, false)) => return refuse(key("username"), "is missing: a password needs its user"),
            ((true, false), (false, false)) => return refuse(key("password"), "is missing: a user needs a password"),
            ((false, false), (true, false)) => {
                return refuse(key("application_credential_secret"), "is missing: a credential needs its secret");
            }
            ((false, false), (false, true)) => {
                return refuse(key("application_credential_id"), "is missing: a secret needs its credential");
            }
            _ => {
                let rule = "needs either username and password, or application_credential_id and \
                            application_credential_secret";
                return refuse("auth.keystone", rule);
            }
        }
        if self.cache_s > 3600 {
            return refuse(key("cache_s"), "must be from 0 to 3600 seconds");
        }
        if !(1..=60).contains(&self.timeout_s) {
            return refuse(key("timeout_s"), "must be from 1 to 60 seconds");
        }
        Ok(())
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    address.map_or(host == "localhost", |address| address.is_loopback())
}

/// What a client certificate makes its owner: one of the names, and the role.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientCertificate {
    /// The common name of the subject.
    #[serde(default)]
    pub common_name: Option<String>,
    /// A URI among the alternative names, such as `spiffe://…`.
    #[serde(default)]
    pub uri: Option<String>,
    /// A DNS name among the alternative names.
    #[serde(default)]
    pub dns: Option<String>,
    /// What the owner is.
    pub role: CertificateRole,
}

impl ClientCertificate {
    /// The names that are given; a valid rule has exactly one.
    fn names(&self) -> impl Iterator<Item = &String> {
        [&self.common_name, &self.uri, &self.dns].into_iter().flatten()
    }
}

/// The roles that a certificate can give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CertificateRole {
    /// Everything.
    Admin,
    /// Other services.
    Service,
    /// Only reads.
    Reader,
}

impl CertificateRole {
    /// The role that the policy knows.
    #[must_use]
    pub fn role(self) -> Role {
        match self {
            Self::Admin => Role::Admin,
            Self::Service => Role::Service,
            Self::Reader => Role::Reader,
        }
    }
}

/// Checks what is said about proofs from outside.
pub(super) fn check(auth: &Auth, listen: &Listen) -> Check {
    match &auth.keystone {
        Some(keystone) => keystone.check()?,
        None if auth.strategy == Strategy::Keystone => {
            return refuse("auth.keystone", "is missing: auth.strategy = \"keystone\" needs it");
        }
        None => {}
    }
    for (index, rule) in auth.client_certificates.iter().enumerate() {
        if rule.names().count() != 1 || rule.names().any(String::is_empty) {
            let text = "needs exactly one of common_name, uri and dns";
            return refuse(format!("auth.client_certificates.{index}"), text);
        }
    }
    match (&listen.client_ca_file, &listen.tls_certificate) {
        (None, _) if !auth.client_certificates.is_empty() => {
            return refuse(
                "listen.client_ca_file",
                "is missing: auth.client_certificates needs an authority to believe",
            );
        }
        (Some(_), None) => return refuse("listen.client_ca_file", "needs listen.tls_certificate and listen.tls_key"),
        _ => {}
    }
    for (index, origin) in listen.allowed_origins.iter().enumerate() {
        if origin != "*" && !is_origin(origin) {
            let text = "must be \"*\", or a scheme, a host and perhaps a port, such as \"https://console.example\"";
            return refuse(format!("listen.allowed_origins.{index}"), text);
        }
    }
    Ok(())
}

/// Whether it is exactly what a browser would send: an origin with anything more or in other letters never matches.
fn is_origin(text: &str) -> bool {
    Url::parse(text)
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == text)
}
