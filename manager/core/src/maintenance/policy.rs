//! The policy of a session (spec/maintenance.md §3.9): all keys optional, the defaults those of the table there. Durations are
//! whole seconds, as in the request.

mod gate;

use serde::{Deserialize, Serialize};

pub use gate::{Approval, Gate};

/// What a failed host means for the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFail {
    /// The session fails; hosts at work finish, no other begins.
    #[default]
    Stop,
    /// The host is given back if it is healthy and marked as skipped; the session goes on.
    Skip,
    /// The failed step counts as done, and says so.
    Force,
}

/// What becomes of an instance that cannot move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ComputeMode {
    /// The host fails.
    #[default]
    Strict,
    /// Those that cannot be live-migrated stay.
    Ignore,
    /// Those whose migration failed stay, too.
    IgnoreExt,
}

/// What is done for projects that nobody listens for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnmanagedProject {
    /// Their instances move by the default action.
    #[default]
    DefaultAction,
    /// The session fails.
    Fail,
}

/// What a refusal of a project leads to. Tried in the order of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnNack {
    /// It is asked again after the window, up to the number of attempts.
    Retry,
    /// The session fails.
    Fail,
    /// The host is skipped.
    SkipHost,
    /// The host is tried again after all others.
    Defer,
    /// It is done all the same.
    Force,
}

/// What silence leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnNoReply {
    /// The session fails.
    #[default]
    Fail,
    /// The default action is taken.
    DefaultAction,
}

/// What an instance leads to that its owner promised to take away and did not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnOwnActionTimeout {
    /// The host fails.
    #[default]
    Fail,
    /// It is moved all the same.
    ForceMigrate,
}

/// Whether hosts are rebooted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reboot {
    /// Never, whatever plug-ins ask for.
    Never,
    /// If a plug-in or the host itself asks for it.
    #[default]
    IfRequired,
    /// Every host.
    Always,
}

/// A number of hosts, or a share of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "AmountText")]
pub enum Amount {
    /// So many.
    Number(u32),
    /// So many of a hundred.
    Percent(u8),
}

impl Amount {
    /// How many of `total` that is: a share is rounded down, but is never less than one unless it is zero.
    #[must_use]
    pub fn of(self, total: usize) -> usize {
        match self {
            Self::Number(number) => number as usize,
            Self::Percent(0) => 0,
            Self::Percent(share) => (total * usize::from(share) / 100).max(1),
        }
    }
}

impl From<Amount> for String {
    fn from(amount: Amount) -> Self {
        match amount {
            Amount::Number(number) => number.to_string(),
            Amount::Percent(share) => format!("{share}%"),
        }
    }
}

/// How an amount is written: 2, "2" or "10%".
#[derive(Deserialize)]
#[serde(untagged)]
enum AmountText {
    Number(u32),
    Text(String),
}

impl TryFrom<AmountText> for Amount {
    type Error = String;

    fn try_from(text: AmountText) -> Result<Self, String> {
        let text = match text {
            AmountText::Number(number) => return Ok(Self::Number(number)),
            AmountText::Text(text) => text,
        };
        let wrong = || format!("{text:?} is neither a number nor a percentage from 0% to 100%");
        match text.strip_suffix('%') {
            Some(share) => match share.trim().parse::<u8>() {
                Ok(share) if share <= 100 => Ok(Self::Percent(share)),
                _ => Err(wrong()),
            },
            None => text.trim().parse().map(Self::Number).map_err(|_| wrong()),
        }
    }
}

/// When a session may work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// On which days it opens; empty means all.
    #[serde(default)]
    pub days: Vec<Day>,
    /// When it opens, `HH:MM`.
    pub start: String,
    /// When it closes, `HH:MM`; before `start` means the next day. Either this or `duration`.
    #[serde(default)]
    pub end: Option<String>,
    /// How long it is open, in minutes.
    #[serde(default)]
    pub duration: Option<u32>,
    /// The IANA time zone of all that; UTC if it is not given.
    #[serde(default)]
    pub timezone: Option<String>,
    /// What happens to work that is in flight when it closes.
    #[serde(default)]
    pub outside: Outside,
    /// Days on which it does not open, `YYYY-MM-DD`.
    #[serde(default)]
    pub blackout: Vec<String>,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "they are the days")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// What happens to work in flight when the window closes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outside {
    /// The hosts at work are finished.
    #[default]
    FinishHost,
    /// The session pauses after the steps in flight.
    Pause,
}

/// How storage is treated (§8).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Storage {
    /// Whether hosts with Ceph daemons are worked on without any of §8: for rehearsals only.
    pub ignore: bool,
    /// Whether daemons are left running: no stop, no start; for work that does not touch them. Flag and gates hold all the same.
    pub keep_daemons: bool,
    /// Health codes that do not close the gate.
    pub ignorable: Vec<String>,
    /// The largest share of misplaced objects at which a gate is open, in percent; 0 if not given.
    pub max_misplaced: Option<u32>,
    /// For how long health must be good, in seconds; 60 if not given.
    pub stable_for: Option<u32>,
    /// Whether flags of the whole cluster may be set.
    pub allow_cluster_flags: bool,
    /// Whether a host whose CRUSH location and name differ is worked on (§8.1).
    pub confirm_hostname_mismatch: bool,
}

