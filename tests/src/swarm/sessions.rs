//! Maintenance of a swarm: sessions over all of its hosts, and plans for fleets that are nowhere but in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hostler_common::id::HostId;
use hostler_common::time::{Clock as _, SystemClock};
use hostler_core::maintenance::constraint::GroupConstraint;
use hostler_core::maintenance::host::{FleetHost, Role};
use hostler_core::maintenance::instance::{Capacity, Computes, Instance, InstanceState, Size};
use hostler_core::maintenance::plan::{Plan, World, plan};
use hostler_core::maintenance::policy::Policy;
use hostler_core::maintenance::spec::Workflow;
use serde_json::json;
use tokio::time::Instant;
use uuid::Uuid;

use super::rest::Rest;

/// How often a session is asked for while its end is awaited.
const WATCH: Duration = Duration::from_millis(50);

/// What came of one session.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    /// From the request until it was accepted.
    pub accepted: Duration,
    /// From the request until it was over: every step is durable.
    pub ended: Duration,
}

/// Takes all hosts through a session, `parallel` at a time (0: all), with five actions that the agents of a swarm do by doing
/// nothing.
///
/// # Errors
/// It is refused, does not end within `patience`, or does not end well.
pub async fn everywhere(rest: &Rest, parallel: u32, patience: Duration) -> anyhow::Result<Session> {
    let action = |plugin: &str, kind: &str, metadata| json!({ "plugin": plugin, "type": kind, "metadata": metadata });
    let unit = json!({ "unit": "none.service" });
    let order = json!({
        "maintenance_at": SystemClock.now().to_string(),
        "actions": [
            action("dummy", "host", json!({})), action("service", "host", unit.clone()), action("packages", "host", json!({})),
            action("dummy", "other", json!({})), action("service", "other", unit),
        ],
        "policy": { "max_parallel_hosts": parallel, "reboot": "never" },
    });
    let begun = Instant::now();
    let answer = rest.post("/v1/maintenance", &order).await?;
    let accepted = begun.elapsed();
    let id = answer["session_id"].as_str().ok_or_else(|| anyhow::anyhow!("a session without id: {answer}"))?;
    let path = format!("/v1/maintenance/{id}");
    loop {
        let shown = rest.get(&path).await?;
        let state = shown["state"].as_str().unwrap_or_default();
        if state == "MAINTENANCE_DONE" {
            return Ok(Session { accepted, ended: begun.elapsed() });
        }
        let late = begun.elapsed() >= patience;
        if late || state == "MAINTENANCE_FAILED" {
            let detail = rest.get(&format!("{path}/detail")).await?;
            anyhow::bail!(
                "{state} after {:?}: {}, first host {}",
                begun.elapsed(),
                detail["reason"],
                detail["hosts"][0]
            );
        }
        tokio::time::sleep(WATCH).await;
    }
}

/// Plans a session over so many hosts with so many instances, which are ten of a group each, no two of them on one host and
/// only one moved at a time.
#[must_use]
pub fn plan_of(hosts: u32, instances: u32) -> (Plan, Duration) {
    let todo: Vec<FleetHost> = (1..=hosts).map(host).collect();
    let mut computes = Computes::default();
    for host in &todo {
        computes.capacity.insert(host.host, Capacity { total: size(64, 256), offers: Vec::new() });
    }
    for n in 0..instances {
        computes.instances.push(instance(n, id(1 + n % (hosts - 1).max(1))));
    }
    let groups: BTreeMap<_, _> = (0..instances.div_ceil(10)).map(|n| (format!("g{n}"), group(n))).collect();
    let policy = Policy { max_parallel_hosts: 0, ..Policy::default() };
    let world = World {
        todo: &todo,
        done: &BTreeSet::new(),
        others: &[],
        computes: &computes,
        constraints: &BTreeMap::new(),
        groups: &groups,
        impacted: &BTreeMap::new(),
        workflow: Workflow::Vnf,
        policy: &policy,
    };
    let begun = Instant::now();
    let plan = plan(&world);
    (plan, begun.elapsed())
}

fn id(n: u32) -> HostId {
    HostId(Uuid::from_u128(n.into()))
}

fn size(vcpus: u32, memory_gib: u64) -> Size {
    Size { vcpus, memory_mib: memory_gib * 1024, disk_gib: 0 }
}

fn host(n: u32) -> FleetHost {
    FleetHost {
        host: id(n),
        number: n.into(),
        name: format!("host-{n}"),
        roles: BTreeSet::from([Role::Compute]),
        zone: None,
        labels: BTreeMap::new(),
        connected: true,
        disabled: None,
        locked_by: None,
        cluster: None,
        manager: false,
    }
}

fn instance(n: u32, host: HostId) -> Instance {
    Instance {
        id: format!("i{n}"),
        name: String::new(),
        project: "p".into(),
        host,
        state: InstanceState::Active,
        size: size(4, 16),
        can_live_migrate: true,
        needs: Vec::new(),
        group: Some(format!("g{}", n / 10)),
        busy: false,
    }
}

fn group(n: u32) -> GroupConstraint {
    GroupConstraint {
        group_id: format!("g{n}"),
        project_id: "p".into(),
        group_name: None,
        anti_affinity_group: true,
        max_instances_per_host: 0,
        max_impacted_members: 1,
        recovery_time: 0,
        resource_mitigation: true,
    }
}
