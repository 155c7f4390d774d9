//! Talking to a Ceph cluster (spec/hooks.md §7.5; lab notes on Ceph): commands as JSON in, JSON out.
//!
//! Two ways lead there: librados, which is opened at run time and answers in a millisecond, and the `ceph` program where that
//! library is missing. Both are blocking and bounded in time; [`Connection`] keeps them off the runtime. What cannot be asked
//! is *unknown* and an error of its own, never taken for an answer.

mod access;
mod cli;
mod connection;
pub mod parse;
pub mod program;
mod rados;
pub mod settings;

pub use access::Access;
pub use cli::Cli;
pub use connection::Connection;
pub use rados::Rados;

use serde_json::Value;

/// Why a command has no answer that could be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nothing is known: there is no configuration or program, no monitor answered in time, the key was not taken.
    #[error("the cluster cannot be asked: {0}")]
    Unknown(String),
    /// The cluster answered, and refused.
    #[error("{message} ({})", errno_name(*errno))]
    Refused {
        /// The number of the error, positive, as in errno(3): 16 is "busy", 1 "not permitted", 2 "no such entry".
        errno: i32,
        /// What the cluster said.
        message: String,
    },
    /// The cluster answered something that cannot be read.
    #[error("the answer cannot be read: {0}")]
    Unreadable(String),
}

fn errno_name(errno: i32) -> String {
    format!("{}", nix::errno::Errno::from_raw(errno))
}

impl Error {
    /// Whether the cluster did not answer, so that neither "yes" nor "no" may be concluded.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown(_))
    }

    /// The number of the error with which the cluster refused.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        if let Self::Refused { errno, .. } = self { Some(*errno) } else { None }
    }
}

/// What a command answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// Its output.
    pub output: Vec<u8>,
    /// The sentence that goes with it; often empty.
    pub status: String,
}

impl Reply {
    /// The output as JSON. An empty output is null: many commands that change something say nothing.
    ///
    /// # Errors
    /// [`Error::Unreadable`].
    pub fn json(&self) -> Result<Value, Error> {
        if self.output.iter().all(u8::is_ascii_whitespace) {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&self.output).map_err(|error| Error::Unreadable(error.to_string()))
    }
}

/// A way to a cluster. Every call blocks its thread, for about ten seconds at most.
pub trait CephClient: Send {
    /// Sends a command to a monitor, which hands on what is for the manager daemon.
    ///
    /// `command` is an object with `prefix` and the arguments of the command; `input` is what the `-i` of the `ceph` program
    /// reads.
    ///
    /// # Errors
    /// See [`Error`].
    fn send(&mut self, command: &Value, input: &[u8]) -> Result<Reply, Error>;

    /// Sends a command and reads its output as JSON.
    ///
    /// # Errors
    /// See [`Error`].
    fn ask(&mut self, command: &Value) -> Result<Value, Error> {
        self.send(command, b"")?.json()
    }
}

/// The best way to the cluster that this host has.
#[must_use]
pub fn client(access: &Access) -> Box<dyn CephClient> {
    match Rados::load(access) {
        Ok(rados) => Box::new(rados),
        Err(reason) => {
            tracing::debug!(%reason, "librados cannot be used; the ceph program is");
            Box::new(Cli::new(access.clone()))
        }
    }
}

/// The `fsid` of the cluster that `client` reaches.
///
/// # Errors
/// See [`Error`].
pub fn fsid(client: &mut dyn CephClient) -> Result<String, Error> {
    let reply = client.ask(&serde_json::json!({"prefix": "fsid", "format": "json"}))?;
    let fsid = reply.get("fsid").and_then(Value::as_str).map(str::to_owned);
    fsid.ok_or_else(|| Error::Unreadable("there is no fsid in it".into()))
}

/// The `fsid` of the cluster that the configuration names; nobody is asked.
#[must_use]
pub fn configured(access: &Access) -> Option<String> {
    let text = std::fs::read_to_string(access.file()).ok()?;
    let values = text.lines().filter_map(|line| {
        let (key, value) = line.split(['#', ';']).next()?.split_once('=')?;
        (key.trim() == "fsid").then(|| value.trim().trim_matches('"').to_owned())
    });
    values.into_iter().find(|value| uuid::Uuid::try_parse(value).is_ok())
}

/// The `fsid` of the cluster that this host may ask; `None` where there is none. Blocks its thread for ten seconds at most.
#[must_use]
pub fn reached(access: &Access) -> Option<String> {
    if !access.file().exists() {
        return None;
    }
    fsid(client(access).as_mut()).inspect_err(|error| tracing::info!(%error, "the cluster is not reached")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_names_its_cluster() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let access = Access { conf: Some(file.path().to_owned()), ..Access::default() };
        let fsid = "6f1d2c3a-0b4e-4a5f-8c6d-7e8f90a1b2c3";
        for (text, found) in [
            (format!("[global]\n  fsid = {fsid}   # ours\nmon_host = a\n"), Some(fsid)),
            (format!("[global]\nfsid=\"{fsid}\"\n"), Some(fsid)),
            (format!("[global]\n;fsid = {fsid}\n"), None),
            ("[global]\nfsid = none\n".to_owned(), None),
        ] {
            std::fs::write(file.path(), &text).unwrap();
            assert_eq!(configured(&access).as_deref(), found, "{text}");
        }
        let nowhere = Access { conf: Some("/nowhere/ceph.conf".into()), ..Access::default() };
        assert_eq!(configured(&nowhere), None);
    }
}
