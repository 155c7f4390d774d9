//! The manager of a simulation: the real store, engine and fleet, which can be stopped between any two transactions.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use hostler_common::time::Clock as _;
use hostler_core::refresh::command as refresh;
use hostler_core::refresh::schedule::Intervals;
use hostler_manager::engine::compute::ComputeSide;
use hostler_manager::engine::{Engine, EngineSettings};
use hostler_manager::fleet::assignment::Watch;
use hostler_manager::fleet::ca::Ca;
use hostler_manager::fleet::{Fleet, Settings};
use hostler_manager::store::{Error, Gate, Options, Result, Store, host};

use super::clock::{SimClock, SimSeeds};

/// Lets so many transactions pass and none after them: what a crash looks like from inside.
#[derive(Debug)]
pub struct Fuse(AtomicI64);

impl Fuse {
    /// A fuse that does not burn.
    #[must_use]
    pub fn new() -> Self {
        Self(AtomicI64::new(i64::MAX))
    }

    /// Lets `transactions` more pass.
    pub fn light(&self, transactions: i64) {
        self.0.store(transactions, Ordering::SeqCst);
    }

    /// A new one that does not burn.
    pub fn replace(&self) {
        self.0.store(i64::MAX, Ordering::SeqCst);
    }

    /// Whether it has burnt down.
    #[must_use]
    pub fn burnt(&self) -> bool {
        self.0.load(Ordering::SeqCst) <= 0
    }
}

impl Gate for Fuse {
    fn pass(&self) -> Result<()> {
        if self.0.fetch_sub(1, Ordering::SeqCst) > 0 {
            return Ok(());
        }
        self.0.store(0, Ordering::SeqCst);
        Err(Error::Unavailable("the simulated manager is dead".into()))
    }
}

/// A running manager.
pub struct Manager {
    /// Its engine.
    pub engine: Engine,
    /// Its fleet.
    pub fleet: Fleet,
    /// What kills it.
    pub fuse: Arc<Fuse>,
}

impl Manager {
    /// Starts a manager on what the one before left in `dir`.
    ///
    /// # Errors
    /// The store cannot be opened.
    pub async fn start(
        dir: &Path,
        clock: &Arc<SimClock>,
        seeds: &Arc<SimSeeds>,
        compute: ComputeSide,
    ) -> anyhow::Result<Self> {
        let fuse = Arc::new(Fuse::new());
        let gate = Arc::clone(&fuse);
        let store = Store::open(&Options::Sqlite(dir.join("manager.db"))).await?.gated(gate);
        store.write(|tx| Box::pin(host::host_all_offline(tx))).await?;
        // A minute in place of ten, so that a schedule of some minutes has refreshes in it, and a place less than hosts.
        let intervals = Intervals::new([300, 60, 90, 300, 60, 300].map(Duration::from_secs));
        let refresh = Arc::new(refresh::Settings { intervals, at_once_min: 2, ..refresh::Settings::default() });
        let settings = EngineSettings { inventories_kept: 5, refresh, compute, ..EngineSettings::default() };
        let engine = Engine::new(store, Arc::clone(clock) as _, Arc::clone(seeds) as _, settings).begins();
        let ca = Arc::new(Ca::open(dir, clock.now())?);
        let settings = Settings {
            heartbeat: Duration::from_secs(15),
            certificate_life: Duration::from_secs(86_400 * 365),
            max_clock_skew: Duration::from_secs(3600),
            max_connections: 100,
            watch: Watch::default(),
        };
        let fleet = Fleet::new(engine.clone(), ca, settings);
        Ok(Self { engine, fleet, fuse })
    }
}
