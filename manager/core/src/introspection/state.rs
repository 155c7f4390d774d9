//! The states of an introspection and the one table of its legal transitions (spec/introspection.md §2.1).

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where an introspection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It was asked for; the probe is not yet ordered.
    Starting,
    /// The probe is ordered; the agent has not answered yet, or is not connected.
    Waiting,
    /// Data arrived and are stored; hooks and rules are to run over them.
    Processing,
    /// The last run ended as it should.
    Finished,
    /// The last run ended otherwise; the record says why.
    Error,
    /// Hooks and rules are to run over stored data.
    Reapplying,
    /// A new host: its first data are awaited.
    Enrolling,
    /// A cancel was accepted and is being carried out.
    Aborting,
}

impl State {
    /// All states.
    pub const ALL: [Self; 8] = [
        Self::Starting,
        Self::Waiting,
        Self::Processing,
        Self::Finished,
        Self::Error,
        Self::Reapplying,
        Self::Enrolling,
        Self::Aborting,
    ];

    /// The name on the wire and in the store.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Waiting => "waiting",
            Self::Processing => "processing",
            Self::Finished => "finished",
            Self::Error => "error",
            Self::Reapplying => "reapplying",
            Self::Enrolling => "enrolling",
            Self::Aborting => "aborting",
        }
    }

    /// The state of exactly that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether the run is over.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Finished | Self::Error)
    }

    /// The state after `event`.
    ///
    /// # Errors
    /// The pair is not in the table.
    pub fn on(self, event: Event) -> Result<Self, NoTransition> {
        TRANSITIONS
            .iter()
            .find(|(from, known, _)| *from == self && *known == event)
            .map(|(_, _, to)| *to)
            .ok_or(NoTransition { from: self, event })
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What moves an introspection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// Somebody asks for a run.
    Start,
    /// The probe was ordered.
    Wait,
    /// Data arrived.
    Process,
    /// Hooks and rules are done.
    Finish,
    /// Something failed.
    Error,
    /// Somebody asks for hooks and rules over stored data.
    Reapply,
    /// Somebody asks to cancel.
    Abort,
    /// The cancel is carried out.
    AbortEnd,
    /// The state's deadline passed.
    Timeout,
    /// A new host joined; only legal where there is no record yet.
    Enrol,
}

impl Event {
    /// All events.
    pub const ALL: [Self; 10] = [
        Self::Start,
        Self::Wait,
        Self::Process,
        Self::Finish,
        Self::Error,
        Self::Reapply,
        Self::Abort,
        Self::AbortEnd,
        Self::Timeout,
        Self::Enrol,
    ];

    /// The name in error texts.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Wait => "wait",
            Self::Process => "process",
            Self::Finish => "finish",
            Self::Error => "error",
            Self::Reapply => "reapply",
            Self::Abort => "abort",
            Self::AbortEnd => "abort_end",
            Self::Timeout => "timeout",
            Self::Enrol => "enrol",
        }
    }
}

/// Every legal transition. What is not here is refused.
pub const TRANSITIONS: &[(State, Event, State)] = &[
    (State::Starting, Event::Wait, State::Waiting),
    (State::Starting, Event::Error, State::Error),
    (State::Starting, Event::Timeout, State::Error),
    (State::Starting, Event::Abort, State::Aborting),
    (State::Waiting, Event::Process, State::Processing),
    (State::Waiting, Event::Start, State::Starting),
    (State::Waiting, Event::Abort, State::Aborting),
    (State::Waiting, Event::Timeout, State::Error),
    (State::Waiting, Event::Error, State::Error),
    (State::Processing, Event::Finish, State::Finished),
    (State::Processing, Event::Error, State::Error),
    (State::Processing, Event::Timeout, State::Error),
    (State::Processing, Event::Abort, State::Aborting),
    (State::Reapplying, Event::Finish, State::Finished),
    (State::Reapplying, Event::Error, State::Error),
    (State::Reapplying, Event::Reapply, State::Reapplying),
    (State::Reapplying, Event::Timeout, State::Error),
    (State::Reapplying, Event::Abort, State::Aborting),
    (State::Enrolling, Event::Process, State::Processing),
    (State::Enrolling, Event::Error, State::Error),
    (State::Enrolling, Event::Timeout, State::Error),
    (State::Aborting, Event::AbortEnd, State::Error),
    (State::Aborting, Event::Timeout, State::Error),
    (State::Finished, Event::Start, State::Starting),
    (State::Finished, Event::Reapply, State::Reapplying),
    (State::Finished, Event::Finish, State::Finished),
    (State::Error, Event::Start, State::Starting),
    (State::Error, Event::Reapply, State::Reapplying),
    (State::Error, Event::Abort, State::Error),
    (State::Error, Event::Error, State::Error),
];

/// A pair that is not in the table. Its text is part of the dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Can not transition from state '{}' on event '{}' (no defined transition)", .from.name(), .event.name())]
pub struct NoTransition {
    /// The state.
    pub from: State,
    /// The event that is not legal in it.
    pub event: Event,
}

#[cfg(test)]
mod tests;
