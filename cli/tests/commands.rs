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
fn a_tail_prints_json_lines_and_ends_when_its_reader_goes() {
    let server = StandIn::start(|request| {
        let after: i64 =
            request.target.split("after=").nth(1).and_then(|text| text.split('&').next()?.parse().ok()).unwrap();
        let events: Vec<Value> = (after + 1..=after + 2).map(|number| json!({"number": number, "kind": "x"})).collect();
        Answer::json(200, json!({"data": events, "last": after + 2}))
    });
    let mut child = command(env!("CARGO_BIN_EXE_hostler"))
        .args(["--url", &server.url, "event", "tail", "--after", "5", "-o", "json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    for number in 6..=9 {
        let event: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(event["number"], number);
    }
    drop(lines);
    assert_eq!(child.wait().unwrap().code(), Some(0));
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
