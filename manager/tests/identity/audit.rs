//! The audit trail: every mutation and every failed login, never a secret.

use hostler_common::id::EventNumber;
use hostler_manager::store::event::{Record, event_list};
use serde_json::{Value, json};

use super::lab::Lab;

async fn events(lab: &Lab) -> Vec<Record> {
    let mut connection = lab.api.engine.store.read().await.unwrap();
    event_list(&mut connection, EventNumber(0), 10_000).await.unwrap()
}

#[tokio::test]
async fn every_mutation_is_recorded_with_who_and_from_where() {
    let lab = Lab::new().await;
    let admin = lab.admin().await;
    let before = events(&lab).await.len();
    let (project, user, ann) = lab.ann(&admin, "member").await;
    let path = format!("/v3/users/{user}");
    let credential = json!({"application_credential": {"name": "c", "secret": "hush-one"}});
    let made = lab.post(&ann, &format!("{path}/application_credentials"), credential).await.is(201);
    let id = made.body["application_credential"]["id"].as_str().unwrap();
    lab.delete(&ann, &format!("{path}/application_credentials/{id}")).await.is(204);
    let change = json!({"user": {"original_password": "pw", "password": "hush-two"}});
    lab.post(&ann, &format!("{path}/password"), change).await.is(204);
    lab.patch(&admin, &path, json!({"user": {"password": "hush-three", "enabled": false}})).await.is(200);
    lab.patch(&admin, &format!("/v3/projects/{project}"), json!({"project": {"name": "q"}})).await.is(200);
    let grant = format!("/v3/projects/{project}/users/{user}/roles/member");
    lab.put(&admin, &grant).await.is(204);
    lab.delete(&admin, &grant).await.is(204);
    lab.delete(&admin, &path).await.is(204);
    lab.delete(&admin, &format!("/v3/projects/{project}")).await.is(204);
    let other = lab.admin().await;
    let headers = [("x-auth-token", admin.as_str()), ("x-subject-token", other.as_str())];
    lab.send("DELETE", "/v3/auth/tokens", &headers, None).await.is(204);
    lab.delete(&admin, &path).await.is(404);

    let seen = events(&lab).await.split_off(before);
    let kinds: Vec<_> = seen.iter().map(|event| event.kind.as_str()).collect();
    let expected = [
        "identity.project.created",
        "identity.user.created",
        "identity.grant.created",
        "identity.credential.created",
        "identity.credential.deleted",
        "identity.user.password_changed",
        "identity.user.updated",
        "identity.project.updated",
        "identity.grant.deleted",
        "identity.user.deleted",
        "identity.project.deleted",
        "identity.token.revoked",
    ];
    assert_eq!(kinds, expected, "one each: a grant that was there is no event, a refusal is none");
    assert_eq!(seen[6].data["changed"], json!(["enabled", "password"]));
    for event in &seen {
        let own = ["identity.credential.created", "identity.credential.deleted", "identity.user.password_changed"];
        let who = if own.contains(&event.kind.as_str()) { "user:ann" } else { "user:admin" };
        assert_eq!(event.actor.as_deref(), Some(who), "{}", event.kind);
        assert_eq!(event.data["from"], "192.0.2.7", "{}", event.kind);
    }
}

#[tokio::test]
async fn failed_logins_are_recorded_with_their_reason() {
    let lab = Lab::new().await;
    let admin = lab.admin().await;
    lab.user(&admin, "ann").await;
    let before = events(&lab).await.len();
    lab.password("admin", "hush-one", Value::Null).await.is(401);
    lab.password("nobody", "hush-two", Value::Null).await.is(401);
    lab.password("ann", "pw", json!({"system": {"all": true}})).await.is(401);
    let token = json!({"identity": {"methods": ["token"], "token": {"id": "gst_hush-three"}}});
    lab.login(token).await.is(401);
    let seen: Vec<_> = events(&lab).await.split_off(before);
    let seen: Vec<_> = seen
        .iter()
        .map(|event| (event.kind.as_str(), event.subject.as_str(), event.data["reason"].as_str().unwrap()))
        .collect();
    let kind = "identity.login.failed";
    let expected = [
        (kind, "admin", "wrong password"),
        (kind, "nobody", "there is no such user"),
        (kind, "ann", "no role in that scope"),
        (kind, "", "the token does not count"),
    ];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn no_secret_reaches_the_store_or_the_audit_trail() {
    let lab = Lab::new().await;
    let admin = lab.admin().await;
    let (_, user, ann) = lab.ann(&admin, "member").await;
    let new = json!({"user": {"name": "x", "password": "hush-password"}});
    lab.post(&admin, "/v3/users", new).await.is(201);
    let new = json!({"application_credential": {"name": "c", "secret": "hush-secret"}});
    lab.post(&ann, &format!("/v3/users/{user}/application_credentials"), new).await.is(201);
    lab.password("x", "hush-wrong", Value::Null).await.is(401);
    let bytes: Vec<u8> = ["manager.db", "manager.db-wal"]
        .iter()
        .flat_map(|file| std::fs::read(lab.api.config.state_dir.join(file)).unwrap())
        .collect();
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("ann") && holds("identity.login.failed"), "names and events are found");
    for secret in ["hush-", admin.as_str(), ann.as_str(), "gst_"] {
        assert!(!holds(secret), "{secret} is in the store");
    }
}
