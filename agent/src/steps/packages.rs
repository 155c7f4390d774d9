//! Upgrades or installs packages (spec/maintenance.md §5.4): apt and dnf, without questions, what an operator changed in
//! configurations stays.
//!
//! All of it is downloaded before any of it is installed, so that what fails for want of a network fails while nothing was
//! changed. What happened is told from the lists of installed packages before and after, not from what a program prints.

mod apt;
mod dnf;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use hostler_common::step::StepResult;
use hostler_common::step::maintenance::{PackageScope, Packages};
use serde_json::{Value, json};

use super::{Context, Failure, locks};
use crate::boot;
use crate::ceph::program::{self, Ended};

/// How long another package manager may be at work before this gives up.
const LOCKED: Duration = Duration::from_secs(600);
const AGAIN: Duration = Duration::from_secs(2);
/// How long one run may take; the deadline of the job is mostly shorter.
const RUN: Duration = Duration::from_secs(4 * 3600);
/// The longest ends of what a program wrote, and of what it complained, that are handed on, in bytes.
const TAIL: usize = 1000;

/// A version of a package that is installed, by name.
type Installed = BTreeSet<(String, String)>;

/// A package manager.
trait Manager {
    /// What is installed.
    fn installed(&self) -> Result<Installed, Failure>;
    /// Reads anew what is available.
    fn refresh(&self) -> Result<(), Failure>;
    /// Finds out what is to be done; `None` if that is nothing. Without changing anything.
    fn plan(&self, step: &Packages, installed: &Installed) -> Result<Option<Plan>, Failure>;
}

/// Programs to run, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Plan {
    download: Vec<Vec<String>>,
    install: Vec<Vec<String>>,
}

/// Does it.
///
/// # Errors
/// A name cannot be meant; there is no package manager, or another one is at work for long; it fails.
pub fn run(step: &Packages, context: &Context) -> Result<StepResult, Failure> {
    check(step)?;
    wait_for_others(Path::new("/"))?;
    let manager: Box<dyn Manager> = if there("apt-get") {
        Box::new(apt::Apt::new(&context.runtime_dir))
    } else if there("dnf") {
        Box::new(dnf::Dnf)
    } else {
        return Err(Failure::Refused("this host has neither apt-get nor dnf".into()));
    };
    let before = manager.installed()?;
    if step.refresh {
        manager.refresh()?;
    }
    let Some(plan) = manager.plan(step, &before)? else {
        return Ok(result(&before, &before, "there is nothing to do"));
    };
    for argv in &plan.download {
        execute(argv).map_err(Failure::Refused)?;
    }
    if step.download_only {
        return Ok(result(&before, &before, "all of it was downloaded"));
    }
    for argv in &plan.install {
        execute(argv).map_err(Failure::Broken)?;
    }
    let after = manager.installed().map_err(|failure| Failure::Broken(failure.to_string()))?;
    Ok(result(&before, &after, ""))
}

fn check(step: &Packages) -> Result<(), Failure> {
    if step.scope == PackageScope::Named && step.names.is_empty() {
        return Err(Failure::Refused("no package is named".into()));
    }
    if step.scope != PackageScope::Named && !step.names.is_empty() {
        return Err(Failure::Refused("packages are named, and all of them are to be upgraded".into()));
    }
    let fine = |name: &str, more: &str| {
        name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.len() <= 255
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "+-._:~".contains(c) || more.contains(c))
    };
    let names = step.names.iter().filter(|name| !fine(name, "=^"));
    match names.chain(step.hold.iter().filter(|name| !fine(name, ""))).next() {
        Some(name) => Err(Failure::Refused(format!("{name:?} is not the name of a package"))),
        None => Ok(()),
    }
}

fn there(program: &str) -> bool {
    ["/usr/bin", "/bin"].iter().any(|folder| Path::new(folder).join(program).exists())
}

fn wait_for_others(root: &Path) -> Result<(), Failure> {
    let end = Instant::now() + LOCKED;
    while let Some(lock) = locks::held(root) {
        if Instant::now() >= end {
            return Err(Failure::Refused(format!("another package manager is at work: {lock}")));
        }
        sleep(AGAIN);
    }
    Ok(())
}

