//! Running scripts with the built program against a stand-in manager: what is shown where, what comes after a broken stream, how
//! it exits.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/stand_in.rs"]
mod support;

use std::io::BufRead;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use support::{Answer, Request, StandIn, command, stderr, stdout};

fn host(number: i64, name: &str, state: &str) -> Value {
    json!({"id": format!("u{number}"), "number": number, "name": name, "state": state, "roles": ["storage"], "labels": {"rack": "r1"}})
}

fn task(state: &str) -> Value {
    let done = !matches!(state, "WAITING" | "RUNNING");
    json!({"id": 7, "kind": "script", "name": "Script s", "state": state, "done": done, "progress": {"complete": 0, "total": 2}})
}

fn target(position: u32, name: &str, state: &str, exit: Option<i32>, bytes: usize) -> Value {
    json!({"position": position, "id": position + 1, "host": format!("u{}", position + 1), "name": name, "state": state,
        "exitCode": exit, "signal": null, "outputBytes": bytes, "truncated": false, "error": null})
}

fn piece(offset: usize, stream: &str, text: &[u8]) -> Value {
    json!({"offset": offset, "stream": stream, "data": STANDARD.encode(text)})
}

fn output(name: &str, offset: usize, stream: &str, text: &[u8]) -> String {
    let mut event = piece(offset, stream, text);
    event["name"] = name.into();
    format!("event: output\ndata: {event}\n\n")
}

fn state(state: &str) -> String {
    format!("event: task\ndata: {}\n\n", task(state))
}

fn stream(events: &[String]) -> Answer {
    Answer(200, vec![("Content-Type", "text/event-stream".into())], format!(": hello\n\n{}", events.concat()))
}

fn page(items: Value) -> Answer {
    Answer::json(200, json!({"data": items, "total": 1}))
}

/// What every manager here answers alike: two hosts online, one not, one script.
fn common(request: &Request) -> Answer {
    match request.line().as_str() {
        "GET /api/hosts" => page(json!([host(1, "a", "online"), host(2, "bcd", "online"), host(3, "away", "offline")])),
        "GET /api/events/hook-scripts" if request.target.contains("%22s%22") => {
            page(json!([{"id": 4, "name": "s", "revision": 1, "hooks": []}]))
        }
        "GET /api/events/hook-scripts" => page(json!([])),
        "POST /api/events/scripts/execute" => Answer::json(200, task("WAITING")),
        other => panic!("{other}"),
    }
}

fn asked_for(request: &Request, host: &str) -> bool {
    request.target.contains(&format!("server={host}&"))
}

#[test]
fn lines_of_hosts_do_not_mix_and_the_worst_result_is_the_exit_code() {
    let server = StandIn::start(|request| match request.line().as_str() {
        "GET /api/tasks/7/events" => {
            assert!(request.target.contains("output=true") && request.target.contains("bytes=true"));
            let events = [
                state("RUNNING"),
                output("a", 0, "stdout", b"one\ntw"),
                output("bcd", 0, "stderr", b"warning\n"),
                output("a", 6, "stdout", b"o\xc3"),
                output("a", 8, "stdout", b"\xa9\nlast"),
                state("FAILED"),
            ];
            stream(&events)
        }
        "GET /api/tasks/7/targets" => {
            Answer::json(200, json!([target(0, "a", "ok", Some(0), 14), target(1, "bcd", "failed", Some(3), 18)]))
        }
        // The first look comes before the stream is read; each has something that the stream does not say.
        "GET /api/tasks/7/output" if asked_for(request, "u1") => Answer::json(
            200,
            json!({"pieces": [piece(0, "stdout", "one\ntwoé\nlast".as_bytes())], "total": 14, "over": true}),
        ),
        "GET /api/tasks/7/output" => Answer::json(
            200,
            json!({"pieces": [piece(0, "stderr", b"warning\n"), {"offset": 8, "omitted": 6}, piece(14, "stdout", b"end\n")],
                "total": 18, "over": true}),
        ),
        _ => common(request),
    });
    let done =
        server.hostler(&["script", "run", "s", "--on", "bcd,1", "--env", "A=b", "--max-errors", "10%", "--", "-x"]);
    assert_eq!(done.status.code(), Some(3), "{}", stderr(&done));
    let mut lines: Vec<_> = stdout(&done).lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["a   | last", "a   | one", "a   | twoé", "bcd | end"]);
    let told = stderr(&done);
    assert_eq!(told.matches("bcd | warning\n").count(), 1, "{told}");
    assert!(told.contains("bcd: … 6 B omitted …\n") && told.contains("bcd: exited 3\n"), "{told}");
    assert!(told.contains("2 hosts, 1 ok, 1 failed\n") && told.contains("task show 7"), "{told}");
    let seen = server.seen.lock().unwrap();
    let order = seen.iter().find(|request| request.method == "POST").unwrap();
    assert_eq!(
        order.body,
        json!({"scriptId": 4, "servers": [2, 1], "args": ["-x"], "maxErrors": "10%", "env": {"A": "b"}})
    );
}

