//! No manager is there for hours, whatever was under way: that is nobody's fault and nothing fails of it (spec/maintenance.md
//! §2.6).

use std::time::Duration;

use hostler_common::id::JobId;
use hostler_common::job::JobState;
use serde_json::json;

use super::sim::Sim;
use super::world::host;
use crate::maintenance::policy::{Policy, Reboot};
use crate::maintenance::stay::Stage;

/// How long no manager is there: a moment, some minutes, longer than anything that is waited for.
const AWAY: [u64; 3] = [50, 600, 7 * 3600];

fn begun() -> Sim {
    let mut sim = Sim::new();
    let policy = Policy { reboot: Reboot::Always, gate_timeout: 3600, host_timeout: 4 * 3600, ..Policy::default() };
    let actions = [("dummy", json!({})), ("script", json!({"script": "tidy"})), ("reboot", json!({}))];
    let order = sim.order(host(1), &actions, policy);
    sim.begin(order);
    sim
}

/// Time passes that no manager sees. Another one then finds all of it overdue and nobody connected, and agents come back one
/// after the other.
fn outage(sim: &mut Sim, seconds: u64) {
    sim.now = sim.now.after(Duration::from_secs(seconds));
    sim.since = sim.now;
    for n in 1..=3 {
        sim.world.at(host(n)).connected = false;
    }
    let now = sim.now;
    while let Some(name) = sim.timers.iter().find(|(_, due)| **due <= now).map(|(name, _)| *name) {
        sim.fire(name);
    }
    for n in 1..=3 {
        sim.now = sim.now.after(Duration::from_secs(10));
        sim.connect(host(n), true);
    }
}

fn ends_well(mut sim: Sim, what: &str) {
    sim.run();
    assert_eq!(sim.stage(host(1)), Stage::Done, "{what}: {:?}", sim.reports.last());
    for step in ["dummy", "script tidy"] {
        assert_eq!(sim.times(host(1), step), 1, "{what}: {step}");
    }
    assert!(sim.world.flags.is_empty() && sim.world.down.is_empty() && sim.lock.is_none(), "{what}");
}

/// How many steps it takes undisturbed.
fn steps() -> usize {
    let mut sim = begun();
    (0..4000).take_while(|_| sim.stage(host(1)).is_active() && sim.step()).count()
}

/// Every step at which an outage of every length may come.
fn moments() -> impl Iterator<Item = (usize, u64)> {
    (0..steps()).flat_map(|at| AWAY.map(|away| (at, away)))
}

#[test]
fn an_outage_at_any_step_changes_nothing_of_the_end() {
    for (at, away) in moments() {
        let mut sim = begun();
        (0..at).for_each(|_| assert!(sim.step()));
        outage(&mut sim, away);
        ends_well(sim, &format!("step {at}, away for {away} s"));
    }
}

#[test]
fn what_ended_during_an_outage_is_reported_after_it() {
    for (at, away) in moments() {
        let mut sim = begun();
        (0..at).for_each(|_| assert!(sim.step()));
        let waiting = |sim: &Sim| -> Option<JobId> {
            sim.jobs.iter().find(|(_, job)| job.state == JobState::Queued).map(|(id, _)| *id)
        };
        let Some(job) = waiting(&sim) else { continue };
        sim.report(job, JobState::Running, None);
        outage(&mut sim, away);
        sim.work(job);
        ends_well(sim, &format!("step {at}, away for {away} s"));
    }
}
