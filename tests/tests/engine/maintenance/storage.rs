//! Sessions over hosts that carry a Ceph cluster: what becomes of flags and daemons when managers die and OSDs do not return
//! (spec/maintenance.md §8.3, §8.6; §9, 19).

use std::collections::BTreeSet;
use std::time::Duration;

use hostler_common::id::SessionId;
use hostler_common::time::Clock as _;
use hostler_core::maintenance::host::HostPhase;
use hostler_core::maintenance::notice::{FLAG_OLD, HOST};
use hostler_core::maintenance::spec::{Leave, Update};
use hostler_core::maintenance::state::State;
use hostler_manager::store::{job, maintenance};
use hostler_tests::both::Bed;
use hostler_tests::on_both;
use serde_json::{Value, json};

use super::crew::Crew;

on_both!(
    spec_9_19_a_manager_that_is_gone_between_flag_and_stop_tells_of_it_and_goes_on,
    spec_9_19_an_osd_that_does_not_return_keeps_its_host_out_and_its_flag_set,
    spec_9_19_a_flag_of_a_deleted_session_is_told_and_not_cleared,
);

/// A session over three hosts with a cluster.
async fn begun(bed: Bed) -> (Crew, SessionId) {
    let crew = Crew::with_ceph(bed, 3).await;
    let id = crew.engine.session_create(crew.spec(&["dummy"]), "admin").await.unwrap();
    (crew, id)
}

/// Goes on until that is so.
async fn until(crew: &mut Crew, what: impl Fn(&Crew) -> bool) {
    for _ in 0..10_000 {
        if what(crew) {
            return;
        }
        assert!(crew.step().await.unwrap(), "nothing happens any more");
    }
    panic!("it does not come to that: {:?}", crew.done);
}

/// What was told of flags that are set for long.
async fn told(crew: &Crew) -> Vec<Value> {
    crew.events().await.into_iter().filter(|(kind, _)| kind == FLAG_OLD).map(|(_, data)| data).collect()
}

fn total(crew: &Crew, step: &str) -> usize {
    crew.count(step).iter().sum()
}

/// The manager is away for longer than any flag should be set.
async fn away(crew: &mut Crew) {
    crew.clock.advance(Duration::from_secs(5 * 3600));
    crew.restart().await;
}

async fn spec_9_19_a_manager_that_is_gone_between_flag_and_stop_tells_of_it_and_goes_on(bed: Bed) {
    for reported in [true, false] {
        let Some(other) = Bed::new(bed.kind).await.unwrap() else { return };
        let (mut crew, id) = begun(other).await;
        let flagged = crew.clock.now();
        if reported {
            until(&mut crew, |crew| !crew.site.flags.is_empty()).await;
        } else {
            // The agent does it, and the manager dies before it hears of it.
            flag_unheard(&mut crew).await;
        }
        assert_eq!((total(&crew, "ceph_noout"), crew.site.flags.len(), crew.site.down.len()), (1, 1, 0), "{reported}");
        assert!(told(&crew).await.is_empty());
        let held = *crew.site.flags.first().unwrap();
        away(&mut crew).await;
        crew.engine.run_due().await.unwrap();
        let alerts = told(&crew).await;
        assert_eq!(alerts.len(), 1, "{reported}: {alerts:?}");
        assert_eq!(
            (&alerts[0]["session_id"], &alerts[0]["flag"], &alerts[0]["bucket"], &alerts[0]["severity"]),
            (&json!(id.to_string()), &json!("noout"), &json!(format!("bucket{held}")), &json!("alarm"))
        );
        assert!(alerts[0]["since"].as_str().unwrap() >= flagged.naive().replace('T', " ").as_str(), "{alerts:?}");
        assert_eq!(crew.finish(id).await, State::MaintenanceDone, "{reported}: {:?}", crew.rows(id).await);
        assert_eq!(crew.count("dummy"), [1, 1, 1]);
        // Set once and taken back once, by each host of its own.
        assert_eq!((total(&crew, "ceph_noout"), crew.site.flags.len()), (6, 0), "{:?}", crew.done);
        assert!(crew.site.down.is_empty() && crew.site.stopped.is_empty() && crew.site.breaches.is_empty());
        assert_eq!(told(&crew).await.len(), 1, "nothing is told of flags that are gone");
        crew.nothing_left().await;
    }
}

