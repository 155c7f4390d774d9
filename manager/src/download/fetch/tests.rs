//! Files from a server on this machine that sends whole files, pieces, too much, other addresses and errors.

use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Redirect, Response as Answer};
use axum::routing::get;
use http::HeaderMap;

use super::*;

const CONTENT: &[u8] = b"what is fetched, in one piece or in two";

/// Files of a server and a folder for them.
struct Bench {
    base: String,
    folder: Folder,
    rules: config::Maintenance,
    /// How often something was asked for.
    asked: Arc<AtomicU32>,
    _dir: tempfile::TempDir,
}

fn whole_or_rest(headers: &HeaderMap) -> Answer {
    let range = headers.get("range").and_then(|range| range.to_str().ok());
    let from = range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    match from {
        None => CONTENT.into_response(),
        Some(from) if from < CONTENT.len() => (StatusCode::PARTIAL_CONTENT, &CONTENT[from..]).into_response(),
        Some(_) => StatusCode::RANGE_NOT_SATISFIABLE.into_response(),
    }
}

impl Bench {
    async fn new() -> Self {
        let asked = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&asked);
        let sum = format!("{}  a\n", digest());
        let routes = Router::new()
            .route(
                "/a",
                get(async move |request: Request| {
                    count.fetch_add(1, Ordering::SeqCst);
                    whole_or_rest(request.headers())
                }),
            )
            .route("/a.sha256", get(async move || sum))
            .route("/b.sha256", get(async || "<html>no</html>"))
            .route("/whole", get(async || CONTENT))
            .route("/busy", get(async || StatusCode::SERVICE_UNAVAILABLE))
            .route("/moved", get(async || Redirect::temporary("/a")))
            .route("/away", get(async || Redirect::temporary("ftp://m.example/a")))
            .route("/round", get(async || Redirect::temporary("/round")));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path().join("downloads"));
        let rules = config::Maintenance { download_http: true, ..config::Maintenance::default() };
        Self { base, folder, rules, asked, _dir: dir }
    }

    fn file(&self, path: &str) -> Download {
        Download {
            url: format!("{}{path}", self.base),
            name: "a".into(),
            sha256: Some(digest().to_string()),
            size: None,
            signature: None,
            unchecked: false,
        }
    }

    async fn fetch(&self, file: &Download) -> Result<Have, Trouble> {
        Client::new(self.rules.clone()).fetch(file, &self.folder).await
    }

    /// The code of the reason why a file will never come.
    async fn refused(&self, file: &Download) -> String {
        match self.fetch(file).await {
            Err(Trouble::Final(reason)) => reason.code,
            other => panic!("{other:?}"),
        }
    }
}

fn digest() -> Digest {
    Digest(Sha256::digest(CONTENT).into())
}

#[tokio::test]
async fn a_file_is_fetched_once() {
    let bench = Bench::new().await;
    let have = Have { digest: digest(), size: CONTENT.len() as u64 };
    for _ in 0..2 {
        assert_eq!(bench.fetch(&bench.file("/a")).await, Ok(have));
    }
    assert_eq!(std::fs::read(bench.folder.file(&digest())).unwrap(), CONTENT);
    assert_eq!(bench.asked.load(Ordering::SeqCst), 1);
    // From elsewhere, the same is here already.
    assert_eq!(bench.fetch(&bench.file("/nowhere")).await, Ok(have));
}

#[tokio::test]
async fn what_was_begun_is_taken_up() {
    for path in ["/a", "/whole", "/moved"] {
        let bench = Bench::new().await;
        bench.folder.make().unwrap();
        let file = bench.file(path);
        for beginning in [&CONTENT[..10], CONTENT, b"of another file that was longer than this one is"] {
            std::fs::write(bench.folder.part(&file.url), beginning).unwrap();
            let other = !CONTENT.starts_with(beginning);
            match bench.fetch(&file).await {
                Ok(have) => assert_eq!(have.digest, digest(), "{path}"),
                // A beginning of something else is noticed at the end, and thrown away.
                Err(Trouble::Final(reason)) => {
                    assert!(other && reason.code == "download.checksum", "{path}: {reason:?}")
                }
                other => panic!("{path}: {other:?}"),
            }
            assert!(!bench.folder.part(&file.url).exists(), "{path}");
            std::fs::remove_file(bench.folder.file(&digest())).ok();
        }
    }
}

#[tokio::test]
async fn checksums_beside_files() {
    let bench = Bench::new().await;
    let plain = |path: &str| Download { sha256: None, ..bench.file(path) };
    assert_eq!(bench.fetch(&plain("/a")).await.unwrap().digest, digest());
    assert_eq!(bench.refused(&plain("/b")).await, "download.checksum");
    assert_eq!(bench.refused(&plain("/c")).await, "download.refused");
    let unchecked = Download { unchecked: true, ..plain("/whole") };
    assert_eq!(bench.fetch(&unchecked).await.unwrap().digest, digest());
}

#[tokio::test]
async fn spec_9_18_what_is_not_what_it_must_be_leaves_nothing() {
    let bench = Bench::new().await;
    let wrong = Download { sha256: Some("00".repeat(32)), ..bench.file("/a") };
    assert_eq!(bench.refused(&wrong).await, "download.checksum");
    let size = CONTENT.len() as u64;
    for other in [size - 1, size + 1] {
        let file = Download { size: Some(other), ..bench.file("/a") };
        assert_eq!(bench.refused(&file).await, "download.size");
    }
    let signature = Some("AAAA".to_owned());
    assert_eq!(bench.refused(&Download { signature, ..bench.file("/a") }).await, "download.signature");
    for (path, code) in [("/none", "download.refused"), ("/away", "download.redirect"), ("/round", "download.redirect")]
    {
        assert_eq!(bench.refused(&bench.file(path)).await, code, "{path}");
    }
    assert!(matches!(bench.fetch(&bench.file("/busy")).await, Err(Trouble::Passing(_))));
    assert_eq!(std::fs::read_dir(bench.folder.file(&digest()).parent().unwrap()).unwrap().count(), 0);
    let small = Bench { rules: config::Maintenance { download_max_bytes: 10, ..bench.rules.clone() }, ..bench };
    assert_eq!(small.refused(&small.file("/a")).await, "download.size");
    let strict = Bench { rules: config::Maintenance { download_http: false, ..small.rules.clone() }, ..small };
    assert_eq!(strict.refused(&strict.file("/a")).await, "download.url");
}
