//! Files of a session on their whole way: from a server to the manager's disk, from there to an agent, and into their place on the
//! host, over a line that breaks (spec/maintenance.md §5.5).

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hostler_tests::lab::{Agent, Manager, Options};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpStream};

use super::session::{SOON, Session};

/// How large the file is, in bytes.
const SIZE: usize = 24 << 20;

/// A line to the manager that breaks once, after so many bytes to the agent.
struct Line {
    address: SocketAddr,
    /// How many bytes went to the agent in all.
    passed: Arc<AtomicU64>,
    /// After how many bytes of one connection it breaks; `u64::MAX` for never.
    breaks_after: Arc<AtomicU64>,
}

impl Line {
    async fn to(manager: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (passed, breaks_after) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(u64::MAX)));
        let (total, limit) = (Arc::clone(&passed), Arc::clone(&breaks_after));
        tokio::spawn(async move {
            while let Ok((agent, _)) = listener.accept().await {
                let (manager, total, limit) = (manager.clone(), Arc::clone(&total), Arc::clone(&limit));
                tokio::spawn(async move {
                    if let Ok(manager) = TcpStream::connect(&manager).await {
                        carry(agent, manager, &total, &limit).await;
                    }
                });
            }
        });
        Self { address, passed, breaks_after }
    }
}

/// Carries bytes both ways until one side ends, or the line breaks: both ends are dropped then.
async fn carry(agent: TcpStream, manager: TcpStream, total: &AtomicU64, limit: &AtomicU64) {
    let ((mut from_agent, mut to_agent), (mut from_manager, mut to_manager)) =
        (agent.into_split(), manager.into_split());
    let down = async {
        let (mut piece, mut here) = (vec![0; 64 << 10], 0);
        while let Ok(count @ 1..) = from_manager.read(&mut piece).await {
            here += count as u64;
            if here > limit.load(Ordering::SeqCst) {
                limit.store(u64::MAX, Ordering::SeqCst);
                return;
            }
            total.fetch_add(count as u64, Ordering::SeqCst);
            if to_agent.write_all(&piece[..count]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = down => {}
        _ = copy(&mut from_agent, &mut to_manager) => {}
    }
}

/// A server that has one file, whatever is asked for.
async fn mirror(bytes: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/fw.bin", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let Ok(byte) = client.read_u8().await else { break };
                head.push(byte);
            }
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", bytes.len());
            if client.write_all(answer.as_bytes()).await.is_ok() {
                client.write_all(&bytes).await.ok();
            }
        }
    });
    url
}

fn fetch(sha256: &str, size: usize, path: &std::path::Path) -> Value {
    let metadata = json!({ "sha256": sha256, "size": size, "path": path, "mode": "0640" });
    json!({ "plugin": "fetch", "type": "host", "metadata": metadata })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spec_9_18_a_file_of_a_session_gets_to_its_place_over_a_line_that_breaks() {
    let settings = "[maintenance]\ndownload_http = true\n".to_owned();
    let manager = Manager::with(Options { settings, ..Options::default() }).await.unwrap();
    let line = Line::to(manager.agents.clone()).await;
    let dir = tempfile::tempdir().unwrap();
    let files = dir.path().join("files");
    let mut agent = Agent::joined(&manager, "one").await.unwrap();
    agent.environment = vec![
        ("HOSTLER_AGENT_MANAGERS".into(), format!("[\"{}\"]", line.address)),
        ("HOSTLER_AGENT_ALLOW__PATHS".into(), format!("[{files:?}]")),
    ];
    agent.run().unwrap();
    manager.host_is("one", "online").await.unwrap();

    let bytes: Vec<u8> = (0..SIZE as u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    let sum = hex::encode(Sha256::digest(&bytes));
    let url = mirror(bytes.clone()).await;
    let begun = line.passed.load(Ordering::SeqCst);
    line.breaks_after.store(SIZE as u64 / 2, Ordering::SeqCst);
    let place = files.join("firmware/fw.bin");
    let session = Session::create(
        &manager,
        json!({ "hosts": ["one"], "download": [{ "url": url, "sha256": sum }], "actions": [fetch(&sum, SIZE, &place)] }),
    )
    .await;
    session.ends(&manager, SOON, "MAINTENANCE_DONE").await;
    assert_eq!(line.breaks_after.load(Ordering::SeqCst), u64::MAX, "the line broke");
    assert!(std::fs::read(&place).unwrap() == bytes, "the file is what it was");
    let passed = line.passed.load(Ordering::SeqCst) - begun;
    // From its beginning once more it would have been one and a half of it.
    assert!(passed > SIZE as u64 && passed < SIZE as u64 * 5 / 4, "{passed} bytes for a file of {SIZE}");
    assert!(manager.state_dir().join("downloads").join(&sum).is_file());

    // What lies there under a digest that it does not have gets nowhere.
    let wrong = hex::encode(Sha256::digest("something else"));
    std::fs::write(manager.state_dir().join("downloads").join(&wrong), "something_else").unwrap();
    let place = files.join("firmware/evil.bin");
    let session = Session::create(&manager, json!({ "hosts": ["one"], "actions": [fetch(&wrong, 14, &place)] })).await;
    let detail = session.ends(&manager, SOON, "MAINTENANCE_FAILED").await;
    let why = detail["reason"]["text"].as_str().unwrap();
    assert!(why.contains("has another digest"), "{detail}");
    assert!(!place.exists());
    assert!(std::fs::read_dir(files.join("firmware")).unwrap().count() == 1, "nothing else is left there");
}
