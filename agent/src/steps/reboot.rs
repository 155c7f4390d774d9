//! Boots the host anew (spec/maintenance.md §3.7): a job that outlives the program that does it.
//!
//! The program leaves in the folder of its job which boot it began in, durably, and then asks systemd for the reboot. How the
//! program itself ends says nothing from then on: the host's going down ends it. The agent judges by the boot that it finds
//! ([`judge`]): another one is a success, the same one after the job's deadline is a failure, whatever happened in between.

use std::io;
use std::path::Path;
use std::time::Duration;

use hostler_common::job::JobState;
use hostler_common::step::StepResult;
use hostler_common::step::maintenance::{Boot, Reboot};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Context, Failure, locks};
use crate::ceph::program;
use crate::files::{read_json, write_json};
use crate::{boot, sys};

/// The file by which the agent knows that a reboot was asked for.
const BEGAN: &str = "reboot.json";
/// How long systemd may take to accept the order.
const ORDER: Duration = Duration::from_secs(60);
/// The longest reason that is handed on, in characters.
const REASON_MAX: usize = 200;

/// The beginning of a reboot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Began {
    /// The boot that is to end.
    pub boot: Boot,
    /// When, in seconds since that boot.
    pub at: u64,
}

/// Has it done, and waits to be ended by it.
///
/// # Errors
/// It is no job, there is no systemd, a package manager is at work, systemd refuses.
pub fn run(step: &Reboot, context: &Context) -> Result<StepResult, Failure> {
    let folder = context.job.as_deref().ok_or_else(|| {
        Failure::Refused("a reboot must be a job of an agent: nobody else could tell how it ended".into())
    })?;
    let boot = boot::current();
    let reasons = boot::wanted();
    if !step.always && reasons.is_empty() {
        let detail = "nothing asks for a reboot".to_owned();
        return Ok(StepResult { changed: false, before: json!(boot), after: json!(boot), detail });
    }
    if !Path::new("/run/systemd/system").is_dir() {
        return Err(Failure::Refused("there is no systemd on this host that could reboot it".into()));
    }
    if let Some(lock) = locks::held(Path::new("/")) {
        return Err(Failure::Refused(format!("a package manager is at work: {lock}")));
    }
    write_json(&folder.join(BEGAN), &Began { boot, at: sys::clock::since_boot() }).map_err(Failure::refused)?;
    let ended = program::run("systemctl", &order(&step.reason), b"", ORDER);
    let refused = match &ended {
        // One that was ended in the middle was ended by what it asked for.
        Ok(ended) if ended.good() || ended.code.is_none() && !ended.late => None,
        Ok(ended) => Some(ended.reason()),
        Err(error) => Some(error.to_string()),
    };
    if let Some(reason) = refused {
        std::fs::remove_file(folder.join(BEGAN)).map_err(Failure::broken)?;
        return Err(Failure::Refused(format!("systemd does not reboot: {reason}")));
    }
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

fn order(reason: &str) -> Vec<String> {
    let reason: String = reason.chars().map(|c| if c.is_control() { ' ' } else { c }).take(REASON_MAX).collect();
    vec!["reboot".to_owned(), format!("--message={reason}")]
}

/// What is to be made of a job whose program is gone.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// No reboot was asked for: the program's own end counts.
    Own,
    /// The host did boot anew.
    Booted(Box<StepResult>),
    /// It may still come; look again after this.
    Wait(Duration),
    /// It did not come within the job's deadline.
    Late,
}

/// Judges a reboot by the boot that the host is in. `end` is how the program ended, if it did.
///
/// # Errors
/// The folder of the job cannot be read.
pub fn judge(folder: &Path, deadline: Duration, end: Option<JobState>) -> io::Result<Verdict> {
    let Some(began) = read_json::<Began>(&folder.join(BEGAN))? else { return Ok(Verdict::Own) };
    Ok(verdict(&began, &boot::current(), sys::clock::since_boot(), deadline, end))
}

fn verdict(began: &Began, now: &Boot, since_boot: u64, deadline: Duration, end: Option<JobState>) -> Verdict {
    if began.boot.boot_id != now.boot_id {
        let detail = format!("the host booted anew: kernel {} before, {} now", began.boot.kernel, now.kernel);
        let result = StepResult { changed: true, before: json!(began.boot), after: json!(now), detail };
        return Verdict::Booted(Box::new(result));
    }
    let waited = Duration::from_secs(since_boot.saturating_sub(began.at));
    if end == Some(JobState::TimedOut) || waited >= deadline {
        Verdict::Late
    } else {
        Verdict::Wait(deadline.saturating_sub(waited))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot(id: &str) -> Boot {
        Boot { boot_id: id.into(), kernel: format!("kernel of {id}") }
    }

    #[test]
    fn the_boot_decides() {
        let began = Began { boot: boot("one"), at: 100 };
        let deadline = Duration::from_secs(600);
        let judge = |id: &str, since, end| verdict(&began, &boot(id), since, deadline, end);
        assert_eq!(judge("one", 130, Some(JobState::Cancelled)), Verdict::Wait(Duration::from_secs(570)));
        assert_eq!(judge("one", 130, None), Verdict::Wait(Duration::from_secs(570)));
        assert_eq!(judge("one", 701, Some(JobState::Cancelled)), Verdict::Late);
        assert_eq!(judge("one", 130, Some(JobState::TimedOut)), Verdict::Late);
        // However long it took, and however the program ended.
        for end in [None, Some(JobState::Cancelled), Some(JobState::Failed), Some(JobState::TimedOut)] {
            let Verdict::Booted(result) = judge("two", 5000, end) else { panic!("{end:?}") };
            assert_eq!((&result.before["boot_id"], &result.after["boot_id"]), (&json!("one"), &json!("two")));
            assert!(result.changed && result.detail.contains("kernel of two"));
        }
    }

    #[test]
    fn a_job_that_asked_for_nothing_ends_as_its_program_did() {
        let folder = tempfile::tempdir().unwrap();
        let deadline = Duration::from_secs(600);
        assert_eq!(super::judge(folder.path(), deadline, None).unwrap(), Verdict::Own);
        let began = Began { boot: boot("earlier"), at: 1 };
        write_json(&folder.path().join(BEGAN), &began).unwrap();
        assert!(matches!(super::judge(folder.path(), deadline, None).unwrap(), Verdict::Booted(_)));
    }

    #[test]
    fn the_reason_is_one_argument_of_one_line() {
        assert_eq!(order("new\nkernel; rm"), ["reboot", "--message=new kernel; rm"]);
    }
}
