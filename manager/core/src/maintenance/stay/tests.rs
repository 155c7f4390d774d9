mod outage;
mod random;
mod sim;
mod world;

use serde_json::json;
use std::time::Duration;

use hostler_common::step::maintenance::CephCheck;

use self::sim::{Fault, Sim};
use self::world::host;
use super::{Mark, Stage};
use crate::maintenance::policy::{Gate, OnFail, Policy, Reboot, Storage};
use crate::maintenance::row::StepState;
use crate::maintenance::spec::{Force, Leave};
use crate::maintenance::state::Reason;
use crate::maintenance::word::{StayReport, ToStay};

fn quick() -> Policy {
    Policy { reboot: Reboot::IfRequired, gate_timeout: 3600, ..Policy::default() }
}

fn last(sim: &Sim) -> &StayReport {
    &sim.reports.last().unwrap().1
}

fn failure(sim: &Sim) -> &Reason {
    match last(sim) {
        StayReport::Failed(reason) => reason,
        other => panic!("no failure but {other:?}"),
    }
}

#[test]
fn a_stay_works_on_a_host_and_gives_everything_back() {
    let mut sim = Sim::new();
    let order = sim.order(host(1), &[("tidy_up", json!({})), ("dummy", json!({}))], quick());
    sim.facts.plugins.insert("tidy_up".into(), (Default::default(), sim.facts.scripts.get("tidy").cloned()));
    sim.begin(order);
    sim.run();
    assert_eq!(last(&sim), &StayReport::Done { warnings: Vec::new() });
    assert_eq!(sim.reports[0].1, StayReport::Empty);
    assert_eq!(sim.service[&host(1)], None);
    assert!(sim.world.flags.is_empty() && sim.world.down.is_empty() && sim.lock.is_none());
    assert_eq!(sim.states_told(host(1)), ["IN_MAINTENANCE", "MAINTENANCE_COMPLETE"]);
    assert_eq!((sim.times(host(1), "script tidy"), sim.times(host(1), "dummy")), (1, 1));
    // The flag is set before anything stops, and taken back after it runs again.
    let keys: Vec<&str> = sim.ended.iter().map(|(_, key, _)| key.as_str()).collect();
    let place =
        |key: &str| keys.iter().position(|one| *one == key).unwrap_or_else(|| panic!("{key} is not in {keys:?}"));
    let order = [
        "precheck",
        "ceph",
        "health",
        "disable:scheduling",
        "empty",
        "storage:lock",
        "storage.health",
        "storage.may_stop",
        "storage.noout",
        "storage.hand_over",
        "storage.stop",
        "storage.settle",
        "notify:in_maintenance",
        "plugin.0.tidy_up.0",
        "plugin.1.dummy.0",
        "reboot",
        "verify",
        "leave.start",
        "leave.back",
        "leave.noout_off",
        "leave.health",
        "storage:unlock",
        "enable:scheduling",
        "notify:back",
    ];
    assert!(order.windows(2).all(|pair| place(pair[0]) < place(pair[1])), "{keys:?}");
    assert_eq!(sim.times(host(1), "reboot"), 1);
    assert_eq!(sim.world.boot_of(host(1)), "boot-ceph1-1", "nothing asked for a reboot");
}

#[test]
fn one_reboot_serves_all_who_ask_for_it() {
    let mut sim = Sim::new();
    sim.world.scripts.insert("tidy".into(), (194, "done".into()));
    let actions = [
        ("script", json!({"script": "tidy"})),
        ("reboot", json!({})),
        ("kernel_check", json!({"kernel": "6.12"})),
        ("dummy", json!({})),
    ];
    let order = sim.order(host(2), &actions, quick());
    sim.begin(order);
    sim.run();
    assert_eq!(last(&sim), &StayReport::Done { warnings: Vec::new() });
    assert_eq!(sim.world.boot_of(host(2)), "boot-ceph2-2");
    let keys: Vec<&str> = sim.ended.iter().map(|(_, key, _)| key.as_str()).collect();
    let place = |key: &str| keys.iter().position(|one| *one == key).unwrap();
    assert!(place("plugin.3.dummy.0") < place("reboot") && place("reboot") < place("check:kernel_check"));
}

