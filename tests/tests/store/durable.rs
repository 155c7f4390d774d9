//! What was acknowledged is there after `kill -9` (design §10, invariant 2).

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use hostler_manager::store::host::{host_by_name, host_insert, host_list};
use hostler_manager::store::{Options, Store};
use hostler_tests::both::Bed;
use hostler_tests::{commit, on_both};

use super::{at, host_id};

on_both!(what_was_acknowledged_survives_kill_9);

/// Tells the child where its store is.
const STORE: &str = "HOSTLER_TEST_STORE";
/// Tells the child which round it is, so that no name comes twice.
const ROUND: &str = "HOSTLER_TEST_ROUND";
/// How many writers the child has at once: they share commits.
const WRITERS: u128 = 6;
/// After how many acknowledgements the child is killed.
const ENOUGH: usize = 250;

async fn what_was_acknowledged_survives_kill_9(bed: Bed) {
    drop(bed.open().await.unwrap());
    let place = match &bed.options {
        Options::Sqlite(path) => path.display().to_string(),
        Options::Postgres(url) => url.clone(),
    };
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        let place = place.clone();
        let told = tokio::task::spawn_blocking(move || run_and_kill(&place, round)).await.unwrap();
        assert!(told.len() >= ENOUGH, "only {} rows were written", told.len());
        acknowledged.extend(told);
        let store = bed.open().await.unwrap();
        let mut connection = store.read().await.unwrap();
        for name in &acknowledged {
            let found = host_by_name(&mut connection, name).await.unwrap();
            assert!(found.is_some(), "{name} was acknowledged and is lost");
        }
        let numbers: Vec<i64> =
            host_list(&mut connection, 0, None, 1_000_000).await.unwrap().iter().map(|host| host.number).collect();
        let gapless: Vec<i64> = (1..=i64::try_from(numbers.len()).unwrap()).collect();
        assert_eq!(numbers, gapless, "half of a transaction was written");
        assert!(numbers.len() >= acknowledged.len());
    }
}

/// The names that a child acknowledged until it was killed in the middle of its work.
fn run_and_kill(place: &str, round: u32) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "durable::child_that_writes", "--ignored", "--nocapture"])
        .env(STORE, place)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        // A line that the kill cut short acknowledges nothing.
        if let Some((_, rest)) = line.split_once("ack ")
            && let Some(name) = rest.strip_suffix(" done")
        {
            told.push(name.to_owned());
        }
        if told.len() == ENOUGH {
            child.kill().unwrap();
        }
    }
    assert!(!child.wait().unwrap().success());
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the child process of what_was_acknowledged_survives_kill_9"]
async fn child_that_writes() {
    let place = std::env::var(STORE).unwrap();
    let round: u128 = std::env::var(ROUND).unwrap().parse().unwrap();
    let options = if place.starts_with("postgres:") { Options::Postgres(place) } else { Options::Sqlite(place.into()) };
    let store = Store::open(&options).await.unwrap();
    let writers = (0..WRITERS).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            for n in 0_u128.. {
                let name = format!("host-{round}-{writer}-{n}");
                let (id, taken) = (host_id((round << 60) + (writer << 50) + n), name.clone());
                commit!(store, tx => host_insert(tx, id, &taken, &[], at(0)).await).unwrap();
                let line = format!("ack {name} done\n");
                std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
}
