//! Installed packages. The list itself is a blob that documents refer to by its hash (spec/introspection.md §6.6).

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader};

use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::facts::{Facts, Found, reason};
use super::host::HostRoot;
use super::{Context, pending, rpm};

const DPKG: &str = "/var/lib/dpkg/status";
/// Beginnings of the names whose versions are shown without the blob.
const KEY: &[&str] = &[
    "ceph",
    "librados2",
    "librbd1",
    "libvirt-daemon",
    "qemu-",
    "linux-image-",
    "openvswitch-switch",
    "chrony",
    "systemd",
    "openssl",
    "libc6",
    "multipath-tools",
    "lvm2",
    "cryptsetup",
    "docker",
    "podman",
    "hostler",
    "intel-microcode",
    "amd64-microcode",
];

/// One package.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub(super) struct Package {
    pub name: String,
    pub version: String,
    pub architecture: String,
    /// The source package, if it is called differently.
    pub source: Option<String>,
    /// Who made it: the `Origin` field, else the maintainer.
    pub origin: Option<String>,
    /// Whether it may not be upgraded.
    pub held: bool,
}

/// Collects the section.
pub(super) fn probe(context: &Context) -> Found {
    let host = &context.host;
    let (manager, read) = if host.exists(DPKG) {
        ("dpkg", dpkg(host))
    } else if let Some(database) = rpm::database(host) {
        ("rpm", rpm::packages(host, database))
    } else {
        return Facts::unavailable(match rpm::unreadable(host) {
            Some(path) => format!("no reader for the rpm database {path}"),
            None => "no package database that is known".to_owned(),
        });
    };
    let mut packages = match read {
        Ok(packages) => packages,
        Err(error) => return Facts::unavailable(reason(&error)),
    };
    packages.sort();
    let mut facts = Facts::new();
    facts.set("manager", manager);
    facts.set("count", packages.len());
    let key: BTreeMap<&str, &str> = packages
        .iter()
        .filter(|package| KEY.iter().any(|key| package.name.starts_with(key)))
        .map(|package| (package.name.as_str(), package.version.as_str()))
        .collect();
    facts.set("versions", key);
    facts.set("held", packages.iter().filter(|package| package.held).map(|package| &package.name).collect::<Vec<_>>());
    pending::set(host, &mut facts, manager, &packages);
    let list = json!(packages);
    let hash = hex::encode(Sha256::digest(list.to_string()));
    facts.set("list_hash", &hash);
    facts.set("blobs", json!({hash: list}));
    facts.done()
}

/// Versions of some packages; empty where they cannot be read.
pub(super) fn versions(host: &HostRoot, names: &[&str]) -> BTreeMap<String, String> {
    let all = match rpm::database(host) {
        Some(database) if !host.exists(DPKG) => rpm::packages(host, database),
        _ => dpkg(host),
    };
    let all = all.unwrap_or_default();
    all.into_iter()
        .filter(|package| names.contains(&package.name.as_str()))
        .map(|package| (package.name, package.version))
        .collect()
}

/// Streams the status file: it may have several MiB, of which few fields are kept.
fn dpkg(host: &HostRoot) -> io::Result<Vec<Package>> {
    let mut found = Vec::new();
    let (mut package, mut installed) = (Package::default(), false);
    let mut reader = BufReader::with_capacity(64 << 10, host.open(DPKG)?);
    let mut line = Vec::new();
    loop {
        line.clear();
        let len = reader.read_until(b'\n', &mut line)?;
        if len <= 1 {
            if installed && !package.name.is_empty() {
                found.push(std::mem::take(&mut package));
            }
            (package, installed) = (Package::default(), false);
            if len == 0 {
                return Ok(found);
            }
            continue;
        }
        let field = |name: &str| {
            let value = line.strip_prefix(name.as_bytes())?.strip_prefix(b": ")?;
            Some(String::from_utf8_lossy(value).trim().to_owned())
        };
        match line[0] {
            b'P' => field("Package").into_iter().for_each(|text| package.name = text),
            b'V' => field("Version").into_iter().for_each(|text| package.version = text),
            b'A' => field("Architecture").into_iter().for_each(|text| package.architecture = text),
            b'S' => {
                if let Some(status) = field("Status") {
                    installed = status.ends_with(" installed");
                    package.held = status.starts_with("hold ");
                }
                package.source = field("Source").or(package.source.take());
            }
            b'O' => package.origin = field("Origin").or(package.origin.take()),
            b'M' if package.origin.is_none() => package.origin = field("Maintainer"),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_installed_counts() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("var/lib/dpkg")).unwrap();
        let text = "Package: a\nStatus: install ok installed\nMaintainer: M\nVersion: 1:2.3-4\nArchitecture: amd64\n\n\
                    Package: b\nStatus: deinstall ok config-files\nVersion: 1\n\n\
                    Package: c\nStatus: hold ok installed\nVersion: 5\nSource: cc";
        std::fs::write(dir.path().join(&DPKG[1..]), text).unwrap();
        let found = dpkg(&HostRoot::recorded(dir.path()).unwrap()).unwrap();
        assert_eq!(found.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["a", "c"]);
        assert_eq!((found[0].version.as_str(), found[0].origin.as_deref()), ("1:2.3-4", Some("M")));
        assert!(found[1].held && found[1].source.as_deref() == Some("cc"));
    }
}
