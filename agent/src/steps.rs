//! Steps: changes of this host or of its Ceph cluster (spec/hooks.md §7).
//!
//! The daemon starts each as a process of its own, `hostler-agent step`, which reads the step, checks everything that it can
//! before it begins, makes the change, and prints a [`StepResult`]. It ends with 0 if the change is made, with [`REFUSED`] if it was
//! not begun, else with 1, and with the reason on standard error. Programs are started by their arguments, never by a shell.
//!
//! Adding a step is one file in this folder, one line in [`perform`], and its variant and name in `hostler_common::step`.

pub mod ceph_daemon;
pub mod ceph_daemons;
pub mod ceph_drain;
pub mod ceph_flag;
pub mod ceph_host;
pub mod ceph_noout;
pub mod ceph_sample;
pub mod ceph_setting;
pub mod ceph_stop_check;
pub mod cephfs_snapshot;
pub mod crush;
pub mod disk;
pub mod dummy;
pub mod fetch;
pub mod format_disk;
pub mod guests;
pub mod locks;
pub mod network;
pub mod packages;
pub mod precheck;
pub mod rbd_snapshot;
pub mod reboot;
pub mod systemd;
pub mod unit;

#[cfg(test)]
mod fixture;

use std::collections::BTreeMap;
use std::io::{Read as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use hostler_common::step::{Step, StepResult};

use crate::ceph::{self, Access, CephClient, Error, program};
use crate::ours;

/// Largest step that is read, in bytes: a compiled CRUSH map is the largest part of any.
const STEP_MAX: u64 = 64 << 20;

/// The exit code of a step that was not begun: nothing was changed.
pub const REFUSED: u8 = 3;

/// What of the agent's environment its steps find in theirs: where the configuration of the Ceph cluster is.
const INHERITED: [&str; 1] = ["CEPH_CONF"];

/// The variables of this process that its steps are to have.
#[must_use]
pub fn environment() -> BTreeMap<String, String> {
    INHERITED.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?))).collect()
}

/// Why a step did not end as it should.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Failure {
    /// A check before the beginning said no; nothing was changed.
    #[error("not begun: {0}")]
    Refused(String),
    /// It was begun; what was changed is not known.
    #[error("{0}")]
    Broken(String),
    /// It was begun and put back; the result says so, too.
    #[error("{}", .0.detail)]
    Undone(Box<StepResult>),
    /// It only looked, and something is not as it should be; the result says what it found.
    #[error("{}", .0.detail)]
    Unfit(Box<StepResult>),
}

impl Failure {
    fn refused(reason: impl std::fmt::Display) -> Self {
        Self::Refused(reason.to_string())
    }

    fn broken(reason: impl std::fmt::Display) -> Self {
        Self::Broken(reason.to_string())
    }
}

/// What a step may use.
#[derive(Clone, Debug)]
pub struct Context {
    /// How Ceph is asked.
    pub ceph: Access,
    /// Where things of this boot are kept.
    pub runtime_dir: PathBuf,
    /// The agent's state folder.
    pub state_dir: PathBuf,
    /// Folders below which fetched files may be put.
    pub paths: Vec<PathBuf>,
    /// The folder of the job that this is; `None` if an agent did not start it.
    pub job: Option<PathBuf>,
}

impl Context {
    fn client(&self) -> Box<dyn CephClient> {
        ceph::client(&self.ceph)
    }

    /// Remembers that a change is ours, until that is dropped. Without it the step goes on: a change that is told twice is
    /// better than one that is not made.
    fn mark(&self, what: &str) -> Option<ours::Mark> {
        ours::Mark::begin(&self.runtime_dir, what)
            .inspect_err(|error| tracing::warn!(%error, what, "a change cannot be marked as ours"))
            .ok()
    }
}

/// Makes a change.
///
/// # Errors
/// See [`Failure`].
pub fn perform(step: &Step, context: &Context) -> Result<StepResult, Failure> {
    match step {
        Step::FormatDisk(step) => format_disk::run(step, context),
        Step::CephDaemon(step) => ceph_daemon::run(step, context),
        Step::Unit(step) => unit::run(step),
        Step::CrushRead => crush::read(context),
        Step::Crush(step) => crush::run(step, context),
        Step::RbdSnapshot(step) => rbd_snapshot::run(step, context),
        Step::CephFsSnapshot(step) => cephfs_snapshot::run(step, context),
        Step::Network(step) => network::run(step, context),
        Step::CephFlag(step) => ceph_flag::run(step, context),
        Step::CephSetting(step) => ceph_setting::run(step, context),
        Step::CephScrub(step) => ceph_setting::scrub(step, context),
        Step::Dummy => dummy::run(),
        Step::CephHost => ceph_host::run(context),
        Step::CephSample(step) => ceph_sample::run(step, context),
        Step::CephStopCheck(daemons) => ceph_stop_check::run(daemons, context),
        Step::CephNoout(step) => ceph_noout::run(step, context),
        Step::Precheck(step) => precheck::run(step),
        Step::Reboot(step) => reboot::run(step, context),
        Step::Packages(step) => packages::run(step, context),
        Step::Fetch(step) => fetch::run(step, context),
        Step::CephDaemons(step) => ceph_daemons::run(step, context),
        Step::CephDrain(step) => ceph_drain::run(step, context),
    }
}

