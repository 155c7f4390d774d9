//! Those who ask for sessions, and those who are asked by them.

use anyhow::ensure;
use hostler_common::error::Class;
use hostler_common::id::{EventNumber, SessionId};
use hostler_common::time::Clock as _;
use hostler_core::machine::Machine as _;
use hostler_core::maintenance::constraint::InstanceConstraint;
use hostler_core::maintenance::instance::MoveAction;
use hostler_core::maintenance::policy::{
    Amount, Approval, Gate, OnFail, OnNack, OnNoReply, Policy, Reboot, Storage, UnmanagedProject,
};
use hostler_core::maintenance::question::{Answer, Reply};
use hostler_core::maintenance::session::Session;
use hostler_core::maintenance::spec::{Action, ActionType, Leave, Spec, Update, Workflow};
use hostler_core::maintenance::state::State;
use hostler_manager::store::{Error, event, machine, maintenance};
use serde_json::Value;

use super::world::{HOSTS, World};

/// How often a session that failed is continued in a healed fleet before it is deleted.
const CONTINUED_MAX: u32 = 3;

/// A question as its project heard it.
#[derive(Clone, Debug)]
pub struct Asked {
    session: SessionId,
    project: String,
    state: State,
    instance: Option<String>,
    allowed: Vec<MoveAction>,
}

/// An answer that was accepted: it must never be lost.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// To which session.
    pub session: SessionId,
    /// Whose.
    pub project: String,
    /// To what.
    pub state: State,
    /// The newest event before that.
    pub after: EventNumber,
}

/// What it means that somebody's request was answered so: `None` if the manager is gone.
fn answered<T>(done: Result<T, Error>) -> anyhow::Result<Option<Result<T, Class>>> {
    match done {
        Ok(done) => Ok(Some(Ok(done))),
        Err(Error::Unavailable(_)) => Ok(None),
        Err(error) => match error.class() {
            class @ (Class::Conflict | Class::NotFound | Class::Invalid | Class::Exhausted) => Ok(Some(Err(class))),
            _ => Err(error.into()),
        },
    }
}

impl World {
    /// Projects listen, and say what their instances need.
    pub(super) async fn projects(&mut self, instances: usize, listens: bool) -> anyhow::Result<()> {
        let now = self.clock.now();
        let done = self.manager.engine.store.write(move |tx| {
            Box::pin(async move {
                for project in ["p0", "p1"].into_iter().filter(|_| listens) {
                    maintenance::listener_put(tx, project, "sim", None).await?;
                }
                for n in 0..instances {
                    let needs = InstanceConstraint {
                        instance_id: format!("i-{n}"),
                        project_id: format!("p{}", n % 2),
                        group_id: None,
                        instance_name: None,
                        max_interruption_time: 120,
                        migration_type: MoveAction::Migrate,
                        resource_mitigation: true,
                        lead_time: 5,
                    };
                    maintenance::constraint_put(tx, &needs, now).await?;
                }
                Ok(())
            })
        });
        Ok(done.await?)
    }

    fn policy(&mut self) -> Policy {
        let random = &mut self.random;
        let on_nack = [vec![OnNack::Retry, OnNack::Force], vec![OnNack::Retry, OnNack::Fail], vec![OnNack::SkipHost]];
        let gates = if random.chance(15) {
            vec![Gate::ManualApproval { before: [Approval::EachHost, Approval::FirstHost][random.below(2)] }]
        } else {
            Vec::new()
        };
        Policy {
            on_fail: [OnFail::Stop, OnFail::Stop, OnFail::Skip, OnFail::Force][random.below(4)],
            on_nack: on_nack[random.below(3)].clone(),
            on_no_reply: [OnNoReply::Fail, OnNoReply::DefaultAction][random.below(2)],
            unmanaged_project: UnmanagedProject::DefaultAction,
            max_failed_hosts: Amount::Number(u32::try_from(random.below(3)).unwrap_or(0)),
            max_parallel_hosts: 1 + u32::try_from(random.below(2)).unwrap_or(0),
            reboot: [Reboot::Never, Reboot::IfRequired, Reboot::Always][random.below(3)],
            gates,
            own_action_grace: 60,
            reply_window: 20,
            gate_timeout: 900,
            reboot_timeout: 600,
            step_timeout: 300,
            retries: u32::try_from(random.below(2)).unwrap_or(0),
            storage: Storage { stable_for: Some(10), ..Storage::default() },
            ..Policy::default()
        }
    }

