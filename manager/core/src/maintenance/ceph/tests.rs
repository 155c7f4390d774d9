use std::collections::BTreeMap;
use std::time::Duration;

use hostler_common::step::maintenance::{CephCheck, CephHost, CephSample, CephStopAnswer, Daemons};
use hostler_common::time::Timestamp;

use super::admit::{Refused, admit};
use super::gate::{NO_QUORUM, Rules, UNAVAILABLE, judge};
use super::progress::{Healing, in_words as healing_in_words};
use super::stable::Stability;
use super::stop::{Before, Landed, against, landed, not_back, quorum};
use crate::maintenance::policy::Storage;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

/// Three hosts with two OSDs and one monitor each, as `ceph status` of a 16.2.15 cluster says it when nothing is wrong.
fn clean() -> CephSample {
    CephSample {
        health: "HEALTH_OK".into(),
        pgs: BTreeMap::from([("active+clean".into(), 30), ("active+clean+scrubbing+deep".into(), 3)]),
        num_pgs: 33,
        num_osds: 6,
        num_up_osds: 6,
        num_in_osds: 6,
        mons: vec!["a".into(), "b".into(), "c".into()],
        quorum: vec!["a".into(), "b".into(), "c".into()],
        mgr_available: true,
        mgr_active: "x".into(),
        mgr_standbys: vec!["y".into()],
        flags: vec!["sortbitwise".into(), "recovery_deletes".into()],
        ..CephSample::default()
    }
}

fn check(code: &str, severity: &str, message: &str, detail: &[&str]) -> CephCheck {
    CephCheck {
        code: code.into(),
        severity: severity.into(),
        message: message.into(),
        detail: detail.iter().map(|line| (*line).to_owned()).collect(),
        muted: false,
    }
}

fn warned(code: &str) -> CephSample {
    CephSample { health: "HEALTH_WARN".into(), checks: vec![check(code, "HEALTH_WARN", "m", &[])], ..clean() }
}

fn codes(sample: &CephSample, rules: &Rules) -> Vec<String> {
    judge(sample, rules).into_iter().map(|one| one.code).collect()
}

fn with(names: &[&str]) -> std::collections::BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// One of three hosts away: what the cluster says after the second `OSD_DOWN` (lab/ceph.md §3).
fn host_down() -> CephSample {
    CephSample {
        health: "HEALTH_WARN".into(),
        checks: vec![
            check("OSD_DOWN", "HEALTH_WARN", "2 osds down", &["osd.4 (root=default,host=host3) is down"]),
            check("OSD_HOST_DOWN", "HEALTH_WARN", "1 host (2 osds) down", &[]),
            check("PG_DEGRADED", "HEALTH_WARN", "Degraded data redundancy: 20/60 objects degraded (33.333%)", &[]),
        ],
        pgs: BTreeMap::from([("active+undersized+degraded".into(), 33)]),
        degraded_ppm: 333_333,
        num_up_osds: 4,
        all_down_or_out: vec![4, 5],
        ..clean()
    }
}

#[test]
fn a_clean_cluster_opens_the_gate() {
    assert_eq!(codes(&clean(), &Rules::default()), Vec::<String>::new());
}

#[test]
fn what_is_not_known_is_not_good() {
    assert_eq!(codes(&CephSample::default(), &Rules::default()), ["HEALTH_UNKNOWN"]);
    let fewer = CephSample { num_pgs: 40, ..clean() };
    assert_eq!(codes(&fewer, &Rules::default()), [UNAVAILABLE]);
    let uncounted = CephSample { num_up_osds: 5, ..clean() };
    assert_eq!(codes(&uncounted, &Rules::default()), ["OSD_COUNT"]);
}

#[test]
fn spec_9_19_the_second_host_is_refused_while_the_first_is_down() {
    let found = codes(&host_down(), &Rules::default());
    for code in ["OSD_DOWN", "OSD_HOST_DOWN", "PG_DEGRADED", "OSD_AWAY"] {
        assert!(found.iter().any(|one| one == code), "{code} is not in {found:?}");
    }
}

