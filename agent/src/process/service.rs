//! The supervisor of a program that changes the host as a service of systemd: outside of the sandbox of the agent's unit
//! (docs/decisions/0012). The program itself gets a scope of its own, with the limits; what a script inherits from here is the
//! private `/tmp`.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::Duration;

use super::Program;
use super::contain::{JOBS_SLICE, SCRIPTS_SLICE};
use crate::bus::{Body, Bus, SYSTEMD, SYSTEMD_MANAGER, SYSTEMD_PATH};

/// How much longer than its script a supervisor may live: it has to end what is left, and to write down what was.
const MARGIN: Duration = Duration::from_secs(120);

/// Whether systemd can be asked.
pub(super) fn there() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// Starts `supervisor` on `folder`, with `lock` as its standard input.
///
/// # Errors
/// systemd does not do that.
pub(super) fn start(id: &str, supervisor: &Path, folder: &Path, lock: &File, program: &Program) -> io::Result<()> {
    let not_text = || io::Error::new(io::ErrorKind::InvalidInput, "a path of the agent is not UTF-8");
    let supervisor = supervisor.to_str().ok_or_else(not_text)?;
    let folder = folder.to_str().ok_or_else(not_text)?;
    let body = order(&format!("hostler-run-{id}.service"), [supervisor, "supervise", folder], program);
    let mut bus = Bus::connect_with_descriptors(Path::new("/"))?;
    bus.call_with([SYSTEMD, SYSTEMD_PATH, SYSTEMD_MANAGER, "StartTransientUnit"], &body, Some(lock.as_fd()))?;
    Ok(())
}

/// The arguments of `StartTransientUnit`.
fn order(unit: &str, argv: [&str; 3], program: &Program) -> Body {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let mut body = Body::new("ssa(sv)a(sa(sv))");
    body.text(unit).text("fail").list(8, |list| {
        for (name, value) in [
            ("Description", "The supervisor of a program that Hostler runs"),
            ("Slice", if program.script.is_some() { SCRIPTS_SLICE } else { JOBS_SLICE }),
            ("KillMode", "control-group"),
            ("CollectMode", "inactive-or-failed"),
            ("StandardOutput", "null"),
            ("StandardError", "journal"),
        ] {
            list.item().text(name).signature("s").text(value);
        }
        list.item().text("SendSIGKILL").signature("b").number(1);
        list.item().text("PrivateTmp").signature("b").number(u32::from(program.script.is_some()));
        // When asked to stop it ends its script first, for which that one has its own grace.
        let stop = micros(program.grace + Duration::from_secs(20));
        let life = micros(program.deadline.saturating_add(program.grace).saturating_add(MARGIN));
        for (name, value) in [("TimeoutStopUSec", stop), ("RuntimeMaxUSec", life)] {
            list.item().text(name).signature("t").long(value);
        }
        list.item().text("UMask").signature("u").number(0o077);
        // The only descriptor that goes with it.
        list.item().text("StandardInputFileDescriptor").signature("h").number(0);
        list.item().text("ExecStart").signature("a(sasb)").list(8, |commands| {
            commands.item().text(argv[0]).list(4, |words| {
                for word in argv {
                    words.text(word);
                }
            });
            commands.number(0);
        });
    });
    body.list(8, |_| {});
    body
}