    /// Somebody begins a session.
    pub(super) async fn begin(&mut self) -> anyhow::Result<()> {
        let action = |plugin: &str, kind, metadata: Value| Action {
            plugin: plugin.into(),
            kind,
            metadata: metadata.as_object().cloned().unwrap_or_default(),
            order: None,
        };
        let mut actions = vec![action("dummy", ActionType::Host, Value::Null)];
        if self.random.chance(40) {
            let unit = serde_json::json!({ "unit": "chronyd.service" });
            actions.push(action("service", ActionType::Compute, unit));
        }
        if self.random.chance(25) {
            actions.push(action("dummy", ActionType::Pre, Value::Null));
        }
        if self.random.chance(25) {
            actions.push(action("dummy", ActionType::Post, Value::Null));
        }
        let all = self.random.chance(50);
        let hosts: Vec<usize> = (0..HOSTS).filter(|_| all || self.random.chance(50)).collect();
        let names = hosts.iter().map(|n| format!("host-{n}")).collect();
        let workflow = if self.random.chance(30) { Workflow::Vnf } else { Workflow::Default };
        let policy = self.policy();
        let spec = Spec { hosts: names, actions, workflow, policy, ..Spec::empty(self.clock.now()) };
        let locked = {
            let mut connection = self.manager.engine.store.read().await?;
            maintenance::locks_of(&mut connection).await?
        };
        match answered(self.manager.engine.session_create(spec, "sim").await)? {
            Some(Ok(id)) => {
                let taken = |n: &usize| locked.contains_key(&super::world::host_id(*n));
                ensure!(!hosts.iter().any(taken), "a host is in two sessions at once");
                self.tally.sessions += 1;
                self.sessions.push(id);
            }
            Some(Err(Class::Conflict)) => self.tally.conflicts += 1,
            Some(Err(_)) | None => {}
        }
        Ok(())
    }

    /// Somebody changes a session in whatever way.
    pub(super) async fn operate(&mut self) -> anyhow::Result<()> {
        if self.sessions.is_empty() {
            return self.begin().await;
        }
        let id = self.sessions[self.random.below(self.sessions.len())];
        let name = vec![format!("host-{}", self.random.below(HOSTS))];
        let update = match self.random.below(9) {
            0 | 1 => Update::default(),
            2 => Update { paused: Some(true), ..Update::default() },
            3 | 4 => Update { paused: Some(false), ..Update::default() },
            5 => Update { retry_hosts: name, ..Update::default() },
            6 => Update { skip_hosts: name, ..Update::default() },
            7 => Update { approve: true, ..Update::default() },
            _ => Update { state: Some(State::MaintenanceFailed), ..Update::default() },
        };
        answered(self.manager.engine.session_update(id, update, "sim").await)?;
        Ok(())
    }

    /// Somebody deletes a session.
    pub(super) async fn delete_some(&mut self) -> anyhow::Result<()> {
        if self.sessions.is_empty() {
            return Ok(());
        }
        let id = self.sessions[self.random.below(self.sessions.len())];
        // Where storage is held, others cannot go on: that is not what is to be seen here.
        let leave = if !self.site.ceph && self.random.chance(15) { Leave::Hold } else { Leave::Exit };
        if let Some(Ok(())) = answered(self.manager.engine.session_delete(id, leave, "sim").await)? {
            self.held |= leave == Leave::Hold;
            self.tally.deleted += 1;
        }
        Ok(())
    }

    /// In a healed fleet somebody sees to it that sessions end.
    pub(super) async fn steward(&mut self) -> anyhow::Result<()> {
        for id in self.sessions.clone() {
            let mut connection = self.manager.engine.store.read().await?;
            let found = machine::machine_find::<Session>(&mut connection, Session::KIND, &id.to_string()).await?;
            drop(connection);
            let Some(session) = found.map(|record| record.machine).filter(|session| session.deleted.is_none()) else {
                continue;
            };
            let engine = &self.manager.engine;
            if session.paused {
                engine.session_update(id, Update { paused: Some(false), ..Update::default() }, "sim").await?;
            } else if session.state == State::MaintenanceFailed {
                let times = self.continued.entry(id).or_default();
                *times += 1;
                if *times > CONTINUED_MAX {
                    engine.session_delete(id, Leave::Exit, "sim").await?;
                    self.tally.deleted += 1;
                } else {
                    engine.session_update(id, Update::default(), "sim").await?;
                    self.tally.continued += 1;
                }
            } else if session.state == State::MaintenanceDone && !session.resting.is_empty() {
                engine.session_delete(id, Leave::Exit, "sim").await?;
                self.tally.deleted += 1;
            } else if !session.is_over() {
                let waits = session.lanes.iter().any(|lane| lane.approval) || session.lanes.is_empty();
                if waits && !session.spec.policy.gates.is_empty() {
                    answered(engine.session_update(id, Update { approve: true, ..Update::default() }, "sim").await)?;
                }
            }
        }
        Ok(())
    }

