//! The rules that single types cannot hold.

use std::ops::RangeInclusive;

use hostler_core::introspection::document::net::Network;
use hostler_core::policy::Role;
use hostler_daemon::settings::{Settings, Wrong};

use super::{Auth, Config, Listen, Strategy, default_domain};

pub(super) type Check = Result<(), Wrong>;

pub(super) fn refuse(key: impl Into<String>, rule: impl Into<String>) -> Check {
    Err(Wrong::new(key, rule))
}

/// Ten years in seconds: more is a typing error.
const TEN_YEARS: u64 = 315_576_000;

impl Settings for Config {
    const PREFIX: &'static str = "HOSTLER_MANAGER_";

    fn check(&self) -> Check {
        if self.state_dir.as_os_str().is_empty() {
            return refuse("state_dir", "must name a directory, such as /var/lib/hostler-manager");
        }
        check_listen(&self.listen)?;
        if self.bootstrap.as_ref().is_some_and(|bootstrap| !bootstrap.domain.eq_ignore_ascii_case(&default_domain())) {
            return refuse("bootstrap.domain", "must be \"Default\", the one domain there is");
        }
        check_auth(&self.auth)?;
        super::proof::check(&self.auth, &self.listen)?;
        self.check_numbers()?;
        super::maintenance::check(&self.maintenance)?;
        check_networks("introspection.callback_networks", &self.introspection.callback_networks)?;
        check_networks("webhooks.allow_networks", &self.webhooks.allow_networks)?;
        check_networks("webhooks.deny_networks", &self.webhooks.deny_networks)?;
        check_networks("maintenance.subscription_networks", &self.maintenance.subscription_networks)?;
        if !hostler_core::cloudevent::name_fits(&self.events.name) {
            return refuse("events.name", "must have from 1 to 64 of A-Z, a-z, 0-9, '.', '-' and '_'");
        }
        let public = self.maintenance.public_url.as_deref();
        if public.is_some_and(|url| !(url.starts_with("https://") || url.starts_with("http://")) || url.ends_with('/'))
        {
            return refuse(
                "maintenance.public_url",
                "must begin with http:// or https:// and not end with a slash, such as \"https://mgr.example:12347\"",
            );
        }
        if self.pki.as_ref().is_some_and(|pki| !pki.uri_prefix.contains("://")) {
            return refuse(
                "pki.uri_prefix",
                "must be the beginning of a URI, such as \"spiffe://example.org/hostler/\"",
            );
        }
        self.log.check()
    }
}

impl Config {
    fn check_numbers(&self) -> Check {
        let (agents, introspection, retention) = (&self.agents, &self.introspection, &self.retention);
        let (croit, refresh, maintenance) = (&self.croit, &introspection.refresh, &self.maintenance);
        let rules: [(&str, u64, RangeInclusive<u64>, &str); 30] = [
            ("agents.heartbeat_s", agents.heartbeat_s.into(), 1..=300, " seconds"),
            ("agents.certificate_hours", agents.certificate_hours.into(), 1..=87_600, " hours"),
            ("agents.max_clock_skew_s", agents.max_clock_skew_s.into(), 1..=86_400, " seconds"),
            ("agents.max_connections", agents.max_connections.into(), 1..=1_000_000, ""),
            ("introspection.timeout", introspection.timeout, 1..=TEN_YEARS, " seconds"),
            ("introspection.dedup_window", introspection.dedup_window, 0..=TEN_YEARS, " seconds"),
            ("introspection.probe_timeout", introspection.probe_timeout, 1..=86_400, " seconds"),
            ("introspection.api_max_limit", introspection.api_max_limit.into(), 1..=1000, ""),
            ("introspection.inventories_kept", introspection.inventories_kept.into(), 1..=100_000, ""),
            ("croit.script_max_bytes", croit.script_max_bytes.into(), 1..=1_048_576, " bytes"),
            ("croit.calls_per_second", croit.calls_per_second.into(), 1..=1_000_000, ""),
            ("croit.calls_burst", croit.calls_burst.into(), 1..=10_000_000, ""),
            ("events.streams_max", self.events.streams_max.into(), 1..=100_000, ""),
            ("webhooks.max", self.webhooks.max.into(), 0..=10_000, ""),
            ("webhooks.timeout_s", self.webhooks.timeout_s.into(), 1..=30, " seconds"),
            ("maintenance.max_active_sessions", maintenance.max_active_sessions.into(), 0..=10_000, ""),
            ("maintenance.history_retention_days", maintenance.history_retention_days.into(), 1..=36_500, " days"),
            ("maintenance.subscriptions_max", maintenance.subscriptions_max.into(), 0..=10_000, ""),
            ("maintenance.subscriptions_per_project", maintenance.subscriptions_per_project.into(), 0..=10_000, ""),
            ("maintenance.stall_alert_s", maintenance.stall_alert_s.into(), 60..=604_800, " seconds"),
            ("retention.events_days", retention.events_days.into(), 1..=36_500, " days"),
            ("retention.audit_days", retention.audit_days.into(), 1..=36_500, " days"),
            ("retention.tasks_days", retention.tasks_days.into(), 1..=36_500, " days"),
            ("retention.outputs_days", retention.outputs_days.into(), 1..=36_500, " days"),
            ("introspection.refresh.at_once_percent", refresh.at_once_percent.into(), 1..=100, " percent"),
            ("introspection.refresh.at_once_min", refresh.at_once_min.into(), 1..=100_000, ""),
            ("retention.jobs_days", retention.jobs_days.into(), 1..=36_500, " days"),
            ("retention.changes_days", retention.changes_days.into(), 1..=36_500, " days"),
            ("retention.join_tokens_days", retention.join_tokens_days.into(), 1..=36_500, " days"),
            ("retention.certificates_days", retention.certificates_days.into(), 1..=36_500, " days"),
        ];
        for (name, interval) in refresh.intervals() {
            if interval != 0 && !(60..=31_536_000).contains(&interval) {
                let key = format!("introspection.refresh.{name}");
                return refuse(key, "must be 0, for never, or from 60 to 31536000 seconds");
            }
        }
        for (key, value, range, unit) in rules {
            if !range.contains(&value) {
                return refuse(key, format!("must be from {} to {}{unit}", range.start(), range.end()));
            }
        }
        Ok(())
    }
}