#[test]
fn policy_and_baseline_do_not_open_what_always_blocks() {
    for code in super::gate::BLOCKING {
        let name = with(&[code]);
        let rules = Rules { ignorable: name.clone(), baseline: name.clone(), ..Rules::default() };
        assert_eq!(codes(&warned(code), &rules), [*code]);
        let forced = Rules { forced: name, ..Rules::default() };
        let left = codes(&warned(code), &forced);
        if *code == UNAVAILABLE { assert_eq!(left, [*code]) } else { assert!(left.is_empty(), "{left:?}") }
    }
    assert_eq!(
        codes(&warned("UPGRADE_FAILED_PULL"), &Rules { baseline: with(&["UPGRADE_FAILED_PULL"]), ..Rules::default() })
            .len(),
        1
    );
}

#[test]
fn other_checks_block_unless_they_were_there_before() {
    let sample = warned("POOL_APP_NOT_ENABLED");
    assert_eq!(codes(&sample, &Rules::default()), ["POOL_APP_NOT_ENABLED"]);
    let known = with(&["POOL_APP_NOT_ENABLED"]);
    assert!(codes(&sample, &Rules { baseline: known.clone(), ..Rules::default() }).is_empty());
    assert!(codes(&sample, &Rules { ignorable: known.clone(), ..Rules::default() }).is_empty());
    // As an error it blocks although it was there.
    let mut error = sample;
    error.checks[0].severity = "HEALTH_ERR".into();
    assert_eq!(codes(&error, &Rules { baseline: known, ..Rules::default() }).len(), 1);
    error.checks[0].muted = true;
    assert!(codes(&error, &Rules::default()).is_empty(), "somebody silenced it");
}

#[test]
fn spec_9_19_flags_are_ignored_only_if_they_are_exactly_ours() {
    let flags = |nodes: &[(&str, &[&str])], detail: &[&str]| CephSample {
        health: "HEALTH_WARN".into(),
        checks: vec![check("OSD_FLAGS", "HEALTH_WARN", "1 OSDs or CRUSH {nodes, device-classes} have flags", detail)],
        node_flags: nodes.iter().map(|(n, f)| ((*n).into(), f.iter().map(|f| (*f).into()).collect())).collect(),
        ..clean()
    };
    let ours = Rules { ours: Some("host3".into()), baseline: with(&["OSD_FLAGS"]), ..Rules::default() };
    let open = |sample: &CephSample, rules: &Rules| codes(sample, rules).is_empty();
    assert!(open(&flags(&[("host3", &["noout"])], &["host host3 has flags noout"]), &ours));
    assert!(open(&flags(&[("host3", &["noout"])], &[]), &ours));
    // Of another host, of another kind, of a single OSD, or when we set none.
    assert!(!open(&flags(&[("host2", &["noout"])], &["host host2 has flags noout"]), &ours));
    assert!(!open(&flags(&[("host3", &["noout"]), ("host2", &["noout"])], &[]), &ours));
    assert!(!open(&flags(&[("host3", &["noin", "noout"])], &["host host3 has flags noin,noout"]), &ours));
    assert!(!open(&flags(&[("host3", &["noout"])], &["host host3 has flags noout", "osd.1 has flags noout"]), &ours));
    assert!(!open(&flags(&[("host3", &["noout"])], &["host host3 has flags noout"]), &Rules::default()));
    assert!(!open(&warned("OSDMAP_FLAGS"), &Rules { baseline: with(&["OSDMAP_FLAGS"]), ..ours }));
}

#[test]
fn quorum_that_is_lost_cannot_be_ignored() {
    let everything = with(&[NO_QUORUM, "MON_DOWN", UNAVAILABLE, "PG_DEGRADED"]);
    let rules = Rules { forced: everything.clone(), ignorable: everything, ..Rules::default() };
    let lost = CephSample { quorum: vec!["a".into()], ..clean() };
    assert_eq!(codes(&lost, &rules), [NO_QUORUM]);
    let one_away = CephSample { quorum: vec!["a".into(), "b".into()], ..clean() };
    assert_eq!(codes(&one_away, &Rules::default()), ["MON_DOWN"]);
    assert!(codes(&one_away, &rules).is_empty());
    let inactive = CephSample { inactive_ppm: 1, ..clean() };
    assert_eq!(codes(&inactive, &rules), [UNAVAILABLE]);
    let peering = CephSample { pgs: BTreeMap::from([("peering".into(), 1), ("active+clean".into(), 32)]), ..clean() };
    assert_eq!(codes(&peering, &rules), [UNAVAILABLE]);
}

