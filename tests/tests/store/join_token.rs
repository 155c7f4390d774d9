//! Join tokens and certificates.

use hostler_common::id::JoinTokenId;
use hostler_manager::store::join_token::{
    JoinToken, certificate_find, certificate_insert, certificate_revoke_all, join_token_find, join_token_insert,
    join_token_list, join_token_revoke, join_token_use,
};
use hostler_manager::store::{Error, Store};
use hostler_tests::both::Bed;
use hostler_tests::{commit, on_both};
use uuid::Uuid;

use super::{UNICODE, at, host_id, some_host};

on_both!(
    a_token_comes_back_as_it_was,
    tokens_are_listed_from_the_newest,
    the_last_use_is_taken_once,
    a_revoked_token_stays_revoked,
    certificates_count_until_they_are_revoked,
);

fn token(n: u128, uses: i64) -> JoinToken {
    JoinToken {
        id: JoinTokenId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + n)),
        secret_hash: format!("{n:064x}"),
        description: Some(UNICODE.into()),
        created_at: at(1),
        created_by: "admin".into(),
        expires_at: at(100),
        uses,
        used: 0,
        names: vec!["ceph-*".into(), "ü".into()],
        networks: vec!["192.0.2.0/24".into()],
        roles: Vec::new(),
        revoked_at: None,
    }
}

async fn add(store: &Store, n: u128, uses: i64) -> JoinTokenId {
    commit!(store, tx => join_token_insert(tx, &token(n, uses)).await).unwrap();
    token(n, uses).id
}

async fn find(store: &Store, id: JoinTokenId) -> JoinToken {
    join_token_find(&mut store.read().await.unwrap(), id).await.unwrap().unwrap()
}

async fn a_token_comes_back_as_it_was(bed: Bed) {
    let store = bed.open().await.unwrap();
    let id = add(&store, 1, 3).await;
    let found = find(&store, id).await;
    assert_eq!(format!("{found:?}"), format!("{:?}", token(1, 3)));
    let plain = JoinToken { description: None, ..token(2, 0) };
    let written = plain.clone();
    commit!(store, tx => join_token_insert(tx, &written).await).unwrap();
    assert_eq!(find(&store, plain.id).await.description, None);
    assert!(join_token_find(&mut store.read().await.unwrap(), token(9, 0).id).await.unwrap().is_none());
    let twice = commit!(store, tx => join_token_insert(tx, &token(1, 1)).await);
    assert!(matches!(twice, Err(Error::Exists(_))), "{twice:?}");
    assert_eq!((found.state(at(99)), found.state(at(100))), ("active", "expired"));
}

async fn tokens_are_listed_from_the_newest(bed: Bed) {
    let store = bed.open().await.unwrap();
    for n in [10, 2, 15, 11] {
        add(&store, n, 1).await;
    }
    let mut connection = store.read().await.unwrap();
    let all = join_token_list(&mut connection, None, 9).await.unwrap();
    assert_eq!(all.iter().map(|token| token.id).collect::<Vec<_>>(), [15, 11, 10, 2].map(|n| token(n, 1).id));
    let page = join_token_list(&mut connection, Some(token(15, 1).id), 2).await.unwrap();
    assert_eq!(page.iter().map(|token| token.id).collect::<Vec<_>>(), [11, 10].map(|n| token(n, 1).id));
    assert!(join_token_list(&mut connection, Some(token(2, 1).id), 2).await.unwrap().is_empty());
}

async fn the_last_use_is_taken_once(bed: Bed) {
    let store = bed.open().await.unwrap();
    let (limited, free) = (add(&store, 1, 5).await, add(&store, 2, 0).await);
    let users = (0..20).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { commit!(store, tx => join_token_use(tx, limited).await).unwrap() })
    });
    let mut taken = 0;
    for user in users.collect::<Vec<_>>() {
        taken += i32::from(user.await.unwrap());
    }
    assert_eq!(taken, 5);
    let found = find(&store, limited).await;
    assert_eq!((found.used, found.state(at(2))), (5, "used"));
    for _ in 0..3 {
        assert!(commit!(store, tx => join_token_use(tx, free).await).unwrap());
    }
    assert_eq!((find(&store, free).await.used, find(&store, free).await.state(at(2))), (3, "active"));
    assert!(!commit!(store, tx => join_token_use(tx, token(9, 1).id).await).unwrap());
}

async fn a_revoked_token_stays_revoked(bed: Bed) {
    let store = bed.open().await.unwrap();
    let id = add(&store, 1, 5).await;
    assert!(commit!(store, tx => join_token_revoke(tx, id, at(7)).await).unwrap());
    assert!(commit!(store, tx => join_token_revoke(tx, id, at(8)).await).unwrap());
    assert!(!commit!(store, tx => join_token_revoke(tx, token(2, 1).id, at(8)).await).unwrap());
    let found = find(&store, id).await;
    assert_eq!((found.revoked_at, found.state(at(8))), (Some(at(7)), "revoked"));
}

async fn certificates_count_until_they_are_revoked(bed: Bed) {
    let store = bed.open().await.unwrap();
    let (id, other) = (some_host(&store, 1).await, some_host(&store, 2).await);
    commit!(store, tx => {
        certificate_insert(tx, "aa", id, at(0), at(10)).await?;
        certificate_insert(tx, "bb", id, at(5), at(15)).await?;
        certificate_insert(tx, "cc", other, at(5), at(15)).await
    })
    .unwrap();
    let twice = commit!(store, tx => certificate_insert(tx, "aa", other, at(0), at(1)).await);
    assert!(matches!(twice, Err(Error::Exists(_))), "{twice:?}");
    let orphan = commit!(store, tx => certificate_insert(tx, "dd", host_id(9), at(0), at(1)).await);
    assert!(matches!(orphan, Err(Error::Broken(_))), "a certificate needs a host: {orphan:?}");
    commit!(store, tx => certificate_revoke_all(tx, id, UNICODE, at(6)).await).unwrap();
    commit!(store, tx => certificate_insert(tx, "ee", id, at(7), at(17)).await).unwrap();
    commit!(store, tx => certificate_revoke_all(tx, other, "gone", at(8)).await).unwrap();
    let mut connection = store.read().await.unwrap();
    for (serial, expected) in [
        ("aa", Some((id, false))),
        ("bb", Some((id, false))),
        ("cc", Some((other, false))),
        ("ee", Some((id, true))),
        ("AA", None),
    ] {
        assert_eq!(certificate_find(&mut connection, serial).await.unwrap(), expected, "{serial}");
    }
}
