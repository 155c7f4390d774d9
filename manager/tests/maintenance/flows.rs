//! Whole sessions over HTTP with the clients that exist (spec/maintenance.md §9, 4 to 7).

use std::time::Duration;

use serde_json::{Value, json};

use super::clients::{Sample, Tacker, Vnfm};
use super::crew::{Crew, Nobody, distinct};

const GROUP: &str = "0b1f2c3d-1111-4222-8333-444455556666";

/// Hosts may be filled up to the last processor.
const FULL: &str = "[maintenance.policy]\ncapacity_reserve = 0\n";

/// The states in the order in which each was seen first.
fn firsts(seen: &[String]) -> Vec<&str> {
    let mut firsts: Vec<&str> = Vec::new();
    for state in seen {
        if !firsts.contains(&state.as_str()) {
            firsts.push(state);
        }
    }
    firsts
}

#[tokio::test]
async fn spec_9_04_the_administrators_scenario_without_hosts_named() {
    let mut crew = Crew::new(3, "").await;
    let id = crew.session(json!({})).await;
    let end = crew.finish(&id, &mut [Nobody]).await;
    assert_eq!(end, "MAINTENANCE_DONE", "{}", crew.detail(&id).await);
    assert_eq!(
        firsts(&crew.seen),
        ["MAINTENANCE", "START_MAINTENANCE", "MAINTENANCE_COMPLETE", "MAINTENANCE_DONE"],
        "{:?}",
        crew.seen
    );
    let detail = crew.detail(&id).await;
    assert_eq!((&detail["percent_done"], &detail["continue_with"]), (&json!(100), &Value::Null));
    for host in detail["hosts"].as_array().unwrap() {
        assert_eq!(
            (&host["maintained"], &host["disabled"], &host["phase"]),
            (&true.into(), &false.into(), &"done".into())
        );
    }
    let path = format!("/v1/maintenance/{id}");
    // What is over stays as it is until it is deleted.
    crew.site.clock.advance(Duration::from_secs(3600));
    crew.site.run_due().await;
    assert_eq!(crew.state(&id).await, "MAINTENANCE_DONE");
    assert_eq!(crew.site.of("admin", "DELETE", &path, &Value::Null).await.is(200), json!({}));
    crew.site.of("admin", "GET", &path, &Value::Null).await.error(404);
    crew.free().await;
}

#[tokio::test]
async fn spec_9_05_full_hosts_and_clients_that_answer_for_all_instances_at_once() {
    let mut crew = Crew::new(3, FULL).await;
    let (ann, bob) = (crew.site.person("ann", "member").await, crew.site.person("bob", "member").await);
    for (id, project, host) in [
        ("a1", &ann.1, 0),
        ("b1", &bob.1, 0),
        ("a2", &ann.1, 1),
        ("b2", &bob.1, 1),
        ("a3", &ann.1, 2),
        ("a4", &ann.1, 2),
    ] {
        crew.instance(id, project, host);
    }
    for project in [&ann.1, &bob.1] {
        crew.site.listen_for(project).await;
    }
    let (anns, bobs) = (ann.1.clone(), bob.1.clone());
    // What they give up leaves room, but no host empty.
    let mut clients = [Sample::new(ann, &["a1", "a2", "a3", "a4"], &["a1"]), Sample::new(bob, &["b1", "b2"], &["b2"])];
    let id = crew.session(json!({})).await;
    let end = crew.finish(&id, &mut clients).await;
    assert_eq!(end, "MAINTENANCE_DONE", "{}", crew.detail(&id).await);
    let order = firsts(&crew.seen);
    let want = [
        "MAINTENANCE",
        "SCALE_IN",
        "PREPARE_MAINTENANCE",
        "START_MAINTENANCE",
        "PLANNED_MAINTENANCE",
        "MAINTENANCE_COMPLETE",
        "MAINTENANCE_DONE",
    ];
    assert_eq!(order, want, "{:?}", crew.seen);
    for project in [&anns, &bobs] {
        let told = crew.told(project);
        for state in ["MAINTENANCE", "SCALE_IN", "MAINTENANCE_COMPLETE"] {
            assert_eq!(told.iter().filter(|one| **one == state).count(), 1, "{state}: {told:?}");
        }
        assert!(told.contains(&"INSTANCE_ACTION_DONE"), "{told:?}");
    }
    let detail = crew.detail(&id).await;
    let instances = detail["instances"].as_array().unwrap();
    assert!(instances.iter().all(|one| one["action"] == "MIGRATE" && one["action_done"] == true), "{instances:?}");
    assert_eq!(instances.len(), 4, "those that were given up are gone");
    crew.free().await;
}

