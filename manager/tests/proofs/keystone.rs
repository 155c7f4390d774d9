//! Strategy `keystone` (spec/introspection.md §1.4): a manager whose callers have tokens of another manager's identity.

use std::time::Duration;

use hostler_core::policy::Role;
use serde_json::{Value, json};

use super::site::{Answer, Authority, Site};

fn settings(keystone: &Site, more: &str) -> String {
    let url = keystone.url("/identity");
    format!("[auth]\nstrategy = 'keystone'\n[auth.keystone]\nauth_url = '{url}'\n{more}\n")
}

const SERVICE: &str = "username = 'hostler'\npassword = 'pw'\nproject_name = 'services'";

/// A Keystone, and a manager that trusts it.
async fn pair() -> (Site, Site) {
    let keystone = Site::keystone("", |_| ()).await;
    let site = Site::with(&settings(&keystone, SERVICE)).await;
    (keystone, site)
}

/// Makes the user `name` with that role in a project of its own and in the system; tokens for either.
async fn user(keystone: &Site, name: &str, role: Role) -> (String, String) {
    let by = hostler_manager::identity::By { name: "test".into(), from: None };
    let new =
        hostler_manager::identity::NewProject { name: format!("of-{name}"), description: String::new(), enabled: true };
    let project = keystone.api.identity.project_create(&by, new).await.unwrap();
    keystone.user(name, project.id, role).await;
    let system = keystone.login(name, "pw", json!({"system": {"all": true}})).await;
    (keystone.login(name, "pw", Value::Null).await, system)
}

#[tokio::test]
async fn tokens_are_checked_and_roles_count_as_in_the_matrix() {
    let (keystone, site) = pair().await;
    // Role; may it read statuses, start, look at rules, in a project; may it read statuses with system scope.
    for (role, status, start, rules, system) in [
        (Role::Admin, 200, 404, 200, 200),
        (Role::Service, 200, 404, 200, 200),
        (Role::Manager, 403, 403, 403, 200),
        (Role::Member, 403, 403, 403, 200),
        (Role::Reader, 403, 403, 403, 200),
    ] {
        let name = format!("a-{}", role.name());
        let (in_project, in_system) = user(&keystone, &name, role).await;
        assert_eq!(site.get(&in_project, "/v1/introspection").await.status, status, "{name}");
        let headers = [("x-auth-token", in_project.as_str())];
        assert_eq!(site.call("POST", "/v1/introspection/unknown", &headers, "").await.status, start, "{name}");
        assert_eq!(site.get(&in_project, "/v1/rules").await.status, rules, "{name}");
        assert_eq!(site.get(&in_system, "/v1/introspection").await.status, system, "{name}");
        assert_eq!(site.get(&in_project, "/api/hosts").await.status, 200, "{name}");
        let bearer = format!("Bearer {in_project}");
        assert_eq!(site.call("GET", "/api/hosts", &[("authorization", &bearer)], "").await.status, 200, "{name}");
    }
    let unscoped = keystone.login("admin", "secret", json!("unscoped")).await;
    site.get(&unscoped, "/api/hosts").await.is(403);
}

#[tokio::test]
async fn a_missing_or_wrong_token_is_challenged_with_the_address_of_keystone() {
    let (keystone, site) = pair().await;
    let wanted = format!("Keystone uri=\"{}\"", keystone.url("/identity/v3"));
    let forged = [("x-roles", "admin"), ("x-identity-status", "Confirmed"), ("x-user-id", "1")];
    let long = "x".repeat(9000);
    for token in ["", "wrong", "notused", long.as_str()] {
        for path in ["/v1/introspection", "/api/hosts", "/identity/v3/users"] {
            let mut headers = forged.to_vec();
            headers.push(("x-auth-token", token));
            let answer = site.call("GET", path, &headers, "").await.is(401);
            assert_eq!(answer.header("www-authenticate"), wanted, "{path} {token:.9}");
        }
    }
    let answer = site.get("wrong", "/v1/introspection").await;
    assert_eq!(answer.json(), json!({"error": {"message": "Authentication required"}}));
}

#[tokio::test]
async fn static_tokens_still_count_and_no_tokens_are_given() {
    let (_keystone, site) = pair().await;
    site.get("admin", "/v1/rules").await.is(200);
    let body = json!({"auth": {"identity": {"methods": ["token"], "token": {"id": "x"}}}}).to_string();
    let answer = site.call("POST", "/identity/v3/auth/tokens", &[], &body).await.is(403);
    assert!(answer.text.contains("Keystone"), "{answer:?}");
}

