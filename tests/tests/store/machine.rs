//! Machines and their timers.

use hostler_common::id::{MachineId, TaskId};
use hostler_manager::store::Error;
use hostler_manager::store::machine::{
    Record, machine_find, machine_insert, machine_subject, machine_take, machine_update, timer_clear, timer_next,
    timer_set,
};
use hostler_tests::both::Bed;
use hostler_tests::{commit, on_both};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{UNICODE, at, long};

on_both!(
    a_machine_is_found_by_what_it_is_about,
    a_subject_has_one_machine_of_a_kind,
    a_write_over_an_old_version_is_refused,
    of_many_writers_of_one_version_one_wins,
    a_machine_is_taken_until_the_end_of_the_transaction,
    timers_come_in_the_order_in_which_they_are_due,
    a_timer_that_was_moved_is_not_cleared,
);

/// The machine of that number.
pub(super) fn machine_id(n: u128) -> MachineId {
    MachineId(Uuid::from_u128(0x7000_8000_0000_0000_0000 + n))
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Toy {
    text: String,
    optional: Option<u64>,
}

fn toy(text: &str) -> Toy {
    Toy { text: text.into(), optional: None }
}

async fn a_machine_is_found_by_what_it_is_about(bed: Bed) {
    let store = bed.open().await.unwrap();
    let big = Toy { text: format!("{UNICODE}{}", long(1 << 20)), optional: Some(u64::MAX) };
    let document = big.clone();
    commit!(store, tx => machine_insert(tx, machine_id(1), "toy", UNICODE, &document, at(0)).await).unwrap();
    let mut connection = store.read().await.unwrap();
    let found: Record<Toy> = machine_find(&mut connection, "toy", UNICODE).await.unwrap().unwrap();
    assert_eq!((found.id, found.version, found.task), (machine_id(1), 1, None));
    assert!(found.machine == big);
    assert!(machine_find::<Toy>(&mut connection, "toy", "other").await.unwrap().is_none());
    assert!(machine_find::<Toy>(&mut connection, "other", UNICODE).await.unwrap().is_none());
    let subject = machine_subject(&mut connection, machine_id(1)).await.unwrap();
    assert_eq!(subject, Some(("toy".to_owned(), UNICODE.to_owned())));
    assert_eq!(machine_subject(&mut connection, machine_id(2)).await.unwrap(), None);
    let unreadable = machine_find::<u8>(&mut connection, "toy", UNICODE).await;
    assert!(matches!(unreadable, Err(Error::Broken(_))), "{unreadable:?}");
}

async fn a_subject_has_one_machine_of_a_kind(bed: Bed) {
    let store = bed.open().await.unwrap();
    commit!(store, tx => machine_insert(tx, machine_id(1), "toy", "s", &toy("a"), at(0)).await).unwrap();
    let twice = commit!(store, tx => machine_insert(tx, machine_id(2), "toy", "s", &toy("b"), at(0)).await);
    assert!(matches!(twice, Err(Error::Moved)), "{twice:?}");
    commit!(store, tx => machine_insert(tx, machine_id(3), "other", "s", &toy("c"), at(0)).await).unwrap();
}

async fn a_write_over_an_old_version_is_refused(bed: Bed) {
    let store = bed.open().await.unwrap();
    commit!(store, tx => machine_insert(tx, machine_id(1), "toy", "s", &toy("a"), at(0)).await).unwrap();
    let record = Record { id: machine_id(1), version: 1, task: Some(TaskId(7)), machine: toy("b") };
    let first = record.clone();
    commit!(store, tx => machine_update(tx, &first, at(1)).await).unwrap();
    let again = record.clone();
    let stale = commit!(store, tx => machine_update(tx, &again, at(2)).await);
    assert!(matches!(stale, Err(Error::Moved)), "{stale:?}");
    let missing = Record { id: machine_id(2), ..record };
    let missing = commit!(store, tx => machine_update(tx, &missing, at(2)).await);
    assert!(matches!(missing, Err(Error::Moved)), "{missing:?}");
    let mut connection = store.read().await.unwrap();
    let found: Record<Toy> = machine_find(&mut connection, "toy", "s").await.unwrap().unwrap();
    assert_eq!((found.version, found.task, found.machine), (2, Some(TaskId(7)), toy("b")));
}

async fn of_many_writers_of_one_version_one_wins(bed: Bed) {
    let store = bed.open().await.unwrap();
    commit!(store, tx => machine_insert(tx, machine_id(1), "toy", "s", &toy("a"), at(0)).await).unwrap();
    let writers = (0..24).map(|n| {
        let store = store.clone();
        tokio::spawn(async move {
            let record = Record { id: machine_id(1), version: 1, task: None, machine: toy(&n.to_string()) };
            commit!(store, tx => machine_update(tx, &record, at(n)).await)
        })
    });
    let mut won = 0;
    for writer in writers.collect::<Vec<_>>() {
        match writer.await.unwrap() {
            Ok(()) => won += 1,
            Err(Error::Moved) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(won, 1);
    let found: Record<Toy> = machine_find(&mut store.read().await.unwrap(), "toy", "s").await.unwrap().unwrap();
    assert_eq!(found.version, 2);
}

async fn timers_come_in_the_order_in_which_they_are_due(bed: Bed) {
    let store = bed.open().await.unwrap();
    commit!(store, tx => {
        for n in 1..=3 {
            machine_insert(tx, machine_id(n), "toy", &n.to_string(), &toy(""), at(0)).await?;
        }
        timer_set(tx, machine_id(1), "late", at(30)).await?;
        timer_set(tx, machine_id(2), "early", at(10)).await?;
        timer_set(tx, machine_id(3), "middle", at(20)).await?;
        timer_set(tx, machine_id(2), "moved", at(40)).await?;
        timer_set(tx, machine_id(2), "moved", at(5)).await
    })
    .unwrap();
    let mut connection = store.read().await.unwrap();
    let names = |timers: Vec<hostler_manager::store::machine::Timer>| -> Vec<(String, i64)> {
        timers.into_iter().map(|timer| (timer.name, timer.due_at.since(at(0)).as_secs().cast_signed())).collect()
    };
    let all = names(timer_next(&mut connection, 10).await.unwrap());
    let expected = [("moved", 5), ("early", 10), ("middle", 20), ("late", 30)];
    assert_eq!(all, expected.map(|(name, due)| (name.to_owned(), due)));
    assert_eq!(names(timer_next(&mut connection, 1).await.unwrap()), [("moved".to_owned(), 5)]);
    drop(connection);
    let orphan = commit!(store, tx => timer_set(tx, machine_id(9), "t", at(1)).await);
    assert!(matches!(orphan, Err(Error::Broken(_))), "a timer needs a machine: {orphan:?}");
}

async fn a_timer_that_was_moved_is_not_cleared(bed: Bed) {
    let store = bed.open().await.unwrap();
    commit!(store, tx => {
        machine_insert(tx, machine_id(1), "toy", "s", &toy(""), at(0)).await?;
        timer_set(tx, machine_id(1), "t", at(10)).await?;
        assert!(!timer_clear(tx, machine_id(1), "t", Some(at(9))).await?);
        assert!(!timer_clear(tx, machine_id(1), "other", None).await?);
        assert!(timer_clear(tx, machine_id(1), "t", Some(at(10))).await?);
        assert!(!timer_clear(tx, machine_id(1), "t", Some(at(10))).await?);
        timer_set(tx, machine_id(1), "t", at(11)).await?;
        assert!(timer_clear(tx, machine_id(1), "t", None).await?);
        Ok(())
    })
    .unwrap();
    assert!(timer_next(&mut store.read().await.unwrap(), 9).await.unwrap().is_empty());
}

async fn a_machine_is_taken_until_the_end_of_the_transaction(bed: Bed) {
    let store = bed.open().await.unwrap();
    commit!(store, tx => machine_insert(tx, machine_id(1), "toy", "s", &toy(""), at(0)).await).unwrap();
    assert!(commit!(store, tx => machine_take::<Toy>(tx, "toy", "other").await).unwrap().is_none());
    // Each adds a sign to what the one before left: whoever does not wait is refused or overwrites it.
    let other = bed.open().await.unwrap();
    let writers = (0..20).map(|n| {
        let store = if n % 2 == 0 { store.clone() } else { other.clone() };
        tokio::spawn(async move {
            commit!(store, tx => {
                let mut record = machine_take::<Toy>(tx, "toy", "s").await?.unwrap();
                record.machine.text.push('x');
                tokio::task::yield_now().await;
                machine_update(tx, &record, at(1)).await
            })
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap().unwrap();
    }
    let found = machine_find::<Toy>(&mut store.read().await.unwrap(), "toy", "s").await.unwrap().unwrap();
    assert_eq!((found.machine, found.version), (toy(&"x".repeat(20)), 21));
}