#[tokio::test]
async fn spec_9_05_full_hosts_and_a_client_that_answers_for_each_instance() {
    let mut crew = Crew::new(3, FULL).await;
    let ann = crew.site.person("ann", "member").await;
    let names = ["a1", "a2", "a3", "a4", "a5", "a6"];
    for (n, id) in names.iter().enumerate() {
        crew.instance(id, &ann.1, n / 2);
    }
    crew.site.listen_for(&ann.1).await;
    let mut client = [Vnfm::begin(&crew, ann, GROUP, &names, 2).await];
    let id = crew.session(json!({"workflow": "vnf"})).await;
    let end = crew.finish(&id, &mut client).await;
    assert_eq!(end, "MAINTENANCE_DONE", "{}", crew.detail(&id).await);
    let told = crew.told(&client[0].project);
    assert_eq!(told.iter().filter(|state| **state == "SCALE_IN").count(), 1, "{told:?}");
    // Two of six instances went, as many as fill a host; the other hosts were emptied one instance after the other.
    assert_eq!(client[0].own.len(), 4);
    assert_eq!(told.iter().filter(|state| **state == "PLANNED_MAINTENANCE").count(), 4, "{told:?}");
    assert_eq!(told.iter().filter(|state| **state == "INSTANCE_ACTION_DONE").count(), 4, "{told:?}");
    let want = ["MAINTENANCE", "SCALE_IN", "START_MAINTENANCE", "PLANNED_MAINTENANCE"];
    assert_eq!(firsts(&crew.seen)[..4], want, "{:?}", crew.seen);
    client[0].end(&crew).await;
    crew.free().await;
}

/// Two hosts with an instance each and one that is empty, all of a project that sends every answer twice.
async fn twice(settings: &str, busy: u32) -> (Crew, [Tacker; 1]) {
    let crew = Crew::new(3, settings).await;
    let ann = crew.site.person("ann", "member").await;
    crew.site.listen_for(&ann.1).await;
    for (n, id) in ["t1", "t2"].iter().enumerate() {
        crew.instance(id, &ann.1, n);
    }
    Vnfm::begin(&crew, ann.clone(), GROUP, &["t1", "t2"], 1).await;
    (crew, [Tacker::new(ann, busy)])
}

#[tokio::test]
async fn spec_9_06_a_client_that_sends_all_twice_and_refuses_while_it_is_busy() {
    let (mut crew, mut client) = twice("", 2).await;
    let id = crew.session(json!({"workflow": "vnf"})).await;
    let end = crew.finish(&id, &mut client).await;
    assert_eq!(end, "MAINTENANCE_DONE", "{}", crew.detail(&id).await);
    let project = client[0].project.clone();
    let told = crew.told(&project);
    let known = [
        "MAINTENANCE",
        "SCALE_IN",
        "PREPARE_MAINTENANCE",
        "PLANNED_MAINTENANCE",
        "MAINTENANCE_COMPLETE",
        "INSTANCE_ACTION_DONE",
    ];
    assert!(distinct(&told).iter().all(|state| known.contains(&state.as_str())), "{told:?}");
    // Two questions, and two more because it refused twice.
    assert_eq!(told.iter().filter(|state| **state == "PLANNED_MAINTENANCE").count(), 4, "{told:?}");
    assert_eq!(client[0].sent.1, 0, "each was taken at once");
    for path in ["/v1/instance/t1".into(), "/v1/instance/t2/".into(), format!("/v1/instance_group/{GROUP}")] {
        assert_eq!(crew.site.of(&client[0].token, "DELETE", &path, &Value::Null).await.is(200), json!({}));
    }
    crew.free().await;
}

#[tokio::test]
async fn spec_9_06_an_agreement_to_shrink_proves_nothing() {
    let mut crew = Crew::new(2, FULL).await;
    let ann = crew.site.person("ann", "member").await;
    crew.site.listen_for(&ann.1).await;
    let names = ["t1", "t2", "t3", "t4"];
    for (n, id) in names.iter().enumerate() {
        crew.instance(id, &ann.1, n / 2);
    }
    Vnfm::begin(&crew, ann.clone(), GROUP, &names, 2).await;
    let mut client = [Tacker::new(ann, 0)];
    let id = crew.session(json!({"workflow": "vnf"})).await;
    assert_eq!(crew.finish(&id, &mut client).await, "MAINTENANCE_FAILED");
    let rounds = crew.told(&client[0].project).iter().filter(|state| **state == "SCALE_IN").count();
    assert_eq!(rounds, 3, "{:?}", crew.notices);
    let detail = crew.detail(&id).await;
    assert_eq!(detail["reason"]["code"], "capacity.insufficient", "{detail}");
    assert_eq!(detail["prev_state"], "SCALE_IN", "{detail}");
}