    /// Projects hear what they are asked, and answer, or do not.
    pub(super) async fn tenants(&mut self) -> anyhow::Result<()> {
        self.hear().await?;
        for id in std::mem::take(&mut self.leaving) {
            if self.healed || self.random.chance(50) {
                self.compute.remove(&id);
            } else {
                self.leaving.push(id);
            }
        }
        for _ in 0..self.asked.len() {
            let Some(asked) = self.asked.pop_front() else { break };
            if self.healed || !self.random.chance(25) {
                self.answer(asked).await?;
            } else if self.random.chance(60) {
                // Not yet; otherwise never.
                self.asked.push_back(asked);
            }
        }
        Ok(())
    }

    async fn hear(&mut self) -> anyhow::Result<()> {
        let mut connection = self.manager.engine.store.read().await?;
        let events = event::event_list(&mut connection, self.heard, 1000).await?;
        drop(connection);
        for one in events {
            self.heard = one.number;
            if one.kind != "maintenance.scheduled" || one.data["reply_at"].is_null() {
                continue;
            }
            let state = one.data["state"].as_str().and_then(State::from_name);
            let session = one.data["session_id"].as_str().and_then(|id| id.parse().ok());
            let (Some(state), Some(session)) = (state, session) else { continue };
            let again = |accepted: &Accepted| {
                (accepted.session, accepted.state) == (session, state)
                    && accepted.project == one.subject
                    && accepted.after < one.number
            };
            if state == State::Maintenance
                && let Some(before) = self.accepted.iter().find(|one| again(one))
            {
                anyhow::bail!("{} is asked again for MAINTENANCE, which it answered: {before:?}", one.subject);
            }
            let instance = one.data["instance_ids"].as_array().and_then(|ids| ids.first()?.as_str()).map(Into::into);
            let allowed = serde_json::from_value(one.data["allowed_actions"].clone())?;
            self.asked.push_back(Asked { session, project: one.subject, state, instance, allowed });
        }
        Ok(())
    }

    async fn answer(&mut self, asked: Asked) -> anyhow::Result<()> {
        let Asked { session, project, state, instance, allowed } = asked.clone();
        let listed: Vec<String> = match &instance {
            Some(one) => vec![one.clone()],
            None => {
                let mut connection = self.manager.engine.store.read().await?;
                let rows = maintenance::instance_rows(&mut connection, session, Some(&project)).await?;
                let about = rows.into_iter().filter(|row| row.project_state.as_deref() == Some(state.name()));
                about.map(|row| row.id).collect()
            }
        };
        let ack = self.healed || !self.random.chance(20);
        let own = allowed.contains(&MoveAction::OwnAction) && self.random.chance(15);
        let action = if own { MoveAction::OwnAction } else { MoveAction::Migrate };
        let action = if allowed.contains(&action) { Some(action) } else { allowed.first().copied() };
        let named = |action| listed.iter().map(|id| (id.clone(), action)).collect();
        let actions = action.filter(|_| ack).map(named).unwrap_or_default();
        let reply = Reply { project: project.clone(), instance, state, ack, actions };
        if state == State::ScaleIn
            && ack
            && let Some(one) = listed.first()
        {
            self.compute.remove(one);
        }
        let after = event::event_newest(&mut *self.manager.engine.store.read().await?).await?;
        for again in [false, true] {
            if again && !self.random.chance(25) {
                continue;
            }
            match answered(self.manager.engine.session_reply(session, reply.clone(), "sim").await)? {
                // Whoever cannot be reached is told later.
                None if !again => self.asked.push_back(asked.clone()),
                Some(Ok(())) => {
                    self.tally.answers += 1;
                    self.tally.duplicates += u32::from(again);
                    self.taken(session, &reply).await?;
                    if action == Some(MoveAction::OwnAction) && ack {
                        self.leaving.extend(listed.iter().cloned());
                    }
                    if !ack {
                        // Agreement may be taken back, and then it is asked for again.
                        self.accepted
                            .retain(|one| (one.session, one.state) != (session, state) || one.project != project);
                    }
                    if ack && !again {
                        self.accepted.push(Accepted { session, project: project.clone(), state, after });
                    }
                }
                None | Some(Err(_)) => {}
            }
        }
        Ok(())
    }

    /// What was accepted is written down.
    async fn taken(&self, session: SessionId, reply: &Reply) -> anyhow::Result<()> {
        let mut connection = self.manager.engine.store.read().await?;
        let found = machine::machine_find::<Session>(&mut connection, Session::KIND, &session.to_string()).await?;
        let Some(machine) = found.map(|record| record.machine) else { return Ok(()) };
        // A refusal may be overruled in the decision that takes it.
        let open = machine
            .questions
            .iter()
            .any(|one| one.project == reply.project && one.state == reply.state && one.answer == Answer::Ack);
        let past = machine.past.iter().any(|one| one.project == reply.project && one.state == reply.state);
        let presumed = machine.questions.iter().any(|one| one.answer == Answer::Presumed);
        ensure!(!reply.ack || open || past || presumed, "an answer that was accepted is lost: {reply:?} {machine:?}");
        Ok(())
    }
}
