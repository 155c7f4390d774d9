//! Where the instances of one host go.

use hostler_common::id::HostId;

use crate::maintenance::instance::{Instance, MoveAction};
use crate::maintenance::spec::Workflow;

use super::ledger::{Ledger, Refused, group_of};
use super::{Blocker, Landing, World};

/// How many places are named for each instance, besides the best.
const OTHERS: usize = 4;

/// What came of emptying a host in the simulation.
#[derive(Debug, Default)]
pub(super) struct Emptied {
    pub(super) landings: Vec<Landing>,
    pub(super) blockers: Vec<Blocker>,
    /// Whether something had to take of the reserve.
    pub(super) into_reserve: bool,
    /// Whether something landed on a host whose turn comes later.
    pub(super) moves_twice: bool,
}

/// Empties a host in the simulation. What cannot go anywhere stays nowhere: it is told as a blocker.
pub(super) fn empty<'w>(ledger: &mut Ledger<'w>, world: &'w World<'w>, host: HostId) -> Emptied {
    let mut emptied = Emptied::default();
    for instance in ledger.lift(host) {
        if let Some(blocker) = untouchable(world, instance) {
            emptied.blockers.push(blocker);
            continue;
        }
        match ledger.candidates(instance, OTHERS + 1) {
            Err(refused) => emptied.blockers.push(blocker(world, instance, refused)),
            Ok(found) => {
                let Some(((fit, to), others)) = found.split_first() else { continue };
                emptied.into_reserve |= fit.into_reserve();
                emptied.moves_twice |= fit.moves_twice();
                ledger.settle(instance, *to);
                emptied.landings.push(Landing {
                    instance: instance.id.clone(),
                    action: action(world, instance),
                    to: *to,
                    others: others.iter().map(|(_, host)| *host).collect(),
                });
            }
        }
    }
    emptied
}

/// How an instance leaves if nobody says otherwise (spec/maintenance.md §3.5 D, §3.9 `unmanaged_project`).
pub(super) fn action(world: &World<'_>, instance: &Instance) -> MoveAction {
    let preferred = match (world.workflow, world.constraints.get(&instance.id)) {
        (Workflow::Vnf, Some(constraint)) => constraint.migration_type,
        _ => MoveAction::LiveMigrate,
    };
    match preferred {
        MoveAction::LiveMigrate if !instance.can_live_migrate => MoveAction::Migrate,
        other => other,
    }
}

fn untouchable(world: &World<'_>, instance: &Instance) -> Option<Blocker> {
    let group = group_of(world, instance).filter(|group| group.max_impacted_members == 0)?;
    let name = group.group_name.as_deref().unwrap_or(&group.group_id);
    let text = format!("{} must never be touched: its group {name} allows no impacted members", called(instance));
    Some(Blocker { code: "group.untouchable", instance: Some(instance.id.clone()), text })
}

fn blocker(world: &World<'_>, instance: &Instance, refused: Refused) -> Blocker {
    let who = called(instance);
    let (code, text) = match refused {
        Refused::Needs => {
            ("needs", format!("no host in service offers what {who} needs: {}", instance.needs.join(", ")))
        }
        Refused::Group => {
            let group =
                group_of(world, instance).map_or("", |group| group.group_name.as_deref().unwrap_or(&group.group_id));
            ("affinity", format!("group {group} does not let {who} go where there is room"))
        }
        Refused::Room => {
            let size = instance.size;
            (
                "capacity.insufficient",
                format!("no host in service has {} vCPUs and {} MiB for {who}", size.vcpus, size.memory_mib),
            )
        }
    };
    Blocker { code, instance: Some(instance.id.clone()), text }
}

fn called(instance: &Instance) -> String {
    if instance.name.is_empty() || instance.name == instance.id {
        instance.id.clone()
    } else {
        format!("{} ({})", instance.name, instance.id)
    }
}
