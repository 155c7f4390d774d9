//! apt and dpkg.

use std::fs;
use std::path::{Path, PathBuf};

use hostler_common::step::maintenance::{PackageScope, Packages};

use super::{Installed, Manager, Plan, execute, listed, words};
use crate::files::{make_folder, write_plain};
use crate::steps::Failure;

/// Where the host's own preferences are.
const PREFERENCES: &str = "/etc/apt/preferences";

/// Nobody is asked, nothing is translated, and no service is restarted behind the manager's back.
const ENVIRONMENT: [&str; 5] =
    ["env", "DEBIAN_FRONTEND=noninteractive", "APT_LISTCHANGES_FRONTEND=none", "NEEDRESTART_MODE=l", "LC_ALL=C.UTF-8"];

/// What every run has: configurations that an operator changed stay, others are replaced.
const OPTIONS: [&str; 8] = [
    "-q",
    "-y",
    "-o",
    "Dpkg::Options::=--force-confdef",
    "-o",
    "Dpkg::Options::=--force-confold",
    "-o",
    "DPkg::Lock::Timeout=600",
];

/// apt.
#[derive(Debug)]
pub(super) struct Apt {
    /// Preferences of one run: those of the host, and what is to keep its version.
    preferences: PathBuf,
}

impl Apt {
    pub(super) fn new(runtime_dir: &Path) -> Self {
        Self { preferences: runtime_dir.join(format!("apt-preferences-{}", std::process::id())) }
    }

    /// A run of `apt-get`.
    fn get(&self, holds: bool, arguments: &[&str]) -> Vec<String> {
        let mut argv = words(&ENVIRONMENT);
        argv.push("apt-get".into());
        argv.extend(words(&OPTIONS));
        if holds {
            argv.extend(["-o".to_owned(), format!("Dir::Etc::preferences={}", self.preferences.display())]);
        }
        argv.extend(words(arguments));
        argv
    }

    /// Writes the preferences, if something is to keep its version.
    fn hold(&self, step: &Packages, installed: &Installed) -> Result<(), Failure> {
        if step.hold.is_empty() {
            return Ok(());
        }
        let own = fs::read_to_string(PREFERENCES).unwrap_or_default();
        if let Some(folder) = self.preferences.parent() {
            make_folder(folder).map_err(Failure::refused)?;
        }
        write_plain(&self.preferences, preferences(&own, &step.hold, installed).as_bytes()).map_err(Failure::refused)
    }
}

impl Drop for Apt {
    fn drop(&mut self) {
        // Mostly there is none.
        fs::remove_file(&self.preferences).ok();
    }
}

impl Manager for Apt {
    fn installed(&self) -> Result<Installed, Failure> {
        let format = "-f=${binary:Package}\\t${Version}\\t${db:Status-Status}\\n";
        let ended = execute(&words(&["dpkg-query", "-W", format])).map_err(Failure::Refused)?;
        Ok(listed(&ended.output))
    }

    fn refresh(&self) -> Result<(), Failure> {
        // Without the option an archive that cannot be reached is only warned of.
        execute(&self.get(false, &["-o", "APT::Update::Error-Mode=any", "update"])).map(drop).map_err(Failure::Refused)
    }

    fn plan(&self, step: &Packages, installed: &Installed) -> Result<Option<Plan>, Failure> {
        self.hold(step, installed)?;
        let holds = !step.hold.is_empty();
        let first = what(step.scope, &step.names);
        let mut simulate = vec!["-s"];
        simulate.extend(first.iter().map(String::as_str));
        let ended = execute(&self.get(holds, &simulate)).map_err(Failure::Refused)?;
        let mut planned = planned(&String::from_utf8_lossy(&ended.output));
        let mut act = first;
        if step.scope == PackageScope::Security {
            planned.retain(|package| package.security);
            let names: Vec<String> =
                planned.iter().map(|package| format!("{}={}", package.name, package.version)).collect();
            act = what(PackageScope::Named, &names);
            act.insert(1, "--only-upgrade".into());
        }
        let mut plan = Plan { download: Vec::new(), install: Vec::new() };
        // What an earlier run that failed or was cut off left half done: no version of it is new, nothing installs it again.
        if unfinished(
            &execute(&words(&["dpkg-query", "-W", "-f=${db:Status-Status}\\n"])).map_err(Failure::Refused)?.output,
        ) {
            let mut configure = words(&ENVIRONMENT);
            configure.extend(words(&["dpkg", "--force-confdef", "--force-confold", "--configure", "-a"]));
            plan.install.push(configure);
        }
        if !planned.is_empty() {
            let act: Vec<&str> = act.iter().map(String::as_str).collect();
            plan.download.push(self.get(holds, &[&["-d"][..], &act].concat()));
            plan.install.push(self.get(holds, &act));
        }
        Ok((!plan.install.is_empty()).then_some(plan))
    }
}

/// The words for a scope; nothing is ever removed to make room for something else.
fn what(scope: PackageScope, names: &[String]) -> Vec<String> {
    match scope {
        // What is new is needed by what is upgraded: kernels are that way.
        PackageScope::Upgrade | PackageScope::Security => words(&["upgrade", "--with-new-pkgs"]),
        PackageScope::Named => words(&["install", "--no-remove"]).into_iter().chain(names.iter().cloned()).collect(),
    }
}

