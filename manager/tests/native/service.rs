//! What surrounds every request: ids, health, metrics, limits, panics.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use hostler_manager::api::server::{Limits, Service};
use http::Request;
use serde_json::json;

use crate::app::{Answer, App, document};

/// The manager with these routes of our own in the place of its own ones.
async fn with_routes(router: Router, limits: Limits) -> App {
    let mut app = App::start().await;
    app.service = Service::new(router, limits);
    app
}

fn id(answer: &Answer) -> &str {
    answer.headers["x-request-id"].to_str().unwrap()
}

#[tokio::test]
async fn every_answer_has_a_request_id_and_says_how_to_treat_it() {
    let app = App::start().await;
    for path in ["/api/version", "/api/hosts", "/nothing", "/healthz"] {
        let answer = app.call("", "GET", path, Body::empty()).await;
        assert_eq!(id(&answer).len(), 40, "{path}");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(answer.headers.get("cache-control").is_some(), path.starts_with("/api"), "{path}");
        let request = Request::get(path).header("X-Request-Id", "mine-7").body(Body::empty()).unwrap();
        assert_eq!(id(&app.send(request, "192.0.2.7:1").await), "mine-7", "{path}");
    }
    let request = Request::get("/api/version").header("X-Request-Id", "a\tb").body(Body::empty()).unwrap();
    assert_eq!(id(&app.send(request, "192.0.2.7:1").await).len(), 40);
}

#[tokio::test]
async fn version_and_head() {
    let app = App::start().await;
    let version = app.call("", "GET", "/api/version", Body::empty()).await.expect(200);
    assert_eq!(version, json!({"version": env!("CARGO_PKG_VERSION"), "apiVersion": 1}));
    let head = app.call("", "HEAD", "/api/version", Body::empty()).await;
    assert_eq!((head.status, head.text.as_str()), (200, ""));
}

#[tokio::test]
async fn health_and_readiness() {
    let app = App::start().await;
    let answer = app.call("", "GET", "/readyz", Body::empty()).await;
    assert_eq!((answer.status, answer.text.as_str()), (503, "agents cannot connect"));
    let agents = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let fleet = app.api.fleet.clone();
    let serving = tokio::spawn(hostler_manager::fleet::link::serve(fleet, agents, app.stop.clone()));
    while !app.api.fleet.listening() {
        assert!(!serving.is_finished(), "the listener of agents has ended");
        tokio::task::yield_now().await;
    }
    for path in ["/healthz", "/readyz"] {
        let answer = app.call("", "GET", path, Body::empty()).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, "ok"), "{path}");
    }
    app.stop.cancel();
    let answer = app.call("", "GET", "/readyz", Body::empty()).await;
    assert_eq!((answer.status, answer.text.as_str()), (503, "stopping"));
    assert_eq!(app.call("", "GET", "/healthz", Body::empty()).await.status, 200);
}

#[tokio::test]
async fn every_dialect_is_where_its_clients_look_for_it() {
    let app = App::start().await;
    let ask = |path: &'static str, token: &'static str| {
        let request = Request::get(path).header("Host", "manager:8080").header("X-Auth-Token", token);
        app.send(request.body(Body::empty()).unwrap(), "192.0.2.7:1")
    };
    let root = ask("/", "").await.expect(200);
    assert_eq!(root["versions"][0]["links"][0]["href"], "http://manager:8080/v1");
    let mounted = ask("/introspection", "").await.expect(200);
    assert_eq!(mounted["versions"][0]["links"][0]["href"], "http://manager:8080/introspection/v1");
    for path in ["/v1/introspection", "/introspection/v1/introspection", "/introspection/v1/introspection/"] {
        assert_eq!(ask(path, "service").await.expect(200), json!({"introspection": []}), "{path}");
        assert!(ask(path, "").await.expect(401)["error"]["message"].is_string(), "{path}");
    }
    for path in ["/identity/v3", "/identity/v3/"] {
        assert_eq!(ask(path, "").await.expect(200)["version"]["id"].as_str().map(|id| &id[..2]), Some("v3"), "{path}");
    }
    assert_eq!(ask("/identity/v3/users", "").await.expect(401)["error"]["code"], 401);
}

#[tokio::test]
async fn metrics_are_free_for_this_machine_only() {
    let app = App::start().await;
    let ask = |from: &'static str, header: Option<(&'static str, &'static str)>| {
        let mut request = Request::get("/metrics");
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        app.send(request.body(Body::empty()).unwrap(), from)
    };
    assert_eq!(ask("127.0.0.1:1", None).await.status, 200);
    assert_eq!(ask("[::1]:1", None).await.status, 200);
    ask("127.0.0.1:1", Some(("X-Forwarded-For", "203.0.113.9"))).await.error(401);
    ask("192.0.2.7:1", None).await.error(401);
    assert_eq!(ask("192.0.2.7:1", Some(("X-Auth-Token", "reader"))).await.status, 200);
}