/// The policy of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// What a failed host means for the others.
    pub on_fail: OnFail,
    /// What becomes of an instance that cannot move.
    pub compute_mode: ComputeMode,
    /// How many hosts may fail before the session does.
    pub max_failed_hosts: Amount,
    /// How many hosts are worked on at once; 0 means as many as the rest allows.
    pub max_parallel_hosts: u32,
    /// How many instances of a host move at once.
    pub max_parallel_moves: u32,
    /// How many hosts of one failure domain are worked on at once; hosts without a domain are not limited.
    pub max_parallel_per_domain: u32,
    /// How many hosts of the session may be out of service at once, failed ones included.
    pub max_unavailable: Option<Amount>,
    /// Hosts that are the first landing zone.
    pub spare_hosts: Vec<String>,
    /// The share of capacity that is left free, in percent.
    pub capacity_reserve: u8,
    /// What is done for projects that nobody listens for.
    pub unmanaged_project: UnmanagedProject,
    /// What a refusal leads to.
    pub on_nack: Vec<OnNack>,
    /// What silence leads to.
    pub on_no_reply: OnNoReply,
    /// What an instance leads to that its owner did not take away in time.
    pub on_own_action_timeout: OnOwnActionTimeout,
    /// How long after the moment of action an owner may take for an action of its own.
    pub own_action_grace: u32,
    /// How often a project is asked.
    pub reply_attempts: u32,
    /// How long it has to answer.
    pub reply_window: u32,
    /// How long it has to answer when it is asked to shrink, and at the end.
    pub scale_in_reply_window: u32,
    /// How often projects are asked to shrink.
    pub scale_in_rounds: u32,
    /// When the session may work.
    pub window: Option<Window>,
    /// What must hold before a host is touched.
    pub gates: Vec<Gate>,
    /// How many hosts each batch has; the last is repeated. Empty means no batches.
    pub batch: Vec<Amount>,
    /// How long it rests between batches.
    pub pause_between: u32,
    /// Whether hosts are rebooted.
    pub reboot: Reboot,
    /// How long a move may take.
    pub move_timeout: u32,
    /// How long a plug-in may take.
    pub step_timeout: u32,
    /// How long a gate may stay closed.
    pub gate_timeout: u32,
    /// How long a host may take to come back from its reboot.
    pub reboot_timeout: u32,
    /// How long a host may take in all; 0 means for ever.
    pub host_timeout: u32,
    /// How long a host rests after it is done.
    pub post_host_delay: u32,
    /// How often a failed plug-in is repeated where its manifest does not say.
    pub retries: u32,
    /// Whether scheduling is fenced on all hosts that are not done, rather than on those at work; by workflow if not given.
    pub fence_all: Option<bool>,
    /// Whether a host that somebody else took out of service is an error.
    pub require_enabled: bool,
    /// Whether a project of a finished session that refuses its end, or is silent, makes it fail.
    pub fail_on_incomplete: bool,
    /// How storage is treated.
    pub storage: Storage,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            on_fail: OnFail::default(),
            compute_mode: ComputeMode::default(),
            max_failed_hosts: Amount::Number(0),
            max_parallel_hosts: 1,
            max_parallel_moves: 2,
            max_parallel_per_domain: 1,
            max_unavailable: None,
            spare_hosts: Vec::new(),
            capacity_reserve: 10,
            unmanaged_project: UnmanagedProject::default(),
            on_nack: vec![OnNack::Retry, OnNack::Fail],
            on_no_reply: OnNoReply::default(),
            on_own_action_timeout: OnOwnActionTimeout::default(),
            own_action_grace: 300,
            reply_attempts: 3,
            reply_window: 40,
            scale_in_reply_window: 60,
            scale_in_rounds: 3,
            window: None,
            gates: Vec::new(),
            batch: Vec::new(),
            pause_between: 0,
            reboot: Reboot::default(),
            move_timeout: 900,
            step_timeout: 3600,
            gate_timeout: 6 * 3600,
            reboot_timeout: 1800,
            host_timeout: 0,
            post_host_delay: 0,
            retries: 0,
            fence_all: None,
            require_enabled: false,
            fail_on_incomplete: false,
            storage: Storage::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_numbers_or_shares() {
        let read = |text: &str| serde_json::from_str::<Amount>(text);
        assert_eq!(read("2").unwrap(), Amount::Number(2));
        assert_eq!(read("\"2\"").unwrap(), Amount::Number(2));
        assert_eq!(read("\"10%\"").unwrap(), Amount::Percent(10));
        for wrong in ["\"101%\"", "\"-1\"", "\"x\"", "1.5"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert_eq!((Amount::Percent(10).of(5), Amount::Percent(0).of(5), Amount::Percent(50).of(5)), (1, 0, 2));
    }

    #[test]
    fn an_empty_policy_is_the_default() {
        assert_eq!(serde_json::from_str::<Policy>("{}").unwrap(), Policy::default());
        assert!(serde_json::from_str::<Policy>("{\"on_fial\": \"stop\"}").is_err());
    }
}
