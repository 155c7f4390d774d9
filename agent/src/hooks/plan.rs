//! Which hooks of this host run for something that happened, in which order, and as which jobs. Pure.

use std::time::Duration;

use hostler_common::hook::{
    AssignedHook, Assignment, HookJob, Occurrence, OnFailure, Origin, Place, hook_document, hook_env,
};
use hostler_common::id::{HookId, HostId, JobId};
use hostler_common::job::{JobSpec, Work};
use hostler_common::script::{ScriptLimits, ScriptRun};

use crate::runner::After;

/// What follows from an occurrence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What is run, in this order.
    pub jobs: Vec<Planned>,
    /// Hooks that matched and are not run, each with the reason.
    pub skipped: Vec<(HookId, String)>,
    /// Whether it is nothing that the manager should hear of.
    pub quiet: bool,
}

/// A hook that is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// What the manager is told of it.
    pub hook: HookJob,
    /// The job.
    pub spec: JobSpec,
    /// What it waits for.
    pub after: Option<After>,
    /// Whether its failure is a failure of what waits for it.
    pub counts: bool,
}

/// What is run for `occurrence` at its `attempt`-th time, from 1. `fresh` makes the id of a job; `allowed` says whether a hook
/// may be started once more now.
pub fn plan(
    assignment: &Assignment,
    occurrence: &Occurrence,
    attempt: u32,
    host: HostId,
    mut fresh: impl FnMut() -> JobId,
    mut allowed: impl FnMut(HookId) -> bool,
) -> Plan {
    let point = occurrence.point;
    let mut plan = Plan::default();
    if point.place() != Place::Host {
        // The manager knows where these run; it only has to hear of them.
        return plan;
    }
    let mut hooks: Vec<&AssignedHook> = assignment.hooks.iter().filter(|hook| hook.point == point).collect();
    hooks.sort_by_key(|hook| (hook.order, hook.id));
    let mut before: Option<After> = None;
    for hook in hooks {
        if occurrence.origin == Origin::External && !hook.external {
            plan.skipped.push((hook.id, "it does not run for what others brought about".into()));
            continue;
        }
        if !point.blocking() && !allowed(hook.id) {
            plan.skipped.push((hook.id, "it was started too often within a short time".into()));
            continue;
        }
        let run = script(assignment, hook, occurrence, attempt);
        let planned = Planned {
            hook: HookJob { hook: hook.id, job: fresh(), script: run.script.clone(), args: run.args.clone() },
            spec: JobSpec {
                id: JobId(uuid::Uuid::nil()),
                host,
                work: Work::Script(Box::new(run)),
                deadline: Duration::from_secs(u64::from(hook.timeout_s)),
            },
            after: before,
            counts: point.blocking() && hook.on_failure == OnFailure::Block,
        };
        before = Some(After { job: planned.hook.job, needs_success: planned.counts });
        plan.jobs.push(Planned { spec: JobSpec { id: planned.hook.job, ..planned.spec }, ..planned });
    }
    plan.quiet = plan.jobs.is_empty() && occurrence.origin == Origin::Agent;
    plan
}

