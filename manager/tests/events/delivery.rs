//! Events arrive in order, none lost, signed.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::lab::Lab;
use crate::receiver::{Got, Receiver, Reply};

/// What a receiver that remembers what it has makes of the requests: each event once.
fn deduplicated(got: &[Got]) -> Vec<i64> {
    let mut seen = BTreeSet::new();
    got.iter().map(Got::id).filter(|id| seen.insert(*id)).collect()
}

#[tokio::test]
async fn a_thousand_events_arrive_in_order_although_the_receiver_is_flaky() {
    let lab = Lab::new();
    let manager = lab.start().await;
    // Every 97th request fails: each costs a pause, which the clock of the lab makes short.
    let receiver = Receiver::with(|n, _| Reply::status(if n % 97 == 96 { 500 } else { 204 })).await;
    let made = manager.webhook(json!({"url": receiver.url(), "filter": {"kinds": ["load.*"]}})).await;
    manager.emit("load.event", 0, 500).await;
    manager.emit("other.event", 0, 3).await;
    manager.emit("load.event", 500, 500).await;
    let id = &made["id"];
    let done = loop {
        let webhook = manager.show(id).await;
        if webhook["delivered"] == 1000 {
            break webhook;
        }
        lab.pass(Duration::from_secs(2));
        manager.engine.run_due().await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let numbers: Vec<u64> = {
        let got = receiver.got();
        let mut seen = BTreeSet::new();
        let first = got.iter().filter(|got| seen.insert(got.id()));
        first.map(|got| got.json()["data"]["n"].as_u64().unwrap()).collect()
    };
    assert_eq!(numbers, (0..1000).collect::<Vec<u64>>());
    assert_eq!((&done["deadLetters"], &done["lag"]["events"]), (&json!(0), &json!(0)));
    let failed = receiver.got().len() - 1000;
    assert_eq!(failed, receiver.got().len() / 97, "what was taken is not sent again");
}

#[tokio::test]
async fn nothing_is_lost_when_the_manager_dies_in_the_middle() {
    let lab = Lab::new();
    let receiver = Receiver::with(|_, _| Reply { delay: Duration::from_millis(2), ..Reply::status(200) }).await;
    let mut manager = lab.start().await;
    let made = manager.webhook(json!({"url": receiver.url(), "filter": {"kinds": ["load.event"]}})).await;
    for round in 0..5_usize {
        manager.emit("load.event", round * 40, 40).await;
        receiver.wait(round * 40 + 15).await;
        manager.crash();
        // Whoever died keeps its claim for a while.
        lab.pass(Duration::from_secs(61));
        manager = lab.start().await;
    }
    manager.until(&made["id"], |webhook| webhook["lag"]["events"] == 0 && webhook["sending"].is_null()).await;
    let got = receiver.got();
    let ids = deduplicated(&got);
    assert_eq!(ids.len(), 200);
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "in order");
    assert!(got.len() <= 205, "a death repeats one event at the most: {}", got.len());
}

#[tokio::test]
async fn several_managers_deliver_each_event_once() {
    let lab = Lab::new();
    let receiver = Receiver::new().await;
    let (one, two) = (lab.start().await, lab.start().await);
    let made = one.webhook(json!({"url": receiver.url(), "filter": {"kinds": ["load.event"]}})).await;
    for round in 0..20 {
        one.emit("load.event", round * 10, 5).await;
        two.emit("load.event", round * 10 + 5, 5).await;
    }
    one.until(&made["id"], |webhook| webhook["delivered"] == 200).await;
    let ids: Vec<i64> = receiver.got().iter().map(Got::id).collect();
    assert_eq!(ids.len(), 200);
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
}

/// Runs the program of the page as a receiver would; what it says.
fn verified_by_the_page(secret: &str, got: &Got) -> bool {
    let page = include_str!("../../../docs/events.md");
    let (_, rest) = page.split_once("```python\n").unwrap();
    let (program, _) = rest.split_once("```").unwrap();
    let headers: serde_json::Map<String, Value> =
        got.headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().into())).collect();
    let program = format!(
        "{program}\nimport json, sys\nheaders = json.loads({:?})\n\
         print(verify({secret:?}, headers, sys.stdin.buffer.read()))\n",
        Value::Object(headers).to_string()
    );
    let mut python = Command::new("python3");
    let python = python.args(["-c", &program]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut python = python.spawn().expect("python3 is needed to try the program of docs/events.md");
    python.stdin.take().unwrap().write_all(&got.body).unwrap();
    match String::from_utf8(python.wait_with_output().unwrap().stdout).unwrap().trim() {
        "True" => true,
        "False" => false,
        other => panic!("the program said {other:?}"),
    }
}

