//! What upstream got wrong (spec/maintenance.md §7.1): each row of that list has a test, and this says which. Those that are
//! named `spec_7_1_NN_` are below, the others were written for what they belong to.
//!
//! | row | tests |
//! |---|---|
//! | 1 | `a_session_survives_the_end_of_its_manager_at_every_commit`, `spec_9_09_…` |
//! | 2 | `spec_7_1_02_…`, `what_is_refused_leaves_nothing_behind` |
//! | 3 | `spec_9_22_…` |
//! | 4, 5 | `spec_9_01_…`, `both_verbs_change_a_session`, `replies_to_what_is_not_there` |
//! | 6 | `spec_9_03_…` |
//! | 7 | `replies_to_what_is_not_there`, `spec_9_01_…` |
//! | 8 | `spec_9_15_…` |
//! | 9 | `spec_9_04_…`, `spec_9_10_odd_fleets_are_done_all_the_same` |
//! | 10 | `spec_7_1_10_…`, `spec_9_10_…` |
//! | 11 | `spec_7_1_11_…`, `spec_9_14_…` |
//! | 12 | `owners_take_their_instances_away_themselves`, `owners_who_do_not_are_dealt_with_by_policy` |
//! | 13 | `spec_9_11_…`, `a_deleted_session_gives_everything_back…` |
//! | 14 | `spec_7_1_14_…` |
//! | 15 | `an_answer_to_an_earlier_host_is_none_to_the_next`, `an_answer_names_what_becomes_of_every_instance` |
//! | 16 | `spec_7_1_16_…`, `spec_9_21_history_is_shown_once_page_by_page` |
//! | 17 | `what_an_instance_needs_must_be_offered`, `spec_9_12_…` and all others of plans |
//! | 18 | `no_more_hosts_are_out_at_once_than_may_be`, `controllers_come_first_one_at_a_time_and_the_managers_own_last` |
//! | 19 | `spec_7_1_19_…` |
//! | 20 | `spec_9_08_…`, `an_answer_to_an_earlier_host_is_none_to_the_next` |
//! | 21 | `a_pause_…`, `no_host_begins_outside_of_the_window`, `a_dry_run_writes_nothing`, `spec_9_11_…`, `spec_9_15_…`, `spec_7_1_16_…` |
//! | 22 | `projects_for_whom_nobody_listens_are_not_asked` |
//! | 23 | `metadata_that_do_not_fit_an_alarm_are_a_link_that_leads_to_them` |
//! | 24 | `the_end_is_the_end_whatever_projects_say` |
//!
//! Row 25 is about another language.

use hostler_core::maintenance::instance::{InstanceState, Size};
use serde_json::{Value, json};

use super::crew::{Client, Crew, HALF, Nobody};

/// Hosts may be filled up to the last processor.
const FULL: &str = "[maintenance.policy]\ncapacity_reserve = 0\n";

/// Somebody who agrees to everything, and wants that to become of instances.
struct Agrees<'a> {
    who: (String, String),
    action: &'a str,
}

impl Client for Agrees<'_> {
    fn project(&self) -> &str {
        &self.who.1
    }

    async fn told(&mut self, crew: &Crew, notice: &Value) {
        let state = notice["state"].as_str().unwrap();
        if state == "INSTANCE_ACTION_DONE" {
            return;
        }
        let mut reply = json!({"state": format!("ACK_{state}")});
        if state.starts_with("P") {
            let link = notice["instance_ids"].as_str().unwrap();
            let listed = crew.site.of(&self.who.0, "GET", link, &Value::Null).await.is(200);
            let ids = listed["instance_ids"].as_array().unwrap();
            reply["instance_actions"] =
                ids.iter().map(|id| (id.as_str().unwrap().to_owned(), json!(self.action))).collect();
        }
        crew.site.of(&self.who.0, "PUT", notice["reply_url"].as_str().unwrap(), &reply).await.is(200);
    }
}

