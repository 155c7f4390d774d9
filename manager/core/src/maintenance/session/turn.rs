//! One decision: the document and the rows as they become, and everything that goes out with them.

use std::collections::BTreeMap;
use std::time::Duration;

use hostler_common::id::HostId;
use hostler_common::time::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::document::{Session, Shown, Stage, WAKE};
use super::facts::Facts;
use super::{event, lane};
use crate::machine::{Context, Decision, Effect, Message, Step, StepOutcome, TaskChange};
use crate::maintenance::host::{FleetHost, SessionHost};
use crate::maintenance::instance::SessionInstance;
use crate::maintenance::question::Answer;
use crate::maintenance::row::{StepBegun, StepEnded, StepKind, StepState, Write};
use crate::maintenance::spec::ActionType;
use crate::maintenance::state::{Reason, State};
use crate::maintenance::word::{ToStay, errand_subject, stay_subject};

/// How many warnings a session keeps.
const WARNINGS: usize = 100;

/// How long nothing may change before people are told (§2.6).
const STALL: Duration = Duration::from_secs(30 * 60);

/// When there is more to do at once.
const AGAIN: Duration = Duration::from_millis(1);

/// The kind of the machines that are stays.
pub const STAY: &str = "stay";

/// One decision in the making.
pub struct Turn<'c> {
    /// The session as it becomes.
    pub s: Session,
    /// Its hosts as they become.
    pub rows: Vec<SessionHost>,
    /// Its instances as they become.
    pub instances: BTreeMap<String, SessionInstance>,
    /// What goes out.
    pub out: Out,
    /// The earliest moment at which anything could become due.
    pub wake: Option<Timestamp>,
    /// Whether there is more to do at once, in another decision.
    pub again: bool,
    pub(super) cx: &'c Context<Facts>,
    ids: u32,
}

/// What goes out with a decision.
#[derive(Default)]
pub struct Out {
    pub effects: Vec<Effect>,
    pub writes: Vec<Write>,
    pub steps: Vec<Step>,
    pub events: Vec<crate::machine::Event>,
}

impl<'c> Turn<'c> {
    pub fn new(session: &Session, cx: &'c Context<Facts>) -> Self {
        let instances = cx.facts.instances.iter().map(|one| (one.id.clone(), one.clone())).collect();
        let rows = cx.facts.rows.clone();
        Self { s: session.clone(), rows, instances, out: Out::default(), wake: None, again: false, cx, ids: 0 }
    }

    pub fn now(&self) -> Timestamp {
        self.cx.now
    }

