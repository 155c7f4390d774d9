//! The table of hook points.

use serde::{Deserialize, Serialize};

/// Where the scripts of a hook point run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On the host concerned.
    Host,
    /// On one of the selected hosts, chosen at random.
    OneHost,
    /// On the management node.
    Management,
}

/// A value that scripts of a hook point get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name, in words separated by hyphens.
    pub name: &'static str,
    /// What it is, for people.
    pub description: &'static str,
}

impl Parameter {
    /// The variable of the environment that holds it.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("HOOK_{}", self.name.replace('-', "_").to_ascii_uppercase())
    }
}

const fn parameter(name: &'static str, description: &'static str) -> Parameter {
    Parameter { name, description }
}

macro_rules! points {
    ($($name:ident, $place:ident, $blocking:literal, $description:literal, $parameters:expr;)*) => {
        /// A named moment.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum HookPoint {
            $(#[doc = $description] $name,)*
        }

        impl HookPoint {
            /// All of them, in the order of spec/hooks.md §5.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The stable name, as in the croit dialect.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// Where its scripts run.
            #[must_use]
            pub fn place(self) -> Place {
                match self { $(Self::$name => Place::$place,)* }
            }

            /// Whether what it is about waits for its scripts, and does not happen if one fails.
            #[must_use]
            pub fn blocking(self) -> bool {
                match self { $(Self::$name => $blocking,)* }
            }

            /// What it is, for people.
            #[must_use]
            pub fn description(self) -> &'static str {
                match self { $(Self::$name => $description,)* }
            }

            /// What its scripts get, in the order of their arguments.
            #[must_use]
            pub fn parameters(self) -> &'static [Parameter] {
                match self { $(Self::$name => const { $parameters },)* }
            }
        }
    };
}

const INTERFACES: Parameter = parameter("interfaces", "The network interfaces concerned, separated by commas.");
const CHANGE_FILE: Parameter = parameter("change-file", "Path of a JSON file that describes the change.");
const BOOT_ID: Parameter = parameter("boot-id", "The kernel's id of this boot.");
const START_REASON: Parameter = parameter("reason", "Why the agent starts: boot, restart or upgrade.");
const FIRST_BOOT: Parameter = parameter("first-boot", "true if the agent starts for the first time in this boot.");
const DEVICE: Parameter = parameter("device", "Path of the disk below /dev.");
const SERIAL: Parameter = parameter("serial", "Serial number or WWN of the disk; empty if it has none.");
const PURPOSE: Parameter = parameter("purpose", "What the disk is for: osd, db, wal or data.");
const OLD_STATUS: Parameter = parameter("old-status", "The health of the cluster before.");
const NEW_STATUS: Parameter = parameter("new-status", "The health of the cluster now.");
const CODES: Parameter = parameter("codes", "The codes of the checks that changed, separated by commas.");
const SUMMARY: Parameter = parameter("summary", "The change in one line.");
const OLD_CRUSH: Parameter = parameter("old-version", "Version of the CRUSH map before.");
const NEW_CRUSH: Parameter = parameter("new-version", "Version of the CRUSH map after; empty before the change.");
const CRUSH_REASON: Parameter = parameter("reason", "What the change is.");
const VERSION: Parameter = parameter("version", "Version of the manager.");
const MANAGER_REASON: Parameter = parameter("reason", "Why the manager starts: start or upgrade.");
const RESULT: Parameter = parameter("result", "How it went: ok, or what went wrong.");

