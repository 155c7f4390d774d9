//! Wake-ups: what they bring forward, and that a lost one costs no more than the slow poll.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hostler_common::time::{Clock as _, SystemClock};
use hostler_core::introspection::state::State;
use hostler_manager::engine::{Engine, EngineSettings, OsSeeds};
use hostler_manager::store::host::host_insert;
use hostler_tests::both::Bed;
use hostler_tests::{commit, on_both};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::start;

on_both!(a_commit_wakes_the_timers_of_its_manager, a_manager_that_dies_before_the_wake_up_costs_only_the_poll,);

/// The slow poll of the timers, and time for what follows it on a busy machine.
const POLL: Duration = Duration::from_secs(5 + 10);

async fn engine(bed: &Bed) -> Engine {
    Engine::new(bed.open().await.unwrap(), Arc::new(SystemClock), Arc::new(OsSeeds), EngineSettings::default())
}

/// Starts the timers of an engine and gives them time to find that there are none.
async fn timers(engine: &Engine, stop: &CancellationToken) -> tokio::task::JoinHandle<()> {
    let running = tokio::spawn({
        let (engine, stop) = (engine.clone(), stop.clone());
        async move { engine.run_timers(stop).await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    running
}

/// Starts a run with `starter` and says how long it took until `runner` ordered its probe.
async fn until_ordered(starter: Engine, runner: &Engine) -> Duration {
    let host = hostler_common::id::HostId(Uuid::from_u128(7));
    let now = SystemClock.now();
    commit!(starter.store, tx => host_insert(tx, host, "host", &[], now).await).unwrap();
    let begun = Instant::now();
    start(&starter, host).await.unwrap();
    // It dies here: whatever it would have woken is not.
    drop(starter);
    let ordered = async {
        let mut changes = runner.wake.watch();
        loop {
            let mut connection = runner.store.read().await.unwrap();
            let status = hostler_manager::store::introspection::status_find(&mut connection, host).await.unwrap();
            drop(connection);
            if status.unwrap().state == State::Waiting {
                return;
            }
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(POLL, ordered).await.expect("the timer was not run");
    begun.elapsed()
}

async fn a_commit_wakes_the_timers_of_its_manager(bed: Bed) {
    let engine = engine(&bed).await;
    let stop = CancellationToken::new();
    let running = timers(&engine, &stop).await;
    let took = until_ordered(engine.clone(), &engine).await;
    assert!(took < Duration::from_secs(4), "it took {took:?}: the poll ran it and not the wake-up");
    stop.cancel();
    running.await.unwrap();
}

async fn a_manager_that_dies_before_the_wake_up_costs_only_the_poll(bed: Bed) {
    let (dying, other) = (engine(&bed).await, engine(&bed).await);
    let stop = CancellationToken::new();
    let running = timers(&other, &stop).await;
    until_ordered(dying, &other).await;
    stop.cancel();
    running.await.unwrap();
}
