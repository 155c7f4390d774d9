//! Real mounts for tests: what an agent sees appear and vanish.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;

use anyhow::{Context as _, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::ceph::Cluster;
use crate::shell::{self, PATIENCE};
use crate::ward::{Taken, Ward};

/// A mount. Dropping it ends it.
#[derive(Debug)]
pub struct Mounted {
    path: PathBuf,
    ward: Ward,
    server: Option<Child>,
}

impl Mounted {
    /// An empty filesystem in memory on that folder.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn tmpfs(path: &Path) -> anyhow::Result<Self> {
        let ward = Self::prepare(path)?;
        shell::run(shell::command(&["mount", "-t", "tmpfs", "-o", "size=16m", "hostler-test"]).arg(path))?;
        Ok(Self { path: path.to_owned(), ward, server: None })
    }

    /// A second view of a folder, on another one.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn bind(from: &Path, path: &Path) -> anyhow::Result<Self> {
        let ward = Self::prepare(path)?;
        shell::run(shell::command(&["mount", "--bind"]).arg(from).arg(path))?;
        Ok(Self { path: path.to_owned(), ward, server: None })
    }

    /// The file system of a cluster on that folder, by `ceph-fuse`; `subfolder` is `/` for all of it.
    ///
    /// # Errors
    /// The cluster has none, or it is not there soon.
    pub fn cephfs(cluster: &Cluster, path: &Path, subfolder: &str) -> anyhow::Result<Self> {
        let ward = Self::prepare(path)?;
        let log = fs::File::create(ward.dir().join("log"))?;
        let mut command = cluster.command("ceph-fuse");
        command.args(["-f", "-r", subfolder]).arg(path).stdin(std::process::Stdio::null());
        let mut server = command.stdout(log.try_clone()?).stderr(log).spawn().context("ceph-fuse")?;
        ward.note(Taken::Process(server.id()))?;
        shell::wait(PATIENCE, "ceph-fuse mounts", || {
            ensure!(server.try_wait()?.is_none(), "{}", fs::read_to_string(ward.dir().join("log"))?);
            Ok(kind(path)?.is_some_and(|kind| kind == "fuse.ceph-fuse"))
        })?;
        Ok(Self { path: path.to_owned(), ward, server: Some(server) })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Ends it now.
    ///
    /// # Errors
    /// Somebody uses it.
    pub fn unmount(mut self) -> anyhow::Result<()> {
        self.end()
    }

    /// Stops the process that serves it: whoever looks into it waits. Nothing happens where the kernel serves it.
    ///
    /// # Errors
    /// It is gone.
    pub fn freeze(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// Undoes [`Mounted::freeze`].
    ///
    /// # Errors
    /// It is gone.
    pub fn thaw(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGCONT)
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let Some(server) = &self.server else { return Ok(()) };
        Ok(kill(Pid::from_raw(i32::try_from(server.id())?), signal)?)
    }

    fn prepare(path: &Path) -> anyhow::Result<Ward> {
        fs::create_dir_all(path)?;
        let ward = Ward::new("hostler-mount-")?;
        ward.note(Taken::Mount(path))?;
        Ok(ward)
    }

    fn end(&mut self) -> anyhow::Result<()> {
        // One that is stopped would never let go of it.
        self.thaw().ok();
        // A mount whose server is gone still is one, and only that the guard has to end then.
        if self.server.is_some() && kind(&self.path)?.is_some() {
            shell::run(shell::command(&["umount"]).arg(&self.path))?;
        }
        let done = self.ward.give_back();
        if let Some(mut server) = self.server.take() {
            server.wait()?;
        }
        done
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            crate::postgres::announce(&format!("{}: {error:#}", self.path.display()));
        }
    }
}

/// The type of the filesystem that is mounted on that folder, if one is.
///
/// # Errors
/// The table of mounts cannot be read.
pub fn kind(path: &Path) -> anyhow::Result<Option<String>> {
    let table = fs::read_to_string("/proc/self/mounts")?;
    let found = table.lines().rev().map(|line| line.split(' ').collect::<Vec<_>>());
    let path = path.to_str().context("a path that is no text")?;
    Ok(found
        .into_iter()
        .find(|fields| fields.get(1) == Some(&path))
        .and_then(|fields| fields.get(2).map(|&kind| kind.into())))
}
