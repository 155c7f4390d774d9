//! The settings of the manager: one TOML file, overridden by the environment (`HOSTLER_MANAGER_LISTEN__REST=…`), checked
//! at start with errors that name the file and the key (design §9).

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hostler_daemon::log::Log;
use hostler_daemon::settings::{self, Error};
use serde::Deserialize;

mod check;
mod croit;
mod event;
mod maintenance;
mod proof;
#[cfg(test)]
mod tests;
mod watch;

pub use croit::Croit;
pub use event::{Events, Webhooks};
pub use maintenance::Maintenance;
pub use proof::{CertificateRole, ClientCertificate, Keystone};
pub use watch::{Leases, Watch};

/// All settings. Every key has a default but `state_dir`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the manager keeps its database, its certificates and its run files.
    pub state_dir: PathBuf,
    /// Where it listens.
    #[serde(default)]
    pub listen: Listen,
    /// Where its state is.
    #[serde(default)]
    pub database: Database,
    /// The first administrator, made at start if there is none of that name.
    #[serde(default)]
    pub bootstrap: Option<Bootstrap>,
    /// How callers of the REST interfaces prove who they are.
    #[serde(default)]
    pub auth: Auth,
    /// Agents.
    #[serde(default)]
    pub agents: Agents,
    /// An operator's own PKI in place of the built-in certificate authority.
    #[serde(default)]
    pub pki: Option<Pki>,
    /// Introspection.
    #[serde(default)]
    pub introspection: Introspection,
    /// The croit dialect.
    #[serde(default)]
    pub croit: Croit,
    /// What agents watch.
    #[serde(default)]
    pub watch: Watch,
    /// Events and those who follow them.
    #[serde(default)]
    pub events: Events,
    /// Programs elsewhere that are told of events.
    #[serde(default)]
    pub webhooks: Webhooks,
    /// Maintenance sessions.
    #[serde(default)]
    pub maintenance: Maintenance,
    /// How long finished things are kept.
    #[serde(default)]
    pub retention: Retention,
    /// Logging.
    #[serde(default)]
    pub log: Log,
}

impl Config {
    /// Reads the settings of `file` and of the environment, and checks them.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn load(file: &Path) -> Result<Self, Error> {
        settings::load(file)
    }
}

/// Where the manager listens.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// REST. A port of 0 means any free one; the real ones are in `listening.json` of the state directory.
    pub rest: SocketAddr,
    /// Agents, gRPC over mutual TLS.
    pub agents: SocketAddr,
    /// The maintenance dialect alone, at its root; its clients expect the port 12347. Absent means that it is only where the
    /// others are. TLS and everything else is as with `rest`.
    pub maintenance: Option<SocketAddr>,
    /// Certificate chain of the REST listener, PEM; with it, REST is HTTPS.
    pub tls_certificate: Option<PathBuf>,
    /// Private key of the REST listener, PEM.
    pub tls_key: Option<PathBuf>,
    /// Whether plain HTTP is allowed on an address that is not loopback.
    pub allow_plain_http: bool,
    /// Addresses of proxies whose `X-Forwarded-*` headers are believed.
    pub trusted_proxies: Vec<std::net::IpAddr>,
    /// Certificates of the authorities whose client certificates are believed, PEM; absent means that none is asked for.
    pub client_ca_file: Option<PathBuf>,
    /// Origins whose pages may use the REST interfaces in a browser (CORS); `*` means all.
    pub allowed_origins: Vec<String>,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            rest: SocketAddr::from(([127, 0, 0, 1], 8080)),
            agents: SocketAddr::from(([127, 0, 0, 1], 7443)),
            maintenance: None,
            tls_certificate: None,
            tls_key: None,
            allow_plain_http: false,
            trusted_proxies: Vec::new(),
            client_ca_file: None,
            allowed_origins: Vec::new(),
        }
    }
}

/// Where the state is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Database {
    /// `postgres://…`; absent means a SQLite file in the state directory.
    pub url: Option<String>,
}

/// The first administrator.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bootstrap {
    /// The user's name.
    pub username: String,
    /// The user's password.
    pub password: secrecy::SecretString,
    /// The project in which the user is `admin`.
    #[serde(default = "admin")]
    pub project: String,
    /// The domain's name; there is one, `Default`.
    #[serde(default = "default_domain")]
    pub domain: String,
}

fn admin() -> String {
    "admin".into()
}

fn default_domain() -> String {
    "Default".into()
}

/// How callers prove who they are (spec/introspection.md §1.4).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// Which proof is asked for.
    pub strategy: Strategy,
    /// Tokens that do not end; for services and for the first steps.
    pub static_tokens: Vec<StaticToken>,
    /// Password file of `http_basic`: `name:bcrypt-hash` lines.
    pub htpasswd_file: Option<PathBuf>,
    /// How long a token of the identity dialect counts, in seconds; an hour where it is not set.
    #[serde(deserialize_with = "seconds", rename = "token_lifetime_s")]
    pub token_lifetime: Option<Duration>,
    /// The Keystone of the strategy `keystone`.
    pub keystone: Option<Keystone>,
    /// What the owners of client certificates are. A certificate that no rule names proves nothing.
    pub client_certificates: Vec<ClientCertificate>,
}

/// Which proof is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// A token of the embedded identity, or a static one.
    #[default]
    Token,
    /// None: everybody is an administrator. Only for loopback and trusted networks.
    None,
    /// HTTP Basic with a password file.
    HttpBasic,
    /// A token of an existing Keystone, or a static one.
    Keystone,
}

