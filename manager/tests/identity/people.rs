//! Users, projects, grants, and what cannot be changed.

use serde_json::{Value, json};

use super::lab::Lab;

#[tokio::test]
async fn the_life_of_a_user() {
    let lab = Lab::new().await;
    let admin = lab.admin().await;
    let project = lab.project(&admin, "p").await;
    let new = json!({"user": {"name": "ann", "password": "pw", "email": "a@b.c", "description": "x",
        "default_project_id": project, "domain_id": "default", "enabled": true, "options": {}}});
    let made = lab.post(&admin, "/v3/users", new.clone()).await.is(201).body["user"].clone();
    let id = made["id"].as_str().unwrap();
    let path = format!("/v3/users/{id}");
    assert_eq!(made["links"]["self"], format!("http://fleet:8080/identity{path}"));
    assert_eq!(
        (&made["email"], &made["default_project_id"], &made["domain_id"]),
        (&json!("a@b.c"), &json!(project), &json!("default"))
    );
    assert!(made.get("password").is_none() && made.get("password_hash").is_none());
    lab.post(&admin, "/v3/users", new).await.refuses(409, "ann");
    assert_eq!(lab.get(&admin, &path).await.is(200).body["user"], made);
    assert_eq!(lab.get(&admin, &format!("{path}/")).await.is(200).body["user"], made, "a slash more");
    let changed = json!({"user": {"name": "anna", "email": null, "default_project_id": null, "description": "y"}});
    let changed = lab.patch(&admin, &path, changed).await.is(200).body["user"].clone();
    assert_eq!((&changed["name"], &changed["description"]), (&json!("anna"), &json!("y")));
    assert!(changed.get("email").is_none() && changed.get("default_project_id").is_none());
    lab.patch(&admin, &path, json!({"user": {"name": "admin"}})).await.refuses(409, "admin");
    lab.password("anna", "pw", Value::Null).await.is(201);
    lab.patch(&admin, &path, json!({"user": {"password": "pw2"}})).await.is(200);
    lab.password("anna", "pw", Value::Null).await.is(401);
    lab.password("anna", "pw2", Value::Null).await.is(201);
    lab.delete(&admin, &path).await.is(204);
    for answer in [lab.get(&admin, &path).await, lab.delete(&admin, &path).await] {
        answer.refuses(404, id);
    }
    lab.patch(&admin, &path, json!({"user": {"name": "x"}})).await.refuses(404, id);
    lab.get(&admin, "/v3/users/ann").await.refuses(404, "ann");
    lab.password("anna", "pw2", Value::Null).await.is(401);
}

#[tokio::test]
async fn lists_of_users_have_filters_and_pages() {
    let lab = Lab::new().await;
    let admin = lab.admin().await;
    for name in ["u1", "u2", "u3"] {
        // Ids tell milliseconds apart.
        lab.pass(std::time::Duration::from_millis(1));
        lab.user(&admin, name).await;
    }
    assert_eq!(lab.get(&admin, "/v3/users").await.is(200).names("users"), ["admin", "u1", "u2", "u3"]);
    assert_eq!(lab.get(&admin, "/v3/users?name=u2&domain_id=default").await.is(200).names("users"), ["u2"]);
    for none in ["name=u9", "domain_id=other", "enabled=false"] {
        assert!(lab.get(&admin, &format!("/v3/users?{none}")).await.is(200).names("users").is_empty(), "{none}");
    }
    let mut path = "/v3/users?limit=3&enabled=True".to_owned();
    let mut seen = Vec::new();
    loop {
        let page = lab.get(&admin, &path).await.is(200);
        seen.extend(page.names("users"));
        let Some(next) = page.body["links"]["next"].as_str() else { break };
        assert_eq!(page.body["next"], next, "for the SDK");
        path = next.strip_prefix("http://fleet:8080/identity").unwrap().to_owned();
    }
    assert_eq!(seen, ["admin", "u1", "u2", "u3"]);
    for (bad, field) in [("limit=0", "limit"), ("limit=x", "limit"), ("marker=x", "marker"), ("enabled=x", "enabled")] {
        lab.get(&admin, &format!("/v3/users?{bad}")).await.refuses(400, field);
    }
}

