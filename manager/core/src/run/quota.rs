//! Numbers of hosts that are given as such or as a share of all: `50`, `10%`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A number of hosts, or a share of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Quota {
    /// So many.
    Count(u32),
    /// So many of a hundred, at most 100.
    Percent(u8),
}

/// A text is no quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a number such as 50 or a share such as 10%")]
pub struct NoQuota;

impl Quota {
    /// How many of `total` hosts may work at once: a share is rounded up, and it is never none.
    #[must_use]
    pub fn at_once(self, total: u32) -> u32 {
        match self {
            Self::Count(count) => count.max(1),
            Self::Percent(share) => {
                u32::try_from((u64::from(total) * u64::from(share)).div_ceil(100)).unwrap_or(u32::MAX).max(1)
            }
        }
    }

    /// How many of `total` hosts may fail: one more stops the run. A share is rounded down.
    #[must_use]
    pub fn errors(self, total: u32) -> u32 {
        match self {
            Self::Count(count) => count,
            Self::Percent(share) => u32::try_from(u64::from(total) * u64::from(share) / 100).unwrap_or(u32::MAX),
        }
    }
}

impl FromStr for Quota {
    type Err = NoQuota;

    fn from_str(text: &str) -> Result<Self, NoQuota> {
        let (digits, share) = text.strip_suffix('%').map_or((text, false), |digits| (digits, true));
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NoQuota);
        }
        match share {
            true => digits.parse().ok().filter(|share| *share <= 100).map(Self::Percent).ok_or(NoQuota),
            false => digits.parse().map(Self::Count).map_err(|_| NoQuota),
        }
    }
}

impl TryFrom<String> for Quota {
    type Error = NoQuota;

    fn try_from(text: String) -> Result<Self, NoQuota> {
        text.parse()
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => count.fmt(f),
            Self::Percent(share) => write!(f, "{share}%"),
        }
    }
}

impl From<Quota> for String {
    fn from(quota: Quota) -> Self {
        quota.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_are_numbers_or_shares() {
        for (text, quota, at_once, errors) in [
            ("50", Quota::Count(50), 50, 50),
            ("0", Quota::Count(0), 1, 0),
            ("10%", Quota::Percent(10), 2, 1),
            ("0%", Quota::Percent(0), 1, 0),
            ("100%", Quota::Percent(100), 15, 15),
        ] {
            assert_eq!(text.parse(), Ok(quota));
            assert_eq!(quota.to_string(), text);
            assert_eq!((quota.at_once(15), quota.errors(15)), (at_once, errors), "{text}");
        }
        for bad in ["", "%", "101%", "-1", "+1", "1.5", "10 %", "4294967296", "256%"] {
            assert_eq!(bad.parse::<Quota>(), Err(NoQuota), "{bad}");
        }
    }
}