#[test]
fn a_reboot_is_verified_by_the_id_of_the_boot() {
    // Nobody knows how the job ended, but the host is in another boot: it is not booted twice.
    let mut sim = Sim::new();
    sim.faults.push(("reboot", Fault::LostAfter));
    let order = sim.order(host(1), &[("reboot", json!({}))], quick());
    sim.begin(order.clone());
    sim.run();
    assert_eq!(sim.stage(host(1)), Stage::Done);
    assert_eq!((sim.times(host(1), "reboot"), sim.world.boot_of(host(1))), (1, "boot-ceph1-2".into()));
    // Lost, and in the same boot: that is a failure, and it may be tried again.
    let mut sim = Sim::new();
    sim.faults.push(("reboot", Fault::LostBefore));
    sim.begin(order.clone());
    sim.run();
    assert_eq!(failure(&sim).code, "reboot.failed");
    assert!(sim.world.flags.contains_key("ceph1") && sim.lock.is_some(), "it rests as the failure left it");
    sim.begin(order);
    sim.run();
    assert_eq!(sim.stage(host(1)), Stage::Done);
    assert_eq!(sim.times(host(1), "ceph_host"), 1, "what is done is not repeated");
}

#[test]
fn spec_9_11_the_three_ways_out_of_a_failure() {
    let failing = |on_fail| {
        let mut sim = Sim::new();
        sim.world.scripts.insert("tidy".into(), (1, "no space left".into()));
        let order = sim.order(host(1), &[("script", json!({"script": "tidy"}))], Policy { on_fail, ..quick() });
        sim.begin(order.clone());
        sim.run();
        (sim, order)
    };
    // Stop: it rests out of service, until somebody lets it go on; then only what is left is done.
    let (mut sim, order) = failing(OnFail::Stop);
    assert_eq!(failure(&sim).code, "step.failed");
    assert!(failure(&sim).text.contains("no space left"));
    assert_eq!(sim.service[&host(1)].as_deref().map(|text| text.starts_with("maintenance session=")), Some(true));
    assert_eq!(sim.states_told(host(1)), ["IN_MAINTENANCE", "MAINTENANCE_FAILED"]);
    sim.world.scripts.insert("tidy".into(), (0, String::new()));
    sim.begin(order);
    sim.run();
    assert_eq!(sim.stage(host(1)), Stage::Done);
    assert_eq!((sim.times(host(1), "script tidy"), sim.times(host(1), "ceph_daemons")), (2, 3));
    assert_eq!(sim.states_told(host(1)).last().map(String::as_str), Some("MAINTENANCE_COMPLETE"));
    // Skip: it is given back.
    let (mut sim, _) = failing(OnFail::Skip);
    sim.tell(host(1), ToStay::Skip);
    sim.run();
    assert!(matches!(last(&sim), StayReport::Skipped(reason) if reason.code == "step.failed"), "{:?}", last(&sim));
    assert!(sim.world.flags.is_empty() && sim.world.down.is_empty() && sim.service[&host(1)].is_none());
    // Force: it counts as done, and says so.
    let (sim, _) = failing(OnFail::Force);
    assert!(matches!(last(&sim), StayReport::Done { warnings } if warnings[0].contains("counts as done")));
}

#[test]
fn spec_9_10_a_host_that_was_out_of_service_stays_so_with_its_reason() {
    let mut sim = Sim::new();
    let mut order = sim.order(host(1), &[], quick());
    order.disabled_before = Some("broken fan".into());
    sim.begin(order);
    sim.run();
    assert_eq!(sim.service[&host(1)].as_deref(), Some("broken fan"));
}

