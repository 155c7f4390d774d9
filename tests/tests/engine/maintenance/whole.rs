//! Sessions over hosts without instances.

use hostler_common::error::Class;
use hostler_core::maintenance::host::HostPhase;
use hostler_core::maintenance::policy::{OnFail, Policy};
use hostler_core::maintenance::spec::{Leave, Spec, Update};
use hostler_core::maintenance::state::State;
use hostler_manager::store::maintenance::{self, Filter, StepFilter};
use hostler_tests::both::Bed;
use hostler_tests::on_both;

use super::crew::Crew;

on_both!(
    every_host_is_done_once_and_given_back,
    a_second_session_on_a_host_is_a_conflict,
    what_is_unknown_is_refused_and_leaves_nothing,
    a_host_that_fails_stops_the_session_until_it_goes_on,
    a_failed_host_is_skipped_where_policy_says_so,
    a_deleted_session_gives_everything_back,
    hosts_boot_where_policy_says_so,
    a_plan_writes_nothing,
    there_is_a_limit_of_sessions,
    deleted_sessions_go_after_their_time,
);

async fn every_host_is_done_once_and_given_back(bed: Bed) {
    let mut crew = Crew::new(bed, 3).await;
    let id = crew.engine.session_create(crew.spec(&["dummy"]), "admin").await.unwrap();
    assert_eq!(crew.state(id).await, State::Maintenance);
    assert_eq!(crew.finish(id).await, State::MaintenanceDone);
    assert_eq!(crew.count("dummy"), [1, 1, 1]);
    for row in crew.rows(id).await {
        assert!(row.maintained && row.phase == HostPhase::Done, "{row:?}");
        assert_eq!((row.plugin.as_deref(), row.plugin_state.as_deref()), (None, None), "nothing runs there any more");
    }
    crew.nothing_left().await;
    let mut connection = crew.engine.store.read().await.unwrap();
    let plugins = StepFilter { kind: Some("plugin".into()), ..StepFilter::default() };
    let steps = maintenance::step_rows(&mut connection, id, &plugins, 0, 100).await.unwrap();
    assert_eq!(steps.iter().filter(|step| step.name == "dummy" && step.state == "DONE").count(), 3, "{steps:?}");
    assert!(steps.iter().all(|step| step.job.is_some() && step.finished_at.is_some()));
    let session = maintenance::session_get(&mut connection, id).await.unwrap().unwrap();
    assert_eq!((session.percent, session.created_by.as_str()), (100, "admin"));
    drop(connection);
    let events = crew.events().await;
    for state in ["IN_MAINTENANCE", "MAINTENANCE_COMPLETE"] {
        let told = events.iter().filter(|(kind, data)| kind == "maintenance.host" && data["state"] == state).count();
        assert_eq!(told, 3, "{state}");
    }
}

async fn a_second_session_on_a_host_is_a_conflict(bed: Bed) {
    let mut crew = Crew::new(bed, 3).await;
    let only = |name: &str| Spec { hosts: vec![name.into()], ..crew.spec(&["dummy"]) };
    let (one, two, three) = (only("host-0001"), only("host-0001"), only("host-0002"));
    let first = crew.engine.session_create(one, "admin").await.unwrap();
    let refused = crew.engine.session_create(two.clone(), "admin").await.unwrap_err();
    assert_eq!(refused.class(), Class::Conflict);
    assert!(refused.to_string().contains("host-0001"), "{refused}");
    let other = crew.engine.session_create(three, "admin").await.unwrap();
    assert_eq!(crew.finish(first).await, State::MaintenanceDone);
    assert_eq!(crew.finish(other).await, State::MaintenanceDone);
    let again = crew.engine.session_create(two, "admin").await.unwrap();
    assert_eq!(crew.finish(again).await, State::MaintenanceDone);
    assert_eq!(crew.count("dummy"), [2, 1, 0]);
    crew.nothing_left().await;
}

