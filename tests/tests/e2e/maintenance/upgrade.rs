//! The great one (issue 4, "Accepted when" 2): three hosts that bear a cluster are upgraded and booted one after the other, while
//! a client keeps writing.

use std::time::{Duration, Instant};

use hostler_tests::hosts::{Sight, Written};
use serde_json::{Value, json};

use super::rack::{HOSTS, LONG, Rack, laboratory};
use super::session::Session;

/// Random numbers for delays; the seed is said, though time is not repeated by it.
struct Random(u64);

impl Random {
    fn new() -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        eprintln!("the seed of the delays is {}", now.subsec_nanos());
        Self(u64::from(now.subsec_nanos()))
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

fn over(detail: &Value) -> bool {
    matches!(detail["state"].as_str(), Some("MAINTENANCE_DONE" | "MAINTENANCE_FAILED"))
}

/// Kills the manager at random moments of the session and starts it again.
async fn haunt(rack: &mut Rack<'_>, session: &Session, times: u32) {
    let mut random = Random::new();
    for time in 1..=times {
        let end = Instant::now() + Duration::from_millis(500 + random.below(11_000));
        while Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let detail = session.detail(&rack.manager).await;
        assert!(!over(&detail), "it was over before kill {time}: {}", session.told(&rack.manager).await);
        rack.manager.kill().unwrap();
        // Agents go on meanwhile, and have something to tell.
        tokio::time::sleep(Duration::from_millis(random.below(3000))).await;
        rack.manager.restart().await.unwrap();
    }
}

/// One host at a time was down, and between two of them the cluster was well.
fn one_at_a_time(seen: &[Sight]) {
    let mut last = None;
    let (mut order, mut flagged) = (Vec::new(), Vec::new());
    for sight in seen {
        assert!(sight.down.len() <= 1, "two hosts at once: {seen:?}");
        // While a leader is elected nobody is said to be in the quorum.
        assert!(sight.mons.is_empty() || sight.mons.len() >= 2, "two monitors are away: {seen:?}");
        assert!(sight.flags.len() <= 1, "flags of two hosts: {seen:?}");
        if sight.health == "HEALTH_OK" {
            last = None;
        }
        if let Some(osd) = sight.down.first() {
            assert!(last.is_none_or(|other| other == osd), "it was not well between two hosts: {seen:?}");
            last = Some(osd);
            if order.last() != Some(osd) {
                order.push(*osd);
            }
            assert_eq!(sight.flags, [HOSTS[*osd as usize]], "an OSD is down without its flag: {seen:?}");
        }
        flagged.extend(sight.flags.iter().filter(|name| flagged.last() != Some(*name)).cloned().collect::<Vec<_>>());
    }
    assert_eq!(order, [0, 1, 2], "{seen:?}");
    assert_eq!(flagged, HOSTS, "{seen:?}");
}

fn all_written(written: &Written) {
    eprintln!("{} writes, the slowest took {:.1} s", written.written, written.slowest);
    assert!(written.failed.is_empty(), "writes failed: {written:?}");
    assert!(written.wrong.is_empty(), "what was written is not there: {written:?}");
    assert!(written.written > 100, "{written:?}");
}

/// Takes the rack through an upgrade with reboots under a client, with a manager that dies so many times.
async fn upgraded(kills: u32) {
    let Some(lab) = laboratory() else { return };
    let mut rack = Rack::start(&lab).await;
    let boots: Vec<_> = rack.hosts.iter().map(|host| host.boot_id().unwrap()).collect();
    for host in 0..HOSTS.len() {
        assert_eq!(rack.traces(host), [1, 0, 1]);
    }
    let began = Instant::now();
    let writer = rack.storage.writer("data").unwrap();
    let stable_for = u32::from(kills == 0);
    let session = rack.upgrade(json!({ "policy": { "storage": { "stable_for": stable_for } } })).await;
    haunt(&mut rack, &session, kills).await;
    let limit = Instant::now() + LONG;
    while !over(&session.detail(&rack.manager).await) && Instant::now() < limit {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let written = writer.finish().unwrap();
    let told = session.told(&rack.manager).await;
    eprintln!("the session took {:.0?}\n{told}", began.elapsed());
    assert_eq!(session.state(&rack.manager).await, "MAINTENANCE_DONE", "{}", rack.logs());
    all_written(&written);
    one_at_a_time(&written.seen);

    for (number, (host, before)) in rack.hosts.iter().zip(&boots).enumerate() {
        assert_ne!(host.boot_id().unwrap(), *before, "{} did not boot", host.name());
        assert_eq!(host.exec(&["dpkg-query", "-W", "-f", "${Version}", "tool"]).unwrap(), "2");
        assert_eq!(rack.traces(number), [2, 1, 2], "a step was made twice, or not at all");
        let done = session.done(&rack.manager, host.name()).await;
        for step in ["packages", "script", "noout", "stop", "reboot", "noout_off"] {
            assert_eq!(done.get(step), Some(&1), "{step} of {}: {done:?}", host.name());
        }
        let shown = session.host(&rack.manager, host.name()).await;
        assert_eq!((&shown["maintained"], &shown["disabled"]), (&json!(true), &json!(false)), "{shown}");
    }
    rack.nothing_left();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spec_9_19_hosts_with_ceph_are_upgraded_and_booted_while_a_client_writes() {
    upgraded(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spec_9_09_the_same_with_a_manager_that_is_killed_ten_times() {
    upgraded(10).await;
}
