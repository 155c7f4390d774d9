//! Settings of a cluster that operators change (spec/hooks.md §4.2), as the cluster says them.

use hostler_common::cluster::{FilesystemSettings, Settings};
use hostler_common::step::{FullRatios, RecoverySpeed};
use serde_json::{Value, json};

use super::{CephClient, Error};

/// The option by which the speed of recovery is known. Releases whose OSDs do not obey it keep it all the same.
pub const PROFILE: &str = "osd_mclock_profile";

/// The bit of a file system's flags that lets standby metadata servers follow the active ones.
const STANDBY_REPLAY: u64 = 1 << 5;

/// Asks for all of them.
///
/// # Errors
/// See [`Error`].
pub fn settings(client: &mut dyn CephClient) -> Result<Settings, Error> {
    let mut ask = |prefix: &str| client.ask(&json!({"prefix": prefix, "format": "json"}));
    Ok(read(&ask("osd dump")?, &ask("fs dump")?, &ask("config dump")?))
}

/// What the answers to `osd dump`, `fs dump` and `config dump` say.
fn read(osds: &Value, filesystems: &Value, config: &Value) -> Settings {
    let filesystems = filesystems["filesystems"].as_array().into_iter().flatten().filter_map(|filesystem| {
        let map = &filesystem["mdsmap"];
        let allow = map["flags"].as_u64().unwrap_or(0) & STANDBY_REPLAY != 0;
        let max_mds = u32::try_from(map["max_mds"].as_u64()?).ok()?;
        Some((map["fs_name"].as_str()?.to_owned(), FilesystemSettings { max_mds, allow_standby_replay: allow }))
    });
    let profile = config.as_array().into_iter().flatten().find(|option| {
        option["section"] == "osd" && option["name"] == PROFILE && option["mask"].as_str().unwrap_or("").is_empty()
    });
    Settings {
        recovery_speed: match profile.and_then(|option| option["value"].as_str()) {
            None | Some("balanced") => Some(RecoverySpeed::Balanced),
            Some("high_client_ops") => Some(RecoverySpeed::Slow),
            Some("high_recovery_ops") => Some(RecoverySpeed::Fast),
            Some(_) => None,
        },
        full_ratios: FullRatios {
            nearfull: ratio(&osds["nearfull_ratio"]),
            backfillfull: ratio(&osds["backfillfull_ratio"]),
            full: ratio(&osds["full_ratio"]),
        },
        min_compat_client: osds["require_min_compat_client"].as_str().unwrap_or_default().to_owned(),
        filesystems: filesystems.collect(),
    }
}

/// A ratio in ten-thousandths. Ceph keeps four bytes of it and says 0.949999988079071.
fn ratio(value: &Value) -> Option<u32> {
    let scaled = (value.as_f64()? * 10_000.0).round();
    // Between 0 and 10,000 nothing is lost.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    (0.0..=10_000.0).contains(&scaled).then_some(scaled as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let osds = json!({"full_ratio": 0.949_999_988_079_071, "backfillfull_ratio": 0.899_999_976_158_142_1,
            "nearfull_ratio": 0.850_000_023_841_857_9, "require_min_compat_client": "luminous"});
        let fs = json!({"filesystems": [
            {"id": 1, "mdsmap": {"fs_name": "a", "max_mds": 2, "flags": 50}},
            {"id": 2, "mdsmap": {"fs_name": "b", "max_mds": 1, "flags": 18}},
        ]});
        let option = |section: &str, mask: &str, value: &str| json!({"section": section, "mask": mask, "name": PROFILE, "value": value});
        let speed = |config: Value| read(&osds, &fs, &config).recovery_speed;
        let settings = read(&osds, &fs, &json!([]));
        let ratios = FullRatios { nearfull: Some(8500), backfillfull: Some(9000), full: Some(9500) };
        assert_eq!((settings.full_ratios, settings.min_compat_client.as_str()), (ratios, "luminous"));
        assert_eq!(settings.filesystems["a"], FilesystemSettings { max_mds: 2, allow_standby_replay: true });
        assert_eq!(settings.filesystems["b"], FilesystemSettings { max_mds: 1, allow_standby_replay: false });
        assert_eq!(settings.recovery_speed, Some(RecoverySpeed::Balanced));
        assert_eq!(speed(json!([option("osd", "", "high_recovery_ops")])), Some(RecoverySpeed::Fast));
        assert_eq!(speed(json!([option("osd", "", "custom")])), None);
        let elsewhere = json!([option("mon", "", "custom"), option("osd", "host:a", "custom")]);
        assert_eq!(speed(elsewhere), Some(RecoverySpeed::Balanced));
        assert_eq!(read(&Value::Null, &Value::Null, &Value::Null).full_ratios, FullRatios::default());
    }
}