async fn what_is_unknown_is_refused_and_leaves_nothing(bed: Bed) {
    let crew = Crew::new(bed, 2).await;
    let host = Spec { hosts: vec!["nobody".into()], ..crew.spec(&["dummy"]) };
    let plugin = crew.spec(&["firmwear"]);
    for (spec, word) in [(host, "nobody"), (plugin, "firmwear")] {
        let refused = crew.engine.session_create(spec, "admin").await.unwrap_err();
        assert_eq!(refused.class(), Class::Invalid);
        assert!(refused.to_string().contains(word), "{refused}");
    }
    let mut connection = crew.engine.store.read().await.unwrap();
    assert!(maintenance::session_list(&mut connection, &Filter::default()).await.unwrap().is_empty());
    drop(connection);
    crew.nothing_left().await;
}

async fn a_host_that_fails_stops_the_session_until_it_goes_on(bed: Bed) {
    let mut crew = Crew::new(bed, 3).await;
    crew.failing.insert((crew.hosts[1], "dummy".into()), 1);
    let id = crew.engine.session_create(crew.spec(&["dummy"]), "admin").await.unwrap();
    assert_eq!(crew.finish(id).await, State::MaintenanceFailed);
    let rows = crew.rows(id).await;
    assert_eq!(rows.iter().filter(|row| row.phase == HostPhase::Failed).count(), 1, "{rows:?}");
    let done_before = crew.count("dummy");
    let state = crew.engine.session_update(id, Update::default(), "admin").await.unwrap();
    assert!(!state.is_terminal(), "{state:?}");
    assert_eq!(crew.finish(id).await, State::MaintenanceDone, "{:?}", crew.rows(id).await);
    let after = crew.count("dummy");
    assert_eq!(after[1], 2, "the step that failed is done again");
    for n in [0, 2] {
        assert_eq!(after[n], 1, "host {n} was done {} times before and {} times after", done_before[n], after[n]);
    }
    crew.nothing_left().await;
}