#[test]
fn spec_9_17_plug_ins_end_as_their_status_says() {
    for (exit, state) in
        [(0, StepState::Done), (77, StepState::Skipped), (194, StepState::Done), (3, StepState::Failed)]
    {
        let mut sim = Sim::new();
        sim.world.scripts.insert("tidy".into(), (exit, String::new()));
        let order = sim.order(host(1), &[("script", json!({"script": "tidy"}))], quick());
        sim.begin(order);
        sim.run();
        let (_, _, ended) = sim.ended.iter().find(|(_, key, _)| key == "plugin.0.script.0").unwrap();
        assert_eq!(*ended, state, "{exit}");
        let booted = sim.world.boot_of(host(1)) == "boot-ceph1-2";
        assert_eq!(booted, exit == 194);
    }
}

#[test]
fn an_outcome_that_nobody_knows_is_asked_about() {
    let mut sim = Sim::new();
    sim.faults.push(("script", Fault::LostAfter));
    let order = sim.order(host(1), &[("script", json!({"script": "tidy"}))], quick());
    sim.begin(order.clone());
    sim.run();
    assert!(matches!(last(&sim), StayReport::Unknown(reason) if reason.code == "step.outcome_unknown"));
    assert_eq!(sim.stage(host(1)), Stage::Unknown);
    assert_eq!(sim.times(host(1), "script tidy"), 1);
    sim.begin(order);
    sim.run();
    assert_eq!((sim.stage(host(1)), sim.times(host(1), "script tidy")), (Stage::Done, 2));
}

#[test]
fn a_harmless_step_is_repeated_when_its_outcome_is_lost() {
    for name in ["precheck", "ceph_host", "ceph_sample", "ceph_noout", "ceph_daemons", "dummy"] {
        for fault in [Fault::LostAfter, Fault::LostBefore] {
            let mut sim = Sim::new();
            sim.faults.push((name, fault));
            let order = sim.order(host(1), &[("dummy", json!({}))], quick());
            sim.begin(order);
            sim.run();
            assert_eq!(sim.stage(host(1)), Stage::Done, "{name} {fault:?}");
            assert!(sim.world.flags.is_empty(), "{name} {fault:?}");
        }
    }
}

#[test]
fn spec_9_19_a_flag_of_somebody_else_blocks_and_is_kept() {
    let mut sim = Sim::new();
    sim.world.flags.insert("ceph1".into(), vec!["noout".into()]);
    let order = sim.order(host(1), &[], quick());
    sim.begin(order.clone());
    sim.run();
    assert_eq!(failure(&sim).code, "gate.timeout");
    assert!(failure(&sim).text.contains("OSD_FLAGS"));
    assert_eq!(sim.times(host(1), "ceph_noout"), 0);
    // By name it can be ignored; the flag stays whose it is.
    let mut order = order;
    order.force.push(Force { ignore_health: vec!["OSD_FLAGS".into()], reason: "ours".into(), ..Force::default() });
    sim.begin(order);
    sim.run();
    assert_eq!(sim.stage(host(1)), Stage::Done);
    assert_eq!((sim.times(host(1), "ceph_noout"), sim.world.flags.len()), (0, 1));
}

#[test]
fn spec_9_19_pools_without_a_spare_copy_refuse_the_host_by_name() {
    let mut sim = Sim::new();
    sim.world.tight = vec!["scratch".into()];
    let order = sim.order(host(1), &[], quick());
    sim.begin(order);
    sim.run();
    assert_eq!(failure(&sim).code, "ceph.tight_pools");
    assert!(failure(&sim).text.contains("scratch"));
    assert!(!sim.service.contains_key(&host(1)), "nothing was touched");
}

