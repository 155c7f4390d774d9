use uuid::Uuid;

use super::*;
use crate::maintenance::host::Role;
use crate::maintenance::instance::{Capacity, Instance, InstanceState};

fn id(n: u128) -> HostId {
    HostId(Uuid::from_u128(n))
}

fn host(n: u32, roles: &[Role]) -> FleetHost {
    FleetHost {
        host: id(u128::from(n)),
        number: i64::from(n),
        name: format!("host-{n}"),
        roles: roles.iter().copied().collect(),
        zone: None,
        labels: BTreeMap::new(),
        connected: true,
        disabled: None,
        locked_by: None,
        cluster: None,
        manager: false,
    }
}

fn compute(n: u32) -> FleetHost {
    host(n, &[Role::Compute])
}

fn size(vcpus: u32, memory_gib: u64) -> Size {
    Size { vcpus, memory_mib: memory_gib * 1024, disk_gib: 0 }
}

/// A fleet in the making.
#[derive(Default)]
struct Fleet {
    todo: Vec<FleetHost>,
    others: Vec<FleetHost>,
    done: BTreeSet<HostId>,
    computes: Computes,
    constraints: BTreeMap<String, InstanceConstraint>,
    groups: BTreeMap<String, GroupConstraint>,
    impacted: BTreeMap<String, Option<Timestamp>>,
    workflow: Workflow,
    policy: Policy,
}

impl Fleet {
    /// Hosts 1 to `n`, each with that capacity.
    fn of(n: u32, total: Size) -> Self {
        let mut fleet = Self { todo: (1..=n).map(compute).collect(), ..Self::default() };
        for host in &fleet.todo {
            fleet.computes.capacity.insert(host.host, Capacity { total, offers: Vec::new() });
        }
        fleet
    }

    fn instance(mut self, name: &str, at: u128, size: Size, group: Option<&str>) -> Self {
        self.computes.instances.push(Instance {
            id: name.into(),
            name: String::new(),
            project: "p".into(),
            host: id(at),
            state: InstanceState::Active,
            size,
            can_live_migrate: true,
            needs: Vec::new(),
            group: group.map(str::to_owned),
            busy: false,
        });
        self
    }

    fn group(mut self, name: &str, anti_affinity: bool, impacted: u32) -> Self {
        let group = GroupConstraint {
            group_id: name.into(),
            project_id: "p".into(),
            group_name: None,
            anti_affinity_group: anti_affinity,
            max_instances_per_host: 0,
            max_impacted_members: impacted,
            recovery_time: 0,
            resource_mitigation: true,
        };
        self.groups.insert(name.into(), group);
        self
    }

    fn world(&self) -> World<'_> {
        World {
            todo: &self.todo,
            done: &self.done,
            others: &self.others,
            computes: &self.computes,
            constraints: &self.constraints,
            groups: &self.groups,
            impacted: &self.impacted,
            workflow: self.workflow,
            policy: &self.policy,
        }
    }

    fn plan(&self) -> Plan {
        plan(&self.world())
    }
}

fn names(plan: &Plan) -> Vec<&str> {
    plan.hosts.iter().map(|host| host.name.as_str()).collect()
}

fn waves(plan: &Plan) -> Vec<u32> {
    plan.hosts.iter().map(|host| host.wave).collect()
}

#[test]
fn hosts_without_instances_need_no_room() {
    let mut fleet = Fleet { todo: vec![host(1, &[Role::Storage]), host(2, &[Role::Controller])], ..Fleet::default() };
    fleet.policy.max_parallel_hosts = 0;
    let plan = fleet.plan();
    assert_eq!(plan.room, Room::Spare { empty: Vec::new() });
    assert_eq!((names(&plan), waves(&plan)), (vec!["host-2", "host-1"], vec![1, 2]), "a controller goes alone");
}

