//! What a test takes of the machine and must give back: processes, mounts, network namespaces, control groups, disks,
//! folders.
//!
//! Whatever is taken is written to a list. A guard process, outside of the test's process group, waits for the end of its
//! input, which the kernel brings about however the test process ends, also by SIGKILL; then it gives back everything on
//! the list, the youngest first, and removes the folder. A test that ends well goes the same way, so there is only one.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use anyhow::{Context as _, ensure};

/// Argument: the folder. What cannot be given back is named on standard error and makes the guard fail.
const GUARD: &str = include_str!("ward/guard.sh");

/// Something that was taken of the machine.
#[derive(Clone, Copy, Debug)]
pub enum Taken<'a> {
    /// A process, by number; killed. Another process that has its number by then is spared.
    Process(u32),
    /// A mount point.
    Mount(&'a Path),
    /// A network namespace that `ip netns` knows by that name.
    Namespace(&'a str),
    /// A control group; all in it is killed, and it is removed with all groups below it.
    Group(&'a Path),
    /// A zram disk, by number.
    Zram(u32),
}

/// A folder, and the list of what must be given back with it. Dropping it gives everything back.
#[derive(Debug)]
pub struct Ward {
    dir: PathBuf,
    list: Mutex<File>,
    guard: Child,
}

impl Ward {
    /// A new folder `<temporary folder>/<prefix>XXXXXX` with a guard.
    ///
    /// # Errors
    /// The folder cannot be made or the guard cannot be started.
    pub fn new(prefix: &str) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix(prefix).tempdir()?.keep();
        let list = File::create(dir.join("taken"))?;
        let guard = Command::new("/bin/sh")
            .args(["-c", GUARD, "hostler-ward"])
            .arg(&dir)
            .current_dir("/")
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .context("the guard cannot be started")?;
        Ok(Self { dir, list: Mutex::new(list), guard })
    }

    /// The folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Notes something that was taken, or is about to be.
    ///
    /// # Errors
    /// The list cannot be written, or the process is gone.
    pub fn note(&self, taken: Taken<'_>) -> anyhow::Result<()> {
        let line = match taken {
            Taken::Process(pid) => format!("process {pid} {}\n", started(pid)?),
            Taken::Mount(path) => format!("mount {}\n", path.display()),
            Taken::Namespace(name) => format!("namespace {name}\n"),
            Taken::Group(path) => format!("group {}\n", path.display()),
            Taken::Zram(number) => format!("zram {number}\n"),
        };
        // One write, so that a line is never half there; a poisoned lock still guards a whole file.
        let mut list = self.list.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Ok(list.write_all(line.as_bytes())?)
    }

    /// Gives everything back now.
    ///
    /// # Errors
    /// Something is left behind; the guard said what on standard error.
    pub fn give_back(&mut self) -> anyhow::Result<()> {
        drop(self.guard.stdin.take());
        let status = self.guard.wait()?;
        ensure!(status.success(), "something of {} is left behind", self.dir.display());
        Ok(())
    }
}

impl Drop for Ward {
    fn drop(&mut self) {
        if let Err(error) = self.give_back() {
            crate::postgres::announce(&format!("{error:#}"));
        }
    }
}

/// When a process started, in the kernel's ticks: with the number it names a process for ever.
fn started(pid: u32) -> anyhow::Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid}"))?;
    let after_name = stat.rsplit_once(") ").context("/proc/PID/stat")?.1;
    Ok(after_name.split(' ').nth(19).context("/proc/PID/stat")?.parse()?)
}