#[test]
fn spec_9_19_an_osd_that_does_not_return_keeps_host_and_flag() {
    let mut sim = Sim::new();
    sim.world.broken.insert(0);
    let order = sim.order(host(1), &[("dummy", json!({}))], quick());
    sim.begin(order.clone());
    sim.run();
    assert_eq!(failure(&sim).code, "ceph.osd_not_back");
    assert!(failure(&sim).text.contains("osd.0"));
    assert!(sim.world.flags.contains_key("ceph1") && sim.service[&host(1)].is_some());
    assert!(sim.lock.is_some(), "nobody else may begin while it is so");
    // To give it back does not help either.
    sim.tell(host(1), ToStay::Skip);
    sim.run();
    assert_eq!(failure(&sim).code, "ceph.osd_not_back");
    assert!(sim.world.flags.contains_key("ceph1"));
    // When it is mended, it is.
    sim.world.broken.clear();
    sim.begin(order);
    sim.run();
    assert_eq!(sim.stage(host(1)), Stage::Done);
    assert_eq!(sim.times(host(1), "dummy"), 1);
    assert!(sim.world.flags.is_empty());
}

#[test]
fn spec_9_19_a_flag_whose_fate_is_unknown_counts_as_set() {
    let mut sim = Sim::new();
    let order = sim.order(host(1), &[], quick());
    sim.begin(order);
    sim.until(|sim| sim.at_entry(host(1), "storage.noout"));
    assert_eq!(sim.stay(host(1)).marks.noout, Mark::About);
    // The job is out; the stay is told to end. Whatever becomes of the job, the flag is taken back.
    sim.tell(host(1), ToStay::End(Leave::Exit));
    sim.run();
    assert_eq!(sim.stage(host(1)), Stage::Skipped);
    assert!(sim.world.flags.is_empty());
    assert_eq!(sim.times(host(1), "ceph_noout"), 2);
    assert_eq!(sim.times(host(1), "ceph_daemons"), 0, "nothing was stopped, nothing is started");
}

#[test]
fn spec_9_19_a_stop_that_goes_wrong_is_undone_at_once() {
    let mut sim = Sim::new();
    let order = sim.order(host(1), &[("dummy", json!({}))], quick());
    sim.begin(order);
    sim.until(|sim| sim.at_entry(host(1), "storage.settle"));
    // Somebody pulls a plug elsewhere at the same time.
    sim.world.down.insert(4);
    sim.until(|sim| sim.at_entry(host(1), "leave."));
    sim.world.down.remove(&4);
    sim.run();
    assert_eq!(failure(&sim).code, "ceph.stop_unsafe");
    assert!(sim.world.down.is_empty() && sim.world.flags.is_empty() && sim.lock.is_none());
    assert!(sim.service[&host(1)].is_some(), "the host stays fenced until somebody decides");
    assert_eq!(sim.times(host(1), "dummy"), 0);
}

#[test]
fn spec_9_20_two_stays_of_one_cluster_never_have_the_storage_together() {
    let mut sim = Sim::new();
    for n in [1, 2, 3] {
        let order = sim.order(host(n), &[("dummy", json!({}))], quick());
        sim.begin(order);
    }
    sim.run();
    for n in [1, 2, 3] {
        assert_eq!(sim.stage(host(n)), Stage::Done);
    }
    assert_eq!(sim.world.worst, 1, "two hosts were down at once");
    assert!(sim.phases.iter().any(|(_, phase, _)| *phase == "waiting_storage" || *phase == "waiting_health"));
}

#[test]
fn a_closed_gate_says_why_and_how_healing_comes_along() {
    let mut sim = Sim::new();
    sim.world.checks.push(CephCheck {
        code: "SLOW_OPS".into(),
        severity: "HEALTH_WARN".into(),
        message: "3 slow ops".into(),
        ..CephCheck::default()
    });
    let order = sim.order(host(1), &[], quick());
    sim.begin(order);
    sim.until(|sim| sim.phases.iter().any(|(_, _, text)| text.is_some()));
    let (_, phase, text) = sim.phases.last().unwrap();
    assert_eq!(*phase, "waiting_health");
    assert_eq!(text.as_deref(), Some("3 slow ops (SLOW_OPS)"));
    sim.world.checks.clear();
    let since = sim.now;
    sim.until(|sim| sim.ended.iter().any(|(_, key, _)| key == "health"));
    assert!(sim.now.since(since) >= Duration::from_secs(60), "it must hold for a minute");
    sim.run();
    assert_eq!(sim.stage(host(1)), Stage::Done);
}

