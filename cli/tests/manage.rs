//! Scripts, hooks, secrets, steps and the audit trail with the built program against a stand-in manager: what it sends and what
//! it says.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/stand_in.rs"]
mod support;

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};
use support::{Answer, Request, StandIn, command, stderr, stdout};

fn page(items: Value) -> Answer {
    Answer::json(200, json!({"data": items}))
}

/// The body of the last request of that method.
fn body(server: &StandIn, method: &str) -> Value {
    let seen = server.seen.lock().unwrap();
    seen.iter().rev().find(|request| request.method == method).unwrap().body.clone()
}

fn library(request: &Request) -> Answer {
    match request.line().as_str() {
        "GET /api/events/hook-scripts" => {
            let known = ["%22s%22", "%22_eq%22%3A%224%22"].iter().any(|part| request.target.contains(part));
            page(if known { json!([{"id": 4, "name": "s", "revision": 2, "hooks": []}]) } else { json!([]) })
        }
        "GET /api/events/scripts/4" => Answer::json(200, json!("#!/bin/sh\necho 1\n")),
        "POST /api/events/hook-scripts" if request.body["name"] == "s" => {
            Answer::json(400, json!({"message": "Filename already exists. s"}))
        }
        "POST /api/events/hook-scripts" => Answer::json(200, json!({"id": 4})),
        "PATCH /api/events/hook-scripts/4" if request.body["contents"] == "broken" => {
            Answer::json(422, json!({"message": "a script begins with #!"}))
        }
        "PATCH /api/events/hook-scripts/4" => Answer::empty(204),
        "DELETE /api/events/scripts/4" if request.target.contains("force=true") => Answer::empty(204),
        "DELETE /api/events/scripts/4" => Answer::json(409, json!({"message": "script 4 is used by 1 hook"})),
        other => panic!("{other}"),
    }
}

#[test]
fn scripts_are_added_shown_and_removed() {
    let server = StandIn::start(library);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("new.sh");
    std::fs::write(&file, "#!/bin/sh\n").unwrap();
    let path = file.to_str().unwrap();
    let done = server.hostler(&["script", "add", path]);
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    assert!(stdout(&done).contains("number 4, revision 2"), "{}", stdout(&done));
    assert_eq!(body(&server, "POST"), json!({"name": "new.sh", "contents": "#!/bin/sh\n"}));
    let done = server.hostler(&["script", "add", path, "--name", "s"]);
    assert_eq!(done.status.code(), Some(7));
    assert!(stderr(&done).contains("--replace"), "{}", stderr(&done));
    assert_eq!(server.hostler(&["script", "add", path, "--name", "s", "--replace"]).status.code(), Some(0));
    assert_eq!(body(&server, "PATCH"), json!({"contents": "#!/bin/sh\n"}));
    assert_eq!(stdout(&server.hostler(&["script", "show", "s"])), "#!/bin/sh\necho 1\n");
    let done = server.hostler(&["script", "rm", "s", "--yes"]);
    assert_eq!(done.status.code(), Some(5));
    assert!(stderr(&done).contains("--force"), "{}", stderr(&done));
    assert_eq!(server.hostler(&["script", "rm", "4", "--yes", "--force"]).status.code(), Some(0));
    assert_eq!(server.hostler(&["script", "show", "none"]).status.code(), Some(4));
}

#[test]
fn an_editor_changes_a_script_and_a_refused_draft_is_kept() {
    let server = StandIn::start(library);
    let dir = tempfile::tempdir().unwrap();
    let edit = |text: &str| {
        let editor = dir.path().join("editor");
        std::fs::write(&editor, format!("#!/bin/sh\n{text}\n")).unwrap();
        let done = command(env!("CARGO_BIN_EXE_hostler"))
            .env("TMPDIR", dir.path())
            .env("VISUAL", format!("sh {}", editor.display()))
            .args(["--url", &server.url, "script", "edit", "s"])
            .output()
            .unwrap();
        let drafts = std::fs::read_dir(dir.path()).unwrap().flatten();
        (done, drafts.filter(|entry| entry.file_name().to_string_lossy().starts_with("hostler-")).count())
    };
    let (done, drafts) = edit("echo 'echo 2' >> \"$1\"");
    assert_eq!((done.status.code(), drafts), (Some(0), 0), "{}", stderr(&done));
    assert_eq!(body(&server, "PATCH"), json!({"contents": "#!/bin/sh\necho 1\necho 2\n"}));
    let asked = server.lines().len();
    let (done, drafts) = edit("true");
    assert_eq!((done.status.code(), drafts), (Some(0), 0));
    assert!(stderr(&done).contains("Nothing was changed"), "{}", stderr(&done));
    assert!(!server.lines()[asked..].iter().any(|line| line.starts_with("PATCH")));
    assert_eq!(edit("exit 1").1, 0);
    let (done, drafts) = edit("printf broken > \"$1\"");
    assert_eq!((done.status.code(), drafts), (Some(7), 1));
    assert!(stderr(&done).contains("--file"), "{}", stderr(&done));
}

