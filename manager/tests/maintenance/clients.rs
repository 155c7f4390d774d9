//! Clients as they exist, from what they send and read (spec/maintenance.md §1.13): the manager of an application that answers
//! for all of its instances at once, the manager of a network function that answers for each, and the one that sends every
//! answer twice and wants exactly 200.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::crew::{Client, Crew};

/// The ids behind a notification: a list, or a link to one.
async fn ids(crew: &Crew, token: &str, notice: &Value) -> Vec<String> {
    let listed = match &notice["instance_ids"] {
        Value::String(link) => crew.site.of(token, "GET", link, &Value::Null).await.is(200)["instance_ids"].clone(),
        list => list.clone(),
    };
    serde_json::from_value(listed).unwrap()
}

fn state(notice: &Value) -> &str {
    notice["state"].as_str().unwrap()
}

fn reply_url(notice: &Value) -> &str {
    notice["reply_url"].as_str().unwrap()
}

/// The manager of an application: it answers for all of its instances at once.
pub struct Sample {
    pub token: String,
    pub project: String,
    /// Its servers.
    pub own: BTreeSet<String>,
    /// What it gives up when it is asked to shrink.
    pub spare: Vec<String>,
}

impl Sample {
    pub fn new((token, project): (String, String), own: &[&str], spare: &[&str]) -> Self {
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        Self { token, project, own: texts(own).into_iter().collect(), spare: texts(spare) }
    }
}

impl Client for Sample {
    fn project(&self) -> &str {
        &self.project
    }

    async fn told(&mut self, crew: &Crew, notice: &Value) {
        let state = state(notice);
        if state == "INSTANCE_ACTION_DONE" {
            return;
        }
        let listed = ids(crew, &self.token, notice).await;
        // Servers that it does not know make it refuse.
        let all_known = listed.iter().all(|id| self.own.contains(id));
        let mut reply = json!({"session_id": notice["session_id"], "instance_ids": listed});
        let word = if all_known { "ACK" } else { "NACK" };
        reply["state"] = format!("{word}_{state}").into();
        match state {
            "SCALE_IN" => {
                for id in self.spare.drain(..) {
                    crew.compute.remove(&id);
                    self.own.remove(&id);
                }
            }
            "PREPARE_MAINTENANCE" | "PLANNED_MAINTENANCE" => {
                assert!(notice["allowed_actions"].as_array().unwrap().contains(&json!("MIGRATE")), "{notice}");
                reply["instance_actions"] = listed.iter().map(|id| (id.clone(), json!("MIGRATE"))).collect();
            }
            "MAINTENANCE" | "MAINTENANCE_COMPLETE" => assert_eq!(notice["allowed_actions"], json!([])),
            other => panic!("{other} is not known to this client"),
        }
        let echoed = crew.site.of(&self.token, "PUT", reply_url(notice), &reply).await.is(200);
        assert_eq!(echoed, reply);
    }
}

/// The manager of a network function: it has said what its instances need, and answers for each.
pub struct Vnfm {
    pub token: String,
    pub project: String,
    pub group: String,
    pub own: BTreeSet<String>,
}

impl Vnfm {
    /// What it says of its servers before anything happens.
    pub async fn begin(crew: &Crew, (token, project): (String, String), group: &str, own: &[&str], most: u32) -> Self {
        let of_group = json!({
            "group_id": group, "project_id": project, "group_name": "ha", "anti_affinity_group": false,
            "max_instances_per_host": 0, "max_impacted_members": most, "recovery_time": 0, "resource_mitigation": true,
        });
        crew.site.of(&token, "PUT", &format!("/v1/instance_group/{group}"), &of_group).await.is(200);
        for id in own {
            let record = json!({
                "instance_id": id, "project_id": project, "group_id": group, "instance_name": format!("name of {id}"),
                "max_interruption_time": 120, "migration_type": "MIGRATE", "resource_mitigation": true, "lead_time": 40,
            });
            crew.site.of(&token, "PUT", &format!("/v1/instance/{id}"), &record).await.is(200);
        }
        Self { token, project, group: group.into(), own: own.iter().map(|id| (*id).to_owned()).collect() }
    }

