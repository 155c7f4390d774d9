//! The operator's command line against a real manager with a real agent.

use std::process::{Command, Output};

use hostler_tests::lab::{Agent, Manager, binary};
use serde_json::Value;

/// The command line against a manager.
pub(super) struct Cli<'a>(pub(super) &'a Manager);

impl Cli<'_> {
    pub(super) fn output(&self, words: &[&str]) -> Output {
        let mut command = Command::new(binary("hostler"));
        command.args(words).env_remove("HOSTLER_STATE_DIR");
        command.envs([("HOSTLER_URL", self.0.url.as_str()), ("HOSTLER_TOKEN", self.0.token())]).output().unwrap()
    }

    /// What a command prints; it must succeed.
    pub(super) fn says(&self, words: &[&str]) -> String {
        let output = self.output(words);
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The same as JSON.
    pub(super) fn json(&self, words: &[&str]) -> Value {
        let text = self.says(&[words, &["-o", "json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{words:?}: {error}: {text}"))
    }

    /// The exit code of a command that must fail, and its complaint.
    pub(super) fn fails(&self, words: &[&str]) -> (Option<i32>, String) {
        let output = self.output(words);
        assert!(!output.status.success(), "{words:?}: {output:?}");
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }
}

/// A manager with a host, node-1, that was introspected.
async fn one_host() -> (Manager, Agent) {
    let manager = Manager::start().await.unwrap();
    let agent = Agent::start(&manager, "node-1").await.unwrap();
    manager.introspected("node-1").await.unwrap();
    (manager, agent)
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_introspections_and_inventories() {
    let (manager, _agent) = one_host().await;
    let cli = Cli(&manager);
    assert!(cli.says(&["host", "list"]).contains("node-1"));
    assert_eq!(cli.json(&["host", "show", "node-1"])["name"], "node-1");
    cli.says(&["introspect", "node-1", "--wait"]);
    cli.says(&["introspect", "--all", "--wait"]);
    let inventories = cli.json(&["inventory", "list", "node-1"]);
    assert!(!inventories.as_array().unwrap().is_empty(), "{inventories}");
    assert!(cli.says(&["inventory", "show", "node-1"]).contains("CPU"));
    let document: Value = serde_json::from_str(&cli.says(&["inventory", "export", "node-1"])).unwrap();
    assert!(document["inventory"]["cpu"]["count"].as_i64().unwrap() > 0);
    let newest = inventories[0]["id"].as_str().unwrap();
    let same = cli.json(&["inventory", "diff", "node-1", "--from", newest, "--to", newest]);
    assert!(same["changes"].as_array().is_some_and(Vec::is_empty), "{same}");
    let (code, complaint) = cli.fails(&["host", "show", "nobody"]);
    assert_eq!(code, Some(4), "{complaint}");
    let tasks = cli.json(&["task", "list"]);
    let id = tasks[0]["id"].to_string();
    assert!(cli.says(&["task", "show", &id]).contains("node-1"));
    cli.says(&["event", "list"]);
}

/// Scripts that are over before anybody can look at them, too.
#[tokio::test(flavor = "multi_thread")]
async fn scripts_are_run_and_watched_with_their_output() {
    let (manager, _agent) = one_host().await;
    let cli = Cli(&manager);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("quick.sh");
    std::fs::write(&file, "#!/bin/sh\necho one\nexit \"${1-0}\"\n").unwrap();
    let file = file.to_str().unwrap();
    for _ in 0..5 {
        assert_eq!(cli.says(&["script", "run", "--all", file]), "one\n");
    }
    cli.says(&["script", "add", file, "--name", "quick"]);
    assert_eq!(cli.says(&["script", "run", "--on", "node-1", "quick"]), "one\n");
    let failed = cli.output(&["script", "run", "--on", "node-1", "quick", "--", "5"]);
    assert_eq!((failed.status.code(), failed.stdout.as_slice()), (Some(5), &b"one\n"[..]), "{failed:?}");
    let tasks = cli.json(&["task", "list"]);
    let watched = cli.output(&["task", "watch", &tasks[0]["id"].to_string()]);
    assert_eq!((watched.status.code(), watched.stdout.as_slice()), (Some(5), &b"one\n"[..]), "{watched:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_tokens_agents_and_people() {
    let (manager, _agent) = one_host().await;
    let cli = Cli(&manager);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rules.json");
    let rule =
        r#"[{"description": "mark", "actions": [{"action": "set-attribute", "path": "/extra/seen", "value": "yes"}]}]"#;
    std::fs::write(&file, rule).unwrap();
    cli.says(&["rule", "import", file.to_str().unwrap()]);
    let rules = cli.json(&["rule", "list"]);
    let id = rules[0]["uuid"].as_str().unwrap().to_owned();
    assert!(cli.says(&["rule", "show", &id]).contains("mark"));
    cli.says(&["rule", "dry-run", "node-1"]);
    cli.says(&["rule", "delete", &id]);

    let made = cli.json(&["join-token", "create"]);
    assert!(made["token"].as_str().unwrap().starts_with("hjt1_"));
    assert!(!cli.json(&["join-token", "list"]).as_array().unwrap().is_empty());
    cli.says(&["join-token", "revoke", made["id"].as_str().unwrap()]);

    cli.says(&["project", "create", "research"]);
    assert!(cli.says(&["project", "list"]).contains("research"));
    assert!(cli.says(&["user", "list"]).contains("admin"));
    cli.says(&["agent", "revoke", "node-1", "--yes"]);
    manager.host_is("node-1", "revoked").await.unwrap();
}