#[tokio::test]
async fn metrics_tell_what_there_is() {
    let app = App::start().await;
    let a = app.host("a").await;
    app.connect(a).await;
    app.host("b").await;
    app.introspect(a, &document(1)).await;
    let answer = app.call("reader", "GET", "/metrics", Body::empty()).await;
    assert_eq!(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let text = answer.text;
    for line in [
        "hostler_hosts{state=\"online\"} 1",
        "hostler_hosts{state=\"enrolled\"} 1",
        "hostler_hosts{state=\"revoked\"} 0",
        "hostler_jobs{state=\"succeeded\"} 1",
        "hostler_jobs{state=\"failed\"} 0",
        "hostler_agents_connected 0",
        "hostler_store_up 1",
        "hostler_maintenance_sessions{state=\"MAINTENANCE_FAILED\"} 0",
        "hostler_maintenance_hosts{phase=\"waiting_health\"} 0",
        "hostler_maintenance_wait_seconds_bucket{kind=\"gate\",le=\"+Inf\"} 0",
        "hostler_maintenance_wait_seconds_count{kind=\"reply\"} 0",
        "hostler_maintenance_open_wait_seconds{kind=\"gate\"} 0",
        "# TYPE hostler_http_request_duration_seconds histogram",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    let number = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name} is missing"));
        line.trim().parse::<f64>().unwrap()
    };
    assert!(number("hostler_http_requests_total{dialect=\"native\",class=\"2xx\"}") >= 1.0);
    assert!(number("hostler_store_transaction_duration_seconds_count{outcome=\"committed\"}") >= 4.0);
    assert!(number("process_resident_memory_bytes ") > 1e6);
    check_format(&text);
}

/// Every sample belongs to the metric that was announced last, and each metric is announced once.
fn check_format(text: &str) {
    let (mut announced, mut current) = (Vec::new(), "");
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            current = rest.split(' ').next().unwrap();
            assert!(!announced.contains(&current), "{current} is announced twice");
            announced.push(current);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            assert_eq!(rest.split(' ').next(), Some(current));
        } else {
            let name = line.split(['{', ' ']).next().unwrap();
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            assert!(name == current || base == current, "{line} is not of {current}");
            assert!(line.rsplit(' ').next().unwrap().parse::<f64>().is_ok(), "{line}");
        }
    }
}

#[tokio::test]
async fn a_panic_is_an_answer_and_tells_nothing() {
    async fn broken() -> &'static str {
        panic!("secret inside")
    }
    let router = Router::new().route("/api/broken", get(broken)).route("/v1/broken", get(broken));
    let app = with_routes(router, Limits::default()).await;
    let answer = app.call("", "GET", "/api/broken", Body::empty()).await;
    assert!(!answer.text.contains("secret") && answer.headers.contains_key("x-request-id"), "{answer:?}");
    answer.error(500);
    let answer = app.call("", "GET", "/v1/broken", Body::empty()).await.expect(500);
    assert!(answer["error"]["message"].as_str().unwrap().starts_with("internal error"), "{answer}");
}

#[tokio::test]
async fn slow_handlers_and_slow_bodies_are_given_up() {
    let never = || async { std::future::pending::<&str>().await };
    let reads = |body: String| async move { body };
    let router = Router::new().route("/api/never", post(never)).route("/api/reads", post(reads));
    let limits = Limits { request: Duration::from_millis(50), ..Limits::default() };
    let app = with_routes(router, limits).await;
    let answer = app.call("", "POST", "/api/never", "{}").await;
    assert_eq!(answer.status, 408, "a body that nobody read did not arrive: {answer:?}");
    let answer = app.call("", "POST", "/api/never", Body::empty()).await;
    assert!(answer.headers.contains_key("retry-after"));
    assert!(answer.error(503).contains("may still happen"));
    let frames = futures::stream::pending::<Result<bytes::Bytes, std::io::Error>>();
    let answer = app.call("", "POST", "/api/reads", Body::from_stream(frames)).await;
    assert_eq!(answer.headers["connection"], "close");
    answer.error(408);
}

#[tokio::test]
async fn too_many_requests_at_once_are_sent_away() {
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let (entered, inside) = tokio::sync::oneshot::channel::<()>();
    let entered = std::sync::Arc::new(std::sync::Mutex::new(Some(entered)));
    let wait = {
        let gate = std::sync::Arc::clone(&gate);
        move || {
            let gate = std::sync::Arc::clone(&gate);
            let entered = entered.lock().unwrap().take();
            async move {
                if let Some(entered) = entered {
                    entered.send(()).unwrap();
                }
                let _permit = gate.acquire().await.unwrap();
                "done"
            }
        }
    };
    let router = Router::new().route("/api/wait", get(wait)).route("/healthz", get(async || "ok"));
    let app = with_routes(router, Limits { in_flight: 1, ..Limits::default() }).await;
    let first = app.call("", "GET", "/api/wait", Body::empty());
    let others = async {
        inside.await.unwrap();
        let answer = app.call("", "GET", "/api/wait", Body::empty()).await;
        assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
        answer.error(503);
        assert_eq!(app.call("", "GET", "/healthz", Body::empty()).await.status, 200);
        gate.add_permits(2);
    };
    let (first, ()) = tokio::join!(first, others);
    assert_eq!((first.status, first.text.as_str()), (200, "done"));
    assert_eq!(app.call("", "GET", "/api/wait", Body::empty()).await.status, 200);
}

#[tokio::test]
async fn no_dialect_gets_an_unbounded_body() {
    let reads = |body: Body| async move {
        axum::body::to_bytes(body, usize::MAX)
            .await
            .map_or_else(|error| error.to_string(), |bytes| bytes.len().to_string())
    };
    let app = with_routes(Router::new().route("/v1/x", post(reads)), Limits { body: 10, ..Limits::default() }).await;
    assert_eq!(app.call("", "POST", "/v1/x", "0123456789").await.text, "10");
    assert_eq!(app.call("", "POST", "/v1/x", "0123456789x").await.text, "length limit exceeded");
}
