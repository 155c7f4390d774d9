//! The manager of the tests behind the maintenance dialect, and its callers.

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;

use axum::body::Body;
use axum::{Extension, Router};
use bytes::Bytes;
use hostler_common::id::HostId;
use hostler_manager::api::follow::Streams;
use hostler_manager::api::maintenance;
use hostler_manager::api::peer::Peer;
use hostler_manager::engine::compute::{ComputeSide, Memory};
use hostler_manager::store::maintenance::listener_put;
use hostler_manager::webhook::Webhooks;
use http::{HeaderMap, Method, Request, StatusCode};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::support::{Manager, tokens, whole};

/// A session that is not there.
pub const NOBODY: &str = "5d0e1c4c-2f5d-11f0-9a59-0242ac110002";

/// The manager and the dialect's routes at the root.
pub struct Site {
    manager: Manager,
    pub router: Router,
}

impl Deref for Site {
    type Target = Manager;

    fn deref(&self) -> &Manager {
        &self.manager
    }
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    /// The body of an answer with that status.
    pub fn is(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{:?}", self.body);
        assert_eq!(self.headers["content-type"], "application/json");
        self.json()
    }

    /// The text of an error with that status, after a look at its shape.
    pub fn error(self, status: u16) -> String {
        let body = self.is(status);
        assert_eq!(body["status"], status);
        assert_eq!(body["error"], body["message"]);
        assert!(body["code"].is_string() && body["request_id"].as_str().unwrap().starts_with("req-"), "{body}");
        body["error"].as_str().unwrap().to_owned()
    }
}

impl Site {
    /// A manager that asks for no proof of identity.
    pub async fn open() -> Self {
        Self::with("[auth]\nstrategy = \"none\"\n").await
    }

    /// A manager with an administrator in the project `ops`, the users `ann` and `bob` in projects of their own, and the
    /// static tokens `admin`, `service` and `reader`.
    pub async fn guarded(more: &str) -> Self {
        Self::with(&format!("{}{more}", Self::guarded_settings())).await
    }

    /// A manager with these settings.
    pub async fn with(settings: &str) -> Self {
        Self::with_instances(settings, Arc::default()).await
    }

    /// The same, and instances.
    pub async fn with_instances(settings: &str, fleet: Arc<Memory>) -> Self {
        let compute = ComputeSide(fleet);
        let manager = Manager::changed(settings, |_| (), |settings| settings.compute = compute).await;
        let api = &manager.api;
        let webhooks = Webhooks::new(api.engine.clone(), Arc::clone(api.hooks.vault()), &api.config);
        let streams = Streams::new(8, CancellationToken::new());
        let router = maintenance::routes(api.clone()).layer(Extension(streams)).layer(Extension(webhooks));
        Self { manager, router }
    }

    /// Settings of a manager with the static tokens `admin`, `service` and `reader`.
    pub fn guarded_settings() -> String {
        let auth = format!("[auth]\nstrategy = \"token\"\n{}", tokens(&["admin", "service", "reader"]));
        format!("[bootstrap]\nusername = \"root\"\npassword = \"secret-root\"\nproject = \"ops\"\n{auth}")
    }

    /// A host whose agent is there.
    pub async fn host(&self, name: &str, roles: &[&str]) -> HostId {
        let host = self.host_with(name, roles).await;
        self.connect(host).await;
        host
    }

    /// Somebody listens for a project.
    pub async fn listen_for(&self, project: &str) {
        let project = project.to_owned();
        let put = self
            .api
            .engine
            .store
            .write(move |tx| Box::pin(async move { listener_put(tx, &project, "test", None).await }));
        put.await.unwrap();
    }

    /// Sends a request.
    pub async fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(path);
        request = request.header("host", "mgr.example:12347");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(&self.router, request.body(Body::from(body.to_owned())).unwrap()).await
    }

    /// Sends a request to a router.
    pub async fn send(&self, router: &Router, mut request: Request<Body>) -> Answer {
        request.extensions_mut().insert(Peer::plain(SocketAddr::from(([127, 0, 0, 1], 40_000))));
        let (parts, body) = whole(router.clone().oneshot(request).await.unwrap()).await;
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// The same with a token.
    pub async fn of(&self, token: &str, method: &str, path: &str, body: &Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.call(method, path, &[("x-auth-token", token)], &body).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], "").await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.call("PUT", path, &[], &body.to_string()).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call("POST", path, &[], &body.to_string()).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, &[], "").await
    }

    /// A user who is that in a project of their own; returns their token and the project's id.
    pub async fn person(&self, name: &str, role: &str) -> (String, String) {
        let identity = hostler_manager::api::identity::routes(self.api.clone());
        let ask = |method: &'static str, path: String, token: String, body: Value| {
            let identity = identity.clone();
            async move {
                let request = Request::builder().method(method).uri(path).header("host", "mgr.example:8080");
                let request = request.header("x-auth-token", token).header("content-type", "application/json");
                self.send(&identity, request.body(Body::from(body.to_string())).unwrap()).await
            }
        };
        let admin = || "admin".to_owned();
        let project = json!({"project": {"name": format!("{name}s")}});
        let project = ask("POST", "/v3/projects".into(), admin(), project).await.json();
        let project = project["project"]["id"].as_str().unwrap().to_owned();
        let user = json!({"user": {"name": name, "password": format!("secret-{name}")}});
        let user = ask("POST", "/v3/users".into(), admin(), user).await.json();
        let user = user["user"]["id"].as_str().unwrap().to_owned();
        let grant = ask("PUT", format!("/v3/projects/{project}/users/{user}/roles/{role}"), admin(), Value::Null).await;
        assert_eq!(grant.status, 204, "{:?}", grant.body);
        let login = json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": {"id": user, "password": format!("secret-{name}")}}},
            "scope": {"project": {"id": project}},
        }});
        let login = ask("POST", "/v3/auth/tokens".into(), String::new(), login).await;
        (login.headers["x-subject-token"].to_str().unwrap().to_owned(), project)
    }
}
