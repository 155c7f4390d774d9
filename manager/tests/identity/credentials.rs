//! Application credentials.

use std::time::Duration;

use serde_json::{Value, json};

use super::lab::{Answer, Lab};

async fn create(lab: &Lab, token: &str, user: &str, fields: Value) -> Answer {
    let path = format!("/v3/users/{user}/application_credentials");
    lab.post(token, &path, json!({"application_credential": fields})).await
}

async fn login(lab: &Lab, credential: Value) -> Answer {
    let identity = json!({"methods": ["application_credential"], "application_credential": credential});
    lab.login(json!({"identity": identity})).await
}

fn token(answer: &Answer) -> String {
    answer.header("x-subject-token").to_owned()
}

#[tokio::test]
async fn the_life_of_a_credential() {
    let lab = Lab::new().await;
    let admin = lab.admin().await;
    let (project, user, ann) = lab.ann(&admin, "member").await;
    let made = create(&lab, &ann, &user, json!({"name": "c", "description": "d"})).await.is(201);
    let made = made.body["application_credential"].clone();
    let (id, secret) = (made["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    assert_eq!((&made["project_id"], &made["unrestricted"]), (&json!(project), &json!(false)));
    assert_eq!((made["roles"].as_array().unwrap().len(), &made["expires_at"]), (2, &Value::Null));
    create(&lab, &ann, &user, json!({"name": "c"})).await.refuses(409, "c");

    let path = format!("/v3/users/{user}/application_credentials");
    let shown = lab.get(&ann, &format!("{path}/{id}")).await.is(200);
    assert!(shown.body["application_credential"].get("secret").is_none(), "shown once");
    assert_eq!(lab.get(&ann, &path).await.names("application_credentials"), ["c"]);
    assert!(lab.get(&ann, &format!("{path}?name=x")).await.names("application_credentials").is_empty());

    let by_id = login(&lab, json!({"id": id, "secret": secret})).await.is(201);
    let body = &by_id.body["token"];
    assert_eq!(body["application_credential"], json!({"id": id, "name": "c", "restricted": true}));
    assert_eq!((&body["project"]["id"], &body["methods"][0]), (&json!(project), &json!("application_credential")));
    let who = json!({"name": "ann", "domain": {"name": "Default"}});
    login(&lab, json!({"name": "c", "user": who, "secret": secret})).await.is(201);
    login(&lab, json!({"name": "c", "user": {"id": user}, "secret": secret})).await.is(201);
    for wrong in [
        json!({"id": id, "secret": "x"}),
        json!({"id": user, "secret": secret}),
        json!({"name": "c", "user": {"name": "admin"}, "secret": secret}),
    ] {
        login(&lab, wrong).await.refuses(401, "requires authentication");
    }
    let token = token(&by_id);
    lab.get(&token, "/v3/auth/projects").await.is(200);
    lab.delete(&ann, &format!("{path}/{id}")).await.is(204);
    lab.get(&token, "/v3/auth/projects").await.is(401);
    login(&lab, json!({"id": id, "secret": secret})).await.is(401);
    lab.get(&ann, &format!("{path}/{id}")).await.refuses(404, "application credential");
}

#[tokio::test]
async fn a_credential_gives_the_roles_it_was_made_with_and_no_more_than_the_user_has() {
    let lab = Lab::new().await;
    let admin = lab.admin().await;
    let (project, user, ann) = lab.ann(&admin, "admin").await;
    let new = json!({"name": "c", "secret": "s3cret", "roles": [{"name": "service"}, {"id": "reader"}]});
    let made = create(&lab, &ann, &user, new).await.is(201);
    let id = made.body["application_credential"]["id"].as_str().unwrap();
    assert_eq!(made.body["application_credential"]["secret"], "s3cret");
    let answer = login(&lab, json!({"id": id, "secret": "s3cret"})).await.is(201);
    let roles = json!([{"id": "service", "name": "service"}, {"id": "reader", "name": "reader"}]);
    assert_eq!(answer.body["token"]["roles"], roles);
    let limited = token(&answer);
    lab.get(&limited, "/v3/users").await.is(200);
    let new = json!({"user": {"name": "x"}});
    lab.post(&limited, "/v3/users", new).await.refuses(403, "identity:change");

    let grant = format!("/v3/projects/{project}/users/{user}/roles");
    lab.put(&admin, &format!("{grant}/member")).await.is(204);
    lab.delete(&admin, &format!("{grant}/admin")).await.is(204);
    lab.get(&limited, "/v3/users").await.is(403);
    let left = login(&lab, json!({"id": id, "secret": "s3cret"})).await.is(201);
    assert_eq!(left.body["token"]["roles"], json!([{"id": "reader", "name": "reader"}]));
    create(&lab, &ann, &user, json!({"name": "d", "roles": [{"name": "admin"}]})).await.refuses(400, "roles");
    lab.delete(&admin, &format!("{grant}/member")).await.is(204);
    login(&lab, json!({"id": id, "secret": "s3cret"})).await.is(401);
}

#[tokio::test]
async fn a_credential_ends_at_its_time_with_its_tokens() {
    let lab = Lab::new().await;
    let admin = lab.admin().await;
    let (_, user, ann) = lab.ann(&admin, "member").await;
    create(&lab, &ann, &user, json!({"name": "c", "expires_at": "2026-01-02T03:04:05"})).await.refuses(400, "future");
    let new = json!({"name": "c", "secret": "x", "expires_at": "2026-01-02T03:14:05"});
    let made = create(&lab, &ann, &user, new).await.is(201);
    assert_eq!(made.body["application_credential"]["expires_at"], "2026-01-02T03:14:05.000000Z");
    let proof = json!({"id": made.body["application_credential"]["id"], "secret": "x"});
    let answer = login(&lab, proof.clone()).await.is(201);
    assert_eq!(answer.body["token"]["expires_at"], "2026-01-02T03:14:05.000000Z");
    lab.pass(Duration::from_secs(600));
    lab.get(&token(&answer), "/v3/auth/projects").await.is(401);
    login(&lab, proof).await.is(401);
    lab.get(&ann, "/v3/auth/projects").await.is(200);
}

#[tokio::test]
async fn only_an_unrestricted_credential_makes_others_and_none_leaves_its_project() {
    let lab = Lab::new().await;
    let admin = lab.admin().await;
    let (_, user, ann) = lab.ann(&admin, "member").await;
    lab.put(&admin, &format!("/v3/system/users/{user}/roles/admin")).await.is(204);
    for (name, unrestricted, status) in [("closed", false, 403), ("open", true, 201)] {
        let new = json!({"name": name, "secret": "x", "unrestricted": unrestricted});
        let made = create(&lab, &ann, &user, new).await.is(201);
        let id = made.body["application_credential"]["id"].as_str().unwrap();
        let token = token(&login(&lab, json!({"id": id, "secret": "x"})).await.is(201));
        create(&lab, &token, &user, json!({"name": format!("by-{name}")})).await.is(status);
        let again = |scope: Value| json!({"identity": {"methods": ["token"], "token": {"id": token}}, "scope": scope});
        let same = lab.login(again(Value::Null)).await.is(201);
        assert_eq!(same.body["token"]["application_credential"]["id"], id, "still of the credential");
        lab.login(again(json!({"system": {"all": true}}))).await.refuses(401, "its project only");
        lab.login(again(json!("unscoped"))).await.refuses(401, "its project only");
        lab.login(again(json!({"project": {"name": "admin"}}))).await.refuses(401, "no access");
        let path = format!("/v3/users/{user}/application_credentials/{id}");
        lab.delete(&token, &path).await.is(if unrestricted { 204 } else { 403 });
    }
}

#[tokio::test]
async fn credentials_are_their_users_own() {
    let lab = Lab::new().await;
    let admin = lab.admin().await;
    let (_, user, ann) = lab.ann(&admin, "member").await;
    lab.user(&admin, "bob").await;
    let bob = token(&lab.password("bob", "pw", Value::Null).await.is(201));
    let made = create(&lab, &ann, &user, json!({"name": "c"})).await.is(201);
    let id = made.body["application_credential"]["id"].as_str().unwrap();
    let path = format!("/v3/users/{user}/application_credentials");
    for path in [path.clone(), format!("{path}/{id}")] {
        lab.get(&bob, &path).await.refuses(403, "identity:credential");
        lab.get(&admin, &path).await.is(200);
    }
    lab.delete(&bob, &format!("{path}/{id}")).await.is(403);
    create(&lab, &admin, &user, json!({"name": "x"})).await.refuses(403, "identity:credential");
    create(&lab, "statictoken", &user, json!({"name": "x"})).await.is(403);
    let unscoped = token(&lab.password("ann", "pw", json!("unscoped")).await.is(201));
    create(&lab, &unscoped, &user, json!({"name": "x"})).await.refuses(400, "project");
    lab.delete(&admin, &format!("{path}/{id}")).await.is(204);
}
