//! Who may do what: every path without a token, and with one that is not enough.

use serde_json::{Value, json};

use super::lab::Lab;

/// Every path and method of the dialect that needs a token, and whether every user may use it.
const PATHS: &[(&str, &str, bool)] = &[
    ("GET", "/v3/auth/tokens", true),
    ("DELETE", "/v3/auth/tokens", true),
    ("GET", "/v3/auth/catalog", true),
    ("GET", "/v3/auth/projects", true),
    ("GET", "/v3/auth/domains", true),
    ("GET", "/v3/auth/system", true),
    ("GET", "/v3/users", false),
    ("POST", "/v3/users", false),
    ("GET", "/v3/users/ID", false),
    ("PATCH", "/v3/users/ID", false),
    ("DELETE", "/v3/users/ID", false),
    ("POST", "/v3/users/ID/password", false),
    ("GET", "/v3/users/ID/projects", false),
    ("GET", "/v3/users/ID/application_credentials", false),
    ("POST", "/v3/users/ID/application_credentials", false),
    ("GET", "/v3/users/ID/application_credentials/ID", false),
    ("DELETE", "/v3/users/ID/application_credentials/ID", false),
    ("GET", "/v3/projects", false),
    ("POST", "/v3/projects", false),
    ("GET", "/v3/projects/ID", false),
    ("PATCH", "/v3/projects/ID", false),
    ("DELETE", "/v3/projects/ID", false),
    ("GET", "/v3/role_assignments", false),
    ("GET", "/v3/projects/ID/users/ID/roles", false),
    ("PUT", "/v3/projects/ID/users/ID/roles/admin", false),
    ("GET", "/v3/projects/ID/users/ID/roles/admin", false),
    ("DELETE", "/v3/projects/ID/users/ID/roles/admin", false),
    ("GET", "/v3/system/users/ID/roles", false),
    ("PUT", "/v3/system/users/ID/roles/admin", false),
    ("GET", "/v3/system/users/ID/roles/admin", false),
    ("DELETE", "/v3/system/users/ID/roles/admin", false),
    ("GET", "/v3/domains", true),
    ("GET", "/v3/domains/default", true),
    ("GET", "/v3/roles", true),
    ("GET", "/v3/roles/admin", true),
    ("GET", "/v3/regions", true),
    ("GET", "/v3/regions/RegionOne", true),
    ("GET", "/v3/services", true),
    ("GET", "/v3/services/identity", true),
    ("GET", "/v3/endpoints", true),
    ("GET", "/v3/endpoints/identity-public", true),
];

const NOBODY: &str = "6f1d2c3a-0b4e-4a5f-8c6d-7e8f90a1b2c3";

