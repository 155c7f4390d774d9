//! What a session would do, without making one (spec/maintenance.md §3.4, `dry_run`).

use hostler_common::id::HostId;

use super::command::Create;
use super::document::Session;
use super::facts::Facts;
use super::turn::Turn;
use crate::machine::{Context, Refusal};
use crate::maintenance::plan::{self, Plan};

/// The plan of a session that is not made.
///
/// # Errors
/// Refused as [`Command::Create`](super::Command::Create) would be.
pub fn rehearse(create: Create, cx: &Context<Facts>) -> Result<Plan, Refusal> {
    let mut turn = Turn::new(&Session::new(create.id), cx);
    turn.create(create)?;
    let todo: Vec<HostId> = turn.rows.iter().map(|row| row.host).collect();
    let sight = turn.sight(&todo, None);
    let mut plan = plan::plan(&sight.world());
    plan.warnings.extend(turn.s.warnings);
    Ok(plan)
}
