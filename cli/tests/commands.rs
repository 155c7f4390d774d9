//! The built program against a stand-in manager: what it sends, what it prints where, how it exits.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/stand_in.rs"]
mod support;

use std::io::Write;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use support::{Answer, StandIn, command, hostler, stderr, stdout};

fn host(name: &str, state: &str) -> Value {
    json!({"id": format!("id-{name}"), "number": 1, "name": name, "state": state, "agent": {}, "introspection": null, "summary": null})
}

#[test]
fn lists_follow_pages_and_carry_the_token() {
    let server = StandIn::start(|request| {
        if request.target.contains("after=n1") {
            Answer::json(200, json!({"data": [host("b", "offline")]}))
        } else {
            Answer::json(200, json!({"data": [host("a", "online")], "next": "n1"}))
        }
    });
    let output = server.hostler(&["host", "list"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.starts_with("#  NAME  STATE"), "{text}");
    assert!(text.lines().count() == 3 && !text.contains('\u{1b}'), "{text}");
    assert!(stderr(&output).is_empty());
    assert_eq!(server.last().header("x-auth-token"), Some("t0"));
    let output = server.hostler(&["host", "list", "-o", "json"]);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value, json!([host("a", "online"), host("b", "offline")]));
    let output = server.hostler(&["host", "list", "-o", "yaml"]);
    assert!(stdout(&output).starts_with("- id: id-a\n  number: 1\n  name: a\n"), "{}", stdout(&output));
}

#[test]
fn an_empty_list_says_so_beside_the_data() {
    let server = StandIn::start(|_| Answer::json(200, json!({"data": []})));
    let output = server.hostler(&["host", "list"]);
    assert!(stdout(&output).is_empty() && stderr(&output).contains("join-token create"));
    assert_eq!(stdout(&server.hostler(&["host", "list", "-o", "json"])), "[]\n");
}

#[test]
fn refusals_become_exit_codes_with_reasons() {
    for (status, code) in [(400, 7), (401, 3), (403, 6), (404, 4), (409, 5), (429, 8), (500, 1), (503, 8)] {
        let server = StandIn::start(move |_| {
            let mut answer = Answer::json(status, json!({"error": "X", "message": "because of this", "code": status}));
            answer.1.push(("X-Request-Id", "r-1".into()));
            answer
        });
        let output = server.hostler(&["host", "show", "a"]);
        assert_eq!(output.status.code(), Some(code), "{status}");
        assert!(stdout(&output).is_empty());
        let text = stderr(&output);
        assert!(text.starts_with("error: cannot show host a: because of this"), "{text}");
        assert!(text.contains("request id: r-1"), "{text}");
    }
}