#[test]
fn controllers_come_first_and_the_managers_host_last_of_them() {
    let mut fleet = Fleet {
        todo: vec![compute(1), host(2, &[Role::Controller]), host(3, &[Role::Controller])],
        ..Fleet::default()
    };
    fleet.todo[1].manager = true;
    assert_eq!(names(&fleet.plan()), ["host-3", "host-2", "host-1"]);
}

#[test]
fn moves_land_on_hosts_that_are_done() {
    let fleet = Fleet::of(3, size(8, 8)).instance("a", 1, size(8, 8), None).instance("b", 2, size(8, 8), None);
    let plan = fleet.plan();
    assert_eq!(plan.room, Room::Spare { empty: vec![id(3)] });
    assert_eq!(names(&plan), ["host-3", "host-1", "host-2"]);
    let landings: Vec<_> =
        plan.hosts.iter().flat_map(|host| &host.landings).map(|l| (l.instance.as_str(), l.to)).collect();
    assert_eq!(landings, [("a", id(3)), ("b", id(1))], "each host that becomes free takes the next");
    assert!(plan.hosts.iter().all(|host| host.blockers.is_empty()));
    assert!(plan.warnings.iter().any(|warning| warning.contains("were to be left free")), "{:?}", plan.warnings);
}

#[test]
fn scattered_room_names_the_host_that_is_emptied_first() {
    let fleet = Fleet::of(3, size(4, 4))
        .instance("a", 1, size(2, 2), None)
        .instance("b", 2, size(1, 1), None)
        .instance("c", 3, size(3, 3), None);
    assert_eq!(fleet.plan().room, Room::Scattered { first: id(2) });
    assert!(place(&fleet.world(), id(2)).is_ok());
}

#[test]
fn what_is_missing_is_told_with_what_could_be_removed() {
    let mut fleet = Fleet::of(2, size(4, 4)).group("g", false, 1);
    for (name, at) in [("a", 1), ("b", 1), ("c", 2), ("d", 2)] {
        fleet = fleet.instance(name, at, size(2, 2), Some("g"));
    }
    let Room::Missing { size: missing, remove } = fleet.plan().room else { panic!("there is room") };
    assert_eq!(missing, size(4, 4));
    assert_eq!(remove.len(), 1, "the group bears one: {remove:?}");
    let blockers = place(&fleet.world(), id(1)).unwrap_err();
    assert!(blockers.iter().all(|blocker| blocker.code == "capacity.insufficient"), "{blockers:?}");
}

#[test]
fn the_last_member_of_a_group_is_never_removed() {
    let fleet = Fleet::of(2, size(2, 2)).group("one", false, 5).instance("a", 1, size(2, 2), Some("one")).instance(
        "x",
        2,
        size(2, 2),
        None,
    );
    let Room::Missing { remove, .. } = fleet.plan().room else { panic!("there is room") };
    assert!(!remove.contains(&"a".to_owned()), "{remove:?}");
}

/// Spec/maintenance.md §9, point 12: anti-affinity holds in every placement in between.
#[test]
fn spec_9_12_anti_affinity_holds_at_every_step_of_a_plan() {
    let mut fleet = Fleet::of(6, size(16, 16)).group("g", true, 1);
    for n in 1..=4 {
        fleet = fleet.instance(&format!("m{n}"), n, size(1, 1), Some("g"));
    }
    let plan = fleet.plan();
    let mut at: BTreeMap<String, HostId> =
        fleet.computes.instances.iter().map(|instance| (instance.id.clone(), instance.host)).collect();
    for host in &plan.hosts {
        assert!(host.blockers.is_empty(), "{host:?}");
        for landing in &host.landings {
            at.insert(landing.instance.clone(), landing.to);
            let places: BTreeSet<_> = at.values().collect();
            assert_eq!(places.len(), at.len(), "two members on one host after {landing:?}");
        }
    }
}

#[test]
fn what_a_group_forbids_is_a_blocker() {
    let fleet = Fleet::of(2, size(16, 16))
        .group("g", true, 1)
        .group("holy", false, 0)
        .instance("a", 1, size(1, 1), Some("g"))
        .instance("b", 2, size(1, 1), Some("g"))
        .instance("c", 1, size(1, 1), Some("holy"));
    let mut codes: Vec<_> = place(&fleet.world(), id(1)).unwrap_err().into_iter().map(|blocker| blocker.code).collect();
    codes.sort_unstable();
    assert_eq!(codes, ["affinity", "group.untouchable"]);
}

