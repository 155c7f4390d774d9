//! What a laboratory needs of the machine, and what happens where it is missing.
//!
//! The rule: **programs and root can be had**, tests/run installs the ones and CI is the other, so where `CI` is `true` a
//! test that lacks them fails. **A kernel cannot be helped**: where it lacks a feature, the test is skipped also in CI. Either
//! way it is said past the capture of the test harness, so that nobody believes that something was tested.

use std::path::Path;

use nix::unistd::Uid;

use crate::postgres::announce;
use crate::shell;

/// Something a laboratory needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// To be root.
    Root,
    /// A program in PATH, and the Debian package that brings it.
    Program(&'static str, &'static str),
    /// A filesystem that the kernel knows.
    Filesystem(&'static str),
    /// Network namespaces with virtual links and bridges.
    Networks,
    /// Control groups that may be made below the own one.
    Groups,
    /// Disks in memory.
    Zram,
}

/// Whether all of it is there.
///
/// # Panics
/// `CI` is `true`, and something is missing that could be there.
#[must_use]
pub fn has(what: &str, needs: &[Need]) -> bool {
    let mut complete = true;
    for need in needs.iter().filter(|need| !need.met()) {
        complete = false;
        let kernel = need.is_of_the_kernel();
        let kind = if kernel { "the kernel lacks" } else { "not there" };
        announce(&format!("!!! SKIPPED: {what}: {kind}: {need:?}"));
        let strict = std::env::var("CI").is_ok_and(|value| value == "true");
        assert!(kernel || !strict, "CI must have what {what} needs: {need:?}");
        // Without root nothing else can be tried.
        if *need == Need::Root {
            return false;
        }
    }
    complete
}

impl Need {
    fn is_of_the_kernel(self) -> bool {
        match self {
            Self::Root | Self::Program(..) => false,
            Self::Filesystem(_) | Self::Networks | Self::Groups | Self::Zram => true,
        }
    }

    fn met(self) -> bool {
        match self {
            Self::Root => Uid::effective().is_root(),
            Self::Program(name, _) => shell::sh(&["sh", "-c", "command -v -- \"$1\"", "sh", name]).is_ok(),
            Self::Filesystem(name) => std::fs::read_to_string("/proc/filesystems")
                .is_ok_and(|known| known.lines().any(|line| line.split_whitespace().next_back() == Some(name))),
            Self::Networks => shell::sh(&["unshare", "--net", "sh", "-ec", TRY_NETWORK]).is_ok(),
            Self::Groups => Path::new("/sys/fs/cgroup/systemd").is_dir() && tried_group(),
            Self::Zram => Path::new("/sys/class/zram-control/hot_add").exists(),
        }
    }
}

/// In a namespace that ends with its shell.
const TRY_NETWORK: &str =
    "ip link add name br0 type bridge; ip link add name port type veth peer name link; ip link set port master br0";

/// Whether a group can be made, used and removed.
fn tried_group() -> bool {
    let name = format!("hostler-try-{}", std::process::id());
    crate::hosts::own_groups().is_ok_and(|groups| {
        !groups.is_empty()
            && groups.iter().all(|group| {
                let tried = group.join(&name);
                std::fs::create_dir(&tried).is_ok() && std::fs::remove_dir(&tried).is_ok()
            })
    })
}