#[test]
fn an_agent_that_is_away_is_waited_for_but_not_for_ever() {
    let mut sim = Sim::new();
    let order = sim.order(host(1), &[("dummy", json!({}))], quick());
    sim.connect(host(1), false);
    sim.begin(order.clone());
    sim.run();
    assert_eq!(failure(&sim).code, "agent.away");
    sim.begin(order);
    let since = sim.now;
    sim.until(|sim| sim.now.since(since) >= Duration::from_secs(120));
    sim.connect(host(1), true);
    sim.run();
    assert_eq!(sim.stage(host(1)), Stage::Done);
}

#[test]
fn questions_to_the_cluster_go_through_another_host_while_the_daemons_are_stopped() {
    let mut sim = Sim::new();
    let order = sim.order(host(1), &[("wait", json!({"seconds": 5}))], quick());
    sim.begin(order);
    sim.until(|sim| sim.at_entry(host(1), "storage.settle"));
    let before = (sim.times(host(1), "ceph_sample"), sim.times(host(2), "ceph_sample"));
    sim.until(|sim| sim.at_entry(host(1), "plugin."));
    assert_eq!(sim.times(host(1), "ceph_sample"), before.0);
    assert!(sim.times(host(2), "ceph_sample") > before.1);
}

#[test]
fn a_pause_lets_the_step_in_flight_end_and_begins_no_other() {
    let mut sim = Sim::new();
    let order = sim.order(host(1), &[("dummy", json!({})), ("dummy", json!({"n": 2}))], quick());
    sim.begin(order);
    sim.until(|sim| sim.at_entry(host(1), "plugin.0"));
    sim.tell(host(1), ToStay::Pause(true));
    for _ in 0..5 {
        sim.step();
    }
    assert_eq!((sim.times(host(1), "dummy"), sim.stay(host(1)).open.is_none()), (1, true));
    assert!(sim.events.iter().any(|(_, event)| event.kind == "maintenance.stalled"), "people are told");
    sim.tell(host(1), ToStay::Pause(false));
    sim.run();
    assert_eq!((sim.stage(host(1)), sim.times(host(1), "dummy")), (Stage::Done, 2));
}

#[test]
fn one_that_failed_while_it_was_to_rest_begins_again() {
    let mut sim = Sim::new();
    sim.world.scripts.insert("tidy".into(), (3, String::new()));
    let order = sim.order(host(1), &[("script", json!({"script": "tidy"}))], quick());
    sim.begin(order.clone());
    sim.until(|sim| sim.at_entry(host(1), "plugin.0"));
    sim.tell(host(1), ToStay::Pause(true));
    sim.until(|sim| sim.stage(host(1)) == Stage::Failed);
    sim.begin(order);
    assert!(!sim.stay(host(1)).paused);
}

#[test]
fn a_host_that_is_held_stays_as_it_is_and_others_may_go_on() {
    let mut sim = Sim::new();
    let order = sim.order(host(1), &[("wait", json!({}))], quick());
    sim.begin(order);
    sim.until(|sim| sim.at_entry(host(1), "plugin.0"));
    assert_eq!(last(&sim), &StayReport::Approve);
    sim.tell(host(1), ToStay::End(Leave::Hold));
    sim.run();
    assert_eq!(last(&sim), &StayReport::Held);
    assert!(sim.lock.is_none() && sim.world.flags.contains_key("ceph1") && sim.service[&host(1)].is_some());
    assert!(sim.events.iter().any(|(_, event)| event.kind == "maintenance.storage_held"));
    // Whoever wants it back gets it back, with all that was changed.
    sim.tell(host(1), ToStay::End(Leave::Exit));
    sim.run();
    assert_eq!(sim.stage(host(1)), Stage::Skipped);
    assert!(sim.world.flags.is_empty() && sim.world.down.is_empty() && sim.service[&host(1)].is_none());
}