#[test]
fn hooks_are_bound_and_changed() {
    let hook = json!({"id": 9, "scriptId": 4, "scriptName": "s", "event": "PreFormatDisk", "allServers": false, "serverIds": [1],
        "serverNames": ["a"], "enabled": true, "order": 5, "onFailure": "warn", "timeoutSeconds": 120, "stdin": "json"});
    let server = StandIn::start(move |request| match request.line().as_str() {
        "GET /api/hosts" => page(json!([{"id": "u1", "number": 1, "name": "a", "state": "online"}])),
        "POST /api/events/hooks" => {
            let mut answer = Answer::empty(201);
            answer.1.push(("Location", "/api/events/hooks/9".into()));
            answer
        }
        "GET /api/events/hooks" => page(json!([hook])),
        "PATCH /api/events/hooks/9" => Answer::empty(204),
        _ => library(request),
    });
    let line = "hook add preformatdisk --script s --on a --order 5 --on-failure warn --timeout 2m --stdin json";
    let done = server.hostler(&line.split(' ').collect::<Vec<_>>());
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    assert_eq!(
        body(&server, "POST"),
        json!({"event": "PreFormatDisk", "scriptId": 4, "allServers": false, "serverIds": [1], "order": 5,
            "onFailure": "warn", "timeoutSeconds": 120, "stdin": "json"})
    );
    assert!(stdout(&done).contains("s (number 4)"), "{}", stdout(&done));
    assert_eq!(server.hostler(&["hook", "edit", "9", "--all", "--enabled", "false"]).status.code(), Some(0));
    assert_eq!(body(&server, "PATCH"), json!({"enabled": false, "allServers": true}));
    assert_eq!(server.hostler(&["hook", "edit", "9"]).status.code(), Some(2));
    assert_eq!(server.hostler(&["hook", "add", "Never", "--script", "s"]).status.code(), Some(2));
    assert_eq!(server.hostler(&["hook", "add", "OnAudit", "--script", "none"]).status.code(), Some(4));
}

