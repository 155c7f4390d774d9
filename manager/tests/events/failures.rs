//! Receivers that fail in all the ways in which receivers fail.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hostler_manager::api::server::tls;
use serde_json::{Value, json};

use crate::lab::{Lab, Manager};
use crate::receiver::{Got, Receiver, Reply};

/// A webhook with one event that is tried once.
async fn tried(manager: &Manager, url: &str) -> Value {
    let policy = json!({"maxAttempts": 1});
    let made = manager.webhook(json!({"url": url, "policy": policy, "filter": {"kinds": ["a.b"]}})).await;
    manager.emit("a.b", 1, 1).await;
    manager.until(&made["id"], |webhook| webhook["deadLetters"] == 1 || webhook["delivered"] == 1).await
}

fn reason(webhook: &Value) -> &str {
    webhook["lastFailure"]["reason"].as_str().unwrap_or("none")
}

#[tokio::test]
async fn the_last_failure_says_what_is_wrong() {
    let lab = Lab::with(json!({"webhooks": {"timeout_s": 1}}));
    let manager = lab.start().await;
    let aim = Receiver::new().await;
    let to = aim.url();
    let redirecting =
        Receiver::with(move |_, _| Reply { headers: vec![("location", to.clone())], ..Reply::status(307) });
    let redirecting = redirecting.await;
    let webhook = tried(&manager, &redirecting.url()).await;
    assert_eq!(reason(&webhook), "the receiver answered 307 (Temporary Redirect); redirects are not followed");
    assert_eq!(webhook["lastFailure"]["status"], 307);
    assert!(aim.got().is_empty());

    let slow = Receiver::with(|_, _| Reply { delay: Duration::from_secs(5), ..Reply::status(200) }).await;
    assert_eq!(reason(&tried(&manager, &slow.url()).await), "the receiver did not answer in time");

    let gone = Receiver::new().await.url();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let webhook = tried(&manager, &gone).await;
    assert!(reason(&webhook).starts_with("no connection: "), "{webhook}");
    assert_eq!((&webhook["lastFailure"]["status"], &webhook["state"]), (&Value::Null, &json!("failing")));

    let huge = Receiver::with(|_, _| Reply { body: 64 << 20, ..Reply::status(200) }).await;
    let webhook = tried(&manager, &huge.url()).await;
    assert_eq!((&webhook["delivered"], &webhook["lastSuccess"]["status"]), (&json!(1), &json!(200)));
}

#[tokio::test]
async fn certificates_are_checked() {
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = (dir.path().join("tls.pem"), dir.path().join("tls.key"));
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let secure = Receiver::on(|_, _| Reply::status(200), Some(tls::from_files(&certificate, &key).unwrap())).await;
    let url = format!("https://localhost:{}/hook", secure.address.port());
    let lab = Lab::new();
    let webhook = tried(&lab.start().await, &url).await;
    let text = reason(&webhook);
    assert!(text.contains("invalid peer certificate") || text.starts_with("TLS cannot be set up"), "{text}");
    assert!(secure.got().is_empty());
    let trusting = Lab::with(json!({"webhooks": {"ca_file": certificate}}));
    let webhook = tried(&trusting.start().await, &url).await;
    assert_eq!(webhook["delivered"], 1, "{webhook}");
    let wrong_name = format!("https://127.0.0.1:{}/hook", secure.address.port());
    let webhook = tried(&trusting.start().await, &wrong_name).await;
    assert!(reason(&webhook).contains("invalid peer certificate"), "{webhook}");
}

