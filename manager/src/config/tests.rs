use std::io::Write as _;

use super::*;

fn load(text: &str) -> Result<Config, Error> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    Config::load(file.path()).map_err(|error| match error {
        Error::Value { place, rule } => {
            Error::Value { place: place.replace(&file.path().display().to_string(), "F"), rule }
        }
        other => other,
    })
}

#[test]
fn errors_name_file_key_and_rule() {
    let cases = [
        ("", "F: state_dir: is missing"),
        ("colour = 1", "F: colour: there is no such key; the keys here are state_dir"),
        ("state_dir = 5", "F: state_dir: must be a path in quotes"),
        ("state_dir = ''", "F: state_dir: must name a directory"),
        ("listen.rest = 'nowhere'", "F: listen.rest: must be ADDRESS:PORT"),
        ("listen.rest = 8080", "F: listen.rest: must be ADDRESS:PORT"),
        ("listen.rest = '0.0.0.0:8080'", "F: listen.rest: plain HTTP is refused"),
        ("listen.tls_certificate = '/c.pem'", "F: listen.tls_key: is missing"),
        ("listen.tls_key = '/k.pem'", "F: listen.tls_certificate: is missing"),
        ("listen.trusted_proxies = ['x']", "F: listen.trusted_proxies.0: must be an IP address"),
        (
            "auth.strategy = 'ldap'",
            "F: auth.strategy: must be one of \"token\", \"none\", \"http_basic\", \"keystone\"",
        ),
        ("auth.strategy = 'http_basic'", "F: auth.htpasswd_file: is needed by"),
        ("auth.strategy = 'keystone'", "F: auth.keystone: is missing"),
        ("auth.keystone = {auth_url = 'ldap://x'}", "F: auth.keystone.auth_url: must be a URL"),
        ("auth.keystone = {auth_url = 'https://u:p@x'}", "F: auth.keystone.auth_url: must be a URL"),
        ("auth.keystone = {auth_url = 'http://192.0.2.1:5000'}", "F: auth.keystone.auth_url: plain HTTP"),
        ("auth.keystone = {auth_url = 'https://x'}", "F: auth.keystone: needs either username and password"),
        ("auth.keystone = {auth_url = 'http://[::1]:5000', username = 'a'}", "F: auth.keystone.password: is missing"),
        (
            "auth.keystone = {auth_url = 'https://x', username = 'a', password = 'b', timeout_s = 0}",
            "F: auth.keystone.timeout_s: must be from 1 to 60",
        ),
        ("auth.client_certificates = [{role = 'admin'}]", "F: auth.client_certificates.0: needs exactly one"),
        (
            "auth.client_certificates = [{dns = 'x', role = 'member'}]",
            "F: auth.client_certificates.0.role: must be one",
        ),
        ("auth.client_certificates = [{dns = 'x', role = 'admin'}]", "F: listen.client_ca_file: is missing"),
        ("listen.client_ca_file = '/ca.pem'", "F: listen.client_ca_file: needs listen.tls_certificate"),
        ("listen.allowed_origins = ['https://a.example/']", "F: listen.allowed_origins.0: must be \"*\", or a scheme"),
        ("listen.allowed_origins = ['HTTPS://a.example']", "F: listen.allowed_origins.0: must be \"*\", or a scheme"),
        ("auth.token_lifetime_s = 0", "F: auth.token_lifetime_s: must be from 1"),
        ("auth.static_tokens = [{name = 'a', roles = []}]", "F: auth.static_tokens.0.token_sha256: is missing"),
        ("bootstrap.username = 'a'", "F: bootstrap.password: is missing"),
        ("bootstrap = {username = 'a', password = 'b', domain = 'c'}", "F: bootstrap.domain: must be \"Default\""),
        ("agents.heartbeat_s = 0", "F: agents.heartbeat_s: must be from 1 to 300 seconds"),
        ("agents.max_connections = 0", "F: agents.max_connections: must be from 1"),
        ("pki.ca_file = '/c'\npki.cert_file = '/c'", "F: pki.key_file: is missing"),
        (
            "pki = {ca_file = '/c', cert_file = '/c', key_file = '/k', uri_prefix = 'x'}",
            "F: pki.uri_prefix: must be the beginning of a URI",
        ),
        ("introspection.callback_networks = ['x']", "F: introspection.callback_networks.0: must be a network"),
        ("introspection.timeout = 0", "F: introspection.timeout: must be from 1"),
        ("introspection.processing.add_ports = 'all'", "F: introspection.processing.add_ports: there is no such key"),
        (
            "introspection.processing.processing.add_ports = 'some'",
            "F: introspection.processing.processing.add_ports: must be one of \"pxe\"",
        ),
        (
            "introspection.processing.processing.processing_hooks = ['x']",
            "F: introspection.processing.processing.processing_hooks.0: there is no processing hook x",
        ),
        ("retention.events_days = 'a'", "F: retention.events_days: must be a whole number"),
        ("retention.events_days = -3", "F: retention.events_days: must be a whole number"),
        ("retention.jobs_days = 0", "F: retention.jobs_days: must be from 1 to 36500 days"),
        ("log.filter = 'a=b=c'", "F: log.filter: must be a level"),
        ("log.json = 'yes'", "F: log.json: must be true or false"),
    ];
    for (text, wanted) in cases {
        let own = if text.contains("state_dir") || text.is_empty() { "" } else { "state_dir = '/s'\n" };
        let error = load(&format!("{own}{text}")).unwrap_err().to_string();
        assert!(error.starts_with(wanted), "{text:?}: {error}");
    }
}

#[test]
fn errors_repeat_no_secret() {
    for text in [
        "bootstrap = {username = 'a', password = 123454321}",
        "bootstrap.password = secret123454321",
        "bootstrap.username = 'a'\nbootstrap.password = ['123454321']",
        "auth.static_tokens = [{name = 'a', roles = ['admin'], token_sha256 = '123454321'}]",
        "auth.keystone = {auth_url = 'https://x:123454321@y', username = 'a', password = '123454321'}",
        "auth.keystone = {auth_url = 'https://x', password = '123454321'}",
        "auth.keystone = {auth_url = 'https://x', username = 'a', password = 123454321}",
    ] {
        let error = load(&format!("state_dir = '/s'\n{text}")).unwrap_err().to_string();
        assert!(!error.contains("123454321"), "{error}");
    }
}
