//! Updates that wait, without asking a repository and without running a package manager: one would take many times the
//! processor time that a probe has, and writes its caches.
//!
//! What the system's own tools have counted is taken where it is there. Otherwise only security updates of dpkg hosts are
//! counted, from the lists that were fetched last: those of whole releases are too long to be read in a probe.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::io::BufReader;

use serde_json::{Value, json};

use super::facts::{Facts, reason};
use super::host::HostRoot;
use super::packages::Package;

const COUNTED: &str = "/var/lib/update-notifier/updates-available";
const LISTS: &str = "/var/lib/apt/lists";
/// Most bytes of lists that are read.
const LISTS_MAX: u64 = 16 << 20;

/// Sets `pending`, or says why it is not known.
pub(super) fn set(host: &HostRoot, facts: &mut Facts, manager: &str, packages: &[Package]) {
    let found = match host.word(COUNTED) {
        Some(text) => Ok(counted(&text)),
        None if manager == "rpm" => Err("dnf tells its updates only when it is run".to_owned()),
        None => security(host, packages),
    };
    match found {
        Ok(found) => facts.set("pending", found),
        Err(why) => {
            facts.set("pending", Value::Null);
            facts.missing("pending", why);
        }
    }
}

fn counted(text: &str) -> Value {
    let number = |line: &str| line.split_whitespace().next().and_then(|word| word.parse::<u32>().ok());
    let security = text.lines().find(|line| line.contains("security")).and_then(number);
    json!({"updates": text.lines().find_map(number), "security": security})
}

/// Security updates by the lists of apt; null where it has none.
fn security(host: &HostRoot, packages: &[Package]) -> Result<Value, String> {
    let lists = host.list(LISTS);
    let of_security = |name: &&String| name.contains("security") && name.contains("_Packages");
    let (plain, packed): (Vec<&String>, Vec<&String>) =
        lists.iter().filter(of_security).partition(|name| name.ends_with("_Packages"));
    if let Some(name) = packed.first() {
        let ending = name.rsplit('.').next().unwrap_or_default();
        return Err(format!("the lists of apt are kept as {ending}, which is not read here"));
    }
    if plain.is_empty() {
        return Ok(Value::Null);
    }
    let mut room = LISTS_MAX;
    let mut newer = BTreeSet::new();
    let installed: BTreeMap<(&str, &str), &str> = packages
        .iter()
        .filter(|package| !package.held)
        .map(|package| ((package.name.as_str(), package.architecture.as_str()), package.version.as_str()))
        .collect();
    for name in plain {
        let path = format!("{LISTS}/{name}");
        let len = host.path(&path).metadata().map_err(|error| reason(&error))?.len();
        room = room.checked_sub(len).ok_or("the security lists of apt are too long to be read in a probe")?;
        let file = host.open(&path).map_err(|error| reason(&error))?;
        offered(BufReader::with_capacity(64 << 10, file), |package, version, architecture| {
            let key = (package, architecture);
            if installed.get(&key).is_some_and(|own| compare(version, own).is_gt()) {
                newer.insert(format!("{package}:{architecture}"));
            }
        })
        .map_err(|error| reason(&error))?;
    }
    Ok(json!({"updates": Value::Null, "security": newer.len()}))
}

/// Gives name, version and architecture of every package of a list to `each`.
fn offered(mut list: impl std::io::BufRead, mut each: impl FnMut(&str, &str, &str)) -> std::io::Result<()> {
    let (mut line, mut fields) = (Vec::new(), [const { String::new() }; 3]);
    loop {
        line.clear();
        let len = list.read_until(b'\n', &mut line)?;
        if len <= 1 {
            let [package, version, architecture] = &fields;
            if !package.is_empty() {
                each(package, version, architecture);
            }
            fields.iter_mut().for_each(String::clear);
            if len == 0 {
                return Ok(());
            }
        }
        for (field, name) in fields.iter_mut().zip([&b"Package: "[..], b"Version: ", b"Architecture: "]) {
            if let Some(value) = line.strip_prefix(name) {
                *field = String::from_utf8_lossy(value).trim().to_owned();
            }
        }
    }
}

/// The order of versions of Debian's packages (Debian policy, 5.6.12).
pub(crate) fn compare(a: &str, b: &str) -> Ordering {
    let parts = |text: &str| {
        let (epoch, rest) = text.split_once(':').unwrap_or(("0", text));
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, "0"));
        (epoch.parse::<u64>().unwrap_or(0), upstream.to_owned(), revision.to_owned())
    };
    let (a, b) = (parts(a), parts(b));
    a.0.cmp(&b.0).then_with(|| compare_part(&a.1, &b.1)).then_with(|| compare_part(&a.2, &b.2))
}