#[test]
fn misplaced_objects_are_a_matter_of_degree() {
    let moves = CephSample {
        pgs: BTreeMap::from([("active+clean".into(), 31), ("active+remapped+backfilling".into(), 2)]),
        misplaced_ppm: 30_000,
        ..clean()
    };
    assert_eq!(codes(&moves, &Rules::default()), ["OBJECT_MISPLACED"]);
    assert!(codes(&moves, &Rules { misplaced_ppm: 50_000, ..Rules::default() }).is_empty());
    let trims = CephSample { pgs: BTreeMap::from([("active+clean+snaptrim_wait".into(), 33)]), ..clean() };
    assert_eq!(codes(&trims, &Rules::default()), ["PG_SNAPTRIM"]);
    assert!(codes(&trims, &Rules { ignorable: with(&["PG_SNAPTRIM"]), ..Rules::default() }).is_empty());
}

#[test]
fn crashes_from_before_the_session_do_not_count() {
    let crashed = CephSample { crashes: vec![at(50).as_micros()], ..warned("RECENT_CRASH") };
    assert!(codes(&crashed, &Rules { since: at(100), ..Rules::default() }).is_empty());
    assert_eq!(codes(&crashed, &Rules { since: at(10), ..Rules::default() }), ["RECENT_CRASH"]);
}

#[test]
fn all_osds_of_the_host_are_wanted_at_the_exit() {
    let away = CephSample { num_in_osds: 5, out: vec![4], all_down_or_out: vec![4], ..clean() };
    let rules = Rules { away_before: [4].into(), ..Rules::default() };
    assert!(codes(&away, &rules).is_empty(), "it was out before");
    assert_eq!(codes(&away, &Rules { wanted: [4, 5].into(), ..Rules::default() }), ["OSD_NOT_BACK"]);
    let stopped = CephSample { num_up_osds: 5, down: vec![4], all_down_or_out: vec![4], ..clean() };
    assert!(codes(&stopped, &Rules { stopped: [4].into(), ..Rules::default() }).is_empty());
}

#[test]
fn a_gate_must_hold_without_a_break() {
    let mut row = Stability::default();
    row.observe(true, at(0));
    assert!(row.holds(Duration::ZERO) && !row.holds(Duration::from_secs(60)));
    for second in [10, 20, 30, 40, 50] {
        row.observe(true, at(second));
    }
    assert!(!row.holds(Duration::from_secs(60)));
    row.observe(true, at(60));
    assert!(row.holds(Duration::from_secs(60)));
    row.observe(false, at(70));
    assert!(!row.holds(Duration::ZERO));
    row.observe(true, at(80));
    row.observe(true, at(200));
    assert_eq!(row.so_far(), Duration::ZERO, "nobody looked for two minutes");
}

#[test]
fn monitors_are_counted_before_they_stop() {
    assert_eq!([1, 2, 3, 4, 5].map(quorum), [1, 2, 2, 3, 3]);
    let ok = CephStopAnswer { ok: true, ..CephStopAnswer::default() };
    let one = Daemons { osds: vec![0, 1], mons: vec!["a".into()], mgrs: vec!["x".into()], ..Daemons::default() };
    assert_eq!(against(&one, &clean(), &ok), []);
    let said = |daemons: &Daemons, sample: &CephSample, answer: &CephStopAnswer| -> Vec<String> {
        against(daemons, sample, answer).into_iter().map(|one| one.code).collect()
    };
    let two = Daemons { mons: vec!["a".into(), "b".into()], ..one.clone() };
    assert_eq!(said(&two, &clean(), &ok), [NO_QUORUM]);
    let second = CephSample { quorum: vec!["a".into(), "b".into()], ..clean() };
    assert_eq!(said(&one, &second, &ok), [NO_QUORUM], "c is away already");
    let alone = CephSample { mgr_standbys: Vec::new(), ..clean() };
    assert_eq!(said(&one, &alone, &ok), ["MGR_NO_STANDBY"]);
    let no = CephStopAnswer { ok: false, against: vec!["8 PGs would be inactive".into()], with: Vec::new() };
    assert_eq!(against(&one, &clean(), &no)[0].message, "8 PGs would be inactive");
    // The trap of §8.2: a dead OSD may always stop.
    let dead = CephSample { down: vec![1], ..clean() };
    assert_eq!(said(&one, &dead, &ok), ["OSD_DOWN"]);
    let replaced = CephSample { down: vec![1], out: vec![1], ..clean() };
    assert!(said(&one, &replaced, &ok).is_empty(), "a disk that is to be replaced was taken out before");
}

