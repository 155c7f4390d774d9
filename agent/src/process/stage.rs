//! How a script is set up before it begins (spec/hooks.md §10): its file, its folder, its account, its environment. This
//! happens in the supervisor, outside of the agent's sandbox.
//!
//! Must never: give anything of it to a shell, or write to a file that somebody else may have put there.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use hostler_common::script::{ChangeFile, Digest};
use hostler_common::text::clip;
use nix::libc;
use nix::sys::prctl::set_no_new_privs;
use nix::sys::stat::{Mode, umask};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{Gid, Uid, User, chown, geteuid, getgrouplist};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::sys::account;

/// Where programs are looked for.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The longest name of a script's file, in bytes.
const NAME_MAX: usize = 200;

/// A script to be run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Script {
    /// The file with its bytes.
    pub bytes: PathBuf,
    /// SHA-256 of them.
    pub digest: Digest,
    /// Its name.
    pub name: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its environment besides what every script has.
    pub env: BTreeMap<String, String>,
    /// Its standard input; `None` for an empty one.
    pub stdin: Option<String>,
    /// Its account; `None` for the supervisor's own.
    pub run_as: Option<String>,
    /// The folder with its credentials, if it has any.
    pub credentials: Option<PathBuf>,
    /// A folder that all accounts may pass through.
    pub passable: PathBuf,
    /// Whether what it leaves behind lives on.
    pub leave_children: bool,
    /// Exit codes that are a success besides 0.
    pub success_codes: Vec<i32>,
    /// The socket at which an agent hears that there is something new.
    pub bell: PathBuf,
    /// A change that it is told of by a file.
    #[serde(default)]
    pub change: Option<ChangeFile>,
}

/// A script that is set up.
#[derive(Debug)]
pub(super) struct Stage {
    /// Its own folder, which goes when it has ended.
    place: PathBuf,
    credentials: Option<PathBuf>,
    /// Values that must not be in its output.
    pub(super) secrets: Vec<Vec<u8>>,
}

/// Somebody who is not who we are.
struct Account {
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
    home: PathBuf,
}

impl Account {
    /// The account of that name; `None` if it is our own.
    fn find(name: &str) -> io::Result<Option<Self>> {
        let missing = || io::Error::new(io::ErrorKind::NotFound, format!("there is no account {name:?} on this host"));
        let user = User::from_name(name)?.ok_or_else(missing)?;
        if user.uid == geteuid() {
            return Ok(None);
        }
        let c_name = std::ffi::CString::new(name).map_err(|_| missing())?;
        let groups = getgrouplist(&c_name, user.gid)?;
        Ok(Some(Self { uid: user.uid, gid: user.gid, groups, home: user.dir }))
    }
}

impl Stage {
    /// Sets a script up: what `command` starts then is the script. `folder` is that of its program.
    ///
    /// # Errors
    /// Something of it cannot be had; the text says what.
    pub(super) fn set(folder: &Path, script: &Script) -> io::Result<(Self, Command)> {
        umask(Mode::from_bits_truncate(0o077));
        let account = script.run_as.as_deref().map(Account::find).transpose()?.flatten();
        let place = place_of(folder, script, account.is_some());
        let mut stage = Self { place, credentials: script.credentials.clone(), secrets: Vec::new() };
        match stage.fill(script, account.as_ref()) {
            Ok(command) => Ok((stage, command)),
            Err(error) => {
                stage.clear();
                Err(error)
            }
        }
    }

    fn fill(&mut self, script: &Script, account: Option<&Account>) -> io::Result<Command> {
        let (place, work) = (self.place.clone(), self.place.join("work"));
        std::fs::remove_dir_all(&place).or_else(missing_is_fine)?;
        DirBuilder::new().mode(if account.is_some() { 0o711 } else { 0o700 }).create(&place)?;
        // The mask is for the script; others must pass through here.
        std::fs::set_permissions(&place, PermissionsExt::from_mode(if account.is_some() { 0o711 } else { 0o700 }))?;
        for own in [work.clone(), work.join("tmp")] {
            DirBuilder::new().mode(0o700).create(&own)?;
            give(&own, account)?;
        }
        let contents = std::fs::read(&script.bytes)?;
        if Digest(Sha256::digest(&contents).into()) != script.digest {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the stored script is not what was signed"));
        }
        let file = place.join(file_name(&script.name));
        new_file(&file, 0o500)?.write_all(&contents)?;
        give(&file, account)?;
        let told = tell_change(script, &work, account)?;
        let script = told.as_ref().unwrap_or(script);
        let mut command = command(&file, &contents)?;
        command.args(&script.args).current_dir(&work).env_clear().envs(&script.env);
        let home = account.map_or_else(own_home, |account| account.home.clone());
        command.env("PATH", PATH).env("HOME", home).env("LANG", "C.UTF-8").env("TMPDIR", work.join("tmp"));
        command.stdin(self.stdin(script)?).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(credentials) = &script.credentials {
            self.secrets = take_credentials(credentials, account)?;
            command.env("CREDENTIALS_DIRECTORY", credentials);
        }
        if let Some(account) = account {
            // For us too, and that is well: we start nothing else.
            set_no_new_privs()?;
            account::become_on_start(&mut command, account.uid, account.gid, account.groups.clone());
        }
        Ok(command)
    }

