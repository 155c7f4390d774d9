//! Reads and changes the CRUSH map (spec/hooks.md §7.6).
//!
//! A whole map is set by compare-and-swap: the cluster refuses it if somebody was faster. Single commands are bracketed by the
//! version: it must be the planned one before, and what it is after is told.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hostler_common::step::{CrushChange, CrushEdit, StepResult};
use serde_json::{Value, json};

use super::{Context, Failure, asked, check_name, ordered};
use crate::ceph::{CephClient, Error, parse};

/// Reads the map: its version, the compiled map as base64, the map as JSON and the hash of that.
///
/// # Errors
/// The cluster cannot be asked.
pub fn read(context: &Context) -> Result<StepResult, Failure> {
    let mut client = context.client();
    let map = asked(look(client.as_mut()))?;
    let detail = format!("the CRUSH map has version {}", map.version);
    let dump = asked(dump(client.as_mut()))?;
    let after = json!({"version": map.version, "map": STANDARD.encode(&map.compiled),
        "hash": parse::crush_hash(&dump), "crush": dump});
    Ok(StepResult { changed: false, before: Value::Null, after, detail })
}

/// Changes the map.
///
/// # Errors
/// It has another version than planned, also where that is so because somebody was faster; the cluster refuses.
pub fn run(step: &CrushChange, context: &Context) -> Result<StepResult, Failure> {
    check(&step.edit)?;
    let mut client = context.client();
    let before = asked(look(client.as_mut()))?;
    if let Some(planned) = step.version.filter(|planned| *planned != before.version) {
        let text = format!("the CRUSH map has version {} and not {planned}: somebody changed it", before.version);
        return Err(Failure::Refused(text));
    }
    let was = asked(dump(client.as_mut()))?;
    apply(client.as_mut(), &step.edit, before.version)?;
    let after = ordered(look(client.as_mut()))?;
    let plain = ordered(dump(client.as_mut()))?;
    let changed = after.version != before.version;
    let detail = match (changed, after.version.saturating_sub(before.version)) {
        (false, _) => "the CRUSH map was so already".to_owned(),
        (true, 1) => format!("the CRUSH map has version {} now", after.version),
        (true, moves) => format!("the CRUSH map has version {} now; it moved by {moves}", after.version),
    };
    Ok(StepResult {
        changed,
        before: json!({"version": before.version, "map": STANDARD.encode(&before.compiled), "crush": was}),
        after: json!({"version": after.version, "map": STANDARD.encode(&after.compiled),
            "hash": parse::crush_hash(&plain), "crush": plain}),
        detail,
    })
}

/// What can be said against an edit without asking the cluster.
fn check(edit: &CrushEdit) -> Result<(), Failure> {
    match edit {
        CrushEdit::Move { item, location } => {
            check_name("CRUSH item", item)?;
            let pair =
                |text: &&String| text.split_once('=').is_some_and(|(kind, name)| !kind.is_empty() && !name.is_empty());
            match location.iter().find(|text| !pair(text)) {
                Some(bad) => Err(Failure::Refused(format!("{bad:?} is not a pair such as rack=a"))),
                None if location.is_empty() => Err(Failure::Refused("no place is named".into())),
                None => Ok(()),
            }
        }
        CrushEdit::Reweight { item, weight } => {
            check_name("CRUSH item", item)?;
            weigh(weight).map(drop)
        }
        CrushEdit::AddBucket { name, kind } => check_name("bucket", name).and_then(|()| check_name("type", kind)),
        CrushEdit::SetDeviceClass { class, osds } => {
            check_name("device class", class)?;
            osds.iter().try_for_each(|osd| check_name("OSD", osd))
        }
        CrushEdit::SetMap { map } => STANDARD.decode(map).map(drop).map_err(Failure::refused),
    }
}

fn weigh(weight: &str) -> Result<f64, Failure> {
    let number = weight.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
    number.ok_or_else(|| Failure::Refused(format!("{weight:?} is not a weight")))
}

fn apply(client: &mut dyn CephClient, edit: &CrushEdit, version: u64) -> Result<(), Failure> {
    let command = match edit {
        CrushEdit::Move { item, location } => json!({"prefix": "osd crush move", "name": item, "args": location}),
        CrushEdit::Reweight { item, weight } => {
            json!({"prefix": "osd crush reweight", "name": item, "weight": weigh(weight)?})
        }
        CrushEdit::AddBucket { name, kind } => json!({"prefix": "osd crush add-bucket", "name": name, "type": kind}),
        CrushEdit::SetDeviceClass { class, osds } => return set_class(client, class, osds),
        CrushEdit::SetMap { map } => return swap(client, map, version),
    };
    ordered(client.send(&command, b"")).map(drop)
}

/// An OSD that has another class must lose that first.
fn set_class(client: &mut dyn CephClient, class: &str, osds: &[String]) -> Result<(), Failure> {
    let set = json!({"prefix": "osd crush set-device-class", "class": class, "ids": osds});
    match client.send(&set, b"") {
        Err(error) if error.errno() == Some(nix::libc::EBUSY) => {
            ordered(client.send(&json!({"prefix": "osd crush rm-device-class", "ids": osds}), b""))?;
            ordered(client.send(&set, b"")).map(drop)
        }
        answer => ordered(answer).map(drop),
    }
}

/// Sets a whole map if the version is still that one.
fn swap(client: &mut dyn CephClient, map: &str, version: u64) -> Result<(), Failure> {
    let compiled = STANDARD.decode(map).map_err(Failure::refused)?;
    match client.send(&json!({"prefix": "osd setcrushmap", "prior_version": version}), &compiled) {
        // Nothing was changed: the cluster compared first.
        Err(error @ Error::Refused { .. }) => Err(Failure::refused(error)),
        answer => ordered(answer).map(drop),
    }
}

/// The map as the cluster has it.
struct Map {
    version: u64,
    compiled: Vec<u8>,
}

/// The compiled map and its version, which comes as the sentence of the answer.
fn look(client: &mut dyn CephClient) -> Result<Map, Error> {
    let reply = client.send(&json!({"prefix": "osd getcrushmap"}), b"")?;
    let version = match reply.status.trim().parse() {
        Ok(version) => version,
        Err(_) => version(client)?,
    };
    Ok(Map { version, compiled: reply.output })
}

fn version(client: &mut dyn CephClient) -> Result<u64, Error> {
    let map = parse::osd_map(&client.ask(&json!({"prefix": "osd dump", "format": "json"}))?);
    map.crush_version.ok_or_else(|| Error::Unreadable("there is no CRUSH version in it".into()))
}

fn dump(client: &mut dyn CephClient) -> Result<Value, Error> {
    client.ask(&json!({"prefix": "osd crush dump", "format": "json"}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_that_cannot_be_meant() {
        let bad = [
            CrushEdit::Move { item: "osd.1".into(), location: vec!["rack".into()] },
            CrushEdit::Move { item: "osd.1".into(), location: vec![] },
            CrushEdit::Move { item: "--x".into(), location: vec!["rack=a".into()] },
            CrushEdit::Reweight { item: "osd.1".into(), weight: "-1".into() },
            CrushEdit::Reweight { item: "osd.1".into(), weight: "inf".into() },
            CrushEdit::SetMap { map: "%".into() },
        ];
        for edit in bad {
            assert!(matches!(check(&edit), Err(Failure::Refused(_))), "{edit:?}");
        }
        assert_eq!(check(&CrushEdit::Move { item: "osd.1".into(), location: vec!["rack=a".into()] }), Ok(()));
    }
}
