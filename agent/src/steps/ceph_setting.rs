//! Changes settings of the cluster, and has OSDs scrubbed (spec/hooks.md §4.2).

use hostler_common::cluster::Settings;
use hostler_common::step::{CephScrub, CephSetting, FullRatios, RecoverySpeed, StepResult};
use serde_json::{Value, json};

use super::{Context, Failure, asked, check_name, ordered};
use crate::ceph::parse;
use crate::ceph::settings::{PROFILE, settings};

/// Options of the speed of recovery besides the profile, for OSDs that do not obey that: how many placement groups an OSD
/// moves at once, and how many objects it restores at once.
const OPTIONS: [&str; 2] = ["osd_max_backfills", "osd_recovery_max_active"];

/// Changes a setting.
///
/// # Errors
/// It cannot be meant; the cluster cannot be asked or refuses.
pub fn run(setting: &CephSetting, context: &Context) -> Result<StepResult, Failure> {
    check(setting)?;
    let mut client = context.client();
    let before = asked(settings(client.as_mut()))?;
    known(setting, &before)?;
    if let CephSetting::FullRatios(wanted) = setting {
        check_order(wanted, &before.full_ratios)?;
    }
    for command in commands(setting) {
        ordered(client.send(&command, b""))?;
    }
    let after = ordered(settings(client.as_mut()))?;
    let changed = before != after;
    let detail = if changed { "the setting was changed" } else { "the setting was so already" };
    let (before, after) = (told(&before)?, told(&after)?);
    Ok(StepResult { changed, before, after, detail: detail.into() })
}

/// Has an OSD scrubbed; does not wait until that has ended, which may be hours.
///
/// # Errors
/// There is no such OSD, or it is down; the cluster cannot be asked or refuses.
pub fn scrub(step: &CephScrub, context: &Context) -> Result<StepResult, Failure> {
    let mut client = context.client();
    let map = parse::osd_map(&asked(client.ask(&json!({"prefix": "osd dump", "format": "json"})))?);
    match map.osds.iter().find(|osd| osd.id == i64::from(step.osd)) {
        None => return Err(Failure::Refused(format!("there is no osd.{}", step.osd))),
        Some(osd) if !osd.up => return Err(Failure::Refused(format!("osd.{} is down", step.osd))),
        Some(_) => {}
    }
    ordered(client.send(&scrub_command(step), b""))?;
    let detail = format!("osd.{} was told to {}", step.osd, if step.deep { "deep-scrub" } else { "scrub" });
    Ok(StepResult { changed: true, detail, ..StepResult::default() })
}

fn told(settings: &Settings) -> Result<Value, Failure> {
    serde_json::to_value(settings).map_err(Failure::broken)
}

/// What can be said against a setting without asking the cluster.
fn check(setting: &CephSetting) -> Result<(), Failure> {
    setting.check().map_err(|fault| Failure::Refused(fault.to_string()))?;
    match setting {
        CephSetting::MaxMds { filesystem, .. } | CephSetting::AllowStandbyReplay { filesystem, .. } => {
            check_name("file system", filesystem)
        }
        _ => Ok(()),
    }
}

/// A file system must be there.
fn known(setting: &CephSetting, settings: &Settings) -> Result<(), Failure> {
    match setting {
        CephSetting::MaxMds { filesystem, .. } | CephSetting::AllowStandbyReplay { filesystem, .. }
            if !settings.filesystems.contains_key(filesystem) =>
        {
            Err(Failure::Refused(format!("there is no file system {filesystem:?}")))
        }
        _ => Ok(()),
    }
}

/// Ratios that are out of order have no meaning; Ceph takes them and complains later.
fn check_order(wanted: &FullRatios, now: &FullRatios) -> Result<(), Failure> {
    let will = [
        wanted.nearfull.or(now.nearfull),
        wanted.backfillfull.or(now.backfillfull),
        wanted.full.or(now.full),
        Some(10_000),
    ];
    let known: Vec<u32> = will.into_iter().flatten().collect();
    if known.first() == Some(&0) || !known.is_sorted() {
        return Err(Failure::Refused("it must be 0 < nearfull <= backfillfull <= full <= 1".into()));
    }
    Ok(())
}

/// The commands that make the change, in their order.
fn commands(setting: &CephSetting) -> Vec<Value> {
    let set_fs =
        |name: &str, var: &str, val: String| json!({"prefix": "fs set", "fs_name": name, "var": var, "val": val});
    match setting {
        CephSetting::RecoverySpeed { speed } => recovery(*speed),
        CephSetting::FullRatios(ratios) => {
            let all = [
                ("osd set-nearfull-ratio", ratios.nearfull),
                ("osd set-backfillfull-ratio", ratios.backfillfull),
                ("osd set-full-ratio", ratios.full),
            ];
            let named = all.into_iter().filter_map(|(prefix, ratio)| Some((prefix, f64::from(ratio?) / 10_000.0)));
            named.map(|(prefix, ratio)| json!({"prefix": prefix, "ratio": ratio})).collect()
        }
        CephSetting::MaxMds { filesystem, max } => vec![set_fs(filesystem, "max_mds", max.to_string())],
        CephSetting::AllowStandbyReplay { filesystem, allow } => {
            vec![set_fs(filesystem, "allow_standby_replay", allow.to_string())]
        }
        CephSetting::MinCompatClient { release } => {
            vec![json!({"prefix": "osd set-require-min-compat-client", "version": release})]
        }
    }
}

