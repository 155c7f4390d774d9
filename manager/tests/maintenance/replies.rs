//! What projects are asked and what they answer (spec/maintenance.md §1.9, §1.13; §9, 8).

use std::sync::Arc;
use std::time::Duration;

use hostler_common::time::Clock as _;
use hostler_core::maintenance::instance::{Instance, InstanceState, Size};
use hostler_core::maintenance::state::State;
use hostler_manager::capability::Capability;
use hostler_manager::engine::compute::Memory;
use serde_json::{Value, json};

use super::site::Site;

const SMALL: Size = Size { vcpus: 1, memory_mib: 512, disk_gib: 1 };
const LARGE: Size = Size { vcpus: 8, memory_mib: 4096, disk_gib: 8 };

/// A session over two hosts with two instances of `ann`, who is asked whether it may begin.
struct Asked {
    site: Site,
    ann: String,
    anns: String,
    bob: String,
    bobs: String,
    id: String,
}

impl Asked {
    async fn new(settings: &str) -> Self {
        let fleet = Arc::new(Memory::default());
        let site = Site::with_instances(&format!("{}{settings}", Site::guarded_settings()), Arc::clone(&fleet)).await;
        let ((ann, anns), (bob, bobs)) = (site.person("ann", "member").await, site.person("bob", "member").await);
        for (host, instance) in [("kvm-a07", "i-1"), ("kvm-a08", "i-2")] {
            let host = site.host(host, &["compute"]).await;
            fleet.add_host(host, LARGE);
            fleet.put(Instance {
                id: instance.into(),
                name: format!("name of {instance}"),
                project: anns.clone(),
                host,
                state: InstanceState::Active,
                size: SMALL,
                can_live_migrate: true,
                needs: Vec::new(),
                group: None,
                busy: false,
            });
        }
        site.listen_for(&anns).await;
        let body = json!({"maintenance_at": "2031-04-12 22:00:00", "hosts": []});
        let body = site.of("admin", "POST", "/v1/maintenance", &body).await.is(200);
        let id = body["session_id"].as_str().unwrap().to_owned();
        site.run_due().await;
        Self { site, ann, anns, bob, bobs, id }
    }

    fn path(&self) -> String {
        format!("/v1/maintenance/{}/{}", self.id, self.anns)
    }

    async fn put(&self, body: Value) -> super::site::Answer {
        self.site.of(&self.ann, "PUT", &self.path(), &body).await
    }

    async fn project_state(&self) -> Value {
        let path = format!("/v1/maintenance/{}/detail", self.id);
        let detail = self.site.of("admin", "GET", &path, &Value::Null).await.is(200);
        detail["projects"][0]["state"].clone()
    }
}

#[tokio::test]
async fn a_project_is_asked_and_answers() {
    let asked = Asked::new("").await;
    let site = &asked.site;
    assert_eq!(asked.project_state().await, "MAINTENANCE");
    let listed = site.of(&asked.ann, "GET", &asked.path(), &Value::Null).await.is(200);
    assert_eq!(listed, json!({"instance_ids": ["i-1", "i-2"]}));
    let one = site.of(&asked.ann, "GET", &format!("{}/i-1", asked.path()), &Value::Null).await.is(200);
    assert_eq!((&one["instance_ids"], one["reply_at"].is_string()), (&json!(["i-1"]), true));
    site.of(&asked.ann, "GET", &format!("{}/i-9", asked.path()), &Value::Null).await.error(404);

    // Nothing of this changes anything.
    asked.put(json!({"state": "ACK_LUNCH"})).await.error(422);
    asked.put(json!({"state": "ACK_PLANNED_MAINTENANCE", "instance_actions": {"i-1": "MIGRATE"}})).await.error(409);
    asked.put(json!({"state": "ACK_START_MAINTENANCE"})).await.error(409);
    asked.put(json!({"state": "ACK_MAINTENANCE", "session_id": asked.anns})).await.error(422);
    site.of(&asked.bob, "PUT", &asked.path(), &json!({"state": "NACK_MAINTENANCE"})).await.error(404);
    let foreign = format!("/v1/maintenance/{}/{}", asked.id, asked.bobs);
    site.of(&asked.bob, "PUT", &foreign, &json!({"state": "NACK_MAINTENANCE"})).await.error(404);
    assert_eq!(asked.project_state().await, "MAINTENANCE");

    // As one client sends it, with what it does not need, and twice.
    let reply = json!({"session_id": asked.id, "state": "ACK_MAINTENANCE", "instance_ids": ["i-1", "i-2"]});
    for _ in 0..2 {
        assert_eq!(asked.put(reply.clone()).await.is(200), reply, "echoed");
        assert_eq!(asked.project_state().await, "ACK_MAINTENANCE");
    }
    let noted = json!({"state": "ACK_INSTANCE_ACTION_DONE", "session_id": asked.id});
    assert_eq!(asked.put(noted.clone()).await.is(200), noted);
    assert_eq!(asked.project_state().await, "ACK_MAINTENANCE");
    let state = site.of("admin", "GET", &format!("/v1/maintenance/{}", asked.id), &Value::Null).await.is(200);
    assert_eq!(state["state"], "MAINTENANCE", "until its time has come");
}

#[tokio::test]
async fn replies_to_what_is_not_there() {
    let asked = Asked::new("").await;
    let nowhere = format!("/v1/maintenance/{}/{}", uuid::Uuid::nil(), asked.anns);
    let reply = json!({"state": "ACK_MAINTENANCE"});
    asked.site.of(&asked.ann, "PUT", &nowhere, &reply).await.error(404);
    let path = format!("/v1/maintenance/{}", asked.id);
    asked.site.of("admin", "DELETE", &path, &Value::Null).await.is(200);
    asked.put(reply).await.error(404);
}

