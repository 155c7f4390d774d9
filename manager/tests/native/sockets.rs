//! The server over real sockets: slow, greedy and broken clients, HTTP/2, TLS, an orderly stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::routing::get;
use axum::{Extension, Router};
use bytes::Bytes;
use hostler_manager::api::peer::Peer;
use hostler_manager::api::server::{Limits, Service, serve_connections, tls};
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// Longer than anything here takes, shorter than anybody's patience.
const LONG: Duration = Duration::from_secs(20);

struct Running {
    address: SocketAddr,
    stop: CancellationToken,
    done: JoinHandle<()>,
}

impl Running {
    async fn start(router: Router, limits: Limits, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let done = tokio::spawn(serve_connections(Service::new(router, limits), listener, tls, stop.clone()));
        Self { address, stop, done }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Stops the server, which must end in time.
    async fn end(self) {
        self.stop.cancel();
        in_time(self.done).await.unwrap();
    }
}

async fn in_time<F: Future>(work: F) -> F::Output {
    tokio::time::timeout(LONG, work).await.expect("not done in time")
}

/// Everything until the server closes the connection; a reset counts as its end.
async fn read_all(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match in_time(stream.read(&mut buffer)).await {
            Ok(0) | Err(_) => return String::from_utf8_lossy(&all).into_owned(),
            Ok(read) => all.extend_from_slice(&buffer[..read]),
        }
    }
}

fn short(head: Duration) -> Limits {
    Limits { head, idle: head, grace: Duration::from_millis(300), ..Limits::default() }
}

fn hello() -> Router {
    Router::new()
        .route("/hello", get(|Extension(peer): Extension<Peer>| async move { peer.address.unwrap().ip().to_string() }))
}

const ASK: &[u8] = b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n";

#[tokio::test]
async fn clients_that_dawdle_are_cut_off() {
    let limit = Duration::from_millis(300);
    let server = Running::start(hello(), short(limit), None).await;
    for sent in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n", b"GET /hel", b"GET /hello HTTP/1.1\r\nHost: x\r\nA: "] {
        let mut stream = server.connect().await;
        let begun = Instant::now();
        stream.write_all(sent).await.unwrap();
        let text = read_all(&mut stream).await;
        assert!(!text.contains("200 OK"), "{sent:?}: {text}");
        assert!(begun.elapsed() >= limit / 2 && begun.elapsed() < LONG / 2, "{sent:?}: {:?}", begun.elapsed());
    }
    let mut stream = server.connect().await;
    let (mut reader, mut writer) = stream.split();
    let dribble = async {
        for byte in b"GET /hello HTTP/1.1\r\nHost: x\r\nX: ".iter().chain(std::iter::repeat(&b'x')) {
            if writer.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let mut got = Vec::new();
    tokio::select! {
        () = dribble => {}
        read = in_time(reader.read_to_end(&mut got)) => { let _closed = read; }
    }
    assert!(!String::from_utf8_lossy(&got).contains("200 OK"));
    server.end().await;
}

#[tokio::test]
async fn connections_that_lie_still_are_ended_after_their_answers() {
    let server = Running::start(hello(), short(Duration::from_millis(200)), None).await;
    let mut stream = server.connect().await;
    stream.write_all(&[ASK, ASK].concat()).await.unwrap();
    let text = read_all(&mut stream).await;
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 2, "{text}");
    assert!(text.contains("127.0.0.1"), "{text}");

    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(server.connect().await))
            .await
            .unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::get("http://x/hello").body(Full::new(Bytes::new())).unwrap();
    assert_eq!(in_time(sender.send_request(request)).await.unwrap().status(), 200);
    in_time(connection).await.unwrap().unwrap();
    server.end().await;
}

#[tokio::test]
async fn a_long_request_is_not_taken_for_a_still_connection() {
    let slow = || async {
        tokio::time::sleep(Duration::from_millis(600)).await;
        "late"
    };
    let limits = short(Duration::from_millis(150));
    let server = Running::start(Router::new().route("/slow", get(slow)), limits, None).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let text = read_all(&mut stream).await;
    assert!(text.ends_with("late"), "{text}");
    server.end().await;
}

