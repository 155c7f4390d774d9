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

/// The token of a host for so many seconds.
async fn token(world: &World, host: hostler_common::id::HostId, seconds: u64) -> String {
    use secrecy::ExposeSecret as _;
    let by = hostler_manager::identity::By { name: "user:x".into(), from: None };
    let life = Duration::from_secs(seconds);
    let made = world.api.identity.callback_token_make(&by, host, life).await.unwrap();
    made.0.expose_secret().to_owned()
}

/// Posts from a network that is not listed, with a header or a query.
async fn post_as(world: &World, header: Option<(&str, &str)>, query: &str, body: &Value) -> Answer {
    let headers: Vec<_> = [("x-test-peer", "198.51.100.1")].into_iter().chain(header).collect();
    world.call("POST", &format!("/v1/continue{query}"), &headers, &body.to_string()).await
}

#[tokio::test]
async fn a_token_admits_data_of_its_own_host_only() {
    let (world, _stop) = world("").await;
    let host = known(&world, "a", MAC).await;
    let other = known(&world, "b", "52:54:00:aa:00:02").await;
    start(&world, host).await;
    start(&world, other).await;
    let token = token(&world, host, 600).await;
    let mut data = document(MAC);
    data["inventory"]["bmc_address"] = json!("0.0.0.0");
    let mut theirs = document("52:54:00:aa:00:02");
    theirs["inventory"]["bmc_address"] = json!("0.0.0.0");

    let denied = (403, "Access denied by policy".to_owned());
    let (wrong, bearer, query) = (format!("{token}x"), format!("Bearer {token}"), format!("?callback_token={token}"));
    for header in [None, Some(("x-auth-token", "notused")), Some(("x-auth-token", wrong.as_str()))] {
        assert_eq!(post_as(&world, header, "", &data).await.refusal(), denied, "{header:?}");
    }
    let own = Some(("x-auth-token", token.as_str()));
    assert_eq!(post_as(&world, own, "", &theirs).await.refusal(), denied);
    // A listed network does not widen what a token says.
    let headers = [("x-test-peer", "192.0.2.7"), ("x-auth-token", token.as_str())];
    assert_eq!(world.call("POST", "/v1/continue", &headers, &theirs.to_string()).await.refusal(), denied);
    until(&world, other, "waiting").await;
    for (header, query) in [(Some(("authorization", bearer.as_str())), ""), (None, query.as_str())] {
        // 400: admitted, and without data that could be used.
        assert_eq!(post_as(&world, header, query, &json!({})).await.refusal().0, 400);
    }
    let answer = post_as(&world, None, &query, &data).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({ "uuid": host.to_string() })));
    until(&world, host, "finished").await;
    // It is no proof anywhere else.
    assert_eq!(world.call("GET", "/v1/rules", &[("x-auth-token", token.as_str())], "").await.status, 401);
}

#[tokio::test]
async fn a_token_ends_with_its_time_and_with_the_next_one() {
    let (world, _stop) = world("").await;
    let host = known(&world, "a", MAC).await;
    let first = token(&world, host, 600).await;
    let status =
        async |token: &str| post_as(&world, Some(("x-auth-token", token)), "", &json!({})).await.status.as_u16();
    assert_eq!(status(&first).await, 400);
    let second = token(&world, host, 600).await;
    assert_eq!((status(&first).await, status(&second).await), (403, 400));
    world.clock.advance(Duration::from_secs(600));
    assert_eq!(status(&second).await, 403);
    // What is kept of a token is its hash.
    let dir = &world.api.config.state_dir;
    for file in ["hostler.db", "hostler.db-wal"] {
        let bytes = std::fs::read(dir.join(file)).unwrap_or_default();
        assert!(!bytes.windows(4).any(|window| window == b"hct_"), "{file}");
    }
}

#[tokio::test]
async fn a_repeated_delivery_is_answered_to_its_own_token_only() {
    let (world, _stop) = world("").await;
    let host = known(&world, "a", MAC).await;
    let other = known(&world, "b", "52:54:00:aa:00:02").await;
    start(&world, host).await;
    let (own, foreign) = (token(&world, host, 600).await, token(&world, other, 600).await);
    let mut data = document(MAC);
    data["inventory"]["bmc_address"] = json!("0.0.0.0");
    let send = async |token: &str| {
        let headers = [("x-test-peer", "198.51.100.1"), ("x-auth-token", token), ("idempotency-key", "k")];
        world.call("POST", "/v1/continue", &headers, &data.to_string()).await.status.as_u16()
    };
    assert_eq!((send(&own).await, send(&own).await, send(&foreign).await), (200, 200, 403));
}
