//! Control groups: each host has one of its own below ours in every hierarchy, so that its limits hold, its processes can be
//! found and frozen, and nothing is left in the machine's groups.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::ward::{Taken, Ward};

const ROOT: &str = "/sys/fs/cgroup";

/// Our own group in each hierarchy that is mounted.
///
/// # Errors
/// `/proc/self/cgroup` cannot be read.
pub fn own() -> anyhow::Result<Vec<PathBuf>> {
    let text = fs::read_to_string("/proc/self/cgroup")?;
    let paths = text.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?.trim_start_matches('/'));
        let hierarchy = match controllers.strip_prefix("name=") {
            Some(name) => Path::new(ROOT).join(name),
            // Version 2: beside hierarchies of version 1, or alone.
            None if controllers.is_empty() && Path::new(ROOT).join("unified").is_dir() => {
                Path::new(ROOT).join("unified")
            }
            None => Path::new(ROOT).join(controllers),
        };
        Some(hierarchy.join(path))
    });
    Ok(paths.filter(|path| path.is_dir()).collect())
}

/// The groups of a host.
#[derive(Debug)]
pub(super) struct Groups(Vec<PathBuf>);

impl Groups {
    /// Makes them; they go with the ward, and so does everything in them.
    pub(super) fn make(ward: &Ward, name: &str) -> anyhow::Result<Self> {
        let mut made = Vec::new();
        for parent in own()? {
            let group = parent.join(name);
            ward.note(Taken::Group(&group))?;
            fs::create_dir(&group).with_context(|| group.display().to_string())?;
            // A new group has no processors and no memory, and takes no process before it has.
            for file in ["cpuset.cpus", "cpuset.mems"] {
                if parent.join(file).is_file() {
                    fs::write(group.join(file), fs::read(parent.join(file))?)?;
                }
            }
            made.push(group);
        }
        Ok(Self(made))
    }

    /// The files that a process writes its number into to become a member, one a line.
    pub(super) fn doors(&self) -> String {
        self.0.iter().map(|group| format!("{}\n", group.join("cgroup.procs").display())).collect()
    }

    /// Stops or continues the time of all members.
    pub(super) fn freeze(&self, frozen: bool) -> anyhow::Result<()> {
        for group in &self.0 {
            if group.join("freezer.state").exists() {
                let state = if frozen { "FROZEN" } else { "THAWED" };
                return Ok(fs::write(group.join("freezer.state"), state)?);
            }
        }
        // Version 2 alone.
        let group = self.0.iter().find(|group| group.join("cgroup.freeze").exists()).context("there is no freezer")?;
        Ok(fs::write(group.join("cgroup.freeze"), if frozen { "1" } else { "0" })?)
    }

    /// The group of a controller, such as `memory`.
    pub(super) fn of(&self, controller: &str) -> Option<&Path> {
        let root = Path::new(ROOT).join(controller);
        self.0.iter().find(|group| group.starts_with(&root)).map(PathBuf::as_path)
    }
}
