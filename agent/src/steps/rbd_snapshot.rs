//! Takes a snapshot of an RBD image (spec/hooks.md §7.11).

use std::time::Duration;

use hostler_common::step::{RbdSnapshot, StepResult};
use serde_json::{Value, json};

use super::{Context, Failure, check_name};
use crate::ceph::{parse, program};
use crate::watch::rbd_mark;

/// How long taking a snapshot may last: writers are asked to hold still.
const LIMIT: Duration = Duration::from_secs(300);

/// Does it.
///
/// # Errors
/// There is no such image, or already such a snapshot; the cluster refuses.
pub fn run(step: &RbdSnapshot, context: &Context) -> Result<StepResult, Failure> {
    check_name("pool", &step.pool)?;
    check_name("image", &step.image)?;
    check_name("snapshot", &step.snapshot)?;
    if !step.namespace.is_empty() {
        check_name("namespace", &step.namespace)?;
    }
    let before = list(step, context).map_err(Failure::Refused)?;
    if before.iter().any(|snapshot| snapshot.name == step.snapshot) {
        return Err(Failure::Refused(format!("{} has a snapshot {} already", step.image, step.snapshot)));
    }
    let _mark = context.mark(&rbd_mark(&step.pool, &step.namespace, &step.image, &step.snapshot));
    rbd(step, context, &["snap", "create"], Some(&step.snapshot)).map_err(Failure::Broken)?;
    let after = list(step, context).map_err(Failure::Broken)?;
    let Some(made) = after.iter().find(|snapshot| snapshot.name == step.snapshot) else {
        return Err(Failure::Broken("the snapshot was made and is not there".into()));
    };
    let names = |list: &[parse::RbdSnapshot]| list.iter().map(|snapshot| snapshot.name.clone()).collect::<Vec<_>>();
    Ok(StepResult {
        changed: true,
        before: json!({"snapshots": names(&before)}),
        after: json!({"id": made.id, "name": made.name}),
        detail: format!("{}@{} is snapshot {}", step.image, step.snapshot, made.id),
    })
}

fn list(step: &RbdSnapshot, context: &Context) -> Result<Vec<parse::RbdSnapshot>, String> {
    let answer = rbd(step, context, &["snap", "ls", "--format", "json"], None)?;
    let answer: Value = serde_json::from_slice(&answer).map_err(|error| error.to_string())?;
    Ok(parse::rbd_snapshots(&answer))
}

fn rbd(step: &RbdSnapshot, context: &Context, words: &[&str], snapshot: Option<&str>) -> Result<Vec<u8>, String> {
    let mut arguments = context.ceph.arguments();
    arguments.extend(words.iter().map(|word| (*word).to_owned()));
    let named = [
        ("--pool", Some(step.pool.as_str())),
        ("--namespace", Some(step.namespace.as_str()).filter(|namespace| !namespace.is_empty())),
        ("--image", Some(step.image.as_str())),
        ("--snap", snapshot),
    ];
    for (option, value) in named {
        if let Some(value) = value {
            arguments.extend([option.to_owned(), value.to_owned()]);
        }
    }
    let ended = program::run("rbd", &arguments, b"", LIMIT).map_err(|error| error.to_string())?;
    if ended.good() { Ok(ended.output) } else { Err(format!("rbd: {}", ended.reason())) }
}
