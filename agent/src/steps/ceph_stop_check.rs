//! Whether daemons may stop (spec/maintenance.md §8.2). The step succeeds when every question was answered, whatever the
//! answers.
//!
//! The cluster says "yes" to daemons that it does not know and to OSDs that are down: that there are such daemons is checked
//! here, that they are up is for who reads a sample.

use std::collections::BTreeSet;

use hostler_common::step::StepResult;
use hostler_common::step::maintenance::{CephStopAnswer, Daemons};
use nix::libc::{EBUSY, EINVAL};
use serde_json::{Value, json};

use super::{Context, Failure, asked};
use crate::ceph::{CephClient, Error, parse};

/// Finds it out.
///
/// # Errors
/// One of the questions has no answer.
pub fn run(daemons: &Daemons, context: &Context) -> Result<StepResult, Failure> {
    let mut client = context.client();
    let answer = asked(answer(client.as_mut(), daemons))?;
    let detail = if answer.ok { "all of it may stop".to_owned() } else { answer.against.join("; ") };
    Ok(StepResult { changed: false, before: Value::Null, after: json!(answer), detail })
}

/// Asks for all of them.
pub(super) fn answer(client: &mut dyn CephClient, daemons: &Daemons) -> Result<CephStopAnswer, Error> {
    let mut against = Vec::new();
    let mut with = Vec::new();
    if !daemons.osds.is_empty() {
        against.extend(osds(client, &daemons.osds)?);
        if against.is_empty() {
            with = company(client, &daemons.osds)?;
        }
    }
    if !daemons.mons.is_empty() {
        against.extend(mons(client, &daemons.mons)?);
    }
    if !daemons.mgrs.is_empty() {
        against.extend(managers(&client.ask(&json!({"prefix": "mgr dump", "format": "json"}))?, &daemons.mgrs));
    }
    if !daemons.mdss.is_empty() {
        against.extend(metadata_servers(client, &daemons.mdss)?);
    }
    Ok(CephStopAnswer { ok: against.is_empty(), against, with })
}

/// Asks; what the cluster says against it.
fn refusal(client: &mut dyn CephClient, command: &Value) -> Result<Option<String>, Error> {
    match client.send(command, b"") {
        Ok(_) => Ok(None),
        Err(Error::Refused { errno: EBUSY, message }) => Ok(Some(message)),
        Err(error) => Err(error),
    }
}

/// What speaks against stopping these OSDs.
pub(super) fn osds(client: &mut dyn CephClient, osds: &[i64]) -> Result<Vec<String>, Error> {
    let map = parse::osd_map(&client.ask(&json!({"prefix": "osd dump", "format": "json"}))?);
    let unknown = osds.iter().filter(|osd| !map.osds.iter().any(|other| other.id == **osd));
    let unknown: Vec<String> = unknown.map(|osd| format!("there is no osd.{osd}")).collect();
    if !unknown.is_empty() {
        return Ok(unknown);
    }
    let command = json!({"prefix": "osd ok-to-stop", "ids": texts(osds), "format": "json"});
    match client.ask(&command) {
        Ok(answer) if answer["ok_to_stop"] == true => Ok(Vec::new()),
        Ok(answer) => Ok(vec![format!("OSDs {osds:?} may not stop: {}", shortened(&answer))]),
        Err(Error::Refused { errno: EBUSY, message }) => Ok(vec![message]),
        Err(error) => Err(error),
    }
}

fn texts(osds: &[i64]) -> Vec<String> {
    osds.iter().map(ToString::to_string).collect()
}

/// How many placement groups speak against it, and why.
fn shortened(answer: &Value) -> String {
    let reasons = ["unknown_pgs", "bad_no_pool_pgs", "bad_already_inactive", "bad_become_inactive"];
    let counted = reasons.iter().filter_map(|key| Some(format!("{key}: {}", answer[*key].as_array()?.len())));
    let counted: Vec<String> = counted.collect();
    if counted.is_empty() { answer.to_string() } else { counted.join(", ") }
}

