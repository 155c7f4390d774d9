//! What a transaction promises on either engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hostler_common::error::Class;
use hostler_manager::store::host::{host_by_name, host_counts, host_insert};
use hostler_manager::store::machine::machine_insert;
use hostler_manager::store::{Error, Gate, Result, Store};
use hostler_tests::both::{Bed, Kind};
use hostler_tests::{commit, on_both};
use serde_json::json;

use super::machine::machine_id;
use super::{at, host_id};

on_both!(
    what_fails_leaves_nothing,
    a_panic_ends_one_transaction_only,
    a_refused_text_is_refused_and_not_broken,
    a_gate_stops_what_comes_after_it,
    a_caller_that_goes_away_leaves_whole_transactions,
    the_store_answers_a_ping,
    only_an_embedded_store_copies_itself,
    two_transactions_in_opposite_order_are_told_to_try_again,
);

async fn hosts(store: &Store) -> i64 {
    host_counts(&mut store.read().await.unwrap()).await.unwrap().iter().map(|(_, count)| count).sum()
}

async fn what_fails_leaves_nothing(bed: Bed) {
    let store = bed.open().await.unwrap();
    let refused: Result<()> = commit!(store, tx => {
        host_insert(tx, host_id(1), "a", &[], at(0)).await?;
        Err(Error::Refused(Class::Denied, "no".into()))
    });
    assert!(matches!(refused, Err(Error::Refused(Class::Denied, _))), "{refused:?}");
    let broken: Result<()> = commit!(store, tx => {
        host_insert(tx, host_id(1), "a", &[], at(0)).await?;
        sqlx::query("insert into nothing values (1)").execute(tx).await?;
        Ok(())
    });
    assert!(matches!(broken, Err(Error::Broken(_))), "{broken:?}");
    assert_eq!(broken.unwrap_err().class(), Class::Internal);
    assert_eq!(hosts(&store).await, 0);
}

async fn a_panic_ends_one_transaction_only(bed: Bed) {
    let store = bed.open().await.unwrap();
    for n in 0..3 {
        let failing = store.clone();
        let done = tokio::spawn(async move {
            commit!(failing, tx => {
                host_insert(tx, host_id(50), "panics", &[], at(0)).await?;
                assert_eq!(n, 99, "on purpose");
                Ok(())
            })
        });
        match (bed.kind, done.await) {
            (Kind::Sqlite, Ok(Err(Error::Broken(_)))) => {}
            // There, a transaction runs in the task of the one who asked.
            (Kind::Postgres, Err(ended)) => assert!(ended.is_panic()),
            (_, other) => panic!("{other:?}"),
        }
        commit!(store, tx => host_insert(tx, host_id(n), &format!("h{n}"), &[], at(0)).await).unwrap();
    }
    assert_eq!(hosts(&store).await, 3);
}

async fn a_refused_text_is_refused_and_not_broken(bed: Bed) {
    let store = bed.open().await.unwrap();
    let done = commit!(store, tx => host_insert(tx, host_id(1), "nul\u{0}", &[], at(0)).await);
    match bed.kind {
        Kind::Sqlite => done.unwrap(),
        // PostgreSQL has no texts with a NUL character: that is the fault of the text.
        Kind::Postgres => assert_eq!(done.unwrap_err().class(), Class::Invalid),
    }
}

struct After(AtomicUsize);

impl Gate for After {
    fn pass(&self) -> Result<()> {
        let left = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        left.map(|_| ()).map_err(|_| Error::Unavailable("closed".into()))
    }
}

async fn a_gate_stops_what_comes_after_it(bed: Bed) {
    let store = bed.open().await.unwrap().gated(Arc::new(After(AtomicUsize::new(2))));
    for n in 0..4 {
        let done = commit!(store, tx => host_insert(tx, host_id(n), &format!("h{n}"), &[], at(0)).await);
        assert_eq!(done.is_ok(), n < 2, "{done:?}");
    }
    assert_eq!(hosts(&store).await, 2);
}

async fn a_caller_that_goes_away_leaves_whole_transactions(bed: Bed) {
    let store = bed.open().await.unwrap();
    for n in 0..20 {
        let abandoned = store.clone();
        let task = tokio::spawn(async move {
            commit!(abandoned, tx => {
                host_insert(tx, host_id(n), &format!("first-{n}"), &[], at(0)).await?;
                tokio::task::yield_now().await;
                host_insert(tx, host_id(1000 + n), &format!("second-{n}"), &[], at(0)).await
            })
        });
        for _ in 0..n {
            tokio::task::yield_now().await;
        }
        task.abort();
        task.await.ok();
    }
    // A further transaction is behind all of them.
    commit!(store, tx => host_insert(tx, host_id(500), "last", &[], at(0)).await).unwrap();
    let mut connection = store.read().await.unwrap();
    for n in 0..20 {
        let first = host_by_name(&mut connection, &format!("first-{n}")).await.unwrap();
        let second = host_by_name(&mut connection, &format!("second-{n}")).await.unwrap();
        assert_eq!(first.is_some(), second.is_some(), "half of transaction {n} was written");
    }
}

async fn the_store_answers_a_ping(bed: Bed) {
    bed.open().await.unwrap().ping().await.unwrap();
}

async fn only_an_embedded_store_copies_itself(bed: Bed) {
    let store = bed.open().await.unwrap();
    commit!(store, tx => host_insert(tx, host_id(1), "copied", &[], at(0)).await).unwrap();
    let target = bed.path("it's a copy.db");
    let done = store.backup(&target).await;
    if bed.kind == Kind::Postgres {
        assert_eq!(done.unwrap_err().class(), Class::Invalid);
        return;
    }
    done.unwrap();
    commit!(store, tx => host_insert(tx, host_id(2), "later", &[], at(0)).await).unwrap();
    let copy = Store::open(&hostler_manager::store::Options::Sqlite(target.clone())).await.unwrap();
    let mut connection = copy.read().await.unwrap();
    assert_eq!(host_by_name(&mut connection, "copied").await.unwrap(), Some(host_id(1)));
    assert_eq!(host_by_name(&mut connection, "later").await.unwrap(), None);
    assert!(store.backup(&target).await.is_err(), "a copy is not written over a file");
}

/// Where transactions run side by side, two of them may wait for each other; the one that the engine ends must be one
/// that its caller tries again, not a failure of the store.
async fn two_transactions_in_opposite_order_are_told_to_try_again(bed: Bed) {
    let store = bed.open().await.unwrap();
    commit!(store, tx => {
        machine_insert(tx, machine_id(1), "toy", "1", &json!(0), at(0)).await?;
        machine_insert(tx, machine_id(2), "toy", "2", &json!(0), at(0)).await
    })
    .unwrap();
    let writer = |first: u128, second: u128| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut tries = 0;
            loop {
                let done = commit!(store, tx => {
                    for n in [first, second] {
                        let statement = "update machine set version = version + 1 where id = $1";
                        sqlx::query(statement).bind(machine_id(n).to_string()).execute(&mut *tx).await?;
                        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                    }
                    Ok(())
                });
                tries += 1;
                match done {
                    Ok(()) => return,
                    Err(Error::Moved) if tries < 50 => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
        })
    };
    let all: Vec<_> = (0..6).map(|n| if n % 2 == 0 { writer(1, 2) } else { writer(2, 1) }).collect();
    for one in all {
        one.await.unwrap();
    }
    let (sum,): (i64,) = sqlx::query_as("select cast(sum(version) as bigint) from machine")
        .fetch_one(&mut *store.read().await.unwrap())
        .await
        .unwrap();
    assert_eq!(sum, 14);
}