#[test]
fn a_stream_that_breaks_is_taken_up_where_it_was() {
    let streams = AtomicUsize::new(0);
    let server = StandIn::start(move |request| match request.line().as_str() {
        "GET /api/tasks/7/events" => match streams.fetch_add(1, Ordering::SeqCst) {
            0 => stream(&[state("RUNNING"), output("a", 0, "stdout", b"0123")]),
            1 => Answer::json(503, json!({"message": "stopping"})),
            _ => stream(&[
                output("a", 2, "stdout", b"2345"),
                output("a", 9, "stdout", b"9ab"),
                "event: output\ndata: {\"missed\": 3}\n\n".into(),
                state("FINISHED"),
            ]),
        },
        "GET /api/tasks/7/targets" if streams.load(Ordering::SeqCst) < 3 => {
            Answer::json(200, json!([target(0, "a", "running", None, 0)]))
        }
        "GET /api/tasks/7/targets" => Answer::json(200, json!([target(0, "a", "ok", Some(0), 13)])),
        "GET /api/tasks/7/output" => {
            let all = b"0123456789ab\n";
            let offset: usize =
                request.target.split("offset=").nth(1).unwrap().split('&').next().unwrap().parse().unwrap();
            let known = if streams.load(Ordering::SeqCst) < 3 { 2 } else { all.len() };
            let pieces = if offset < known { json!([piece(offset, "stdout", &all[offset..known])]) } else { json!([]) };
            Answer::json(200, json!({"pieces": pieces, "total": known, "over": known > 2}))
        }
        _ => common(request),
    });
    let done = server.hostler(&["script", "run", "s", "--on", "a"]);
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    assert_eq!(stdout(&done), "0123456789ab\n");
    assert!(stderr(&done).contains("waiting for the manager"), "{}", stderr(&done));
}

#[test]
fn output_that_will_be_in_the_record_is_waited_for() {
    let looks = Mutex::new(0);
    let server = StandIn::start(move |request| match request.line().as_str() {
        "GET /api/tasks/7/events" => stream(&[state("RUNNING"), output("a", 6, "stdout", b"cd\n"), state("FINISHED")]),
        "GET /api/tasks/7/targets" => {
            let mut looks = looks.lock().unwrap();
            *looks += 1;
            let state = if *looks == 1 { "running" } else { "ok" };
            Answer::json(200, json!([target(0, "a", state, Some(0), 9)]))
        }
        "GET /api/tasks/7/output" if request.target.contains("offset=0") => {
            let seen = json!({"pieces": [{"offset": 0, "omitted": 6}, piece(6, "stdout", b"cd\n")], "over": false});
            let record = json!({"pieces": [piece(0, "stdout", b"begin\ncd\n")], "over": true});
            static ASKED: AtomicUsize = AtomicUsize::new(0);
            Answer::json(200, if ASKED.fetch_add(1, Ordering::SeqCst) == 0 { seen } else { record })
        }
        _ => common(request),
    });
    let done = server.hostler(&["script", "run", "s", "--on", "a"]);
    assert_eq!(stdout(&done), "begin\ncd\n", "{}", stderr(&done));
}

