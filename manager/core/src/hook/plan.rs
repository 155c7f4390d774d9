//! Which hooks run for an occurrence, where, and in which order (spec/hooks.md §5, §8).

use std::time::Duration;

use hostler_common::hook::{Occurrence, Origin, Place};
use hostler_common::id::HostId;

use super::Hook;
use crate::run::{self, HookOrigin, Quota, Spec};

/// How many of the selected hosts are tried where one is enough.
const TRIED: usize = 3;

/// How long a hook may take that something waits for.
const BLOCKING_MAX: Duration = Duration::from_secs(300);

/// A host on which hooks may run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Which.
    pub id: HostId,
    /// Its small number.
    pub number: i64,
    /// Whether its agent is connected.
    pub connected: bool,
    /// Whether it is a management node.
    pub management: bool,
}

/// A hook that runs for an occurrence.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// Which.
    pub hook: Hook,
    /// Where. Several mean that one of them is enough, in this order; none means that there is no host for it now.
    pub hosts: Vec<HostId>,
}

/// The hooks that run for an occurrence, in their order. `concerned` is the host that it is about; `seed` decides which of
/// several hosts it is.
#[must_use]
pub fn plan(
    occurrence: &Occurrence,
    concerned: Option<HostId>,
    hooks: &[Hook],
    hosts: &[Candidate],
    seed: u128,
) -> Vec<Planned> {
    let external = occurrence.origin == Origin::External;
    let matches = |hook: &&Hook| hook.enabled && hook.point == occurrence.point && (hook.external || !external);
    let mut matching: Vec<&Hook> = hooks.iter().filter(matches).collect();
    matching.sort_by_key(|hook| (hook.order, hook.id));
    let mut planned = Vec::new();
    for (n, hook) in (0_u128..).zip(matching) {
        let chosen = match occurrence.point.place() {
            Place::Host => match concerned {
                Some(host) if hook.covers(host) => vec![host],
                Some(_) | None => continue,
            },
            // A hook that is bound to no host never runs, and nobody misses it.
            Place::OneHost if !hook.all_hosts && hook.hosts.is_empty() => continue,
            Place::OneHost => some_of(hook, hosts, seed.wrapping_add(n)),
            Place::Management => management(hosts).into_iter().collect(),
        };
        planned.push(Planned { hook: hook.clone(), hosts: chosen });
    }
    planned
}

/// The management node: of those that are connected, the one with the lowest number.
fn management(hosts: &[Candidate]) -> Option<HostId> {
    let there = hosts.iter().filter(|host| host.management && host.connected);
    there.min_by_key(|host| host.number).map(|host| host.id)
}

/// At most three of the selected hosts that are connected, in random order.
fn some_of(hook: &Hook, hosts: &[Candidate], seed: u128) -> Vec<HostId> {
    let mut there: Vec<HostId> =
        hosts.iter().filter(|host| host.connected && hook.covers(host.id)).map(|host| host.id).collect();
    there.sort_unstable();
    let mut state = seed;
    let mut chosen = Vec::new();
    while !there.is_empty() && chosen.len() < TRIED {
        state = state.wrapping_mul(0xDA94_2042_E4DD_58B5_2360_ED05_1FC6_5DA5).wrapping_add(0x9E37_79B9_7F4A_7C15);
        let count = there.len() as u128;
        let pick = usize::try_from((state >> 64) % count).unwrap_or(0);
        chosen.push(there.swap_remove(pick));
    }
    chosen
}