#[tokio::test]
async fn the_life_of_a_project() {
    let lab = Lab::new().await;
    let admin = lab.admin().await;
    lab.pass(std::time::Duration::from_millis(1));
    let new = json!({"project": {"name": "p", "description": "d", "domain_id": "default", "is_domain": false,
        "parent_id": "default", "enabled": true, "tags": [], "options": {}}});
    let made = lab.post(&admin, "/v3/projects", new.clone()).await.is(201).body["project"].clone();
    let path = format!("/v3/projects/{}", made["id"].as_str().unwrap());
    lab.post(&admin, "/v3/projects", new).await.refuses(409, "p");
    assert_eq!(lab.get(&admin, &path).await.is(200).body["project"], made);
    let change = json!({"project": {"name": "q", "description": "e", "enabled": false}});
    let changed = lab.patch(&admin, &path, change).await.is(200).body["project"].clone();
    assert_eq!((&changed["name"], &changed["enabled"]), (&json!("q"), &json!(false)));
    assert_eq!(lab.get(&admin, "/v3/projects").await.is(200).names("projects"), ["admin", "q"]);
    assert_eq!(lab.get(&admin, "/v3/projects?enabled=true&is_domain=false").await.names("projects"), ["admin"]);
    for none in ["is_domain=true", "parent_id=other", "tags=x", "domain_id=other"] {
        assert!(lab.get(&admin, &format!("/v3/projects?{none}")).await.names("projects").is_empty(), "{none}");
    }
    lab.delete(&admin, &path).await.is(204);
    lab.get(&admin, &path).await.refuses(404, "project");
    lab.delete(&admin, &path).await.refuses(404, "project");
}

#[tokio::test]
async fn a_project_that_goes_takes_its_grants_credentials_and_tokens_along() {
    let lab = Lab::new().await;
    let admin = lab.admin().await;
    let (project, user, token) = lab.ann(&admin, "member").await;
    let credentials = format!("/v3/users/{user}/application_credentials");
    lab.post(&token, &credentials, json!({"application_credential": {"name": "c"}})).await.is(201);
    lab.patch(&admin, &format!("/v3/users/{user}"), json!({"user": {"default_project_id": project}})).await.is(200);
    lab.delete(&admin, &format!("/v3/projects/{project}")).await.is(204);
    lab.get(&token, "/v3/auth/projects").await.is(401);
    assert!(lab.get(&admin, &credentials).await.is(200).names("application_credentials").is_empty());
    let shown = lab.get(&admin, &format!("/v3/users/{user}")).await.is(200);
    assert!(shown.body["user"].get("default_project_id").is_none());
    let left = lab.get(&admin, &format!("/v3/role_assignments?user.id={user}")).await.is(200);
    assert_eq!(left.body["role_assignments"], json!([]));
}

#[tokio::test]
async fn grants_of_both_scopes() {
    let lab = Lab::new().await;
    let admin = lab.admin().await;
    let (project, user) = (lab.project(&admin, "p").await, lab.user(&admin, "ann").await);
    for base in [format!("/v3/projects/{project}/users/{user}/roles"), format!("/v3/system/users/{user}/roles")] {
        let one = format!("{base}/manager");
        lab.get(&admin, &one).await.refuses(404, "manager");
        lab.put(&admin, &one).await.is(204);
        lab.put(&admin, &one).await.is(204);
        lab.get(&admin, &one).await.is(204);
        lab.send("HEAD", &one, &[("x-auth-token", &admin)], None).await.is(204);
        assert_eq!(lab.get(&admin, &base).await.is(200).names("roles"), ["manager"]);
        lab.put(&admin, &format!("{base}/owner")).await.refuses(404, "owner");
        lab.delete(&admin, &one).await.is(204);
        lab.delete(&admin, &one).await.refuses(404, "manager");
    }
    let nobody = "6f1d2c3a-0b4e-4a5f-8c6d-7e8f90a1b2c3";
    lab.put(&admin, &format!("/v3/projects/{nobody}/users/{user}/roles/admin")).await.refuses(404, "project");
    lab.put(&admin, &format!("/v3/projects/{project}/users/{nobody}/roles/admin")).await.refuses(404, "user");
    lab.get(&admin, &format!("/v3/projects/{nobody}/users/{user}/roles")).await.refuses(404, "project");
    lab.get(&admin, &format!("/v3/system/users/{nobody}/roles")).await.refuses(404, "user");
}

