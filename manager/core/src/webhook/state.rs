//! What a webhook is and where it stands.

use std::time::Duration;

use hostler_common::id::{EventNumber, SessionId, WebhookId};
use hostler_common::time::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::event::Filter;
use crate::maintenance::notice::Audience;

/// How an event is written into the body of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// CloudEvents 1.0, structured mode.
    #[default]
    Cloudevents,
    /// CloudEvents 1.0, binary mode: attributes are headers, the body is the particulars.
    CloudeventsBinary,
    /// As the native API shows it.
    Native,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 3] = [Self::Cloudevents, Self::CloudeventsBinary, Self::Native];

    /// The stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cloudevents => "cloudevents",
            Self::CloudeventsBinary => "cloudevents-binary",
            Self::Native => "native",
        }
    }

    /// The format of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }
}

/// What is done with an event that cannot be delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnExhausted {
    /// It becomes a dead letter, and the next one is delivered.
    #[default]
    DeadLetter,
    /// The webhook is switched off; that event is the first when it is switched on again.
    Stop,
}

impl OnExhausted {
    /// Both.
    pub const ALL: [Self; 2] = [Self::DeadLetter, Self::Stop];

    /// The stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::DeadLetter => "dead-letter",
            Self::Stop => "stop",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }
}

/// How fast the pauses grow in which a receiver that fails is left alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pace {
    /// They double, up to ten minutes.
    #[default]
    Quick,
    /// They grow threefold, up to an hour: it is reached with the eighth.
    Long,
}

/// How long it is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// How long a receiver may fail without a break until events are given up. From then on each further event is tried
    /// once, until one succeeds.
    pub retry_for: Duration,
    /// How often one event is tried at the most; `None` means that only the time counts.
    pub max_attempts: Option<u32>,
    /// What is done then.
    pub on_exhausted: OnExhausted,
    /// How fast pauses grow.
    #[serde(default)]
    pub pace: Pace,
    /// How long a receiver may fail without a break until the webhook is switched off, whatever becomes of single events.
    #[serde(default)]
    pub off_after: Option<Duration>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            retry_for: Duration::from_secs(86_400),
            max_attempts: None,
            on_exhausted: OnExhausted::default(),
            pace: Pace::default(),
            off_after: None,
        }
    }
}

impl Policy {
    /// That of subscriptions to maintenance (spec/maintenance.md §4.6): eight repetitions with pauses up to an hour, then the
    /// event is a dead letter; after a day without a success nothing is tried any more.
    #[must_use]
    pub fn of_subscriptions() -> Self {
        let day = Duration::from_secs(86_400);
        Self {
            retry_for: day,
            max_attempts: Some(9),
            on_exhausted: OnExhausted::DeadLetter,
            pace: Pace::Long,
            off_after: Some(day),
        }
    }
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// For people.
    pub name: String,
    /// Where events go; checked before it comes here.
    pub url: String,
    /// Which events.
    pub filter: Filter,
    /// How they are written.
    pub format: Format,
    /// How long it is tried.
    pub policy: Policy,
    /// Whom it tells of maintenance, if it is a subscription to that. Then it is told of nothing else, and in that form.
    #[serde(default)]
    pub audience: Option<Box<Audience>>,
}

/// Whether anything is delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nobody made it yet.
    Fresh,
    /// It delivers, or waits for events.
    Active,
    /// It is switched off; events wait.
    Off(Off),
    /// It is removed.
    Gone,
}

/// Why a webhook is switched off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Off {
    /// Somebody asked for that.
    Asked,
    /// An event could not be delivered, and the policy says so.
    Exhausted,
    /// The receiver answered 410: it does not want to be told any more.
    Gone,
}

impl Off {
    /// The stable name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Exhausted => "exhausted",
            Self::Gone => "receiver-gone",
        }
    }
}

/// A secret, encrypted; this crate never sees its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// The encrypted value.
    pub value: String,
    /// When it counts no more; `None` for the newest.
    pub until: Option<Timestamp>,
}

/// Who delivers, and until when nobody else may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Names this claim.
    pub id: Uuid,
    /// Without a result until then, whoever claimed is taken for dead.
    pub until: Timestamp,
}

