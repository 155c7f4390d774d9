//! Sets or unsets `noout` of one CRUSH bucket, and reads it back (spec/maintenance.md §8.3). Never the flag of the whole
//! cluster: OSDs that fail elsewhere meanwhile must be replaced as ever.

use hostler_common::step::StepResult;
use hostler_common::step::maintenance::CephNoout;
use serde_json::{Value, json};

use super::{Context, Failure, asked, check_name, ordered};
use crate::ceph::{CephClient, Error, parse};

const FLAG: &str = "noout";

/// Does it. `before` and `after` are the flags of the bucket.
///
/// # Errors
/// There is no such bucket; the cluster cannot be asked or refuses; it took the order and nothing changed.
pub fn run(step: &CephNoout, context: &Context) -> Result<StepResult, Failure> {
    check_name("bucket", &step.bucket)?;
    let mut client = context.client();
    let before = asked(flags(client.as_mut(), &step.bucket))?;
    let is_set = |flags: &[String]| flags.iter().any(|flag| flag == FLAG);
    let (word, prefix) = if step.set { ("set", "osd set-group") } else { ("unset", "osd unset-group") };
    if is_set(&before) == step.set {
        let detail = format!("{FLAG} of {} was {word} already", step.bucket);
        return Ok(StepResult { changed: false, before: json!(before), after: json!(before), detail });
    }
    let order = json!({"prefix": prefix, "flags": FLAG, "who": [&step.bucket]});
    client.send(&order, b"").map_err(|error| match error.errno() {
        // An unknown bucket: nothing happened.
        Some(nix::libc::EINVAL) => Failure::refused(error),
        _ => Failure::broken(error),
    })?;
    let after = ordered(flags(client.as_mut(), &step.bucket))?;
    if is_set(&after) != step.set {
        return Err(Failure::Broken(format!("the cluster took the order, and {FLAG} of {} is as it was", step.bucket)));
    }
    let detail = format!("{FLAG} of {} is {word}", step.bucket);
    Ok(StepResult { changed: true, before: json!(before), after: json!(after), detail })
}

fn flags(client: &mut dyn CephClient, bucket: &str) -> Result<Vec<String>, Error> {
    let dump: Value = client.ask(&json!({"prefix": "osd dump", "format": "json"}))?;
    Ok(parse::node_flags(&dump).remove(bucket).unwrap_or_default())
}
