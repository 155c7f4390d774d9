//! Hosts: their names, what operators say of them, and what their agents last said.

use hostler_common::error::Class;
use hostler_common::id::HostId;
use hostler_common::time::Timestamp;
use hostler_core::introspection::node::Node;
use hostler_core::introspection::summary::Identity;
use hostler_core::machine::WHEN_ONLINE;
use serde_json::Value;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::dialect::storable;
use super::tx::{Connection, Error, Result, next_number};

/// Whether a host's agent is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentState {
    /// It has a certificate and never connected.
    Enrolled,
    /// It is connected to a manager.
    Online,
    /// It was connected before.
    Offline,
    /// An operator cut it off.
    Revoked,
}

impl AgentState {
    /// All states.
    pub const ALL: [Self; 4] = [Self::Enrolled, Self::Online, Self::Offline, Self::Revoked];

    /// The stable name, as stored and shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Enrolled => "enrolled",
            Self::Online => "online",
            Self::Offline => "offline",
            Self::Revoked => "revoked",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// A host.
#[derive(Clone, Debug)]
pub struct Host {
    /// Its identity.
    pub id: HostId,
    /// Its small number, never reused.
    pub number: i64,
    /// Its name, unique.
    pub name: String,
    /// Free text of the operators.
    pub description: Option<String>,
    /// What it is for: `compute`, `storage`, `controller`, `management`.
    pub roles: Vec<String>,
    /// Labels of the operators, a JSON object of texts.
    pub labels: Value,
    /// Its failure domain, as operators name it.
    pub zone: Option<String>,
    /// The node document of the introspection dialect.
    pub node: Node,
    /// The figures that lists show, from the last inventory.
    pub summary: Option<Value>,
    /// What inventories of it say of the machine.
    pub identity: Identity,
    /// Whether its agent is there.
    pub agent_state: AgentState,
    /// The version that its agent last said.
    pub agent_version: Option<String>,
    /// Where its agent last connected from.
    pub agent_address: Option<String>,
    /// The kernel's boot id that its agent last said.
    pub boot_id: Option<String>,
    /// The serial number of its current certificate, hexadecimal.
    pub certificate_serial: Option<String>,
    /// When that certificate ends.
    pub certificate_expires_at: Option<Timestamp>,
    /// Since when its agent is connected, or was.
    pub connected_at: Option<Timestamp>,
    /// When its agent last said anything.
    pub last_seen_at: Option<Timestamp>,
    /// When it enrolled first.
    pub created_at: Timestamp,
}

fn host_from(row: &AnyRow) -> Result<Host> {
    let moment = |name: &str| -> Result<Option<Timestamp>> {
        Ok(row.try_get::<Option<i64>, _>(name)?.map(Timestamp::from_micros))
    };
    let id: String = row.try_get("id")?;
    let agent_state: String = row.try_get("agent_state")?;
    Ok(Host {
        id: parse_host(&id)?,
        number: row.try_get("number")?,
        name: row.try_get("name")?,
        description: row.try_get("description")?,
        roles: serde_json::from_str(row.try_get("roles")?)?,
        labels: serde_json::from_str(row.try_get("labels")?)?,
        zone: row.try_get("zone")?,
        node: serde_json::from_str(row.try_get("node")?)?,
        summary: match row.try_get::<Option<String>, _>("summary")? {
            Some(text) => Some(serde_json::from_str(&text)?),
            None => None,
        },
        identity: Identity { system_uuid: row.try_get("system_uuid")?, serial: row.try_get("system_serial")? },
        agent_state: AgentState::from_name(&agent_state)
            .ok_or_else(|| Error::Broken(format!("unknown agent state {agent_state}")))?,
        agent_version: row.try_get("agent_version")?,
        agent_address: row.try_get("agent_address")?,
        boot_id: row.try_get("boot_id")?,
        certificate_serial: row.try_get("certificate_serial")?,
        certificate_expires_at: moment("certificate_expires_at")?,
        connected_at: moment("connected_at")?,
        last_seen_at: moment("last_seen_at")?,
        created_at: Timestamp::from_micros(row.try_get("created_at")?),
    })
}

/// Reads a stored host id.
///
/// # Errors
/// It is not a UUID.
pub(super) fn parse_host(text: &str) -> Result<HostId> {
    text.parse().map_err(|_| Error::Broken(format!("not a host id: {text}")))
}

/// A new host of that name; it has no agent state but `enrolled`.
///
/// # Errors
/// [`Error::Exists`] if the name is taken; see [`Error`].
pub async fn host_insert(
    connection: &mut Connection,
    id: HostId,
    name: &str,
    roles: &[String],
    at: Timestamp,
) -> Result<()> {
    let number = next_number(connection, "host").await?;
    let node = Node::new(id, name);
    sqlx::query(
        "insert into host (id, number, name, roles, labels, node, agent_state, created_at) \
         values ($1, $2, $3, $4, '{}', $5, 'enrolled', $6)",
    )
    .bind(id.to_string())
    .bind(number)
    .bind(name)
    .bind(serde_json::to_string(roles)?)
    .bind(serde_json::to_string(&node)?)
    .bind(at.as_micros())
    .execute(connection)
    .await?;
    Ok(())
}

/// The host of that id.
///
/// # Errors
/// See [`Error`].
pub async fn host_find(connection: &mut Connection, id: HostId) -> Result<Option<Host>> {
    let row = sqlx::query("select * from host where id = $1").bind(id.to_string()).fetch_optional(connection).await?;
    row.as_ref().map(host_from).transpose()
}

/// The host of that id.
///
/// # Errors
/// A refusal of class `NotFound` if there is none; see [`Error`].
pub async fn host_fetch(connection: &mut Connection, id: HostId) -> Result<Host> {
    host_find(connection, id)
        .await?
        .ok_or_else(|| Error::Refused(Class::NotFound, format!("Node {id} was not found in Ironic")))
}

/// The id of the host of that name.
///
/// # Errors
/// See [`Error`].
pub async fn host_by_name(connection: &mut Connection, name: &str) -> Result<Option<HostId>> {
    let row: Option<(String,)> =
        sqlx::query_as("select id from host where name = $1").bind(name).fetch_optional(connection).await?;
    row.map(|(id,)| parse_host(&id)).transpose()
}

/// The id of the host of that number.
///
/// # Errors
/// See [`Error`].
pub async fn host_by_number(connection: &mut Connection, number: i64) -> Result<Option<HostId>> {
    let row: Option<(String,)> =
        sqlx::query_as("select id from host where number = $1").bind(number).fetch_optional(connection).await?;
    row.map(|(id,)| parse_host(&id)).transpose()
}

/// Hosts with greater numbers than `after`, in the order of numbers; only those of `state`, if given.
///
/// # Errors
/// See [`Error`].
pub async fn host_list(
    connection: &mut Connection,
    after: i64,
    state: Option<AgentState>,
    limit: u32,
) -> Result<Vec<Host>> {
    let state = state.map_or("", AgentState::name);
    let rows =
        sqlx::query("select * from host where number > $1 and ($2 = '' or agent_state = $2) order by number limit $3")
            .bind(after)
            .bind(state)
            .bind(i64::from(limit))
            .fetch_all(connection)
            .await?;
    rows.iter().map(host_from).collect()
}

/// Id, number and name of every host, by number.
///
/// # Errors
/// See [`Error`].
pub async fn host_numbers(connection: &mut Connection) -> Result<Vec<(HostId, i64, String)>> {
    let rows: Vec<(String, i64, String)> =
        sqlx::query_as("select id, number, name from host order by number").fetch_all(connection).await?;
    rows.into_iter().map(|(id, number, name)| Ok((parse_host(&id)?, number, name))).collect()
}

/// How many hosts there are in each agent state.
///
/// # Errors
/// See [`Error`].
pub async fn host_counts(connection: &mut Connection) -> Result<Vec<(String, i64)>> {
    Ok(sqlx::query_as("select agent_state, count(*) from host group by agent_state").fetch_all(connection).await?)
}

/// What operators say of a host.
#[derive(Clone, Debug, Default)]
pub struct Description {
    /// Replaces the free text.
    pub description: Option<String>,
    /// Replaces the labels.
    pub labels: Option<Value>,
    /// Replaces the zone.
    pub zone: Option<String>,
    /// Replaces the roles.
    pub roles: Option<Vec<String>>,
}

/// Writes what operators say of a host; what is `None` stays, an empty description or zone is taken away.
///
/// # Errors
/// See [`Error`].
pub async fn host_describe(connection: &mut Connection, id: HostId, new: &Description) -> Result<()> {
    sqlx::query(
        "update host set description = nullif(coalesce($2, description), ''), labels = coalesce($3, labels), \
         zone = nullif(coalesce($4, zone), ''), roles = coalesce($5, roles) where id = $1",
    )
    .bind(id.to_string())
    .bind(new.description.clone())
    .bind(new.labels.as_ref().map(Value::to_string))
    .bind(new.zone.clone())
    .bind(new.roles.as_ref().map(serde_json::to_string).transpose()?)
    .execute(connection)
    .await?;
    Ok(())
}

/// What an agent says of itself when it connects.
#[derive(Clone, Debug)]
pub struct Greeting {
    /// Its version.
    pub version: String,
    /// The kernel's boot id.
    pub boot_id: String,
    /// Where it connects from.
    pub address: String,
}

/// Records that the host's agent connected; what waited for that comes due.
///
/// # Errors
/// See [`Error`].
pub async fn host_online(connection: &mut Connection, id: HostId, hello: &Greeting, at: Timestamp) -> Result<()> {
    sqlx::query(
        "update host set agent_state = 'online', agent_version = $2, boot_id = $3, agent_address = $4, \
         connected_at = $5, last_seen_at = $5 where id = $1 and agent_state <> 'revoked'",
    )
    .bind(id.to_string())
    .bind(&hello.version)
    .bind(&hello.boot_id)
    .bind(&hello.address)
    .bind(at.as_micros())
    .execute(&mut *connection)
    .await?;
    super::machine::timer_hurry(connection, &id.to_string(), WHEN_ONLINE, at).await?;
    super::maintenance::stay_hurry(connection, id, at).await
}

/// Records that the host's agent is gone, if it is the connection of `connected_at` that ended: a newer one stays online.
///
/// # Errors
/// See [`Error`].
pub async fn host_offline(
    connection: &mut Connection,
    id: HostId,
    connected_at: Timestamp,
    seen_at: Timestamp,
) -> Result<bool> {
    let done = sqlx::query(
        "update host set agent_state = 'offline', last_seen_at = $3 \
         where id = $1 and agent_state = 'online' and connected_at = $2",
    )
    .bind(id.to_string())
    .bind(connected_at.as_micros())
    .bind(seen_at.as_micros())
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Records that no agent is connected: what a manager does when it starts.
///
/// # Errors
/// See [`Error`].
pub async fn host_all_offline(connection: &mut Connection) -> Result<()> {
    sqlx::query("update host set agent_state = 'offline' where agent_state = 'online'").execute(connection).await?;
    Ok(())
}

/// Writes the host's agent state.
///
/// # Errors
/// See [`Error`].
pub async fn host_set_state(connection: &mut Connection, id: HostId, state: AgentState) -> Result<()> {
    sqlx::query("update host set agent_state = $2 where id = $1")
        .bind(id.to_string())
        .bind(state.name())
        .execute(connection)
        .await?;
    Ok(())
}

/// Writes the certificate that the host's agent holds now.
///
/// # Errors
/// See [`Error`].
pub async fn host_set_certificate(
    connection: &mut Connection,
    id: HostId,
    serial: &str,
    expires_at: Timestamp,
) -> Result<()> {
    sqlx::query("update host set certificate_serial = $2, certificate_expires_at = $3 where id = $1")
        .bind(id.to_string())
        .bind(serial)
        .bind(expires_at.as_micros())
        .execute(connection)
        .await?;
    Ok(())
}

/// Writes the node document after hooks and rules.
///
/// # Errors
/// See [`Error`].
pub async fn host_set_node(connection: &mut Connection, id: HostId, node: &Node) -> Result<()> {
    sqlx::query("update host set node = $2 where id = $1")
        .bind(id.to_string())
        .bind(serde_json::to_string(node)?)
        .execute(connection)
        .await?;
    Ok(())
}

/// What the last inventory says of a host.
#[derive(Clone, Debug)]
pub struct Portrait {
    /// The figures for lists.
    pub summary: Value,
    /// Which machine it is; what is not known stays as it was.
    pub identity: Identity,
    /// Manufacturer and product; not known stays as it was.
    pub model: Option<String>,
}

/// Writes what the last inventory says of the host.
///
/// # Errors
/// See [`Error`].
pub async fn host_set_portrait(connection: &mut Connection, id: HostId, portrait: &Portrait) -> Result<()> {
    sqlx::query(
        "update host set summary = $2, system_uuid = coalesce($3, system_uuid), \
         system_serial = coalesce($4, system_serial), model = coalesce($5, model) where id = $1",
    )
    .bind(id.to_string())
    .bind(portrait.summary.to_string())
    .bind(portrait.identity.system_uuid.clone())
    .bind(portrait.identity.serial.as_deref().map(storable))
    .bind(portrait.model.as_deref().map(storable))
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes which machine the host is; what is not known of it is forgotten.
///
/// # Errors
/// See [`Error`].
pub async fn host_set_identity(connection: &mut Connection, id: HostId, identity: &Identity) -> Result<()> {
    sqlx::query("update host set system_uuid = $2, system_serial = $3 where id = $1")
        .bind(id.to_string())
        .bind(identity.system_uuid.clone())
        .bind(identity.serial.as_deref().map(storable))
        .execute(connection)
        .await?;
    Ok(())
}

/// Removes a host with everything that is about it but tasks and events. Tasks that are still open end: nothing works on
/// them any more.
///
/// # Errors
/// See [`Error`].
pub async fn host_delete(connection: &mut Connection, id: HostId, at: Timestamp) -> Result<()> {
    sqlx::query(
        "update task set state = 'CANCELED', cancelled = 1, finished_at = $2, output = 'the host was deleted' \
         where host_id = $1 and finished_at is null",
    )
    .bind(id.to_string())
    .bind(at.as_micros())
    .execute(&mut *connection)
    .await?;
    sqlx::query("delete from machine where subject = $1").bind(id.to_string()).execute(&mut *connection).await?;
    sqlx::query("delete from host where id = $1").bind(id.to_string()).execute(connection).await?;
    Ok(())
}
