//! The one writer of an embedded store: transactions that share a commit stay transactions of their own.

use std::time::Duration;

use hostler_common::error::Class;
use hostler_manager::store::host::{host_by_name, host_counts, host_insert};
use hostler_manager::store::{Error, Result, Store};
use hostler_tests::both::{Bed, Kind};
use hostler_tests::commit;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{at, host_id};

struct Group {
    store: Store,
    bed: Bed,
    hold: oneshot::Sender<()>,
    held: JoinHandle<Result<()>>,
}

/// A store whose writer is busy, so that what is queued now becomes one group.
async fn busy() -> Group {
    let bed = Bed::new(Kind::Sqlite).await.unwrap().unwrap();
    let store = bed.open().await.unwrap();
    let (hold, held) = oneshot::channel();
    let (begun, begins) = oneshot::channel();
    let first = store.clone();
    let held = tokio::spawn(async move {
        commit!(first, _tx => {
            begun.send(()).unwrap();
            held.await.unwrap();
            Ok(())
        })
    });
    begins.await.unwrap();
    Group { store, bed, hold, held }
}

impl Group {
    /// Lets the writer go on with what was queued.
    async fn release(self) -> (Store, Bed) {
        self.hold.send(()).unwrap();
        self.held.await.unwrap().unwrap();
        (self.store, self.bed)
    }
}

/// Queues the insertion of a host and, if `fails` says how, what fails after it.
fn queue(store: &Store, n: u128, fails: Option<fn() -> Error>) -> JoinHandle<Result<()>> {
    let store = store.clone();
    tokio::spawn(async move {
        commit!(store, tx => {
            host_insert(tx, host_id(n), &format!("host-{n}"), &[], at(0)).await?;
            fails.map_or(Ok(()), |fail| Err(fail()))
        })
    })
}

/// Lets everything that was spawned run until it waits.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn one_that_fails_takes_back_only_its_own() {
    let group = busy().await;
    let mut queued = Vec::new();
    for n in 0..9 {
        let fails: Option<fn() -> Error> = match n % 3 {
            1 => Some(|| Error::Refused(Class::Denied, "no".into())),
            2 => Some(|| panic!("on purpose")),
            _ => None,
        };
        queued.push(queue(&group.store, n, fails));
        settle().await;
    }
    let (store, _bed) = group.release().await;
    for (n, done) in queued.into_iter().enumerate() {
        match (n % 3, done.await.unwrap()) {
            (0, Ok(())) | (1, Err(Error::Refused(Class::Denied, _))) | (2, Err(Error::Broken(_))) => {}
            (_, other) => panic!("{n}: {other:?}"),
        }
    }
    let mut connection = store.read().await.unwrap();
    for n in 0..9 {
        let found = host_by_name(&mut connection, &format!("host-{n}")).await.unwrap();
        assert_eq!(found.is_some(), n % 3 == 0, "host-{n}");
    }
    drop(connection);
    // The numbers of those that failed were given back.
    let numbers: Vec<i64> = hostler_manager::store::host::host_list(&mut store.read().await.unwrap(), 0, None, 9)
        .await
        .unwrap()
        .iter()
        .map(|host| host.number)
        .collect();
    assert_eq!(numbers, [1, 2, 3]);
    queue(&store, 20, None).await.unwrap().unwrap();
}

#[tokio::test]
async fn nobody_is_told_of_success_before_the_commit() {
    let group = busy().await;
    let early = queue(&group.store, 1, None);
    settle().await;
    let (go, gone) = oneshot::channel::<()>();
    let (begun, begins) = oneshot::channel();
    let last = group.store.clone();
    let late = tokio::spawn(async move {
        commit!(last, tx => {
            begun.send(()).unwrap();
            gone.await.unwrap();
            host_insert(tx, host_id(2), "host-2", &[], at(0)).await
        })
    });
    settle().await;
    let (store, _bed) = group.release().await;
    begins.await.unwrap();
    // The first has done its work, and the group is not committed.
    let told = tokio::time::timeout(Duration::from_millis(200), async {
        while !early.is_finished() {
            tokio::task::yield_now().await;
        }
    });
    assert!(told.await.is_err(), "the first was told before the commit");
    let count = |store: Store| async move { host_counts(&mut store.read().await.unwrap()).await.unwrap() };
    assert_eq!(count(store.clone()).await, []);
    go.send(()).unwrap();
    early.await.unwrap().unwrap();
    assert_eq!(count(store.clone()).await, [("enrolled".to_owned(), 2)]);
    late.await.unwrap().unwrap();
}