    /// What it takes back at the end.
    pub async fn end(&self, crew: &Crew) {
        for id in &self.own {
            let gone = crew.site.of(&self.token, "DELETE", &format!("/v1/instance/{id}"), &Value::Null).await;
            assert_eq!(gone.is(200), json!({}));
        }
        let path = format!("/v1/instance_group/{}", self.group);
        crew.site.of(&self.token, "DELETE", &path, &Value::Null).await.is(200);
    }

    async fn gives_up(&mut self, crew: &Crew, ids: Vec<String>) {
        for id in ids {
            assert!(self.own.remove(&id), "{id} is not its own");
            crew.compute.remove(&id);
            crew.site.of(&self.token, "DELETE", &format!("/v1/instance/{id}"), &Value::Null).await.is(200);
        }
    }
}

impl Client for Vnfm {
    fn project(&self) -> &str {
        &self.project
    }

    async fn told(&mut self, crew: &Crew, notice: &Value) {
        let state = state(notice);
        if state == "INSTANCE_ACTION_DONE" {
            return;
        }
        let listed = ids(crew, &self.token, notice).await;
        assert!(listed.iter().all(|id| self.own.contains(id)), "{listed:?}");
        let mut reply = json!({"state": format!("ACK_{state}")});
        match state {
            "SCALE_IN" => self.gives_up(crew, listed).await,
            "PREPARE_MAINTENANCE" | "PLANNED_MAINTENANCE" => {
                assert!(notice["instance_ids"].is_array() && listed.len() == 1, "{notice}");
                assert!(reply_url(notice).ends_with(&format!("/{}", listed[0])), "{notice}");
                reply["instance_action"] = "MIGRATE".into();
            }
            _ => {}
        }
        crew.site.of(&self.token, "PUT", reply_url(notice), &reply).await.is(200);
    }
}

/// The one that sends every answer twice, refuses while it is busy, and wants exactly 200.
pub struct Tacker {
    pub token: String,
    pub project: String,
    /// How often it still refuses what it is asked about its instances, because it is busy.
    pub busy: u32,
    /// How many answers it sent, and how many of them had to be sent again.
    pub sent: (u32, u32),
}

impl Tacker {
    pub fn new((token, project): (String, String), busy: u32) -> Self {
        Self { token, project, busy, sent: (0, 0) }
    }

    /// Sends an answer until it is taken with exactly 200, five times at the most.
    async fn send(&mut self, crew: &Crew, url: &str, reply: &Value) {
        for attempt in 0..5 {
            self.sent.0 += 1;
            self.sent.1 += u32::from(attempt > 0);
            if crew.site.of(&self.token, "PUT", url, reply).await.status == 200 {
                return;
            }
        }
        panic!("{url} was never answered with 200: {reply}");
    }
}

impl Client for Tacker {
    fn project(&self) -> &str {
        &self.project
    }

    async fn told(&mut self, crew: &Crew, notice: &Value) {
        let (state, url) = (state(notice), reply_url(notice).to_owned());
        assert!(["session_id", "instance_ids", "reply_url"].iter().all(|key| !notice[*key].is_null()), "{notice}");
        if state == "INSTANCE_ACTION_DONE" {
            let reply = json!({"state": "ACK_INSTANCE_ACTION_DONE", "session_id": notice["session_id"]});
            return self.send(crew, &url, &reply).await;
        }
        let of_instance = matches!(state, "PREPARE_MAINTENANCE" | "PLANNED_MAINTENANCE");
        let refuses = of_instance && self.busy > 0;
        self.busy -= u32::from(refuses);
        let word = if refuses { "NACK" } else { "ACK" };
        let mut reply = json!({"state": format!("{word}_{state}"), "session_id": notice["session_id"]});
        if of_instance {
            // It looks at the first of each list only.
            reply["instance_ids"] = notice["instance_ids"][0].clone();
            reply["instance_action"] = notice["allowed_actions"][0].clone();
        }
        // Two of its code paths send the same.
        for _ in 0..1 + u32::from(of_instance) {
            self.send(crew, &url, &reply).await;
        }
    }
}
