//! Every way in which callers prove who they are, as all dialects see it.

use hostler_core::policy::{Role, allowed};
use hostler_manager::api::auth::{AuthError, authenticate, challenge};
use hostler_manager::api::peer::Peer;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::lab::Lab;

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let pair =
        |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    pairs.iter().map(pair).collect()
}

/// `ann:pw`, bcrypt with the least cost.
fn htpasswd(dir: &std::path::Path) {
    let hash = bcrypt::hash("pw", 4).unwrap();
    std::fs::write(dir.join("htpasswd"), format!("ann:{hash}\nold:{{SHA}}x\n")).unwrap();
}

#[tokio::test]
async fn tokens() {
    let lab = Lab::new().await;
    let peer = Peer::default();
    let ask = async |pairs: &[(&'static str, &str)]| authenticate(&lab.api, &headers(pairs), &peer).await;
    assert_eq!(ask(&[]).await, Err(AuthError::Missing));
    assert_eq!(ask(&[("x-auth-token", "")]).await, Err(AuthError::Missing));
    assert_eq!(ask(&[("x-auth-token", "notused")]).await, Err(AuthError::Invalid));
    assert_eq!(ask(&[("authorization", "Bearer x")]).await, Err(AuthError::Invalid));
    assert_eq!(ask(&[("x-roles", "admin"), ("x-user", "admin")]).await, Err(AuthError::Missing));
    let token = lab.admin().await;
    let caller = ask(&[("x-auth-token", &token)]).await.unwrap();
    assert_eq!((caller.name.as_str(), caller.system_scope), ("user:admin", false));
    assert_eq!(ask(&[("authorization", &format!("Bearer {token}"))]).await, Ok(caller));
    let system = lab.password("admin", "secret", serde_json::json!({"system": {"all": true}})).await.is(201);
    assert!(ask(&[("x-auth-token", system.header("x-subject-token"))]).await.unwrap().system_scope);
    let fixed = ask(&[("x-auth-token", "statictoken")]).await.unwrap();
    assert_eq!((fixed.name.as_str(), fixed.has(Role::Admin)), ("token:up", true));
    let unscoped = lab.password("admin", "secret", serde_json::json!("unscoped")).await.is(201);
    let nobody = ask(&[("x-auth-token", unscoped.header("x-subject-token"))]).await.unwrap();
    assert!(nobody.roles.is_empty() && !allowed(&nobody, hostler_core::policy::Action::HostRead));
    let host = headers(&[("host", "h:1")]);
    assert_eq!(challenge(&lab.api, &host, &peer), "Keystone uri=\"http://h:1/identity/v3\"");
}

#[tokio::test]
async fn none_asks_nobody() {
    let lab = Lab::with("strategy = 'none'").await;
    for pairs in [&[][..], &[("x-auth-token", "notused")], &[("authorization", "Nonsense")]] {
        let caller = authenticate(&lab.api, &headers(pairs), &Peer::default()).await.unwrap();
        assert_eq!((caller.name.as_str(), caller.has(Role::Admin)), ("anonymous", true));
    }
    lab.get("notused", "/v3/users").await.is(200);
}

#[tokio::test]
async fn http_basic() {
    let lab = Lab::prepared("strategy = 'http_basic'\nhtpasswd_file = 'DIR/htpasswd'", htpasswd).await;
    let peer = Peer::default();
    let ask = async |pairs: &[(&'static str, &str)]| authenticate(&lab.api, &headers(pairs), &peer).await;
    assert_eq!(ask(&[]).await, Err(AuthError::Missing));
    // ann:pw, twice: compared, and remembered.
    for _ in 0..2 {
        let caller = ask(&[("authorization", "Basic YW5uOnB3")]).await.unwrap();
        assert_eq!((caller.name.as_str(), caller.has(Role::Admin)), ("user:ann", true));
    }
    // ann:px, bob:pw, old:x, ann (no colon)
    assert_eq!(ask(&[("authorization", "Basic YW5uOnB4")]).await, Err(AuthError::Invalid));
    assert_eq!(ask(&[("authorization", "basic Ym9iOnB3")]).await, Err(AuthError::Invalid));
    assert_eq!(ask(&[("authorization", "Basic b2xkOng=")]).await, Err(AuthError::Invalid));
    for bad in ["Basic YW5u", "Basic !!!", "Basic", "Digest x", "Basic /w=="] {
        assert!(matches!(ask(&[("authorization", bad)]).await, Err(AuthError::Malformed(_))), "{bad}");
    }
    assert_eq!(ask(&[("x-auth-token", "statictoken")]).await.unwrap().name, "token:up");
    assert_eq!(ask(&[("authorization", "Bearer statictoken")]).await.unwrap().name, "token:up");
    assert_eq!(ask(&[("authorization", "Bearer x")]).await, Err(AuthError::Invalid));
    assert_eq!(ask(&[("x-auth-token", "x")]).await, Err(AuthError::Invalid));
    assert_eq!(challenge(&lab.api, &HeaderMap::new(), &peer), "Basic realm=\"introspection\"");
    lab.password("admin", "secret", Value::Null).await.refuses(403, "HTTP Basic");
    lab.send("GET", "/v3/users", &[("authorization", "Basic YW5uOnB3")], None).await.is(200);
    lab.send("GET", "/v3/users", &[("authorization", "Digest x")], None).await.refuses(400, "Malformed");

    std::fs::remove_file(lab.api.config.auth.htpasswd_file.as_ref().unwrap()).unwrap();
    assert!(matches!(ask(&[("authorization", "Basic YW5uOnB3")]).await, Err(AuthError::Unavailable(_))));
    lab.send("GET", "/v3/users", &[("authorization", "Basic YW5uOnB3")], None).await.refuses(503, "password file");
}