#[tokio::test]
async fn spec_9_08_replies_that_do_not_count_change_nothing() {
    let asked = Asked::new("").await;
    let site = &asked.site;
    let path = format!("/v1/maintenance/{}", asked.id);
    let detail = async || site.of("admin", "GET", &format!("{path}/detail"), &Value::Null).await.is(200);
    let before = detail().await;
    // In another state, in none, with what contradicts the path.
    for (reply, status) in [
        (json!({"state": "ACK_MAINTENANCE_COMPLETE"}), 409),
        (json!({"state": "NACK_SCALE_IN"}), 409),
        (json!({"state": "ACK_DOWN_SCALE"}), 409),
        (json!({"state": "ACK_PLANNED_MAINTENANCE", "instance_actions": {"i-1": "MIGRATE"}}), 409),
        (json!({"state": "ACK_START_MAINTENANCE"}), 409),
        (json!({"state": "ACK_LUNCH"}), 422),
        (json!({"state": "MAINTENANCE"}), 422),
        (json!({"state": "ACK_MAINTENANCE", "session_id": asked.anns}), 422),
        (json!({}), 422),
    ] {
        let refused = asked.put(reply.clone()).await;
        if status == 409 {
            let body = refused.is(409);
            assert_eq!((&body["state"], body["code"].as_str()), (&json!("MAINTENANCE"), Some("conflict")), "{reply}");
        } else {
            refused.error(status);
        }
    }
    // By somebody else, for themselves and for others.
    let refusal = json!({"state": "NACK_MAINTENANCE"});
    site.of(&asked.bob, "PUT", &asked.path(), &refusal).await.error(404);
    site.of(&asked.bob, "PUT", &format!("{}/i-1", asked.path()), &refusal).await.error(404);
    site.of(&asked.bob, "PUT", &format!("{path}/{}", asked.bobs), &refusal).await.error(404);
    site.of("reader", "PUT", &asked.path(), &refusal).await.error(404);
    assert_eq!(detail().await, before);
    // Late, by five seconds.
    site.clock.advance(Duration::from_secs(45));
    asked.put(json!({"state": "ACK_MAINTENANCE"})).await.error(409);
    asked.put(refusal.clone()).await.error(409);
    assert_eq!(detail().await, before);
    // Asked once more, answered twice.
    site.run_due().await;
    asked.put(json!({"state": "ACK_MAINTENANCE"})).await.is(200);
    let agreed = detail().await;
    assert_eq!(agreed["projects"][0]["state"], "ACK_MAINTENANCE");
    asked.put(json!({"state": "ACK_MAINTENANCE"})).await.is(200);
    assert_eq!(detail().await, agreed);
    // Whoever agreed may think better of it while there is time, and not afterwards.
    site.clock.advance(Duration::from_secs(45));
    asked.put(refusal).await.error(409);
    assert_eq!(detail().await, agreed);
    asked.put(json!({"state": "ACK_MAINTENANCE"})).await.is(200);
    assert_eq!(detail().await, agreed, "a repetition is harmless at any time");
}

#[tokio::test]
async fn a_link_carries_the_right_to_one_answer() {
    let on = "[maintenance]\ncapability_links = true\n";
    for settings in [on, ""] {
        let asked = Asked::new(settings).await;
        let site = &asked.site;
        let until = site.clock.now().after(Duration::from_secs(40));
        let right = Capability { state: State::Maintenance, until };
        let link = right.link(site.api.hooks.vault(), &asked.path()).unwrap();
        let with = |path: &str| format!("{path}?{}", link.split_once('?').unwrap().1);
        let put =
            async |path: &str, state: &str| site.call("PUT", path, &[], &json!({"state": state}).to_string()).await;
        if settings.is_empty() {
            put(&link, "ACK_MAINTENANCE").await.error(401);
            continue;
        }
        let listed = site.get(&link).await.is(200);
        assert_eq!(listed, json!({"instance_ids": ["i-1", "i-2"]}));
        // For nothing else, and not for whoever shows another proof that does not hold.
        put(&link, "ACK_SCALE_IN").await.error(403);
        for path in [format!("/v1/maintenance/{}/{}", asked.id, asked.bobs), format!("{}/i-1", asked.path())] {
            put(&with(&path), "ACK_MAINTENANCE").await.error(401);
        }
        let session = format!("/v1/maintenance/{}", asked.id);
        site.get(&with(&session)).await.error(401);
        site.get(&with(&format!("{session}/detail"))).await.error(401);
        site.call("GET", &link, &[("x-auth-token", "wrong")], "").await.error(401);
        put(&asked.path(), "ACK_MAINTENANCE").await.error(401);
        assert_eq!(asked.project_state().await, "MAINTENANCE");
        put(&link, "ACK_MAINTENANCE").await.is(200);
        assert_eq!(asked.project_state().await, "ACK_MAINTENANCE");
        site.clock.advance(Duration::from_secs(41));
        site.get(&link).await.error(401);
    }
}

#[tokio::test]
async fn a_refusal_is_noticed_at_once() {
    let asked = Asked::new("[maintenance.policy]\non_nack = [\"fail\"]\n").await;
    asked.put(json!({"state": "NACK_MAINTENANCE"})).await.is(200);
    let path = format!("/v1/maintenance/{}", asked.id);
    let state = asked.site.of("admin", "GET", &path, &Value::Null).await.is(200)["state"].clone();
    assert_eq!(state, "MAINTENANCE_FAILED");
    let detail = asked.site.of("admin", "GET", &format!("{path}/detail"), &Value::Null).await.is(200);
    assert!(detail["reason"]["code"].is_string(), "{detail}");
    // The last list can still be had.
    asked.site.of(&asked.ann, "GET", &asked.path(), &Value::Null).await.is(200);
}
