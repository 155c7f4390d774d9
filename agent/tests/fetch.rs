//! Files that a manager hands out and a step puts in their place (spec/maintenance.md §5.5), for real: an agent, its supervisors
//! and a manager that a test plays.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stderr, reason = "tests say what they measured")]

#[path = "support/manager.rs"]
mod manager;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hostler_common::id::{HostId, JobId};
use hostler_common::job::{JobSpec, JobState, Outcome, Work};
use hostler_common::script::Digest;
use hostler_common::step::maintenance::Fetch;
use hostler_common::step::{Step, StepResult};
use manager::{Link, Manager};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

fn order(bytes: &[u8], path: &Path) -> Fetch {
    let digest = Digest(Sha256::digest(bytes).into());
    Fetch { sha256: digest.to_string(), size: bytes.len() as u64, path: path.display().to_string(), mode: 0o750 }
}

async fn run(link: &mut Link, fetch: &Fetch) -> (JobState, Outcome) {
    let work = Work::Step(Box::new(Step::Fetch(fetch.clone())));
    let id = JobId(Uuid::now_v7());
    link.give(&JobSpec { id, host: HostId(Uuid::nil()), work, deadline: Duration::from_secs(60) }).await;
    link.end(id).await
}

#[tokio::test]
async fn a_file_is_fetched_in_pieces_and_put_in_its_place() {
    let mut manager = Manager::start().await;
    let mut agent = manager.agent();
    let files = agent.state.path().join("files");
    let settings = std::fs::read_to_string(&agent.config).unwrap();
    std::fs::write(&agent.config, settings.replace("[allow]\n", &format!("[allow]\npaths = [{files:?}]\n"))).unwrap();
    agent.start();
    let mut link = manager.link().await;

    let bytes: Vec<u8> = (0..300_000_u32).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
    let fetch = order(&bytes, &files.join("a/image"));
    let digest: Digest = fetch.sha256.parse().unwrap();
    manager.shared.artifacts.lock().unwrap().insert(digest.0, bytes.clone());
    manager.shared.break_after.store(100_000, Ordering::Relaxed);
    let (state, outcome) = run(&mut link, &fetch).await;
    assert_eq!(state, JobState::Succeeded, "{outcome:?}");
    assert_eq!(*manager.shared.fetched.lock().unwrap(), [0, 100_000, 200_000], "it goes on where the line broke");
    let result: StepResult = serde_json::from_slice(&outcome.stdout.head).unwrap();
    assert!(result.changed && result.after["sha256"] == fetch.sha256, "{result:?}");
    assert_eq!(std::fs::read(files.join("a/image")).unwrap(), bytes);
    assert_eq!(std::fs::metadata(files.join("a/image")).unwrap().permissions().mode() & 0o7777, 0o750);
    manager::eventually("what was fetched is removed", || {
        std::fs::read_dir(agent.state.path().join("downloads")).unwrap().count() == 0
    })
    .await;

    // What is there already is not written again.
    let (state, outcome) = run(&mut link, &fetch).await;
    let result: StepResult = serde_json::from_slice(&outcome.stdout.head).unwrap();
    assert_eq!((state, result.changed), (JobState::Succeeded, false));

    // Other bytes than announced, other sizes, places that are not allowed: nothing gets there.
    let evil = order(b"right", &files.join("evil"));
    let digest: Digest = evil.sha256.parse().unwrap();
    manager.shared.artifacts.lock().unwrap().insert(digest.0, b"wrong".to_vec());
    for (fetch, wanted) in [
        (evil.clone(), "another digest"),
        (Fetch { size: 4, ..evil.clone() }, "5 bytes, not 4"),
        (order(b"unknown", &files.join("evil")), "no such artifact"),
        (Fetch { path: "/etc/evil".into(), ..evil.clone() }, "[allow] paths"),
        (Fetch { path: format!("{}/../evil", files.display()), ..evil.clone() }, "[allow] paths"),
        (Fetch { mode: 0o4755, ..evil.clone() }, "mode"),
    ] {
        let (state, outcome) = run(&mut link, &fetch).await;
        let reason = outcome.reason.unwrap_or_default();
        assert!(state == JobState::Refused && reason.contains(wanted), "{wanted}: {state:?} {reason}");
    }
    assert!(!files.join("evil").exists());
}
