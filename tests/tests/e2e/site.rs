//! A manager and a host whose hooks and scripts are tried, as the croit dialect shows them.

use std::time::Duration;

use hostler_tests::hosts::{Host, Lab};
use hostler_tests::lab::{Agent, Manager, Options, until};
use serde_json::{Value, json};

/// How long something may take here that takes no time by itself.
pub const SOON: Duration = Duration::from_secs(60);

/// A script that says with what it was called: its arguments, the variables of its hook and its standard input.
pub const TELL: &str =
    "#!/bin/sh\nfor a in \"$@\"; do printf 'arg=<%s>\\n' \"$a\"; done\nenv | grep ^HOOK_\necho \"in=$(cat)\"\n";

/// Whoever an agent runs on.
pub trait Logs {
    /// What the agent logged.
    fn log(&self) -> String;
}

impl Logs for Agent {
    fn log(&self) -> String {
        Self::log(self)
    }
}

impl Logs for Host<'_> {
    fn log(&self) -> String {
        self.agent_log()
    }
}

/// A manager and one host with the role `management`.
pub struct Site<A = Agent> {
    /// The manager.
    pub manager: Manager,
    /// The agent of the host, or the host itself where it is one of a laboratory.
    pub agent: A,
    /// The number of the host in the croit dialect.
    pub number: i64,
}

impl Site {
    /// With further settings of the manager.
    pub async fn start(settings: &str) -> Self {
        Self::within(settings, &[]).await
    }

    /// With variables in the environment of the agent.
    pub async fn within(settings: &str, environment: &[(&str, String)]) -> Self {
        let manager = Manager::with(Options { settings: settings.to_owned(), ..Options::default() }).await.unwrap();
        let mut agent = Agent::joined(&manager, "node").await.unwrap();
        agent.environment = environment.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let roles = json!({ "roles": ["management"] });
        let answer = manager.call("PATCH", "/api/hosts/node", Some(roles)).await.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        agent.run().unwrap();
        manager.host_is("node", "online").await.unwrap();
        let number = manager.get("/api/hosts/node").await.unwrap()["number"].as_i64().unwrap();
        Self { manager, agent, number }
    }

    /// Waits until the agent keeps the hook of that event.
    pub async fn hook_arrived(&self, event: &str) {
        // The finished file alone: what is being written beside it may be lost with the agent.
        let file = self.agent.state_dir().join("assignment.json");
        let arrived = async || Ok(std::fs::read_to_string(&file).is_ok_and(|text| text.contains(event)));
        until(SOON, &format!("the agent knows of {event}"), arrived).await.unwrap();
    }
}

impl<'a> Site<Host<'a>> {
    /// A manager in a laboratory, and a host there that has joined it.
    pub async fn of_host(lab: &Lab, host: Host<'a>) -> Self {
        let manager = lab.start_manager(Options::default()).await.unwrap();
        host.enlist(&manager).await.unwrap();
        let path = format!("/api/hosts/{}", host.name());
        let roles = json!({ "roles": ["management"] });
        let answer = manager.call("PATCH", &path, Some(roles)).await.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        let number = manager.get(&path).await.unwrap()["number"].as_i64().unwrap();
        Self { manager, agent: host, number }
    }
}

impl<A: Logs> Site<A> {
    /// A POST that succeeds, and what it answers.
    pub async fn post(&self, path: &str, body: Value) -> Value {
        let answer = self.manager.call("POST", path, Some(body)).await.unwrap();
        assert!((200..300).contains(&answer.status), "{path}: {answer:?}");
        answer.body
    }

    /// Uploads a script.
    pub async fn script(&self, name: &str, contents: &str) -> i64 {
        let body = json!({ "name": name, "contents": contents });
        self.post("/api/events/scripts", body).await["id"].as_i64().unwrap()
    }

    /// Uploads a script and binds it to an event on all hosts; `more` are further fields of the hook.
    pub async fn hook(&self, event: &str, contents: &str, more: Value) {
        let mut hook = json!({ "event": event, "allServers": true, "stdin": "json" });
        hook.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let body = json!({ "name": format!("at-{event}"), "contents": contents, "hooks": [hook] });
        self.post("/api/events/hook-scripts", body).await;
    }

    /// Runs a script with arguments on the host.
    pub async fn execute(&self, script: i64, args: &[&str]) -> i64 {
        let body = json!({ "scriptId": script, "args": args, "servers": [self.number] });
        let task = self.post("/api/events/scripts/execute", body).await;
        assert_eq!(task["done"], false, "{task}");
        task["id"].as_i64().unwrap()
    }

    /// Asks for a step on the host.
    pub async fn step(&self, step: Value) -> i64 {
        let task = self.post(&format!("/api/servers/{}/steps", self.number), json!({ "step": step })).await;
        task["id"].as_i64().unwrap()
    }

    /// Waits until a task is as wanted.
    pub async fn task_until(&self, id: i64, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let path = format!("/api/tasks/{id}");
        let mut seen = Value::Null;
        let done = until(SOON, what, async || {
            let task = self.manager.get(&path).await?;
            let done = wanted(&task);
            tokio::task::yield_now().await;
            Ok(done)
        })
        .await;
        if let Ok(task) = self.manager.get(&path).await {
            seen = task;
        }
        assert!(done.is_ok(), "{what}: {seen}\n{}", self.agent.log());
        seen
    }

    /// Waits for the end of a task.
    pub async fn done(&self, id: i64) -> Value {
        self.task_until(id, "the task ends", |task| task["done"] == true).await
    }

    /// All tasks of the hook of an event, the oldest first.
    pub async fn tasks_of(&self, event: &str) -> Vec<Value> {
        let tasks = self.manager.get("/api/tasks").await.unwrap();
        let prefix = format!("Hook {event}:");
        let of_it = |task: &&Value| task["name"].as_str().is_some_and(|name| name.starts_with(&prefix));
        let mut tasks: Vec<Value> = tasks["data"].as_array().unwrap().iter().filter(of_it).cloned().collect();
        tasks.sort_by_key(|task| task["id"].as_i64());
        tasks
    }

    /// Waits until the hook of an event has run for the `nth` time, counted from 1, and returns that task.
    pub async fn fired(&self, event: &str, nth: usize, limit: Duration) -> Value {
        let enough = until(limit, event, async || Ok(self.tasks_of(event).await.len() >= nth)).await;
        assert!(enough.is_ok(), "{event} did not fire\n{}", self.agent.log());
        let task = self.done(self.tasks_of(event).await[nth - 1]["id"].as_i64().unwrap()).await;
        assert_eq!(task["state"], "FINISHED", "{task}");
        task
    }
}

/// The arguments that [`TELL`] said.
pub fn arguments(task: &Value) -> Vec<String> {
    let lines = task["output"].as_str().unwrap().lines();
    lines.filter_map(|line| line.strip_prefix("arg=<")?.strip_suffix('>')).map(str::to_owned).collect()
}

/// A variable that [`TELL`] said.
pub fn variable(task: &Value, name: &str) -> Option<String> {
    let lines = task["output"].as_str().unwrap().lines();
    lines.filter_map(|line| line.split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
}

/// The document that [`TELL`] read.
pub fn document(task: &Value) -> Value {
    serde_json::from_str(&variable(task, "in").unwrap()).unwrap()
}
