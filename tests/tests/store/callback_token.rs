//! Tokens of callbacks.

use hostler_common::id::HostId;
use hostler_manager::store::callback_token::{callback_token_find, callback_token_put};
use hostler_manager::store::host::host_delete;
use hostler_manager::store::{Error, Store};
use hostler_tests::both::Bed;
use hostler_tests::{commit, on_both};

use super::{at, host_id, some_host};

on_both!(a_host_has_one_token_until_its_end, a_token_goes_with_its_host);

async fn find(store: &Store, hash: &str, second: i64) -> Option<HostId> {
    callback_token_find(&mut store.read().await.unwrap(), hash, at(second)).await.unwrap()
}

async fn a_host_has_one_token_until_its_end(bed: Bed) {
    let store = bed.open().await.unwrap();
    let (one, two) = (some_host(&store, 1).await, some_host(&store, 2).await);
    commit!(store, tx => callback_token_put(tx, one, "aa", at(100)).await).unwrap();
    commit!(store, tx => callback_token_put(tx, two, "bb", at(200)).await).unwrap();
    assert_eq!((find(&store, "aa", 99).await, find(&store, "aa", 100).await), (Some(one), None));
    assert_eq!((find(&store, "bb", 100).await, find(&store, "AA", 1).await), (Some(two), None));
    commit!(store, tx => callback_token_put(tx, one, "cc", at(300)).await).unwrap();
    assert_eq!((find(&store, "aa", 1).await, find(&store, "cc", 299).await), (None, Some(one)));
    let taken = commit!(store, tx => callback_token_put(tx, one, "bb", at(300)).await);
    assert!(matches!(taken, Err(Error::Exists(_))), "{taken:?}");
    assert_eq!(find(&store, "bb", 1).await, Some(two));
}

async fn a_token_goes_with_its_host(bed: Bed) {
    let store = bed.open().await.unwrap();
    let one = some_host(&store, 1).await;
    commit!(store, tx => callback_token_put(tx, one, "aa", at(100)).await).unwrap();
    commit!(store, tx => host_delete(tx, one, at(2)).await).unwrap();
    assert_eq!(find(&store, "aa", 1).await, None);
    assert!(commit!(store, tx => callback_token_put(tx, host_id(9), "dd", at(100)).await).is_err());
}
