//! Tokens of the croit dialect.

use hostler_manager::store::Error;
use hostler_manager::store::api_token::{
    ApiToken, api_token_by_hash, api_token_delete, api_token_insert, api_token_list, api_token_revoke,
    api_token_set_roles,
};
use hostler_tests::both::Bed;
use hostler_tests::{commit, on_both};

use super::{UNICODE, at};

on_both!(a_token_is_found_by_its_hash, roles_are_replaced, tokens_end_by_number_and_by_hash);

fn token(name: &str) -> ApiToken {
    ApiToken {
        id: 0,
        name: name.into(),
        roles: vec!["admin".into(), UNICODE.into()],
        for_hooks: name == "hooks",
        expires_at: (name == "hooks").then(|| at(9)),
        created_at: at(1),
        created_by: UNICODE.into(),
    }
}

async fn a_token_is_found_by_its_hash(bed: Bed) {
    let store = bed.open().await.unwrap();
    for (number, name, hash) in [(1, UNICODE, "aa"), (2, "hooks", "bb")] {
        let id = commit!(store, tx => api_token_insert(tx, &token(name), hash).await).unwrap();
        assert_eq!(id, number);
        let found = api_token_by_hash(&mut store.read().await.unwrap(), hash).await.unwrap();
        assert_eq!(found, Some(ApiToken { id, ..token(name) }));
    }
    let mut connection = store.read().await.unwrap();
    assert_eq!(api_token_by_hash(&mut connection, "AA").await.unwrap(), None);
    let names: Vec<String> =
        api_token_list(&mut connection).await.unwrap().into_iter().map(|token| token.name).collect();
    assert_eq!(names, [UNICODE, "hooks"]);
    drop(connection);
    let twice = commit!(store, tx => api_token_insert(tx, &token("other"), "aa").await);
    assert!(matches!(twice, Err(Error::Exists(_))), "{twice:?}");
}

async fn roles_are_replaced(bed: Bed) {
    let store = bed.open().await.unwrap();
    let id = commit!(store, tx => api_token_insert(tx, &token("a"), "aa").await).unwrap();
    assert!(commit!(store, tx => api_token_set_roles(tx, id, &["viewer".into()]).await).unwrap());
    assert!(!commit!(store, tx => api_token_set_roles(tx, id + 1, &[]).await).unwrap());
    let found = api_token_list(&mut store.read().await.unwrap()).await.unwrap();
    assert_eq!(found, [ApiToken { id, roles: vec!["viewer".into()], ..token("a") }]);
}

async fn tokens_end_by_number_and_by_hash(bed: Bed) {
    let store = bed.open().await.unwrap();
    let one = commit!(store, tx => api_token_insert(tx, &token("a"), "aa").await).unwrap();
    let two = commit!(store, tx => api_token_insert(tx, &token("b"), "bb").await).unwrap();
    assert!(commit!(store, tx => api_token_delete(tx, one).await).unwrap());
    assert!(!commit!(store, tx => api_token_delete(tx, one).await).unwrap());
    assert!(!commit!(store, tx => api_token_revoke(tx, "aa").await).unwrap());
    assert!(commit!(store, tx => api_token_revoke(tx, "bb").await).unwrap());
    assert!(api_token_list(&mut store.read().await.unwrap()).await.unwrap().is_empty());
    let three = commit!(store, tx => api_token_insert(tx, &token("c"), "aa").await).unwrap();
    assert!(three > two, "numbers are not used again");
}
