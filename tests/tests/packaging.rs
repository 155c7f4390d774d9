//! What is shipped beside the binaries: units that systemd accepts and rates well, example settings that show every key and
//! its default, daemons that talk to systemd.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "this is a test, also outside of its test functions"
)]

#[path = "packaging/keys.rs"]
mod keys;
#[path = "packaging/notify.rs"]
mod notify;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use hostler_tests::lab::{binary, skip};

fn packaging(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging").join(file)
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn check_config(daemon: &str, file: &Path) -> Output {
    Command::new(binary(daemon)).args(["check-config", "--config"]).arg(file).output().unwrap()
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// The example with the keys that it only shows set as well. Explanations have a blank after their `#`, keys have none.
fn all_set(example: &str) -> String {
    let bare = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => rest.to_owned(),
        _ => line.to_owned(),
    };
    example.lines().map(bare).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_daemons_accept_the_example_settings() {
    for (daemon, file) in [("hostler-manager", "manager.toml"), ("hostler-agent", "agent.toml")] {
        let done = check_config(daemon, &packaging(file));
        assert!(done.status.success(), "{file}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

#[test]
fn the_examples_show_every_key_and_no_other() {
    let log = "../common/daemon/src/log.rs";
    let manager = [
        "../manager/src/config.rs",
        "../manager/src/config/croit.rs",
        "../manager/src/config/event.rs",
        "../manager/src/config/proof.rs",
        "../manager/src/config/watch.rs",
        "../manager/core/src/introspection/hooks/settings.rs",
        log,
    ];
    let agent = ["../agent/src/config.rs", log];
    for (file, sources) in [("manager.toml", &manager[..]), ("agent.toml", &agent)] {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let structs: String = sources.iter().map(|source| read(&root.join(source))).collect();
        let wanted = keys::of_structs(&structs);
        assert!(wanted.len() >= 5, "only {wanted:?} found");
        let table: toml::Table = all_set(&read(&packaging(file))).parse().unwrap();
        let shown = keys::of_example(&table, &wanted);
        let only = |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).cloned().collect::<Vec<_>>();
        assert_eq!(only(&wanted, &shown), Vec::<String>::new(), "keys that {file} does not show");
        assert_eq!(only(&shown, &wanted), Vec::<String>::new(), "keys of {file} that do not exist");
    }
}

#[test]
fn the_values_that_the_examples_set_are_the_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let least = write(folder.path(), "least.toml", "state_dir = \"/var/lib/hostler-manager\"");
    let load = |file: &Path| {
        let mut config = hostler_manager::config::Config::load(file).unwrap();
        // Their order means nothing, and reading a file changes it.
        config.introspection.processing.capabilities.cpu_flags.sort_keys();
        format!("{config:#?}")
    };
    assert_eq!(load(&packaging("manager.toml")), load(&least));
    let empty = write(folder.path(), "empty.toml", "");
    let load = |file: &Path| format!("{:#?}", hostler_agent::config::Config::load(Some(file)).unwrap());
    assert_eq!(load(&packaging("agent.toml")), load(&empty));
}

#[test]
fn the_keys_that_the_examples_only_show_are_shown_right() {
    let folder = tempfile::tempdir().unwrap();
    let all = write(folder.path(), "manager.toml", &all_set(&read(&packaging("manager.toml"))));
    let config = hostler_manager::config::Config::load(&all).unwrap();
    assert_eq!(config.bootstrap.unwrap().project, "admin", "the default that the text names");
    assert_eq!(config.auth.token_lifetime, Some(std::time::Duration::from_secs(3600)), "likewise");
    // What is set besides them needs a manager.
    let text =
        all_set(&read(&packaging("agent.toml"))).replace("managers = []", "managers = [\"manager.example:7443\"]");
    let all = write(folder.path(), "agent.toml", &text);
    hostler_agent::config::Config::load(Some(&all)).unwrap();
}

#[test]
fn wrong_settings_end_the_check_with_file_key_and_rule() {
    let folder = tempfile::tempdir().unwrap();
    let absent = folder.path().join("absent.pem").display().to_string();
    let tls = format!("[listen]\ntls_certificate = \"{absent}\"\ntls_key = \"{absent}\"");
    let passwords = format!("[auth]\nstrategy = \"http_basic\"\nhtpasswd_file = \"{absent}\"");
    let cases = [
        ("hostler-manager", tls.as_str(), &["listen.tls_certificate", absent.as_str()][..]),
        ("hostler-manager", &passwords, &["auth.htpasswd_file", &absent]),
        ("hostler-manager", "[database]\nurl = \"mysql://u:hunter2@db/x\"", &["database.url", "postgres://"]),
        ("hostler-manager", "[listen]\nrest = \"0.0.0.0:1\"", &["listen.rest", "allow_plain_http"]),
        ("hostler-manager", "[log]\nfilter = \"a=b=c\"", &["log.filter"]),
        ("hostler-agent", "[allow]\njobs = [\"dance\"]", &["allow.jobs", "introspect"]),
    ];
    for (daemon, text, wanted) in cases {
        let own = if daemon == "hostler-manager" { "state_dir = \"/nowhere\"\n" } else { "" };
        let file = write(folder.path(), "wrong.toml", &format!("{own}{text}"));
        let done = check_config(daemon, &file);
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(1), "{text}: {said}");
        for part in wanted.iter().copied().chain([&*file.display().to_string()]) {
            assert!(said.contains(part), "{text}: {part} is missing in: {said}");
        }
        assert!(!said.contains("hunter2"), "{said}");
    }
}

/// Runs systemd-analyze, or says that there is none.
fn analyze(arguments: &[&str], unit: &Path) -> Option<Output> {
    match Command::new("systemd-analyze").args(arguments).arg(unit).env("SYSTEMD_COLORS", "0").output() {
        Ok(done) => Some(done),
        Err(error) => {
            skip(&format!("systemd-analyze cannot be run: {error}"));
            None
        }
    }
}

/// A copy of the unit whose program is there: systemd looks for it.
fn unit(folder: &Path, daemon: &str) -> PathBuf {
    let name = format!("{daemon}.service");
    let text = read(&packaging(&format!("systemd/{name}")));
    let installed = format!("/usr/bin/{daemon} ");
    assert!(text.contains(&installed), "{name} does not start {installed}");
    write(folder, &name, &text.replace(&installed, &format!("{} ", binary(daemon).display())))
}

#[test]
fn systemd_understands_the_units() {
    let folder = tempfile::tempdir().unwrap();
    for daemon in ["hostler-manager", "hostler-agent"] {
        let Some(done) = analyze(&["verify"], &unit(folder.path(), daemon)) else { return };
        let said = [done.stdout, done.stderr].concat();
        // Unknown keys and values are only warned of, so any word counts.
        assert!(done.status.success() && said.is_empty(), "{daemon}: {}", String::from_utf8_lossy(&said));
    }
}

#[test]
fn the_units_stay_within_their_exposure() {
    let folder = tempfile::tempdir().unwrap();
    // In tenths. The agent is root and looks at devices; what it keeps has its reason in the unit.
    for (daemon, most) in [("hostler-manager", "15"), ("hostler-agent", "45")] {
        let arguments = ["security", "--offline=true", "--no-pager", "--threshold", most];
        let Some(done) = analyze(&arguments, &unit(folder.path(), daemon)) else { return };
        assert!(done.status.success(), "{daemon}: {}", String::from_utf8_lossy(&done.stdout));
    }
}

#[test]
fn programs_outlive_the_agent_under_systemd() {
    let text = read(&packaging("systemd/hostler-agent.service"));
    for line in ["KillMode=process", "OOMPolicy=continue"] {
        assert!(text.lines().any(|other| other == line), "{line} is missing");
    }
}
