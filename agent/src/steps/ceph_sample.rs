//! One reading of the cluster's health (spec/maintenance.md §8.4). It says what is, and judges nothing: that is for the manager.

use hostler_common::step::StepResult;
use hostler_common::step::maintenance::{CephCheck, CephSample, CephSampleRequest};
use hostler_common::text::clip;
use hostler_common::time::Timestamp;
use serde_json::{Value, json};

use super::{Context, Failure, asked};
use crate::ceph::{CephClient, Error, parse};

/// The check that says that there are crashes which nobody has looked at.
const CRASHED: &str = "RECENT_CRASH";
/// The most lines of a check's detail that are kept, and the most bytes of one.
const DETAIL_MAX: usize = 20;
const LINE_MAX: usize = 512;

/// Reads it.
///
/// # Errors
/// One of the questions has no answer: then nothing is known, and nothing is told.
pub fn run(step: &CephSampleRequest, context: &Context) -> Result<StepResult, Failure> {
    let mut client = context.client();
    let sample = asked(read(client.as_mut(), &step.osds))?;
    let detail = format!(
        "{}, {} of {} OSDs up, {} placement groups",
        sample.health, sample.num_up_osds, sample.num_osds, sample.num_pgs
    );
    Ok(StepResult { changed: false, before: Value::Null, after: json!(sample), detail })
}

/// The answers that a sample is made of.
struct Answers {
    status: Value,
    health: Value,
    dump: Value,
    managers: Value,
    quorum: Value,
    crashes: Value,
}

/// Asks and reads.
pub(super) fn read(client: &mut dyn CephClient, osds: &[i64]) -> Result<CephSample, Error> {
    let mut ask = |prefix: &str| client.ask(&json!({"prefix": prefix, "format": "json"}));
    let (status, dump, managers) = (ask("status")?, ask("osd dump")?, ask("mgr dump")?);
    let quorum = ask("quorum_status")?;
    let health = client.ask(&json!({"prefix": "health", "detail": "detail", "format": "json"}))?;
    let crashes = match health["checks"].get(CRASHED) {
        Some(_) => client.ask(&json!({"prefix": "crash ls-new", "format": "json"}))?,
        None => Value::Null,
    };
    sample(&Answers { status, health, dump, managers, quorum, crashes }, osds)
}

