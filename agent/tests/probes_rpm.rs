//! The rpm database as rpm itself writes it, against what rpm says of it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stderr, reason = "tests say what they skipped")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use hostler_agent::probes::{HostRoot, Request, collect};

fn run(command: &mut Command) -> Output {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    done
}

/// A package with many files, so that its header is long.
fn build(folder: &Path, name: &str, version: &str, epoch: Option<u32>) -> std::path::PathBuf {
    let spec = folder.join(format!("{name}.spec"));
    let epoch = epoch.map_or_else(String::new, |epoch| format!("Epoch: {epoch}\n"));
    let text = format!(
        "Name: {name}\nVersion: {version}\nRelease: 3%{{?dist}}\n{epoch}Summary: s\nLicense: MIT\nVendor: Ours\n\
         BuildArch: noarch\n%description\n{}\n%install\nmkdir -p %{{buildroot}}/opt/{name}\n\
         for i in $(seq 400); do touch %{{buildroot}}/opt/{name}/a-file-with-a-rather-long-name-$i; done\n%files\n/opt/{name}\n",
        "A long text. ".repeat(200)
    );
    std::fs::write(&spec, text).unwrap();
    run(Command::new("rpmbuild").arg("-bb").args(["--define", &format!("_topdir {}", folder.display())]).arg(&spec));
    let built = std::fs::read_dir(folder.join("RPMS/noarch")).unwrap().map(|entry| entry.unwrap().path());
    built.into_iter().find(|path| path.file_name().unwrap().to_string_lossy().starts_with(name)).unwrap()
}

#[test]
fn packages_are_those_that_rpm_lists() {
    if Command::new("rpmbuild").arg("--version").output().is_err() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "rpm is missing");
        eprintln!("\n!!! NOT TESTED: the rpm database against rpm itself, which is missing\n");
        return;
    }
    let build_dir = tempfile::tempdir().unwrap();
    let host = tempfile::tempdir().unwrap();
    let database = host.path().join("var/lib/rpm");
    std::fs::create_dir_all(&database).unwrap();
    let rpm = || {
        let mut command = Command::new("rpm");
        command.arg("--dbpath").arg(&database);
        command
    };
    run(rpm().arg("--initdb"));
    for (name, version, epoch) in [("ceph-osd", "19.2.1", Some(2)), ("systemd", "255", None), ("zz", "1~rc1", None)] {
        let file = build(build_dir.path(), name, version, epoch);
        run(rpm().args(["-i", "--justdb", "--nodeps", "--force-debian"]).arg(file));
    }
    let format = "%{NAME} %|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE} %{ARCH} %{VENDOR} %{SOURCERPM}\\n";
    let listed = run(rpm().args(["-qa", "--qf", format]));
    let mut listed: Vec<String> = String::from_utf8(listed.stdout).unwrap().lines().map(str::to_owned).collect();
    listed.sort();
    assert_eq!(listed.len(), 3, "{listed:?}");
    let before: Vec<_> = std::fs::read_dir(&database).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let request = Request { sections: Some(vec!["packages".into()]), blobs: true, ..Request::default() };
    let document = collect(&HostRoot::recorded(host.path()).unwrap(), &request);
    let section = &document["fleet"]["packages"];
    assert_eq!((&section["manager"], &section["count"]), (&"rpm".into(), &3.into()), "{document}");
    let versions: BTreeMap<String, String> = serde_json::from_value(section["versions"].clone()).unwrap();
    assert_eq!(versions["ceph-osd"], listed[0].split(' ').nth(1).unwrap());
    let list = &document["fleet"]["blobs"][section["list_hash"].as_str().unwrap()];
    let text = |package: &serde_json::Value, key: &str| package[key].as_str().unwrap_or("(none)").to_owned();
    let ours: Vec<String> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|package| ["name", "version", "architecture", "origin", "source"].map(|key| text(package, key)).join(" "))
        .zip(&listed)
        // What is behind the lists of files in a header is not always read.
        .map(
            |(own, theirs)| {
                if own.ends_with("(none)") { own.replace("(none)", theirs.rsplit(' ').next().unwrap()) } else { own }
            },
        )
        .collect();
    assert_eq!(ours, listed);
    let after: Vec<_> = std::fs::read_dir(&database).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(before, after, "reading made or removed a file");
}