async fn a_failed_host_is_skipped_where_policy_says_so(bed: Bed) {
    let mut crew = Crew::new(bed, 3).await;
    crew.failing.insert((crew.hosts[0], "dummy".into()), 9);
    let policy = Policy { on_fail: OnFail::Skip, ..serde_json::from_str(r#"{"max_failed_hosts": 1}"#).unwrap() };
    let spec = Spec { policy, ..crew.spec(&["dummy"]) };
    let id = crew.engine.session_create(spec, "admin").await.unwrap();
    assert_eq!(crew.finish(id).await, State::MaintenanceDone);
    let rows = crew.rows(id).await;
    let phases: Vec<HostPhase> =
        crew.hosts.iter().map(|host| rows.iter().find(|row| row.host == *host).unwrap().phase).collect();
    assert_eq!(phases, [HostPhase::Skipped, HostPhase::Done, HostPhase::Done]);
    crew.nothing_left().await;
}

async fn a_deleted_session_gives_everything_back(bed: Bed) {
    for steps in 1..14 {
        let Some(other) = Bed::new(bed.kind).await.unwrap() else { return };
        let mut crew = Crew::new(other, 2).await;
        let id = crew.engine.session_create(crew.spec(&["dummy"]), "admin").await.unwrap();
        for _ in 0..steps {
            crew.step().await.unwrap();
        }
        crew.engine.session_delete(id, Leave::Exit, "admin").await.unwrap();
        let gone = crew.engine.session_delete(id, Leave::Exit, "admin").await.unwrap_err();
        assert_eq!(gone.class(), Class::NotFound);
        for _ in 0..200 {
            if !crew.step().await.unwrap() {
                break;
            }
        }
        crew.nothing_left().await;
        let mut connection = crew.engine.store.read().await.unwrap();
        assert!(maintenance::session_list(&mut connection, &Filter::default()).await.unwrap().is_empty());
        let deleted = Filter { deleted: true, ..Filter::default() };
        assert_eq!(maintenance::session_list(&mut connection, &deleted).await.unwrap().len(), 1);
    }
}

async fn hosts_boot_where_policy_says_so(bed: Bed) {
    let mut crew = Crew::new(bed, 2).await;
    let id = crew.engine.session_create(crew.spec(&["reboot", "dummy"]), "admin").await.unwrap();
    assert_eq!(crew.finish(id).await, State::MaintenanceDone);
    for host in &crew.hosts {
        assert_eq!(crew.boot_of(*host), "boot-1");
    }
    crew.nothing_left().await;
}

async fn a_plan_writes_nothing(bed: Bed) {
    let crew = Crew::new(bed, 3).await;
    let plan = crew.engine.session_plan(crew.spec(&["dummy"])).await.unwrap();
    assert_eq!(plan.hosts.len(), 3);
    let unknown = Spec { hosts: vec!["nobody".into()], ..crew.spec(&[]) };
    assert_eq!(crew.engine.session_plan(unknown).await.unwrap_err().class(), Class::Invalid);
    let mut connection = crew.engine.store.read().await.unwrap();
    assert!(maintenance::session_list(&mut connection, &Filter::default()).await.unwrap().is_empty());
    drop(connection);
    crew.nothing_left().await;
}

async fn there_is_a_limit_of_sessions(bed: Bed) {
    let crew = Crew::new(bed, 22).await;
    for n in 1..=21 {
        let spec = Spec { hosts: vec![format!("host-{n:04}")], ..crew.spec(&["dummy"]) };
        let made = crew.engine.session_create(spec, "admin").await;
        match n {
            21 => assert_eq!(made.unwrap_err().class(), Class::Exhausted),
            _ => drop(made.unwrap()),
        }
    }
}

async fn deleted_sessions_go_after_their_time(bed: Bed) {
    let mut crew = Crew::new(bed, 2).await;
    let id = crew.engine.session_create(crew.spec(&["dummy"]), "admin").await.unwrap();
    let kept = crew.engine.session_create(Spec { hosts: vec![], ..crew.spec(&[]) }, "admin").await;
    assert!(kept.is_err(), "all hosts are taken");
    assert_eq!(crew.finish(id).await, State::MaintenanceDone);
    let other = crew.engine.session_create(crew.spec(&["dummy"]), "admin").await.unwrap();
    assert_eq!(crew.finish(other).await, State::MaintenanceDone);
    crew.engine.session_delete(id, Leave::Exit, "admin").await.unwrap();
    while crew.engine.run_due().await.unwrap().is_some_and(|next| next < crew.clock_after(3600)) {
        crew.step().await.unwrap();
    }
    crew.clock.advance(std::time::Duration::from_secs(399 * 86_400));
    crew.engine.prune().await.unwrap();
    let get = |engine: hostler_manager::engine::Engine| async move {
        maintenance::session_get(&mut engine.store.read().await.unwrap(), id).await.unwrap()
    };
    assert!(get(crew.engine.clone()).await.is_some());
    crew.clock.advance(std::time::Duration::from_secs(2 * 86_400));
    crew.engine.prune().await.unwrap();
    assert!(get(crew.engine.clone()).await.is_none());
    let mut connection = crew.engine.store.read().await.unwrap();
    assert!(maintenance::session_get(&mut connection, other).await.unwrap().is_some());
    assert!(maintenance::step_rows(&mut connection, id, &StepFilter::default(), 0, 9).await.unwrap().is_empty());
    let mut raw = crew.bed.raw().await.unwrap();
    for (kind, left) in [("session", 1), ("stay", 2)] {
        let (count,): (i64,) = sqlx::query_as("select count(*) from machine where kind = $1")
            .bind(kind)
            .fetch_one(&mut raw)
            .await
            .unwrap();
        assert_eq!(count, left, "{kind}");
    }
}
