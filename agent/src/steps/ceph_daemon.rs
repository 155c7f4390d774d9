//! Starts, stops or restarts a Ceph daemon and waits until the cluster agrees (spec/hooks.md §7.2).

use std::path::Path;
use std::time::{Duration, Instant};

use hostler_common::step::{CephDaemon, StepResult, UnitAction};
use serde_json::{Value, json};

use super::{Context, Failure, check_name, unit};
use crate::ceph::{CephClient, Error, parse};

/// How long the cluster has to see what became of the daemon.
const PROOF: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_secs(1);
/// The result, as hooks are told, where the unit runs and the cluster does not see it.
const NOT_IN_MAP: &str = "not_in_map";

/// Does it.
///
/// # Errors
/// There is no systemd or no unit of that daemon; its job failed; it did not stay active.
pub fn run(step: &CephDaemon, context: &Context) -> Result<StepResult, Failure> {
    check_name("daemon", &step.id)?;
    let name = unit_name(Path::new("/var/lib/ceph"), &step.kind, &step.id)?;
    let mut client = context.client();
    // What cannot be known before is no reason not to start a daemon: it may be the one that brings the answers.
    let before = up_from(client.as_mut(), step);
    let mut result = unit::change(&name, step.action)?;
    let again = if result.changed { before } else { None };
    let seen = prove(client.as_mut(), step, again);
    if let Some(reason) = &seen {
        result.detail = format!("{}; the cluster does not agree after {} s: {reason}", result.detail, PROOF.as_secs());
    }
    result.after["result"] = if seen.is_some() { NOT_IN_MAP.into() } else { "ok".into() };
    result.after["type"] = step.kind.clone().into();
    result.after["id"] = step.id.clone().into();
    Ok(result)
}

/// The unit of a daemon: that of cephadm where it has a folder of the cluster, else that of the packages.
pub(super) fn unit_name(root: &Path, kind: &str, id: &str) -> Result<String, Failure> {
    let package = match kind {
        "mon" | "mgr" | "osd" | "mds" => format!("ceph-{kind}@{id}.service"),
        "rgw" => format!("ceph-radosgw@rgw.{id}.service"),
        other => return Err(Failure::Refused(format!("{other:?} is not a kind of daemon: mon, mgr, osd, mds or rgw"))),
    };
    for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
        let Some(fsid) = entry.file_name().into_string().ok().filter(|name| uuid::Uuid::try_parse(name).is_ok()) else {
            continue;
        };
        if entry.path().join(format!("{kind}.{id}")).is_dir() {
            return Ok(format!("ceph-{fsid}@{kind}.{id}.service"));
        }
    }
    Ok(package)
}

/// Waits until the cluster sees the daemon as it should be; answers with the reason where it does not.
fn prove(client: &mut dyn CephClient, step: &CephDaemon, before: Option<u64>) -> Option<String> {
    let end = Instant::now() + PROOF;
    loop {
        let reason = match present(client, step, before) {
            Ok(present) if present != (step.action == UnitAction::Stop) => return None,
            Ok(present) => format!("it is {}in the map", if present { "" } else { "not " }),
            Err(error) => error.to_string(),
        };
        if Instant::now() >= end {
            return Some(reason);
        }
        std::thread::sleep(AGAIN);
    }
}

/// When an OSD last came up, as an epoch.
fn up_from(client: &mut dyn CephClient, step: &CephDaemon) -> Option<u64> {
    let number: i64 = step.id.parse().ok().filter(|_| step.kind == "osd")?;
    let map = parse::osd_map(&client.ask(&json!({"prefix": "osd dump", "format": "json"})).ok()?);
    map.osds.iter().find(|osd| osd.id == number).map(|osd| osd.up_from)
}

/// Whether the cluster sees the daemon. An OSD that was started must have come up after `before`.
fn present(client: &mut dyn CephClient, step: &CephDaemon, before: Option<u64>) -> Result<bool, Error> {
    let mut ask = |prefix: &str| -> Result<Value, Error> { client.ask(&json!({"prefix": prefix, "format": "json"})) };
    Ok(match step.kind.as_str() {
        "mon" => parse::presence::mon(&ask("quorum_status")?, &step.id),
        "mgr" => parse::presence::mgr(&ask("mgr dump")?, &step.id),
        "mds" => parse::presence::mds(&ask("fs dump")?, &step.id),
        "rgw" => parse::presence::rgw(&ask("service dump")?, &step.id),
        _ => {
            let number: Option<i64> = step.id.parse().ok();
            let map = parse::osd_map(&ask("osd dump")?);
            let newer =
                |osd: &&parse::Osd| step.action == UnitAction::Stop || before.is_none_or(|old| osd.up_from > old);
            map.osds.iter().filter(newer).any(|osd| Some(osd.id) == number && osd.up)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ceph::Reply;

    #[test]
    fn units_of_packages_and_containers() {
        let root = tempfile::tempdir().unwrap();
        let name = |kind: &str, id: &str| unit_name(root.path(), kind, id);
        assert_eq!(name("osd", "3").unwrap(), "ceph-osd@3.service");
        assert_eq!(name("rgw", "a").unwrap(), "ceph-radosgw@rgw.a.service");
        let fsid = "6f1d2c3a-0b4e-4a5f-8c6d-7e8f90a1b2c3";
        std::fs::create_dir_all(root.path().join(fsid).join("osd.3")).unwrap();
        assert_eq!(name("osd", "3").unwrap(), format!("ceph-{fsid}@osd.3.service"));
        assert_eq!(name("osd", "4").unwrap(), "ceph-osd@4.service");
        assert!(name("nfs", "a").is_err());
    }

    struct Fixed(Value);

    impl CephClient for Fixed {
        fn send(&mut self, _: &Value, _: &[u8]) -> Result<Reply, Error> {
            Ok(Reply { output: self.0.to_string().into_bytes(), status: String::new() })
        }
    }

    #[test]
    fn an_osd_must_have_come_up_anew() {
        let mut client = Fixed(json!({"osds": [{"osd": 3, "up": 1, "up_from": 40}]}));
        let step = |action| CephDaemon { kind: "osd".into(), id: "3".into(), action };
        assert_eq!(present(&mut client, &step(UnitAction::Restart), Some(40)), Ok(false));
        assert_eq!(present(&mut client, &step(UnitAction::Restart), Some(39)), Ok(true));
        assert_eq!(present(&mut client, &step(UnitAction::Start), None), Ok(true));
        assert_eq!(present(&mut client, &step(UnitAction::Stop), Some(40)), Ok(true));
    }
}
