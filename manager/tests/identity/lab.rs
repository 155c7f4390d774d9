//! The manager of the tests behind the identity dialect.

use std::net::SocketAddr;
use std::ops::Deref;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hostler_manager::api::identity;
use hostler_manager::api::peer::Peer;
use http::{HeaderMap, Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::support::{Manager, whole};

/// SHA-256 of `statictoken`.
pub const STATIC_SHA256: &str = "8af25b76d8e94843513a17b9111eacad3c5b56ae7ceeb4d0322d4ac57571f473";

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    /// The answer, if it has this status.
    #[track_caller]
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self
    }

    /// The answer, if it is an error of the dialect with this status and this in its message.
    #[track_caller]
    pub fn refuses(self, status: u16, part: &str) -> Self {
        let answer = self.is(status);
        let error = &answer.body["error"];
        assert_eq!(error["code"], status, "{}", answer.body);
        assert_eq!(error["title"], answer.status.canonical_reason().unwrap());
        assert!(error["message"].as_str().unwrap().contains(part), "{error} lacks {part}");
        answer
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The names in a list.
    pub fn names(&self, key: &str) -> Vec<String> {
        self.body[key].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    }
}

pub struct Lab {
    manager: Manager,
    router: Router,
}

impl Deref for Lab {
    type Target = Manager;

    fn deref(&self) -> &Manager {
        &self.manager
    }
}

impl Lab {
    pub async fn new() -> Self {
        Self::with("").await
    }

    /// With more lines in the section `[auth]` of the configuration; `DIR` in them is a directory of the test.
    pub async fn with(auth: &str) -> Self {
        Self::prepared(auth, |_| ()).await
    }

    /// As [`Self::with`], after `prepare` had a look at the directory.
    pub async fn prepared(auth: &str, prepare: impl FnOnce(&std::path::Path)) -> Self {
        let settings = format!(
            "[listen]\ntrusted_proxies = ['10.9.9.9']\n[bootstrap]\nusername = 'admin'\npassword = 'secret'\n[auth]\n{auth}\n\
             [[auth.static_tokens]]\nname = 'up'\ntoken_sha256 = '{STATIC_SHA256}'\nroles = ['admin']\n"
        );
        let manager = Manager::prepared(&settings, prepare).await;
        let router = Router::new().nest_service("/identity", identity::routes(manager.api.clone()));
        Self { manager, router }
    }

    pub fn pass(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Changes the store as another manager on it would: without the knowledge of this one.
    pub async fn sql(&self, statement: &'static str) {
        let write = self.api.engine.store.write(move |tx| {
            Box::pin(async move {
                sqlx::query(statement).execute(tx).await?;
                Ok(())
            })
        });
        write.await.unwrap();
    }

    pub async fn raw(&self, request: Request<Body>) -> Answer {
        let (parts, bytes) = whole(self.router.clone().oneshot(request).await.unwrap()).await;
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// A request from 192.0.2.7 with these headers; the path begins after `/identity`.
    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Answer {
        let mut request =
            Request::builder().method(method).uri(format!("/identity{path}")).header("host", "fleet:8080");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let mut request = request.body(body).unwrap();
        let address: SocketAddr = "192.0.2.7:4321".parse().unwrap();
        request.extensions_mut().insert(Peer::plain(address));
        self.raw(request).await
    }

    pub async fn get(&self, token: &str, path: &str) -> Answer {
        self.send("GET", path, &[("x-auth-token", token)], None).await
    }

    pub async fn delete(&self, token: &str, path: &str) -> Answer {
        self.send("DELETE", path, &[("x-auth-token", token)], None).await
    }

    pub async fn put(&self, token: &str, path: &str) -> Answer {
        self.send("PUT", path, &[("x-auth-token", token)], None).await
    }

    pub async fn post(&self, token: &str, path: &str, body: Value) -> Answer {
        self.send("POST", path, &[("x-auth-token", token)], Some(&body)).await
    }

    pub async fn patch(&self, token: &str, path: &str, body: Value) -> Answer {
        self.send("PATCH", path, &[("x-auth-token", token)], Some(&body)).await
    }

    pub async fn login(&self, auth: Value) -> Answer {
        self.send("POST", "/v3/auth/tokens", &[], Some(&json!({"auth": auth}))).await
    }

    /// The answer to a login by password.
    pub async fn password(&self, name: &str, password: &str, scope: Value) -> Answer {
        let user = json!({"name": name, "domain": {"id": "default"}, "password": password});
        let identity = json!({"methods": ["password"], "password": {"user": user}});
        self.login(json!({"identity": identity, "scope": scope})).await
    }

    /// A token of the first administrator in their project.
    pub async fn admin(&self) -> String {
        self.password("admin", "secret", Value::Null).await.is(201).header("x-subject-token").to_owned()
    }

    /// Makes a project; its id.
    pub async fn project(&self, admin: &str, name: &str) -> String {
        let answer = self.post(admin, "/v3/projects", json!({"project": {"name": name}})).await.is(201);
        answer.body["project"]["id"].as_str().unwrap().to_owned()
    }

    /// Makes a user with the password `pw`; their id.
    pub async fn user(&self, admin: &str, name: &str) -> String {
        let answer = self.post(admin, "/v3/users", json!({"user": {"name": name, "password": "pw"}})).await.is(201);
        answer.body["user"]["id"].as_str().unwrap().to_owned()
    }

    /// Makes the project `p`, and the user `ann` with a role in it; the ids of both and a token of the user for it.
    pub async fn ann(&self, admin: &str, role: &str) -> (String, String, String) {
        let (project, user) = (self.project(admin, "p").await, self.user(admin, "ann").await);
        self.put(admin, &format!("/v3/projects/{project}/users/{user}/roles/{role}")).await.is(204);
        let answer = self.password("ann", "pw", json!({"project": {"id": project}})).await.is(201);
        let token = answer.header("x-subject-token").to_owned();
        (project, user, token)
    }
}