#[tokio::test]
async fn oversized_heads_and_bodies_are_refused() {
    let app = App::start().await;
    let router = hostler_manager::api::server::router::router(app.api.clone(), CancellationToken::new());
    let server = Running::start(router, Limits::default(), None).await;
    let mut stream = server.connect().await;
    let head = format!("GET /api/version HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "x".repeat(200_000));
    // The server may close before it has read all of it.
    let _sent = stream.write_all(head.as_bytes()).await;
    let text = read_all(&mut stream).await;
    assert!(text.is_empty() || text.starts_with("HTTP/1.1 431"), "{text}");

    let mut stream = server.connect().await;
    let size = 3 << 20;
    let head = format!(
        "POST /api/join-tokens HTTP/1.1\r\nHost: x\r\nX-Auth-Token: admin\r\nConnection: close\r\nContent-Length: {size}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let send = async {
        let _sent = writer.write_all(&vec![b' '; size]).await;
        std::future::pending::<()>().await;
    };
    let mut got = vec![0; 12];
    tokio::select! {
        () = send => unreachable!(),
        read = in_time(reader.read_exact(&mut got)) => { read.unwrap(); }
    }
    assert_eq!(String::from_utf8_lossy(&got), "HTTP/1.1 413");

    let mut stream = server.connect().await;
    stream.write_all(b"nonsense\r\n\r\n").await.unwrap();
    assert!(read_all(&mut stream).await.starts_with("HTTP/1.1 400"));
    server.end().await;
}

#[tokio::test]
async fn only_so_many_connections_are_served_at_once() {
    let limits = Limits { connections: 1, ..Limits::default() };
    let server = Running::start(hello(), limits, None).await;
    let mut first = server.connect().await;
    first.write_all(ASK).await.unwrap();
    let mut got = [0; 15];
    in_time(first.read_exact(&mut got)).await.unwrap();
    let mut second = server.connect().await;
    second.write_all(ASK).await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(200), second.read(&mut got)).await;
    assert!(early.is_err(), "the second is served while the first is open");
    drop(first);
    in_time(second.read_exact(&mut got)).await.unwrap();
    assert_eq!(&got, b"HTTP/1.1 200 OK");
    drop(second);
    server.end().await;
}

/// A router whose `/wait` answers once the gate is open, and a channel that tells that a request is inside.
fn gated() -> (Router, Arc<Semaphore>, tokio::sync::mpsc::UnboundedReceiver<()>) {
    let gate = Arc::new(Semaphore::new(0));
    let (inside, entered) = tokio::sync::mpsc::unbounded_channel();
    let wait = {
        let gate = Arc::clone(&gate);
        move || {
            let (gate, inside) = (Arc::clone(&gate), inside.clone());
            async move {
                inside.send(()).unwrap();
                let _permit = gate.acquire().await.unwrap();
                "done"
            }
        }
    };
    (Router::new().route("/wait", get(wait)), gate, entered)
}

const WAIT: &[u8] = b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n";

