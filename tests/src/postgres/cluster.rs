//! The server process, its guard and its folder.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use nix::unistd::{Gid, Uid, User};

/// Where Debian keeps the programs of each version.
const VERSIONS: &str = "/usr/lib/postgresql";

/// The account that runs the server when we are root, which PostgreSQL refuses.
const ACCOUNT: &str = "postgres";

/// How long the server may take to listen.
const START: Duration = Duration::from_secs(60);

/// Starts the server, waits until its own input ends, and leaves nothing behind. It is a session of its own, so that a
/// Ctrl-C at the tests does not reach it. Arguments: the folder, then the server's command line.
const GUARD: &str = r#"
dir=$1; shift
"$@" </dev/null &
server=$!
read -r line
kill -QUIT "$server"
wait "$server"
rm -rf "$dir"
"#;

/// A running server; it ends with this process.
#[derive(Debug)]
pub(super) struct Cluster {
    dir: PathBuf,
    /// What keeps the guard waiting. The kernel closes it, however we end.
    _lifeline: ChildStdin,
}

impl Cluster {
    /// Starts a server; `None` if there is no PostgreSQL on this machine.
    pub(super) fn start() -> anyhow::Result<Option<Self>> {
        let Some(programs) = newest_version(Path::new(VERSIONS)) else { return Ok(None) };
        let account = if Uid::effective().is_root() { Some(account()?) } else { None };
        let dir = tempfile::Builder::new().prefix("hostler-pg-").tempdir()?.keep();
        match run(&dir, &programs, account) {
            Ok(lifeline) => Ok(Some(Self { dir, _lifeline: lifeline })),
            Err(error) => {
                fs::remove_dir_all(&dir).ok();
                Err(error)
            }
        }
    }

    /// The URL of a database of this server.
    pub(super) fn url(&self, database: &str) -> String {
        format!("postgres://{ACCOUNT}@localhost/{database}?host={}", self.dir.display())
    }
}

fn run(dir: &Path, programs: &Path, account: Option<(Uid, Gid)>) -> anyhow::Result<ChildStdin> {
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    if let Some((uid, gid)) = account {
        nix::unistd::chown(dir, Some(uid), Some(gid)).context("the folder cannot be given to the account postgres")?;
    }
    let data = dir.join("data");
    initialize(&programs.join("initdb"), &data, account)?;
    let mut guard = guard(dir, &programs.join("postgres"), &data, account)?;
    let lifeline = guard.stdin.take().context("the guard has no input")?;
    wait_until_it_listens(dir, &mut guard)?;
    Ok(lifeline)
}

/// The programs of the newest installed version.
fn newest_version(versions: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(versions).ok()?.flatten();
    let numbered = entries.filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path())));
    let (_, newest) = numbered.filter(|(_, path)| path.join("bin/postgres").exists()).max()?;
    Some(newest.join("bin"))
}

fn account() -> anyhow::Result<(Uid, Gid)> {
    let user = User::from_name(ACCOUNT)?.with_context(|| format!("there is no account {ACCOUNT}"))?;
    Ok((user.uid, user.gid))
}

/// A command that runs as the server's account.
fn command(program: &Path, account: Option<(Uid, Gid)>) -> Command {
    let mut command = Command::new(program);
    if let Some((uid, gid)) = account {
        command.uid(uid.as_raw()).gid(gid.as_raw());
    }
    command.current_dir("/").env_remove("PGDATA").env_remove("PGHOST").env_remove("PGPORT");
    command
}

fn initialize(initdb: &Path, data: &Path, account: Option<(Uid, Gid)>) -> anyhow::Result<()> {
    let language: &[&str] = &["--locale=C", "--locale-provider=icu", "--icu-locale=en-US"];
    let mut said = String::new();
    // Without ICU (a PostgreSQL before 15, or built without it) the order of bytes is all there is everywhere.
    for locale in [language, &["--locale=C"]] {
        let done = command(initdb, account)
            .args(["--no-sync", "--auth=trust", "--encoding=UTF8", "--username", ACCOUNT, "--pgdata"])
            .arg(data)
            .args(locale)
            .output()
            .context("initdb cannot be started")?;
        if done.status.success() {
            return Ok(());
        }
        said = String::from_utf8_lossy(&done.stderr).into_owned();
    }
    bail!("initdb failed: {said}")
}

fn guard(dir: &Path, server: &Path, data: &Path, account: Option<(Uid, Gid)>) -> anyhow::Result<Child> {
    let log = fs::File::create(dir.join("log"))?;
    command(Path::new("/bin/sh"), account)
        .args(["-c", GUARD, "hostler-postgres-guard"])
        .arg(dir)
        .arg(server)
        .arg("-D")
        .arg(data)
        .args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=400"])
        .args(["-c", "shared_buffers=64MB", "-c", "deadlock_timeout=100ms"])
        .arg("-c")
        .arg(format!("unix_socket_directories={}", dir.display()))
        .stdin(Stdio::piped())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()
        .context("the guard cannot be started")
}

fn wait_until_it_listens(dir: &Path, guard: &mut Child) -> anyhow::Result<()> {
    let deadline = Instant::now() + START;
    let said = || fs::read_to_string(dir.join("log")).unwrap_or_default();
    while UnixStream::connect(dir.join(".s.PGSQL.5432")).is_err() || !said().contains("ready to accept connections") {
        ensure!(guard.try_wait()?.is_none(), "the server's guard has ended: {}", said());
        ensure!(Instant::now() < deadline, "the server does not listen: {}", said());
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
