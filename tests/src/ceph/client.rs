//! The `ceph` program, as laboratories call it, and the keys by which daemons and it know each other.

use std::fmt::Write as _;
use std::process::{Command, Output};

use anyhow::ensure;
use serde_json::Value;

use crate::shell;

/// Runs `ceph` with these words; `timeout` is the program of that name where the cluster is found. It may hang beyond its own limit.
///
/// # Errors
/// It cannot be started.
pub fn attempt(mut timeout: Command, words: &[&str]) -> anyhow::Result<Output> {
    shell::output(timeout.args(["-k", "1", "60", "ceph", "--connect-timeout", "10"]).args(words))
}

/// What `ceph` says to these words with `-f json`; null where it writes nothing.
///
/// # Errors
/// It fails, or writes something that is no JSON.
pub fn json(words: &[&str], ceph: impl FnOnce(&[&str]) -> anyhow::Result<Output>) -> anyhow::Result<Value> {
    let done = ceph(&[words, &["-f", "json"]].concat())?;
    let said = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "ceph {words:?}: {}: {}", done.status, said.trim());
    let text = String::from_utf8_lossy(&done.stdout);
    if text.trim().is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_str(text.trim())?) }
}

/// A keyring: one key for everybody, as nobody in a laboratory hides anything from anybody else.
#[derive(Debug)]
pub struct Keyring<'k> {
    key: &'k str,
    text: String,
}

impl<'k> Keyring<'k> {
    /// With the monitors and the administrator in it.
    #[must_use]
    pub fn new(key: &'k str) -> Self {
        let mut keyring = Self { key, text: String::new() };
        keyring.add("mon.", &[("mon", "allow *")]);
        let all = [("mon", "allow *"), ("osd", "allow *"), ("mgr", "allow *"), ("mds", "allow *")];
        keyring.add("client.admin", &all);
        keyring
    }

    /// Somebody with what they may do at daemons of each type.
    pub fn add(&mut self, name: &str, caps: &[(&str, &str)]) {
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "[{name}]\n\tkey = {}", self.key);
        for (daemon, what) in caps {
            let _ = writeln!(self.text, "\tcaps {daemon} = \"{what}\"");
        }
    }

    /// As a file has it.
    #[must_use]
    pub fn text(self) -> String {
        self.text
    }
}