/// Hosts, and somebody with instances who listens.
async fn with_ann(hosts: usize, settings: &str) -> (Crew, (String, String)) {
    let crew = Crew::new(hosts, settings).await;
    let ann = crew.site.person("ann", "member").await;
    crew.site.listen_for(&ann.1).await;
    (crew, ann)
}

#[tokio::test]
async fn spec_7_1_02_sessions_that_are_over_do_not_count() {
    let mut crew = Crew::new(2, "[maintenance]\nmax_active_sessions = 1\n").await;
    for _ in 0..3 {
        let id = crew.session(json!({"hosts": ["kvm-a01"]})).await;
        let more = json!({"maintenance_at": "2031-04-12 22:00:00", "hosts": ["kvm-a02"]});
        crew.site.of("admin", "POST", "/v1/maintenance", &more).await.error(509);
        assert_eq!(crew.finish(&id, &mut [Nobody]).await, "MAINTENANCE_DONE");
    }
    let unlimited = Crew::new(30, "[maintenance]\nmax_active_sessions = 0\n").await;
    for n in 1..=30 {
        unlimited.session(json!({"hosts": [format!("kvm-a{n:02}")]})).await;
    }
}

#[tokio::test]
async fn spec_7_1_10_hosts_of_any_size_and_instances_in_any_state() {
    let (mut crew, ann) = with_ann(3, FULL).await;
    crew.compute.add_host(crew.hosts[2], Size { vcpus: 24, memory_mib: 65_536, disk_gib: 900 });
    let states = ["active", "paused", "suspended", "stopped", "error"];
    for (n, name) in states.iter().enumerate() {
        let state: InstanceState = serde_json::from_value(json!(name)).unwrap();
        crew.instance_with(&format!("a{n}"), &ann.1, n % 2, |one| {
            one.state = state;
            one.size = Size { vcpus: 1, ..HALF };
        });
    }
    let id = crew.session(json!({})).await;
    let mut client = [Agrees { who: ann, action: "MIGRATE" }];
    let end = crew.finish(&id, &mut client).await;
    assert_eq!(end, "MAINTENANCE_DONE", "{}", crew.detail(&id).await);
}

#[tokio::test]
async fn spec_7_1_11_what_is_offered_is_done() {
    let (mut crew, ann) = with_ann(2, "").await;
    crew.instance("a1", &ann.1, 0);
    let id = crew.session(json!({"hosts": ["kvm-a01"]})).await;
    let mut client = [Agrees { who: ann, action: "LIVE_MIGRATE" }];
    assert_eq!(crew.finish(&id, &mut client).await, "MAINTENANCE_DONE", "{}", crew.detail(&id).await);
    let moved = &crew.detail(&id).await["instances"][0];
    assert_eq!((&moved["action"], &moved["action_done"]), (&json!("LIVE_MIGRATE"), &json!(true)));
    assert_eq!((crew.compute.performed("a1"), crew.compute.host_of("a1")), (1, Some(crew.hosts[1])));
    // What cannot be done is not offered.
    let (mut crew, ann) = with_ann(2, "").await;
    crew.instance_with("a1", &ann.1, 0, |one| one.can_live_migrate = false);
    let id = crew.session(json!({"hosts": ["kvm-a01"]})).await;
    let mut client = [Agrees { who: ann, action: "MIGRATE" }];
    assert_eq!(crew.finish(&id, &mut client).await, "MAINTENANCE_DONE");
    let offered: Vec<&Value> = crew
        .notices
        .iter()
        .filter(|notice| notice["state"].as_str().unwrap().starts_with("P"))
        .map(|notice| &notice["allowed_actions"])
        .collect();
    assert_eq!(offered, [&json!(["MIGRATE", "OWN_ACTION"])]);
}