#[tokio::test]
async fn spec_9_07_a_refusal_is_noticed_at_once_and_silence_is_asked_so_often() {
    for settings in ["[maintenance.policy]\non_nack = [\"fail\"]\n", ""] {
        let mut crew = Crew::new(2, settings).await;
        let (ann, bob) = (crew.site.person("ann", "member").await, crew.site.person("bob", "member").await);
        for (n, (id, project)) in [("a1", &ann.1), ("b1", &bob.1)].into_iter().enumerate() {
            crew.instance(id, project, n);
            crew.site.listen_for(project).await;
        }
        let id = crew.session(json!({"maintenance_at": "2031-04-12 22:00:00"})).await;
        while crew.told(&bob.1).is_empty() {
            crew.step(&mut [Nobody]).await;
        }
        if !settings.is_empty() {
            // Ann, who was asked first, says nothing.
            let path = format!("/v1/maintenance/{id}/{}", bob.1);
            crew.site.of(&bob.0, "PUT", &path, &json!({"state": "NACK_MAINTENANCE"})).await.is(200);
            assert_eq!(crew.state(&id).await, "MAINTENANCE_FAILED", "without a moment of time");
            assert_eq!(crew.detail(&id).await["reason"]["code"], "reply.nack");
            continue;
        }
        let path = format!("/v1/maintenance/{id}/{}", bob.1);
        crew.site.of(&bob.0, "PUT", &path, &json!({"state": "ACK_MAINTENANCE"})).await.is(200);
        assert_eq!(crew.finish(&id, &mut [Nobody]).await, "MAINTENANCE_FAILED");
        crew.news().await;
        let asked = |project: &str| crew.told(project).iter().filter(|state| **state == "MAINTENANCE").count();
        assert_eq!((asked(&ann.1), asked(&bob.1)), (3, 1), "only who is silent is asked again");
        assert_eq!(crew.detail(&id).await["reason"]["code"], "reply.timeout");
    }
}

/// Goes on until the session is in that state, with a client that agrees to the session and to nothing else.
async fn until(crew: &mut Crew, id: &str, wanted: &str, (token, project): &(String, String)) {
    for _ in 0..1000 {
        crew.step(&mut [Nobody]).await;
        if crew.told(project).last() == Some(&"MAINTENANCE") && wanted != "MAINTENANCE" {
            let path = format!("/v1/maintenance/{id}/{project}");
            crew.site.of(token, "PUT", &path, &json!({"state": "ACK_MAINTENANCE"})).await.is(200);
        }
        if crew.told(project).last() == Some(&wanted) {
            return;
        }
    }
    panic!("{wanted} never came: {}", crew.detail(id).await);
}

#[tokio::test]
async fn an_answer_names_what_becomes_of_every_instance() {
    let mut crew = Crew::new(2, "").await;
    let ann = crew.site.person("ann", "member").await;
    crew.site.listen_for(&ann.1).await;
    crew.instance("a1", &ann.1, 0);
    crew.instance("a2", &ann.1, 0);
    let id = crew.session(json!({})).await;
    until(&mut crew, &id, "PLANNED_MAINTENANCE", &ann).await;
    let path = format!("/v1/maintenance/{id}/{}", ann.1);
    let listed = crew.site.of(&ann.0, "GET", &path, &Value::Null).await.is(200);
    assert_eq!(listed, json!({"instance_ids": ["a1", "a2"]}));
    let one = crew.site.of(&ann.0, "GET", &format!("{path}/a2/"), &Value::Null).await.is(200);
    assert_eq!((&one["instance_ids"], &one["state"]), (&json!(["a2"]), &json!("PLANNED_MAINTENANCE")));
    let before = crew.detail(&id).await;
    for (actions, missing) in [
        (json!({}), "a1, a2"),
        (json!({"a1": "MIGRATE"}), "a2"),
        (json!({"a2": "LIVE_MIGRATE", "b9": "MIGRATE"}), "a1"),
    ] {
        let reply = json!({"state": "ACK_PLANNED_MAINTENANCE", "instance_actions": actions});
        let text = crew.site.of(&ann.0, "PUT", &path, &reply).await.error(422);
        assert!(text.contains(missing), "{text}");
    }
    // A shorthand for one instance is not enough for two.
    let short = json!({"state": "ACK_PLANNED_MAINTENANCE", "instance_action": "MIGRATE"});
    crew.site.of(&ann.0, "PUT", &path, &short).await.error(422);
    assert_eq!(crew.detail(&id).await, before, "nothing of that changes anything");
    let reply =
        json!({"state": "ACK_PLANNED_MAINTENANCE", "instance_actions": {"a1": "MIGRATION", "a2": "LIVE_MIGRATE"}});
    assert_eq!(crew.site.of(&ann.0, "PUT", &path, &reply).await.is(200), reply);
    until(&mut crew, &id, "MAINTENANCE_COMPLETE", &ann).await;
    let detail = crew.detail(&id).await;
    let done: Vec<&str> =
        detail["instances"].as_array().unwrap().iter().map(|one| one["action"].as_str().unwrap()).collect();
    assert_eq!(done, ["MIGRATE", "LIVE_MIGRATE"], "{detail}");
}