/// Whether a package was unpacked whose scripts did not end yet, of the states of all of them, a line each.
fn unfinished(states: &[u8]) -> bool {
    const STATES: [&str; 4] = ["unpacked", "half-configured", "triggers-awaited", "triggers-pending"];
    String::from_utf8_lossy(states).lines().any(|state| STATES.contains(&state))
}

/// A package that a simulated run would install.
#[derive(Debug, PartialEq, Eq)]
struct Planned {
    name: String,
    version: String,
    security: bool,
}

/// Lines such as `Inst bash [5.2.15-2] (5.2.15-2+deb12u1 Debian-Security:12/stable-security [amd64])`.
fn planned(output: &str) -> Vec<Planned> {
    let lines = output.lines().filter_map(|line| line.strip_prefix("Inst "));
    let planned = lines.filter_map(|line| {
        let name = line.split_whitespace().next()?;
        let inner = line.split_once('(')?.1.split_once(')')?.0;
        let (version, origins) = inner.split_once(' ').unwrap_or((inner, ""));
        let origins = origins.rsplit_once('[').map_or(origins, |(origins, _)| origins).to_ascii_lowercase();
        Some(Planned { name: name.to_owned(), version: version.to_owned(), security: origins.contains("security") })
    });
    planned.collect()
}

/// The host's preferences, and those that keep the version of `hold`, or keep out what is not installed.
fn preferences(own: &str, hold: &[String], installed: &Installed) -> String {
    let mut text = own.trim_end().to_owned();
    for name in hold {
        let of = |full: &str| full == name || full.split(':').next() == Some(name);
        let version = installed.iter().find(|(full, _)| of(full)).map(|(_, version)| version);
        let pin = match version {
            Some(version) => format!("Pin: version {version}\nPin-Priority: 1001"),
            None => "Pin: release *\nPin-Priority: -1".to_owned(),
        };
        text.push_str(&format!("\n\nPackage: {name}\n{pin}\n"));
    }
    text.trim_start().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_simulation_says_what_would_be_done_and_from_where() {
        let output = "NOTE: This is only a simulation!\nInst bash [5.2.15-2] (5.2.15-2+deb12u1 Debian-Security:12/stable-security [amd64])\n\
                      Inst tzdata [2023c-5] (2024a-0 Debian:12.5/stable, Debian:12-updates/stable-updates [all]) []\n\
                      Inst linux-image-6.1.0-21-amd64 (6.1.90-1 Ubuntu:22.04/jammy-security [amd64])\n\
                      Inst security-tool [1] (2 localhost [all])\nConf bash (5.2.15-2+deb12u1 Debian-Security:12/stable-security [amd64])\n";
        let found = planned(output);
        let text: Vec<_> = found.iter().map(|p| (p.name.as_str(), p.version.as_str(), p.security)).collect();
        assert_eq!(
            text,
            [
                ("bash", "5.2.15-2+deb12u1", true),
                ("tzdata", "2024a-0", false),
                ("linux-image-6.1.0-21-amd64", "6.1.90-1", true),
                ("security-tool", "2", false),
            ]
        );
    }

    #[test]
    fn what_was_left_half_done_is_seen() {
        assert!(!unfinished(b"installed\nconfig-files\nnot-installed\nhalf-installed\n"));
        assert!(unfinished(b"installed\nhalf-configured\n") && unfinished(b"unpacked\n"));
    }

    #[test]
    fn held_packages_keep_their_version_and_the_hosts_own_preferences_stay() {
        let installed = Installed::from([("ceph-osd".into(), "16.2.15".into()), ("libc6:amd64".into(), "2.36".into())]);
        let hold = ["ceph-osd".to_owned(), "libc6".to_owned(), "absent".to_owned()];
        let text = preferences("Package: *\nPin: release a=stable\nPin-Priority: 700\n\n", &hold, &installed);
        assert_eq!(
            text,
            "Package: *\nPin: release a=stable\nPin-Priority: 700\n\n\
             Package: ceph-osd\nPin: version 16.2.15\nPin-Priority: 1001\n\n\n\
             Package: libc6\nPin: version 2.36\nPin-Priority: 1001\n\n\n\
             Package: absent\nPin: release *\nPin-Priority: -1\n"
        );
    }

    #[test]
    fn the_words_of_a_run() {
        let apt = Apt { preferences: "/run/p".into() };
        let argv = apt.get(true, &["upgrade"]).join(" ");
        assert!(argv.starts_with("env DEBIAN_FRONTEND=noninteractive "), "{argv}");
        assert!(
            argv.contains("apt-get -q -y -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold"),
            "{argv}"
        );
        assert!(argv.ends_with("-o DPkg::Lock::Timeout=600 -o Dir::Etc::preferences=/run/p upgrade"), "{argv}");
        assert!(!apt.get(false, &[]).join(" ").contains("preferences"));
        assert_eq!(what(PackageScope::Named, &["a=1".into()]), ["install", "--no-remove", "a=1"]);
    }
}
