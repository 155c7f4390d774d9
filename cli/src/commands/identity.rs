//! What the identity commands share: Keystone's collections, looked up by name or id.

use serde_json::Value;

use crate::client::Client;
use crate::failure::{Failure, Kind};
use crate::output::field::{list, show};
use crate::output::table::Column;

/// The id of the one domain there is.
pub const DOMAIN: &str = "default";

/// A kind of thing that Keystone keeps.
#[derive(Clone, Copy, Debug)]
pub struct Collection {
    /// Name of the collection in paths and answers: `users`.
    pub many: &'static str,
    /// Name of one member in bodies: `user`.
    pub one: &'static str,
}

/// Users.
pub const USERS: Collection = Collection { many: "users", one: "user" };
/// Projects.
pub const PROJECTS: Collection = Collection { many: "projects", one: "project" };
/// Roles.
pub const ROLES: Collection = Collection { many: "roles", one: "role" };

/// The path below the identity service's root.
#[must_use]
pub fn path<'a>(rest: &[&'a str]) -> Vec<&'a str> {
    ["identity", "v3"].into_iter().chain(rest.iter().copied()).collect()
}

/// All members of a collection.
///
/// # Errors
/// The manager refuses or is not reached.
pub async fn all(client: &Client, of: Collection) -> Result<Vec<Value>, Failure> {
    let answer = client.get(format!("list {}", of.many), &path(&[of.many])).json().await?;
    Ok(list(&answer, of.many).to_vec())
}

/// The member with that name, else the one with that id.
///
/// # Errors
/// There is none, the manager refuses or is not reached.
pub async fn find(client: &Client, of: Collection, name_or_id: &str) -> Result<Value, Failure> {
    let doing = format!("find {} {name_or_id}", of.one);
    let call = client.get(doing.as_str(), &path(&[of.many])).query("name", Some(name_or_id));
    let answer = call.json().await?;
    if let Some(found) = list(&answer, of.many).iter().find(|member| member["name"] == name_or_id) {
        return Ok(found.clone());
    }
    let by_id = client.get(doing, &path(&[of.many, name_or_id])).json().await;
    by_id.map(|mut answer| answer[of.one].take()).map_err(|failure| match failure.kind {
        Kind::NotFound => failure.hint(format!("`hostler {} list` shows all {}", of.one, of.many)),
        _ => failure,
    })
}

/// The id of the member with that name or id.
///
/// # Errors
/// As [`find`].
pub async fn id(client: &Client, of: Collection, name_or_id: &str) -> Result<String, Failure> {
    let found = find(client, of, name_or_id).await?;
    found["id"].as_str().map(str::to_owned).ok_or_else(|| {
        Failure::new(Kind::Failed, format!("cannot find {} {name_or_id}", of.one), "the answer has no id")
    })
}

/// Creates a member and returns it.
///
/// # Errors
/// The manager refuses or is not reached.
pub async fn create(client: &Client, of: Collection, name: &str, body: Value) -> Result<Value, Failure> {
    let call = client.post(format!("create {} {name}", of.one), &path(&[of.many]));
    let mut answer = call.body(serde_json::json!({ of.one: body })).json().await?;
    Ok(answer[of.one].take())
}

/// Deletes the member with that name or id.
///
/// # Errors
/// As [`find`].
pub async fn delete(client: &Client, of: Collection, name_or_id: &str) -> Result<(), Failure> {
    let id = id(client, of, name_or_id).await?;
    client.delete(format!("delete {} {name_or_id}", of.one), &path(&[of.many, &id])).done().await
}

/// Gives a role to a user on a project, or takes it.
///
/// # Errors
/// The manager refuses or is not reached.
pub async fn assign(
    client: &Client,
    method: reqwest::Method,
    role: &str,
    user: &str,
    project: &str,
) -> Result<(), Failure> {
    let role_id = id(client, ROLES, role).await?;
    let user_id = id(client, USERS, user).await?;
    let project_id = id(client, PROJECTS, project).await?;
    let verb = if method == reqwest::Method::DELETE { "revoke" } else { "grant" };
    let doing = format!("{verb} role {role} for user {user} on project {project}");
    let rest = ["projects", project_id.as_str(), "users", &user_id, "roles", &role_id];
    client.call(method, doing, &path(&rest)).done().await
}

/// The columns of a list of them.
#[must_use]
pub fn columns() -> Vec<Column> {
    vec![
        Column::new("NAME", |v| show(v, "name")).whole(),
        Column::new("ENABLED", |v| show(v, "enabled")).state(),
        Column::new("DESCRIPTION", |v| show(v, "description")),
        Column::new("ID", |v| show(v, "id")).whole(),
    ]
}

/// What all of them have, for a single one.
#[must_use]
pub fn rows(member: &Value) -> Vec<(&'static str, String)> {
    vec![
        ("Name", show(member, "name")),
        ("Id", show(member, "id")),
        ("Enabled", show(member, "enabled")),
        ("Description", show(member, "description")),
    ]
}
