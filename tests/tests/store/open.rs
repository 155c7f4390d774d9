//! Opening: anew, again, at the same time, and what must be refused.

use std::path::PathBuf;

use hostler_common::error::Class;
use hostler_manager::store::host::{host_by_name, host_insert};
use hostler_manager::store::{Options, Result, Store};
use hostler_tests::both::Bed;
use hostler_tests::{commit, on_both};
use sqlx::Executor as _;

use super::{at, host_id};

on_both!(
    a_second_opening_finds_what_the_first_left,
    many_openings_at_once_make_one_schema,
    a_schema_of_a_newer_release_is_refused,
    a_schema_that_was_changed_is_refused,
);

/// Where a store that cannot be opened would be a wonder; its error.
async fn refusal(options: &Options) -> hostler_manager::store::Error {
    match Store::open(options).await {
        Ok(_) => panic!("{options:?} was opened"),
        Err(error) => error,
    }
}

async fn add(store: &Store, n: u128) -> Result<()> {
    commit!(store, tx => host_insert(tx, host_id(n), &format!("host-{n}"), &[], at(0)).await)
}

async fn a_second_opening_finds_what_the_first_left(bed: Bed) {
    let first = bed.open().await.unwrap();
    add(&first, 1).await.unwrap();
    let second = bed.open().await.unwrap();
    assert_eq!(host_by_name(&mut second.read().await.unwrap(), "host-1").await.unwrap(), Some(host_id(1)));
    // Both work side by side: a backup opens the store of a running manager.
    add(&second, 2).await.unwrap();
    add(&first, 3).await.unwrap();
    drop((first, second));
    let third = bed.open().await.unwrap();
    assert_eq!(host_by_name(&mut third.read().await.unwrap(), "host-3").await.unwrap(), Some(host_id(3)));
}

async fn many_openings_at_once_make_one_schema(bed: Bed) {
    let opening = (0..6_u128).map(|n| {
        let options = bed.options.clone();
        tokio::spawn(async move {
            let store = Store::open(&options).await?;
            add(&store, n).await
        })
    });
    for done in opening.collect::<Vec<_>>() {
        done.await.unwrap().unwrap();
    }
    let store = bed.open().await.unwrap();
    for n in 0..6 {
        let found = host_by_name(&mut store.read().await.unwrap(), &format!("host-{n}")).await.unwrap();
        assert_eq!(found, Some(host_id(n)));
    }
}

async fn a_schema_of_a_newer_release_is_refused(bed: Bed) {
    drop(bed.open().await.unwrap());
    let mut raw = bed.raw().await.unwrap();
    let note = "insert into _sqlx_migrations (version, description, success, checksum, execution_time) \
                select 9999, 'from the future', success, checksum, execution_time from _sqlx_migrations \
                where version = 1";
    raw.execute(note).await.unwrap();
    let error = refusal(&bed.options).await;
    assert_eq!(error.class(), Class::Internal);
    let text = error.to_string();
    assert!(text.contains("9999") && text.contains("newer"), "{text}");
    raw.execute("delete from _sqlx_migrations where version = 9999").await.unwrap();
    add(&bed.open().await.unwrap(), 1).await.unwrap();
}

async fn a_schema_that_was_changed_is_refused(bed: Bed) {
    drop(bed.open().await.unwrap());
    let mut raw = bed.raw().await.unwrap();
    sqlx::query("update _sqlx_migrations set checksum = $1").bind(vec![1_u8; 48]).execute(&mut raw).await.unwrap();
    let text = refusal(&bed.options).await.to_string();
    assert!(text.contains("schema") && text.contains('1'), "{text}");
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("missing/manager.db");
    let error = refusal(&Options::Sqlite(path.clone())).await;
    assert_eq!(error.class(), Class::Unavailable);
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    assert!(!path.parent().unwrap().exists());
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("manager.db");
    let text = "These are not the rows that you are looking for. ".repeat(100);
    std::fs::write(&path, &text).unwrap();
    let error = refusal(&Options::Sqlite(path.clone())).await;
    assert_eq!(error.class(), Class::Internal);
    assert!(error.to_string().contains("not a database"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[tokio::test]
async fn a_folder_may_have_any_name() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["with space", "ques?tion", "ha#sh", "per%41cent", "ünï 主机", "a&b=c;d", "100%"] {
        let folder = dir.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        let options = Options::Sqlite(folder.join("manager.db"));
        let store = Store::open(&options).await.unwrap();
        add(&store, 1).await.unwrap();
        assert!(folder.join("manager.db").exists(), "{name}");
    }
    let mut there: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    there.sort();
    assert_eq!(there.len(), 7, "something was put beside the folders: {there:?}");
}

#[tokio::test]
async fn a_relative_path_is_one_in_the_current_folder() {
    let name = format!("target-of-test-{}.db", std::process::id());
    let here = std::env::current_dir().unwrap();
    let store = Store::open(&Options::Sqlite(PathBuf::from(&name))).await.unwrap();
    add(&store, 1).await.unwrap();
    drop(store);
    assert!(here.join(&name).exists());
    for end in ["", "-wal", "-shm"] {
        std::fs::remove_file(here.join(format!("{name}{end}"))).ok();
    }
}

#[tokio::test]
async fn a_wrong_url_is_refused_without_its_password() {
    let dir = tempfile::tempdir().unwrap();
    let nowhere = format!("postgres://user:hunter2@localhost/db?host={}", dir.path().display());
    let refused = format!("postgres://user:hunter2@127.0.0.1:{}/db", free_port());
    for (url, class) in [
        ("nonsense:hunter2", Class::Internal),
        ("", Class::Internal),
        ("mysql://user:hunter2@localhost/db", Class::Internal),
        ("postgres://user:hunter2@[bad/db", Class::Internal),
        (nowhere.as_str(), Class::Unavailable),
        (refused.as_str(), Class::Unavailable),
    ] {
        let error = refusal(&Options::Postgres(url.to_owned())).await;
        assert_eq!(error.class(), class, "{url}: {error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}

/// A port on which nobody listens.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn a_database_that_is_not_there_is_named() {
    let Some(bed) = Bed::new(hostler_tests::both::Kind::Postgres).await.unwrap() else { return };
    let Options::Postgres(url) = &bed.options else { panic!("{:?}", bed.options) };
    let wrong = url.replace("/test_", "/nothing_");
    let error = refusal(&Options::Postgres(wrong)).await;
    assert!(error.to_string().contains("nothing_"), "{error}");
}
