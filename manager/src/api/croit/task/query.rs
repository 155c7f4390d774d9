//! What the list of tasks can be asked for, in the words of the store.

use hostler_common::time::Timestamp;

use super::super::page::{Column, Columns, Condition, Kind, Operand, Operator, Scalar, Sort, column};
use crate::api::native::error::{Error, Result};
use crate::store::task::{Bound, Comparison, TaskColumn, TaskCondition};

/// The columns.
pub(super) const COLUMNS: Columns = &[
    column("id", Kind::Number),
    column("kind", Kind::Text),
    column("name", Kind::Text),
    column("state", Kind::Text),
    column("startedBy", Kind::Text),
    column("startedAt", Kind::Date),
    column("finishedAt", Kind::Date),
    column("object", Kind::Text),
    column("host", Kind::Text),
    column("done", Kind::Flag),
    column("cancelled", Kind::Flag),
    column("statusCode", Kind::Number),
];

fn stored(column: Column) -> TaskColumn {
    match column.name {
        "kind" => TaskColumn::Kind,
        "name" => TaskColumn::Name,
        "state" => TaskColumn::State,
        "startedBy" => TaskColumn::StartedBy,
        "startedAt" => TaskColumn::StartedAt,
        "finishedAt" => TaskColumn::FinishedAt,
        "object" => TaskColumn::Object,
        "host" => TaskColumn::Host,
        "done" => TaskColumn::Done,
        "cancelled" => TaskColumn::Cancelled,
        "statusCode" => TaskColumn::StatusCode,
        // Conditions were checked against the columns above, of which this one is left.
        _ => TaskColumn::Id,
    }
}

/// The order.
pub(super) fn sort(sort: &[Sort]) -> Vec<(TaskColumn, bool)> {
    sort.iter().map(|sort| (stored(sort.column), sort.descending)).collect()
}

fn bound(scalar: &Scalar) -> Bound {
    match scalar {
        Scalar::Number(number) if number.fract() == 0.0 && number.abs() < 9e15 => Bound::Int(*number as i64),
        Scalar::Number(number) => Bound::Real(*number),
        Scalar::Text(text) => Bound::Text(text.clone()),
        Scalar::Date(moment) => Bound::Int(Timestamp::as_micros(*moment)),
        Scalar::Flag(flag) => Bound::Int(i64::from(*flag)),
    }
}

/// The condition.
///
/// # Errors
/// A pattern is in it, which the store does not look for.
pub(super) fn condition(given: &Condition) -> Result<TaskCondition> {
    let several = |all: &[Condition]| all.iter().map(condition).collect::<Result<Vec<_>>>();
    Ok(match given {
        Condition::All(all) => TaskCondition::All(several(all)?),
        Condition::Any(any) => TaskCondition::Any(several(any)?),
        Condition::Not(inner) => TaskCondition::Not(Box::new(condition(inner)?)),
        Condition::Search(text) => TaskCondition::Search(text.clone()),
        Condition::Test(column, operator, operand) => test(stored(*column), *operator, operand)?,
    })
}

fn test(column: TaskColumn, operator: Operator, operand: &Operand) -> Result<TaskCondition> {
    let compare = |comparison| match operand {
        Operand::One(scalar) => Ok(TaskCondition::Compare(column, comparison, bound(scalar))),
        Operand::Several(..) | Operand::Pattern(_) => Err(Error::internal(&"a comparison with more than one value")),
    };
    let one_of = || match operand {
        Operand::Several(items, whole) => {
            Ok(TaskCondition::In(column, items.iter().map(bound).collect(), whole.clone()))
        }
        Operand::One(_) | Operand::Pattern(_) => Err(Error::internal(&"a list without values")),
    };
    match operator {
        Operator::Eq => compare(Comparison::Eq),
        Operator::Neq => compare(Comparison::Ne),
        Operator::Gt => compare(Comparison::Gt),
        Operator::Gte => compare(Comparison::Ge),
        Operator::Lt => compare(Comparison::Lt),
        Operator::Lte => compare(Comparison::Le),
        Operator::In => one_of(),
        Operator::Nin => Ok(TaskCondition::Not(Box::new(one_of()?))),
        Operator::Contains => match operand {
            Operand::One(Scalar::Text(text)) => Ok(TaskCondition::Contains(column, text.clone())),
            _ => Err(Error::internal(&"a part that is no text")),
        },
        Operator::Regex => Err(Error::internal(&"a pattern for the store")),
    }
}