async fn revoke(keystone: &Site, token: &str) -> Answer {
    let admin = keystone.login("admin", "secret", Value::Null).await;
    let headers = [("x-auth-token", admin.as_str()), ("x-subject-token", token)];
    keystone.call("DELETE", "/identity/v3/auth/tokens", &headers, "").await.is(204)
}

#[tokio::test]
async fn an_answer_is_believed_for_its_time_and_no_longer() {
    let (keystone, site) = pair().await;
    let token = keystone.login("admin", "secret", Value::Null).await;
    site.get(&token, "/api/hosts").await.is(200);
    revoke(&keystone, &token).await;
    site.pass(Duration::from_secs(59));
    site.get(&token, "/api/hosts").await.is(200);
    site.pass(Duration::from_secs(2));
    site.get(&token, "/api/hosts").await.is(401);
}

#[tokio::test]
async fn without_a_cache_a_revoked_token_is_refused_at_once() {
    let keystone = Site::keystone("", |_| ()).await;
    let site = Site::with(&settings(&keystone, &format!("{SERVICE}\ncache_s = 0"))).await;
    let token = keystone.login("admin", "secret", Value::Null).await;
    site.get(&token, "/api/hosts").await.is(200);
    revoke(&keystone, &token).await;
    site.get(&token, "/api/hosts").await.is(401);
}

#[tokio::test]
async fn the_own_token_is_renewed_before_its_end_and_after_a_revocation() {
    let (keystone, site) = pair().await;
    site.get(&keystone.login("admin", "secret", Value::Null).await, "/api/hosts").await.is(200);
    // All tokens are over, that of the manager too.
    for one in [&keystone, &site] {
        one.pass(Duration::from_secs(2 * 3600));
    }
    site.get(&keystone.login("admin", "secret", Value::Null).await, "/api/hosts").await.is(200);
    // Keystone forgets it: the manager does not know, is refused, and gets another.
    let forget = keystone.api.engine.store.write(|tx| {
        Box::pin(async move {
            sqlx::query("delete from identity_token").execute(tx).await?;
            Ok(())
        })
    });
    forget.await.unwrap();
    site.get(&keystone.login("admin", "secret", Value::Null).await, "/api/hosts").await.is(200);
}

#[tokio::test]
async fn an_application_credential_and_a_system_scope_do_as_well() {
    let keystone = Site::keystone("", |_| ()).await;
    let admin = keystone.login("admin", "secret", Value::Null).await;
    let own = keystone.login("hostler", "pw", Value::Null).await;
    let headers = [("x-auth-token", own.as_str()), ("x-subject-token", own.as_str())];
    let who = keystone.call("GET", "/identity/v3/auth/tokens", &headers, "").await;
    let user = who.is(200).json()["token"]["user"]["id"].as_str().unwrap().to_owned();
    let path = format!("/identity/v3/users/{user}/application_credentials");
    let body = json!({"application_credential": {"name": "manager"}}).to_string();
    let made = keystone.call("POST", &path, &[("x-auth-token", own.as_str())], &body).await.is(201).json();
    let made = &made["application_credential"];
    let credential =
        format!("application_credential_id = {}\napplication_credential_secret = {}", made["id"], made["secret"]);
    for service in [credential.as_str(), "username = 'hostler'\npassword = 'pw'"] {
        let site = Site::with(&settings(&keystone, service)).await;
        site.get(&admin, "/api/hosts").await.is(200);
        site.get("wrong", "/api/hosts").await.is(401);
    }
}

#[tokio::test]
async fn keystone_is_asked_over_tls_and_only_where_it_is_known() {
    let authority = Authority::new("keystone");
    let tls = "[listen]\ntls_certificate = 'DIR/server.crt'\ntls_key = 'DIR/server.key'\n";
    let mut keystone = Site::keystone(tls, |dir| {
        authority.issue_server(dir);
        authority.write(&dir.join("authority.pem"));
    })
    .await;
    keystone.http = super::site::client(&[&keystone.dir.path().join("authority.pem")], None);
    let token = keystone.login("admin", "secret", Value::Null).await;
    let with_ca = format!("{SERVICE}\nca_file = 'DIR/keystone.pem'");
    let site = Site::prepared(&settings(&keystone, &with_ca), |dir| {
        authority.write(&dir.join("keystone.pem"));
    })
    .await;
    site.get(&token, "/v1/introspection").await.is(200);
    let stranger = Authority::new("keystone");
    for settings in [settings(&keystone, &with_ca), settings(&keystone, SERVICE)] {
        let site = Site::prepared(&settings, |dir| {
            stranger.write(&dir.join("keystone.pem"));
        })
        .await;
        let answer = site.get(&token, "/v1/introspection").await.is(503);
        assert!(answer.json()["error"]["message"].as_str().unwrap().contains("Keystone"), "{answer:?}");
    }
}
