//! Runs machines: load, decide, commit, perform (design §3).
//!
//! Every input of a machine goes through one transaction that reads the machine, asks it for its decision and writes all of
//! it. Only after the commit is anybody woken: the links of hosts that have jobs, the timers, whoever watches. Those act on
//! rows, so a wake-up that is lost costs time and nothing else, and a restart needs no path of its own.

mod cancel;
mod cluster;
pub mod compute;
mod describe;
mod identity;
mod introspection;
mod inventory;
mod maintenance;
mod occurrence;
mod operation;
pub mod output;
mod refresh;
mod report;
mod retain;
mod rule;
mod run;
mod run_script;
mod seed;
mod timers;
mod together;
mod wake;
mod webhook;

use std::sync::Arc;

use hostler_common::id::{MachineId, TaskId};
use hostler_common::time::{SharedClock, Timestamp};
use hostler_core::introspection::command::Settings;
use hostler_core::machine::LONG_AGO;

use crate::store::{self, Store};

pub use cluster::ClusterDomain;
pub use introspection::IntrospectionDomain;
pub use inventory::canonical_hash;
pub use maintenance::{MaintenanceSettings, MoveDomain, SessionDomain, StayDomain};
pub use occurrence::ChainDomain;
pub use operation::OperationDomain;
pub use refresh::RefreshDomain;
pub use retain::Retention;
pub use rule::Tried;
pub use run::{Committed, Domain};
pub use run_script::RunDomain;
pub use seed::{OsSeeds, Seeds};
pub use wake::Wake;
pub use webhook::{NewWebhook, WebhookDomain};

/// The engine. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    /// Where everything durable is.
    pub store: Store,
    /// What time it is.
    pub clock: SharedClock,
    /// Who is to be woken after a commit.
    pub wake: Arc<Wake>,
    /// What running scripts write.
    pub outputs: Arc<output::Outputs>,
    since: Timestamp,
    seeds: Arc<dyn Seeds>,
    settings: Arc<EngineSettings>,
    reports: Arc<together::Queue>,
}

/// Settings of the engine and of its machines.
#[derive(Clone, Debug, Default)]
pub struct EngineSettings {
    /// Of introspections.
    pub introspection: Arc<Settings>,
    /// Of refreshes.
    pub refresh: Arc<hostler_core::refresh::command::Settings>,
    /// Of Ceph clusters.
    pub cluster: hostler_core::cluster::Settings,
    /// How many changed inventories of a host are kept.
    pub inventories_kept: u32,
    /// How long finished things are kept.
    pub retention: Retention,
    /// Of maintenance.
    pub maintenance: MaintenanceSettings,
    /// Who runs instances.
    pub compute: compute::ComputeSide,
}

/// What one transaction works with.
#[derive(Clone, Debug)]
pub struct Turn {
    /// The current moment.
    pub now: Timestamp,
    /// Since when the manager is there.
    pub since: Timestamp,
    /// Who asked.
    pub actor: Option<String>,
    /// Fresh randomness.
    pub seed: u128,
    /// Settings.
    pub settings: Arc<EngineSettings>,
    /// The machine that it is about, once there is one.
    pub machine: Option<MachineId>,
    /// The task of that machine.
    pub task: Option<TaskId>,
}

impl Turn {
    /// The same for the `n`-th further decision of one transaction, with randomness of its own.
    #[must_use]
    pub fn nth(&self, n: u32) -> Self {
        let mut mixed = self.seed ^ u128::from(n).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
        // What differs in few bits must differ in all of them.
        for _ in 0..3 {
            mixed = (mixed ^ (mixed >> 61)).wrapping_mul(0xDA94_2042_E4DD_58B5_2360_ED05_1FC6_5DA5);
        }
        Self { seed: mixed, machine: None, task: None, ..self.clone() }
    }

    fn about(&self, machine: MachineId, task: Option<TaskId>) -> Self {
        Self { machine: Some(machine), task, ..self.clone() }
    }
}

impl Engine {
    /// An engine over `store`.
    #[must_use]
    pub fn new(store: Store, clock: SharedClock, seeds: Arc<dyn Seeds>, settings: EngineSettings) -> Self {
        Self {
            store,
            clock,
            wake: Arc::new(Wake::default()),
            outputs: Arc::default(),
            since: LONG_AGO,
            seeds,
            settings: Arc::new(settings),
            reports: Arc::default(),
        }
    }

    /// The engine of a manager that begins just now: agents have yet to find it.
    #[must_use]
    pub fn begins(self) -> Self {
        Self { since: self.clock.now(), ..self }
    }

    /// The settings of refreshes, from which the age follows that facts may have.
    #[must_use]
    pub fn refresh_settings(&self) -> &hostler_core::refresh::command::Settings {
        &self.settings.refresh
    }

    /// What the next transaction works with.
    #[must_use]
    pub fn turn(&self, actor: Option<&str>) -> Turn {
        Turn {
            now: self.clock.now(),
            since: self.since,
            actor: actor.map(str::to_owned),
            seed: self.seeds.seed(),
            settings: Arc::clone(&self.settings),
            machine: None,
            task: None,
        }
    }

    /// Appends an event that no machine decided on.
    ///
    /// # Errors
    /// See [`store::Error`].
    pub async fn emit(&self, actor: Option<&str>, event: hostler_core::machine::Event) -> store::Result<()> {
        let turn = self.turn(actor);
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    store::event::event_insert(tx, turn.now, turn.actor.as_deref(), &event).await?;
                    Ok(())
                })
            })
            .await?;
        self.wake.changed();
        Ok(())
    }
}
