//! A simulated host and the link between its agent and the manager.

use std::collections::VecDeque;

use hostler_common::job::JobUpdate;
use hostler_common::time::Timestamp;
use hostler_manager::fleet::accept::{HostCertificate, Issuer};
use hostler_manager::fleet::desk::{Hello, Order, Session};
use hostler_manager::store::Error;
use hostler_manager::store::cluster::Reach;
use hostler_manager::store::host::Greeting;

use super::Random;
use super::agent::Agent;
use super::manager::Manager;

/// A host, and both directions of the link of its agent.
pub struct Wire {
    /// The host.
    pub agent: Agent,
    session: Option<Session>,
    down: VecDeque<Order>,
    up: VecDeque<JobUpdate>,
    /// Everything that the agent was ever told.
    said: Vec<Order>,
    /// Frames that came twice.
    pub duplicates: u32,
}

/// What a store that does not answer means to a link: it breaks.
fn lasting<T>(done: Result<T, Error>) -> anyhow::Result<Option<T>> {
    match done {
        Ok(done) => Ok(Some(done)),
        Err(Error::Unavailable(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl Wire {
    /// A host whose agent is not running.
    #[must_use]
    pub fn new(agent: Agent) -> Self {
        Self { agent, session: None, down: VecDeque::new(), up: VecDeque::new(), said: Vec::new(), duplicates: 0 }
    }

    /// The agent connects, if it runs and is not connected.
    ///
    /// # Errors
    /// The manager fails otherwise than by being gone.
    pub async fn connect(
        &mut self,
        manager: &Manager,
        now: Timestamp,
        boot: &str,
        fsid: Option<&str>,
    ) -> anyhow::Result<()> {
        let host = self.agent.host;
        if self.session.is_some() {
            return Ok(());
        }
        let Some(journal) = self.agent.connect() else { return Ok(()) };
        let who = HostCertificate { host, serial: host.to_string(), issuer: Issuer::BuiltIn };
        let greeting = Greeting { version: "1".into(), boot_id: boot.into(), address: "192.0.2.1".into() };
        let reach = Reach { fsid: fsid.map(Into::into), degraded: false };
        let hello = Hello { greeting, clock: now, journal, reach, assignment: String::new() };
        (self.up, self.down) = (VecDeque::new(), VecDeque::new());
        self.session = lasting(manager.fleet.hello(&who, hello).await)?;
        if self.session.is_none() {
            self.agent.disconnect();
        }
        Ok(())
    }

    /// Takes over what the agent wants to send; some of it is sent twice.
    pub fn send(&mut self, random: &mut Random, twice: u64) {
        let sent: Vec<JobUpdate> = self.agent.outgoing.drain(..).collect();
        if self.session.is_none() {
            return;
        }
        for update in sent {
            if random.chance(twice) {
                self.duplicates += 1;
                self.up.push_back(update.clone());
            }
            self.up.push_back(update);
        }
    }

    /// The manager takes a frame; `false` if there is none.
    ///
    /// # Errors
    /// As [`Wire::connect`].
    pub async fn carry_up(&mut self, manager: &Manager, now: Timestamp) -> anyhow::Result<bool> {
        let (Some(session), Some(update)) = (&self.session, self.up.pop_front()) else { return Ok(false) };
        match lasting(manager.fleet.update(session, update).await)? {
            Some(answer) => self.down.extend(answer),
            None => self.cut(manager, now).await?,
        }
        Ok(true)
    }

    /// The manager says what there is to say.
    ///
    /// # Errors
    /// As [`Wire::connect`].
    pub async fn ask(&mut self, manager: &Manager, now: Timestamp) -> anyhow::Result<()> {
        let Some(session) = &mut self.session else { return Ok(()) };
        match lasting(manager.fleet.outbox(session).await)? {
            Some(orders) => self.down.extend(orders),
            None => self.cut(manager, now).await?,
        }
        Ok(())
    }

    /// The agent takes a frame, and sometimes something that was said before, on this link or on an older one, once more;
    /// `false` if there is none.
    pub fn carry_down(&mut self, random: &mut Random, twice: u64) -> bool {
        let order = self.down.pop_front().filter(|_| self.session.is_some());
        let came = order.is_some();
        if let Some(order) = order {
            self.said.push(order.clone());
            self.agent.take(order);
        }
        if self.session.is_some() && !self.said.is_empty() && random.chance(twice) {
            self.duplicates += 1;
            let again = random.below(self.said.len());
            self.agent.take(self.said[again].clone());
        }
        came
    }

    /// The link breaks, with everything that was on its way.
    ///
    /// # Errors
    /// As [`Wire::connect`].
    pub async fn cut(&mut self, manager: &Manager, now: Timestamp) -> anyhow::Result<()> {
        if let Some(session) = self.drop_link() {
            lasting(manager.fleet.goodbye(&session, now).await)?;
        }
        Ok(())
    }

    /// The manager at the other end is gone.
    pub fn drop_link(&mut self) -> Option<Session> {
        self.agent.disconnect();
        (self.up, self.down) = (VecDeque::new(), VecDeque::new());
        self.session.take()
    }

    /// The manager's end, if they are connected.
    #[must_use]
    pub fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// Whether nothing is on its way.
    #[must_use]
    pub fn idle(&self) -> bool {
        self.up.is_empty() && self.down.is_empty() && self.agent.outgoing.is_empty()
    }
}
