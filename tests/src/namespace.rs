//! Network namespaces: programs in them, and connections from the tests into them.
//!
//! Nothing here ever gives an address of a namespace to the machine's own network: where a namespace is gone, a packet for
//! it has nowhere to go, instead of following the machine's default route.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use nix::sched::{CloneFlags, setns};

use crate::shell;
use crate::ward::{Taken, Ward};

/// A network namespace that `ip netns` knows. Whoever made it gives it back.
#[derive(Clone, Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// A new one, with its loopback up; it goes with the ward.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn new(ward: &Ward, name: &str) -> anyhow::Result<Self> {
        ward.note(Taken::Namespace(name))?;
        shell::sh(&["ip", "netns", "add", name])?;
        shell::sh(&["ip", "-n", name, "link", "set", "lo", "up"])?;
        Ok(Self { name: name.to_owned() })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that stands for it.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.name)
    }

    /// What to put before a command line, so that the program runs in it. The process number stays.
    #[must_use]
    pub fn prefix(&self) -> Vec<String> {
        vec!["nsenter".into(), format!("--net={}", self.path().display()), "--".into()]
    }

    /// A command that runs in it.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(&self.prefix()[1..]).arg(program);
        command
    }

    /// Runs `ip` on it.
    ///
    /// # Errors
    /// It does not succeed.
    pub fn ip(&self, words: &str) -> anyhow::Result<String> {
        shell::run(Command::new("ip").args(["-n", &self.name]).args(words.split(' ')))
    }

    /// An address on this machine's loopback behind which is `target` as seen in the namespace. It lasts as long as the
    /// test process; each connection is made anew, so `target` need not be there yet.
    ///
    /// # Errors
    /// There is no free port.
    pub fn reach(&self, target: SocketAddr) -> anyhow::Result<SocketAddr> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let namespace = self.clone();
        std::thread::Builder::new().name("reach".into()).spawn(move || {
            for client in listener.incoming().flatten() {
                let namespace = namespace.clone();
                // A client whose connection cannot be made sees it end.
                std::thread::spawn(move || namespace.connect(target).and_then(|server| join(client, server)).ok());
            }
        })?;
        Ok(address)
    }

    /// A connection from within. It makes the calling thread a part of the namespace, so it is for threads of one use.
    fn connect(&self, target: SocketAddr) -> anyhow::Result<TcpStream> {
        let file = File::open(self.path()).context("the namespace is gone")?;
        setns(file, CloneFlags::CLONE_NEWNET)?;
        Ok(TcpStream::connect(target)?)
    }
}

/// Copies both ways until both are done.
fn join(client: TcpStream, server: TcpStream) -> anyhow::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from, to) = (client.try_clone()?, server.try_clone()?);
    let up = std::thread::spawn(move || copy(from, to));
    copy(server, client);
    up.join().ok();
    Ok(())
}

/// Copies until one of the two ends. An end in the middle is passed on as an end.
fn copy(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    to.shutdown(Shutdown::Write).ok();
    from.shutdown(Shutdown::Read).ok();
}