#[test]
fn storage_that_is_left_running_is_flagged_all_the_same() {
    let mut sim = Sim::new();
    let storage = Storage { keep_daemons: true, stable_for: Some(0), ..Storage::default() };
    let order = sim.order(host(1), &[("reboot", json!({}))], Policy { storage, ..quick() });
    sim.begin(order);
    sim.run();
    assert_eq!(sim.stage(host(1)), Stage::Done);
    assert_eq!((sim.times(host(1), "ceph_daemons"), sim.times(host(1), "ceph_noout")), (0, 2));
    let ignored = Storage { ignore: true, ..Storage::default() };
    let mut sim = Sim::new();
    let order = sim.order(host(1), &[], Policy { storage: ignored, ..quick() });
    sim.begin(order);
    sim.run();
    assert_eq!(sim.stage(host(1)), Stage::Done);
    assert!(!sim.world.executed.iter().any(|(_, what)| what.starts_with("ceph")));
}

#[test]
fn a_drain_comes_before_the_stop_and_is_given_back() {
    let mut sim = Sim::new();
    let order = sim.order(host(1), &[("dummy", json!({})), ("drain", json!({}))], quick());
    sim.begin(order);
    sim.until(|sim| sim.at_entry(host(1), "storage.stop"));
    assert_eq!(sim.world.out, [0, 1].into());
    sim.run();
    assert_eq!(sim.stage(host(1)), Stage::Done);
    assert!(sim.world.out.is_empty());
    assert_eq!(sim.times(host(1), "ceph_drain") + sim.times(host(2), "ceph_drain"), 2);
}

#[test]
fn an_errand_runs_its_plug_ins_and_touches_nothing_else() {
    let mut sim = Sim::new();
    let mut order = sim.order(host(3), &[("script", json!({"script": "tidy"}))], quick());
    order.errand = true;
    sim.begin(order.clone());
    sim.run();
    assert_eq!(last(&sim), &StayReport::Done { warnings: Vec::new() });
    assert_eq!(sim.world.executed, [(host(3), "script tidy".to_owned())]);
    assert!(sim.service.is_empty() && sim.events.is_empty() && sim.phases.is_empty());
    // The same again says only what came of it; another one runs.
    sim.begin(order.clone());
    sim.run();
    assert_eq!((sim.world.executed.len(), sim.reports.len()), (1, 2));
    order.actions[0].plugin = "dummy".into();
    sim.begin(order);
    sim.run();
    assert_eq!(sim.world.executed.len(), 2);
}

#[test]
fn gates_of_the_policy_are_awaited() {
    let mut sim = Sim::new();
    let gates = vec![Gate::Probe { name: "probe".into() }, Gate::Http { url: "http://ok/".into() }];
    sim.world.scripts.insert("probe".into(), (1, String::new()));
    let order = sim.order(host(1), &[], Policy { gates, ..quick() });
    sim.begin(order);
    sim.until(|sim| sim.times(host(3), "script probe") == 2);
    sim.world.scripts.insert("probe".into(), (0, String::new()));
    sim.until(|sim| sim.at_entry(host(1), "gate.1"));
    assert_eq!(sim.stay(host(1)).urls(), ["http://ok/"]);
    let at = sim.now.after(Duration::from_secs(20));
    sim.facts.urls.insert("http://ok/".into(), super::UrlAnswer { at, status: Ok(200) });
    sim.run();
    assert_eq!(sim.stage(host(1)), Stage::Done);
    assert_eq!(sim.stay(host(1)).scripts(), ["probe"]);
}

#[test]
fn a_host_that_takes_too_long_fails_after_the_step_in_flight() {
    let mut sim = Sim::new();
    let policy = Policy { host_timeout: 600, ..quick() };
    let order = sim.order(host(1), &[("wait", json!({"seconds": 3600}))], policy);
    sim.begin(order);
    sim.run();
    assert_eq!(failure(&sim).code, "host.timeout");
    sim.tell(host(1), ToStay::Skip);
    sim.run();
    assert_eq!(sim.stage(host(1)), Stage::Skipped);
}
