//! Finding the session that a command means.

use serde_json::Value;

use crate::client::Client;
use crate::failure::{Failure, Kind};
use crate::output::field::{list, show, string};

/// The path of sessions at a glance.
pub const SESSIONS: [&str; 3] = ["api", "maintenance", "sessions"];

/// How much of an id has to be given at least.
const PREFIX_MIN: usize = 4;

/// All sessions, or those that were deleted.
///
/// # Errors
/// The manager refuses or is not reached.
pub async fn all(client: &Client, state: Option<&str>, deleted: bool) -> Result<Vec<Value>, Failure> {
    let deleted = deleted.then_some("true");
    client.pages("list maintenance sessions", &SESSIONS, &[("state", state), ("deleted", deleted)], None).await
}

/// What a session does right now.
///
/// # Errors
/// There is none of that id; the manager refuses or is not reached.
pub async fn now(client: &Client, id: &str) -> Result<Value, Failure> {
    let call = client.get(format!("show maintenance session {id}"), &["api", "maintenance", "sessions", id]);
    call.json().await.map_err(hinted)
}

/// The path of a session in the Fenix dialect, which changes it.
#[must_use]
pub fn path<'a>(id: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["maintenance", "v1", "maintenance", id], more].concat()
}

/// What people call a session on a command line: its name where a shell takes that as one word, else how its id begins.
#[must_use]
pub fn called(session: &Value) -> String {
    let plain = |name: &&str| name.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-'));
    match string(session, "name").filter(plain) {
        Some(name) => name.to_owned(),
        None => show(session, "id").chars().take(8).collect(),
    }
}

/// How many hosts of a session are in one of these phases.
#[must_use]
pub fn count(session: &Value, phases: &[&str]) -> u64 {
    phases.iter().filter_map(|phase| session["phases"][*phase].as_u64()).sum()
}

/// Names of the hosts of a session that are in one of these phases, as far as the answer names them.
#[must_use]
pub fn hosts_in(session: &Value, phases: &[&str]) -> Vec<String> {
    let inside = list(session, "hostsByPhase").iter().filter(|row| phases.iter().any(|phase| row["phase"] == *phase));
    inside.flat_map(|row| list(row, "names")).filter_map(Value::as_str).map(str::to_owned).collect()
}

fn hinted(failure: Failure) -> Failure {
    if failure.kind == Kind::NotFound { failure.hint("`hostler maintenance list` shows all sessions") } else { failure }
}

/// The id of the session of that name or id, or whose id begins so. Of those that were deleted only by its whole id.
///
/// # Errors
/// There is none, or more than one could be meant; the manager refuses or is not reached.
pub async fn find(client: &Client, name: &str) -> Result<String, Failure> {
    let whole = name.len() == 36 && name.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    if whole {
        return Ok(name.to_ascii_lowercase());
    }
    one_of(&all(client, None, false).await?, name)
}

/// The same; without a name, the only session that is not over.
///
/// # Errors
/// As [`find`]; without a name, there is none or more than one.
pub async fn find_or_only(client: &Client, name: Option<&str>) -> Result<String, Failure> {
    match name {
        Some(name) => find(client, name).await,
        None => only(&all(client, None, false).await?),
    }
}

fn one_of(sessions: &[Value], name: &str) -> Result<String, Failure> {
    let what = format!("cannot find maintenance session {name}");
    let ids = |fits: &dyn Fn(&&Value) -> bool| -> Vec<String> {
        sessions.iter().filter(fits).filter_map(|row| row["id"].as_str()).map(str::to_owned).collect()
    };
    let prefix = name.to_ascii_lowercase();
    let begins = |row: &&Value| row["id"].as_str().is_some_and(|id| id.starts_with(&prefix));
    let mut found = ids(&|row| row["name"] == name);
    if found.is_empty() && name.len() >= PREFIX_MIN {
        found = ids(&begins);
    }
    match found.as_slice() {
        [id] => Ok(id.clone()),
        [] => Err(hinted(Failure::new(Kind::NotFound, what, "no session has this name or id"))),
        several => {
            let why = format!("several could be meant: {}", several.join(", "));
            Err(Failure::new(Kind::Usage, what, why).hint("name it by its id"))
        }
    }
}

fn only(sessions: &[Value]) -> Result<String, Failure> {
    let over = |row: &&Value| matches!(row["state"].as_str(), Some("MAINTENANCE_DONE" | "MAINTENANCE_FAILED"));
    let open: Vec<&Value> = sessions.iter().filter(|row| !over(row)).collect();
    match open.as_slice() {
        [one] => Ok(show(one, "id")),
        [] => {
            let what = "cannot choose a maintenance session";
            Err(hinted(Failure::new(Kind::NotFound, what, "none is under way")))
        }
        several => {
            let names: Vec<String> = several.iter().map(|row| called(row)).collect();
            let why = format!("several are under way: {}", names.join(", "));
            Err(Failure::new(Kind::Usage, "cannot choose a maintenance session", why).hint("name one"))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sessions() -> Vec<Value> {
        let row = |id: &str, name: Value, state: &str| json!({"id": id, "name": name, "state": state});
        vec![
            row("aaaa1111-0000-4000-8000-000000000001", "spring".into(), "MAINTENANCE_DONE"),
            row("aaaa2222-0000-4000-8000-000000000002", "spring".into(), "MAINTENANCE"),
            row("bbbb3333-0000-4000-8000-000000000003", "aaaa".into(), "MAINTENANCE_FAILED"),
        ]
    }

    #[test]
    fn names_win_over_beginnings_of_ids() {
        let id = |name: &str| one_of(&sessions(), name).map_err(|failure| failure.kind);
        assert!(id("aaaa").unwrap().starts_with("bbbb"));
        assert!(id("AAAA2").unwrap().starts_with("aaaa2222"));
        assert_eq!(id("spring"), Err(Kind::Usage));
        assert_eq!(id("bbb"), Err(Kind::NotFound));
        assert_eq!(id("none"), Err(Kind::NotFound));
    }

    #[test]
    fn without_a_name_the_one_that_is_under_way_is_meant() {
        assert!(only(&sessions()).unwrap().starts_with("aaaa2222"));
        assert_eq!(only(&sessions()[..1]).unwrap_err().kind, Kind::NotFound);
        let two = [sessions()[1].clone(), sessions()[1].clone()];
        assert_eq!(only(&two).unwrap_err().kind, Kind::Usage);
    }
}