#[tokio::test]
async fn signatures_are_verified_by_the_program_of_the_page_also_while_secrets_change() {
    let lab = Lab::new();
    let manager = lab.start().await;
    let receiver = Receiver::new().await;
    let made = manager.webhook(json!({"url": receiver.url(), "filter": {"kinds": ["a.b"]}})).await;
    let (id, old) = (&made["id"], made["secret"].as_str().unwrap());
    assert!(old.starts_with("whsec_") && manager.show(id).await.get("secret").is_none());
    manager.emit_one("a.b", "hé", json!({"text": "ünï"})).await;
    let first = receiver.wait(1).await.remove(0);
    assert!(verified_by_the_page(old, &first));
    let mut forged = first.clone();
    forged.body = first.body.iter().map(|byte| if *byte == b'1' { b'2' } else { *byte }).collect();
    assert!(!verified_by_the_page(old, &forged));
    let mut stale = first.clone();
    stale.headers.insert("webhook-timestamp", "1000000000".parse().unwrap());
    assert!(!verified_by_the_page(old, &stale));

    let (status, rotated) = manager.ask("POST", &format!("/webhooks/{id}/rotate"), Some(json!({"keepFor": 60}))).await;
    assert_eq!((status, &rotated["secrets"]), (200, &json!(2)));
    let new = rotated["secret"].as_str().unwrap();
    manager.emit("a.b", 1, 1).await;
    let both = receiver.wait(2).await.remove(1);
    assert!(verified_by_the_page(old, &both) && verified_by_the_page(new, &both));
    lab.pass(Duration::from_secs(61));
    manager.emit("a.b", 2, 1).await;
    let last = receiver.wait(3).await.remove(2);
    assert_eq!(last.header("webhook-signature").split(' ').count(), 1);
    let text = std::fs::read(lab.dir.path().join("manager.db")).unwrap();
    let wal = std::fs::read(lab.dir.path().join("manager.db-wal")).unwrap_or_default();
    for secret in [old, new] {
        let key = secret.strip_prefix("whsec_").unwrap().as_bytes();
        let holds = |bytes: &[u8]| bytes.windows(key.len()).any(|window| window == key);
        assert!(!holds(&text) && !holds(&wal), "a secret lies open in the store");
    }
}

#[tokio::test]
async fn every_format_is_what_it_says() {
    let lab = Lab::new();
    let manager = lab.start().await;
    let receiver = Receiver::new().await;
    for format in ["cloudevents", "cloudevents-binary", "native"] {
        let filter = json!({"kinds": ["a.b"]});
        let made = manager.webhook(json!({"url": receiver.url(), "format": format, "filter": filter})).await;
        let before = receiver.got().len();
        manager.emit_one("a.b", "s", json!({"n": 1, "severity": "alarm"})).await;
        let got = receiver.wait(before + 1).await.remove(before);
        let (body, id) = (got.json(), got.header("webhook-id").to_owned());
        let media = got.header("content-type");
        match format {
            "cloudevents" => {
                assert_eq!(media, "application/cloudevents+json");
                assert_eq!((&body["id"], &body["data"]["n"]), (&json!(id), &json!(1)));
            }
            "cloudevents-binary" => {
                assert_eq!((media, &body), ("application/json", &json!({"n": 1, "severity": "alarm"})));
                assert_eq!((got.header("ce-id"), got.header("ce-specversion")), (id.as_str(), "1.0"));
                assert_eq!((got.header("ce-type"), got.header("ce-severity")), ("io.hostler.a.b", "alarm"));
            }
            _ => assert_eq!((&body["number"].to_string(), &body["kind"]), (&id, &json!("a.b"))),
        }
        manager.until(&made["id"], |webhook| webhook["delivered"] == 1).await;
        let (status, _) = manager.ask("DELETE", &format!("/webhooks/{}", made["id"]), None).await;
        assert_eq!(status, 204);
    }
}