#[test]
fn a_member_waits_for_the_budget_of_its_group() {
    let mut fleet = Fleet::of(2, size(16, 16)).group("g", false, 1);
    for (name, at) in [("a", 1), ("b", 2)] {
        fleet = fleet.instance(name, at, size(1, 1), Some("g"));
    }
    assert!(may_act(&fleet.world(), "a"));
    fleet.impacted.insert("b".into(), None);
    assert!(!may_act(&fleet.world(), "a"));
    assert!(may_act(&fleet.world(), "b"), "what is impacted already may go on");
    assert!(may_act(&fleet.world(), "unknown"));
}

#[test]
fn two_failure_domains_of_one_cluster_never_go_together() {
    let mut fleet = Fleet { todo: (1..=4).map(|n| host(n, &[Role::Storage])).collect(), ..Fleet::default() };
    for (host, zone) in fleet.todo.iter_mut().zip(["a", "a", "b", "b"]) {
        (host.cluster, host.zone) = (Some("ceph".into()), Some(zone.into()));
    }
    fleet.policy.max_parallel_hosts = 0;
    assert_eq!(waves(&fleet.plan()), [1, 2, 3, 4], "one of a domain at a time by default");
    fleet.policy.max_parallel_per_domain = 2;
    assert_eq!(waves(&fleet.plan()), [1, 1, 2, 2]);
}

#[test]
fn what_an_instance_needs_must_be_offered() {
    let mut fleet = Fleet::of(2, size(16, 16)).instance("a", 1, size(1, 1), None);
    fleet.computes.instances[0].needs = vec!["sriov".into()];
    assert_eq!(place(&fleet.world(), id(1)).unwrap_err()[0].code, "needs");
    fleet.computes.capacity.get_mut(&id(2)).unwrap().offers = vec!["sriov".into()];
    fleet.computes.instances[0].can_live_migrate = false;
    assert_eq!(place(&fleet.world(), id(1)).unwrap()[0].action, MoveAction::Migrate);
}

#[test]
fn nothing_lands_on_hosts_that_are_out_of_service_or_away() {
    let mut fleet = Fleet::of(1, size(4, 4)).instance("a", 1, size(1, 1), None);
    for (n, disabled, connected) in [(8, true, true), (9, false, false)] {
        let mut other = compute(n);
        (other.disabled, other.connected) = (disabled.then(|| "broken".into()), connected);
        fleet.computes.capacity.insert(other.host, Capacity { total: size(16, 16), offers: Vec::new() });
        fleet.others.push(other);
    }
    assert_eq!(place(&fleet.world(), id(1)).unwrap_err()[0].code, "capacity.insufficient");
    fleet.others[0].disabled = None;
    assert_eq!(place(&fleet.world(), id(1)).unwrap()[0].to, id(8));
}

/// Spec/maintenance.md §9, point 21, with twice the hosts.
#[test]
fn spec_9_21_a_large_fleet_is_planned_without_blockers() {
    let mut fleet = Fleet::of(1000, size(64, 256));
    for n in 0..1000_u128 {
        fleet = fleet.group(&format!("g{n}"), true, 1);
    }
    for n in 0..10_000_u128 {
        fleet = fleet.instance(&format!("i{n}"), 1 + n % 999, size(4, 16), Some(&format!("g{}", n / 10)));
    }
    fleet.policy.max_parallel_hosts = 0;
    fleet.workflow = Workflow::Vnf;
    let plan = fleet.plan();
    assert_eq!(plan.hosts.len(), 1000);
    assert!(plan.hosts.iter().all(|host| host.blockers.is_empty()));
    assert!(plan.hosts.iter().map(|host| host.landings.len()).sum::<usize>() >= 10_000);
}
