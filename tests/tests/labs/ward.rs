//! That everything is given back, also when nobody asks for it any more.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use hostler_tests::hosts::{self, Lab};
use hostler_tests::shell::{self, PATIENCE};
use hostler_tests::ward::{Taken, Ward};

const FILE: &str = "HOSTLER_TEST_VICTIM";

/// Takes of everything, says in a file what, and waits for its end.
fn be_a_victim(file: &Path) {
    let ward = Ward::new("hostler-victim-").unwrap();
    let lab = Lab::start().unwrap().unwrap();
    let host = lab.host("victim", hosts::Options::default()).unwrap();
    host.freeze().unwrap();
    let mount = ward.dir().join("mount");
    std::fs::create_dir(&mount).unwrap();
    ward.note(Taken::Mount(&mount)).unwrap();
    shell::run(shell::command(&["mount", "-t", "tmpfs", "victim"]).arg(&mount)).unwrap();
    let mut sleeper = Command::new("sleep").arg("120").current_dir("/").spawn().unwrap();
    ward.note(Taken::Process(sleeper.id())).unwrap();
    let group = hosts::own_groups().unwrap()[0].join(format!("hostler-victim-{}", std::process::id()));
    ward.note(Taken::Group(&group)).unwrap();
    std::fs::create_dir(&group).unwrap();
    let namespace = lab.manager().path();
    let program = PathBuf::from(format!("/proc/{}/exe", sleeper.id()));
    let (first, disk) =
        (PathBuf::from(format!("/proc/{}/exe", host.first_process().unwrap())), host.root().join("usr"));
    let memory = host.group("memory").map_or_else(|| group.clone(), Path::to_owned);
    let taken = [ward.dir(), &mount, &group, &namespace, &program, &first, &disk, &memory];
    let taken: Vec<_> = taken.iter().map(|path| path.to_str().unwrap()).collect();
    std::fs::write(file.with_extension("new"), taken.join("\n")).unwrap();
    std::fs::rename(file.with_extension("new"), file).unwrap();
    sleeper.wait().unwrap();
}

#[test]
fn a_killed_test_leaves_nothing_behind() {
    if let Some(file) = std::env::var_os(FILE) {
        return be_a_victim(Path::new(&file));
    }
    if !hosts::possible() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("taken");
    let name = "ward::a_killed_test_leaves_nothing_behind";
    let mut victim = Command::new(std::env::current_exe().unwrap());
    victim.args(["--exact", name]).env(FILE, &file).stdout(Stdio::null());
    let mut victim = victim.spawn().unwrap();
    shell::wait(PATIENCE, "the victim has taken all", || Ok(file.exists())).unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    let taken: Vec<_> = text.lines().map(PathBuf::from).collect();
    assert_eq!(taken.len(), 8);
    assert!(taken.iter().all(|path| there(path)), "{taken:?}");

    victim.kill().unwrap();
    victim.wait().unwrap();
    shell::wait(PATIENCE, "all is given back", || Ok(!taken.iter().any(|path| there(path)))).unwrap();
}

/// Whether it is there; a dead process that nobody has waited for has no program any more.
fn there(path: &Path) -> bool {
    if path.starts_with("/proc") { std::fs::read_link(path).is_ok() } else { path.exists() }
}

#[test]
fn a_group_is_given_back_with_the_frozen_processes_in_it() {
    if !hosts::possible() {
        return;
    }
    let freezer = hosts::own_groups().unwrap().into_iter().find(|group| group.starts_with("/sys/fs/cgroup/freezer"));
    let Some(freezer) = freezer else { return };
    let mut ward = Ward::new("hostler-frozen-").unwrap();
    let group = freezer.join(format!("hostler-frozen-{}", std::process::id()));
    ward.note(Taken::Group(&group)).unwrap();
    std::fs::create_dir(&group).unwrap();
    let mut sleeper = Command::new("sleep").arg("1000").spawn().unwrap();
    std::fs::write(group.join("cgroup.procs"), sleeper.id().to_string()).unwrap();
    std::fs::write(group.join("freezer.state"), "FROZEN").unwrap();
    // Somebody has to wait for it, or it stays a member.
    let reaper = std::thread::spawn(move || sleeper.wait());
    ward.give_back().unwrap();
    assert!(!group.exists() && !ward.dir().exists());
    assert!(!reaper.join().unwrap().unwrap().success());
}