/// What the hidden subcommand `step` takes.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// File with the step as JSON; standard input if not given
    #[arg(long)]
    pub file: Option<PathBuf>,
    /// The agent's state folder
    #[arg(long, default_value = "/var/lib/hostler-agent")]
    pub state_dir: PathBuf,
    /// A folder below which fetched files may be put; may be given several times
    #[arg(long = "allow-path", value_name = "DIR")]
    pub paths: Vec<PathBuf>,
    /// Folder for what is kept until the next boot
    #[arg(long, default_value = ours::RUNTIME_DIR)]
    pub runtime_dir: PathBuf,
    /// Put back the change of the network that is described in this folder, unless it is confirmed in time
    #[arg(long)]
    pub roll_back: Option<PathBuf>,
}

/// Makes the change that is asked for and writes its result as one line of JSON to `output`, or the reason why it did not end as
/// it should to `errors`.
pub fn run_cli(arguments: Arguments, output: &mut dyn Write, errors: &mut dyn Write) -> ExitCode {
    let Err(error) = make(arguments, output) else { return ExitCode::SUCCESS };
    // Whoever does not read it has the exit code.
    writeln!(errors, "{error:#}").ok();
    match error.downcast_ref() {
        Some(Failure::Refused(_)) => ExitCode::from(REFUSED),
        Some(Failure::Broken(_) | Failure::Undone(_) | Failure::Unfit(_)) | None => ExitCode::FAILURE,
    }
}

fn make(arguments: Arguments, output: &mut dyn Write) -> anyhow::Result<()> {
    if let Some(folder) = &arguments.roll_back {
        return Ok(network::roll_back_later(folder)?);
    }
    let mut text = Vec::new();
    match &arguments.file {
        Some(file) => std::fs::File::open(file)?.take(STEP_MAX).read_to_end(&mut text)?,
        None => std::io::stdin().take(STEP_MAX).read_to_end(&mut text)?,
    };
    let step: Step = serde_json::from_slice(&text)?;
    let Arguments { file, state_dir, runtime_dir, paths, .. } = arguments;
    let job = file.as_deref().and_then(Path::parent).map(Path::to_owned);
    let done = perform(&step, &Context { ceph: Access::default(), runtime_dir, state_dir, paths, job });
    let said = match &done {
        Ok(result) => Some(result),
        Err(Failure::Undone(result) | Failure::Unfit(result)) => Some(result.as_ref()),
        Err(_) => None,
    };
    if let Some(result) = said {
        serde_json::to_writer(&mut *output, result)?;
        output.write_all(b"\n")?;
        output.flush()?;
    }
    done.map(drop).context(step.name())
}

/// Runs a program that must do what it should.
fn must(name: &str, arguments: &[&str], limit: Duration) -> Result<program::Ended, Failure> {
    let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    let ended = program::run(name, &arguments, b"", limit).map_err(Failure::broken)?;
    if ended.good() { Ok(ended) } else { Err(Failure::Broken(format!("{name}: {}", ended.reason()))) }
}

/// A question that is put before the beginning.
fn asked<T>(answer: Result<T, Error>) -> Result<T, Failure> {
    answer.map_err(Failure::refused)
}

/// An order that is given in the middle.
fn ordered<T>(answer: Result<T, Error>) -> Result<T, Failure> {
    answer.map_err(Failure::broken)
}

/// The name that the operating system gives this host, by which daemons of Ceph say where they run.
fn node_name() -> Result<String, Failure> {
    let name = nix::unistd::gethostname().map_err(Failure::refused)?;
    name.into_string().map_err(|_| Failure::Refused("the name of this host is not UTF-8".into()))
}

/// Checks a name that becomes an argument of a program of Ceph.
fn check_name(what: &str, name: &str) -> Result<(), Failure> {
    let good = !name.is_empty()
        && name.len() <= 255
        && !name.starts_with('-')
        && !name.chars().any(|c| c.is_control() || matches!(c, '/' | '@'));
    if good { Ok(()) } else { Err(Failure::Refused(format!("{name:?} cannot be the name of a {what}"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_be_options_or_paths_are_refused() {
        for good in ["a", "vm-1.disk", "ä"] {
            assert!(check_name("image", good).is_ok(), "{good}");
        }
        for bad in ["", "-x", "a/b", "a@b", "a\nb"] {
            assert!(matches!(check_name("image", bad), Err(Failure::Refused(_))), "{bad:?}");
        }
    }
}
