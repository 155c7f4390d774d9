//! A host, and what it is made of.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Mutex;

use anyhow::{Context as _, ensure};

use super::groups::Groups;
use super::{Lab, base};
use crate::namespace::Namespace;
use crate::shell;
use crate::ward::Taken;

/// A file that is put into a host.
#[derive(Clone, Debug)]
pub struct File {
    /// Where, absolute.
    pub path: String,
    /// What is in it.
    pub bytes: Vec<u8>,
    /// Its permissions.
    pub mode: u32,
}

/// What a host is like.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Debian packages that it has besides the base: they are installed once, and kept for later runs.
    pub packages: Vec<String>,
    /// Files that are there when it boots for the first time.
    pub files: Vec<File>,
    /// Files and folders of this machine that it sees, at the same place or, after a colon, at another.
    pub binds: Vec<String>,
    /// Devices of this machine that it may use, such as `/dev/zram1` or `/dev/fuse`.
    pub devices: Vec<PathBuf>,
}

/// A host of a lab. Its disk is its own and survives a reboot, a power loss and a boot after either.
#[derive(Debug)]
pub struct Host<'a> {
    pub(super) lab: &'a Lab,
    pub(super) name: String,
    pub(super) address: Ipv4Addr,
    pub(super) options: Options,
    pub(super) groups: Groups,
    pub(super) network: Namespace,
    /// The loop that runs it, while it is on.
    pub(super) launcher: Mutex<Option<Child>>,
}

impl<'a> Host<'a> {
    /// Makes a host that is off.
    pub(super) fn new(lab: &'a Lab, name: &str, options: Options) -> anyhow::Result<Self> {
        let plain = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        ensure!(plain && !name.is_empty() && name.len() <= 32, "{name:?} is no name for a host");
        let network = lab.network(name)?;
        let groups = Groups::make(&lab.ward, &lab.unique(name))?;
        let (address, prefix) = lab.next_address();
        let host = Self { lab, name: name.to_owned(), address, options, groups, network, launcher: Mutex::new(None) };
        host.mount()?;
        host.put(&File::text("/etc/hostname", &format!("{name}\n")))?;
        host.put(&File::text("/etc/hosts", &format!("127.0.0.1 localhost\n{address} {name}\n")))?;
        let link = format!(
            "[Match]\nName=host0\n[Network]\nAddress={address}/{prefix}\nIPv6AcceptRA=no\nLinkLocalAddressing=no\n"
        );
        host.put(&File::text("/etc/systemd/network/10-host0.network", &link))?;
        host.options.files.iter().try_for_each(|file| host.put(file))?;
        Ok(host)
    }

    /// Its disk: what it writes lies over the trees that all hosts share.
    fn mount(&self) -> anyhow::Result<()> {
        for folder in ["disk", "work", "root"] {
            fs::create_dir_all(self.dir().join(folder))?;
        }
        let mut lower = vec![base::base()?.display().to_string()];
        if !self.options.packages.is_empty() {
            lower.insert(0, base::layer(&self.options.packages)?.display().to_string());
        }
        let dir = self.dir();
        let (disk, work) = (dir.join("disk"), dir.join("work"));
        let how = format!("lowerdir={},upperdir={},workdir={}", lower.join(":"), disk.display(), work.display());
        self.lab.ward.note(Taken::Mount(&self.root()))?;
        shell::run(shell::command(&["mount", "-t", "overlay", "lab", "-o", &how]).arg(self.root()))?;
        Ok(())
    }

    /// Puts a file onto the disk of a host that is off. (Into one that runs: [`Host::write`].)
    ///
    /// # Errors
    /// It cannot be written.
    pub fn put(&self, file: &File) -> anyhow::Result<()> {
        let path = self.root().join(file.path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().context("a file has a folder")?)?;
        // A link on that disk would lead to this machine's own files.
        ensure!(!path.is_symlink(), "{} is a link", file.path);
        fs::write(&path, &file.bytes)?;
        Ok(fs::set_permissions(&path, fs::Permissions::from_mode(file.mode))?)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its address on the switch.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Its network, also while it is off.
    #[must_use]
    pub fn network(&self) -> &Namespace {
        &self.network
    }

    /// Where this machine sees its disk. Beware of links there: they lead to this machine's own files.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.dir().join("root")
    }

    /// Its folder: the parts of its disk, and `console.log`.
    pub(super) fn dir(&self) -> PathBuf {
        self.lab.ward.dir().join(&self.name)
    }

    /// Its control group of a controller of version 1, such as `memory`: for limits on the whole host.
    #[must_use]
    pub fn group(&self, controller: &str) -> Option<&Path> {
        self.groups.of(controller)
    }
}

impl File {
    /// A file of that text that everybody may read.
    #[must_use]
    pub fn text(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), bytes: text.as_bytes().to_vec(), mode: 0o644 }
    }

    /// A program.
    #[must_use]
    pub fn program(path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        Self { path: path.to_owned(), bytes: bytes.into(), mode: 0o755 }
    }
}