#[test]
fn one_document_has_all_results() {
    let server = StandIn::start(|request| match request.line().as_str() {
        "GET /api/tasks/7/events" => {
            assert!(!request.target.contains("output"), "nobody reads it while it is written");
            stream(&[state("RUNNING"), state("FAILED")])
        }
        "GET /api/tasks/7/targets" => {
            Answer::json(200, json!([target(0, "a", "failed", Some(9), 7), target(1, "bcd", "undeliverable", None, 0)]))
        }
        "GET /api/tasks/7/output" => Answer::json(
            200,
            json!({"pieces": [piece(0, "stdout", b"out"), piece(3, "stderr", b"err\xff")], "total": 7, "over": true}),
        ),
        _ => common(request),
    });
    let done = server.hostler(&["script", "run", "s", "--role", "storage", "--label", "rack=r1", "-o", "json"]);
    assert_eq!(done.status.code(), Some(255), "{}", stderr(&done));
    let document: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(
        (&document["exitCode"], &document["task"], &document["state"]),
        (&json!(255), &json!(7), &json!("FAILED"))
    );
    assert_eq!(
        (&document["targets"][0]["stdout"], &document["targets"][0]["stderr"]),
        (&json!("out"), &json!("err\u{fffd}"))
    );
    assert_eq!(document["targets"][1]["stdout"], "");
    assert!(stderr(&done).contains("Left out, as they are not online: away"), "{}", stderr(&done));
}

#[test]
fn ctrl_c_without_a_terminal_leaves_the_task_running() {
    let server = StandIn::start(|request| match request.line().as_str() {
        "GET /api/tasks/7/events" => stream(&[state("RUNNING"), output("a", 0, "stdout", b"begun\n")]),
        "GET /api/tasks/7/targets" => Answer::json(200, json!([target(0, "a", "running", None, 0)])),
        "GET /api/tasks/7/output" => {
            let pieces =
                if request.target.contains("offset=0") { json!([piece(0, "stdout", b"begun\n")]) } else { json!([]) };
            Answer::json(200, json!({"pieces": pieces, "total": 6, "over": false}))
        }
        _ => common(request),
    });
    let mut child = command(env!("CARGO_BIN_EXE_hostler"))
        .args(["--url", &server.url, "script", "run", "s", "--on", "a"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "begun\n");
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let done = child.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(130));
    assert!(stderr(&done).contains("it goes on") && stderr(&done).contains("task watch 7"), "{}", stderr(&done));
    assert!(!server.lines().iter().any(|line| line.ends_with("/cancel")));
}

#[test]
fn files_and_standard_input_are_run_as_they_are() {
    let server = StandIn::start(common);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("check.sh");
    std::fs::write(&file, "#!/bin/sh\necho \u{1F40C}\n").unwrap();
    let input = dir.path().join("input");
    std::fs::write(&input, "x\ny").unwrap();
    let done = server.hostler(&[
        "script",
        "run",
        file.to_str().unwrap(),
        "--all",
        "--detach",
        "--stdin",
        input.to_str().unwrap(),
        "--timeout",
        "1m",
    ]);
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    assert!(stdout(&done).contains("Script s") && stderr(&done).contains("task watch 7"), "{}", stdout(&done));
    assert_eq!(
        server.last().body,
        json!({"script": "#!/bin/sh\necho \u{1F40C}\n", "servers": [1, 2], "args": [], "stdin": "x\ny", "timeoutSeconds": 60})
    );
}

#[test]
fn what_cannot_be_run_says_what_to_do() {
    let server = StandIn::start(common);
    for (line, code, hint) in [
        (vec!["script", "run", "s"], 2, "--on"),
        (vec!["script", "run", "none", "--on", "a"], 4, "script list"),
        (vec!["script", "run", "s", "--on", "zz"], 4, "host list"),
        (vec!["script", "run", "s", "--label", "rack=r9"], 4, "host list"),
        (vec!["script", "run", "./none", "--on", "a"], 2, "./none"),
        (vec!["script", "run", "-", "--on", "a", "--stdin", "-"], 2, "file"),
    ] {
        let done = server.hostler(&line);
        assert_eq!(done.status.code(), Some(code), "{line:?}: {}", stderr(&done));
        assert!(stderr(&done).contains(hint), "{line:?}: {}", stderr(&done));
    }
    assert!(!server.lines().iter().any(|line| line.starts_with("POST")), "nothing was begun");
}

#[test]
fn a_run_is_watched_again() {
    let server = StandIn::start(|request| match request.line().as_str() {
        "GET /api/tasks/7" => Answer::json(200, task("RUNNING")),
        "GET /api/tasks/7/events" => stream(&[state("CANCELED")]),
        "GET /api/tasks/7/targets" => Answer::json(200, json!([target(0, "a", "cancelled", None, 0)])),
        other => panic!("{other}"),
    });
    let done = server.hostler(&["task", "watch", "7"]);
    assert_eq!(done.status.code(), Some(130), "{}", stderr(&done));
    assert!(stderr(&done).contains("was cancelled"), "{}", stderr(&done));
}
