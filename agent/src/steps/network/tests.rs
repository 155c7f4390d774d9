use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use hostler_common::step::NetworkFile;

use super::*;

/// The group of the file that is there, where the tests may give it one.
const GROUP: u32 = 4321;

fn has_its_rights(old: &Path) -> bool {
    let metadata = fs::metadata(old).unwrap();
    let group = !nix::unistd::geteuid().is_root() || metadata.gid() == GROUP;
    group && metadata.permissions().mode() & 0o777 == 0o640
}

/// A change of two files in a folder of the test: one that is there, and a new one. No interface is named, so that nothing
/// is applied.
fn prepared(dir: &Path) -> (NetworkChange, Snapshot) {
    let old = dir.join("interfaces");
    fs::write(&old, "old").unwrap();
    if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::chown(&old, None, Some(GROUP)).unwrap();
    }
    fs::set_permissions(&old, fs::Permissions::from_mode(0o640)).unwrap();
    let file = |name: &str, contents: &str| NetworkFile {
        path: dir.join(name).display().to_string(),
        contents: Some(contents.into()),
    };
    let step = NetworkChange {
        interfaces: vec![],
        files: vec![file("interfaces", "new"), file("more.d/a", "added")],
        confirm_s: 5,
    };
    let snapshot = Snapshot::take(&dir.join("rollback"), &step, Way::Interfaces, Duration::ZERO).unwrap();
    (step, snapshot)
}

fn is_as_before(dir: &Path) -> bool {
    let old = dir.join("interfaces");
    fs::read(&old).unwrap() == b"old" && has_its_rights(&old) && !dir.join("more.d/a").exists()
}

#[test]
fn a_change_that_is_verified_stays() {
    let dir = tempfile::tempdir().unwrap();
    let (step, snapshot) = prepared(dir.path());
    let result = change(&step, &snapshot, Way::Interfaces, Duration::ZERO, || true).unwrap();
    assert!(result.changed);
    assert_eq!(result.after["result"], "ok");
    assert_eq!(fs::read(dir.path().join("interfaces")).unwrap(), b"new");
    assert!(has_its_rights(&dir.path().join("interfaces")));
    assert_eq!(fs::read(dir.path().join("more.d/a")).unwrap(), b"added");
    assert_eq!(fs::metadata(dir.path().join("more.d/a")).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!snapshot.folder().exists());
    // The process beside it finds nothing to do.
    roll_back_later(snapshot.folder()).unwrap();
    assert_eq!(fs::read(dir.path().join("interfaces")).unwrap(), b"new");
}

#[test]
fn a_change_that_cuts_the_host_off_is_put_back() {
    let dir = tempfile::tempdir().unwrap();
    let (step, snapshot) = prepared(dir.path());
    let failure = change(&step, &snapshot, Way::Interfaces, Duration::ZERO, || false).unwrap_err();
    let Failure::Undone(result) = failure else { panic!("{failure:?}") };
    assert_eq!((result.changed, &result.after["result"]), (false, &json!("rolled_back")));
    assert!(is_as_before(dir.path()));
}

#[test]
fn a_change_whose_step_died_is_put_back_by_the_process_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let (step, snapshot) = prepared(dir.path());
    snapshot::write(&step.files, Way::Interfaces).unwrap();
    assert!(!is_as_before(dir.path()));
    roll_back_later(snapshot.folder()).unwrap();
    assert!(is_as_before(dir.path()));
    assert!(!snapshot.folder().exists());
}

#[test]
fn links_are_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/etc/passwd", dir.path().join("link")).unwrap();
    let path = dir.path().join("link").display().to_string();
    let step = NetworkChange {
        interfaces: vec![],
        files: vec![NetworkFile { path, contents: Some("x".into()) }],
        confirm_s: 5,
    };
    assert!(Snapshot::take(&dir.path().join("r"), &step, Way::Interfaces, Duration::ZERO).is_err());
}

#[test]
fn without_a_manager_nothing_begins() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(managers(dir.path()), Err(Failure::Refused(_))));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    assert!(reachable(&["127.0.0.1:1".into(), address]));
    drop(listener);
    assert!(!reachable(&["127.0.0.1:1".into()]));
}