#[test]
fn a_secret_is_stored_byte_for_byte_and_never_shown() {
    let server = StandIn::start(|request| match request.line().as_str() {
        "PUT /api/secrets/pager" => Answer::empty(204),
        other => panic!("{other}"),
    });
    let mut child = command(env!("CARGO_BIN_EXE_hostler"))
        .args(["--url", &server.url, "secret", "put", "pager", "--file", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b" s3cret\n").unwrap();
    let done = child.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    assert_eq!(server.last().body, json!({"value": " s3cret\n"}));
    assert!(!stderr(&done).contains("s3cret") && stdout(&done).is_empty());
    let done = server.hostler(&["secret", "put", "pager"]);
    assert_eq!(done.status.code(), Some(2));
    assert!(stderr(&done).contains("--file"), "{}", stderr(&done));
}

/// A manager that makes every change at once; `detail` is what the agent says.
fn changing(state: &'static str) -> StandIn {
    StandIn::start(move |request| {
        let task = json!({"id": 3, "kind": "operation", "name": "Step", "state": state, "done": true, "steps": [],
            "output": "the disk is mounted", "result": if state == "FINISHED" { json!({"changed": true, "detail": "done well"}) } else { Value::Null }});
        match request.line().as_str() {
            "GET /api/hosts/a" => Answer::json(200, json!({"number": 1, "name": "a"})),
            "POST /api/servers/1/steps" => {
                Answer::json(200, json!({"id": 3, "kind": "operation", "state": "WAITING", "done": false}))
            }
            "GET /api/tasks/3/events" => Answer(200, Vec::new(), format!("event: task\ndata: {task}\n\n")),
            "PUT /api/maintenance/flags/noout/set" => Answer::empty(204),
            "GET /api/maintenance/flags" => {
                Answer::json(200, json!([{"name": "noout", "description": "Stay.", "currentState": true}]))
            }
            other => panic!("{other}"),
        }
    })
}

#[test]
fn changes_are_sent_as_agents_know_them_and_followed() {
    let server = changing("FINISHED");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("eth1");
    std::fs::write(&file, "[Match]\n").unwrap();
    let network =
        format!("step network a --interface eth1,eth2 --file /etc/x={} --remove /etc/y --confirm 90s", file.display());
    for (line, step) in [
        ("ceph daemon restart a osd.3", json!({"step": "ceph_daemon", "kind": "osd", "id": "3", "action": "restart"})),
        ("step unit stop a x.service", json!({"step": "unit", "unit": "x.service", "action": "stop"})),
        (
            "ceph crush move osd.3 root=default rack=a --on a --if-version 9",
            json!({"step": "crush", "version": 9, "edit": {"edit": "move", "item": "osd.3", "location": ["root=default", "rack=a"]}}),
        ),
        (
            "ceph crush reweight osd.3 1.50 --on a",
            json!({"step": "crush", "version": null, "edit": {"edit": "reweight", "item": "osd.3", "weight": "1.50"}}),
        ),
        (
            "ceph crush add-bucket r rack --on a",
            json!({"step": "crush", "version": null, "edit": {"edit": "add_bucket", "name": "r", "kind": "rack"}}),
        ),
        (
            "ceph crush set-class nvme osd.1 osd.2 --on a",
            json!({"step": "crush", "version": null, "edit": {"edit": "set_device_class", "class": "nvme", "osds": ["osd.1", "osd.2"]}}),
        ),
        (
            "ceph rbd-snapshot p/n/i@s --on a",
            json!({"step": "rbd_snapshot", "pool": "p", "namespace": "n", "image": "i", "snapshot": "s"}),
        ),
        ("ceph flag unset noout --on a", json!({"step": "ceph_flag", "flag": "noout", "set": false})),
        (
            &network,
            json!({"step": "network", "interfaces": ["eth1", "eth2"], "confirm_s": 90,
                "files": [{"path": "/etc/x", "contents": "[Match]\n"}, {"path": "/etc/y", "contents": null}]}),
        ),
        (
            "ceph format-disk a /dev/sdx --for data --filesystem xfs --serial S --yes",
            json!({"step": "format_disk", "device": "/dev/sdx", "purpose": "data", "serial": "S", "size": null, "mode": "lvm",
                "device_class": null, "filesystem": "xfs"}),
        ),
    ] {
        let done = server.hostler(&line.split(' ').collect::<Vec<_>>());
        assert_eq!(done.status.code(), Some(0), "{line}: {}", stderr(&done));
        assert_eq!(body(&server, "POST"), json!({ "step": step }), "{line}");
        assert_eq!(stdout(&done), "done well\n", "{line}");
        assert!(stderr(&done).contains("Task 3"), "{line}");
    }
    let line = "ceph cephfs-snapshot fs s --subvolume v --group g --on a --skip-hooks --detach";
    assert_eq!(server.hostler(&line.split(' ').collect::<Vec<_>>()).status.code(), Some(0));
    assert_eq!(server.last().line(), "POST /api/servers/1/steps", "it does not wait");
    assert_eq!(server.last().body["skipHooks"], true);
    assert_eq!(server.last().body["step"]["step"], "cephfs_snapshot");
    assert_eq!(server.hostler(&["ceph", "flag", "set", "noout", "--cluster", "f"]).status.code(), Some(0));
    assert_eq!(server.last().target, "/api/maintenance/flags/noout/set?cluster=f");
    assert!(stdout(&server.hostler(&["ceph", "flag", "list"])).contains("noout  yes"));
}

#[test]
fn a_change_that_fails_says_why() {
    let server = changing("FAILED");
    let done = server.hostler(&["step", "unit", "start", "a", "x.service"]);
    assert_eq!(done.status.code(), Some(1));
    assert!(
        stderr(&done).contains("the disk is mounted") && stderr(&done).contains("task show 3"),
        "{}",
        stderr(&done)
    );
}

#[test]
fn disks_are_not_destroyed_by_accident() {
    let server = StandIn::start(|request| panic!("{}", request.line()));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("step");
    std::fs::write(&file, r#"{"step": "format_disk", "device": "/dev/sdx", "purpose": "osd"}"#).unwrap();
    for line in [vec!["ceph", "format-disk", "a", "/dev/sdx"], vec!["step", "run", "a", file.to_str().unwrap()]] {
        let done = server.hostler(&line);
        assert_eq!(done.status.code(), Some(2), "{}", stderr(&done));
        assert!(stderr(&done).contains("--yes"), "{}", stderr(&done));
    }
    assert!(server.lines().is_empty());
}

#[test]
fn the_audit_trail_is_read_in_pages() {
    let server = StandIn::start(|request| {
        let number = |name: &str| -> usize {
            request.target.split(&format!("{name}=")).nth(1).unwrap().split('&').next().unwrap().parse().unwrap()
        };
        let (limit, offset) = (number("limit"), number("offset"));
        assert!(limit <= 100);
        let entry =
            |at: usize| json!({"id": 1000 - at, "username": "eve", "method": "POST", "endpoint": "/x", "status": 201});
        Answer::json(200, (offset..offset + limit).map(entry).collect())
    });
    let done = server.hostler(&["audit", "list", "--limit", "150", "-o", "json"]);
    let found: Vec<Value> = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!((found.len(), &found[149]["id"]), (150, &json!(851)));
    assert!(stdout(&server.hostler(&["audit", "list", "--limit", "1"])).contains("POST /x"));
}
