//! The callback of the original agent (spec/introspection.md §1.7.8): off by default, matched by addresses, synchronous.

use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::fixture::{Answer, World, document};

const MAC: &str = "52:54:00:AA:00:01";
const HEADING: &str = "The following failures happened during running pre-processing hooks:\n";

/// A manager that takes callbacks from one network, and runs its timers by itself.
async fn world(more: &str) -> (World, tokio_util::sync::DropGuard) {
    let settings = "[auth]\nstrategy = \"token\"\n[listen]\ntrusted_proxies = [\"192.0.2.250\"]\n[introspection]\n\
                    callback_enabled = true\ncallback_networks = [\"192.0.2.0/24\", \"2001:db8::/32\"]\n";
    let world = World::with(&format!("{settings}{more}")).await;
    let stop = CancellationToken::new();
    let (engine, stopped) = (world.api.engine.clone(), stop.clone());
    tokio::spawn(async move { engine.run_timers(stopped).await });
    (world, stop.drop_guard())
}

/// Gives a host a record with data, by the way of the engine, as nobody has a token here.
async fn known(world: &World, name: &str, mac: &str) -> hostler_common::id::HostId {
    use hostler_core::introspection::command::Command;
    use hostler_core::machine::Input;
    use hostler_manager::engine::IntrospectionDomain;
    let host = world.host(name).await;
    start(world, host).await;
    let spec = world.jobs(host).await[0].0.clone();
    world.report(&spec, &document(mac)).await;
    until(world, host, "finished").await;
    world.clock.advance(Duration::from_secs(60));
    let command = Input::Command(Command::Abort);
    world.api.engine.input::<IntrospectionDomain>(&host.to_string(), command, None).await.unwrap();
    host
}

async fn start(world: &World, host: hostler_common::id::HostId) {
    use hostler_core::introspection::command::Command;
    use hostler_core::machine::Input;
    use hostler_manager::engine::IntrospectionDomain;
    let command = Input::Command(Command::Start { manage_boot: None, sections: Vec::new() });
    world.api.engine.input::<IntrospectionDomain>(&host.to_string(), command, None).await.unwrap();
    until(world, host, "waiting").await;
}

async fn until(world: &World, host: hostler_common::id::HostId, state: &str) {
    let mut changes = world.api.engine.wake.watch();
    let reached = async {
        loop {
            let status = {
                let mut connection = world.api.engine.store.read().await.unwrap();
                hostler_manager::store::introspection::status_find(&mut connection, host).await.unwrap().unwrap()
            };
            if status.state.name() == state {
                return;
            }
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(20), reached).await.unwrap();
}

async fn post(world: &World, peer: &str, body: &Value) -> Answer {
    world.call("POST", "/v1/continue", &[("x-test-peer", peer)], &body.to_string()).await
}

#[tokio::test]
async fn the_callback_is_off_by_default() {
    let world = World::new().await;
    let refusal = (403, "The ramdisk callback endpoint is disabled".to_owned());
    assert_eq!(world.post("/v1/continue", "{}").await.refusal(), refusal);
}

#[tokio::test]
async fn only_listed_networks_may_send() {
    let (world, _stop) = world("").await;
    let denied = (403, "Access denied by policy".to_owned());
    for peer in ["198.51.100.1", "2001:db9::1", "127.0.0.1"] {
        assert_eq!(post(&world, peer, &json!({})).await.refusal(), denied, "{peer}");
    }
    for peer in ["192.0.2.7", "::ffff:192.0.2.7", "2001:db8::7"] {
        assert_eq!(post(&world, peer, &json!({})).await.refusal().0, 400, "{peer}");
    }
    // A proxy speaks for others; anybody else only for themselves.
    for (peer, forwarded, status) in [
        ("192.0.2.250", "192.0.2.9, 198.51.100.1", 403),
        ("192.0.2.250", "192.0.2.9", 400),
        ("198.51.100.1", "192.0.2.9", 403),
    ] {
        let headers = [("x-test-peer", peer), ("X-Forwarded-For", forwarded)];
        let answer = world.call("POST", "/v1/continue", &headers, "{}").await;
        assert_eq!(answer.status, status, "{peer} {forwarded}");
    }
}

#[tokio::test]
async fn the_answer_comes_when_the_run_is_over() {
    let (world, _stop) = world("").await;
    let host = known(&world, "a", MAC).await;
    let other = known(&world, "b", "52:54:00:aa:00:02").await;
    start(&world, other).await;
    start(&world, host).await;
    let mut data = document(MAC);
    data["zebra"] = json!("from outside");
    data["inventory"]["bmc_address"] = json!("0.0.0.0");
    let answer = post(&world, "192.0.2.7", &data).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({ "uuid": host.to_string() })));
    until(&world, host, "finished").await;
    let stored = {
        use hostler_manager::store::introspection::{DataKind, data_find};
        let mut connection = world.api.engine.store.read().await.unwrap();
        data_find(&mut connection, host, DataKind::Processed).await.unwrap().unwrap().text
    };
    assert!(stored.contains("from outside"));
    assert!(world.jobs(host).await.iter().all(|(_, cancelled)| *cancelled), "our own probe is not needed any more");
    // Once more: nobody awaits them now.
    let (status, text) = post(&world, "192.0.2.7", &data).await.refusal();
    let want = format!(
        "{HEADING}Look up error: Could not find a node for attributes {{'bmc_address': [], 'mac': ['52:54:00:aa:00:01']}}"
    );
    assert_eq!((status, text), (400, want));
}

#[tokio::test]
async fn what_cannot_be_matched_or_processed_is_400() {
    let (world, _stop) = world("").await;
    let one = known(&world, "a", MAC).await;
    let two = known(&world, "b", "52:54:00:aa:00:02").await;
    start(&world, one).await;
    start(&world, two).await;
    let (_, text) = post(&world, "192.0.2.7", &json!([])).await.refusal();
    assert_eq!(text, "Invalid data: expected a JSON object, got list");
    let (status, text) = post(&world, "192.0.2.7", &json!({ "error": "disk broken" })).await.refusal();
    let want = format!(
        "{HEADING}Preprocessing hook ramdisk_error: Ramdisk reported error: disk broken\n\
         Preprocessing hook validate_interfaces: Hardware inventory is empty or missing\n\
         Look up error: Could not find a node for attributes {{'bmc_address': [], 'mac': []}}"
    );
    assert_eq!((status, text), (400, want));
    // Both hosts have the BMC of the document, and neither its MAC.
    let (_, text) = post(&world, "192.0.2.7", &document("52:54:00:aa:00:ff")).await.refusal();
    assert!(text.starts_with(&format!("{HEADING}Look up error: Multiple nodes match the same number of")), "{text}");
    assert!(!text.contains("aa:00:01"), "nothing of other hosts: {text}");
    // Matched, but refused by a hook: the run ends in error, and the sender reads why.
    let mut broken = document(MAC);
    broken["error"] = json!("memory broken");
    let (status, text) = post(&world, "192.0.2.7", &broken).await.refusal();
    assert_eq!(
        (status, text),
        (400, format!("{HEADING}Preprocessing hook ramdisk_error: Ramdisk reported error: memory broken"))
    );
    until(&world, one, "error").await;
}

#[tokio::test]
async fn active_hosts_may_send_where_that_is_permitted() {
    let (world, _stop) = world("permit_active_introspection = true\n").await;
    let host = known(&world, "a", MAC).await;
    let answer = post(&world, "192.0.2.7", &document(MAC)).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({ "uuid": host.to_string() })));
}
