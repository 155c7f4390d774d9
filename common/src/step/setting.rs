//! Settings of a Ceph cluster (spec/hooks.md §4.2).

use serde::{Deserialize, Serialize};

/// See [`Step::CephSetting`](super::Step::CephSetting).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "setting", rename_all = "snake_case")]
pub enum CephSetting {
    /// How much of the OSDs' work may be recovery.
    RecoverySpeed {
        /// How much.
        speed: RecoverySpeed,
    },
    /// From which fill on OSDs count as nearly full, take no backfill, take no writes.
    FullRatios(FullRatios),
    /// How many metadata servers of a file system are active.
    MaxMds {
        /// The file system.
        filesystem: String,
        /// How many.
        max: u32,
    },
    /// Whether standby metadata servers of a file system follow the active ones.
    AllowStandbyReplay {
        /// The file system.
        filesystem: String,
        /// Whether they do.
        allow: bool,
    },
    /// Which release clients must have at least.
    MinCompatClient {
        /// Its name, such as `luminous`.
        release: String,
    },
}

/// What is wrong with a setting, whatever the cluster is like.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {rule}")]
pub struct SettingFault {
    /// The field of [`CephSetting`].
    pub field: &'static str,
    /// What holds for it.
    pub rule: &'static str,
}

impl CephSetting {
    /// Looks for what can be said against it without asking the cluster.
    ///
    /// # Errors
    /// It cannot be meant.
    pub fn check(&self) -> Result<(), SettingFault> {
        let fault = |field, rule| Err(SettingFault { field, rule });
        match self {
            Self::FullRatios(FullRatios { nearfull: None, backfillfull: None, full: None }) => {
                fault("full", "or another ratio is required")
            }
            Self::MaxMds { max: 0, .. } => fault("max", "must be at least 1"),
            Self::MinCompatClient { release }
                if release.is_empty() || !release.bytes().all(|byte| byte.is_ascii_lowercase()) =>
            {
                fault("release", "must be the name of a release, such as luminous")
            }
            _ => Ok(()),
        }
    }
}

/// How much of the OSDs' work may be recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecoverySpeed {
    /// Clients first.
    Slow,
    /// As Ceph does by itself.
    Balanced,
    /// Recovery first.
    Fast,
}

impl RecoverySpeed {
    /// The stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Balanced => "balanced",
            Self::Fast => "fast",
        }
    }
}

/// Fill ratios of OSDs, in ten-thousandths; `None` means that one is not known, or stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FullRatios {
    /// From here on there is a warning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nearfull: Option<u32>,
    /// From here on an OSD takes no backfill.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backfillfull: Option<u32>,
    /// From here on nothing is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_meant_is_named() {
        let filesystem = || "fs".to_owned();
        let release = |name: &str| CephSetting::MinCompatClient { release: name.into() };
        let full = FullRatios { full: Some(9500), ..FullRatios::default() };
        for good in [
            CephSetting::RecoverySpeed { speed: RecoverySpeed::Fast },
            CephSetting::FullRatios(full),
            CephSetting::MaxMds { filesystem: filesystem(), max: 1 },
            CephSetting::AllowStandbyReplay { filesystem: filesystem(), allow: false },
            release("luminous"),
        ] {
            assert_eq!(good.check(), Ok(()), "{good:?}");
        }
        for (bad, field) in [
            (CephSetting::FullRatios(FullRatios::default()), "full"),
            (CephSetting::MaxMds { filesystem: filesystem(), max: 0 }, "max"),
            (release(""), "release"),
            (release("--x"), "release"),
        ] {
            assert_eq!(bad.check().map_err(|fault| fault.field), Err(field), "{bad:?}");
        }
    }
}