#[test]
fn a_stop_is_judged_by_how_many_went_down() {
    let before = Before::of(&clean(), &[4, 5]);
    assert_eq!(landed(&before, &CephSample { num_up_osds: 4, ..clean() }), Landed::Well);
    assert!(matches!(landed(&before, &CephSample { num_up_osds: 5, ..clean() }), Landed::NotYet(_)));
    assert!(matches!(landed(&before, &CephSample { num_up_osds: 3, ..clean() }), Landed::Badly(_)));
    let unreachable = CephSample { num_up_osds: 4, ..warned(UNAVAILABLE) };
    assert!(matches!(landed(&before, &unreachable), Landed::Badly(_)));
    let partly = Before::of(&CephSample { down: vec![5], num_up_osds: 5, ..clean() }, &[4, 5]);
    assert_eq!(landed(&partly, &CephSample { num_up_osds: 4, ..clean() }), Landed::Well);
}

#[test]
fn what_was_up_must_come_back() {
    let daemons = Daemons { osds: vec![4, 5], mons: vec!["c".into()], ..Daemons::default() };
    let before = Before::of(&clean(), &daemons.osds);
    assert!(not_back(&daemons, &before, &clean()).is_empty());
    let missing = CephSample { down: vec![5], quorum: vec!["a".into(), "b".into()], ..clean() };
    assert_eq!(not_back(&daemons, &before, &missing), ["osd.5 are not up", "monitors c are not in the quorum"]);
}

#[test]
fn spec_9_19_hosts_are_refused_with_the_names_of_tight_pools() {
    let good = CephHost {
        fsid: "f".into(),
        daemons: Daemons { osds: vec![1], ..Daemons::default() },
        bucket: Some("host1".into()),
        ..CephHost::default()
    };
    assert_eq!(admit(&good, &Storage::default()), Ok(()));
    let tight = CephHost { tight_pools: vec!["vms".into(), "images".into()], ..good.clone() };
    let Err(Refused::No("ceph.tight_pools", text)) = admit(&tight, &Storage::default()) else { panic!("not refused") };
    assert!(text.contains("vms, images"), "{text}");
    assert_eq!(admit(&tight, &Storage { keep_daemons: true, ..Storage::default() }), Ok(()));
    let mismatch = CephHost { mismatch: Some("osd.1 is elsewhere".into()), ..good.clone() };
    assert!(matches!(admit(&mismatch, &Storage::default()), Err(Refused::No("crush.hostname_mismatch", _))));
    assert_eq!(admit(&mismatch, &Storage { confirm_hostname_mismatch: true, ..Storage::default() }), Ok(()));
    assert!(matches!(
        admit(&CephHost { upgrading: true, ..good.clone() }, &Storage::default()),
        Err(Refused::Later("ceph.upgrading", _))
    ));
    assert!(matches!(
        admit(&CephHost { bucket: None, ..good }, &Storage::default()),
        Err(Refused::No("crush.no_bucket", _))
    ));
    assert!(matches!(admit(&CephHost::default(), &Storage::default()), Err(Refused::No("ceph.unreadable", _))));
}

#[test]
fn progress_is_told_in_percent_and_minutes() {
    let begun = CephSample { degraded_ppm: 200_000, recovering: 12 << 20, ..clean() };
    let healing = Healing::observe(None, &begun, at(0));
    let now = CephSample { degraded_ppm: 50_000, recovering: 12 << 20, ..clean() };
    let healing = Healing::observe(healing, &now, at(300));
    assert_eq!(
        healing_in_words(healing.as_ref(), &now, at(300)),
        "5.00 % degraded, recovery at 12 MiB/s, about 2 min left"
    );
    assert_eq!(Healing::observe(healing, &clean(), at(400)), None);
    assert_eq!(healing_in_words(None, &clean(), at(0)), "");
}