#[tokio::test]
async fn a_receiver_that_comes_back_gets_everything_in_order() {
    let lab = Lab::new();
    let manager = lab.start().await;
    let down = Arc::new(AtomicBool::new(true));
    let state = Arc::clone(&down);
    let receiver =
        Receiver::with(move |_, _| Reply::status(if state.load(Ordering::Relaxed) { 503 } else { 200 })).await;
    let made = manager.webhook(json!({"url": receiver.url(), "filter": {"kinds": ["a.b"]}})).await;
    let id = &made["id"];
    manager.emit("a.b", 0, 20).await;
    for attempts in 1..6 {
        let failing = manager.until(id, |webhook| webhook["sending"]["failedAttempts"] == attempts).await;
        assert_eq!((&failing["state"], &failing["lag"]["events"]), (&json!("failing"), &json!(20)));
        assert!(failing["nextAttemptAt"].is_string(), "{failing}");
        lab.pass(Duration::from_secs(700));
        manager.engine.run_due().await.unwrap();
    }
    down.store(false, Ordering::Relaxed);
    lab.pass(Duration::from_secs(700));
    manager.engine.run_due().await.unwrap();
    let done = manager.until(id, |webhook| webhook["delivered"] == 20).await;
    assert_eq!((&done["state"], &done["failingSince"]), (&json!("ok"), &Value::Null));
    let got = receiver.got();
    let mut ids: Vec<i64> = got.iter().map(Got::id).collect();
    ids.dedup();
    assert!(ids.len() == 20 && ids.windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");
    let (_, events) = manager.ask("GET", "/events?limit=1000", None).await;
    let kinds: Vec<&str> = events["data"].as_array().unwrap().iter().map(|e| e["kind"].as_str().unwrap()).collect();
    let count = |kind: &str| kinds.iter().filter(|known| **known == kind).count();
    assert_eq!((count("webhook.failing"), count("webhook.recovered")), (1, 1));
}

#[tokio::test]
async fn dead_letters_are_listed_and_replayed() {
    let lab = Lab::new();
    let manager = lab.start().await;
    // It chokes on one event, until it is repaired.
    let poison = Arc::new(Mutex::new(Some(3_u64)));
    let state = Arc::clone(&poison);
    let receiver = Receiver::with(move |_, got| {
        let bad = *state.lock().unwrap() == got.json()["data"]["n"].as_u64();
        Reply::status(if bad { 422 } else { 200 })
    });
    let receiver = receiver.await;
    let body = json!({"url": receiver.url(), "filter": {"kinds": ["a.b"]}, "policy": {"maxAttempts": 2}});
    let made = manager.webhook(body).await;
    let (id, path) = (&made["id"], format!("/webhooks/{}/dead-letters", made["id"]));
    manager.emit("a.b", 1, 5).await;
    let begun = std::time::Instant::now();
    loop {
        let webhook = manager.show(id).await;
        if webhook["delivered"] == 4 {
            assert_eq!(webhook["deadLetters"], 1);
            break;
        }
        assert!(begun.elapsed() < crate::lab::LONG, "{webhook:#}");
        lab.pass(Duration::from_secs(5));
        manager.engine.run_due().await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (_, letters) = manager.ask("GET", &path, None).await;
    let letter = &letters["data"][0];
    assert_eq!((&letter["attempts"], &letter["status"]), (&json!(2), &json!(422)));
    let event = letter["event"].as_i64().unwrap();
    let replay = format!("{path}/{event}/replay");
    assert_eq!(manager.ask("POST", &format!("{path}/1/replay"), None).await.0, 404);
    assert_eq!(manager.ask("POST", &replay, None).await.0, 202);
    let failed = manager.until(id, |webhook| webhook["failingSince"].is_string()).await;
    assert_eq!((&failed["deadLetters"], &failed["delivered"]), (&json!(1), &json!(4)));
    *poison.lock().unwrap() = None;
    lab.pass(Duration::from_secs(5));
    manager.engine.run_due().await.unwrap();
    assert_eq!(manager.ask("POST", &replay, None).await.0, 202);
    manager.until(id, |webhook| webhook["deadLetters"] == 0 && webhook["delivered"] == 5).await;
    assert_eq!(receiver.got().last().unwrap().id(), event);
    assert_eq!(manager.ask("POST", &replay, None).await.0, 404);
}

#[tokio::test]
async fn a_webhook_that_stopped_goes_on_where_it_was() {
    let lab = Lab::new();
    let manager = lab.start().await;
    let receiver = Receiver::with(|n, _| Reply::status(if n == 0 { 500 } else { 200 })).await;
    let policy = json!({"maxAttempts": 1, "onExhausted": "stop"});
    let made = manager.webhook(json!({"url": receiver.url(), "filter": {"kinds": ["a.b"]}, "policy": policy})).await;
    manager.emit("a.b", 1, 3).await;
    let stopped = manager.until(&made["id"], |webhook| webhook["enabled"] == false).await;
    assert_eq!((&stopped["state"], &stopped["deadLetters"]), (&json!("exhausted"), &json!(0)));
    let path = format!("/webhooks/{}", made["id"]);
    let (status, enabled) = manager.ask("PATCH", &path, Some(json!({"enabled": true}))).await;
    assert_eq!((status, &enabled["enabled"]), (200, &json!(true)));
    manager.until(&made["id"], |webhook| webhook["delivered"] == 3).await;
    let numbers: Vec<u64> = receiver.got().iter().map(|got| got.json()["data"]["n"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [1, 1, 2, 3]);
}

#[tokio::test]
async fn a_receiver_that_says_that_it_is_gone_is_not_asked_again() {
    let lab = Lab::new();
    let manager = lab.start().await;
    let receiver = Receiver::with(|_, _| Reply::status(410)).await;
    let made = manager.webhook(json!({"url": receiver.url(), "filter": {"kinds": ["a.b"]}})).await;
    manager.emit("a.b", 1, 3).await;
    let off = manager.until(&made["id"], |webhook| webhook["enabled"] == false).await;
    assert_eq!(off["state"], "receiver-gone");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(receiver.got().len(), 1);
}
