//! Plug-ins of types `pre` and `post`: a stay of a special kind runs them on the management node (spec/maintenance.md §5.1).

use hostler_common::id::HostId;

use super::document::Errand;
use super::{Stage, Turn, lane};
use crate::maintenance::spec::ActionType;
use crate::maintenance::state::Reason;
use crate::maintenance::word::{Order, StayReport, ToStay};

/// What the management node is called in a session, as projects of old expect.
const LOCALHOST: &str = "localhost";

impl Turn<'_> {
    /// Whether the plug-ins of a type are done, or there are none. Begins them if need be.
    pub(super) fn errand(&mut self, kind: ActionType) -> bool {
        if self.s.errands_done.contains(&kind) {
            return true;
        }
        let actions = lane::actions(&self.s.spec.actions, |other| other == kind);
        if actions.is_empty() {
            return true;
        }
        if self.s.errand.as_ref().is_some_and(|errand| !errand.failed) {
            return false;
        }
        let Some(host) = self.facts().management else {
            let text = "the agent of the management node is not there to run plug-ins";
            self.fail(Reason::new("errand.no_management", text));
            return false;
        };
        self.s.errand = Some(Errand { kind, host, failed: false });
        let order = Order {
            session: self.s.id.0,
            admin_project: self.s.spec.admin_project.clone(),
            host,
            name: LOCALHOST.into(),
            roles: Default::default(),
            actions,
            policy: self.s.spec.policy.clone(),
            force: Vec::new(),
            has_instances: false,
            cluster: None,
            session_started: self.s.created_at,
            baseline: Default::default(),
            disabled_before: None,
            errand: true,
        };
        self.tell_errand(host, kind, &ToStay::Begin(Box::new(order)));
        false
    }

    /// The stay that runs them reports.
    pub(super) fn errand_said(&mut self, host: HostId, report: StayReport) {
        let Some(Errand { kind, .. }) = self.s.errand.clone().filter(|one| one.host == host && !one.failed) else {
            return;
        };
        let ends = matches!(self.s.stage, Stage::Failing | Stage::Unwinding);
        match report {
            StayReport::Done { warnings } => {
                self.s.errand = None;
                self.s.errands_done.insert(kind);
                warnings.into_iter().for_each(|warning| self.warn(format!("{}: {warning}", kind.name())));
            }
            StayReport::Failed(_) | StayReport::Skipped(_) | StayReport::Held | StayReport::Unknown(_) if ends => {
                self.s.errand = None;
            }
            StayReport::Failed(reason) | StayReport::Skipped(reason) => {
                self.s.errand = None;
                self.fail(reason);
            }
            StayReport::Unknown(reason) => {
                self.s.errand = Some(Errand { kind, host, failed: true });
                self.pause(reason);
            }
            StayReport::Held => self.s.errand = None,
            // The policy's gate before each host is none of the errand's.
            StayReport::Approve => self.tell_errand(host, kind, &ToStay::Approved),
            StayReport::Empty => self.tell_errand(host, kind, &ToStay::Emptied),
        }
    }
}
