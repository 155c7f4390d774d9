//! A session as its administrator sees it.

use std::collections::BTreeMap;
use std::time::Duration;

use hostler_tests::lab::{Manager, until};
use serde_json::{Value, json};

/// How long a session over a few hosts may take that do next to nothing.
pub const SOON: Duration = Duration::from_secs(120);

/// A moment that is over: a session begins as soon as it can.
pub const NOW: &str = "2020-01-01 00:00:00";

/// A session of a manager.
#[derive(Clone, Debug)]
pub struct Session {
    /// Its id.
    pub id: String,
}

/// A script of the library, as an action of all hosts.
pub fn script(name: &str) -> Value {
    json!({ "plugin": "script", "type": "host", "metadata": { "script": name } })
}

/// Puts a script into the library.
pub async fn upload(manager: &Manager, name: &str, contents: &str) -> i64 {
    let body = json!({ "name": name, "contents": contents });
    let answer = manager.call("POST", "/api/events/scripts", Some(body)).await.unwrap();
    assert!(answer.status < 300, "{answer:?}");
    answer.body["id"].as_i64().unwrap()
}

impl Session {
    /// Creates one; `wanted` is the body, to which the moment is added. Guests do not matter where it does not say that they do:
    /// agents that run on this machine see those of whoever runs the tests, and of other tests' containers.
    pub async fn create(manager: &Manager, mut wanted: Value) -> Self {
        wanted["maintenance_at"] = NOW.into();
        let guests = &mut wanted["policy"]["compute_mode"];
        if guests.is_null() {
            *guests = "ignore".into();
        }
        let answer = manager.call("POST", "/v1/maintenance", Some(wanted)).await.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        Self { id: answer.body["session_id"].as_str().unwrap().to_owned() }
    }

    fn path(&self, rest: &str) -> String {
        format!("/v1/maintenance/{}{rest}", self.id)
    }

    /// Its state.
    pub async fn state(&self, manager: &Manager) -> String {
        let shown = manager.get(&self.path("")).await.unwrap();
        shown["state"].as_str().unwrap().to_owned()
    }

    /// All that is shown of it, also after it was deleted.
    pub async fn detail(&self, manager: &Manager) -> Value {
        manager.get(&self.path("/detail")).await.unwrap()
    }

    /// What is shown of one of its hosts.
    pub async fn host(&self, manager: &Manager, name: &str) -> Value {
        let detail = self.detail(manager).await;
        let hosts = detail["hosts"].as_array().unwrap();
        hosts.iter().find(|host| host["hostname"] == name).unwrap_or_else(|| panic!("no {name}: {detail}")).clone()
    }

    /// Everything that was done, in its order.
    pub async fn steps(&self, manager: &Manager) -> Vec<Value> {
        let (mut all, mut after) = (Vec::new(), json!(0));
        while !after.is_null() {
            let page = manager.get(&self.path(&format!("/steps?limit=500&after={after}"))).await.unwrap();
            all.extend(page["steps"].as_array().unwrap().iter().cloned());
            after = page["next"].clone();
        }
        all
    }

    /// How often each step of a host was done, by its name.
    pub async fn done(&self, manager: &Manager, host: &str) -> BTreeMap<String, usize> {
        let mut count = BTreeMap::new();
        for step in self.steps(manager).await.iter().filter(|step| step["host"] == host && step["state"] == "DONE") {
            *count.entry(step["name"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        count
    }

    /// An order that is taken.
    pub async fn update(&self, manager: &Manager, order: Value) -> Value {
        let answer = manager.call("PUT", &self.path(""), Some(order)).await.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    /// Deletes it: nobody finds it any more.
    pub async fn delete(&self, manager: &Manager) {
        let answer = manager.call("DELETE", &self.path(""), None).await.unwrap();
        assert_eq!((answer.status, &answer.body), (200, &json!({})));
        assert_eq!(manager.call("GET", &self.path(""), None).await.unwrap().status, 404);
    }

    /// Waits until something of what is shown is so.
    pub async fn wait(&self, manager: &Manager, limit: Duration, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let seen = until(limit, what, async || {
            tokio::time::sleep(Duration::from_millis(200)).await;
            Ok(wanted(&self.detail(manager).await))
        })
        .await;
        if seen.is_err() {
            panic!("not within {limit:?}: {what}\n{}", self.told(manager).await);
        }
        self.detail(manager).await
    }

    /// Waits until it is over, in that state.
    pub async fn ends(&self, manager: &Manager, limit: Duration, state: &str) -> Value {
        let over = |detail: &Value| matches!(detail["state"].as_str(), Some("MAINTENANCE_DONE" | "MAINTENANCE_FAILED"));
        let detail = self.wait(manager, limit, "the session ends", over).await;
        assert_eq!(detail["state"], state, "{}", self.told(manager).await);
        detail
    }

    /// Waits until it is deleted and has given back its hosts.
    pub async fn unwound(&self, manager: &Manager, limit: Duration) {
        let what = "the deleted session has given everything back";
        self.wait(manager, limit, what, |detail| detail["phase"] == "over").await;
    }

    /// Its whole story, for people who wonder why a test failed.
    pub async fn told(&self, manager: &Manager) -> String {
        let detail = self.detail(manager).await;
        let mut text = format!("{} {} {}\n", detail["state"], detail["reason"], detail["warnings"]);
        for host in detail["hosts"].as_array().unwrap() {
            text += &format!("  {} {} {}\n", host["hostname"], host["phase"], host["reason"]);
        }
        for step in self.steps(manager).await {
            let shown = ["started_at", "finished_at", "host", "kind", "name", "attempt", "state"].map(|key| &step[key]);
            let shown = shown.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
            text += &format!("  {} {}\n", shown.join(" "), step["error"]);
        }
        text
    }
}
