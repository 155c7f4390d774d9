//! Power: on, off, again.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Host;
use crate::shell::{self, PATIENCE};
use crate::ward::Taken;

/// Becomes a member of the host's groups, then runs the host until it is off: 133 means that it wants to boot again.
/// Arguments: the file with the groups' doors, then the command line.
const LAUNCH: &str = "
while read -r door; do echo $$ >\"$door\"; done <\"$1\"
shift
while :; do
    \"$@\"
    status=$?
    echo \"the boot ended with $status\"
    [ $status = 133 ] || exit $status
done";

/// How long a host may take to end by itself before it is killed.
const END: Duration = Duration::from_secs(30);

impl Host<'_> {
    /// Switches it on and waits until its systemd says that it runs.
    ///
    /// # Errors
    /// It is on, does not get ready, or a unit fails while it boots.
    pub fn boot(&self) -> anyhow::Result<()> {
        self.switch_on()?;
        self.wait_ready()
    }

    fn switch_on(&self) -> anyhow::Result<()> {
        let mut launcher = self.launcher.lock().map_err(|_| anyhow::anyhow!("a thread failed"))?;
        ensure!(launcher.is_none(), "{} is on", self.name);
        let doors = self.dir().join("doors");
        fs::write(&doors, self.groups.doors())?;
        let console = fs::File::options().create(true).append(true).open(self.console())?;
        let mut command = shell::command(&["setsid", "--wait", "sh", "-c", LAUNCH, "hostler-host"]);
        command.arg(&doors).args(self.command_line()).current_dir("/");
        command.stdin(Stdio::null()).stdout(console.try_clone()?).stderr(console).process_group(0);
        let child = command.spawn()?;
        self.lab.ward.note(Taken::Process(child.id()))?;
        *launcher = Some(child);
        Ok(())
    }

    fn command_line(&self) -> Vec<String> {
        let mut words: Vec<String> = [
            "systemd-nspawn",
            "--quiet",
            // No daemon of the machine is asked.
            "--register=no",
            "--keep-unit",
            "--console=passive",
            "--resolv-conf=off",
            "--timezone=off",
            "--link-journal=no",
            // networkd; and limits of addresses. Never more: the clock and the kernel are the machine's.
            "--capability=CAP_NET_ADMIN,CAP_BPF",
            "--system-call-filter=bpf",
            "--kill-signal=SIGRTMIN+3",
        ]
        .map(str::to_owned)
        .to_vec();
        words.push(format!("--directory={}", self.root().display()));
        words.push(format!("--machine={}", self.lab.unique(&self.name).replace(['.', '_'], "-")));
        words.push(format!("--hostname={}", self.name));
        words.push(format!("--network-namespace-path={}", self.network.path().display()));
        words.extend(self.options.binds.iter().map(|bind| format!("--bind={bind}")));
        words.extend(self.options.devices.iter().map(|device| format!("--bind={}", device.display())));
        words.push("/usr/sbin/labinit".into());
        words
    }

    fn wait_ready(&self) -> anyhow::Result<()> {
        let ready = shell::wait(PATIENCE, &format!("{} is ready", self.name), || {
            let state = self.output(&["systemctl", "is-system-running"])?;
            let state = String::from_utf8_lossy(&state.stdout).trim().to_owned();
            if state == "degraded" {
                let failed = self.exec(&["systemctl", "--failed", "--no-pager", "--plain"])?;
                ensure!(!failed.contains(" failed "), "units failed: {failed}");
            }
            Ok(state == "running" || state == "degraded")
        });
        ready.with_context(|| self.logs())
    }

    /// What tells one boot from another.
    ///
    /// # Errors
    /// It is off.
    pub fn boot_id(&self) -> anyhow::Result<String> {
        Ok(self.exec(&["cat", "/proc/sys/kernel/random/boot_id"])?.trim().to_owned())
    }

    /// Reboots it in order, and waits until it is ready again.
    ///
    /// # Errors
    /// It does not come back.
    pub fn reboot(&self) -> anyhow::Result<()> {
        let before = self.boot_id()?;
        self.output(&["systemctl", "reboot"])?;
        self.wait_rebooted(&before)
    }

    /// Waits until it is ready in another boot than that.
    ///
    /// # Errors
    /// It does not come back.
    pub fn wait_rebooted(&self, before: &str) -> anyhow::Result<()> {
        shell::wait(PATIENCE, &format!("{} reboots", self.name), || Ok(self.boot_id()? != before))
            .with_context(|| self.logs())?;
        self.wait_ready()
    }

    /// Switches it off in order: its units stop, its first process ends.
    ///
    /// # Errors
    /// It is off, or does not end.
    pub fn power_off(&self) -> anyhow::Result<()> {
        let first = self.first_process()?;
        // SIGRTMIN+4, which systemd takes as an order to power off.
        shell::sh(&["kill", "-s", "RTMIN+4", &first.to_string()])?;
        self.wait_off()
    }

    /// Takes its power at this instant.
    ///
    /// # Errors
    /// It is off.
    pub fn power_loss(&self) -> anyhow::Result<()> {
        let (container, first) = self.processes()?;
        for pid in [container, first] {
            // The second may end with the first.
            kill(Pid::from_raw(pid.try_into()?), Signal::SIGKILL).ok();
        }
        // A frozen process does not notice that it was killed.
        self.thaw()?;
        self.wait_off()
    }

    /// Waits until it is off, for whatever reason.
    ///
    /// # Errors
    /// It was off, or stays on.
    pub fn wait_off(&self) -> anyhow::Result<()> {
        let mut launcher = self.launcher.lock().map_err(|_| anyhow::anyhow!("a thread failed"))?;
        let child = launcher.as_mut().context("it is off")?;
        shell::wait(END, &format!("{} ends", self.name), || Ok(child.try_wait()?.is_some()))?;
        *launcher = None;
        Ok(())
    }

    /// The number of its first process, as this machine sees it, once that is systemd.
    ///
    /// # Errors
    /// It is off, or not that far.
    pub fn first_process(&self) -> anyhow::Result<u32> {
        let first = self.processes()?.1;
        // Until then it is the container program or the wrapper of the tree: whoever entered would find a host that is half
        // there, or this machine's own files.
        let name = fs::read_to_string(format!("/proc/{first}/comm"))?;
        ensure!(name.trim() == "systemd", "{} is not up yet: {}", self.name, name.trim());
        Ok(first)
    }

    /// The container program and the host's first process.
    fn processes(&self) -> anyhow::Result<(u32, u32)> {
        let launcher = self.launcher.lock().map_err(|_| anyhow::anyhow!("a thread failed"))?;
        let waiting = launcher.as_ref().with_context(|| format!("{} is off", self.name))?.id();
        // setsid, the loop, the container program, the first process: each is the only child of the one before.
        let child = |pid: u32| -> anyhow::Result<u32> {
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
            children.trim().parse().with_context(|| format!("{} is not there yet or no more", self.name))
        };
        let looping = child(waiting).unwrap_or(waiting);
        let container = child(looping)?;
        Ok((container, child(container)?))
    }

    pub(super) fn console(&self) -> std::path::PathBuf {
        self.dir().join("console.log")
    }

    /// What it wrote to its console and to its journal.
    #[must_use]
    pub fn logs(&self) -> String {
        let console = fs::read_to_string(self.console()).unwrap_or_default();
        let mut read = shell::command(&["journalctl", "--no-pager", "--quiet", "-b", "-n", "200"]);
        let journal = shell::output(read.arg(format!("--root={}", self.root().display())));
        let journal = journal.map(|done| String::from_utf8_lossy(&done.stdout).into_owned()).unwrap_or_default();
        let inside = self.output(&["journalctl", "--no-pager", "--quiet", "-b", "-n", "200"]);
        let inside = inside.map(|done| String::from_utf8_lossy(&done.stdout).into_owned()).unwrap_or_default();
        format!(
            "---- console of {}\n{console}\n---- its journal\n{}",
            self.name,
            if inside.is_empty() { journal } else { inside }
        )
    }
}

impl Drop for Host<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            crate::postgres::announce(&self.logs());
        }
        // The guard of the lab kills whatever is in its groups; this is only faster, and reaps.
        if self.power_loss().is_err()
            && let Ok(mut launcher) = self.launcher.lock()
            && let Some(mut child) = launcher.take()
        {
            child.kill().ok();
            child.wait().ok();
        }
    }
}