impl Planned {
    /// The run of the hook (spec/hooks.md §6).
    #[must_use]
    pub fn spec(&self, occurrence: &Occurrence) -> Spec {
        let hook = &self.hook;
        let blocking = occurrence.point.blocking();
        let deadline = Duration::from_secs(u64::from(hook.timeout_s.max(1)));
        let origin = HookOrigin {
            hook: hook.id,
            script: hook.script_id,
            occurrence: occurrence.clone(),
            blocking,
            any_one: occurrence.point.place() == Place::OneHost,
            stdin_json: hook.stdin_json,
        };
        let name = format!("Hook {}: {}", occurrence.point.name(), hook.script.name);
        let spec = Spec::new(name, hook.script.clone(), self.hosts.clone(), run::Origin::Hook(Box::new(origin)));
        Spec {
            args: occurrence.values.clone(),
            max_concurrency: hook.max_parallel.map_or(spec.max_concurrency, Quota::Count),
            deadline: if blocking { deadline.min(BLOCKING_MAX) } else { deadline },
            run_as: hook.run_as.clone(),
            env: hook.env.clone(),
            secrets: hook.secrets.clone(),
            leave_children: hook.leave_children,
            ..spec
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use hostler_common::hook::{HookPoint, OnFailure};
    use hostler_common::id::{HookId, ScriptId};
    use hostler_common::script::{Digest, ScriptRef};
    use hostler_common::time::Timestamp;
    use uuid::Uuid;

    use super::*;

    pub(crate) fn host(n: u128) -> HostId {
        HostId(Uuid::from_u128(n))
    }

    pub(crate) fn hook(id: i64, point: HookPoint) -> Hook {
        Hook {
            id: HookId(id),
            point,
            script_id: ScriptId(id),
            script: ScriptRef {
                id: Some(ScriptId(id)),
                name: format!("s{id}"),
                revision: 1,
                digest: Digest([1; 32]),
                signature: String::new(),
            },
            all_hosts: true,
            hosts: Vec::new(),
            enabled: true,
            order: 100,
            on_failure: OnFailure::Block,
            timeout_s: 3600,
            run_as: None,
            env: BTreeMap::new(),
            secrets: BTreeMap::new(),
            max_parallel: None,
            stdin_json: false,
            external: false,
            leave_children: false,
        }
    }

    pub(crate) fn occurrence(point: HookPoint, origin: Origin) -> Occurrence {
        let values = point.parameters().iter().map(|parameter| parameter.name.to_owned()).collect();
        Occurrence { id: Uuid::from_u128(3), point, origin, at: Timestamp::from_micros(0), values }
    }

    fn fleet(count: u128) -> Vec<Candidate> {
        let candidate =
            |n| Candidate { id: host(n), number: i64::try_from(n).unwrap(), connected: n != 2, management: n >= 2 };
        (1..=count).map(candidate).collect()
    }

    fn ids(planned: &[Planned]) -> Vec<i64> {
        planned.iter().map(|one| one.hook.id.0).collect()
    }

    #[test]
    fn hooks_of_a_host_run_there_in_their_order() {
        let point = HookPoint::PreFormatDisk;
        let first = Hook { order: 1, ..hook(9, point) };
        let elsewhere = Hook { all_hosts: false, hosts: vec![host(5)], ..hook(2, point) };
        let off = Hook { enabled: false, ..hook(4, point) };
        let hooks = [hook(3, point), first, elsewhere, off, hook(1, HookPoint::OnAudit)];
        let planned = plan(&occurrence(point, Origin::Manager), Some(host(1)), &hooks, &fleet(3), 0);
        assert_eq!(ids(&planned), [9, 3]);
        assert!(planned.iter().all(|one| one.hosts == [host(1)]));
        let spec = planned[0].spec(&occurrence(point, Origin::Manager));
        assert_eq!((spec.name.as_str(), spec.deadline), ("Hook PreFormatDisk: s9", BLOCKING_MAX));
        assert_eq!(spec.args, ["device", "serial", "purpose"]);
        assert!(plan(&occurrence(point, Origin::Manager), None, &hooks, &fleet(3), 0).is_empty());
    }

    #[test]
    fn what_others_did_runs_only_hooks_that_want_it() {
        let point = HookPoint::PostCephDaemonStart;
        let hooks = [hook(1, point), Hook { external: true, ..hook(2, point) }];
        let planned = |origin| ids(&plan(&occurrence(point, origin), Some(host(1)), &hooks, &[], 0));
        assert_eq!(planned(Origin::External), [2]);
        assert_eq!(planned(Origin::Manager), [1, 2]);
    }

    #[test]
    fn the_management_node_is_the_first_that_is_connected() {
        let hooks = [hook(1, HookPoint::OnHealthDegrade)];
        let happened = occurrence(HookPoint::OnHealthDegrade, Origin::Manager);
        let planned = plan(&happened, None, &hooks, &fleet(4), 0);
        assert_eq!(planned[0].hosts, [host(3)], "the second one is away");
        assert!(plan(&happened, None, &hooks, &fleet(2), 0)[0].hosts.is_empty(), "missed, not forgotten");
    }

    #[test]
    fn one_of_the_selected_hosts_is_chosen_at_random() {
        let happened = occurrence(HookPoint::OnRbdSnapshotComplete, Origin::Manager);
        let selected = Hook { all_hosts: false, hosts: (1..=6).map(host).collect(), ..hook(1, happened.point) };
        let nowhere = Hook { all_hosts: false, ..hook(2, happened.point) };
        let mut seen = BTreeSet::new();
        for seed in 0..200 {
            let planned = plan(&happened, None, &[selected.clone(), nowhere.clone()], &fleet(9), seed);
            assert_eq!(ids(&planned), [1]);
            let hosts = &planned[0].hosts;
            assert_eq!(hosts.iter().collect::<BTreeSet<_>>().len(), 3);
            assert!(hosts.iter().all(|one| selected.covers(*one) && *one != host(2)));
            seen.insert(hosts[0]);
        }
        assert_eq!(seen.len(), 5, "each that is there is chosen at times");
    }
}
