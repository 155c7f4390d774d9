//! Brings the agents of a swarm up: enrols those that have no certificate yet, and connects all.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use hostler_agent::identity::Identity;
use hostler_agent::join::join;
use hostler_agent::shared_identity::SharedIdentity;
use hostler_common::id::HostId;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::agent::{Agent, Shared};

/// Where the agents belong and how fast they come.
#[derive(Clone, Debug)]
pub struct Muster {
    /// The manager, `HOST:PORT`.
    pub manager: String,
    /// A join token with enough uses.
    pub token: String,
    /// Where their identities are kept; a later swarm with the same folder enrols nobody.
    pub state_dir: PathBuf,
    /// How many agents.
    pub agents: u32,
    /// How many of them enrol or connect at once.
    pub at_once: usize,
}

/// Agents that run.
pub struct Crew {
    /// Their hosts.
    pub hosts: Vec<HostId>,
    /// How many of them were enrolled now.
    pub enrolled: u32,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Crew {
    /// Brings all agents up; returns when each has a certificate and has begun to connect.
    ///
    /// # Errors
    /// One of them cannot be enrolled.
    pub async fn muster(muster: &Muster, shared: &Arc<Shared>) -> anyhow::Result<Self> {
        let turns = Arc::new(Semaphore::new(muster.at_once.max(1)));
        let stop = CancellationToken::new();
        let mut coming = JoinSet::new();
        for number in 0..muster.agents {
            let (muster, shared, turns) = (muster.clone(), Arc::clone(shared), Arc::clone(&turns));
            coming.spawn(async move {
                let turn = turns.acquire_owned().await?;
                let name = format!("swarm-{number:05}");
                let state_dir = muster.state_dir.join(&name);
                let (identity, enrolled) = identity_of(&muster, &state_dir, &name).await?;
                anyhow::Ok((Agent::new(number, shared, turn), SharedIdentity::new(state_dir, identity), enrolled))
            });
        }
        let mut crew = Self { hosts: Vec::new(), enrolled: 0, stop, tasks: JoinSet::new() };
        while let Some(came) = coming.join_next().await {
            let (agent, identity, enrolled) = came??;
            crew.hosts.push(identity.host());
            crew.enrolled += u32::from(enrolled);
            crew.tasks.spawn(agent.run(identity, vec![muster.manager.clone()], crew.stop.child_token()));
        }
        Ok(crew)
    }

    /// Ends all links.
    pub async fn dismiss(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

/// The identity of an agent, and whether it was enrolled just now.
async fn identity_of(muster: &Muster, state_dir: &Path, name: &str) -> anyhow::Result<(Identity, bool)> {
    if let Some(identity) = Identity::load(state_dir).with_context(|| state_dir.display().to_string())? {
        return Ok((identity, false));
    }
    let identity = join(state_dir, std::slice::from_ref(&muster.manager), &muster.token, name).await;
    Ok((identity.with_context(|| name.to_owned())?, true))
}
