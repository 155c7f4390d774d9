//! Keeping new instances away from hosts whose turn comes (spec/maintenance.md §3.4).

use hostler_common::id::HostId;
use serde_json::json;

use super::{Stage, Turn};
use crate::maintenance::host::{HostPhase, Role, SessionHost};
use crate::maintenance::row::{StepKind, Write};
use crate::maintenance::spec::Workflow;

impl Turn<'_> {
    /// Why a host that this session works on is out of service.
    fn fence_reason(&self) -> String {
        format!("maintenance session={}", self.s.id)
    }

    /// Fences every host whose turn has not come, where the policy says so; spare hosts stay open.
    pub(super) fn fence(&mut self) {
        let all = self.s.spec.policy.fence_all.unwrap_or(self.s.spec.workflow == Workflow::Default);
        if !all || self.s.first.is_some() {
            return;
        }
        let spare = |row: &SessionHost| {
            self.s.spec.policy.spare_hosts.contains(&row.name) || self.on_host(row.host).next().is_none()
        };
        let fenced: Vec<HostId> = self
            .rows
            .iter()
            .filter(|row| row.phase == HostPhase::Pending && row.roles.contains(&Role::Compute))
            .filter(|row| !row.disabled && !spare(row))
            .map(|row| row.host)
            .collect();
        let reason = self.fence_reason();
        for host in fenced {
            let before = self.fleet(host).and_then(|one| one.disabled.clone()).filter(|text| *text != reason);
            if let Some(row) = self.row_mut(host) {
                row.disabled = true;
                row.disabled_before = before.or(row.disabled_before.take());
            }
            self.out.writes.push(Write::Service { host, disabled: Some(reason.clone()) });
            self.noted(StepKind::Disable, "fence", Some(host), json!({ "reason": reason }));
        }
    }

    /// Gives back the fence of a host whose stay ended before it had one of its own, and so had none to give back.
    pub(super) fn unfence(&mut self, host: HostId) {
        let reason = self.fence_reason();
        if self.fleet(host).is_none_or(|one| one.disabled.as_ref() != Some(&reason)) {
            return;
        }
        let before = self.row(host).and_then(|row| row.disabled_before.clone());
        self.out.writes.push(Write::Service { host, disabled: before });
        self.noted(StepKind::Enable, "unfence", Some(host), json!({}));
    }

    /// Gives back every fence whose host is not at work, and did not stay out of service by a failure or an order.
    pub(super) fn unfence_all(&mut self) {
        let resting =
            |row: &&SessionHost| matches!(row.phase, HostPhase::Pending | HostPhase::Skipped | HostPhase::Done);
        let fenced: Vec<(HostId, Option<String>)> = self
            .rows
            .iter()
            .filter(|row| row.disabled && !self.s.resting.contains(&row.host))
            .filter(resting)
            .map(|row| (row.host, row.disabled_before.clone()))
            .collect();
        debug_assert!(self.s.stage != Stage::Rolling, "fences are given back at an end");
        for (host, before) in fenced {
            if let Some(row) = self.row_mut(host) {
                row.disabled = false;
            }
            self.out.writes.push(Write::Service { host, disabled: before });
            self.noted(StepKind::Enable, "unfence", Some(host), json!({}));
        }
    }
}
