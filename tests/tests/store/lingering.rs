//! The throw-away PostgreSQL server ends with the tests, however they end.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hostler_tests::postgres::fresh_database;

#[test]
fn the_server_of_killed_tests_ends() {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "lingering::child_with_a_server", "--ignored", "--nocapture"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let told = lines.find_map(|line| line.split_once("server in ").map(|(_, dir)| dir.to_owned())).unwrap();
    if told == "nowhere" {
        child.wait().unwrap();
        return;
    }
    let dir = Path::new(&told);
    let pid = std::fs::read_to_string(dir.join("data/postmaster.pid")).unwrap().lines().next().unwrap().to_owned();
    let process = Path::new("/proc").join(pid);
    assert!(process.exists());
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success());
    let deadline = Instant::now() + Duration::from_secs(30);
    while dir.exists() || process.exists() {
        assert!(Instant::now() < deadline, "{told} is there: {}, its server: {}", dir.exists(), process.exists());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test]
#[ignore = "the child process of the_server_of_killed_tests_ends"]
async fn child_with_a_server() {
    let url = fresh_database().await.unwrap();
    let dir = url.as_ref().map_or("nowhere", |url| url.split_once("?host=").unwrap().1);
    println!("server in {dir}");
    if url.is_some() {
        std::future::pending::<()>().await;
    }
}
