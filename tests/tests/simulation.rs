//! The simulation layer: random fault schedules over a whole fleet; design §10, invariants 1, 2, 3, 4, 7 and 10.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "seeds are shown")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use hostler_tests::sim::{Summary, Tally, run_schedule, run_session_schedule};

/// How many schedules run; more by `HOSTLER_SIM_SCHEDULES`.
const SCHEDULES: u64 = 500;

/// The same of schedules of sessions of maintenance.
const SESSION_SCHEDULES: u64 = 200;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn run<T>(schedule: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(schedule)
}

/// Runs that many schedules, as many at once as there are processors, and adds up what happened in them; `None` where only one
/// was wanted.
fn run_all<T: Default + Send + std::fmt::Debug>(
    count: u64,
    schedule: impl Fn(u64) -> anyhow::Result<T> + Sync,
    add: impl Fn(&mut T, T) + Sync,
) -> Option<(u32, T)> {
    if let Some(seed) = setting("HOSTLER_SIM_SEED") {
        println!("seed {seed}: {:?}", schedule(seed).unwrap());
        return None;
    }
    let base = setting("HOSTLER_SIM_BASE").unwrap_or(1);
    let count = setting("HOSTLER_SIM_SCHEDULES").unwrap_or(count);
    println!("seeds {base} to {}", base + count - 1);
    let (next, failures, total) = (AtomicU64::new(0), Mutex::new(Vec::new()), Mutex::new(T::default()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::SeqCst);
                    if index >= count {
                        return;
                    }
                    match schedule(base + index) {
                        Ok(summary) => add(&mut total.lock().unwrap(), summary),
                        Err(error) => failures.lock().unwrap().push(format!("{error:#}")),
                    }
                }
            });
        }
    });
    let total = total.into_inner().unwrap();
    println!("{count} schedules: {total:?}");
    let failures = failures.into_inner().unwrap();
    assert!(
        failures.is_empty(),
        "{} schedules failed; replay one with HOSTLER_SIM_SEED=N:\n{}",
        failures.len(),
        failures.iter().take(5).cloned().collect::<Vec<_>>().join("\n")
    );
    Some((u32::try_from(count).unwrap(), total))
}

#[test]
fn random_fault_schedules_break_no_invariant() {
    let Some((count, total)) = run_all(SCHEDULES, |seed| run(run_schedule(seed)), add) else { return };
    // A simulation in which nothing goes wrong, or nothing gets done, shows nothing.
    assert!(total.starts > count * 3 && total.finished == count * 3, "{total:?}");
    assert!(total.manager_crashes > count && total.agent_crashes > count && total.breaks > count, "{total:?}");
    assert!(total.scripts > count && total.scripts_finished > count / 4, "{total:?}");
    assert!(total.refreshes > count, "{total:?}");
    assert!(total.duplicates > count && total.forgeries > count / 10, "{total:?}");
}

#[test]
fn random_fault_schedules_of_sessions_break_no_invariant() {
    let schedule = |seed| run(run_session_schedule(seed));
    let Some((count, total)) = run_all(SESSION_SCHEDULES, schedule, Tally::add) else { return };
    assert!(total.sessions > count && total.done > count / 2 && total.plugins > count, "{total:?}");
    assert!(total.manager_crashes > count && total.agent_crashes > count && total.outages > count / 2, "{total:?}");
    assert!(total.answers > count / 2 && total.duplicates > count && total.conflicts > count / 2, "{total:?}");
    assert!(total.continued > count / 4 && total.deleted > count / 4 && total.moves > 0, "{total:?}");
}

fn add(total: &mut Summary, one: Summary) {
    total.starts += one.starts;
    total.finished += one.finished;
    total.manager_crashes += one.manager_crashes;
    total.agent_crashes += one.agent_crashes;
    total.breaks += one.breaks;
    total.duplicates += one.duplicates;
    total.forgeries += one.forgeries;
    total.scripts += one.scripts;
    total.scripts_finished += one.scripts_finished;
    total.refreshes += one.refreshes;
}
