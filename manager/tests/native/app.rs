//! The manager of the tests behind its whole server, without sockets: requests by function call.

use std::net::SocketAddr;
use std::ops::Deref;
use std::time::Duration;

use axum::body::Body;
use hostler_common::id::HostId;
use hostler_common::time::{Clock as _, Timestamp};
use hostler_manager::api::server::{Limits, Service, router};
use hostler_manager::store::host::{Greeting, host_offline, host_online};
use http::{HeaderMap, Request};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::{Manager, tokens, whole};

/// The manager under test.
pub struct App {
    manager: Manager,
    pub service: Service,
    pub stop: CancellationToken,
}

impl Deref for App {
    type Target = Manager;

    fn deref(&self) -> &Manager {
        &self.manager
    }
}

/// What a request was answered with.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// The body, if the status is that one.
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        if self.text.is_empty() { Value::Null } else { self.json() }
    }

    /// Asserts an error of the native shape, and returns its text.
    pub fn error(self, status: u16) -> String {
        let body = self.expect(status);
        assert_eq!(body["code"], status, "{body}");
        assert!(!body["error"].as_str().unwrap().is_empty(), "{body}");
        body["message"].as_str().unwrap().to_owned()
    }
}

impl App {
    pub async fn start() -> Self {
        Self::with(Limits::default()).await
    }

    pub async fn with(limits: Limits) -> Self {
        let manager = Manager::new(&tokens(&["admin", "service", "member", "reader"])).await;
        let stop = CancellationToken::new();
        let service = Service::new(router::router(manager.api.clone(), stop.clone()), limits);
        Self { manager, service, stop }
    }

    /// Sends any request from that address.
    pub async fn send(&self, request: Request<Body>, from: &str) -> Answer {
        let peer = from.parse::<SocketAddr>().unwrap();
        let (parts, body) = whole(self.service.call(peer, request).await).await;
        let text = String::from_utf8(body.to_vec()).unwrap();
        Answer { status: parts.status.as_u16(), headers: parts.headers, text }
    }

    /// Sends a request with the token of that role, or none if it is empty.
    pub async fn call(&self, role: &str, method: &str, path: &str, body: impl Into<Body>) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if !role.is_empty() {
            request = request.header("X-Auth-Token", role);
        }
        self.send(request.body(body.into()).unwrap(), "192.0.2.7:1234").await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call("reader", "GET", path, Body::empty()).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.call("admin", "POST", path, body.to_string()).await
    }

    /// A host that never connected.
    pub async fn host(&self, name: &str) -> HostId {
        self.host_with(name, &[]).await
    }

    /// Makes a host's agent connected.
    pub async fn connect(&self, id: HostId) {
        let now = self.clock.now();
        let hello = Greeting { version: "0.1.0".into(), boot_id: "boot".into(), address: "192.0.2.9:5".into() };
        let store = &self.api.engine.store;
        store.write(move |tx| Box::pin(async move { host_online(tx, id, &hello, now).await })).await.unwrap();
    }

    /// Makes a host's agent go away that connected at that time.
    pub async fn disconnect(&self, id: HostId, since: Timestamp) {
        let now = self.clock.now();
        let store = &self.api.engine.store;
        assert!(store.write(move |tx| Box::pin(async move { host_offline(tx, id, since, now).await })).await.unwrap());
    }

    /// Runs what is due, and answers the open job of a host with that document.
    pub async fn deliver(&self, host: HostId, document: &Value) {
        self.run_due().await;
        let open = self.jobs(host).await;
        assert_eq!(open.len(), 1, "one job is expected: {open:?}");
        self.report(&open[0].0, document).await;
        self.run_due().await;
    }

    /// A whole introspection of a host with that document, through the API; returns the task.
    pub async fn introspect(&self, host: HostId, document: &Value) -> i64 {
        self.clock.advance(Duration::from_secs(60));
        let begun = self.post(&format!("/api/hosts/{host}/introspect"), json!({})).await.expect(202);
        self.deliver(host, document).await;
        begun["task"].as_i64().unwrap()
    }
}

/// What a probe might find, with a disk of that size.
pub fn document(disk: u64) -> Value {
    json!({
        "inventory": {
            "bmc_address": "192.0.2.10", "cpu": {"count": 64, "architecture": "x86_64", "model_name": "Model"},
            "memory": {"physical_mb": 262_144, "total": 270_011_011_072_u64},
            "disks": [{"name": "/dev/nvme0n1", "size": disk, "serial": "S1"}],
            "interfaces": [{"name": "ens1f0", "mac_address": "52:54:00:aa:00:01", "ipv4_address": "192.0.2.50"}],
            "system_vendor": {"manufacturer": "Maker", "product_name": "Product", "serial_number": "N1"},
        },
        "root_disk": {"name": "/dev/nvme0n1", "size": disk},
        "boot_interface": null, "error": null,
        "fleet": {"schema": 1, "sections": {"disks": {"status": "ok"}}},
    })
}
