//! The tests of `contain.rs` in a host with a real systemd, where programs get scopes. The host is booted for it and thrown
//! away; its tree is made once, from the Debian archive, and kept in the target directory.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stderr, reason = "tests say what they skipped")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The status of the script where no host can be had.
const NO_HOST: i32 = 75;

/// Says loudly that nothing was tested; in CI that is a failure.
fn skip(why: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "this test must run in CI: {why}");
    eprintln!("\n!!! NOT TESTED: containment under systemd: {why}\n");
}

/// The folder in which Cargo puts what it builds.
fn built() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_hostler-agent")).parent().unwrap().to_owned()
}

/// The tree of the host; `None` if it cannot be made here. Tests of this program share it.
fn base() -> Option<PathBuf> {
    static BASE: OnceLock<Option<PathBuf>> = OnceLock::new();
    BASE.get_or_init(make_base).clone()
}

fn make_base() -> Option<PathBuf> {
    let lab = built().parent().unwrap().join("lab");
    let base = lab.join("base");
    if base.is_dir() {
        return Some(base);
    }
    std::fs::create_dir_all(&lab).unwrap();
    let fresh = lab.join(format!("fresh-{}", std::process::id()));
    let made = Command::new("mmdebstrap")
        .args(["--quiet", "--variant=minbase", "--include=systemd,systemd-sysv,dbus,procps"])
        .args(["--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/doc/*", "bookworm"])
        .arg(&fresh)
        .status();
    if !made.is_ok_and(|status| status.success()) {
        std::fs::remove_dir_all(&fresh).ok();
        return None;
    }
    std::fs::rename(&fresh, &base).unwrap();
    Some(base)
}

/// The newest test binary of a name beside this one.
fn test_binary(name: &str) -> Option<PathBuf> {
    let folder = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    let is_it = |path: &PathBuf| {
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        let hash = file.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
        hash.is_some_and(|hash| hash.chars().all(|c| c.is_ascii_hexdigit()))
    };
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(is_it);
    entries.max_by_key(|path| path.metadata().and_then(|metadata| metadata.modified()).ok())
}

/// What the agent's unit takes away from it, as systemd-run wants it.
fn sandbox() -> Vec<String> {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/systemd/hostler-agent.service");
    let text = std::fs::read_to_string(unit).unwrap();
    let of_sandbox = |line: &&str| {
        let names = ["Capability", "NoNew", "Protect", "Restrict", "Lock", "MemoryDeny", "Keyring", "SystemCall"];
        names.iter().any(|name| line.starts_with(name))
    };
    let found: Vec<String> = text.lines().filter(of_sandbox).map(|line| format!("--property={line}")).collect();
    assert!(found.len() > 10, "{found:?}");
    found
}

/// Runs tests of another file in a host, as a service with these properties, and returns what they said.
fn run_in_host(name: &str, properties: &[String], names: &[&str]) -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        skip("this is not root");
        return None;
    }
    let Some(tests) = test_binary(name) else {
        skip(&format!("the test {name} is not built; run all tests of the crate"));
        return None;
    };
    let Some(base) = base() else {
        skip("no Debian tree can be made (mmdebstrap)");
        return None;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/in-systemd-host");
    let done = Command::new(script).arg(base).arg(built()).args(properties).arg(tests).args(names).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    if done.status.code() == Some(NO_HOST) {
        skip(&said);
        return None;
    }
    assert!(done.status.success(), "{said}");
    assert!(said.contains("test result: ok. "), "{said}");
    Some(said)
}

fn contain_in_host(properties: &[String]) {
    let Some(said) = run_in_host("contain", properties, &[]) else { return };
    // In that host systemd is one of the ways; had it not been offered, the tests would have said so.
    assert!(!said.contains("NOT TESTED: Systemd"), "{said}");
    assert!(said.contains("a_supervisor_that_was_killed_leaves_what_is_found_and_cleared ... ok"), "{said}");
}

/// The agent of the tests is in the sandbox of the agent's unit; its scripts are not.
#[test]
fn scripts_run_as_services_outside_of_the_sandbox() {
    let mut properties = sandbox();
    // Not in /tmp: scripts have one of their own.
    properties.extend(
        [
            "--property=StateDirectory=hostler-test",
            "--setenv=TMPDIR=/var/lib/hostler-test",
            "--property=ReadWritePaths=/tmp",
        ]
        .map(str::to_owned),
    );
    let names = [
        "a_script_runs_in_an_environment_of_its_own_and_nothing_stays",
        "a_script_whose_supervisor_cannot_start_fails_and_says_so",
        "a_script_whose_supervisor_was_killed_is_lost_and_what_is_left_of_it_ends",
        "another_account_is_another_account",
        "output_comes_while_the_script_runs",
        "secrets_are_files_in_memory_and_never_in_output_or_on_the_disk",
        "spec_13_6_a_cancel_through_the_agent_leaves_nothing_within_fifteen_seconds",
        "spec_13_9_an_agent_that_is_killed_and_replaced_brings_the_result_of_a_script_that_ran_once",
        "under_systemd_a_script_is_outside_of_the_agents_sandbox",
        "what_a_script_leaves_behind_is_ended_unless_it_may_stay",
    ];
    let Some(said) = run_in_host("scripts", &properties, &names) else { return };
    assert!(said.contains(&format!("{} passed", names.len())) && !said.contains("NOT TESTED"), "{said}");
}

/// One after the other: each boots a host, and the tests measure times.
#[test]
fn programs_are_contained_by_systemd_also_in_the_sandbox_of_the_agents_unit() {
    contain_in_host(&[]);
    let mut properties = sandbox();
    // The folders of the tests are there and not in the agent's state directory.
    properties.push("--property=ReadWritePaths=/tmp".into());
    contain_in_host(&properties);
}
