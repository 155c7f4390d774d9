//! Scripts as they travel: what is run, how, and within which limits (spec/hooks.md §10).

mod change;
mod check;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::ScriptId;

pub use change::{CHANGE_MAX, ChangeFile};
pub use check::{ScriptFault, check_args, check_contents, check_env, check_name};

/// The largest script that is taken unless the configuration says otherwise, in bytes.
pub const SCRIPT_MAX: usize = 256 << 10;

/// The largest script that a configuration may allow, in bytes.
pub const SCRIPT_LIMIT: usize = 1 << 20;

/// The largest standard input of a script, in bytes.
pub const STDIN_MAX: usize = 1 << 20;

/// How many of the first bytes of a script's output are kept.
pub const OUTPUT_HEAD: usize = 256 << 10;

/// How many of the last bytes of a script's output are kept, where there are more.
pub const OUTPUT_TAIL: usize = 768 << 10;

/// SHA-256 of the bytes of something; hexadecimal as text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text is no digest: it must be 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a digest is 64 hexadecimal digits")]
pub struct NoDigest;

impl FromStr for Digest {
    type Err = NoDigest;

    fn from_str(text: &str) -> Result<Self, NoDigest> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return Err(NoDigest);
        }
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(|_| NoDigest)?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// One immutable revision of a script. The bytes travel separately and are known by their digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScriptRef {
    /// The script of the library; `None` for one that was given verbatim.
    pub id: Option<ScriptId>,
    /// Its name, for people and for the file's name.
    pub name: String,
    /// Which revision; rises by one with each change.
    pub revision: u32,
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// The manager's Ed25519 signature over [`signed_text`], hexadecimal.
    pub signature: String,
}

/// What the manager signs of a revision. A name cannot contain a line feed, so the text has one reading.
#[must_use]
pub fn signed_text(name: &str, revision: u32, digest: &Digest) -> String {
    format!("hostler-script-1\n{name}\n{revision}\n{digest}\n")
}

/// A script to be run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScriptRun {
    /// Which.
    pub script: ScriptRef,
    /// Its arguments, passed literally.
    pub args: Vec<String>,
    /// More of its environment; the rest is fixed (spec/hooks.md §10).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Names of stored secrets that it gets as files in `CREDENTIALS_DIRECTORY`, by file name. The values travel beside
    /// the job and are never part of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
    /// Its standard input; `None` means that it is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    /// The account under which it runs; `None` means that of the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_as: Option<String>,
    /// What it may use.
    #[serde(default)]
    pub limits: ScriptLimits,
    /// Whether processes that it leaves behind live on.
    #[serde(default)]
    pub leave_children: bool,
    /// Exit codes that count as success besides 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub success_codes: Vec<i32>,
    /// Whether something waits for it: such scripts have their own place on a host, beside all others.
    #[serde(default)]
    pub blocking: bool,
    /// A change that it is told of by a file; `None` means that there is no such file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<ChangeFile>,
}

impl ScriptRun {
    /// A script without arguments, as it runs where nobody says otherwise.
    #[must_use]
    pub fn new(script: ScriptRef) -> Self {
        Self {
            script,
            args: Vec::new(),
            env: BTreeMap::new(),
            secrets: BTreeMap::new(),
            stdin: None,
            run_as: None,
            limits: ScriptLimits::default(),
            leave_children: false,
            success_codes: Vec::new(),
            blocking: false,
            change: None,
        }
    }
}

/// What a script may use of its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScriptLimits {
    /// Memory, in bytes.
    pub memory_max: u64,
    /// Processes and threads.
    pub tasks_max: u64,
    /// Its share of processor time, from 1 to 10,000; programs usually have 100.
    pub cpu_weight: u64,
    /// Its share of disk time, from 1 to 10,000; programs usually have 100.
    pub io_weight: u64,
}

impl Default for ScriptLimits {
    fn default() -> Self {
        Self { memory_max: 1 << 30, tasks_max: 512, cpu_weight: 20, io_weight: 20 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_text_and_back() {
        let digest = Digest(std::array::from_fn(|at| at as u8 * 7));
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!(serde_json::from_str::<Digest>(&serde_json::to_string(&digest).unwrap()).unwrap(), digest);
        for bad in ["", "00", &"g".repeat(64), &"é".repeat(32)] {
            assert_eq!(bad.parse::<Digest>(), Err(NoDigest), "{bad}");
        }
    }
}
