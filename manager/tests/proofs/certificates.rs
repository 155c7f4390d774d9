//! Client certificates on the REST listener (spec/introspection.md §1.4), with real TLS.

use rcgen::SanType;
use serde_json::json;

use super::site::{Authority, Site, client};

const RULES: &str = "[[auth.client_certificates]]\ncommon_name = 'ops'\nrole = 'admin'\n\
                     [[auth.client_certificates]]\nuri = 'spiffe://fleet/collector'\nrole = 'reader'\n\
                     [[auth.client_certificates]]\ndns = 'mover.example'\nrole = 'service'\n";

fn settings(auth: &str) -> String {
    format!(
        "[listen]\ntls_certificate = 'DIR/server.crt'\ntls_key = 'DIR/server.key'\nclient_ca_file = 'DIR/clients.pem'\n\
         [introspection]\ncallback_enabled = true\n{auth}{RULES}"
    )
}

/// A manager with certificates, and the authority of its clients.
async fn site(auth: &str) -> (Site, Authority) {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let site = Site::prepared(&settings(auth), |dir| {
        servers.issue_server(dir);
        servers.write(&dir.join("servers.pem"));
        clients.write(&dir.join("clients.pem"));
        clients.issue(dir, "ops", &[]);
        clients.issue(dir, "collector", &[SanType::URI("spiffe://fleet/collector".try_into().unwrap())]);
        clients.issue(dir, "mover", &[SanType::DnsName("mover.example".try_into().unwrap())]);
        clients.issue(dir, "nobody", &[SanType::DnsName("ops".try_into().unwrap())]);
    })
    .await;
    (site, clients)
}

/// Who a client with that certificate is; `None` for no certificate.
fn owner(site: &Site, name: Option<&str>) -> reqwest::Client {
    let own = name.map(|name| site.dir.path().join(format!("{name}.pem")));
    client(&[&site.dir.path().join("servers.pem")], own.as_deref())
}

async fn status(site: &Site, name: Option<&str>, method: &str, path: &str, headers: &[(&str, &str)]) -> u16 {
    site.send(&owner(site, name), method, path, headers, "{}").await.unwrap().status
}

#[tokio::test]
async fn a_certificate_is_a_proof_with_the_role_of_its_rule() {
    let (site, _) = site("").await;
    for (name, read, tokens, rules) in [
        (Some("ops"), 200, 200, 200),
        (Some("collector"), 200, 403, 403),
        (Some("mover"), 200, 403, 200),
        (Some("nobody"), 401, 401, 401),
        (None, 401, 401, 401),
    ] {
        assert_eq!(status(&site, name, "GET", "/api/hosts", &[]).await, read, "{name:?}");
        assert_eq!(status(&site, name, "GET", "/api/join-tokens", &[]).await, tokens, "{name:?}");
        assert_eq!(status(&site, name, "GET", "/v1/rules", &[]).await, rules, "{name:?}");
        assert_eq!(status(&site, name, "GET", "/v1/introspection", &[]).await, read, "{name:?} reads statuses");
        // What stock clients send where they are told to use no token.
        assert_eq!(status(&site, name, "GET", "/api/hosts", &[("x-auth-token", "notused")]).await, read, "{name:?}");
    }
    let refused = site.send(&owner(&site, Some("nobody")), "GET", "/v1/rules", &[], "").await.unwrap().is(401);
    assert!(refused.header("www-authenticate").starts_with("Keystone uri="), "{refused:?}");
    let own = site.send(&owner(&site, Some("ops")), "GET", "/identity/v3/users", &[], "").await.unwrap();
    own.is(200);
}

#[tokio::test]
async fn a_token_counts_before_a_certificate() {
    let (site, _) = site("").await;
    for (token, join_tokens) in [("reader", 403), ("admin", 200), ("wrong", 401)] {
        let headers = [("x-auth-token", token)];
        assert_eq!(status(&site, Some("ops"), "GET", "/api/join-tokens", &headers).await, join_tokens, "{token}");
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        assert_eq!(status(&site, Some("ops"), "GET", "/api/join-tokens", &headers).await, join_tokens, "{token}");
    }
}

#[tokio::test]
async fn http_basic_takes_certificates_too() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let auth = "[auth]\nstrategy = 'http_basic'\nhtpasswd_file = 'DIR/htpasswd'\n";
    let site = Site::prepared(&settings(auth), |dir| {
        servers.issue_server(dir);
        servers.write(&dir.join("servers.pem"));
        clients.write(&dir.join("clients.pem"));
        clients.issue(dir, "ops", &[]);
        std::fs::write(dir.join("htpasswd"), format!("ann:{}\n", bcrypt::hash("pw", 4).unwrap())).unwrap();
    })
    .await;
    assert_eq!(status(&site, Some("ops"), "GET", "/v1/rules", &[]).await, 200);
    // ann:pw, and ann:px
    let basic = |proof: &'static str| [("authorization", proof)];
    assert_eq!(status(&site, Some("ops"), "GET", "/v1/rules", &basic("Basic YW5uOnB3")).await, 200);
    assert_eq!(status(&site, Some("ops"), "GET", "/v1/rules", &basic("Basic YW5uOnB4")).await, 401);
    assert_eq!(status(&site, None, "GET", "/v1/rules", &[]).await, 401);
}

#[tokio::test]
async fn an_untrusted_certificate_ends_the_handshake() {
    let (site, _) = site("").await;
    let strangers = Authority::new("clients");
    strangers.issue(site.dir.path(), "stranger", &[]);
    let stranger = owner(&site, Some("stranger"));
    for path in ["/api/version", "/api/hosts"] {
        let refused = site.send(&stranger, "GET", path, &[], "").await.unwrap_err();
        assert!(refused.is_connect() || refused.is_request(), "{refused:?}");
    }
    // The same without a certificate is let in as far as everybody is.
    assert_eq!(status(&site, None, "GET", "/api/version", &[]).await, 200);
}

#[tokio::test]
async fn a_certificate_that_ends_while_the_connection_lives_counts_no_more() {
    let (site, _) = site("").await;
    let http = owner(&site, Some("ops"));
    site.send(&http, "GET", "/api/hosts", &[], "").await.unwrap().is(200);
    // Beyond the year 4096, where certificates without an end of their own have it here.
    site.pass(std::time::Duration::from_secs(3000 * 366 * 86_400));
    site.send(&http, "GET", "/api/hosts", &[], "").await.unwrap().is(401);
}

#[tokio::test]
async fn the_audit_trail_names_the_certificate() {
    let (site, _) = site("").await;
    let body = json!({"description": "from a certificate"}).to_string();
    site.send(&owner(&site, Some("ops")), "POST", "/api/join-tokens", &[], &body).await.unwrap().is(201);
    let event = site.events().await.pop().unwrap();
    assert_eq!((event.actor.as_deref(), &event.data["from"]), (Some("certificate:ops"), &json!("127.0.0.1")));
}

#[tokio::test]
async fn services_may_deliver_data_and_readers_not() {
    let (site, _) = site("").await;
    for (name, expected) in [("ops", 400), ("mover", 400), ("collector", 403), ("nobody", 403)] {
        // 400: admitted, and then without data that could be used.
        assert_eq!(status(&site, Some(name), "POST", "/v1/continue", &[]).await, expected, "{name}");
    }
    assert_eq!(status(&site, None, "POST", "/v1/continue", &[]).await, 403);
    assert_eq!(status(&site, None, "POST", "/v1/continue", &[("x-auth-token", "admin")]).await, 403);
}
