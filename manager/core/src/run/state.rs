//! What a run remembers.

use std::time::Duration;

use hostler_common::time::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::command::{Command, Word};
use super::spec::Parent;
use super::target::{Counts, TargetState};
use crate::machine::{Input, Question};

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nothing was asked of it yet.
    Fresh,
    /// It waits for its parent to let it begin.
    Held,
    /// Targets begin and end.
    Active,
    /// Somebody asked to end it; no further target begins.
    Cancelling,
    /// Its parent does not need it any more; nothing began.
    Dropped,
    /// It is over.
    Over,
}

impl Phase {
    /// All phases.
    pub const ALL: [Self; 6] = [Self::Fresh, Self::Held, Self::Active, Self::Cancelling, Self::Dropped, Self::Over];

    /// Whether `next` may follow; every phase may follow itself.
    #[must_use]
    pub fn may_become(self, next: Self) -> bool {
        match (self, next) {
            (Self::Fresh, Self::Held | Self::Active)
            | (Self::Held, Self::Active | Self::Cancelling | Self::Dropped)
            | (Self::Active, Self::Cancelling | Self::Over)
            | (Self::Cancelling | Self::Dropped, Self::Over) => true,
            (from, to) => from == to,
        }
    }
}

/// Whether somebody is asked after the first targets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Canary {
    /// Nobody is.
    #[default]
    None,
    /// After so many.
    After(u32),
    /// Now.
    Asked(Question),
}

/// A run. Its counts and the position of the first pending target say the same: targets begin in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Which; also its subject.
    pub id: Uuid,
    /// Where it stands.
    pub phase: Phase,
    /// How many targets are in each state.
    pub counts: Counts,
    /// How many may work at once.
    pub at_once: u32,
    /// How many may fail; `None` means any number.
    pub errors_max: Option<u32>,
    /// How long the script may take.
    pub deadline: Duration,
    /// How long an agent may take to take a job, or where one host of several is wanted, to begin with it.
    pub patience: Duration,
    /// Whether one host is enough.
    pub any_one: bool,
    /// Whether something waits for it.
    pub blocking: bool,
    /// Whether any target was running.
    pub begun: bool,
    /// Whether it was made for a hook.
    pub hook: bool,
    /// When the open targets are looked at next.
    pub check_at: Option<Timestamp>,
    /// Whether the limit of failures was passed.
    pub stopped: bool,
    /// Whether somebody is asked, and what.
    pub canary: Canary,
    /// Who is told of the end.
    pub parent: Option<Parent>,
    /// What people should read besides what the targets say.
    pub note: String,
}

/// How many pending targets are looked at where many may turn out unreachable.
const GLANCE: u32 = 256;

impl Run {
    /// A run of which nothing was asked.
    #[must_use]
    pub fn new(id: Uuid) -> Self {
        Self {
            id,
            phase: Phase::Fresh,
            counts: Counts::default(),
            at_once: 1,
            errors_max: None,
            deadline: Duration::ZERO,
            patience: Duration::ZERO,
            any_one: false,
            blocking: false,
            begun: false,
            hook: false,
            check_at: None,
            stopped: false,
            canary: Canary::None,
            parent: None,
            note: String::new(),
        }
    }

    /// How many targets it has.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.counts.total()
    }

    /// The position of the first target that has not begun.
    #[must_use]
    pub fn next(&self) -> u32 {
        self.total() - self.counts.pending
    }

    /// How many of the next pending targets the decision over `input` may have to know.
    #[must_use]
    pub fn wants(&self, input: &Input<Command>) -> u32 {
        if !matches!(self.phase, Phase::Held | Phase::Active) || self.counts.pending == 0 {
            return 0;
        }
        let free = self.at_once.saturating_sub(self.counts.open());
        let wanted = match input {
            Input::Job(update) if update.state.is_final() => free + 1,
            Input::Job(_) | Input::Command(Command::Cancel | Command::Start(_) | Command::Adopt(_)) => 0,
            Input::Timer(_) | Input::Command(Command::Answer { .. }) => free.max(self.at_once),
            Input::Message(body) => match serde_json::from_value(body.clone()) {
                Ok(Word::Begin) => free,
                Ok(Word::GoOn) => free.max(GLANCE),
                Ok(Word::Start(_) | Word::Conclude | Word::Drop { .. } | Word::Cancel) | Err(_) => 0,
            },
        };
        wanted.min(self.counts.pending)
    }

    /// Moves one target from a state to another.
    pub(super) fn move_one(&mut self, from: TargetState, to: TargetState) {
        let count = self.counts.of_mut(from);
        *count = count.saturating_sub(1);
        *self.counts.of_mut(to) += 1;
    }
}
