use super::*;

fn fetch(path: &str) -> Fetch {
    Fetch { sha256: Digest(Sha256::digest(b"hello").into()).to_string(), size: 5, path: path.into(), mode: 0o644 }
}

#[test]
fn only_plain_paths_below_allowed_folders() {
    let allowed = [PathBuf::from("/srv/files"), PathBuf::from("/opt")];
    for good in ["/srv/files/a", "/srv/files/a/b.tar", "/opt/x"] {
        assert!(below(good, &allowed).is_some(), "{good}");
    }
    for bad in [
        "/srv/files",
        "/srv/files/",
        "/srv/filesystem",
        "/srv/files/../x",
        "srv/files/a",
        "/etc/passwd",
        "",
        "/opt/a\0",
    ] {
        assert!(below(bad, &allowed).is_none(), "{bad:?}");
    }
}

#[test]
fn what_is_here_is_not_fetched_and_what_nobody_wants_goes() {
    let dir = tempfile::tempdir().unwrap();
    let downloads = Downloads::open(dir.path(), &[PathBuf::from("/srv")]).unwrap();
    assert_eq!(downloads.fitness(&fetch("/srv/a")), Fitness::Wanting);
    let digest: Digest = fetch("/srv/a").sha256.parse().unwrap();
    let here = place(dir.path()).join(digest.to_string());
    fs::write(&here, "hello").unwrap();
    fs::write(place(dir.path()).join(format!("{digest}.part")), "he").unwrap();
    assert_eq!(downloads.fitness(&fetch("/srv/a")), Fitness::Ready);
    let refused = |fetch: &Fetch| matches!(downloads.fitness(fetch), Fitness::Refused(_));
    assert!(refused(&fetch("/etc/a")));
    assert!(refused(&Fetch { mode: 0o4755, ..fetch("/srv/a") }));
    assert!(refused(&Fetch { sha256: "x".into(), ..fetch("/srv/a") }));
    downloads.keep_only(&BTreeSet::from([digest]));
    assert!(here.exists());
    downloads.keep_only(&BTreeSet::new());
    assert_eq!(fs::read_dir(place(dir.path())).unwrap().count(), 0);
}
