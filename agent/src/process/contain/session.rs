//! The family of processes below the supervisor, for hosts where no control group can be had: nothing limits it, but as the
//! supervisor adopts every orphan of it, none leaves the family.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::{Usage, group};

/// How often the family is looked at again for children that were born while it was told to stop.
const ROUNDS: usize = 20;

/// The family of one program.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Session {
    /// Who adopts its orphans.
    supervisor: Known,
    /// The program itself, which leads the session.
    leader: Known,
    /// The boot in which these numbers mean something.
    boot: String,
}

/// A process, and when it began: its number alone may be somebody else's by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    pid: i32,
    began: u64,
}

/// What `/proc/PID/stat` says of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    parent: i32,
    session: i32,
    began: u64,
    dead: bool,
}

impl Session {
    pub(super) fn around(pid: Pid) -> io::Result<Self> {
        let known = |pid: Pid| {
            let stat = stat(pid.as_raw()).ok_or(io::ErrorKind::NotFound)?;
            io::Result::Ok(Known { pid: pid.as_raw(), began: stat.began })
        };
        Ok(Self { supervisor: known(Pid::this())?, leader: known(pid)?, boot: boot() })
    }

    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        group::signal_all(self.members(), signal)
    }

    pub(super) fn kill(&self) -> io::Result<()> {
        // First all of them stop, so that none is born behind our back.
        let mut stopped = BTreeSet::new();
        for _ in 0..ROUNDS {
            let members = self.members();
            if members.is_subset(&stopped) {
                break;
            }
            group::signal_all(members.difference(&stopped).copied(), Signal::SIGSTOP).ok();
            stopped.extend(members);
        }
        group::signal_all(self.members(), Signal::SIGKILL)
    }

    #[expect(clippy::unnecessary_wraps, reason = "all ways are asked alike")]
    pub(super) fn is_empty(&self) -> io::Result<bool> {
        Ok(self.members().is_empty())
    }

    #[expect(clippy::unused_self, reason = "all ways are asked alike")]
    pub(super) fn usage(&self) -> Usage {
        Usage::default()
    }

    #[expect(clippy::unnecessary_wraps, reason = "all ways are asked alike")]
    pub(super) fn remove(self) -> io::Result<()> {
        Ok(())
    }

    fn members(&self) -> BTreeSet<Pid> {
        if self.boot != boot() { BTreeSet::new() } else { self.among(&processes()) }
    }

    /// Those of `all` that belong to the family and live: everything below the supervisor; and, as long as the program
    /// itself lives, its session, which is all that is known without a supervisor.
    fn among(&self, all: &BTreeMap<i32, Stat>) -> BTreeSet<Pid> {
        let same = |known: Known| all.get(&known.pid).is_some_and(|stat| stat.began == known.began);
        let (supervised, led) = (same(self.supervisor), same(self.leader));
        let below = |pid: i32| {
            let (mut at, mut steps) = (pid, 0);
            // The list was not read at one instant, so it may have loops.
            while let Some(stat) = all.get(&at).filter(|_| steps < all.len()) {
                if stat.parent == self.supervisor.pid {
                    return true;
                }
                (at, steps) = (stat.parent, steps + 1);
            }
            false
        };
        all.iter()
            .filter(|(_, stat)| !stat.dead)
            .filter(|(pid, stat)| (supervised && below(**pid)) || (led && stat.session == self.leader.pid))
            .map(|(pid, _)| Pid::from_raw(*pid))
            .collect()
    }
}

fn boot() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

fn processes() -> BTreeMap<i32, Stat> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid| stat(pid).map(|stat| (pid, stat)))
        .collect()
}

fn stat(pid: i32) -> Option<Stat> {
    read(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn read(text: &str) -> Option<Stat> {
    // The name of the program is in brackets and may have blanks and brackets itself.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    Some(Stat {
        dead: matches!(*fields.first()?, "Z" | "X"),
        parent: fields.get(1)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        began: fields.get(19)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_process_with_a_strange_name() {
        let text = "42 (a ) S 1 (b) Z 7 40 41 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 12345 0 0";
        assert_eq!(read(text), Some(Stat { parent: 7, session: 41, began: 12345, dead: true }));
        assert_eq!(read("42 (x"), None);
    }

    #[test]
    fn only_the_family_belongs_to_it() {
        let live = |parent, session, began| Stat { parent, session, began, dead: false };
        let family =
            Session { supervisor: Known { pid: 10, began: 5 }, leader: Known { pid: 11, began: 6 }, boot: boot() };
        let mut all = BTreeMap::from([
            (1, live(0, 1, 0)),
            (10, live(1, 10, 5)),
            (11, live(10, 11, 6)),
            (12, live(11, 12, 7)),
            (13, live(12, 13, 8)),
            (14, Stat { dead: true, ..live(10, 11, 9) }),
            (20, live(1, 20, 3)),
        ]);
        let pids = |all: &BTreeMap<i32, Stat>| family.among(all).iter().map(|pid| pid.as_raw()).collect::<Vec<_>>();
        assert_eq!(pids(&all), [11, 12, 13]);
        // The supervisor died and its number is somebody else's: only the session of the program is known.
        all.insert(10, live(1, 10, 99));
        all.insert(15, live(1, 11, 9));
        assert_eq!(pids(&all), [11, 15]);
        all.insert(11, live(1, 11, 98));
        assert_eq!(pids(&all), [] as [i32; 0]);
    }
}
