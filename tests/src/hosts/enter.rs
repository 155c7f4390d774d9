//! Running something in a host. There are two ways and no third: entering its namespaces as root alone would keep the
//! capabilities of this machine's root, so that setting the clock "in the host" would set everybody's.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use anyhow::{Context as _, bail, ensure};

use super::{File, Host};
use crate::shell;

/// What whoever enters loses for good.
const WITHOUT: &str =
    "--bounding-set=-sys_time,-wake_alarm,-sys_module,-sys_rawio,-sys_boot,-syslog,-mac_admin,-mac_override";

/// What a program finds in its environment.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How long a program may run in a host, in seconds.
const LIMIT: &str = "180";

/// The capability to set the clock, in the mask of the kernel.
const CAP_SYS_TIME: u64 = 1 << 25;

/// Whether both ways were found to be safe, once in a test process.
static SAFE: OnceLock<Result<(), String>> = OnceLock::new();

impl Host<'_> {
    /// Runs a program as root in the host, outside of its control groups, for three minutes at the most; it must succeed. Gives
    /// its standard output.
    ///
    /// # Errors
    /// The host is off or the program does not succeed.
    pub fn exec(&self, words: &[&str]) -> anyhow::Result<String> {
        self.safe()?;
        shell::run(&mut self.entering(words)?)
    }

    /// Runs a program as [`Host::exec`] does; its outcome is the caller's to judge.
    ///
    /// # Errors
    /// The host is off.
    pub fn output(&self, words: &[&str]) -> anyhow::Result<Output> {
        self.safe()?;
        shell::output(&mut self.entering(words)?)
    }

    /// Runs a program as a transient unit of the host's own systemd, with all limits of the host; its outcome is the caller's
    /// to judge.
    ///
    /// # Errors
    /// The host is off.
    pub fn exec_unit(&self, words: &[&str]) -> anyhow::Result<Output> {
        self.safe()?;
        shell::output(&mut self.entering(&[&["systemd-run", "--quiet", "--wait", "--pipe", "--"], words].concat())?)
    }

    /// Starts a program and does not wait for it. It ends after three minutes, or with the lab.
    ///
    /// # Errors
    /// The host is off.
    pub fn spawn(&self, words: &[&str]) -> anyhow::Result<std::process::Child> {
        self.safe()?;
        let child = self.entering(words)?.stdin(Stdio::null()).spawn()?;
        self.lab.ward.note(crate::ward::Taken::Process(child.id()))?;
        Ok(child)
    }

    /// Writes a file into a host that runs, as the host sees the path. (Into one that is off: [`Host::put`].)
    ///
    /// # Errors
    /// The host is off, or it cannot be written.
    pub fn write(&self, file: &File) -> anyhow::Result<()> {
        self.safe()?;
        let script = "mkdir -p -- \"$(dirname -- \"$1\")\" && cat >\"$1.new\" && chmod \"$2\" \"$1.new\" && mv -f -- \"$1.new\" \"$1\"";
        let mode = format!("{:o}", file.mode);
        let mut command = self.entering(&["sh", "-c", script, "write", &file.path, &mode])?;
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        child.stdin.take().context("no input")?.write_all(&file.bytes)?;
        ensure!(child.wait()?.success(), "{} cannot be written", file.path);
        Ok(())
    }

    /// Reads a file of a host that runs.
    ///
    /// # Errors
    /// The host is off, or there is no such file.
    pub fn read(&self, path: &str) -> anyhow::Result<String> {
        self.exec(&["cat", "--", path])
    }

    /// The only command line that enters a host.
    fn entering(&self, words: &[&str]) -> anyhow::Result<Command> {
        let first = self.first_process()?.to_string();
        // A host that is half there, going down or coming up, may let whoever enters wait for ever.
        let enter = ["timeout", "-k", "1", LIMIT, "nsenter", "-t", &first, "-a", "--", "setpriv", WITHOUT, "env", "-i"];
        let mut command = shell::command(&enter);
        command.args([PATH, "HOME=/root", "LANG=C.UTF-8"]).args(words);
        Ok(command)
    }

    /// Refuses to enter where entering keeps the machine's clock within reach.
    fn safe(&self) -> anyhow::Result<()> {
        if let Some(known) = SAFE.get() {
            return known.clone().map_err(anyhow::Error::msg);
        }
        let status = shell::run(&mut self.entering(&["cat", "/proc/self/status"])?)?;
        let mut checked = without_clock(&status);
        if checked.is_ok() {
            // The second way needs a host that is further up.
            let mut unit =
                self.entering(&["systemd-run", "--quiet", "--wait", "--pipe", "--", "cat", "/proc/self/status"])?;
            let done = shell::output(&mut unit)?;
            if !done.status.success() {
                return Ok(());
            }
            checked = without_clock(&String::from_utf8_lossy(&done.stdout));
        }
        let checked = checked.map_err(|error| format!("{error:#}"));
        SAFE.get_or_init(|| checked).clone().map_err(anyhow::Error::msg)
    }
}

/// Whether a process with that status cannot set the clock.
fn without_clock(status: &str) -> anyhow::Result<()> {
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:")).context("no capabilities in the status")?;
    let mask = u64::from_str_radix(mask.trim(), 16)?;
    if mask & CAP_SYS_TIME != 0 {
        bail!("entering a host would keep CAP_SYS_TIME: refused");
    }
    Ok(())
}