fn script(assignment: &Assignment, hook: &AssignedHook, occurrence: &Occurrence, attempt: u32) -> ScriptRun {
    let mut env = hook.env.clone();
    env.extend(hook_env(occurrence));
    env.extend(
        [
            ("HOOK_ID", hook.id.to_string()),
            ("HOOK_SCRIPT_ID", hook.script.id.map_or_else(String::new, |id| id.to_string())),
            ("HOOK_SERVER_ID", assignment.number.to_string()),
            ("HOOK_SERVER_NAME", assignment.name.clone()),
            ("HOOK_ATTEMPT", attempt.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    let server = (assignment.number, assignment.name.as_str());
    ScriptRun {
        script: hook.script.clone(),
        args: occurrence.values.clone(),
        env,
        // Their values are not here; the job is refused for it, and everybody hears why (decision 0013).
        secrets: hook.secrets.clone(),
        stdin: hook.stdin_json.then(|| hook_document(occurrence, Some(server)).to_string()),
        run_as: hook.run_as.clone(),
        limits: ScriptLimits::default(),
        leave_children: hook.leave_children,
        success_codes: Vec::new(),
        blocking: occurrence.point.blocking(),
        // What an agent finds out by itself lies in a file of this host already.
        change: None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use hostler_common::hook::HookPoint;
    use hostler_common::script::{Digest, ScriptRef};
    use hostler_common::time::Timestamp;
    use uuid::Uuid;

    use super::*;

    fn hook(id: i64, point: HookPoint, order: i32) -> AssignedHook {
        AssignedHook {
            id: HookId(id),
            point,
            order,
            on_failure: OnFailure::Block,
            timeout_s: 300,
            script: ScriptRef {
                id: None,
                name: format!("s{id}"),
                revision: 1,
                digest: Digest([id as u8; 32]),
                signature: String::new(),
            },
            run_as: None,
            env: BTreeMap::from([("EXTRA".into(), "1".into())]),
            secrets: BTreeMap::new(),
            stdin_json: id == 1,
            external: id != 3,
            leave_children: false,
        }
    }

    fn occurrence(point: HookPoint, origin: Origin) -> Occurrence {
        let values = point.parameters().iter().map(|parameter| parameter.name.to_owned()).collect();
        Occurrence { id: Uuid::from_u128(9), point, origin, at: Timestamp::from_micros(0), values }
    }

    fn planned(assignment: &Assignment, occurrence: &Occurrence, allowed: impl FnMut(HookId) -> bool) -> Plan {
        let mut next = 0;
        let fresh = || {
            next += 1;
            JobId(Uuid::from_u128(next))
        };
        plan(assignment, occurrence, 2, HostId(Uuid::nil()), fresh, allowed)
    }

    fn ids(plan: &Plan) -> Vec<i64> {
        plan.jobs.iter().map(|job| job.hook.hook.0).collect()
    }

    #[test]
    fn hooks_run_in_order_one_after_the_other() {
        let mut warns = hook(2, HookPoint::PreDaemonStart, 5);
        warns.on_failure = OnFailure::Warn;
        let hooks = vec![
            hook(4, HookPoint::PreDaemonStart, 9),
            hook(1, HookPoint::PreDaemonStart, 9),
            warns,
            hook(7, HookPoint::PostDaemonStart, 1),
        ];
        let assignment = Assignment { number: 3, name: "host".into(), hooks, ..Assignment::default() };
        let plan = planned(&assignment, &occurrence(HookPoint::PreDaemonStart, Origin::Agent), |_| false);
        assert_eq!(ids(&plan), [2, 1, 4], "the rate is not for hooks that block");
        let after: Vec<_> = plan.jobs.iter().map(|job| job.after.map(|after| after.needs_success)).collect();
        assert_eq!(after, [None, Some(false), Some(true)]);
        assert_eq!(plan.jobs[1].after.unwrap().job, plan.jobs[0].spec.id);
        let Work::Script(run) = &plan.jobs[1].spec.work else { panic!("no script") };
        assert_eq!(run.args, ["boot-id", "reason", "first-boot"]);
        assert!(run.blocking && run.stdin.as_ref().unwrap().contains("\"server\":{\"id\":3,\"name\":\"host\"}"));
        for (name, value) in [
            ("HOOK_EVENT", "PreDaemonStart"),
            ("HOOK_ATTEMPT", "2"),
            ("HOOK_SERVER_ID", "3"),
            ("HOOK_SERVER_NAME", "host"),
            ("HOOK_ID", "1"),
            ("HOOK_FIRST_BOOT", "first-boot"),
            ("HOOK_ORIGIN", "agent"),
            ("EXTRA", "1"),
        ] {
            assert_eq!(run.env[name], value);
        }
    }

    #[test]
    fn what_matches_and_is_not_run_is_said_why() {
        let hooks = vec![hook(1, HookPoint::PostNetworkConfig, 1), hook(3, HookPoint::PostNetworkConfig, 1)];
        let assignment = Assignment { hooks, ..Assignment::default() };
        let external = occurrence(HookPoint::PostNetworkConfig, Origin::External);
        let plan = planned(&assignment, &external, |_| true);
        assert_eq!((ids(&plan), plan.skipped.len(), plan.skipped[0].0), (vec![1], 1, HookId(3)));
        let plan = planned(&assignment, &external, |_| false);
        assert_eq!((ids(&plan), plan.skipped.len()), (vec![], 2));
    }

    #[test]
    fn what_others_run_is_only_told() {
        let hooks = vec![hook(1, HookPoint::OnDhcpLeaseUpdate, 1), hook(2, HookPoint::OnRbdSnapshotComplete, 1)];
        let assignment = Assignment { hooks, ..Assignment::default() };
        for point in [HookPoint::OnDhcpLeaseUpdate, HookPoint::OnRbdSnapshotComplete] {
            let plan = planned(&assignment, &occurrence(point, Origin::External), |_| true);
            assert_eq!(plan, Plan::default(), "{point:?}");
        }
        assert!(planned(&assignment, &occurrence(HookPoint::PreDaemonStart, Origin::Agent), |_| true).quiet);
    }
}