    fn stdin(&self, script: &Script) -> io::Result<Stdio> {
        let Some(text) = &script.stdin else { return Ok(Stdio::null()) };
        let path = self.place.join("stdin");
        let mut file = new_file(&path, 0o400)?;
        file.write_all(text.as_bytes())?;
        file.rewind()?;
        // Nobody needs its name.
        std::fs::remove_file(&path)?;
        Ok(file.into())
    }

    /// Takes everything away again.
    pub(super) fn clear(&self) {
        for folder in [Some(&self.place), self.credentials.as_ref()].into_iter().flatten() {
            if let Err(error) = std::fs::remove_dir_all(folder).or_else(missing_is_fine) {
                tracing::warn!(folder = %folder.display(), %error, "a folder of a script cannot be removed");
            }
        }
    }
}

/// Where a script's own folder is: in that of its program, or where its account can get.
fn place_of(folder: &Path, script: &Script, foreign: bool) -> PathBuf {
    match folder.file_name() {
        Some(name) if foreign => script.passable.join(name),
        _ => folder.join("place"),
    }
}

fn missing_is_fine(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

fn new_file(path: &Path, mode: u32) -> io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_CLOEXEC;
    OpenOptions::new().read(true).write(true).create_new(true).mode(mode).custom_flags(flags).open(path)
}

fn give(path: &Path, account: Option<&Account>) -> io::Result<()> {
    let Some(account) = account else { return Ok(()) };
    Ok(chown(path, Some(account.uid), Some(account.gid))?)
}

fn own_home() -> PathBuf {
    User::from_uid(geteuid()).ok().flatten().map_or_else(|| "/".into(), |user| user.dir)
}

/// Writes the change file, if there is one, and answers with the script that knows where it is.
fn tell_change(script: &Script, work: &Path, account: Option<&Account>) -> io::Result<Option<Script>> {
    let Some(change) = &script.change else { return Ok(None) };
    let path = work.join("change.json");
    new_file(&path, 0o400)?.write_all(change.contents.as_bytes())?;
    give(&path, account)?;
    let path = path.into_os_string().into_string().map_err(|_| io::Error::from(io::ErrorKind::InvalidFilename))?;
    let mut told = script.clone();
    change.name(&path, &mut told.args, &mut told.env, &mut told.stdin);
    Ok(Some(told))
}

/// The name of a script's file.
fn file_name(name: &str) -> &str {
    match clip(name, NAME_MAX) {
        // What is in the folder besides it.
        "" | "work" | "stdin" => "script",
        name => name,
    }
}

/// What starts the script: the file itself; or, where nothing may be started from there, its interpreter.
fn command(file: &Path, contents: &[u8]) -> io::Result<Command> {
    let no_exec = statvfs(file).is_ok_and(|info| info.flags().contains(FsFlags::ST_NOEXEC));
    if !no_exec {
        return Ok(Command::new(file));
    }
    let (interpreter, argument) = interpreter(contents).ok_or_else(|| io::Error::from_raw_os_error(libc::ENOEXEC))?;
    let mut command = Command::new(interpreter);
    command.args(argument).arg(file);
    Ok(command)
}

/// The interpreter of a script and its argument, as the kernel reads the first line.
pub(super) fn interpreter(contents: &[u8]) -> Option<(String, Option<String>)> {
    let line = contents.split(|byte| *byte == b'\n').next()?.strip_prefix(b"#!")?;
    let line = std::str::from_utf8(line).ok()?.trim_matches([' ', '\t']);
    let (interpreter, argument) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    let argument = argument.trim_matches([' ', '\t']);
    (!interpreter.is_empty()).then(|| (interpreter.to_owned(), (!argument.is_empty()).then(|| argument.to_owned())))
}

/// Gives credentials to the account and reads them, so that they can be kept out of the output.
fn take_credentials(folder: &Path, account: Option<&Account>) -> io::Result<Vec<Vec<u8>>> {
    let mut values = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        values.push(std::fs::read(&path)?);
        give(&path, account)?;
    }
    let owner = std::fs::metadata(folder)?.uid();
    if owner != geteuid().as_raw() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "the credentials are somebody else's"));
    }
    give(folder, account)?;
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpreters_are_read_as_the_kernel_does() {
        let read = |text: &str| interpreter(text.as_bytes());
        assert_eq!(read("#!/bin/sh\necho"), Some(("/bin/sh".into(), None)));
        assert_eq!(read("#! /usr/bin/env \tpython3 -u \nx"), Some(("/usr/bin/env".into(), Some("python3 -u".into()))));
        assert_eq!(read("#!\n"), None);
        assert_eq!(read("echo"), None);
    }

    #[test]
    fn file_names_do_not_collide_and_fit() {
        assert_eq!(file_name("work"), "script");
        assert_eq!(file_name("a b.sh"), "a b.sh");
        assert!(file_name(&"é".repeat(255)).len() <= NAME_MAX);
    }
}