#[tokio::test]
async fn transactions_keep_the_order_in_which_they_were_asked_for() {
    let group = busy().await;
    let mut queued = Vec::new();
    for n in 0..200 {
        queued.push(queue(&group.store, n, None));
        settle().await;
    }
    let (store, _bed) = group.release().await;
    for done in queued {
        done.await.unwrap().unwrap();
    }
    let hosts = hostler_manager::store::host::host_list(&mut store.read().await.unwrap(), 0, None, 999).await.unwrap();
    let order: Vec<_> = hosts.iter().map(|host| host.id).collect();
    assert_eq!(order, (0..200).map(host_id).collect::<Vec<_>>());
}

/// SQLite itself ends a transaction when the disk is full or fails: then the others of the group are told that the store
/// was not available, as nothing is wrong with what they wanted.
#[tokio::test]
async fn a_group_that_the_engine_ends_was_not_available() {
    let group = busy().await;
    let innocent = queue(&group.store, 1, None);
    settle().await;
    let store = group.store.clone();
    let culprit = tokio::spawn(async move {
        commit!(store, tx => {
            sqlx::query("rollback").execute(&mut *tx).await?;
            Err::<(), _>(Error::Unavailable("the disk is full".into()))
        })
    });
    settle().await;
    let after = queue(&group.store, 3, None);
    settle().await;
    let (store, _bed) = group.release().await;
    for done in [innocent.await.unwrap(), culprit.await.unwrap(), after.await.unwrap()] {
        assert!(matches!(done, Err(Error::Unavailable(_))), "{done:?}");
    }
    let mut connection = store.read().await.unwrap();
    assert_eq!(host_counts(&mut connection).await.unwrap(), []);
    drop(connection);
    queue(&store, 4, None).await.unwrap().unwrap();
}

#[tokio::test]
async fn readers_see_the_last_commit_and_cannot_write() {
    let group = busy().await;
    let queued = queue(&group.store, 1, None);
    settle().await;
    // The writer is in the middle of a transaction; reading does not wait for it.
    let mut connection = group.store.read().await.unwrap();
    assert_eq!(host_counts(&mut connection).await.unwrap(), []);
    let written = host_insert(&mut connection, host_id(9), "by a reader", &[], at(0)).await;
    assert!(written.is_err(), "a reader wrote");
    drop(connection);
    let (store, _bed) = group.release().await;
    queued.await.unwrap().unwrap();
    assert_eq!(host_counts(&mut store.read().await.unwrap()).await.unwrap(), [("enrolled".to_owned(), 1)]);
}

#[tokio::test]
async fn another_process_that_writes_is_waited_for() {
    use sqlx::Executor as _;
    let bed = Bed::new(Kind::Sqlite).await.unwrap().unwrap();
    let store = bed.open().await.unwrap();
    let mut other = bed.raw().await.unwrap();
    other.execute("begin immediate").await.unwrap();
    let queued = queue(&store, 1, None);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!queued.is_finished());
    other.execute("commit").await.unwrap();
    queued.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_lock_that_stays_makes_the_store_unavailable_and_no_more() {
    use sqlx::Executor as _;
    let bed = Bed::new(Kind::Sqlite).await.unwrap().unwrap();
    let store = bed.open().await.unwrap();
    let mut other = bed.raw().await.unwrap();
    other.execute("begin immediate").await.unwrap();
    let refused = queue(&store, 1, None).await.unwrap();
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    store.ping().await.unwrap();
    other.execute("rollback").await.unwrap();
    queue(&store, 1, None).await.unwrap().unwrap();
}
