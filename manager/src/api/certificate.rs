//! Client certificates of the REST listener: what they say, and what that makes their owner (spec/introspection.md §1.4).
//!
//! Only certificates that an authority of `listen.client_ca_file` vouches for come this far; the handshake ends all others.

use hostler_common::time::Timestamp;
use hostler_core::policy::Caller;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use crate::config::ClientCertificate;

/// The names in a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The common name of the subject; `None` also where there are several, as none of them is the name then.
    pub common_name: Option<String>,
    /// URIs among the alternative names.
    pub uris: Vec<String>,
    /// DNS names among the alternative names.
    pub dns: Vec<String>,
    /// When it ends. A connection may outlive it.
    pub expires_at: Timestamp,
}

impl Certificate {
    /// Reads a certificate that was verified.
    ///
    /// # Errors
    /// It cannot be read; the text says why.
    pub fn read(der: &[u8]) -> Result<Self, String> {
        let (_, parsed) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
        let mut common = parsed.subject().iter_common_name().map(|name| name.as_str().ok().map(str::to_owned));
        let common_name = match (common.next(), common.next()) {
            (Some(only), None) => only,
            _ => None,
        };
        let names = parsed.subject_alternative_name().map_err(|error| error.to_string())?;
        let (mut uris, mut dns) = (Vec::new(), Vec::new());
        for name in names.iter().flat_map(|names| names.value.general_names.iter()) {
            match name {
                GeneralName::URI(uri) => uris.push((*uri).to_owned()),
                GeneralName::DNSName(name) => dns.push((*name).to_owned()),
                _ => {}
            }
        }
        let end = parsed.validity().not_after.timestamp().saturating_mul(1_000_000);
        Ok(Self { common_name, uris, dns, expires_at: Timestamp::from_micros(end) })
    }

    /// Who its owner is, by the first of the rules that names it; nobody by none, and nobody after its end.
    #[must_use]
    pub fn caller(&self, rules: &[ClientCertificate], now: Timestamp) -> Option<Caller> {
        if now >= self.expires_at {
            return None;
        }
        let (name, role) = rules.iter().find_map(|rule| Some((self.named_by(rule)?, rule.role.role())))?;
        // Like a static token: its role is not about a project.
        Some(Caller {
            name: format!("certificate:{name}"),
            roles: role.included().to_vec(),
            system_scope: true,
            project: None,
        })
    }

    /// The name by which a rule means this certificate.
    fn named_by<'r>(&self, rule: &'r ClientCertificate) -> Option<&'r str> {
        let common_name = rule.common_name.as_deref().filter(|name| self.common_name.as_deref() == Some(*name));
        let uri = || rule.uri.as_deref().filter(|uri| self.uris.iter().any(|own| own == uri));
        let dns = || rule.dns.as_deref().filter(|dns| self.dns.iter().any(|own| own.eq_ignore_ascii_case(dns)));
        common_name.or_else(uri).or_else(dns)
    }
}

#[cfg(test)]
mod tests {
    use hostler_core::policy::Role;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType, date_time_ymd};

    use super::*;
    use crate::config::CertificateRole;

    fn made(common: &[&str]) -> Certificate {
        let mut params = CertificateParams::new(["Probe.example".to_owned()]).unwrap();
        params.subject_alt_names.push(SanType::URI("spiffe://ops/probe".try_into().unwrap()));
        params.not_after = date_time_ymd(2030, 1, 1);
        params.distinguished_name = rcgen::DistinguishedName::new();
        for name in common {
            params.distinguished_name.push(DnType::CommonName, *name);
        }
        let key = KeyPair::generate().unwrap();
        Certificate::read(params.self_signed(&key).unwrap().der()).unwrap()
    }

    fn rule(kind: &str, name: &str, role: CertificateRole) -> ClientCertificate {
        let named = |wanted: &str| (kind == wanted).then(|| name.to_owned());
        ClientCertificate { common_name: named("cn"), uri: named("uri"), dns: named("dns"), role }
    }

    #[test]
    fn names_are_matched_each_in_its_own_place() {
        let (certificate, now) = (made(&["ops"]), "2026-01-01T00:00:00Z".parse().unwrap());
        let who = |rules: &[ClientCertificate]| certificate.caller(rules, now);
        for (kind, name) in [("cn", "ops"), ("uri", "spiffe://ops/probe"), ("dns", "probe.EXAMPLE")] {
            let caller = who(&[rule("cn", "x", CertificateRole::Admin), rule(kind, name, CertificateRole::Reader)]);
            let caller = caller.unwrap_or_else(|| panic!("{kind} {name}"));
            assert_eq!(caller.name, format!("certificate:{name}"));
            assert!(caller.system_scope && caller.has(Role::Reader) && !caller.has(Role::Service));
        }
        for (kind, name) in [("cn", "probe.example"), ("dns", "ops"), ("dns", "spiffe://ops/probe"), ("cn", "OPS")] {
            assert_eq!(who(&[rule(kind, name, CertificateRole::Admin)]), None, "{kind} {name}");
        }
        assert_eq!(who(&[]), None);
    }

    #[test]
    fn an_ended_certificate_and_one_of_two_names_mean_nobody() {
        let rules = [rule("cn", "ops", CertificateRole::Admin)];
        let certificate = made(&["ops"]);
        assert!(certificate.caller(&rules, "2029-12-31T23:59:59Z".parse().unwrap()).is_some());
        assert!(certificate.caller(&rules, "2030-01-01T00:00:00Z".parse().unwrap()).is_none());
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        assert!(Certificate { common_name: None, ..certificate }.caller(&rules, now).is_none());
        assert!(Certificate::read(b"no certificate").is_err());
    }
}
