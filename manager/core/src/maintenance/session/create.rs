//! How a session begins (spec/maintenance.md §1.3).

use std::collections::BTreeSet;
use std::time::Duration;

use hostler_common::error::Class;

use super::command::Create;
use super::document::Stage;
use super::{Turn, choose, window};
use crate::machine::{Effect, Refusal, TaskChange};
use crate::maintenance::host::{FleetHost, HostPhase, SessionHost};
use crate::maintenance::row::Write;
use crate::maintenance::spec::{ActionType, Spec};

/// The shortest time between the request and the start, and the shortest window for an answer.
pub const FLOOR: Duration = Duration::from_secs(5);

/// A host as a session that takes it in writes it down.
pub fn row(host: &FleetHost) -> SessionHost {
    SessionHost {
        host: host.host,
        name: host.name.clone(),
        roles: host.roles.clone(),
        order_no: None,
        domain: host.zone.clone(),
        phase: HostPhase::Pending,
        maintained: false,
        disabled: false,
        disabled_before: host.disabled.clone(),
        reason: None,
        plugin: None,
        plugin_state: None,
        started_at: None,
        finished_at: None,
        attempts: 0,
    }
}

impl Turn<'_> {
    /// Takes the request and the hosts.
    pub(super) fn create(&mut self, create: Create) -> Result<(), Refusal> {
        let Create { spec, id } = create;
        if self.s.stage != Stage::Fresh {
            return Err(Refusal::new(Class::Conflict, "the session has begun already"));
        }
        let facts = self.facts();
        if facts.max_sessions > 0 && facts.active_sessions >= facts.max_sessions {
            return Err(Refusal::new(Class::Exhausted, "Too many sessions"));
        }
        self.check_spec(&spec)?;
        let choice = choose::choose(&facts.fleet, &spec, id.0)?;
        self.s.id = id;
        self.s.created_at = self.now();
        self.s.baseline = facts.baseline.clone();
        for warning in choice.warnings {
            self.warn(warning);
        }
        *self.s.spec = spec;
        let earliest = self.now().after(FLOOR);
        if self.s.spec.maintenance_at < earliest {
            self.s.spec.maintenance_at = earliest;
            self.warn("the start was in the past or too near: it is a few seconds after the request".into());
        }
        for host in choice.hosts {
            self.take_in(host);
        }
        let total = u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
        self.open_task(total);
        self.said("session.created", format!("{total} hosts, from {}", self.s.spec.maintenance_at));
        self.enter(Stage::Fetching);
        Ok(())
    }

    /// A host becomes one of this session's.
    pub(super) fn take_in(&mut self, host: &FleetHost) {
        self.out.writes.push(Write::Lock(host.host));
        self.rows.push(row(host));
    }

    /// People follow a new task from now on.
    pub(super) fn open_task(&mut self, total: u32) {
        let name = self.s.spec.name.clone().unwrap_or_else(|| format!("maintenance {}", self.s.id));
        let open = TaskChange::Open { kind: "maintenance", name, host: None, total };
        self.s.running = false;
        self.out.effects.push(Effect::Task(open));
    }

    fn check_spec(&self, spec: &Spec) -> Result<(), Refusal> {
        let invalid = |text: String| Err(Refusal::new(Class::Invalid, text));
        let facts = self.facts();
        let mut seen = BTreeSet::new();
        for action in &spec.actions {
            let Some(manifest) = facts.plugins.get(&action.plugin) else {
                return invalid(format!("there is no plug-in {:?}", action.plugin));
            };
            if !manifest.types.is_empty() && !manifest.types.contains(&action.kind) {
                return invalid(format!("the plug-in {:?} is none of type {}", action.plugin, action.kind.name()));
            }
            if !seen.insert((&action.plugin, action.kind)) {
                return invalid(format!("the plug-in {:?} is named twice as {}", action.plugin, action.kind.name()));
            }
            if matches!(action.kind, ActionType::Pre | ActionType::Post) && facts.management.is_none() {
                return invalid(format!("the plug-in {:?} needs an agent on the management node", action.plugin));
            }
        }
        if let Some(window) = &spec.policy.window {
            window::check(window).or_else(invalid)?;
        }
        for name in &spec.policy.spare_hosts {
            choose::by_name(&facts.fleet, name)?;
        }
        Ok(())
    }
}
