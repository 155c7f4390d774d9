//! What counts of a cluster's health, and in which direction two such views differ.

use std::collections::{BTreeMap, BTreeSet};

use hostler_common::cluster::Health;
use hostler_common::hook::HookPoint;
use serde::{Deserialize, Serialize};

/// Counts above this are all the same.
const COUNT_MAX: i64 = 5;

/// The overall status, and the severity of a check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rank {
    /// `HEALTH_OK`.
    #[default]
    Ok,
    /// `HEALTH_WARN`, and whatever a later Ceph may call something that is not OK.
    Warn,
    /// `HEALTH_ERR`.
    Err,
}

impl Rank {
    fn of(name: &str) -> Self {
        match name {
            "HEALTH_OK" => Self::Ok,
            "HEALTH_ERR" => Self::Err,
            _ => Self::Warn,
        }
    }

    /// The name that Ceph gives it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "HEALTH_OK",
            Self::Warn => "HEALTH_WARN",
            Self::Err => "HEALTH_ERR",
        }
    }
}

/// In which direction health moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// For the worse.
    Degrade,
    /// For the better.
    Improve,
    /// To `HEALTH_OK`.
    Recover,
}

impl Direction {
    /// The hook point of that direction.
    #[must_use]
    pub fn point(self) -> HookPoint {
        match self {
            Self::Degrade => HookPoint::OnHealthDegrade,
            Self::Improve => HookPoint::OnHealthImprove,
            Self::Recover => HookPoint::OnHealthRecover,
        }
    }
}

/// What counts of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weight {
    /// How bad.
    pub severity: Rank,
    /// How many, at most 5.
    pub count: i64,
}

/// What counts of a cluster's health.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// The overall status.
    pub status: Rank,
    /// The checks that are neither muted nor ignored, by code.
    pub checks: BTreeMap<String, Weight>,
}

impl View {
    /// What counts of `health`. Ceph itself leaves muted checks out of the status; those that are ignored here are left out
    /// of it, too.
    #[must_use]
    pub fn of(health: &Health, ignored: &BTreeSet<String>) -> Self {
        let active = || health.checks.iter().filter(|(_, check)| !check.muted);
        let checks: BTreeMap<String, Weight> = active()
            .filter(|(code, _)| !ignored.contains(*code))
            .map(|(code, check)| {
                let weight = Weight { severity: Rank::of(&check.severity), count: check.count.min(COUNT_MAX) };
                (code.clone(), weight)
            })
            .collect();
        let status = if active().any(|(code, _)| ignored.contains(code)) {
            checks.values().map(|weight| weight.severity).max().unwrap_or_default()
        } else {
            Rank::of(&health.status)
        };
        Self { status, checks }
    }

    /// The codes that are worse in `later`, and those that are better; one may be both. The overall status takes part as
    /// `status`.
    pub(super) fn differences(&self, later: &Self, status: &str) -> (BTreeSet<String>, BTreeSet<String>) {
        let (mut worse, mut better) = (BTreeSet::new(), BTreeSet::new());
        let codes: BTreeSet<&String> = self.checks.keys().chain(later.checks.keys()).collect();
        for code in codes {
            match (self.checks.get(code), later.checks.get(code)) {
                (Some(before), Some(after)) => {
                    if after.count > before.count || after.severity > before.severity {
                        worse.insert(code.clone());
                    }
                    if after.count < before.count || after.severity < before.severity {
                        better.insert(code.clone());
                    }
                }
                (None, _) => drop(worse.insert(code.clone())),
                (Some(_), None) => drop(better.insert(code.clone())),
            }
        }
        if later.status > self.status {
            worse.insert(status.to_owned());
        }
        if later.status < self.status {
            better.insert(status.to_owned());
        }
        (worse, better)
    }

    /// Takes over from `later` what got worse of some codes, and what got better of others.
    pub(super) fn follow(&mut self, later: &Self, worse: &BTreeSet<String>, better: &BTreeSet<String>, status: &str) {
        for code in worse {
            if let Some(after) = later.checks.get(code) {
                let weight = self.checks.entry(code.clone()).or_insert(*after);
                weight.count = weight.count.max(after.count);
                weight.severity = weight.severity.max(after.severity);
            }
        }
        for code in better {
            match later.checks.get(code) {
                None => drop(self.checks.remove(code)),
                Some(after) => {
                    if let Some(weight) = self.checks.get_mut(code) {
                        weight.count = weight.count.min(after.count);
                        weight.severity = weight.severity.min(after.severity);
                    }
                }
            }
        }
        if worse.contains(status) || better.contains(status) {
            self.status = later.status;
        }
    }
}
