//! Failures on hosts that bear a cluster: who is out of service then, who must wait, and how it goes on or is given back.

use std::time::Duration;

use serde_json::{Value, json};

use super::rack::{HOSTS, LONG, Rack, laboratory};
use super::session::{Session, upload};

/// How long a session that has to wait is watched while it waits.
const WATCHED: Duration = Duration::from_secs(15);

/// The OSDs that are down.
fn down(rack: &Rack<'_>) -> Vec<i64> {
    let dump = rack.storage.ceph(&["osd", "dump"]).unwrap();
    let osds = dump["osds"].as_array().unwrap().iter().filter(|osd| osd["up"] == 0);
    osds.map(|osd| osd["osd"].as_i64().unwrap()).collect()
}

fn only(host: &str) -> Value {
    json!({ "hosts": [host] })
}

/// A session over the last host alone does not touch it while another one is down.
async fn must_wait(rack: &Rack<'_>) -> Session {
    let session = rack.upgrade(only(HOSTS[2])).await;
    // It waits from when the question is on its way, and says why when the answer is there.
    let waits = |detail: &Value| {
        let host = &detail["hosts"][0];
        host["phase"] == "waiting_health" && host["reason"]["text"].to_string().to_lowercase().contains("osd")
    };
    session.wait(&rack.manager, LONG, "the other session waits for OSDs", waits).await;
    tokio::time::sleep(WATCHED).await;
    let shown = session.host(&rack.manager, HOSTS[2]).await;
    assert_eq!(shown["phase"], "waiting_health", "{shown}");
    assert_eq!((down(rack), rack.traces(2)), (vec![1], [1, 0, 1]), "a second host was touched");
    session
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spec_9_11_a_package_that_breaks_on_the_second_host_spec_9_19_others_wait() {
    let Some(lab) = laboratory() else { return };
    let rack = Rack::start(&lab).await;
    for host in [1, 2] {
        rack.hosts[host].exec(&["touch", "/root/broken"]).unwrap();
    }
    let session = rack.upgrade(json!({ "hosts": HOSTS[..2] })).await;
    let detail = session.ends(&rack.manager, LONG, "MAINTENANCE_FAILED").await;
    let reason = &detail["reason"];
    assert_eq!((&reason["host"], &reason["plugin"]), (&json!(HOSTS[1]), &json!("packages")), "{detail}");
    assert!(reason["text"].as_str().unwrap().contains("dpkg"), "{detail}");
    let shown = session.host(&rack.manager, HOSTS[0]).await;
    assert_eq!((&shown["maintained"], &shown["disabled"]), (&json!(true), &json!(false)), "{shown}");
    assert_eq!(session.host(&rack.manager, HOSTS[1]).await["disabled"], true);
    // The host that failed keeps its state: it is down, and nobody moves its data away.
    assert_eq!((down(&rack), rack.storage.flags().unwrap()), (vec![1], json!({ HOSTS[1]: ["noout"] })));
    let other = must_wait(&rack).await;

    let first = rack.hosts[0].boot_id().unwrap();
    rack.hosts[1].exec(&["rm", "/root/broken"]).unwrap();
    session.update(&rack.manager, json!({})).await;
    session.ends(&rack.manager, LONG, "MAINTENANCE_DONE").await;
    assert_eq!(
        (rack.traces(0), rack.hosts[0].boot_id().unwrap()),
        ([2, 1, 2], first),
        "the first one was touched again"
    );
    assert_eq!(
        rack.hosts[1].exec(&["dpkg-query", "-W", "-f", "${Status} ${Version}", "tool"]).unwrap(),
        "install ok installed 2"
    );
    assert_eq!(rack.traces(1)[1..], [1, 2], "{}", session.told(&rack.manager).await);

    // Now it is the turn of the other session, whose host is broken, too; it is given up.
    other.ends(&rack.manager, LONG, "MAINTENANCE_FAILED").await;
    assert_eq!((down(&rack), rack.storage.flags().unwrap()), (vec![2], json!({ HOSTS[2]: ["noout"] })));
    other.delete(&rack.manager).await;
    other.unwound(&rack.manager, LONG).await;
    assert_eq!(other.host(&rack.manager, HOSTS[2]).await["disabled"], false);
    assert!(down(&rack).is_empty(), "its daemons were not started: {}", other.told(&rack.manager).await);
    rack.nothing_left();
    // Hosts and storage are free for others.
    upload(&rack.manager, "true", "#!/bin/sh\n").await;
    let last = json!({ "hosts": HOSTS, "actions": [super::session::script("true")],
        "policy": { "reboot": "never", "storage": { "keep_daemons": true, "stable_for": 0 } } });
    let last = rack.upgrade(last).await;
    last.ends(&rack.manager, LONG, "MAINTENANCE_DONE").await;
    rack.nothing_left();
}
