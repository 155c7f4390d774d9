//! Which files are of the network configuration, and how what they say is made so.

use std::io;
use std::path::{Component, Path};
use std::time::Duration;

use hostler_common::step::NetworkChange;
use serde::{Deserialize, Serialize};

use super::super::{Failure, must};

/// How long a program may take to apply the configuration.
const LIMIT: Duration = Duration::from_secs(120);
/// Largest file that is written, in bytes.
const FILE_MAX: usize = 1 << 20;

/// Who reads the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Way {
    /// netplan.
    Netplan,
    /// systemd-networkd.
    Networkd,
    /// NetworkManager.
    NetworkManager,
    /// ifupdown and its kin.
    Interfaces,
}

/// The folders of each.
const FOLDERS: &[(&str, Way)] = &[
    ("/etc/netplan", Way::Netplan),
    ("/etc/systemd/network", Way::Networkd),
    ("/etc/NetworkManager/system-connections", Way::NetworkManager),
    ("/etc/network", Way::Interfaces),
];

/// Checks the files of a change; answers with who reads them.
pub(super) fn check(step: &NetworkChange) -> Result<Way, Failure> {
    let mut ways = Vec::new();
    for file in &step.files {
        ways.push(
            way(&file.path)
                .ok_or_else(|| Failure::Refused(format!("{:?} is no file of the network configuration", file.path)))?,
        );
        if file.contents.as_ref().is_some_and(|contents| contents.len() > FILE_MAX) {
            return Err(Failure::Refused(format!("{} would be larger than {FILE_MAX} bytes", file.path)));
        }
    }
    if let Some(bad) = step.interfaces.iter().find(|name| !is_interface(name)) {
        return Err(Failure::Refused(format!("{bad:?} is not the name of an interface")));
    }
    match ways.first() {
        None => Err(Failure::Refused("no file is named".into())),
        Some(way) if ways.iter().all(|other| other == way) => Ok(*way),
        Some(_) => Err(Failure::Refused("files of different network managers cannot be changed together".into())),
    }
}

/// Who reads a file; nobody where it is not below one of the folders, or leads out of it.
fn way(path: &str) -> Option<Way> {
    let path = Path::new(path);
    let plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    let (folder, way) = FOLDERS.iter().find(|(folder, _)| path.starts_with(folder))?;
    (plain && path != Path::new(folder)).then_some(*way)
}

fn is_interface(name: &str) -> bool {
    let plain = |c: char| !c.is_control() && !c.is_whitespace() && c != '/';
    !name.is_empty() && name.len() <= 15 && !name.starts_with('-') && name.chars().all(plain)
}

/// Makes the configuration as the files say.
pub(super) fn apply(way: Way, interfaces: &[String]) -> io::Result<()> {
    let run = |name: &str, arguments: &[&str]| must(name, arguments, LIMIT).map(drop).map_err(io::Error::other);
    match way {
        Way::Netplan => run("netplan", &["apply"]),
        Way::Networkd => {
            run("networkctl", &["reload"])?;
            interfaces.iter().try_for_each(|name| run("networkctl", &["reconfigure", name]))
        }
        Way::NetworkManager => {
            run("nmcli", &["connection", "reload"])?;
            interfaces.iter().try_for_each(|name| run("nmcli", &["device", "reapply", name]))
        }
        Way::Interfaces => interfaces.iter().try_for_each(|name| {
            // It fails where the interface was not up.
            run("ifdown", &["--force", name]).ok();
            run("ifup", &["--force", name])
        }),
    }
}

#[cfg(test)]
mod tests {
    use hostler_common::step::NetworkFile;

    use super::*;

    fn change(paths: &[&str], interfaces: &[&str]) -> NetworkChange {
        let files = paths.iter().map(|path| NetworkFile { path: (*path).into(), contents: Some("x".into()) });
        let interfaces = interfaces.iter().map(|name| (*name).to_owned()).collect();
        NetworkChange { interfaces, files: files.collect(), confirm_s: 30 }
    }

    #[test]
    fn only_files_of_the_network_and_of_one_manager() {
        assert_eq!(check(&change(&["/etc/systemd/network/10-a.network"], &["eth0"])), Ok(Way::Networkd));
        assert_eq!(
            check(&change(&["/etc/network/interfaces", "/etc/network/interfaces.d/a"], &[])),
            Ok(Way::Interfaces)
        );
        let bad: &[(&[&str], &[&str])] = &[
            (&[], &[]),
            (&["/etc/passwd"], &[]),
            (&["/etc/netplan"], &[]),
            (&["/etc/netplan/../passwd"], &[]),
            (&["/etc/netplan-x/a"], &[]),
            (&["/etc/netplan/a", "/etc/network/interfaces"], &[]),
            (&["/etc/netplan/a"], &["-x"]),
            (&["/etc/netplan/a"], &["a/b"]),
        ];
        for (paths, interfaces) in bad {
            assert!(matches!(check(&change(paths, interfaces)), Err(Failure::Refused(_))), "{paths:?} {interfaces:?}");
        }
    }
}