fn recovery(speed: RecoverySpeed) -> Vec<Value> {
    let set = |name: &str, value: &str| json!({"prefix": "config set", "who": "osd", "name": name, "value": value});
    let (profile, values) = match speed {
        RecoverySpeed::Slow => ("high_client_ops", Some(["1", "1"])),
        RecoverySpeed::Balanced => ("balanced", None),
        RecoverySpeed::Fast => ("high_recovery_ops", Some(["4", "8"])),
    };
    // Without a value an option is as Ceph has it by itself.
    let rest = OPTIONS.iter().enumerate().map(|(at, name)| match values {
        Some(values) => set(name, values[at]),
        None => json!({"prefix": "config rm", "who": "osd", "name": name}),
    });
    let profile = match speed {
        RecoverySpeed::Balanced => json!({"prefix": "config rm", "who": "osd", "name": PROFILE}),
        RecoverySpeed::Slow | RecoverySpeed::Fast => set(PROFILE, profile),
    };
    std::iter::once(profile).chain(rest).collect()
}

fn scrub_command(step: &CephScrub) -> Value {
    json!({"prefix": if step.deep { "osd deep-scrub" } else { "osd scrub" }, "who": step.osd.to_string()})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_become_commands() {
        let said = |setting: &CephSetting| -> Vec<String> { commands(setting).iter().map(Value::to_string).collect() };
        let ratios = FullRatios { nearfull: Some(8000), full: Some(9650), backfillfull: None };
        assert_eq!(
            said(&CephSetting::FullRatios(ratios)),
            [r#"{"prefix":"osd set-nearfull-ratio","ratio":0.8}"#, r#"{"prefix":"osd set-full-ratio","ratio":0.965}"#]
        );
        assert_eq!(
            said(&CephSetting::MaxMds { filesystem: "fs".into(), max: 2 }),
            [r#"{"prefix":"fs set","fs_name":"fs","var":"max_mds","val":"2"}"#]
        );
        assert_eq!(
            said(&CephSetting::AllowStandbyReplay { filesystem: "fs".into(), allow: true }),
            [r#"{"prefix":"fs set","fs_name":"fs","var":"allow_standby_replay","val":"true"}"#]
        );
        assert_eq!(
            said(&CephSetting::MinCompatClient { release: "mimic".into() }),
            [r#"{"prefix":"osd set-require-min-compat-client","version":"mimic"}"#]
        );
        let speed = |speed| said(&CephSetting::RecoverySpeed { speed });
        assert_eq!(
            speed(RecoverySpeed::Slow),
            [
                r#"{"prefix":"config set","who":"osd","name":"osd_mclock_profile","value":"high_client_ops"}"#,
                r#"{"prefix":"config set","who":"osd","name":"osd_max_backfills","value":"1"}"#,
                r#"{"prefix":"config set","who":"osd","name":"osd_recovery_max_active","value":"1"}"#
            ]
        );
        assert!(speed(RecoverySpeed::Balanced).iter().all(|command| command.contains("config rm")));
        assert!(speed(RecoverySpeed::Fast)[0].contains("high_recovery_ops"));
        let deep = scrub_command(&CephScrub { osd: 3, deep: true });
        assert_eq!(deep.to_string(), r#"{"prefix":"osd deep-scrub","who":"3"}"#);
        assert_eq!(scrub_command(&CephScrub { osd: 0, deep: false })["prefix"], "osd scrub");
    }

    #[test]
    fn settings_that_cannot_be_meant() {
        for bad in [
            CephSetting::FullRatios(FullRatios::default()),
            CephSetting::MaxMds { filesystem: "fs".into(), max: 0 },
            CephSetting::MaxMds { filesystem: "--x".into(), max: 1 },
            CephSetting::MinCompatClient { release: String::new() },
        ] {
            assert!(matches!(check(&bad), Err(Failure::Refused(_))), "{bad:?}");
        }
        let now = FullRatios { nearfull: Some(8500), backfillfull: Some(9000), full: Some(9500) };
        let order = |wanted| check_order(&wanted, &now);
        assert_eq!(order(FullRatios { nearfull: Some(9000), ..FullRatios::default() }), Ok(()));
        assert!(order(FullRatios { nearfull: Some(9001), ..FullRatios::default() }).is_err());
        assert!(order(FullRatios { full: Some(10_001), ..FullRatios::default() }).is_err());
        assert!(order(FullRatios { nearfull: Some(0), ..FullRatios::default() }).is_err());
    }
}
