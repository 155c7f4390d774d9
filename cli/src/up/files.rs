//! The state directory of `hostler up`: who may use it, and the files that `up` itself keeps there.
//!
//! | file | what |
//! |---|---|
//! | `up.lock` | held while an `up` runs; contains its process id |
//! | `secrets.json` | what must be the same in the next run: password, tokens, host, addresses |
//! | `manager.toml`, `manager.log`, `manager/` | the manager's configuration, log and state |
//! | `agent.log`, `agent/` | the agent's log and state |
//! | `up.json`, `clouds.yaml` | for whoever wants to talk to the system; there only once it is ready |

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Kind};

/// The state directory, locked.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    _lock: File,
}

/// A join token of an earlier run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinToken {
    /// Its id.
    pub id: String,
    /// The token itself.
    pub token: String,
}

/// What must be the same in the next run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secrets {
    /// The administrator's password.
    pub password: String,
    /// The static token with the role `admin`.
    pub token: String,
    /// The join token that is handed out.
    #[serde(default)]
    pub join_token: Option<JoinToken>,
    /// This machine's host.
    #[serde(default)]
    pub host: Option<String>,
    /// Where the manager listened for REST clients; taken again when any port will do.
    #[serde(default)]
    pub listen: Option<SocketAddr>,
    /// Where the manager listened for agents.
    #[serde(default)]
    pub agent_listen: Option<SocketAddr>,
}

impl StateDir {
    /// Opens the directory, which is made if need be, and locks it.
    ///
    /// # Errors
    /// It cannot be made or another `up` uses it.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let failed = |why: String| {
            Failure::new(Kind::Failed, format!("cannot use the state directory {}", path.display()), why)
                .hint("name another one with --state-dir")
        };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| failed(error.to_string()))?;
        let path = fs::canonicalize(path).map_err(|error| failed(error.to_string()))?;
        let lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join("up.lock"));
        let mut lock = lock.map_err(|error| failed(error.to_string()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(&path, &mut lock)),
            Err(TryLockError::Error(error)) => return Err(failed(error.to_string())),
        }
        let noted = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
        noted.map_err(|error| failed(error.to_string()))?;
        Ok(Self { path, _lock: lock })
    }

    /// The absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of something in it.
    #[must_use]
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The secrets of earlier runs, or new ones, which are then on disk before anybody sees them.
    ///
    /// # Errors
    /// They cannot be read or written, or there is no randomness.
    pub fn secrets(&self) -> Result<Secrets, Failure> {
        if let Some(secrets) = self.read_json("secrets.json")? {
            return Ok(secrets);
        }
        let secrets = Secrets {
            password: random(18)?,
            token: random(32)?,
            join_token: None,
            host: None,
            listen: None,
            agent_listen: None,
        };
        self.write_json("secrets.json", &secrets)?;
        Ok(secrets)
    }

    /// Reads a JSON file; `None` if there is none.
    ///
    /// # Errors
    /// It cannot be read or is not what it should be.
    pub fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Failure> {
        let path = self.join(name);
        let failed = |why: String| {
            Failure::new(Kind::Failed, format!("cannot read {}", path.display()), why)
                .hint("if it is damaged for good, begin anew with another --state-dir")
        };
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| failed(error.to_string())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(error.to_string())),
        }
    }

    /// Writes a JSON file that only this user may read, whole or not at all.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write_json<T: Serialize>(&self, name: &str, value: &T) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|error| Failure::new(Kind::Failed, format!("cannot write {name}"), error.to_string()))?;
        self.write(name, &format!("{text}\n"))
    }

    /// Writes a file that only this user may read, whole or not at all, and on disk when this returns.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Result<(), Failure> {
        let path = self.join(name);
        let draft = self.join(&format!("{name}.new"));
        let write = || -> std::io::Result<()> {
            self.remove(&format!("{name}.new"))?;
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&draft, &path)?;
            File::open(&self.path)?.sync_all()
        };
        write()
            .map_err(|error| Failure::new(Kind::Failed, format!("cannot write {}", path.display()), error.to_string()))
    }

    /// Removes a file, if it is there.
    ///
    /// # Errors
    /// It is there and cannot be removed.
    pub fn remove(&self, name: &str) -> std::io::Result<()> {
        match fs::remove_file(self.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

fn in_use(path: &Path, lock: &mut File) -> Failure {
    let mut pid = String::new();
    let by = match lock.take(20).read_to_string(&mut pid) {
        Ok(_) if !pid.trim().is_empty() => format!("process {}", pid.trim()),
        _ => "another process".into(),
    };
    Failure::new(
        Kind::Conflict,
        format!("cannot use the state directory {}", path.display()),
        format!("{by} is up in it"),
    )
    .hint("use what runs already (`hostler host list`), stop it, or name another directory with --state-dir")
}

/// `bytes` random bytes as text of letters, digits, `-` and `_`.
fn random(bytes: usize) -> Result<String, Failure> {
    let mut buffer = vec![0; bytes];
    getrandom::fill(&mut buffer)
        .map_err(|error| Failure::new(Kind::Failed, "cannot make a password", format!("no randomness: {error}")))?;
    // A letter first: a command line takes what begins with a hyphen for an option.
    Ok(format!("h{}", URL_SAFE_NO_PAD.encode(buffer)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_new_directory_and_its_files_are_private() {
        let root = tempfile::tempdir().unwrap();
        let dir = StateDir::open(&root.path().join("a/b")).unwrap();
        dir.secrets().unwrap();
        dir.write("clouds.yaml", "x\n").unwrap();
        assert_eq!(mode(dir.path()), 0o700);
        for name in ["up.lock", "secrets.json", "clouds.yaml"] {
            assert_eq!(mode(&dir.join(name)), 0o600, "{name}");
        }
        assert!(!dir.join("clouds.yaml.new").exists());
    }

    #[test]
    fn only_one_may_use_it() {
        let root = tempfile::tempdir().unwrap();
        let dir = StateDir::open(root.path()).unwrap();
        let failure = StateDir::open(root.path()).unwrap_err();
        assert_eq!(failure.kind, Kind::Conflict);
        assert!(failure.why.contains(&format!("process {}", std::process::id())), "{}", failure.why);
        drop(dir);
        StateDir::open(root.path()).unwrap();
    }

    #[test]
    fn secrets_are_made_once_and_differ() {
        let root = tempfile::tempdir().unwrap();
        let dir = StateDir::open(root.path()).unwrap();
        let secrets = dir.secrets().unwrap();
        assert_eq!(dir.secrets().unwrap(), secrets);
        assert!(secrets.password.len() == 25 && secrets.token.len() == 44 && secrets.password != secrets.token[..25]);
        let other = tempfile::tempdir().unwrap();
        assert_ne!(StateDir::open(other.path()).unwrap().secrets().unwrap().token, secrets.token);
    }

    #[test]
    fn damaged_secrets_are_not_replaced() {
        let root = tempfile::tempdir().unwrap();
        let dir = StateDir::open(root.path()).unwrap();
        dir.write("secrets.json", "{").unwrap();
        assert!(dir.secrets().is_err());
        assert_eq!(fs::read_to_string(dir.join("secrets.json")).unwrap(), "{");
    }
}