fn check_networks(key: &str, networks: &[String]) -> Check {
    for (index, network) in networks.iter().enumerate() {
        if Network::parse(network).is_none() {
            return refuse(format!("{key}.{index}"), "must be a network in CIDR notation, such as \"192.0.2.0/24\"");
        }
    }
    Ok(())
}

fn check_listen(listen: &Listen) -> Check {
    let addresses = [("listen.rest", Some(listen.rest)), ("listen.maintenance", listen.maintenance)];
    let exposed = addresses.into_iter().find(|(_, address)| address.is_some_and(|at| !at.ip().is_loopback()));
    let exposed = exposed.map(|(key, _)| key);
    match (&listen.tls_certificate, &listen.tls_key) {
        (Some(_), None) => return refuse("listen.tls_key", "is missing: listen.tls_certificate needs its private key"),
        (None, Some(_)) => return refuse("listen.tls_certificate", "is missing: listen.tls_key needs its certificate"),
        (None, None) if exposed.is_some() && !listen.allow_plain_http => {
            return refuse(
                exposed.unwrap_or_default(),
                "plain HTTP is refused on an address that is not loopback: configure listen.tls_certificate and \
                 listen.tls_key, or set listen.allow_plain_http = true",
            );
        }
        _ => {}
    }
    Ok(())
}

fn check_auth(auth: &Auth) -> Check {
    if auth.strategy == Strategy::HttpBasic && auth.htpasswd_file.is_none() {
        return refuse("auth.htpasswd_file", "is needed by auth.strategy = \"http_basic\"");
    }
    let year = 1..=31_536_000;
    if auth.token_lifetime.is_some_and(|lifetime| !year.contains(&lifetime.as_secs())) {
        return refuse("auth.token_lifetime_s", "must be from 1 to 31536000 seconds");
    }
    for (index, token) in auth.static_tokens.iter().enumerate() {
        let key = |name: &str| format!("auth.static_tokens.{index}.{name}");
        if token.token_sha256.len() != 64 || hex::decode(&token.token_sha256).is_err() {
            let rule = "must be the SHA-256 of the token in 64 hexadecimal digits: printf %s TOKEN | sha256sum";
            return refuse(key("token_sha256"), rule);
        }
        if let Some(role) = token.roles.iter().find(|role| Role::from_name(role).is_none()) {
            let known = Role::ALL.map(Role::name).join(", ");
            return refuse(key("roles"), format!("{role:?} is not a role; roles are {known}"));
        }
    }
    Ok(())
}
