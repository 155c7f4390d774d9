//! Jobs.

use std::time::Duration;

use hostler_common::id::{HostId, JobId};
use hostler_common::job::{Captured, JobSpec, JobState, Outcome, Work};
use hostler_common::script::ScriptRun;
use hostler_manager::store::job::{
    Place, job_adopt, job_all_open, job_cancel, job_counts, job_find, job_insert, job_insert_all, job_open, job_places,
    job_prune, job_scripts, job_update, job_update_all,
};
use hostler_manager::store::machine::machine_insert;
use hostler_manager::store::{Error, Store};
use hostler_tests::both::Bed;
use hostler_tests::{commit, on_both};
use serde_json::json;
use uuid::Uuid;

use super::machine::machine_id;
use super::script::revision;
use super::{UNICODE, at, host_id, some_host};

on_both!(
    a_job_comes_back_as_it_was,
    open_jobs_are_those_without_outcome_oldest_first,
    an_outcome_is_kept_without_its_output,
    a_job_moves_only_from_where_it_was,
    only_open_jobs_are_cancelled,
    only_finished_jobs_are_pruned,
    many_jobs_are_written_and_moved_together,
    scripts_under_way_are_counted,
);

/// The job of that number.
pub(super) fn spec(n: u128, host: HostId) -> JobSpec {
    JobSpec {
        id: JobId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + n)),
        host,
        work: Work::Introspect { sections: vec!["cpu".into(), UNICODE.into()] },
        deadline: Duration::from_millis(1500),
    }
}

async fn furnished(bed: &Bed) -> (Store, HostId) {
    let store = bed.open().await.unwrap();
    let host = some_host(&store, 1).await;
    commit!(store, tx => machine_insert(tx, machine_id(1), "toy", "s", &json!({}), at(0)).await).unwrap();
    (store, host)
}

async fn add(store: &Store, n: u128, host: HostId) -> JobId {
    let spec = spec(n, host);
    let id = spec.id;
    commit!(store, tx => job_insert(tx, machine_id(1), &spec, at(0)).await).unwrap();
    id
}

async fn a_job_comes_back_as_it_was(bed: Bed) {
    let (store, host) = furnished(&bed).await;
    let id = add(&store, 1, host).await;
    let mut connection = store.read().await.unwrap();
    let found = job_find(&mut connection, id).await.unwrap().unwrap();
    assert_eq!(
        (found.spec, found.machine, found.state, found.cancel),
        (spec(1, host), machine_id(1), JobState::Queued, false)
    );
    assert!(job_find(&mut connection, spec(2, host).id).await.unwrap().is_none());
    drop(connection);
    let twice = commit!(store, tx => job_insert(tx, machine_id(1), &spec(1, host), at(0)).await);
    assert!(matches!(twice, Err(Error::Exists(_))), "{twice:?}");
    let nowhere = commit!(store, tx => job_insert(tx, machine_id(1), &spec(3, host_id(77)), at(0)).await);
    assert!(matches!(nowhere, Err(Error::Broken(_))), "a job needs a host: {nowhere:?}");
}

async fn open_jobs_are_those_without_outcome_oldest_first(bed: Bed) {
    let (store, host) = furnished(&bed).await;
    let other = some_host(&store, 2).await;
    for n in [5, 3, 9, 1, 7] {
        add(&store, n, host).await;
    }
    add(&store, 4, other).await;
    for (n, state) in [(3, JobState::Delivered), (5, JobState::Running), (7, JobState::Failed), (9, JobState::Lost)] {
        assert!(
            commit!(store, tx => job_update(tx, spec(n, host).id, JobState::Queued, state, None, at(1)).await).unwrap()
        );
    }
    let mut connection = store.read().await.unwrap();
    let open = job_open(&mut connection, host).await.unwrap();
    let states: Vec<_> = open.iter().map(|job| (job.spec.id, job.state)).collect();
    let expected = [(1, JobState::Queued), (3, JobState::Delivered), (5, JobState::Running)];
    assert_eq!(states, expected.map(|(n, state)| (spec(n, host).id, state)));
    let all = job_all_open(&mut connection).await.unwrap();
    let all: Vec<JobId> = all.into_iter().map(|job| job.spec.id).collect();
    assert_eq!(all, [spec(1, host), spec(3, host), spec(4, other), spec(5, host)].map(|spec| spec.id));
    let mut counts = job_counts(&mut connection).await.unwrap();
    counts.sort();
    let expected = [("delivered", 1), ("failed", 1), ("lost", 1), ("queued", 2), ("running", 1)];
    assert_eq!(counts, expected.map(|(name, count)| (name.to_owned(), count)));
}

async fn an_outcome_is_kept_without_its_output(bed: Bed) {
    let (store, host) = furnished(&bed).await;
    let id = add(&store, 1, host).await;
    let outcome = Outcome {
        exit_code: Some(-1),
        signal: None,
        reason: Some("nul \u{0} and ä".into()),
        stdout: Captured { head: vec![b'x'; 1 << 20], tail: Vec::new(), total: 1 << 20 },
        stderr: Captured { head: vec![0xff, 0, b'!'], tail: Vec::new(), total: 3 },
        ..Outcome::default()
    };
    assert!(
        commit!(store, tx => job_update(tx, id, JobState::Queued, JobState::Failed, Some(&outcome), at(9)).await)
            .unwrap()
    );
    let mut raw = bed.raw().await.unwrap();
    let (text, finished): (String, i64) =
        sqlx::query_as("select outcome, finished_at from job").fetch_one(&mut raw).await.unwrap();
    let kept: serde_json::Value = serde_json::from_str(&text).unwrap();
    let stderr = "\u{fffd}\u{0}!";
    let expected = json!({ "exit_code": -1, "signal": null, "reason": "nul \u{0} and ä", "stdout_bytes": 1 << 20, "stderr": stderr });
    assert_eq!((kept, finished), (expected, at(9).as_micros()));
}

