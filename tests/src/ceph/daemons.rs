//! The processes of a cluster, by name: `mon.a`, `mgr.x`, `osd.0`, `mds.a`.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Cluster;
use crate::shell;
use crate::ward::Taken;

/// How long a daemon may take to end when it is asked to.
const END: Duration = Duration::from_secs(60);

/// Those that were started and not yet waited for.
#[derive(Debug, Default)]
pub(super) struct Daemons(Mutex<BTreeMap<String, Child>>);

impl Daemons {
    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Child>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for those that the guard killed.
    pub(super) fn reap(&self) {
        for child in self.all().values_mut() {
            child.wait().ok();
        }
    }
}

impl Cluster {
    /// Starts a daemon that does not run, on the data that it has.
    ///
    /// # Errors
    /// It runs, or cannot be started.
    pub fn start_daemon(&self, name: &str) -> anyhow::Result<()> {
        let (kind, id) = name.split_once('.').context("a daemon's name is like osd.0")?;
        let mut daemons = self.daemons.all();
        if let Some(child) = daemons.get_mut(name) {
            ensure!(child.try_wait()?.is_some(), "{name} runs");
        }
        let log = File::options().create(true).append(true).open(self.dir().join("log").join(format!("{name}.out")))?;
        let program = format!("ceph-{kind}");
        let mut command = match self.options.named {
            true => self.on_host(&format!("host{}", nth(id)), &program),
            false => self.command(&program),
        };
        command.args(["-f", "-i", id]);
        if kind == "osd" {
            let number: u32 = id.parse()?;
            command.arg("--crush-location").arg(format!("root=default host=host{}", number + 1));
        }
        let child = spawn(&mut command, log)?;
        self.ward.note(Taken::Process(child.id()))?;
        daemons.insert(name.to_owned(), child);
        Ok(())
    }

    /// A command as [`Cluster::command`] makes them, which finds itself on a host of that name.
    #[must_use]
    pub fn on_host(&self, name: &str, program: &str) -> Command {
        let mut command = self.command("unshare");
        // Each becomes the next, so that the process that is started is the program.
        command.args(["--uts", "sh", "-c", "hostname \"$1\" && shift && exec \"$@\"", "on-host", name, program]);
        command
    }

    /// Asks a daemon to end, and waits until it has.
    ///
    /// # Errors
    /// It does not run, or does not end.
    pub fn stop(&self, name: &str) -> anyhow::Result<()> {
        self.end(name, Signal::SIGTERM)
    }

    /// Kills a daemon at this instant.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill(&self, name: &str) -> anyhow::Result<()> {
        self.end(name, Signal::SIGKILL)
    }

    /// Stops a daemon's time: it is there, and does not answer.
    ///
    /// # Errors
    /// It does not run.
    pub fn freeze(&self, name: &str) -> anyhow::Result<()> {
        self.signal(name, Signal::SIGSTOP)
    }

    /// Undoes [`Cluster::freeze`].
    ///
    /// # Errors
    /// It does not run.
    pub fn thaw(&self, name: &str) -> anyhow::Result<()> {
        self.signal(name, Signal::SIGCONT)
    }

    /// The process number of a daemon.
    ///
    /// # Errors
    /// It was never started.
    pub fn pid(&self, name: &str) -> anyhow::Result<u32> {
        Ok(self.daemons.all().get(name).with_context(|| format!("{name} does not run"))?.id())
    }

    fn signal(&self, name: &str, signal: Signal) -> anyhow::Result<()> {
        let pid = Pid::from_raw(self.pid(name)?.try_into()?);
        Ok(kill(pid, signal)?)
    }

    fn end(&self, name: &str, signal: Signal) -> anyhow::Result<()> {
        self.signal(name, signal)?;
        let mut child = self.daemons.all().remove(name).with_context(|| format!("{name} does not run"))?;
        shell::wait(END, &format!("{name} ends"), || Ok(child.try_wait()?.is_some()))
    }
}

/// Which of its kind a daemon is, from 1 on: `0` and `a` and `x` are the first.
fn nth(id: &str) -> u32 {
    match id.chars().next() {
        Some(letter @ 'x'..='z') => u32::from(letter) - u32::from('w'),
        Some(letter @ 'a'..='w') => u32::from(letter) - u32::from('`'),
        _ => id.parse::<u32>().map_or(1, |number| number + 1),
    }
}

/// Starts it in a process group of its own.
fn spawn(command: &mut Command, log: File) -> anyhow::Result<Child> {
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
    command.spawn().with_context(|| format!("{command:?}"))
}