#[tokio::test]
async fn role_assignments_with_filters_and_names() {
    let lab = Lab::new().await;
    let admin = lab.admin().await;
    let (project, user, _) = lab.ann(&admin, "member").await;
    let count = async |query: &str| {
        let answer = lab.get(&admin, &format!("/v3/role_assignments{query}")).await.is(200);
        answer.body["role_assignments"].as_array().unwrap().len()
    };
    assert_eq!(count("").await, 3);
    assert_eq!(count(&format!("?user.id={user}")).await, 1);
    assert_eq!(count(&format!("?user.id={user}&effective")).await, 2);
    assert_eq!(count(&format!("?scope.project.id={project}")).await, 1);
    assert_eq!(count("?scope.system=all").await, 1);
    assert_eq!(count("?role.id=admin").await, 2);
    assert_eq!(count("?role.id=reader").await, 0);
    assert_eq!(count(&format!("?role.id=reader&effective=true&user.id={user}")).await, 1);
    for none in ["?group.id=x", "?scope.domain.id=default", "?user.id=x", "?role.id=x"] {
        assert_eq!(count(none).await, 0, "{none}");
    }
    let named = lab.get(&admin, &format!("/v3/role_assignments?user.id={user}&include_names=True")).await;
    let expected = json!({
        "role": {"id": "member", "name": "member"},
        "user": {"id": user, "name": "ann", "domain": {"id": "default", "name": "Default"}},
        "scope": {"project": {"id": project, "name": "p", "domain": {"id": "default", "name": "Default"}}},
        "links": {"assignment":
            format!("http://fleet:8080/identity/v3/projects/{project}/users/{user}/roles/member")},
    });
    assert_eq!(named.body["role_assignments"], json!([expected]));
}

#[tokio::test]
async fn what_cannot_be_changed_can_be_looked_at() {
    let lab = Lab::new().await;
    let admin = lab.admin().await;
    let versions = lab.send("GET", "", &[], None).await.is(300);
    assert_eq!(versions.body["versions"]["values"][0]["links"][0]["href"], "http://fleet:8080/identity/v3/");
    lab.send("GET", "/", &[], None).await.is(300);
    for path in ["/v3", "/v3/"] {
        assert_eq!(lab.send("GET", path, &[], None).await.is(200).body["version"]["id"], "v3.14");
    }
    assert_eq!(lab.get(&admin, "/v3/domains?name=Default").await.names("domains"), ["Default"]);
    assert!(lab.get(&admin, "/v3/domains?name=x").await.names("domains").is_empty());
    assert_eq!(lab.get(&admin, "/v3/domains/default").await.is(200).body["domain"]["name"], "Default");
    lab.get(&admin, "/v3/domains/Other").await.refuses(404, "domain");
    let roles = ["admin", "service", "manager", "member", "reader"];
    assert_eq!(lab.get(&admin, "/v3/roles").await.names("roles"), roles);
    assert_eq!(lab.get(&admin, "/v3/roles?name=reader").await.names("roles"), ["reader"]);
    assert_eq!(lab.get(&admin, "/v3/roles/reader").await.is(200).body["role"]["id"], "reader");
    lab.get(&admin, "/v3/roles/owner").await.refuses(404, "role");
    assert_eq!(lab.get(&admin, "/v3/services?type=identity").await.names("services"), ["identity"]);
    assert_eq!(lab.get(&admin, "/v3/services/identity").await.is(200).body["service"]["type"], "identity");
    let endpoints = lab.get(&admin, "/v3/endpoints?interface=public&service_id=baremetal-introspection").await.is(200);
    assert_eq!(endpoints.body["endpoints"].as_array().unwrap().len(), 1);
    assert_eq!(endpoints.body["endpoints"][0]["url"], "http://fleet:8080/introspection");
    lab.get(&admin, "/v3/endpoints/identity-admin").await.is(200);
    assert_eq!(lab.get(&admin, "/v3/regions").await.is(200).body["regions"][0]["id"], "RegionOne");
    lab.get(&admin, "/v3/regions/RegionOne").await.is(200);
    assert_eq!(lab.get(&admin, "/v3/auth/catalog").await.is(200).body["catalog"].as_array().unwrap().len(), 3);
    assert_eq!(lab.get(&admin, "/v3/auth/projects").await.names("projects"), ["admin"]);
    assert_eq!(lab.get(&admin, "/v3/auth/system").await.is(200).body["system"], json!([{"all": true}]));
    assert_eq!(lab.get(&admin, "/v3/auth/domains").await.is(200).body["domains"], json!([]));
    lab.post(&admin, "/v3/roles", json!({})).await.refuses(405, "method");
}

#[tokio::test]
async fn the_first_administrator_is_made_once() {
    let lab = Lab::new().await;
    let admin = lab.admin().await;
    let user = lab.get(&admin, "/v3/users").await.body["users"][0]["id"].as_str().unwrap().to_owned();
    lab.patch(&admin, &format!("/v3/users/{user}"), json!({"user": {"password": "other"}})).await.is(200);
    lab.api.identity.bootstrap(lab.api.config.bootstrap.as_ref().unwrap()).await.unwrap();
    lab.password("admin", "secret", Value::Null).await.is(401);
    let admin = lab.password("admin", "other", Value::Null).await.is(201).header("x-subject-token").to_owned();
    assert_eq!(lab.get(&admin, "/v3/users").await.names("users"), ["admin"]);
    assert_eq!(lab.get(&admin, "/v3/projects").await.names("projects"), ["admin"]);
}