points! {
    PreNetworkConfig, Host, true,
        "Before the network configuration of a server is changed. A failure prevents the change.",
        &[INTERFACES, CHANGE_FILE];
    PostNetworkConfig, Host, false,
        "After the network configuration of a server was changed.",
        &[INTERFACES, CHANGE_FILE, RESULT];
    PreDaemonStart, Host, true,
        "Before the agent of a server begins its work; the place for drivers and packages.",
        &[BOOT_ID, START_REASON, FIRST_BOOT];
    PostDaemonStart, Host, false,
        "After the agent of a server has started.",
        &[BOOT_ID, START_REASON, FIRST_BOOT];
    PreFormatDisk, Host, true,
        "Before a disk is formatted. A failure prevents that.",
        &[DEVICE, SERIAL, PURPOSE];
    PostFormatDisk, Host, false,
        "After a disk was formatted.",
        &[DEVICE, SERIAL, PURPOSE, parameter("osd-id", "Number of the OSD; empty if the disk became none."), RESULT];
    PostCephDaemonStart, Host, false,
        "After a Ceph daemon was started by the agent; not when udev or systemd started it by themselves.",
        &[
            parameter("daemon-type", "mon, mgr, osd, mds or rgw."),
            parameter("daemon-id", "The daemon's id."),
            parameter("unit", "The systemd unit; empty if there is none."),
            RESULT,
        ];
    OnHealthDegrade, Management, false,
        "A health warning of the cluster appeared or grew, or its overall status got worse.",
        &[OLD_STATUS, NEW_STATUS, CODES, SUMMARY];
    OnHealthImprove, Management, false,
        "A health warning of the cluster disappeared or shrank.",
        &[OLD_STATUS, NEW_STATUS, CODES, SUMMARY];
    OnHealthRecover, Management, false,
        "The health of the cluster returned to HEALTH_OK.",
        &[OLD_STATUS, NEW_STATUS, CODES, SUMMARY];
    PreCrushMapChange, Management, true,
        "Before the manager changes the CRUSH map. A failure prevents that.",
        &[OLD_CRUSH, NEW_CRUSH, CHANGE_FILE, CRUSH_REASON];
    PostCrushMapChange, Management, false,
        "After the CRUSH map was changed.",
        &[OLD_CRUSH, NEW_CRUSH, CHANGE_FILE, CRUSH_REASON];
    PostConfigChanged, Host, false,
        "After any configuration of a server was changed.",
        &[
            parameter("environment-id", "The environment that it belongs to; empty if none."),
            parameter("deployment-id", "The deployment that did it; empty if none."),
            parameter("objects", "What was changed, separated by commas: paths of files, options of Ceph."),
            RESULT,
        ];
    OnDhcpLeaseUpdate, Management, false,
        "A DHCP lease of the provisioning network appeared, changed or ended.",
        &[
            parameter("action", "add, renew or del."),
            parameter("mac", "The hardware address."),
            parameter("ip", "The address that is leased."),
            parameter("hostname", "The name that the client gave; empty if none."),
            parameter("expiry", "When the lease ends, in seconds since 1970; 0 means never."),
        ];
    OnPersistentAvailable, Host, false,
        "After the persistent file system of a server was mounted.",
        &[
            parameter("mount-point", "Where it is mounted."),
            parameter("type", "The type of the file system."),
            parameter("source", "What is mounted."),
        ];
    OnCephFsSnapshotComplete, OneHost, false,
        "A snapshot of a CephFS is complete. Runs on one of the selected servers, chosen at random.",
        &[
            parameter("filesystem", "The file system."),
            parameter("path", "The path whose snapshot it is."),
            parameter("snapshot", "The name of the snapshot."),
            parameter("subvolume-group", "The group of the subvolume; empty if none."),
            parameter("subvolume", "The subvolume; empty if none."),
        ];
    OnRbdSnapshotComplete, OneHost, false,
        "A snapshot of an RBD image is complete. Runs on one of the selected servers, chosen at random.",
        &[
            parameter("pool", "The pool."),
            parameter("namespace", "The namespace; empty if none."),
            parameter("image", "The image."),
            parameter("snapshot", "The name of the snapshot."),
            parameter("snapshot-id", "The number of the snapshot."),
        ];
    OnAudit, Management, false,
        "A call that changes something was recorded in the audit trail.",
        &[
            parameter("user", "Who."),
            parameter("method", "The method of the call."),
            parameter("endpoint", "The path of the call."),
            parameter("status", "The status of the answer."),
            parameter("category", "What it was about."),
            parameter("operation", "What was done."),
        ];
    OnCroitStartup, Management, false,
        "The manager starts; it serves when the scripts have ended, at the latest after a minute.",
        &[VERSION, MANAGER_REASON];
    OnCroitAsyncStartup, Management, false,
        "The manager has started.",
        &[VERSION, MANAGER_REASON];
}

impl HookPoint {
    /// The point of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|point| point.name() == name)
    }

    /// Which of the arguments of its scripts is the path of a change file, counted from 0; `None` if there is none.
    #[must_use]
    pub fn change_argument(self) -> Option<usize> {
        self.parameters().iter().position(|parameter| parameter.name == CHANGE_FILE.name)
    }

    /// Whether only agents know that it has come, as the manager has no part in it: its scripts run as agents order it.
    #[must_use]
    pub fn of_agents(self) -> bool {
        matches!(self, Self::PreDaemonStart | Self::PostDaemonStart | Self::OnPersistentAvailable)
    }

    /// Whether one may choose the hosts on which its scripts run.
    #[must_use]
    pub fn can_choose_server(self) -> bool {
        self.place() != Place::Management
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_twenty_and_those_before_something_wait() {
        assert_eq!(HookPoint::ALL.len(), 20);
        for point in HookPoint::ALL {
            assert_eq!(HookPoint::from_name(point.name()), Some(*point));
            assert_eq!(point.blocking(), point.name().starts_with("Pre"), "{point:?}");
            assert!(!point.parameters().is_empty(), "{point:?}");
        }
        assert_eq!(HookPoint::from_name("onaudit"), None);
        assert_eq!(HookPoint::PreNetworkConfig.change_argument(), Some(1));
        assert_eq!(HookPoint::PostCrushMapChange.change_argument(), Some(2));
        assert_eq!(HookPoint::OnAudit.change_argument(), None);
    }
}