/// OSDs that could stop together with these, of the same failure domain. Releases before 16 cannot be asked.
fn company(client: &mut dyn CephClient, osds: &[i64]) -> Result<Vec<i64>, Error> {
    let map = parse::osd_map(&client.ask(&json!({"prefix": "osd dump", "format": "json"}))?);
    let command =
        json!({"prefix": "osd ok-to-stop", "ids": texts(osds), "max": map.osds.len().max(1), "format": "json"});
    let answer = match client.ask(&command) {
        Ok(answer) => answer,
        // It was said to be well a moment ago; then there is no company either.
        Err(Error::Refused { errno: EBUSY | EINVAL, .. }) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let all = answer["osds"].as_array().into_iter().flatten().filter_map(Value::as_i64);
    Ok(all.filter(|osd| !osds.contains(osd)).collect())
}

/// What speaks against stopping these monitors: what the cluster says, and our own count as a second opinion.
pub(super) fn mons(client: &mut dyn CephClient, names: &[String]) -> Result<Vec<String>, Error> {
    let mut against = quorum(&client.ask(&json!({"prefix": "quorum_status", "format": "json"}))?, names);
    if against.is_empty() {
        against.extend(refusal(client, &json!({"prefix": "mon ok-to-stop", "ids": names}))?);
    }
    Ok(against)
}

fn quorum(status: &Value, names: &[String]) -> Vec<String> {
    let (all, quorum) = (parse::names(&status["monmap"]["mons"]), parse::names(&status["quorum_names"]));
    let unknown = names.iter().filter(|name| !all.contains(name)).map(|name| format!("there is no monitor {name}"));
    let mut against: Vec<String> = unknown.collect();
    let (left, needed) = (quorum.iter().filter(|name| !names.contains(name)).count(), all.len() / 2 + 1);
    if left < needed {
        against.push(format!("{left} of {} monitors would be left in the quorum, which needs {needed}", all.len()));
    }
    against
}

/// What speaks against stopping these managers: there must be another.
fn managers(dump: &Value, names: &[String]) -> Vec<String> {
    let mut all: BTreeSet<String> = parse::names(&dump["standbys"]).into_iter().collect();
    all.extend(dump["active_name"].as_str().filter(|name| !name.is_empty()).map(str::to_owned));
    let unknown = names.iter().filter(|name| !all.contains(*name)).map(|name| format!("there is no manager {name}"));
    let mut against: Vec<String> = unknown.collect();
    if all.iter().all(|name| names.contains(name)) {
        against.push("no manager would be left".to_owned());
    }
    against
}

/// What speaks against stopping these metadata servers. The cluster says yes also to ones that there are not.
pub(super) fn metadata_servers(client: &mut dyn CephClient, names: &[String]) -> Result<Vec<String>, Error> {
    let dump = client.ask(&json!({"prefix": "fs dump", "format": "json"}))?;
    let unknown = names.iter().filter(|name| !parse::presence::mds(&dump, name));
    let mut against: Vec<String> = unknown.map(|name| format!("there is no metadata server {name}")).collect();
    if against.is_empty() {
        against.extend(refusal(client, &json!({"prefix": "mds ok-to-stop", "ids": names}))?);
    }
    Ok(against)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::fixture::recorded;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_quorum_must_be_left() {
        let status = recorded("quorum");
        assert!(quorum(&status, &names(&["a"])).is_empty());
        let against = quorum(&status, &names(&["a", "b"]));
        assert_eq!(against, ["1 of 3 monitors would be left in the quorum, which needs 2"]);
        assert_eq!(quorum(&status, &names(&["z"])), ["there is no monitor z"]);
        // One of three is gone already.
        let mut status = status;
        status["quorum_names"] = json!(["a", "b"]);
        assert_eq!(quorum(&status, &names(&["a"])).len(), 1);
        assert!(quorum(&status, &names(&["c"])).is_empty());
    }

    #[test]
    fn a_manager_must_be_left() {
        let dump = recorded("mgr_dump");
        assert!(managers(&dump, &names(&["y"])).is_empty() && managers(&dump, &names(&["x"])).is_empty());
        assert_eq!(managers(&dump, &names(&["x", "y"])), ["no manager would be left"]);
        assert_eq!(managers(&dump, &names(&["z"])), ["there is no manager z"]);
    }

    #[test]
    fn reasons_are_counted() {
        let answer = json!({"ok_to_stop": false, "bad_become_inactive": ["1.0", "1.1"]});
        assert_eq!(shortened(&answer), "bad_become_inactive: 2");
    }
}