#[test]
fn nobody_there_and_nobody_named() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = hostler(&["--url", &format!("http://{free}"), "host", "list"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("no connection to") && stderr(&output).contains("hint:"), "{}", stderr(&output));
    let output = hostler(&["host", "list"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("hostler up"), "{}", stderr(&output));
    assert_eq!(hostler(&["host", "lst"]).status.code(), Some(2));
    assert_eq!(hostler(&["--help"]).status.code(), Some(0));
}

#[test]
fn a_redirect_does_not_carry_the_token_away() {
    let thief = StandIn::start(|_| Answer::json(200, json!({"data": []})));
    let target = thief.url.clone();
    let server = StandIn::start(move |_| Answer(302, vec![("Location", target.clone())], String::new()));
    assert_eq!(server.hostler(&["host", "list"]).status.code(), Some(1));
    assert!(thief.lines().is_empty());
}

#[test]
fn a_password_login_replaces_a_missing_token() {
    let server = StandIn::start(|request| match request.line().as_str() {
        "POST /identity/v3/auth/tokens" => {
            let mut answer = Answer::json(201, json!({"token": {"user": {"id": "u1"}}}));
            answer.1.push(("X-Subject-Token", "t-login".into()));
            answer
        }
        "GET /identity/v3/users/u1/application_credentials" => Answer::json(
            200,
            json!({"application_credentials": [{"id": "c1", "name": "ci", "roles": [{"name": "reader"}]}]}),
        ),
        _ => Answer::json(200, json!({"data": []})),
    });
    let run = |args: &[&str]| {
        let mut command = command(env!("CARGO_BIN_EXE_hostler"));
        command.env("HOSTLER_URL", &server.url).env("HOSTLER_USERNAME", "eve").env("HOSTLER_PASSWORD", "pw").args(args);
        command.output().unwrap()
    };
    assert_eq!(run(&["host", "list"]).status.code(), Some(0));
    assert_eq!(server.last().header("x-auth-token"), Some("t-login"));
    let login = server.seen.lock().unwrap()[0].clone();
    assert_eq!(login.body["auth"]["identity"]["password"]["user"]["password"], "pw");
    assert_eq!(login.body["auth"]["scope"]["project"]["name"], "eve");
    let output = run(&["credential", "list"]);
    assert!(stdout(&output).contains("ci    reader"), "{}", stdout(&output));
}

#[test]
fn introspecting_all_waits_and_reports_each() {
    let looks = AtomicUsize::new(0);
    let server = StandIn::start(move |request| match request.line().as_str() {
        "GET /api/hosts" => {
            Answer::json(200, json!({"data": [host("a", "online"), host("b", "online"), host("c", "offline")]}))
        }
        "POST /api/hosts/a/introspect" => Answer::json(202, json!({"task": 1})),
        "POST /api/hosts/b/introspect" => Answer::json(202, json!({"task": 2})),
        "GET /api/tasks/1" if looks.fetch_add(1, Ordering::SeqCst) == 0 => {
            Answer::json(503, json!({"message": "restarting"}))
        }
        "GET /api/tasks/1" => Answer::json(200, json!({"id": 1, "state": "FINISHED", "done": true})),
        "GET /api/tasks/2" => Answer::json(200, json!({"id": 2, "state": "FAILED", "done": true, "output": "no CPU"})),
        other => panic!("{other}"),
    });
    let output = server.hostler(&["introspect", "--all", "--wait", "--sections", "cpu,memory", "-o", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let rows: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&rows[0]["state"], &rows[1]["error"]), (&json!("FINISHED"), &json!("no CPU")));
    assert!(stderr(&output).contains("Left out, as they are not online: c"), "{}", stderr(&output));
    let seen = server.seen.lock().unwrap();
    let start = seen.iter().find(|request| request.target.ends_with("/a/introspect")).unwrap();
    assert_eq!(start.body, json!({"sections": ["cpu", "memory"]}));
}

#[test]
fn waiting_has_a_deadline_of_its_own() {
    let server = StandIn::start(|request| match request.method.as_str() {
        "POST" => Answer::json(202, json!({"task": 1})),
        _ => Answer::json(200, json!({"id": 1, "state": "RUNNING", "done": false})),
    });
    let output = server.hostler(&["introspect", "a", "--wait", "--timeout", "1s"]);
    assert_eq!(output.status.code(), Some(9));
    assert!(stderr(&output).contains("task watch 1"));
}

#[test]
fn an_export_is_the_document_byte_for_byte() {
    let document = "{ \"z\": 1,\n\"a\":  2.50 }";
    let server = StandIn::start(move |_| Answer(200, Vec::new(), document.into()));
    let output = server.hostler(&["inventory", "export", "a", "--unprocessed"]);
    assert_eq!(stdout(&output), document);
    assert_eq!(server.last().target, "/api/hosts/a/inventories/latest?unprocessed=true");
}

#[test]
fn rules_are_imported_in_order_and_replaced_on_request() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rules.json");
    std::fs::write(&file, r#"[{"uuid":"u1","actions":[]},{"uuid":"u2","actions":[]}]"#).unwrap();
    let path = file.to_str().unwrap();
    let server = StandIn::start(|request| match (request.method.as_str(), request.body["uuid"].as_str()) {
        ("POST", Some("u2")) => Answer::json(409, json!({"error": {"message": "Rule with UUID u2 already exists"}})),
        _ => Answer::json(201, request.body.clone()),
    });
    let output = server.hostler(&["rule", "import", path]);
    assert_eq!(output.status.code(), Some(5));
    assert!(
        stderr(&output).contains("--replace") && stderr(&output).contains("1 before it were imported"),
        "{}",
        stderr(&output)
    );
    assert_eq!(server.last().header("X-OpenStack-Ironic-Inspector-API-Version"), Some("1.18"));
    let output = server.hostler(&["rule", "import", "--replace", path]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(server.last().line(), "PUT /api/rules/u2");
}

#[test]
fn a_user_is_created_with_a_password_from_standard_input() {
    let server = StandIn::start(|request| match request.line().as_str() {
        "GET /identity/v3/projects" => Answer::json(200, json!({"projects": [{"id": "p1", "name": "ops"}]})),
        "GET /identity/v3/roles" => Answer::json(200, json!({"roles": [{"id": "r1", "name": "reader"}]})),
        "GET /identity/v3/users" => Answer::json(200, json!({"users": [{"id": "u1", "name": "eve"}]})),
        "POST /identity/v3/users" => Answer::json(201, json!({"user": {"id": "u1", "name": "eve"}})),
        "PUT /identity/v3/projects/p1/users/u1/roles/r1" => Answer::empty(204),
        other => panic!("{other}"),
    });
    let mut child = command(env!("CARGO_BIN_EXE_hostler"))
        .args(["--url", &server.url, "--token", "t0", "user", "create", "eve", "--project", "ops", "--role", "reader"])
        .arg("--password-stdin")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"s3cret word\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let seen = server.seen.lock().unwrap();
    let create = seen.iter().find(|request| request.method == "POST").unwrap();
    assert_eq!(create.body["user"]["password"], "s3cret word");
    assert!(seen.iter().any(|request| request.method == "PUT"));
    assert!(!stdout(&output).contains("s3cret") && !stderr(&output).contains("s3cret"));
}

#[test]
fn a_tail_resumes_where_it_was_prints_json_lines_and_ends_when_its_reader_goes() {
    let server = StandIn::start(|request| {
        assert_eq!(request.line(), "GET /api/events/stream");
        assert!(request.target.contains("kind=run.*&host=ceph-07"), "{}", request.target);
        let after: i64 = request.header("last-event-id").unwrap().parse().unwrap();
        let text = (after + 1..=after + 2)
            .map(|number| format!("id: {number}\nevent: x\ndata: {}\n\n", json!({"number": number, "kind": "x"})))
            .collect::<String>();
        let text = format!("retry: 2000\nid: {after}\n\n: still here\n\n{text}");
        Answer(200, vec![("Content-Type", "text/event-stream".into())], text)
    });
    let line = ["event", "tail", "--after", "5", "--kind", "run.*", "--host", "ceph-07", "-o", "json"];
    let mut child = command(env!("CARGO_BIN_EXE_hostler"))
        .args(["--url", &server.url])
        .args(line)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    for number in 6..=11 {
        let event: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(event["number"], number);
    }
    drop(lines);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_tail_that_is_refused_says_why_and_a_gap_is_told() {
    let server = StandIn::start(|request| {
        if request.header("last-event-id") == Some("9") {
            return Answer::json(403, json!({"error": "Forbidden", "message": "a role is missing", "code": 403}));
        }
        let text = "id: 9\nevent: gap\ndata: {\"after\":2,\"resumesAfter\":9,\"missed\":7}\n\n".to_owned();
        Answer(200, vec![("Content-Type", "text/event-stream".into())], text)
    });
    let output = server.hostler(&["event", "tail"]);
    assert_eq!(output.status.code(), Some(6), "{}", stderr(&output));
    assert!(stderr(&output).contains("7 events cannot be had any more"), "{}", stderr(&output));
    assert!(stdout(&output).is_empty());
}

#[test]
fn lists_of_events_are_filtered_by_the_manager() {
    let server = StandIn::start(|request| {
        let found = request.target.contains("after=3");
        let data = if found { json!([{"number": 8, "kind": "run.failed"}]) } else { json!([]) };
        let last = if found || request.target.contains("after=9") { 9 } else { 3 };
        Answer::json(200, json!({"data": data, "last": last}))
    });
    let output = server.hostler(&["event", "list", "--kind", "run.*", "--severity", "alarm", "-o", "json"]);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value, json!([{"number": 8, "kind": "run.failed"}]), "an empty page is not the end");
    assert_eq!(server.lines().len(), 3);
    assert!(server.last().target.contains("kind=run.*&subject") || server.last().target.contains("severity=alarm"));
}

#[test]
fn webhooks_are_managed() {
    let webhook =
        json!({"id": 4, "name": "pager", "state": "ok", "secret": "whsec_abc", "filter": {"kinds": ["run.*"]}});
    let server = StandIn::start(move |request| match request.line().as_str() {
        "POST /api/webhooks" => Answer::json(201, webhook.clone()),
        "GET /api/webhooks/4/dead-letters" => Answer::json(200, json!({"data": [{"event": 7}, {"event": 9}]})),
        "POST /api/webhooks/4/test" => {
            Answer::json(200, json!({"delivered": false, "status": 500, "reason": "it answered 500", "tookMs": 3}))
        }
        "DELETE /api/webhooks/4" => Answer::empty(204),
        _ => Answer::json(200, json!({})),
    });
    let add = ["webhook", "add", "https://x.example/", "--name", "pager", "--kind", "run.*,a.b", "--retry-for", "2h"];
    let output = server.hostler(&add);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("whsec_abc") && stderr(&output).contains("not shown again"));
    assert_eq!(
        server.last().body,
        json!({"url": "https://x.example/", "name": "pager", "filter": {"kinds": ["run.*", "a.b"]}, "policy": {"retryFor": 7200}})
    );
    let output = server.hostler(&["webhook", "test", "4"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("it answered 500"), "{}", stderr(&output));
    assert_eq!(server.hostler(&["webhook", "replay", "4", "--all"]).status.code(), Some(0));
    let lines = server.lines();
    let replays: Vec<&String> = lines.iter().filter(|line| line.ends_with("/replay")).collect();
    assert_eq!(replays, ["POST /api/webhooks/4/dead-letters/7/replay", "POST /api/webhooks/4/dead-letters/9/replay"]);
    assert_eq!(server.hostler(&["webhook", "disable", "4"]).status.code(), Some(0));
    assert_eq!((server.last().method.as_str(), server.last().body), ("PATCH", json!({"enabled": false})));
    assert_eq!(server.hostler(&["webhook", "rotate", "4", "--keep", "1h"]).status.code(), Some(0));
    assert_eq!(server.last().body, json!({"keepFor": 3600}));
    assert_eq!(server.hostler(&["webhook", "rm", "4", "--yes"]).status.code(), Some(0));
    assert_eq!(server.last().line(), "DELETE /api/webhooks/4");
    assert_eq!(server.hostler(&["webhook", "replay", "4"]).status.code(), Some(2));
}

#[test]
fn hosts_cannot_steer_the_terminal() {
    let server = StandIn::start(|_| Answer::json(200, json!({"data": [host("a\u{1b}[2J", "online")]})));
    let output = server.hostler(&["host", "list"]);
    assert!(!stdout(&output).contains('\u{1b}') && stdout(&output).contains("a\u{fffd}[2J"));
}

#[test]
fn a_clouds_yaml_for_another_user_has_no_password() {
    let server = StandIn::start(|request| panic!("{}", request.line()));
    let output = server.hostler(&["clouds-yaml", "--username", "eve", "--project", "ops"]);
    let text = stdout(&output);
    assert!(
        text.contains("username: eve") && text.contains("project_name: ops") && !text.contains("password:"),
        "{text}"
    );
}

#[test]
fn changes_drift_and_identity_ask_for_what_they_show() {
    let server = StandIn::start(|request| match request.line().as_str() {
        "GET /api/inventory-drift" => Answer::json(
            200,
            json!({"data": [{"kind": "Acme S2U", "fact": "os.kernel", "severity": "info", "hosts": 4, "usual": "6.12",
                "outlierCount": 1, "outliers": [{"name": "a", "value": "6.1"}]}]}),
        ),
        "GET /api/hosts/a/inventory-changes" => Answer::json(200, json!({"data": []})),
        "POST /api/hosts/a/identity/accept" => Answer::json(202, json!({"task": 7})),
        "POST /api/hosts/a/identity/discard" => Answer::json(404, json!({"message": "no data of a are held back"})),
        other => panic!("{other}"),
    });
    let output = server.hostler(&["inventory", "drift", "--by", "role", "--fact", "os.kernel"]);
    assert!(stdout(&output).contains("1 of 4") && stdout(&output).contains("a (6.1)"), "{}", stdout(&output));
    assert!(server.last().target.contains("by=role") && server.last().target.contains("fact=os.kernel"));
    assert_eq!(server.hostler(&["inventory", "changes", "a"]).status.code(), Some(0));
    let output = server.hostler(&["host", "identity", "accept", "a", "--yes"]);
    assert!(stdout(&output).contains("Task 7"), "{}", stdout(&output));
    let output = server.hostler(&["host", "identity", "discard", "a", "--yes"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(stderr(&output).contains("host identity show a"), "{}", stderr(&output));
}