#[tokio::test]
async fn spec_7_1_14_nothing_is_done_on_a_host_that_still_has_guests() {
    let (mut crew, ann) = with_ann(2, "").await;
    crew.instance("a1", &ann.1, 0);
    crew.compute.refuse("a1", 1000);
    let id = crew.session(json!({"hosts": ["kvm-a01"]})).await;
    let mut client = [Agrees { who: ann, action: "MIGRATE" }];
    assert_eq!(crew.finish(&id, &mut client).await, "MAINTENANCE_FAILED");
    assert_eq!(crew.compute.host_of("a1"), Some(crew.hosts[0]));
    let steps = crew.site.of("admin", "GET", &format!("/v1/maintenance/{id}/steps"), &Value::Null).await.is(200);
    let steps = steps["steps"].as_array().unwrap();
    assert!(steps.iter().all(|step| step["kind"] != "plugin" && step["kind"] != "reboot"), "{steps:?}");
    let detail = crew.detail(&id).await;
    let reason = &detail["reason"];
    assert_eq!((&reason["code"], &reason["host"]), (&json!("move.refused"), &json!("kvm-a01")));
    assert_eq!(reason["text"], "a1 cannot leave kvm-a01: the destination refuses");
}

#[tokio::test]
async fn spec_7_1_16_what_was_done_stays_to_be_seen() {
    let (mut crew, ann) = with_ann(2, "").await;
    crew.instance("a1", &ann.1, 0);
    let id = crew.session(json!({})).await;
    let mut client = [Agrees { who: ann, action: "MIGRATE" }];
    assert_eq!(crew.finish(&id, &mut client).await, "MAINTENANCE_DONE");
    let path = format!("/v1/maintenance/{id}");
    crew.site.of("admin", "DELETE", &path, &Value::Null).await.is(200);
    let detail = crew.detail(&id).await;
    assert_eq!((&detail["instances"][0]["action_done"], &detail["created_by"]), (&json!(true), &json!("token:admin")));
    assert!(detail["deleted_at"].is_string(), "{detail}");
    let steps = crew.site.of("admin", "GET", &format!("{path}/steps?limit=1000"), &Value::Null).await.is(200);
    let done = |kind: &str| {
        let of = |step: &&Value| step["kind"] == kind && step["state"] == "DONE" && step["finished_at"].is_string();
        steps["steps"].as_array().unwrap().iter().filter(of).count()
    };
    assert_eq!(done("plugin"), 2, "{steps}");
    assert!(done("move") >= 1 && done("reply") >= 1, "{steps}");
}

#[tokio::test]
async fn spec_7_1_19_names_are_looked_up_and_texts_are_texts() {
    let mut crew = Crew::new(1, "").await;
    let at = json!("2031-04-12 22:00:00");
    for workflow in ["fenix.workflow.workflows.default", "os", "../default", "default.py", "__import__('os')"] {
        let body = json!({"maintenance_at": at, "workflow": workflow});
        crew.site.of("admin", "POST", "/v1/maintenance", &body).await.error(422);
    }
    for plugin in ["fenix.workflow.actions.dummy", "os", "../dummy", "dummy.py", "dummy;id", "$(id)"] {
        let body = json!({"maintenance_at": at, "actions": [{"plugin": plugin, "type": "host"}]});
        crew.site.of("admin", "POST", "/v1/maintenance", &body).await.error(422);
    }
    let metadata = json!({
        "a": "__import__('os').system('id')", "b": "{'x': u'y'}", "c": "'; drop table maintenance_session; --", "d": null,
        "e": ["$(id)", "`id`", {"f": "\u{0}\"\\\n"}], "g": 18_446_744_073_709_551_615_u64, "h": true,
    });
    let id = crew.session(json!({"metadata": metadata})).await;
    assert_eq!(crew.finish(&id, &mut [Nobody]).await, "MAINTENANCE_DONE");
    assert_eq!(crew.detail(&id).await["metadata"], metadata);
}