/// An event on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sending {
    /// Which.
    pub event: EventNumber,
    /// Whether it is a dead letter that is tried once more.
    pub replay: bool,
    /// How often it failed so far.
    pub failed: u32,
    /// Who delivers it now.
    pub claim: Option<Claim>,
}

/// The last event that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Success {
    /// When.
    pub at: Timestamp,
    /// Which.
    pub event: EventNumber,
    /// The status of the answer.
    pub status: u16,
}

/// The last attempt that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// When.
    pub at: Timestamp,
    /// Which event.
    pub event: EventNumber,
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
    /// Why.
    pub reason: String,
}

/// A webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// Its number.
    pub id: WebhookId,
    /// Whether anything is delivered.
    pub phase: Phase,
    /// What is asked for.
    pub spec: Spec,
    /// Secrets that sign, the newest first; at most two.
    pub secrets: Vec<Sealed>,
    /// Rises when other events are wanted: what was looked up before counts no more.
    pub generation: u32,
    /// The last event that needs nothing more: delivered, given up or not wanted.
    pub cursor: EventNumber,
    /// The event on its way.
    pub sending: Option<Sending>,
    /// Dead letters that are to be tried once more, before anything else.
    pub replays: Vec<EventNumber>,
    /// How many attempts failed since the last one that did not.
    pub failures: u32,
    /// Since when every attempt fails.
    pub failing_since: Option<Timestamp>,
    /// No attempt before that moment.
    pub not_before: Option<Timestamp>,
    /// Whether an event was given up since the last success.
    pub burying: bool,
    /// How many events were delivered.
    pub delivered: u64,
    /// How many events were given up.
    pub buried: u64,
    /// The last success.
    pub last_success: Option<Success>,
    /// The last failure.
    pub last_failure: Option<Failure>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
}

impl Webhook {
    /// One that nobody made yet.
    #[must_use]
    pub fn fresh(id: WebhookId) -> Self {
        let spec = Spec {
            name: String::new(),
            url: String::new(),
            filter: Filter::default(),
            format: Format::default(),
            policy: Policy::default(),
            audience: None,
        };
        Self {
            id,
            phase: Phase::Fresh,
            spec,
            secrets: Vec::new(),
            generation: 0,
            cursor: EventNumber(0),
            sending: None,
            replays: Vec::new(),
            failures: 0,
            failing_since: None,
            not_before: None,
            burying: false,
            delivered: 0,
            buried: 0,
            last_success: None,
            last_failure: None,
            created_at: Timestamp::from_micros(0),
            created_by: String::new(),
        }
    }

    /// Secrets that sign at `now`, the newest first.
    pub fn valid_secrets(&self, now: Timestamp) -> impl Iterator<Item = &Sealed> {
        self.secrets.iter().filter(move |sealed| sealed.until.is_none_or(|until| until > now))
    }

    /// Whether it wants to be told of an event. Of its own troubles it is not told: that would never end.
    #[must_use]
    pub fn wants(&self, event: &crate::event::Recorded) -> bool {
        let own = event.kind.starts_with("webhook.") && event.subject == self.id.to_string();
        let meant = self.spec.audience.as_ref().is_none_or(|audience| audience.admits(event));
        !own && meant && self.spec.filter.matches(event)
    }

    /// For which project, and for which session alone if not for all, somebody listens because of it.
    #[must_use]
    pub fn listens(&self) -> Option<(&str, Option<SessionId>)> {
        let audience = self.spec.audience.as_ref().filter(|_| self.phase == Phase::Active)?;
        audience.listens()
    }

    /// The earliest moment at which something can be claimed; `None` while it is off, or somebody delivers.
    #[must_use]
    pub fn claimable_at(&self, now: Timestamp) -> Option<Timestamp> {
        if self.phase != Phase::Active {
            return None;
        }
        let held = self.sending.as_ref().and_then(|sending| sending.claim).map(|claim| claim.until);
        let earliest = self.not_before.max(held).unwrap_or(now);
        Some(earliest.max(now))
    }
}
