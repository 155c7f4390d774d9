//! Secrets.

use hostler_manager::store::secret::{Secret, secret_delete, secret_list, secret_put, secret_sealed};
use hostler_tests::both::Bed;
use hostler_tests::{commit, on_both};

use super::{UNICODE, at};

on_both!(a_secret_is_replaced, secrets_are_listed_without_values);

async fn a_secret_is_replaced(bed: Bed) {
    let store = bed.open().await.unwrap();
    commit!(store, tx => secret_put(tx, UNICODE, "one", "a", at(1)).await).unwrap();
    commit!(store, tx => secret_put(tx, UNICODE, "two", UNICODE, at(2)).await).unwrap();
    let mut connection = store.read().await.unwrap();
    assert_eq!(secret_sealed(&mut connection, UNICODE).await.unwrap().as_deref(), Some("two"));
    assert_eq!(secret_sealed(&mut connection, "other").await.unwrap(), None);
    let secret = Secret { name: UNICODE.into(), created_at: at(1), updated_at: at(2), updated_by: UNICODE.into() };
    assert_eq!(secret_list(&mut connection).await.unwrap(), [secret]);
}

async fn secrets_are_listed_without_values(bed: Bed) {
    let store = bed.open().await.unwrap();
    for name in ["c", "a", "b"] {
        commit!(store, tx => secret_put(tx, name, "sealed-value", "me", at(1)).await).unwrap();
    }
    assert!(commit!(store, tx => secret_delete(tx, "b").await).unwrap());
    assert!(!commit!(store, tx => secret_delete(tx, "b").await).unwrap());
    let all = secret_list(&mut store.read().await.unwrap()).await.unwrap();
    assert_eq!(all.iter().map(|secret| secret.name.as_str()).collect::<Vec<_>>(), ["a", "c"]);
    assert!(!format!("{all:?}").contains("sealed-value"));
}