/// Goes on until the first flag is set, without the manager hearing of it.
async fn flag_unheard(crew: &mut Crew) {
    for _ in 0..10_000 {
        crew.engine.run_due().await.unwrap();
        let open = job::job_all_open(&mut crew.engine.store.read().await.unwrap()).await.unwrap();
        for job in &open {
            let update = crew.answer(&job.spec);
            if !crew.site.flags.is_empty() {
                return;
            }
            crew.engine.job_update(job.spec.host, update).await.unwrap();
        }
        if open.is_empty() {
            crew.step().await.unwrap();
        }
    }
    panic!("no flag is ever set: {:?}", crew.done);
}

/// The first host's OSD does not start any more, and the session fails of it; says which host.
async fn stuck(crew: &mut Crew, id: SessionId) -> usize {
    until(crew, |crew| !crew.site.down.is_empty()).await;
    let broken = *crew.site.down.first().unwrap();
    crew.site.broken.insert(broken);
    assert_eq!(crew.finish(id).await, State::MaintenanceFailed);
    broken
}

/// That host is out of service with its flag set, the storage is still in its hands, and no other host was touched.
async fn is_held(crew: &Crew, id: SessionId, broken: usize) {
    let mut connection = crew.engine.store.read().await.unwrap();
    let out = maintenance::service_all(&mut connection).await.unwrap();
    assert_eq!(out.into_keys().collect::<Vec<_>>(), [crew.hosts[broken]]);
    assert!(maintenance::storage_lock_find(&mut connection, hostler_tests::sim::FSID).await.unwrap().is_some());
    assert_eq!(crew.site.flags, BTreeSet::from([broken]));
    let rows = crew.rows(id).await;
    for row in &rows {
        assert_eq!(row.host == crew.hosts[broken], row.phase == HostPhase::Failed, "{row:?}");
    }
    drop(connection);
    let states: Vec<String> = crew
        .events()
        .await
        .into_iter()
        .filter(|(kind, _)| kind == HOST)
        .map(|(_, data)| data["state"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(states, ["IN_MAINTENANCE", "MAINTENANCE_FAILED"]);
}

async fn spec_9_19_an_osd_that_does_not_return_keeps_its_host_out_and_its_flag_set(bed: Bed) {
    let (mut crew, id) = begun(bed).await;
    let broken = stuck(&mut crew, id).await;
    is_held(&crew, id, broken).await;
    // Also for a manager that starts anew, which goes on to tell of it.
    away(&mut crew).await;
    let before = told(&crew).await.len();
    crew.engine.run_due().await.unwrap();
    is_held(&crew, id, broken).await;
    assert_eq!(told(&crew).await.len(), before + 1);
    // When it is mended, the session goes on where it was.
    crew.site.mend();
    crew.engine.session_update(id, Update::default(), "admin").await.unwrap();
    assert_eq!(crew.finish(id).await, State::MaintenanceDone, "{:?}", crew.rows(id).await);
    assert_eq!(crew.count("dummy"), [1, 1, 1]);
    assert!(crew.site.flags.is_empty() && crew.site.down.is_empty(), "{:?}", crew.site);
    crew.nothing_left().await;
}

async fn spec_9_19_a_flag_of_a_deleted_session_is_told_and_not_cleared(bed: Bed) {
    let (mut crew, id) = begun(bed).await;
    let broken = stuck(&mut crew, id).await;
    crew.engine.session_delete(id, Leave::Exit, "admin").await.unwrap();
    let before = told(&crew).await;
    for _ in 0..3 {
        away(&mut crew).await;
        for _ in 0..20 {
            crew.step().await.unwrap();
        }
    }
    let alerts = told(&crew).await;
    assert!(alerts.len() >= before.len() + 3, "{alerts:?}");
    let since: BTreeSet<&str> = alerts.iter().map(|alert| alert["since"].as_str().unwrap()).collect();
    assert_eq!(since.len(), 1, "it is as old as it is: {alerts:?}");
    assert_eq!(crew.site.flags, BTreeSet::from([broken]), "nobody takes it away while the OSD is down");
    let mut connection = crew.engine.store.read().await.unwrap();
    let out = maintenance::service_all(&mut connection).await.unwrap();
    assert!(out.contains_key(&crew.hosts[broken]), "{out:?}");
}
