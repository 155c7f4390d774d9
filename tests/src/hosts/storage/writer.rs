//! A client that keeps writing while things happen to the hosts that bear the cluster.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStdout, Stdio};

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use super::Storage;

/// What it runs: two threads write and one looks at the cluster.
const PROGRAM: &str = include_str!("writer.py");

/// A client that writes objects, one after the other, until it is asked what came of it.
#[derive(Debug)]
pub struct Writer {
    child: Child,
    says: BufReader<ChildStdout>,
}

/// What came of it.
#[derive(Clone, Debug, Deserialize)]
pub struct Written {
    /// How many writes it made.
    pub written: u64,
    /// Those that failed, or took more than a minute.
    pub failed: Vec<String>,
    /// Objects that do not have at the end what was written last.
    pub wrong: Vec<String>,
    /// How long the slowest took, in seconds.
    pub slowest: f64,
    /// How the cluster was meanwhile: an entry for each change.
    pub seen: Vec<Sight>,
}

/// How a cluster was at a moment.
#[derive(Clone, Debug, Deserialize)]
pub struct Sight {
    /// `HEALTH_OK`.
    pub health: String,
    /// OSDs that were down.
    pub down: Vec<u32>,
    /// Monitors in the quorum.
    pub mons: Vec<String>,
    /// CRUSH buckets with flags.
    pub flags: Vec<String>,
}

impl Storage {
    /// Has a client write to a pool.
    ///
    /// # Errors
    /// It does not get to the cluster.
    pub fn writer(&self, pool: &str) -> anyhow::Result<Writer> {
        // The packages' own Python: it has the library.
        let mut command = self.command("/usr/bin/python3");
        command.args(["-c", PROGRAM, pool]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let mut says = BufReader::new(child.stdout.take().context("no output")?);
        let mut line = String::new();
        says.read_line(&mut line)?;
        ensure!(line.trim() == "ready", "the writer says {line:?}");
        Ok(Writer { child, says })
    }
}

impl Writer {
    /// Ends it, has it read back what it wrote, and learns what came of it.
    ///
    /// # Errors
    /// It broke off.
    pub fn finish(mut self) -> anyhow::Result<Written> {
        drop(self.child.stdin.take());
        let mut text = String::new();
        self.says.read_to_string(&mut text)?;
        serde_json::from_str(&text).with_context(|| format!("the writer says {text:?}"))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
