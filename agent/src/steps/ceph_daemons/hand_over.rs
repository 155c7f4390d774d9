//! Makes standbys take over from the manager and the metadata servers of this host (spec/maintenance.md §8.2, §8.6). No unit is
//! touched: it is the cluster that is asked.

use hostler_common::step::StepResult;
use hostler_common::step::maintenance::Daemons;
use serde_json::{Value, json};

use super::{Patience, wait};
use crate::ceph::{CephClient, Error, parse};
use crate::steps::{Failure, asked, ordered};

/// Does it.
///
/// # Errors
/// There is no other manager; nobody takes over in time; the cluster cannot be asked.
pub(super) fn run(client: &mut dyn CephClient, daemons: &Daemons, patience: Patience) -> Result<StepResult, Failure> {
    let before = asked(state(client))?;
    let mut moved = Vec::new();
    if let Some(manager) = manager_to_leave(&before.managers, &daemons.mgrs).map_err(Failure::Refused)? {
        ordered(client.send(&json!({"prefix": "mgr fail", "who": manager}), b""))?;
        wait(patience.seen, patience.again, || {
            let dump = ask(client, "mgr dump").map_err(|error| error.to_string())?;
            let there = dump["available"] == true
                && dump["active_name"]
                    .as_str()
                    .is_some_and(|name| !name.is_empty() && !daemons.mgrs.contains(&name.to_owned()));
            if there { Ok(()) } else { Err("no other manager took over".to_owned()) }
        })?;
        moved.push(format!("mgr.{manager}"));
    }
    for server in servers_to_leave(&before.files, &daemons.mdss) {
        ordered(client.send(&json!({"prefix": "mds fail", "role_or_gid": server.name}), b""))?;
        wait(patience.seen, patience.again, || {
            let dump = ask(client, "fs dump").map_err(|error| error.to_string())?;
            let taken = active(&dump).any(|other| {
                other.filesystem == server.filesystem
                    && other.rank == server.rank
                    && !daemons.mdss.contains(&other.name)
            });
            if taken { Ok(()) } else { Err(format!("nobody took over from mds.{}", server.name)) }
        })?;
        moved.push(format!("mds.{}", server.name));
    }
    let after = ordered(state(client))?;
    let detail = if moved.is_empty() {
        "there was nothing to hand over".into()
    } else {
        format!("handed over: {}", moved.join(", "))
    };
    Ok(StepResult { changed: !moved.is_empty(), before: before.shown(), after: after.shown(), detail })
}

fn ask(client: &mut dyn CephClient, prefix: &str) -> Result<Value, Error> {
    client.ask(&json!({"prefix": prefix, "format": "json"}))
}

/// Who does what.
struct State {
    managers: Value,
    files: Value,
}

impl State {
    fn shown(&self) -> Value {
        let servers: Vec<String> = active(&self.files).map(|server| server.name).collect();
        json!({"mgr": self.managers["active_name"], "mds": servers})
    }
}

fn state(client: &mut dyn CephClient) -> Result<State, Error> {
    Ok(State { managers: ask(client, "mgr dump")?, files: ask(client, "fs dump")? })
}

/// The active manager, if it is one of ours and another can take over.
fn manager_to_leave(dump: &Value, ours: &[String]) -> Result<Option<String>, String> {
    let active = dump["active_name"].as_str().unwrap_or_default();
    if !ours.iter().any(|name| name == active) {
        return Ok(None);
    }
    if parse::names(&dump["standbys"]).iter().all(|name| ours.contains(name)) {
        return Err(format!("no manager could take over from mgr.{active}"));
    }
    Ok(Some(active.to_owned()))
}

/// A metadata server that serves a rank.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Server {
    name: String,
    filesystem: i64,
    rank: i64,
}

fn active(dump: &Value) -> impl Iterator<Item = Server> {
    let systems = dump["filesystems"].as_array().into_iter().flatten();
    systems.flat_map(|fs| {
        let servers = fs["mdsmap"]["info"].as_object().into_iter().flat_map(|info| info.values());
        servers.filter(|server| server["state"] == "up:active").filter_map(|server| {
            let (name, rank) = (server["name"].as_str()?.to_owned(), server["rank"].as_i64()?);
            Some(Server { name, filesystem: fs["id"].as_i64()?, rank })
        })
    })
}

/// Our servers that serve a rank, as many as there are standbys elsewhere: one without is left until it is stopped.
fn servers_to_leave(dump: &Value, ours: &[String]) -> Vec<Server> {
    let standbys = parse::names(&dump["standbys"]).iter().filter(|name| !ours.contains(name)).count();
    active(dump).filter(|server| ours.contains(&server.name)).take(standbys).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::fixture::recorded;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn only_the_active_manager_leaves_and_only_to_another_host() {
        let dump = recorded("mgr_dump");
        assert_eq!(manager_to_leave(&dump, &names(&["y"])), Ok(Some("y".into())));
        assert_eq!(manager_to_leave(&dump, &names(&["x"])), Ok(None));
        assert!(manager_to_leave(&dump, &names(&["x", "y"])).is_err());
    }

    #[test]
    fn servers_leave_to_standbys_elsewhere() {
        let dump = recorded("fs_dump");
        let expected = Server { name: "a".into(), filesystem: 1, rank: 0 };
        assert_eq!(servers_to_leave(&dump, &names(&["a"])), [expected]);
        assert!(servers_to_leave(&dump, &names(&["b"])).is_empty(), "it stands by");
        assert!(servers_to_leave(&dump, &names(&["a", "b"])).is_empty(), "nobody else could take over");
    }
}
