//! `hostler maintenance` against a stand-in for a manager: what is asked, what is told, and the exit codes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

#[path = "support/stand_in.rs"]
mod stand_in;

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use stand_in::{Answer, Request, StandIn, stderr, stdout};

const ID: &str = "aaaa1111-0000-4000-8000-000000000001";

fn session(state: &str, phase: &str, percent: u32) -> Value {
    json!({
        "id": ID, "name": "spring", "description": null, "state": state, "prevState": "START_MAINTENANCE", "phase": phase,
        "paused": phase == "paused", "percent": percent, "workflow": "default", "maintenanceAt": "2031-04-12T22:00:00Z",
        "createdBy": "token:t", "createdAt": "2031-04-12T21:00:00Z", "enteredAt": "2031-04-12T22:00:00Z", "deletedAt": null,
        "reason": null, "phases": {"failed": 1}, "now": "2031-04-12T22:01:00Z", "endsAt": null, "hosts": [],
        "hostsByPhase": [{"phase": "failed", "count": 1, "names": ["b"]}], "waits": [], "warnings": [],
    })
}

fn common(request: &Request) -> Answer {
    let show = format!("GET /api/maintenance/sessions/{ID}");
    let change = format!("PUT /maintenance/v1/maintenance/{ID}");
    match request.line().as_str() {
        "GET /api/hosts" => {
            let host = |number: u32, name: &str| {
                json!({"id": format!("u-{number}"), "number": number, "name": name, "state": "online",
                "roles": ["storage"], "labels": {}})
            };
            Answer::json(200, json!({"data": [host(1, "a"), host(2, "b")]}))
        }
        "GET /api/maintenance/sessions" => {
            Answer::json(200, json!({"data": [session("MAINTENANCE_FAILED", "over", 50)]}))
        }
        "POST /maintenance/v1/maintenance" => Answer::json(200, json!({ "session_id": ID })),
        line if line == show => Answer::json(200, session("MAINTENANCE_FAILED", "over", 50)),
        line if line == change => Answer::json(200, json!({"session_id": ID, "state": "START_MAINTENANCE"})),
        other => panic!("{other}"),
    }
}

#[test]
fn what_is_asked_for_reaches_the_manager() {
    let server = StandIn::start(common);
    let done = server.hostler(&[
        "maintenance",
        "start",
        "a",
        "--on",
        "2",
        "--script",
        "fw.sh",
        "--reboot",
        "--at",
        "2031-04-12 22:00",
        "--parallel",
        "2",
        "--",
        "-v",
    ]);
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    assert!(stderr(&done).contains("maintenance watch spring"), "{}", stderr(&done));
    let seen = server.seen.lock().unwrap();
    let order = seen.iter().find(|request| request.method == "POST").unwrap();
    let script = json!({"plugin": "script", "type": "host", "metadata": {"script": "fw.sh", "args": ["-v"]}});
    assert_eq!(
        order.body,
        json!({"hosts": ["a", "b"], "maintenance_at": "2031-04-12T22:00:00.000000Z", "actions": [script],
            "policy": {"reboot": "always", "max_parallel_hosts": 2}})
    );
}

#[test]
fn all_hosts_are_for_the_manager_to_find() {
    let server = StandIn::start(common);
    let done = server.hostler(&["maintenance", "start", "--all", "--plugin", "dummy"]);
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    let seen = server.seen.lock().unwrap();
    assert_eq!(seen.iter().find(|request| request.method == "POST").unwrap().body["hosts"], json!([]));
}

#[test]
fn a_session_is_followed_while_the_manager_is_away() {
    let looks = AtomicUsize::new(0);
    let server = StandIn::start(move |request| match request.line().as_str() {
        "GET /api/maintenance/sessions" => common(request),
        _ => match looks.fetch_add(1, Ordering::SeqCst) {
            0 => Answer::json(200, session("START_MAINTENANCE", "working", 50)),
            1 => Answer::json(503, json!({"message": "stopping"})),
            2 => Answer::json(200, session("START_MAINTENANCE", "working", 50)),
            _ => Answer::json(200, session("MAINTENANCE_DONE", "over", 100)),
        },
    });
    let done = server.hostler(&["maintenance", "watch", "spring"]);
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    let lines: Vec<String> = stdout(&done).lines().map(str::to_owned).collect();
    assert_eq!(lines[0], "2031-04-12 22:01:00Z session: START_MAINTENANCE, working, 50 %");
    assert_eq!(lines.last().unwrap(), "2031-04-12 22:01:00Z session: MAINTENANCE_DONE, over, 100 %");
    assert_eq!(stderr(&done).matches("does not answer").count(), 1, "{}", stderr(&done));
}

#[test]
fn programs_get_a_document_for_every_change() {
    let looks = AtomicUsize::new(0);
    let server = StandIn::start(move |request| match request.line().as_str() {
        "GET /api/maintenance/sessions" => common(request),
        _ => match looks.fetch_add(1, Ordering::SeqCst) {
            0 | 1 => Answer::json(200, session("START_MAINTENANCE", "working", 50)),
            _ => Answer::json(200, session("MAINTENANCE_FAILED", "over", 50)),
        },
    });
    let done = server.hostler(&["maintenance", "watch", "aaaa", "-o", "json"]);
    assert_eq!(done.status.code(), Some(1), "{}", stderr(&done));
    let all: Vec<Value> = stdout(&done).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(all.len(), 2, "{all:?}");
    assert!(stderr(&done).contains("failed: b"), "{}", stderr(&done));
}

#[test]
fn every_change_is_one_request() {
    for (words, body) in [
        (&["pause", "spring"][..], json!({"paused": true})),
        (&["resume", "spring"], json!({})),
        (&["retry", "spring"], json!({"retry_hosts": ["b"]})),
        (&["retry", "spring", "a"], json!({"retry_hosts": ["a"]})),
        (&["skip", "spring", "b"], json!({"skip_hosts": ["b"]})),
        (&["abort", "spring"], json!({"state": "MAINTENANCE_FAILED"})),
        (&["approve", "spring"], json!({"approve": true})),
    ] {
        let server = StandIn::start(common);
        let done = server.hostler(&[&["maintenance"], words].concat());
        assert_eq!(done.status.code(), Some(0), "{words:?}: {}", stderr(&done));
        assert_eq!((server.last().method.as_str(), server.last().body), ("PUT", body), "{words:?}");
    }
}

#[test]
fn what_cannot_be_meant_is_said() {
    let server = StandIn::start(common);
    for (line, code, hint) in [
        (vec!["maintenance", "start", "--plugin", "dummy"], 2, "--all"),
        (vec!["maintenance", "start", "zz"], 4, "host list"),
        (vec!["maintenance", "watch"], 4, "maintenance list"),
        (vec!["maintenance", "watch", "autumn"], 4, "maintenance list"),
        (vec!["maintenance", "start", "a", "--at", "soon"], 2, "expected now"),
        (vec!["maintenance", "start", "a", "--window", "late"], 2, "expected a window"),
        (vec!["maintenance", "start", "a", "-f", "/no/such/file"], 2, "/no/such/file"),
    ] {
        let done = server.hostler(&line);
        assert_eq!(done.status.code(), Some(code), "{line:?}: {}", stderr(&done));
        assert!(stderr(&done).contains(hint), "{line:?}: {}", stderr(&done));
    }
    assert!(!server.lines().iter().any(|line| line.starts_with("POST")), "nothing was begun");
}
