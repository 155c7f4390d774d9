//! Sets or unsets a flag of the cluster (spec/hooks.md §4.2).

use hostler_common::step::{CephFlag, StepResult};
use serde_json::json;

use super::{Context, Failure, asked, ordered};
use crate::ceph::{CephClient, Error, parse};

/// Flags that may be changed, and by which names the OSD map shows them.
const FLAGS: &[(&str, &[&str])] = &[
    ("full", &["full"]),
    ("pause", &["pauserd", "pausewr"]),
    ("noup", &["noup"]),
    ("nodown", &["nodown"]),
    ("noout", &["noout"]),
    ("noin", &["noin"]),
    ("nobackfill", &["nobackfill"]),
    ("norebalance", &["norebalance"]),
    ("norecover", &["norecover"]),
    ("noscrub", &["noscrub"]),
    ("nodeep-scrub", &["nodeep-scrub"]),
    ("notieragent", &["notieragent"]),
    ("nosnaptrim", &["nosnaptrim"]),
];

/// Does it.
///
/// # Errors
/// No such flag; the cluster cannot be asked or refuses.
pub fn run(step: &CephFlag, context: &Context) -> Result<StepResult, Failure> {
    let Some((_, shown)) = FLAGS.iter().find(|(name, _)| *name == step.flag) else {
        return Err(Failure::Refused(format!("there is no flag {:?} that could be set", step.flag)));
    };
    let mut client = context.client();
    let before = asked(flags(client.as_mut()))?;
    let is_set = |flags: &[String]| shown.iter().all(|name| flags.iter().any(|flag| flag == name));
    if is_set(&before) == step.set {
        let detail = format!("{} was {} already", step.flag, if step.set { "set" } else { "unset" });
        return Ok(StepResult { changed: false, before: json!(before), after: json!(before), detail });
    }
    let prefix = if step.set { "osd set" } else { "osd unset" };
    ordered(client.send(&json!({"prefix": prefix, "key": step.flag}), b""))?;
    let after = ordered(flags(client.as_mut()))?;
    if is_set(&after) != step.set {
        return Err(Failure::Broken(format!("the cluster took the order, and {} is as it was", step.flag)));
    }
    let detail = format!("{} is {}", step.flag, if step.set { "set" } else { "unset" });
    Ok(StepResult { changed: true, before: json!(before), after: json!(after), detail })
}

fn flags(client: &mut dyn CephClient) -> Result<Vec<String>, Error> {
    Ok(parse::osd_map(&client.ask(&json!({"prefix": "osd dump", "format": "json"}))?).flags)
}