async fn a_job_moves_only_from_where_it_was(bed: Bed) {
    let (store, host) = furnished(&bed).await;
    let id = add(&store, 1, host).await;
    let moves = [
        (JobState::Queued, JobState::Running, true),
        // Another manager took an earlier report meanwhile.
        (JobState::Queued, JobState::Delivered, false),
        (JobState::Running, JobState::Succeeded, true),
        (JobState::Running, JobState::Cancelled, false),
    ];
    for (from, to, moves) in moves {
        let moved = commit!(store, tx => job_update(tx, id, from, to, None, at(1)).await).unwrap();
        assert_eq!(moved, moves, "{from:?} to {to:?}");
    }
    assert_eq!(job_find(&mut store.read().await.unwrap(), id).await.unwrap().unwrap().state, JobState::Succeeded);
}

async fn only_open_jobs_are_cancelled(bed: Bed) {
    let (store, host) = furnished(&bed).await;
    for (n, state) in (1..).zip(JobState::ALL) {
        let id = add(&store, n, host).await;
        if state != JobState::Queued {
            commit!(store, tx => job_update(tx, id, JobState::Queued, state, None, at(1)).await).unwrap();
        }
        let told = commit!(store, tx => job_cancel(tx, id).await).unwrap();
        assert_eq!(told, (!state.is_final()).then_some(host), "{state:?}");
        let job = job_find(&mut store.read().await.unwrap(), id).await.unwrap().unwrap();
        assert_eq!((job.cancel, job.state), (!state.is_final(), state));
    }
    assert_eq!(commit!(store, tx => job_cancel(tx, spec(99, host_id(1)).id).await).unwrap(), None);
}

async fn only_finished_jobs_are_pruned(bed: Bed) {
    let (store, host) = furnished(&bed).await;
    for n in 1..=4 {
        let id = add(&store, n, host).await;
        if n > 1 {
            let ended = at(i64::try_from(n).unwrap());
            commit!(store, tx => job_update(tx, id, JobState::Queued, JobState::Succeeded, None, ended).await).unwrap();
        }
    }
    assert_eq!(commit!(store, tx => job_prune(tx, at(3), 99).await).unwrap(), 1);
    assert_eq!(commit!(store, tx => job_prune(tx, at(3), 99).await).unwrap(), 0);
    let mut left = Vec::new();
    for n in 1..=4 {
        left.push(job_find(&mut store.read().await.unwrap(), spec(n, host).id).await.unwrap().is_some());
    }
    assert_eq!(left, [true, false, true, true]);
}

async fn many_jobs_are_written_and_moved_together(bed: Bed) {
    let (store, host) = furnished(&bed).await;
    let specs: Vec<JobSpec> = (0..250).map(|n| spec(n, host)).collect();
    let ids: Vec<JobId> = specs.iter().map(|spec| spec.id).collect();
    commit!(store, tx => job_insert_all(tx, machine_id(1), &specs, at(3)).await).unwrap();
    commit!(store, tx => job_insert_all(tx, machine_id(1), &[], at(3)).await).unwrap();
    let mut connection = store.read().await.unwrap();
    assert_eq!(job_find(&mut connection, ids[249]).await.unwrap().unwrap().spec, spec(249, host));
    let asked: Vec<JobId> = ids.iter().copied().chain([spec(999, host).id]).collect();
    let places = job_places(&mut connection, &asked).await.unwrap();
    assert_eq!(places.len(), 250);
    let place = Place { host, state: JobState::Queued, kind: "toy".into(), subject: "s".into() };
    assert!(places.values().all(|found| *found == place));
    drop(connection);
    let (half, all) = (ids[..125].to_vec(), ids.clone());
    let moved = commit!(store, tx => job_update_all(tx, &half, JobState::Queued, JobState::Running).await);
    assert!(moved.unwrap());
    let moved = commit!(store, tx => job_update_all(tx, &all, JobState::Queued, JobState::Running).await);
    assert!(!moved.unwrap(), "half of them are further");
    let counts = job_counts(&mut store.read().await.unwrap()).await.unwrap();
    assert_eq!(counts, [("running".to_owned(), 250)]);
}

async fn scripts_under_way_are_counted(bed: Bed) {
    let (store, host) = furnished(&bed).await;
    let script = ScriptRun { args: vec![UNICODE.into()], ..ScriptRun::new(revision(None, 1, 7).script) };
    let scripts: Vec<JobSpec> =
        (1..=3).map(|n| JobSpec { work: Work::Script(Box::new(script.clone())), ..spec(n, host) }).collect();
    add(&store, 9, host).await;
    let (own, mut others) = (scripts[0].clone(), scripts.clone());
    others.remove(0);
    commit!(store, tx => {
        job_adopt(tx, machine_id(1), &own, at(1)).await?;
        job_insert_all(tx, machine_id(1), &others, at(1)).await
    })
    .unwrap();
    let found = job_find(&mut store.read().await.unwrap(), scripts[0].id).await.unwrap().unwrap();
    assert_eq!((found.state, found.spec), (JobState::Running, scripts[0].clone()));
    assert_eq!(job_scripts(&mut store.read().await.unwrap()).await.unwrap(), 3);
    let id = scripts[1].id;
    commit!(store, tx => job_update(tx, id, JobState::Queued, JobState::Failed, None, at(2)).await).unwrap();
    assert_eq!(job_scripts(&mut store.read().await.unwrap()).await.unwrap(), 2);
}
