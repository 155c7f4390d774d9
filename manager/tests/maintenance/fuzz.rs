//! Bodies and paths that make no sense: whatever is sent, nothing is an error of ours (spec/maintenance.md §1.2: 500 is a bug).

use serde_json::{Map, Value, json};

use super::site::{NOBODY, Site};

/// A generator of numbers that is the same in every run.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }
}

const KEYS: [&str; 42] = [
    "hosts",
    "state",
    "maintenance_at",
    "workflow",
    "metadata",
    "download",
    "actions",
    "policy",
    "window",
    "name",
    "reason",
    "dry_run",
    "host_selector",
    "storage",
    "labels",
    "plugin",
    "type",
    "order",
    "url",
    "sha256",
    "size",
    "kind",
    "paused",
    "add_hosts",
    "retry_hosts",
    "force",
    "ignore_health",
    "session_id",
    "instance_ids",
    "instance_action",
    "instance_actions",
    "instance_id",
    "project_id",
    "group_id",
    "migration_type",
    "lead_time",
    "recovery_time",
    "on_fail",
    "batch",
    "gates",
    "start",
    "x-any",
];

const TEXTS: [&str; 24] = [
    "",
    "MAINTENANCE",
    "ACK_MAINTENANCE",
    "NACK_SCALE_IN",
    "2031-04-12 22:00:00",
    "2031-04-12T22:00:00+99:99",
    "default",
    "vnf",
    "true,",
    "60,",
    "-1",
    "\u{0}",
    "é\u{202e}",
    "../../etc/passwd",
    "$(reboot)",
    "'; drop table host; --",
    NOBODY,
    "https://x/y",
    "http://[::1",
    "10%",
    "22:00",
    "Europe/Berlin",
    "dummy",
    "99999999999999999999",
];

fn value(dice: &mut Dice, depth: u32) -> Value {
    match dice.below(if depth == 0 { 5 } else { 8 }) {
        0 => Value::Null,
        1 => (dice.below(2) == 0).into(),
        2 => json!(i64::try_from(dice.below(1 << 40)).unwrap() - (1 << 39)),
        3 => json!(f64::from_bits(dice.next())),
        4 => dice.one(&TEXTS).into(),
        5 => (0..dice.below(4)).map(|_| value(dice, depth - 1)).collect(),
        _ => object(dice, depth - 1).into(),
    }
}

fn object(dice: &mut Dice, depth: u32) -> Map<String, Value> {
    (0..dice.below(7)).map(|_| (dice.one(&KEYS).to_owned(), value(dice, depth))).collect()
}

#[tokio::test]
async fn no_body_is_an_error_of_ours() {
    let site = Site::open().await;
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let session = format!("/v1/maintenance/{NOBODY}");
    let paths = [
        ("POST", "/v1/maintenance".to_owned()),
        ("PUT", session.clone()),
        ("PUT", format!("{session}/p")),
        ("PUT", format!("{session}/p/i")),
        ("PUT", "/v1/instance/i".to_owned()),
        ("PUT", format!("/v1/instance_group/{NOBODY}")),
    ];
    for round in 0..600 {
        let mut body = object(&mut dice, 4);
        if round % 2 == 0 {
            // So that more than the first check sees them.
            body.insert("maintenance_at".into(), "2031-04-12 22:00:00".into());
            body.insert("hosts".into(), json!(["no-such-host"]));
        }
        let body = Value::Object(body).to_string();
        for (method, path) in &paths {
            let answer = site.call(method, path, &[], &body).await;
            let status = answer.status.as_u16();
            assert!(matches!(status, 200 | 400 | 403 | 404 | 409 | 422), "{method} {path} {body}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn broken_json_is_400() {
    let site = Site::open().await;
    let mut dice = Dice(42);
    let whole = json!({"maintenance_at": "2031-04-12 22:00:00", "metadata": {"a": [1, 2.5, "x", null]}}).to_string();
    for _ in 0..200 {
        let cut = usize::try_from(dice.below(whole.len() as u64 - 1)).unwrap();
        site.call("POST", "/v1/maintenance", &[], &whole[..cut]).await.error(400);
    }
}

#[tokio::test]
async fn no_path_is_an_error_of_ours() {
    let site = Site::open().await;
    let mut dice = Dice(7);
    let words =
        ["v1", "maintenance", "instance", "instance_group", "detail", "%00", "%ff", "..", "%2f", NOBODY, "steps", "x"];
    for _ in 0..2000 {
        let path: String = (0..dice.below(7)).map(|_| format!("/{}", dice.one(&words))).collect();
        let path = if path.is_empty() { "/".to_owned() } else { path };
        let query = ["", "?limit=0", "?after=x", "?limit=-1&marker=%00", "?state=%27", "?deleted=maybe"];
        let path = format!("{path}{}", dice.one(&query));
        for method in ["GET", "DELETE"] {
            let status = site.call(method, &path, &[], "").await.status.as_u16();
            assert!(matches!(status, 200 | 400 | 404 | 405 | 422), "{method} {path}: {status}");
        }
    }
}
