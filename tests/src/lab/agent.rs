//! A real agent.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, ensure};
use hostler_agent::identity::Identity;
use serde_json::json;

use super::{Daemon, Manager, Place, binary};

/// A host of the lab: an agent in a folder of its own.
#[derive(Debug)]
pub struct Agent {
    place: Option<Place>,
    /// The host's name.
    pub name: String,
    /// Its settings, if it has some of its own.
    settings: Option<PathBuf>,
    /// What it finds in its environment when it is started, besides ours: its settings, or where a Ceph cluster is.
    pub environment: Vec<(String, String)>,
    /// Words that its command line begins with: a program that gives it a name of its own, or a limit, and becomes it.
    pub launcher: Vec<String>,
    /// Its process, while it runs.
    pub daemon: Option<Daemon>,
    // The last one: it goes when the process is gone and its log was shown.
    dir: tempfile::TempDir,
}

impl Agent {
    /// A host that has joined `manager` and is connected.
    ///
    /// # Errors
    /// It is not, soon.
    pub async fn start(manager: &Manager, name: &str) -> anyhow::Result<Self> {
        let mut agent = Self::joined(manager, name).await?;
        agent.run()?;
        manager.host_is(name, "online").await?;
        Ok(agent)
    }

    /// A host that has joined `manager`; its agent does not run.
    ///
    /// # Errors
    /// It is refused.
    pub async fn joined(manager: &Manager, name: &str) -> anyhow::Result<Self> {
        let token = manager.join_token(json!({})).await?;
        let place = manager.place().cloned();
        let dir = tempfile::tempdir()?;
        let agent = Self {
            dir,
            place,
            name: name.to_owned(),
            settings: None,
            environment: Vec::new(),
            launcher: Vec::new(),
            daemon: None,
        };
        let output = join_at(agent.place.as_ref(), &agent.state_dir(), &manager.agents, &token, name)?;
        ensure!(output.status.success(), "{output:?}");
        Ok(agent)
    }

    /// A host that never joined and has these settings; its agent does not run.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn configured(name: &str, settings: &str) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let file = dir.path().join("agent.toml");
        std::fs::write(&file, settings)?;
        Ok(Self {
            dir,
            place: None,
            name: name.to_owned(),
            settings: Some(file),
            environment: Vec::new(),
            launcher: Vec::new(),
            daemon: None,
        })
    }

    /// Starts the agent.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn run(&mut self) -> anyhow::Result<()> {
        let state_dir = self.state_dir();
        let text = |path: &Path| path.to_str().map(str::to_owned).context("a path that is no text");
        let mut words = self.launcher.clone();
        words.extend([text(&binary("hostler-agent"))?, "run".into(), "--state-dir".into(), text(&state_dir)?]);
        if let Some(settings) = &self.settings {
            words.extend(["--config".into(), text(settings)?]);
        }
        let (program, arguments) = words.split_first().context("no words")?;
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let log = self.dir.path().join("agent.log");
        let environment: Vec<_> = self.environment.iter().map(|(name, value)| (&**name, &**value)).collect();
        let place = self.place.as_ref();
        self.daemon = Some(Daemon::start_at(place, Path::new(program), &arguments, &environment, log)?);
        Ok(())
    }

    /// Kills the agent at this instant.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.daemon.take().context("the agent does not run")?.kill()
    }

    /// Where its identity and its journal are.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// What it logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("agent.log")).unwrap_or_default()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.daemon.take());
        // What an agent has outside of its state, which the machine would else keep until it boots.
        let Ok(Some(identity)) = Identity::load(&self.state_dir()) else { return };
        for folder in ["/run/hostler-agent", "/dev/shm/hostler-agent"] {
            std::fs::remove_dir_all(Path::new(folder).join(identity.host.to_string())).ok();
        }
    }
}

/// Runs `hostler-agent join`.
///
/// # Errors
/// It cannot be started.
pub fn join(state_dir: &Path, manager: &str, token: &str, name: &str) -> anyhow::Result<Output> {
    join_at(None, state_dir, manager, token, name)
}

fn join_at(place: Option<&Place>, state_dir: &Path, manager: &str, token: &str, name: &str) -> anyhow::Result<Output> {
    let program = binary("hostler-agent");
    let mut command = match place {
        Some(place) => place.namespace.command(program.to_str().context("a path that is no text")?),
        None => Command::new(program),
    };
    command.arg("join").args(["--manager", manager, "--name", name, "--state-dir"]).arg(state_dir);
    Ok(command.env("HOSTLER_JOIN_TOKEN", token).output()?)
}
