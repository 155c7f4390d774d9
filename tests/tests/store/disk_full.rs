//! A full disk and a read-only one under an embedded store: an answer, no loss, and recovery without a restart.
//!
//! The disk is a small tmpfs in a mount namespace of a child process, so it goes with that process.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use hostler_common::error::Class;
use hostler_manager::store::host::{host_by_name, host_insert};
use hostler_manager::store::introspection::{DataKind, data_find, data_put};
use hostler_manager::store::{Error, Options, Result, Store};
use hostler_tests::commit;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::json;

use super::{at, host_id, long};

/// Runs a test of this file in a process that may mount.
fn in_a_namespace(test: &str) {
    let mut command = Command::new("unshare");
    command.arg("--mount");
    if !nix::unistd::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    let allowed = Command::new(command.get_program()).args(command.get_args()).arg("true").output();
    if !allowed.is_ok_and(|done| done.status.success()) {
        assert!(!std::env::var("CI").is_ok_and(|value| value == "true"), "CI=true, and nothing can be mounted here");
        hostler_tests::postgres::announce("SKIPPED: nothing can be mounted here, a full disk is not tested");
        return;
    }
    let done = command
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &format!("disk_full::{test}"), "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let said = [done.stdout, done.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(done.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
fn a_full_disk_is_survived() {
    in_a_namespace("child_on_a_full_disk");
}

#[test]
fn a_read_only_disk_is_survived() {
    in_a_namespace("child_on_a_read_only_disk");
}

/// A small disk in a folder of its own. It is unmounted before the folder goes, which else would stay.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        mount(Some("tmpfs"), folder.path(), Some("tmpfs"), MsFlags::empty(), Some("size=12m")).unwrap();
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        umount2(self.path(), MntFlags::MNT_DETACH).ok();
    }
}

/// Takes all the room that is left.
fn fill(path: &Path) {
    let mut file = fs::File::create(path).unwrap();
    for size in [1 << 16, 1 << 12, 1] {
        let block = vec![b'x'; size];
        while file.write_all(&block).is_ok() {}
    }
}

async fn add(store: &Store, n: u128, bytes: usize) -> Result<()> {
    commit!(store, tx => {
        host_insert(tx, host_id(n), &format!("host-{n}"), &[], at(0)).await?;
        data_put(tx, host_id(n), DataKind::Processed, &json!(long(bytes)), at(0)).await
    })
}

/// Every acknowledged row is there, whole, and no other.
async fn check(store: &Store, acknowledged: &[u128], bytes: usize) {
    let mut connection = store.read().await.unwrap();
    for n in 0..200 {
        let found = host_by_name(&mut connection, &format!("host-{n}")).await.unwrap();
        assert_eq!(found.is_some(), acknowledged.contains(&n), "host-{n}");
        if found.is_some() {
            let document = data_find(&mut connection, host_id(n), DataKind::Processed).await.unwrap().unwrap();
            assert_eq!(document.text.len(), bytes + 2);
        }
    }
}

/// Writes many rows at once, so that they share commits; returns which were acknowledged.
async fn add_many(store: &Store, numbers: std::ops::Range<u128>, bytes: usize) -> (Vec<u128>, Vec<Error>) {
    let writers: Vec<_> = numbers
        .map(|n| {
            let store = store.clone();
            (n, tokio::spawn(async move { add(&store, n, bytes).await }))
        })
        .collect();
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for (n, writer) in writers {
        match writer.await.unwrap() {
            Ok(()) => done.push(n),
            Err(error) => failed.push(error),
        }
    }
    (done, failed)
}

#[tokio::test]
#[ignore = "the child process of a_full_disk_is_survived"]
async fn child_on_a_full_disk() {
    const BYTES: usize = 60_000;
    let folder = SmallDisk::new();
    let (path, ballast) = (folder.path().join("manager.db"), folder.path().join("ballast"));
    let store = Store::open(&Options::Sqlite(path.clone())).await.unwrap();
    let (mut acknowledged, failed) = add_many(&store, 0..10, BYTES).await;
    assert!(failed.is_empty() && acknowledged.len() == 10, "{failed:?}");
    for round in 0..3 {
        fill(&ballast);
        let first = 20 + round * 50;
        let (done, failed) = add_many(&store, first..first + 40, BYTES).await;
        assert!(failed.len() > 30, "the disk is not full: {} rows were written", done.len());
        for error in &failed {
            assert!(matches!(error, Error::Unavailable(_)) && error.class() == Class::Unavailable, "{error:?}");
        }
        acknowledged.extend(done);
        store.ping().await.unwrap();
        check(&store, &acknowledged, BYTES).await;
        let refused = add(&store, first + 45, BYTES).await;
        assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
        fs::remove_file(&ballast).unwrap();
        // The same store works again, without a restart.
        let (done, failed) = add_many(&store, first + 46..first + 49, BYTES).await;
        assert!(failed.is_empty(), "{failed:?}");
        acknowledged.extend(done);
        check(&store, &acknowledged, BYTES).await;
    }
    // A manager that dies while the disk is full loses nothing either, and its successor can at least be read.
    fill(&ballast);
    drop(store);
    fs::remove_file(&ballast).unwrap();
    check(&Store::open(&Options::Sqlite(path)).await.unwrap(), &acknowledged, BYTES).await;
}

#[tokio::test]
#[ignore = "the child process of a_read_only_disk_is_survived"]
async fn child_on_a_read_only_disk() {
    let folder = SmallDisk::new();
    let path: PathBuf = folder.path().join("manager.db");
    // A copy is one file, without the files of a log beside it.
    let elsewhere = tempfile::tempdir().unwrap();
    let source = Store::open(&Options::Sqlite(elsewhere.path().join("manager.db"))).await.unwrap();
    add(&source, 1, 100).await.unwrap();
    source.backup(&path).await.unwrap();
    let remount = |flags| mount(None::<&str>, folder.path(), None::<&str>, MsFlags::MS_REMOUNT | flags, None::<&str>);
    remount(MsFlags::MS_RDONLY).unwrap();
    match Store::open(&Options::Sqlite(path.clone())).await {
        Ok(_) => panic!("a store that cannot be written was opened"),
        Err(error) => {
            assert_eq!(error.class(), Class::Unavailable, "{error}");
            assert!(error.to_string().contains(&path.display().to_string()), "{error}");
        }
    }
    remount(MsFlags::empty()).unwrap();
    let store = Store::open(&Options::Sqlite(path)).await.unwrap();
    check(&store, &[1], 100).await;
    add(&store, 2, 100).await.unwrap();
}
