//! A Keystone that is down, slow or no Keystone at all: callers are told so, in time, and never that their token is wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::site::{Answer, Site};

/// A manager that trusts whatever is at this URL, and waits a second for it.
async fn site(url: &str) -> Site {
    let service = "username = 'hostler'\npassword = 'hush-hush'\ntimeout_s = 1";
    Site::with(&format!("[auth]\nstrategy = 'keystone'\n[auth.keystone]\nauth_url = '{url}'\n{service}\n")).await
}

/// What stands in the place of a Keystone: it counts requests, and lets `answer` deal with each.
async fn fake<F, W>(answer: F) -> (String, Arc<AtomicUsize>)
where
    F: Fn(String, TcpStream) -> W + Send + Sync + 'static,
    W: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, asked, answer) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)), Arc::new(answer));
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (answer, count) = (Arc::clone(&answer), Arc::clone(&count));
            tokio::spawn(async move {
                let mut head = vec![0; 16 << 10];
                let read = stream.read(&mut head).await.unwrap_or(0);
                count.fetch_add(1, Ordering::SeqCst);
                answer(String::from_utf8_lossy(&head[..read]).into_owned(), stream).await;
            });
        }
    });
    (format!("http://{address}/v3"), asked)
}

fn http(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}")
}

/// The answer to a login that succeeds.
fn logged_in() -> String {
    let token = json!({"token": {"user": {"name": "hostler"}, "expires_at": "2999-01-01T00:00:00Z"}});
    http("201 Created", "x-subject-token: own\r\n", &token.to_string())
}

/// Asks every dialect with a token; each must say 503 in its own shape, within two timeouts and some.
async fn unavailable(site: &Site) {
    for path in ["/v1/introspection", "/api/hosts", "/identity/v3/users"] {
        let begun = Instant::now();
        let answer = site.get("a-good-token", path).await.is(503);
        assert!(begun.elapsed() < Duration::from_secs(4), "{path}: {:?}", begun.elapsed());
        assert_eq!(
            text_of(path, &answer),
            "The Keystone of this installation cannot be asked at the moment; try again."
        );
        assert!(!answer.headers.contains_key("www-authenticate"), "{answer:?}");
        // The login is tried anew, not only its failure remembered.
        site.pass(Duration::from_secs(10));
    }
}

fn text_of(path: &str, answer: &Answer) -> String {
    let body = answer.json();
    let text = if path.starts_with("/api") { &body["message"] } else { &body["error"]["message"] };
    text.as_str().unwrap_or_else(|| panic!("{body}")).to_owned()
}

#[tokio::test]
async fn one_that_is_down() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let site = site(&format!("http://{closed}/v3")).await;
    unavailable(&site).await;
    // What needs no proof, or another, goes on.
    site.get("", "/api/version").await.is(200);
    site.get("admin", "/api/hosts").await.is(200);
    site.get("", "/api/hosts").await.is(401);
}

#[tokio::test]
async fn one_that_never_answers() {
    let (url, _) = fake(async |_, stream| {
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(stream);
    })
    .await;
    unavailable(&site(&url).await).await;
}

#[tokio::test]
async fn one_that_logs_in_and_then_never_answers() {
    let (url, _) = fake(async |request, mut stream| {
        if request.starts_with("POST ") {
            stream.write_all(logged_in().as_bytes()).await.ok();
        } else {
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
    })
    .await;
    unavailable(&site(&url).await).await;
}

#[tokio::test]
async fn one_that_answers_garbage() {
    let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(64 << 10));
    let cases = [
        "nonsense\r\n\r\n".to_owned(),
        String::new(),
        http("200 OK", "", "<html>It works!</html>"),
        http("200 OK", "", "{\"token\": {}}"),
        http("404 Not Found", "", "<html>nothing here</html>"),
        http("302 Found", "location: /v3/auth/tokens\r\n", ""),
        http("403 Forbidden", "", "{}"),
        http("500 Internal Server Error", "", "{}"),
        http("401 Unauthorized", "", "{}"),
        endless,
    ];
    for garbage in cases {
        let (login, validation) = (garbage.clone(), garbage.clone());
        let (url, _) = fake(move |_, mut stream| {
            let garbage = login.clone();
            async move { drop(stream.write_all(garbage.as_bytes()).await) }
        })
        .await;
        unavailable(&site(&url).await).await;
        // The same, once the manager has its own token.
        let (url, _) = fake(move |request, mut stream| {
            let answer = if request.starts_with("POST ") { logged_in() } else { validation.clone() };
            async move { drop(stream.write_all(answer.as_bytes()).await) }
        })
        .await;
        unavailable(&site(&url).await).await;
    }
}

#[tokio::test]
async fn one_that_never_ends_its_answer() {
    let (url, _) = fake(async |request, mut stream| {
        if request.starts_with("POST ") {
            stream.write_all(logged_in().as_bytes()).await.ok();
            return;
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok();
        let more = vec![b' '; 256 << 10];
        while stream.write_all(&more).await.is_ok() {}
    })
    .await;
    unavailable(&site(&url).await).await;
}

#[tokio::test]
async fn a_login_that_fails_is_not_tried_with_every_request() {
    let (url, asked) = fake(async |_, mut stream| {
        stream.write_all(http("401 Unauthorized", "", "{}").as_bytes()).await.ok();
    })
    .await;
    let site = site(&url).await;
    for _ in 0..20 {
        site.get("a-good-token", "/api/hosts").await.is(503);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    site.pass(Duration::from_secs(4));
    site.get("a-good-token", "/api/hosts").await.is(503);
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_token_that_keystone_does_not_know_is_asked_about_once_in_a_while() {
    let (url, asked) = fake(async |request, mut stream| {
        let unknown = json!({"error": {"code": 404, "title": "Not Found", "message": "Could not find token."}});
        let unknown = http("404 Not Found", "", &unknown.to_string());
        let answer = if request.starts_with("POST ") { logged_in() } else { unknown };
        stream.write_all(answer.as_bytes()).await.ok();
    })
    .await;
    let site = site(&url).await;
    for _ in 0..20 {
        site.get("unknown", "/api/hosts").await.is(401);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 2, "a login and a question");
    site.pass(Duration::from_secs(6));
    site.get("unknown", "/api/hosts").await.is(401);
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}