/// Runs a program that must do what it should; answers with the reason if it does not.
fn execute(argv: &[String]) -> Result<Ended, String> {
    let (name, arguments) = argv.split_first().ok_or("no program")?;
    let ended = program::run(name, arguments, b"", RUN).map_err(|error| error.to_string())?;
    if ended.good() {
        return Ok(ended);
    }
    // Which package it was, and what its script said, is in what it wrote: apt hands on there what dpkg complains.
    let wrote = String::from_utf8_lossy(&ended.output);
    let texts = [argv.join(" ") + ": " + &ended.reason(), tail(&wrote).to_owned(), tail(&ended.complaint).to_owned()];
    Err(texts.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n"))
}

/// The end of a text, for people.
fn tail(text: &str) -> &str {
    let text = text.trim_end();
    let mut from = text.len().saturating_sub(TAIL);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    &text[from..]
}

/// What changed.
fn changes(before: &Installed, after: &Installed) -> Vec<Value> {
    let mut changed: BTreeMap<&str, (Vec<&str>, Vec<&str>)> = BTreeMap::new();
    for (name, version) in before.difference(after) {
        changed.entry(name).or_default().0.push(version);
    }
    for (name, version) in after.difference(before) {
        changed.entry(name).or_default().1.push(version);
    }
    let one = |versions: Vec<&str>| (!versions.is_empty()).then(|| versions.join(", "));
    changed.into_iter().map(|(name, (from, to))| json!({"name": name, "from": one(from), "to": one(to)})).collect()
}

fn result(before: &Installed, after: &Installed, note: &str) -> StepResult {
    let packages = changes(before, after);
    let reasons = boot::wanted();
    let mut detail = if note.is_empty() { format!("{} packages changed", packages.len()) } else { note.to_owned() };
    if !reasons.is_empty() {
        detail.push_str("; a reboot is needed: ");
        detail.push_str(&reasons.join("; "));
    }
    StepResult {
        changed: !packages.is_empty(),
        before: Value::Null,
        after: json!({"packages": packages, "reboot_required": !reasons.is_empty(), "reboot_reasons": reasons}),
        detail,
    }
}

/// A list of lines with name, version and the word `installed`, between tabs.
fn listed(output: &[u8]) -> Installed {
    let text = String::from_utf8_lossy(output);
    let packages = text.lines().filter_map(|line| {
        let mut fields = line.split('\t');
        let (name, version, state) = (fields.next()?, fields.next()?, fields.next()?);
        (state == "installed").then(|| (name.to_owned(), version.to_owned()))
    });
    packages.collect()
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_be_options_are_refused() {
        let named =
            |name: &str| Packages { scope: PackageScope::Named, names: vec![name.into()], ..Packages::default() };
        for good in ["bash", "libc6:amd64", "linux-image-6.1.0-21-amd64=6.1.90-1~bpo", "g++", "kernel-core"] {
            assert_eq!(check(&named(good)), Ok(()), "{good}");
        }
        for bad in ["", "-y", "a b", "a;b", "../x", "./x.deb", "a*"] {
            assert!(check(&named(bad)).is_err(), "{bad:?}");
            assert!(check(&Packages { hold: vec![bad.into()], ..Packages::default() }).is_err(), "{bad:?}");
        }
        assert!(check(&Packages { scope: PackageScope::Named, ..Packages::default() }).is_err());
        assert!(check(&Packages { names: vec!["bash".into()], ..Packages::default() }).is_err());
    }

    #[test]
    fn what_changed_is_the_difference_of_the_lists() {
        let before =
            listed(b"a\t1\tinstalled\nb\t1\tinstalled\nk\t5\tinstalled\nold\t1\tconfig-files\nd\t1\tinstalled\n");
        let after = listed(b"a\t2\tinstalled\nb\t1\tinstalled\nk\t5\tinstalled\nk\t6\tinstalled\nc\t1\tinstalled\n");
        assert_eq!(
            changes(&before, &after),
            [
                json!({"name": "a", "from": "1", "to": "2"}),
                json!({"name": "c", "from": null, "to": "1"}),
                json!({"name": "d", "from": "1", "to": null}),
                json!({"name": "k", "from": null, "to": "6"}),
            ]
        );
    }
}
