//! Moves all data away from OSDs, or lets them have data again (spec/maintenance.md §8.6).
//!
//! Must never: begin where there is no room, or where too few failure domains would be left; say that an OSD is empty because
//! nobody could tell.

mod proof;

use hostler_common::step::StepResult;
use hostler_common::step::maintenance::{CephDrain, CephDrained};
use serde_json::{Value, json};

use super::{Context, Failure, asked, ordered};
use crate::ceph::{CephClient, Error, parse};

/// Does it, or sees how far it is.
///
/// # Errors
/// There is no such OSD; the cluster cannot be asked or refuses.
pub fn run(step: &CephDrain, context: &Context) -> Result<StepResult, Failure> {
    let mut client = context.client();
    perform(client.as_mut(), step)
}

fn perform(client: &mut dyn CephClient, step: &CephDrain) -> Result<StepResult, Failure> {
    if step.osds.is_empty() {
        return Err(Failure::Refused("no OSD is named".into()));
    }
    let dump = asked(ask(client, "osd dump"))?;
    let map = parse::osd_map(&dump);
    let mut wrong = Vec::new();
    for id in &step.osds {
        match map.osds.iter().find(|osd| osd.id == *id) {
            None => return Err(Failure::Refused(format!("there is no osd.{id}"))),
            Some(osd) if osd.r#in == step.out => wrong.push(*id),
            Some(_) => {}
        }
    }
    if step.out && !wrong.is_empty() {
        let answers = proof::Answers {
            df: asked(ask(client, "osd df"))?,
            crush: asked(ask(client, "osd crush dump"))?,
            pools: asked(client.ask(&json!({"prefix": "osd pool ls", "detail": "detail", "format": "json"})))?,
            dump,
        };
        if let Some(against) = proof::against(&answers, &step.osds) {
            let detail = format!("it is not begun: {against}");
            let drained = CephDrained { left: step.osds.clone(), pgs: 0, against: Some(against) };
            return Ok(StepResult { changed: false, before: Value::Null, after: json!(drained), detail });
        }
    }
    let changed = !wrong.is_empty();
    if changed {
        let ids: Vec<String> = wrong.iter().map(ToString::to_string).collect();
        let prefix = if step.out { "osd out" } else { "osd in" };
        ordered(client.send(&json!({"prefix": prefix, "ids": ids}), b""))?;
    }
    let look = |answer| if changed { ordered(answer) } else { asked(answer) };
    let drained = if step.out { look(left(client, &step.osds))? } else { CephDrained::default() };
    let detail = match (step.out, drained.left.len()) {
        (false, _) => "the OSDs may have data".to_owned(),
        (true, 0) => "the OSDs have no data that is not elsewhere".to_owned(),
        (true, left) => format!("{left} OSDs are not empty: {} placement groups are on them", drained.pgs),
    };
    Ok(StepResult { changed, before: json!({"in": in_of(&map, &step.osds)}), after: json!(drained), detail })
}

fn in_of(map: &parse::OsdMap, osds: &[i64]) -> Vec<i64> {
    map.osds.iter().filter(|osd| osd.r#in && osds.contains(&osd.id)).map(|osd| osd.id).collect()
}

/// Asks; `osd df` as a tree.
fn ask(client: &mut dyn CephClient, prefix: &str) -> Result<Value, Error> {
    let mut command = json!({"prefix": prefix, "format": "json"});
    if prefix == "osd df" {
        command = json!({"prefix": prefix, "output_method": "tree", "format": "json"});
    }
    client.ask(&command)
}

/// Which OSDs still have data, or are not safe to destroy.
fn left(client: &mut dyn CephClient, osds: &[i64]) -> Result<CephDrained, Error> {
    let ids: Vec<String> = osds.iter().map(ToString::to_string).collect();
    let safe = match client.ask(&json!({"prefix": "osd safe-to-destroy", "ids": ids, "format": "json"})) {
        Ok(answer) => answer,
        // It is mapped still, or nobody can tell yet: then it is not.
        Err(Error::Refused { .. }) => Value::Null,
        Err(error) => return Err(error),
    };
    Ok(drained(&ask(client, "osd df")?, &safe, osds))
}

/// The exit code of `safe-to-destroy` says nothing: an OSD that is in use is told of in `active`.
fn drained(df: &Value, safe: &Value, osds: &[i64]) -> CephDrained {
    let safe: Vec<i64> = safe["safe_to_destroy"].as_array().into_iter().flatten().filter_map(Value::as_i64).collect();
    let pgs = |osd: i64| {
        let nodes = df["nodes"].as_array().into_iter().flatten();
        nodes.filter(|node| node["id"].as_i64() == Some(osd)).find_map(|node| node["pgs"].as_u64())
    };
    // One that the list does not have is not known to be empty.
    let left = osds.iter().copied().filter(|osd| !safe.contains(osd) || pgs(*osd) != Some(0));
    CephDrained { left: left.collect(), pgs: osds.iter().filter_map(|osd| pgs(*osd)).sum(), against: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::fixture::recorded;

    #[test]
    fn an_osd_is_empty_only_when_both_say_so() {
        let mut df = recorded("df");
        assert_eq!(drained(&df, &recorded("safe"), &[1]), CephDrained { left: vec![1], pgs: 17, against: None });
        let safe = json!({"safe_to_destroy": [1], "active": [], "missing_stats": [], "stored_pgs": []});
        assert_eq!(drained(&df, &safe, &[1]).left, [1], "it has placement groups");
        for node in df["nodes"].as_array_mut().unwrap() {
            node["pgs"] = json!(0);
        }
        assert_eq!(drained(&df, &safe, &[1]), CephDrained::default());
        assert_eq!(drained(&df, &Value::Null, &[1]).left, [1], "nobody can tell");
        assert_eq!(drained(&df, &json!({"safe_to_destroy": [9]}), &[9]).left, [9], "nobody knows it");
    }
}
