//! A program that is told of events: keeps what it got, answers as a test wants.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use hostler_manager::api::server::{Limits, Service, serve_connections};
use http::HeaderMap;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::lab::LONG;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Got {
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Got {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The number of the event.
    pub fn id(&self) -> i64 {
        self.header("webhook-id").parse().unwrap()
    }
}

/// How to answer.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: usize,
    pub delay: Duration,
}

impl Reply {
    pub fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: 0, delay: Duration::ZERO }
    }
}

type Answers = dyn Fn(usize, &Got) -> Reply + Send + Sync;

#[derive(Clone)]
struct Desk {
    got: Arc<Mutex<Vec<Got>>>,
    answer: Arc<Answers>,
}

/// The program.
pub struct Receiver {
    pub address: SocketAddr,
    got: Arc<Mutex<Vec<Got>>>,
    stop: CancellationToken,
}

impl Receiver {
    /// One that takes everything.
    pub async fn new() -> Self {
        Self::with(|_, _| Reply::status(204)).await
    }

    /// One that answers the n-th request so.
    pub async fn with(answer: impl Fn(usize, &Got) -> Reply + Send + Sync + 'static) -> Self {
        Self::on(answer, None).await
    }

    pub async fn on(
        answer: impl Fn(usize, &Got) -> Reply + Send + Sync + 'static,
        tls: Option<Arc<rustls::ServerConfig>>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let got = Arc::new(Mutex::new(Vec::new()));
        let desk = Desk { got: Arc::clone(&got), answer: Arc::new(answer) };
        let router = Router::new().fallback(take).with_state(desk);
        let limits = Limits { grace: Duration::from_millis(10), ..Limits::default() };
        tokio::spawn(serve_connections(Service::new(router, limits), listener, tls, stop.clone()));
        Self { address, got, stop }
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Everything that came, in order.
    pub fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    /// Waits until so many requests came.
    pub async fn wait(&self, count: usize) -> Vec<Got> {
        let deadline = tokio::time::Instant::now() + LONG;
        loop {
            let got = self.got();
            if got.len() >= count {
                return got;
            }
            assert!(tokio::time::Instant::now() < deadline, "{} of {count} came", got.len());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn take(State(desk): State<Desk>, headers: HeaderMap, body: Bytes) -> Response {
    let got = Got { headers, body };
    let n = {
        let mut all = desk.got.lock().unwrap();
        all.push(got.clone());
        all.len() - 1
    };
    let reply = (desk.answer)(n, &got);
    tokio::time::sleep(reply.delay).await;
    let mut response = Response::builder().status(reply.status);
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    response.body(Body::from(vec![b'x'; reply.body])).unwrap()
}
