//! How sessions look: `MaintenanceSession` and `MaintenanceNow` of docs/native-api.md.

use std::collections::BTreeMap;

use hostler_common::id::HostId;
use hostler_common::time::Timestamp;
use hostler_core::maintenance::host::{HostPhase, SessionHost};
use hostler_core::maintenance::outlook::{Wait, ends_at, phase_of};
use hostler_core::maintenance::session::Session;
use hostler_core::maintenance::state::{Phase, Reason, State};
use serde::Serialize;

use crate::store::maintenance::SessionRow;

/// How many hosts are named in each phase, and how many are shown one by one.
const NAMES_MAX: usize = 1000;
const HOSTS_MAX: usize = 200;

/// A session as lists show it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Glance {
    id: String,
    name: Option<String>,
    description: Option<String>,
    state: &'static str,
    prev_state: Option<&'static str>,
    phase: Phase,
    paused: bool,
    percent: u8,
    workflow: &'static str,
    maintenance_at: String,
    created_by: String,
    created_at: String,
    entered_at: String,
    deleted_at: Option<String>,
    reason: Option<ReasonView>,
    phases: BTreeMap<String, u32>,
}

impl Glance {
    /// What a list shows of a session, with the number of its hosts in each phase.
    pub(super) fn of(row: SessionRow, session: &Session, phases: BTreeMap<String, u32>) -> Self {
        let known = HostPhase::ALL.into_iter().filter_map(|one| Some((one, *phases.get(one.name())? as usize)));
        let phase = phase_of(session.phase, &known.collect());
        Self {
            id: row.id.to_string(),
            name: row.spec.name,
            description: row.spec.reason,
            state: row.state.name(),
            prev_state: row.prev_state.map(State::name),
            phase,
            paused: row.paused,
            percent: row.percent,
            workflow: row.spec.workflow.name(),
            maintenance_at: row.maintenance_at.rfc3339(),
            created_by: row.created_by,
            created_at: row.created_at.rfc3339(),
            entered_at: row.entered_at.rfc3339(),
            deleted_at: row.deleted_at.map(Timestamp::rfc3339),
            reason: session.reason.as_ref().map(ReasonView::of),
            phases,
        }
    }
}

#[derive(Clone, Debug, Serialize)]
struct ReasonView {
    code: String,
    host: Option<String>,
    plugin: Option<String>,
    text: String,
}

impl ReasonView {
    fn of(reason: &Reason) -> Self {
        Self {
            code: reason.code.clone(),
            host: reason.host_name.clone(),
            plugin: reason.plugin.clone(),
            text: reason.text.clone(),
        }
    }
}

/// What was read of a session.
pub(super) struct Seen {
    pub(super) row: SessionRow,
    pub(super) session: Session,
    pub(super) hosts: Vec<SessionHost>,
    /// What its hosts do.
    pub(super) stays: Vec<Wait>,
    /// What it waits for itself.
    pub(super) waits: Vec<Wait>,
    pub(super) names: BTreeMap<HostId, String>,
    pub(super) now: Timestamp,
}

/// A session with what it does right now.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NowView {
    #[serde(flatten)]
    glance: Glance,
    now: String,
    ends_at: Option<String>,
    hosts: Vec<HostView>,
    hosts_by_phase: Vec<PhaseView>,
    waits: Vec<WaitView>,
    warnings: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
struct PhaseView {
    phase: &'static str,
    count: usize,
    names: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct HostView {
    name: String,
    phase: &'static str,
    order: Option<u32>,
    domain: Option<String>,
    attempts: u32,
    plugin: Option<String>,
    plugin_state: Option<String>,
    disabled: bool,
    started_at: Option<String>,
    finished_at: Option<String>,
    reason: Option<ReasonView>,
    doing: Option<WaitView>,
}

#[derive(Clone, Debug, Serialize)]
struct WaitView {
    #[serde(rename = "for")]
    what: &'static str,
    host: Option<String>,
    text: String,
    detail: Option<String>,
    since: Option<String>,
    until: Option<String>,
    person: bool,
}

impl NowView {
    /// Renders what was read.
    pub(super) fn of(seen: Seen) -> Self {
        let Seen { row, session, hosts, stays, waits, names, now } = seen;
        let by_phase = by_phase(&hosts);
        let counts = by_phase.iter().map(|phase| (phase.phase.to_owned(), number(phase.count))).collect();
        let ends = ends_at(&hosts, &session.spec.policy, row.maintenance_at, now);
        let goes_on = !row.state.is_terminal() && !row.paused && row.deleted_at.is_none();
        let of_host = |host: HostId| stays.iter().find(|wait| wait.host == Some(host));
        let shown = hosts.iter().filter(|host| !matches!(host.phase, HostPhase::Pending | HostPhase::Done));
        let shown = shown.take(HOSTS_MAX).map(|host| HostView::of(host, of_host(host.host), &names)).collect();
        let mut waits: Vec<WaitView> = waits.iter().map(|wait| WaitView::of(wait, &names)).collect();
        let elsewhere = |wait: &&Wait| !hosts.iter().any(|host| Some(host.host) == wait.host);
        waits.extend(stays.iter().filter(elsewhere).map(|wait| WaitView::of(wait, &names)));
        Self {
            glance: Glance::of(row, &session, counts),
            now: now.rfc3339(),
            ends_at: ends.filter(|_| goes_on).map(Timestamp::rfc3339),
            hosts: shown,
            hosts_by_phase: by_phase,
            waits,
            warnings: session.warnings,
        }
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Phases in the order of a host's life, those only in which there are hosts.
fn by_phase(hosts: &[SessionHost]) -> Vec<PhaseView> {
    let view = |phase: HostPhase| {
        let inside = || hosts.iter().filter(|host| host.phase == phase);
        let names = inside().take(NAMES_MAX).map(|host| host.name.clone()).collect();
        PhaseView { phase: phase.name(), count: inside().count(), names }
    };
    HostPhase::ALL.into_iter().map(view).filter(|phase| phase.count > 0).collect()
}

impl HostView {
    fn of(host: &SessionHost, doing: Option<&Wait>, names: &BTreeMap<HostId, String>) -> Self {
        Self {
            name: host.name.clone(),
            phase: host.phase.name(),
            order: host.order_no,
            domain: host.domain.clone(),
            attempts: host.attempts,
            plugin: host.plugin.clone(),
            plugin_state: host.plugin_state.clone(),
            disabled: host.disabled,
            started_at: host.started_at.map(Timestamp::rfc3339),
            finished_at: host.finished_at.map(Timestamp::rfc3339),
            reason: host.reason.as_ref().map(ReasonView::of),
            doing: doing.map(|wait| WaitView::of(wait, names)),
        }
    }
}

impl WaitView {
    fn of(wait: &Wait, names: &BTreeMap<HostId, String>) -> Self {
        Self {
            what: wait.what,
            host: wait.host.map(|host| names.get(&host).cloned().unwrap_or_else(|| host.to_string())),
            text: wait.text.clone(),
            detail: Some(wait.detail.clone()).filter(|detail| !detail.is_empty()),
            since: wait.since.map(Timestamp::rfc3339),
            until: wait.until.map(Timestamp::rfc3339),
            person: wait.person,
        }
    }
}