fn sample(answers: &Answers, osds: &[i64]) -> Result<CephSample, Error> {
    let missing = |what: &str| Error::Unreadable(format!("there is no {what} in it"));
    let (osdmap, pgmap) = (&answers.status["osdmap"], &answers.status["pgmap"]);
    // Older releases have one more of it inside.
    let osdmap = osdmap.get("osdmap").unwrap_or(osdmap);
    let number = |from: &Value, what: &str| from[what].as_u64().ok_or_else(|| missing(what));
    let map = parse::osd_map(&answers.dump);
    let of = |osd: i64| map.osds.iter().find(|other| other.id == osd);
    // One that is not in the map is neither up nor in.
    let without = |holds: fn(&parse::Osd) -> bool| -> Vec<i64> {
        osds.iter().copied().filter(|osd| !of(*osd).is_some_and(holds)).collect()
    };
    let health = answers.health["status"].as_str().ok_or_else(|| missing("status"))?.to_owned();
    let states = pgmap["pgs_by_state"].as_array().into_iter().flatten();
    Ok(CephSample {
        health,
        checks: checks(&answers.health),
        pgs: states
            .filter_map(|state| Some((state["state_name"].as_str()?.to_owned(), state["count"].as_u64()?)))
            .collect(),
        num_pgs: number(pgmap, "num_pgs")?,
        degraded_ppm: millionths(&pgmap["degraded_ratio"]),
        misplaced_ppm: millionths(&pgmap["misplaced_ratio"]),
        inactive_ppm: millionths(&pgmap["inactive_pgs_ratio"]),
        unknown_ppm: millionths(&pgmap["unknown_pgs_ratio"]),
        num_osds: number(osdmap, "num_osds")?,
        num_up_osds: number(osdmap, "num_up_osds")?,
        num_in_osds: number(osdmap, "num_in_osds")?,
        down: without(|osd| osd.up),
        out: without(|osd| osd.r#in),
        all_down_or_out: map.osds.iter().filter(|osd| !osd.up || !osd.r#in).map(|osd| osd.id).collect(),
        mons: parse::names(&answers.quorum["monmap"]["mons"]),
        quorum: parse::names(&answers.quorum["quorum_names"]),
        mgr_available: answers.managers["available"].as_bool().unwrap_or(false),
        mgr_active: answers.managers["active_name"].as_str().unwrap_or_default().to_owned(),
        mgr_standbys: parse::names(&answers.managers["standbys"]),
        node_flags: parse::node_flags(&answers.dump),
        flags: map.flags,
        recovering: pgmap["recovering_bytes_per_sec"].as_u64().unwrap_or(0),
        crashes: parse::names_at(&answers.crashes, "timestamp").iter().filter_map(|time| micros(time)).collect(),
    })
}

fn checks(health: &Value) -> Vec<CephCheck> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let checks = health["checks"].as_object().into_iter().flatten();
    let check = |(code, check): (&String, &Value)| {
        let lines = check["detail"].as_array().into_iter().flatten();
        let lines = lines.filter_map(|line| line["message"].as_str()).take(DETAIL_MAX);
        CephCheck {
            code: code.clone(),
            severity: text(&check["severity"]),
            message: clip(&text(&check["summary"]["message"]), LINE_MAX).to_owned(),
            detail: lines.map(|line| clip(line, LINE_MAX).to_owned()).collect(),
            muted: check["muted"].as_bool().unwrap_or(false),
        }
    };
    checks.map(check).collect()
}

/// A share of one in millionths, rounded up: what is not nothing must not become nothing.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 0 and 1000000")]
fn millionths(ratio: &Value) -> u64 {
    (ratio.as_f64().unwrap_or(0.0).clamp(0.0, 1.0) * 1e6).ceil() as u64
}

/// The moment of a crash: `2026-11-21T12:19:40.496789Z`, with a blank for the `T` in older releases.
fn micros(time: &str) -> Option<i64> {
    time.replacen(' ', "T", 1).parse::<Timestamp>().ok().map(Timestamp::as_micros)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::fixture::recorded;

    fn answers(status: &str, health: &str, dump: &str) -> Answers {
        Answers {
            status: recorded(status),
            health: recorded(health),
            dump: recorded(dump),
            managers: recorded("mgr_dump"),
            quorum: recorded("quorum"),
            crashes: Value::Null,
        }
    }

    #[test]
    fn a_healthy_cluster_with_a_flag_on_a_host() {
        let found = sample(&answers("status", "health", "osd_dump"), &[0, 7]).unwrap();
        assert_eq!((found.health.as_str(), found.num_pgs, found.degraded_ppm), ("HEALTH_WARN", 17, 0));
        assert_eq!(found.pgs, [("active+clean".to_owned(), 17)].into());
        assert_eq!((found.num_osds, found.num_up_osds, found.num_in_osds), (3, 3, 3));
        assert_eq!((found.down, found.out, found.all_down_or_out), (vec![7], vec![7], vec![]));
        assert_eq!((found.mons.join(","), found.quorum.join(",")), ("a,b,c".into(), "a,b,c".into()));
        assert_eq!((found.mgr_active.as_str(), found.mgr_standbys, found.mgr_available), ("y", vec!["x".into()], true));
        assert_eq!(found.node_flags, [("host2".to_owned(), vec!["noout".to_owned()])].into());
        assert!(found.flags.contains(&"sortbitwise".to_owned()), "{:?}", found.flags);
        assert_eq!((found.checks[0].code.as_str(), found.checks.len()), ("OSD_FLAGS", 1));
    }

    #[test]
    fn a_cluster_with_an_osd_down() {
        let found = sample(&answers("down_status", "down_health", "down_dump"), &[1, 2]).unwrap();
        assert_eq!((found.num_up_osds, found.num_in_osds, found.degraded_ppm), (2, 3, 333_334));
        assert_eq!((found.down, found.out, found.all_down_or_out), (vec![2], vec![], vec![2]));
        let down = found.checks.iter().find(|check| check.code == "OSD_DOWN").unwrap();
        assert_eq!((down.severity.as_str(), down.message.as_str()), ("HEALTH_WARN", "1 osds down"));
        assert_eq!(down.detail, ["osd.2 (root=default,host=host3) is down"]);
    }

    #[test]
    fn what_is_no_answer_is_no_sample() {
        let mut broken = answers("status", "health", "osd_dump");
        broken.status = json!({"osdmap": {}});
        assert!(matches!(sample(&broken, &[]), Err(Error::Unreadable(_))));
    }

    #[test]
    fn moments_of_crashes_and_shares() {
        let at = Some(1_795_263_580_496_789);
        assert_eq!(micros("2026-11-21T12:19:40.496789Z"), at);
        assert_eq!(micros("2026-11-21 12:19:40.496789Z"), at);
        assert_eq!(micros("yesterday"), None);
        assert_eq!((millionths(&json!(1e-9)), millionths(&Value::Null)), (1, 0));
    }
}