/// Texts without digits and numbers take turns.
fn compare_part(mut a: &str, mut b: &str) -> Ordering {
    // A tilde is before the end, letters are before other signs.
    let weight = |c: Option<char>| match c {
        Some('~') => -1,
        None => 0,
        Some(c) if c.is_ascii_alphabetic() => i64::from(u32::from(c)),
        Some(c) => i64::from(u32::from(c)) + 0x11_0000,
    };
    fn cut<'a>(text: &mut &'a str, is: impl Fn(char) -> bool) -> &'a str {
        let at = text.find(|c| !is(c)).unwrap_or(text.len());
        let (taken, rest) = text.split_at(at);
        *text = rest;
        taken
    }
    while !a.is_empty() || !b.is_empty() {
        let (left, right) = (cut(&mut a, |c| !c.is_ascii_digit()), cut(&mut b, |c| !c.is_ascii_digit()));
        let (mut left, mut right) = (left.chars(), right.chars());
        loop {
            let (l, r) = (left.next(), right.next());
            match weight(l).cmp(&weight(r)) {
                Ordering::Equal if l.is_none() && r.is_none() => break,
                Ordering::Equal => {}
                other => return other,
            }
        }
        let number = |text: &mut &str| cut(text, |c| c.is_ascii_digit()).trim_start_matches('0').to_owned();
        let (left, right) = (number(&mut a), number(&mut b));
        match left.len().cmp(&right.len()).then_with(|| left.cmp(&right)) {
            Ordering::Equal => {}
            other => return other,
        }
    }
    Ordering::Equal
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn versions_are_in_the_order_of_dpkg() {
        let versions = [
            "1.0",
            "1.0-1",
            "1.0~rc1-1",
            "1.0-1+deb12u1",
            "1:0.5",
            "1.0a",
            "1.0+b",
            "1.00",
            "1.10-2",
            "1.9-2",
            "2~",
            "2",
            "0",
            "1.0-0",
            "1.0-1~bpo1",
            "3.0.2-0ubuntu1.10",
            "3.0.2-0ubuntu1.9",
            "1.0.1~",
            "9a-b-1",
            "9a-b-02",
        ];
        if Command::new("dpkg").arg("--version").output().is_err() {
            assert_eq!(compare("1.0~rc1-1", "1.0-1"), Ordering::Less);
            return;
        }
        for a in versions {
            for b in versions {
                let ask = |relation: &str| {
                    Command::new("dpkg").args(["--compare-versions", a, relation, b]).status().unwrap().success()
                };
                let theirs = if ask("lt") {
                    Ordering::Less
                } else if ask("gt") {
                    Ordering::Greater
                } else {
                    Ordering::Equal
                };
                assert_eq!(compare(a, b), theirs, "{a} {b}");
            }
        }
    }

    #[test]
    fn security_updates_are_those_of_installed_packages_that_are_not_held() {
        let dir = tempfile::tempdir().unwrap();
        let lists = dir.path().join(&LISTS[1..]);
        std::fs::create_dir_all(&lists).unwrap();
        let host = HostRoot::recorded(dir.path()).unwrap();
        let package = |name: &str, version: &str, held| Package {
            name: name.into(),
            version: version.into(),
            architecture: "amd64".into(),
            held,
            ..Package::default()
        };
        let own = [package("a", "1-1", false), package("b", "1-2", false), package("c", "1-1", true)];
        assert_eq!(security(&host, &own), Ok(Value::Null));
        let text =
            |name: &str, version: &str| format!("Package: {name}\nArchitecture: amd64\nVersion: {version}\nX: y\n\n");
        let list =
            [text("a", "1-1+deb12u1"), text("b", "1-2"), text("c", "9"), text("d", "9"), text("a", "1-1+deb12u2")];
        std::fs::write(lists.join("deb_dists_bookworm-security_main_binary-amd64_Packages"), list.concat()).unwrap();
        std::fs::write(lists.join("deb_dists_bookworm_main_binary-amd64_Packages"), text("b", "9")).unwrap();
        assert_eq!(security(&host, &own), Ok(json!({"updates": null, "security": 1})));
        std::fs::write(lists.join("x-security_Packages.lz4"), "").unwrap();
        assert!(security(&host, &own).unwrap_err().contains("lz4"));
    }

    #[test]
    fn what_was_counted_is_taken() {
        let text = "\n12 updates can be applied immediately.\n3 of these updates are standard security updates.\n";
        assert_eq!(counted(text), json!({"updates": 12, "security": 3}));
    }
}
