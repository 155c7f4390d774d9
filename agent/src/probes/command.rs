//! A tool of the host that is asked because its daemon speaks to nobody else: bounded in time and in output, without a shell.
//!
//! Probes start no processes (spec/introspection.md §6.2); each use of this is an exception that says why.

use std::io::{self, Read as _};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use super::run;

/// Output of at most `limit` bytes of a tool that is given `time`, without the agent's environment.
///
/// # Errors
/// "Not found" without the tool; "timed out"; its status if it failed.
pub(super) fn output(argv: &[&str], time: Duration, limit: u64) -> io::Result<Vec<u8>> {
    let (name, arguments) = argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut child = Command::new(name)
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LANG", "C.UTF-8")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let pipe = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let (sender, inbox) = mpsc::channel();
    run::start("tool", move || {
        let mut bytes = Vec::new();
        let read = pipe.take(limit).read_to_end(&mut bytes);
        // Nobody waits any more when the time is over.
        sender.send(read.map(|_| bytes)).ok();
    });
    let read = inbox.recv_timeout(time);
    if read.is_err() {
        child.kill()?;
    }
    let status = child.wait()?;
    let bytes = read.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    if status.success() { Ok(bytes) } else { Err(io::Error::other(format!("{name} ended with {status}"))) }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn output_and_failures() {
        let time = Duration::from_secs(5);
        assert_eq!(output(&["printf", "a b"], time, 100).unwrap(), b"a b");
        assert_eq!(output(&["no-such-tool"], time, 100).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(output(&["false"], time, 100).unwrap_err().to_string().contains("exit status: 1"));
    }

    #[test]
    fn a_tool_that_hangs_is_ended() {
        let began = Instant::now();
        let error = output(&["sleep", "60"], Duration::from_millis(100), 100).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() < Duration::from_secs(5));
    }
}