#[tokio::test]
async fn a_stop_lets_requests_under_way_end() {
    let (router, gate, mut entered) = gated();
    let server = Running::start(router, Limits::default(), None).await;
    let mut idle = server.connect().await;
    let mut busy = server.connect().await;
    busy.write_all(WAIT).await.unwrap();
    in_time(entered.recv()).await.unwrap();
    server.stop.cancel();
    assert_eq!(read_all(&mut idle).await, "");
    // The listener is closed once the accept loop has seen the stop, which the end of the idle connection does not prove.
    in_time(async {
        while TcpStream::connect(server.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    gate.add_permits(1);
    let text = read_all(&mut busy).await;
    assert!(text.starts_with("HTTP/1.1 200 OK") && text.ends_with("done"), "{text}");
    server.end().await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever() {
    let (router, _gate, mut entered) = gated();
    let server = Running::start(router, short(Duration::from_secs(60)), None).await;
    let mut busy = server.connect().await;
    busy.write_all(WAIT).await.unwrap();
    in_time(entered.recv()).await.unwrap();
    let begun = Instant::now();
    server.stop.cancel();
    assert_eq!(read_all(&mut busy).await, "");
    assert!(begun.elapsed() >= Duration::from_millis(250), "{:?}", begun.elapsed());
    server.end().await;
}

#[tokio::test]
async fn http_2_has_many_requests_on_one_connection() {
    let app = App::start().await;
    let router = hostler_manager::api::server::router::router(app.api.clone(), CancellationToken::new());
    let server = Running::start(router, Limits::default(), None).await;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(server.connect().await))
            .await
            .unwrap();
    let connection = tokio::spawn(connection);
    let mut answers = Vec::new();
    for number in 0..20 {
        let request = Request::get("http://localhost/api/hosts")
            .header("X-Auth-Token", if number % 2 == 0 { "reader" } else { "wrong" })
            .header("X-Request-Id", format!("number-{number}"))
            .body(Full::new(Bytes::new()))
            .unwrap();
        answers.push(sender.send_request(request));
    }
    for (number, answer) in in_time(futures::future::join_all(answers)).await.into_iter().enumerate() {
        let answer = answer.unwrap();
        assert_eq!(answer.status(), if number % 2 == 0 { 200 } else { 401 });
        assert_eq!(answer.headers()["x-request-id"], format!("number-{number}").as_str());
        assert!(!answer.into_body().collect().await.unwrap().to_bytes().is_empty());
    }
    drop(sender);
    in_time(connection).await.unwrap().unwrap();
    server.end().await;
}

struct Certified {
    dir: tempfile::TempDir,
    client: rustls::ClientConfig,
}

impl Certified {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(dir.path().join("tls.pem"), made.cert.pem()).unwrap();
        std::fs::write(dir.path().join("tls.key"), made.signing_key.serialize_pem()).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let client = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { dir, client }
    }

    fn server(&self) -> Arc<rustls::ServerConfig> {
        tls::from_files(&self.dir.path().join("tls.pem"), &self.dir.path().join("tls.key")).unwrap()
    }

    async fn connect(&self, server: &Running, protocol: &[u8]) -> tokio_rustls::client::TlsStream<TcpStream> {
        let mut config = self.client.clone();
        config.alpn_protocols = vec![protocol.to_vec()];
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let name = ServerName::try_from("localhost").unwrap();
        in_time(connector.connect(name, server.connect().await)).await.unwrap()
    }
}

#[tokio::test]
async fn tls_serves_both_versions_of_http() {
    let certified = Certified::new();
    let server = Running::start(hello(), Limits::default(), Some(certified.server())).await;
    let stream = certified.connect(&server, b"h2").await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::get("https://localhost/hello").body(Full::new(Bytes::new())).unwrap();
    assert_eq!(in_time(sender.send_request(request)).await.unwrap().status(), 200);
    drop(sender);
    in_time(connection).await.unwrap().unwrap();

    let stream = certified.connect(&server, b"http/1.1").await;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::get("/hello").header("Host", "localhost").body(Body::empty()).unwrap();
    let answer = in_time(sender.send_request(request)).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "127.0.0.1");
    drop(sender);
    in_time(connection).await.unwrap().unwrap();
    server.end().await;
}

#[tokio::test]
async fn a_tls_listener_drops_who_speaks_plainly_or_not_at_all() {
    let certified = Certified::new();
    let server = Running::start(hello(), short(Duration::from_millis(200)), Some(certified.server())).await;
    for sent in [ASK, b""] {
        let mut stream = server.connect().await;
        stream.write_all(sent).await.unwrap();
        let text = read_all(&mut stream).await;
        assert!(!text.contains("HTTP/1.1 200"), "{text}");
    }
    server.end().await;
}

#[test]
fn certificates_that_cannot_be_used_are_named() {
    let (one, other) = (Certified::new(), Certified::new());
    let (good, key) = (one.dir.path().join("tls.pem"), one.dir.path().join("tls.key"));
    let missing = one.dir.path().join("missing.pem");
    let text = tls::from_files(&missing, &key).unwrap_err().to_string();
    assert!(text.contains("missing.pem"), "{text}");
    let text = tls::from_files(&key, &key).unwrap_err().to_string();
    assert!(text.contains("there is no certificate"), "{text}");
    let text = tls::from_files(&good, &good).unwrap_err().to_string();
    assert!(text.contains("tls.pem"), "{text}");
    let text = tls::from_files(&good, &other.dir.path().join("tls.key")).unwrap_err().to_string();
    assert!(text.starts_with("the certificate and the key"), "{text}");
}