#[tokio::test]
async fn every_path_needs_a_token_and_most_need_a_role() {
    let lab = Lab::new().await;
    let admin = lab.admin().await;
    let (_, _, member) = lab.ann(&admin, "member").await;
    for (method, path, everybody) in PATHS {
        let path = path.replace("ID", NOBODY);
        for headers in [&[][..], &[("x-auth-token", "gst_wrong")], &[("authorization", "Basic YTpi")]] {
            let answer = lab.send(method, &path, headers, None).await.refuses(401, "requires authentication");
            assert!(answer.header("www-authenticate").starts_with("Keystone uri="), "{method} {path}");
        }
        let forged = [("x-roles", "admin"), ("x-identity-status", "Confirmed"), ("x-user-name", "admin")];
        lab.send(method, &path, &forged, None).await.is(401);
        let answer = lab.send(method, &path, &[("x-auth-token", &member)], None).await;
        if !everybody {
            answer.refuses(403, "not authorized");
        } else if path.ends_with("/tokens") {
            answer.refuses(404, "token");
        } else {
            answer.is(200);
        }
        let answer = lab.send(method, &path, &[("x-auth-token", &admin)], None).await;
        assert_ne!(answer.status.as_u16(), 401, "{method} {path}");
        if path.ends_with("/application_credentials") && *method == "POST" {
            answer.is(403);
        } else {
            assert_ne!(answer.status.as_u16(), 403, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn users_see_themselves_and_what_is_theirs() {
    let lab = Lab::new().await;
    let admin = lab.admin().await;
    let (project, user, ann) = lab.ann(&admin, "member").await;
    for path in [
        format!("/v3/users/{user}"),
        "/v3/users?name=ann".into(),
        format!("/v3/users/{user}/projects"),
        format!("/v3/projects/{project}"),
        "/v3/projects?name=p".into(),
        format!("/v3/role_assignments?user.id={user}&include_names=true"),
        format!("/v3/projects/{project}/users/{user}/roles"),
    ] {
        lab.get(&ann, &path).await.is(200);
    }
    assert_eq!(lab.get(&ann, &format!("/v3/users/{user}/projects")).await.names("projects"), ["p"]);
    assert!(lab.get(&ann, "/v3/projects?name=admin").await.is(200).names("projects").is_empty());
    assert_eq!(lab.get(&ann, "/v3/auth/system").await.is(200).body["system"], json!([]));
    lab.get(&ann, "/v3/users?name=admin").await.is(403);
    let change = json!({"user": {"enabled": true}});
    lab.patch(&ann, &format!("/v3/users/{user}"), change).await.refuses(403, "identity:change");
    lab.delete(&ann, &format!("/v3/users/{user}")).await.is(403);
    let headers = [("x-auth-token", ann.as_str()), ("x-subject-token", admin.as_str())];
    lab.send("GET", "/v3/auth/tokens", &headers, None).await.refuses(403, "identity:read");
    lab.send("DELETE", "/v3/auth/tokens", &headers, None).await.refuses(403, "identity:change");
    lab.get(&admin, "/v3/users").await.is(200);
    let headers = [("x-auth-token", admin.as_str()), ("x-subject-token", ann.as_str())];
    assert_eq!(lab.send("GET", "/v3/auth/tokens", &headers, None).await.is(200).body["token"]["user"]["name"], "ann");
}

#[tokio::test]
async fn users_change_their_own_password_if_they_know_it() {
    let lab = Lab::new().await;
    let admin = lab.admin().await;
    let (_, user, ann) = lab.ann(&admin, "member").await;
    let credential = json!({"application_credential": {"name": "c", "secret": "x"}});
    let made = lab.post(&ann, &format!("/v3/users/{user}/application_credentials"), credential).await.is(201);
    let proof = json!({"id": made.body["application_credential"]["id"], "secret": "x"});
    let identity = json!({"methods": ["application_credential"], "application_credential": proof});
    let program = lab.login(json!({"identity": identity})).await.is(201).header("x-subject-token").to_owned();

    let path = format!("/v3/users/{user}/password");
    let body = |original: &str, new: &str| json!({"user": {"original_password": original, "password": new}});
    lab.post(&ann, &path, body("nope", "new")).await.refuses(401, "original password");
    lab.post(&ann, &path, body("pw", "pw")).await.refuses(400, "password");
    lab.post(&ann, &path, body("pw", "")).await.refuses(400, "password");
    lab.post(&ann, &path, json!({"user": {"password": "new"}})).await.refuses(400, "original_password");
    lab.get(&ann, "/v3/auth/projects").await.is(200);
    lab.post(&ann, &path, body("pw", "new")).await.is(204);
    lab.get(&ann, "/v3/auth/projects").await.is(401);
    lab.get(&program, "/v3/auth/projects").await.is(200);
    lab.password("ann", "pw", Value::Null).await.is(401);
    lab.password("ann", "new", Value::Null).await.is(201);
}

#[tokio::test]
async fn a_service_looks_and_does_not_touch() {
    let lab = Lab::new().await;
    let admin = lab.admin().await;
    let (project, user, service) = lab.ann(&admin, "service").await;
    for path in ["/v3/users", "/v3/projects", "/v3/role_assignments"] {
        lab.get(&service, path).await.is(200);
    }
    lab.post(&service, "/v3/users", json!({"user": {"name": "x"}})).await.is(403);
    lab.put(&service, &format!("/v3/projects/{project}/users/{user}/roles/admin")).await.is(403);
    lab.get(&service, &format!("/v3/users/{NOBODY}/application_credentials")).await.is(403);
}
