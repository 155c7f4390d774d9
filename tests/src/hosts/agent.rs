//! The agent in a host: installed as the packages do it, started by the host's systemd.

use std::path::Path;

use anyhow::Context as _;
use serde_json::json;

use super::{File, Host};
use crate::lab::{Manager, binary};

/// The agent's unit.
pub const UNIT: &str = "hostler-agent.service";

impl Host<'_> {
    /// Puts binary, unit and settings where the packages put them, and tells systemd.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn install_agent(&self) -> anyhow::Result<()> {
        let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging");
        let program = std::fs::read(binary("hostler-agent"))?;
        let unit = std::fs::read_to_string(packaging.join("systemd").join(UNIT))?;
        let settings = std::fs::read_to_string(packaging.join("agent.toml"))?;
        self.write(&File::program("/usr/bin/hostler-agent", program))?;
        self.write(&File::text(&format!("/usr/lib/systemd/system/{UNIT}"), &unit))?;
        self.write(&File::text("/etc/hostler/agent.toml", &settings))?;
        self.exec(&["systemctl", "daemon-reload"]).map(drop)
    }

    /// Lets the host join a manager that it can reach, under its own name, and enables and starts the agent's unit, whose type
    /// is `notify`: it is up when this returns.
    ///
    /// # Errors
    /// The manager refuses, or the unit does not start; the journal of the unit is named.
    pub async fn join(&self, manager: &Manager) -> anyhow::Result<()> {
        let token = manager.join_token(json!({})).await?;
        let variable = format!("HOSTLER_JOIN_TOKEN={token}");
        self.exec(&["env", &variable, "hostler-agent", "join", "--manager", &manager.agents, "--name", &self.name])?;
        self.exec(&["systemctl", "enable", "--now", UNIT]).with_context(|| self.agent_log()).map(drop)
    }

    /// Installs the agent, joins, and waits until the manager knows the host as online.
    ///
    /// # Errors
    /// It does not get that far.
    pub async fn enlist(&self, manager: &Manager) -> anyhow::Result<()> {
        self.install_agent()?;
        self.join(manager).await?;
        manager.host_is(&self.name, "online").await.with_context(|| self.agent_log())
    }

    /// What the agent logged in this boot.
    #[must_use]
    pub fn agent_log(&self) -> String {
        let log = self.output(&["journalctl", "--no-pager", "--quiet", "-b", "-u", UNIT]);
        log.map(|done| String::from_utf8_lossy(&done.stdout).into_owned()).unwrap_or_default()
    }
}