    pub fn facts(&self) -> &'c Facts {
        &self.cx.facts
    }

    pub fn actor(&self) -> &'c str {
        self.cx.actor.as_deref().unwrap_or("nobody")
    }

    pub fn fresh(&mut self) -> Uuid {
        self.ids += 1;
        self.cx.fresh_id(self.ids)
    }

    pub fn row_mut(&mut self, host: HostId) -> Option<&mut SessionHost> {
        self.rows.iter_mut().find(|row| row.host == host)
    }

    pub fn row(&self, host: HostId) -> Option<&SessionHost> {
        self.rows.iter().find(|row| row.host == host)
    }

    pub fn fleet(&self, host: HostId) -> Option<&'c FleetHost> {
        self.facts().fleet.iter().find(|one| one.host == host)
    }

    /// Looks again at that moment, if nothing happens before.
    pub fn wake_at(&mut self, at: Timestamp) {
        self.wake = Some(self.wake.map_or(at, |other| other.min(at)));
    }

    pub fn enter(&mut self, stage: Stage) {
        self.s.stage = stage;
        self.s.since = self.now();
    }

    /// People should know.
    pub fn warn(&mut self, text: String) {
        if self.s.warnings.len() < WARNINGS && !self.s.warnings.contains(&text) {
            self.s.warnings.push(text);
        }
    }

    /// A line of the session's own history.
    pub fn said(&mut self, what: &str, detail: String) {
        self.out.steps.push(Step { what: what.into(), host: None, outcome: StepOutcome::Done, detail });
    }

    pub fn tell_stay(&mut self, host: HostId, word: &ToStay) {
        let message = Message { kind: STAY.into(), subject: stay_subject(self.s.id.0, host), body: json!(word) };
        self.out.effects.push(Effect::Tell(message));
    }

    pub fn tell_errand(&mut self, host: HostId, kind: ActionType, word: &ToStay) {
        let subject = errand_subject(self.s.id.0, host, kind);
        self.out.effects.push(Effect::Tell(Message { kind: STAY.into(), subject, body: json!(word) }));
    }

    pub fn begun(&mut self, step: StepBegun) {
        self.out.writes.push(Write::Begun(Box::new(step)));
    }

    pub fn ended(&mut self, key: Uuid, state: StepState, result: Value, error: Option<Reason>) {
        self.out.writes.push(Write::Ended(Box::new(StepEnded { key, state, result, error })));
    }

    /// A step that begins and ends now.
    pub fn noted(&mut self, kind: StepKind, name: &str, host: Option<HostId>, input: Value) {
        let key = self.fresh();
        let name = name.to_owned();
        self.begun(StepBegun { key, host, instance: None, kind, name, attempt: 1, job: None, input });
        self.ended(key, StepState::Done, Value::Null, None);
    }

    /// The decision: what changed becomes writes, what is waited for a timer.
    pub fn finish(mut self, before: &Session) -> Decision<Session> {
        self.show_percent();
        self.s.state = lane::shown_state(&self.s);
        self.s.phase = self.phase();
        self.show_projects();
        self.announce(before);
        self.stall(before);
        self.set_timer();
        let mut writes = self.row_writes(before);
        // Steps and projects refer to rows: those come first.
        writes.append(&mut self.out.writes);
        let Out { effects, steps, events, .. } = self.out;
        Decision { next: self.s, effects, writes, steps, events }
    }

    fn show_percent(&mut self) {
        let total = self.rows.len();
        let done = self.rows.iter().filter(|row| row.maintained).count();
        let share = (done * 100).checked_div(total).unwrap_or(100).min(100);
        let share = if self.s.stage == Stage::Done { share } else { share.min(99) };
        let share = if total == 0 && self.s.stage != Stage::Done { 0 } else { share };
        self.s.percent = self.s.percent.max(u8::try_from(share).unwrap_or(100));
    }

    /// What each project is shown to have been asked last.
    fn show_projects(&mut self) {
        let known: Vec<String> = self.instances.values().map(|one| one.project.clone()).collect();
        for project in known {
            self.s.projects.entry(project).or_default();
        }
        let facts = self.facts();
        for (project, shown) in &mut self.s.projects {
            shown.subscribed = facts.subscribed.contains(project);
            let mine = || self.s.questions.iter().filter(|question| question.project == *project);
            let Some(last) = mine().max_by_key(|question| question.asked_at) else { continue };
            let state = last.state;
            let same = || mine().filter(|question| question.state == state);
            let name = state.name();
            let text = if same().any(|question| question.answer == Answer::Nack) {
                format!("NACK_{name}")
            } else if same().all(|question| question.answer == Answer::Ack) {
                format!("ACK_{name}")
            } else {
                name.to_owned()
            };
            (shown.state, shown.reply_at) = (Some(text), Some(last.reply_at));
        }
    }

    /// Administrators and followers of the task learn what changed.
    fn announce(&mut self, before: &Session) {
        let maintained = |rows: &[SessionHost]| rows.iter().filter(|row| row.maintained).count();
        let done = maintained(&self.rows);
        let progress = done != maintained(&self.facts().rows);
        if progress {
            let done = u32::try_from(done).unwrap_or(u32::MAX);
            self.out.effects.push(Effect::Task(TaskChange::Progress(done)));
        }
        let fresh = before.stage == Stage::Fresh && self.s.stage != Stage::Fresh;
        let gone = self.s.stage == Stage::Gone;
        let deleted = before.deleted.is_none() && self.s.deleted.is_some();
        let changed = before.state != self.s.state || before.paused != self.s.paused || deleted;
        if (changed || fresh || progress) && !gone {
            self.tell_session(event::SESSION);
        }
        if matches!(self.s.stage, Stage::Pre | Stage::Rolling) && !self.s.running {
            self.s.running = true;
            self.out.effects.push(Effect::Task(TaskChange::Running));
        }
    }

    /// Notices that nothing changes, and sees to it that it is noticed.
    fn stall(&mut self, before: &Session) {
        if self.s.is_over() {
            self.s.stalled = false;
            return;
        }
        let rows_changed = self.rows != self.facts().rows;
        if rows_changed || busy(before) != busy(&self.s) || before.paused != self.s.paused {
            self.s.quiet_since = self.now();
            self.s.stalled = false;
        }
        let waits = self.s.paused || (self.s.stage == Stage::Starting && self.now() < self.s.spec.maintenance_at);
        let stall = self.facts().stall_alert.unwrap_or(STALL);
        let due = self.attended(self.s.quiet_since).after(stall);
        if self.now() >= due && !self.s.stalled && !waits {
            self.s.stalled = true;
            self.tell_session(event::STALLED);
        }
        // A session that waits for others still looks at itself now and then.
        let next = if due > self.now() { due } else { self.now().after(stall) };
        self.wake_at(next);
    }

    fn set_timer(&mut self) {
        let now = self.now();
        let soonest = |at: Timestamp| at.max(now.after(Duration::from_secs(1)));
        let wanted = match self.again {
            true => Some(now.after(AGAIN)),
            false => self.wake.map(soonest),
        };
        let wanted = wanted.filter(|_| !self.s.is_over());
        if wanted == self.s.wake_at {
            return;
        }
        self.s.wake_at = wanted;
        self.out.effects.push(match wanted {
            Some(at) => Effect::SetTimer(WAKE, at),
            None => Effect::ClearTimer(WAKE),
        });
    }

    fn row_writes(&mut self, before: &Session) -> Vec<Write> {
        let facts = self.facts();
        let mut writes = Vec::new();
        // The session's row first: the others belong to it. Then the locks that were taken.
        if session_row(before) != session_row(&self.s) || before.stage == Stage::Fresh {
            writes.push(session_row(&self.s));
        }
        let (locks, others) = self.out.writes.drain(..).partition(|write| matches!(write, Write::Lock(_)));
        self.out.writes = others;
        writes.extend::<Vec<Write>>(locks);
        for row in &self.rows {
            if facts.rows.iter().find(|old| old.host == row.host) != Some(row) {
                writes.push(Write::Host(Box::new(row.clone())));
            }
        }
        let mut old: BTreeMap<&str, &SessionInstance> =
            facts.instances.iter().map(|one| (one.id.as_str(), one)).collect();
        for one in self.instances.values() {
            if old.remove(one.id.as_str()) != Some(one) {
                writes.push(Write::Instance(Box::new(one.clone())));
            }
        }
        writes.extend(old.into_keys().map(|id| Write::InstanceGone(id.to_owned())));
        for (project, shown) in &self.s.projects {
            if before.projects.get(project) != Some(shown) {
                writes.push(project_row(project, shown));
            }
        }
        writes
    }
}

fn busy(session: &Session) -> (Stage, usize, usize, Vec<(HostId, super::LaneStage)>) {
    let lanes = session.lanes.iter().map(|lane| (lane.host, lane.stage)).collect();
    let answered = session.questions.iter().filter(|question| question.answer != Answer::Waiting).count();
    (session.stage, session.moves.len(), answered, lanes)
}

fn session_row(session: &Session) -> Write {
    Write::Session {
        state: session.state,
        prev_state: session.prev_state,
        paused: session.paused,
        percent: session.percent,
        maintenance_at: session.spec.maintenance_at,
        deleted: session.deleted.is_some(),
    }
}

fn project_row(project: &str, shown: &Shown) -> Write {
    Write::Project {
        project: project.to_owned(),
        state: shown.state.clone(),
        reply_at: shown.reply_at,
        subscribed: shown.subscribed,
    }
}

/// The name of a state that is asked about, as rows of instances show it.
pub fn asked(state: State) -> Option<String> {
    Some(state.name().to_owned())
}