/// A token that does not end.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StaticToken {
    /// The name in the audit trail.
    pub name: String,
    /// SHA-256 of the token, hexadecimal.
    pub token_sha256: String,
    /// The roles of its bearer.
    pub roles: Vec<String>,
}

/// Agents and their links.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Agents {
    /// How often an agent says that it is there, in seconds.
    pub heartbeat_s: u32,
    /// How long a certificate of an agent counts, in hours.
    pub certificate_hours: u32,
    /// The largest difference of clocks that is tolerated, in seconds.
    pub max_clock_skew_s: u32,
    /// How many agents may be connected.
    pub max_connections: u32,
}

impl Default for Agents {
    fn default() -> Self {
        Self { heartbeat_s: 15, certificate_hours: 24 * 30, max_clock_skew_s: 3600, max_connections: 10_000 }
    }
}

/// An operator's own PKI (design §5). All files are PEM, and are read again when they change.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pki {
    /// The authorities that certify agents.
    pub ca_file: PathBuf,
    /// The manager's certificate for agents, with those between it and an authority.
    pub cert_file: PathBuf,
    /// Its private key.
    pub key_file: PathBuf,
    /// Lists of certificates that their authorities revoked.
    #[serde(default)]
    pub crl_file: Option<PathBuf>,
    /// What the URI in the certificate of a host begins with; its UUID or its name follows.
    #[serde(default = "host_uri")]
    pub uri_prefix: String,
}

fn host_uri() -> String {
    hostler_common::link::HOST_URI.into()
}

/// Introspection (spec/introspection.md §2.3, §4.8). Names as upstream where it has them.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Introspection {
    /// How long data are waited for, in seconds.
    pub timeout: u64,
    /// A start within this time after an equal one is the same start, in seconds.
    pub dedup_window: u64,
    /// How long a probe may take, in seconds.
    pub probe_timeout: u64,
    /// The longest page of the list.
    pub api_max_limit: u32,
    /// Whether `POST /v1/continue` is served at all.
    pub callback_enabled: bool,
    /// Networks (CIDR) from which callbacks are taken; none means from nowhere.
    pub callback_networks: Vec<String>,
    /// Whether data are taken from outside for hosts that wait for none.
    pub permit_active_introspection: bool,
    /// How many changed inventories of a host are kept.
    pub inventories_kept: u32,
    /// Whether a refresh appears as an introspection.
    pub publish_refresh_as_introspection: bool,
    /// Reading inventories again without being asked.
    pub refresh: Refresh,
    /// The processing hooks.
    pub processing: hostler_core::introspection::process::Settings,
}

impl Default for Introspection {
    fn default() -> Self {
        Self {
            timeout: 600,
            dedup_window: 30,
            probe_timeout: 60,
            api_max_limit: 1000,
            callback_enabled: false,
            callback_networks: Vec::new(),
            permit_active_introspection: false,
            inventories_kept: 20,
            publish_refresh_as_introspection: false,
            refresh: Refresh::default(),
            processing: hostler_core::introspection::process::Settings::default(),
        }
    }
}

/// How often inventories are read again (spec/introspection.md §6.4), in seconds; 0 means never.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Refresh {
    /// Whether they are at all.
    pub enabled: bool,
    /// Parts of the machine and their firmware.
    pub static_s: u64,
    /// Disks, links and neighbours.
    pub topology_s: u64,
    /// Measured values and error counts.
    pub health_s: u64,
    /// The operating system and what is installed.
    pub software_s: u64,
    /// Devices and daemons of Ceph.
    pub ceph_s: u64,
    /// The management controller.
    pub bmc_s: u64,
    /// How many hosts of a hundred are read at once at the most.
    pub at_once_percent: u32,
    /// How many hosts may be read at once in any case.
    pub at_once_min: u32,
}

impl Refresh {
    /// The intervals with their names, in the order of `Group::ALL`.
    pub(crate) fn intervals(&self) -> [(&'static str, u64); 6] {
        [
            ("static_s", self.static_s),
            ("topology_s", self.topology_s),
            ("health_s", self.health_s),
            ("software_s", self.software_s),
            ("ceph_s", self.ceph_s),
            ("bmc_s", self.bmc_s),
        ]
    }
}

impl Default for Refresh {
    fn default() -> Self {
        Self {
            enabled: true,
            static_s: 86_400,
            topology_s: 600,
            health_s: 900,
            software_s: 21_600,
            ceph_s: 600,
            bmc_s: 21_600,
            at_once_percent: 10,
            at_once_min: 32,
        }
    }
}

/// How long finished things are kept, in days.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Events.
    pub events_days: u32,
    /// Calls that could change something, as the audit list shows them.
    pub audit_days: u32,
    /// Tasks and their histories.
    pub tasks_days: u32,
    /// What scripts wrote; that they ran, and how they ended, is kept with the task.
    pub outputs_days: u32,
    /// Jobs.
    pub jobs_days: u32,
    /// What inventories changed.
    pub changes_days: u32,
    /// Join tokens, after they expired or were revoked.
    pub join_tokens_days: u32,
    /// Certificates of agents, after they expired or were revoked.
    pub certificates_days: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            events_days: 400,
            audit_days: 400,
            tasks_days: 90,
            outputs_days: 14,
            jobs_days: 14,
            changes_days: 400,
            join_tokens_days: 90,
            certificates_days: 90,
        }
    }
}

fn seconds<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_secs))
}
