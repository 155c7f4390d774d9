//! Programs that are started, given something to read, and ended when they take too long. Never a shell.

use std::io::{self, Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// Most of a program's output that is kept, in bytes.
const OUTPUT_MAX: u64 = 64 << 20;
/// How often it is looked whether a program has ended.
const STEP: Duration = Duration::from_millis(10);

/// How a program ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code; `None` where a signal ended it, ours among them.
    pub code: Option<i32>,
    /// Whether it was ended because it took too long.
    pub late: bool,
    /// What it wrote.
    pub output: Vec<u8>,
    /// What it complained, trimmed.
    pub complaint: String,
}

impl Ended {
    /// Whether it did what it should.
    #[must_use]
    pub fn good(&self) -> bool {
        self.code == Some(0)
    }

    /// Why it did not do what it should, for people.
    #[must_use]
    pub fn reason(&self) -> String {
        let how = match (self.late, self.code) {
            (true, _) => "it took too long".to_owned(),
            (false, Some(code)) => format!("exit code {code}"),
            (false, None) => "ended by a signal".to_owned(),
        };
        let last = self.complaint.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("");
        if last.is_empty() { how } else { format!("{how}: {}", last.trim()) }
    }
}

/// Runs a program in a process group of its own to its end, or to `limit`.
///
/// # Errors
/// It cannot be started: [`io::ErrorKind::NotFound`] where there is no such program.
pub fn run(name: &str, arguments: &[String], input: &[u8], limit: Duration) -> io::Result<Ended> {
    let mut child = Command::new(name)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))?;
    let (mut stdin, bytes) = (child.stdin.take(), input.to_vec());
    thread::spawn(move || {
        if let Some(stdin) = &mut stdin {
            // A program may end without having read all that it is given.
            stdin.write_all(&bytes).ok();
        }
    });
    let output = collect(child.stdout.take());
    let complaint = collect(child.stderr.take());
    let (code, late) = wait(&mut child, limit)?;
    let text = |reader: thread::JoinHandle<Vec<u8>>| reader.join().unwrap_or_default();
    let complaint = String::from_utf8_lossy(&text(complaint)).trim().to_owned();
    Ok(Ended { code, late, output: text(output), complaint })
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(pipe) = pipe {
            // What was read before an error is what there is.
            pipe.take(OUTPUT_MAX).read_to_end(&mut bytes).ok();
        }
        bytes
    })
}

/// The exit code, and whether it took too long.
fn wait(child: &mut Child, limit: Duration) -> io::Result<(Option<i32>, bool)> {
    let group = i32::try_from(child.id()).map(Pid::from_raw).ok();
    let end = Instant::now() + limit;
    let mut late = false;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok((status.code(), late));
        }
        if !late && Instant::now() >= end {
            late = true;
            // What is in its group holds the pipes.
            if let Some(group) = group {
                killpg(group, Signal::SIGKILL).ok();
            }
        }
        thread::sleep(STEP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_output_and_end() {
        let ended = run("cat", &[], b"hello", Duration::from_secs(5)).unwrap();
        assert_eq!((ended.output.as_slice(), ended.code, ended.good()), (&b"hello"[..], Some(0), true));
        let ended = run("ls", &["/nowhere".into()], b"", Duration::from_secs(5)).unwrap();
        assert!(ended.reason().starts_with("exit code 2: ls:"), "{}", ended.reason());
        let error = run("no-such-program-here", &[], b"", Duration::from_secs(5)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn what_takes_too_long_is_ended_with_its_children() {
        let began = Instant::now();
        let script = "sleep 100 & sleep 100".to_owned();
        let ended = run("sh", &["-c".into(), script], b"", Duration::from_millis(200)).unwrap();
        assert!(ended.late && !ended.good());
        assert!(began.elapsed() < Duration::from_secs(5));
    }
}
