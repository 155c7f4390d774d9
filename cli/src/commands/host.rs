//! `hostler host`: the hosts of the fleet.

use clap::{Args, Subcommand};
use hostler_common::time::{Clock, SystemClock};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::{machine, values};
use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::output::field::{self, UNKNOWN, at, moment, show, string};
use crate::output::human;
use crate::output::table::{self, Column};
use crate::prompt;

/// What to do with hosts.
#[derive(Subcommand, Debug)]
pub enum HostCommand {
    /// List hosts
    List {
        /// Only hosts in this state
        #[arg(long, value_parser = ["enrolled", "online", "offline", "revoked"])]
        state: Option<String>,
        /// Only the host of this name
        #[arg(long)]
        name: Option<String>,
    },
    /// Show a host
    Show {
        /// Name, UUID or number
        host: String,
    },
    /// A host that shows itself as another machine: show, accept, discard
    #[command(subcommand)]
    Identity(machine::IdentityCommand),
    /// Change what is known of a host but not probed
    Set(SetArgs),
    /// Forget a host whose agent is revoked or never connected
    Delete {
        /// Name, UUID or number
        host: String,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

/// Which host, and what to change.
#[derive(Args, Debug)]
pub struct SetArgs {
    /// Name, UUID or number
    host: String,
    /// What.
    #[command(flatten)]
    change: Change,
}

/// What to change; at least one thing.
#[derive(Args, Debug)]
#[group(required = true, multiple = true)]
pub struct Change {
    /// Add or replace a label
    #[arg(long, value_name = "KEY=VALUE", value_parser = values::pair)]
    label: Vec<(String, String)>,
    /// Remove a label
    #[arg(long, value_name = "KEY")]
    remove_label: Vec<String>,
    /// Set the zone; an empty one removes it
    #[arg(long)]
    zone: Option<String>,
    /// Set the roles: once for each of compute, storage, controller, management
    #[arg(long)]
    role: Vec<String>,
    /// Set the description
    #[arg(long)]
    description: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// The manager refuses or is not reached.
pub async fn run(command: HostCommand, context: &Context) -> Result<(), Failure> {
    match command {
        HostCommand::List { state, name } => list(context, state.as_deref(), name.as_deref()).await,
        HostCommand::Show { host } => show_host(context, &host).await,
        HostCommand::Identity(command) => machine::run(command, context).await,
        HostCommand::Set(args) => set(context, args).await,
        HostCommand::Delete { host, yes } => delete(context, &host, yes).await,
    }
}

async fn list(context: &Context, state: Option<&str>, name: Option<&str>) -> Result<(), Failure> {
    let client = context.client().await?;
    let hosts = client.pages("list hosts", &["api", "hosts"], &[("state", state), ("name", name)], None).await?;
    context.output.list(&hosts, &columns(), "No hosts. `hostler join-token create` shows how to add one.")
}

async fn show_host(context: &Context, host: &str) -> Result<(), Failure> {
    let client = context.client().await?;
    let found = client.get(format!("show host {host}"), &["api", "hosts", host]).json().await.map_err(unknown)?;
    context.output.data(&found, |theme| table::record(theme, &rows(&found)))
}

async fn set(context: &Context, args: SetArgs) -> Result<(), Failure> {
    let client = context.client().await?;
    let path = ["api", "hosts", args.host.as_str()];
    let doing = format!("change host {}", args.host);
    let before = client.get(doing.as_str(), &path).json().await.map_err(unknown)?;
    let body = changes(&args.change, &before);
    let after = client.call(Method::PATCH, doing, &path).body(body).json().await?;
    context.output.data(&after, |theme| table::record(theme, &rows(&after)))
}

async fn delete(context: &Context, host: &str, yes: bool) -> Result<(), Failure> {
    let client = context.client().await?;
    prompt::confirm(yes, &format!("Forget host {host} with its inventories?")).await?;
    let gone = client.delete(format!("delete host {host}"), &["api", "hosts", host]).done().await;
    gone.map_err(unknown).map_err(|failure| match failure.kind {
        Kind::Conflict => failure.hint(format!("revoke its agent first: `hostler agent revoke {host}`")),
        _ => failure,
    })?;
    context.output.note(&format!("Host {host} is deleted."));
    Ok(())
}

/// Adds to "no such host" where to find the ones that are there.
pub fn unknown(failure: Failure) -> Failure {
    if failure.kind == Kind::NotFound { failure.hint("`hostler host list` shows all hosts") } else { failure }
}

/// The body of the change: labels as a whole, as the API replaces them as a whole.
fn changes(args: &Change, before: &Value) -> Value {
    let mut body = Map::new();
    if !args.label.is_empty() || !args.remove_label.is_empty() {
        let mut labels = before["labels"].as_object().cloned().unwrap_or_default();
        for key in &args.remove_label {
            labels.shift_remove(key);
        }
        for (key, value) in &args.label {
            labels.insert(key.clone(), value.as_str().into());
        }
        body.insert("labels".into(), labels.into());
    }
    if let Some(zone) = &args.zone {
        body.insert("zone".into(), if zone.is_empty() { Value::Null } else { zone.as_str().into() });
    }
    if !args.role.is_empty() {
        body.insert("roles".into(), json!(args.role));
    }
    if let Some(description) = &args.description {
        body.insert("description".into(), description.as_str().into());
    }
    body.into()
}

fn columns() -> Vec<Column> {
    vec![
        Column::new("#", |v| show(v, "number")).whole(),
        Column::new("NAME", |v| show(v, "name")).whole(),
        Column::new("STATE", state).state(),
        Column::new("INTROSPECTION", |v| show(v, "introspection.state")).state(),
        Column::new("PRODUCT", |v| show(v, "summary.product")).spare(),
        Column::new("CPUS", |v| show(v, "summary.cpus")).whole(),
        Column::new("MEMORY", memory).whole(),
        Column::new("DISKS", |v| show(v, "summary.disks")).whole().spare(),
        Column::new("ZONE", |v| show(v, "zone")).spare(),
        Column::new("CLUSTER", |v| show(v, "cluster")).spare(),
        Column::new("SEEN", seen).whole(),
        Column::new("ID", |v| show(v, "id")).whole().spare(),
    ]
}

fn rows(host: &Value) -> Vec<(&'static str, String)> {
    let mut rows = vec![
        ("Name", show(host, "name")),
        ("State", state(host)),
        ("Number", show(host, "number")),
        ("Id", show(host, "id")),
        ("Description", show(host, "description")),
        ("Zone", show(host, "zone")),
        ("Roles", show(host, "roles")),
        ("Labels", show(host, "labels")),
        ("Created", moment(host, "createdAt")),
        ("Agent", show(host, "agent.version")),
        ("Connected", moment(host, "agent.connectedAt")),
        ("Last seen", moment(host, "agent.lastSeenAt")),
        ("Address", show(host, "agent.address")),
        ("Certificate", certificate(host)),
        ("Boot id", show(host, "agent.bootId")),
        ("Cluster", show(host, "cluster")),
        ("Introspection", introspection(host)),
    ];
    if let Some(stale) = at(host, "staleSections").as_array().filter(|stale| !stale.is_empty()) {
        rows.push(("Stale", field::inline(&Value::Array(stale.clone()))));
    }
    if at(host, "identityChange").is_object() {
        rows.push(("Identity", identity(host)));
    }
    if host["summary"].is_object() {
        rows.extend([
            ("Product", [show(host, "summary.manufacturer"), show(host, "summary.product")].join(" ")),
            ("Serial", show(host, "summary.serial")),
            ("CPU", format!("{} x {}", show(host, "summary.cpus"), show(host, "summary.cpuModel"))),
            ("Memory", memory(host)),
            ("Disks", show(host, "summary.disks")),
            ("Interfaces", show(host, "summary.interfaces")),
            ("OS", show(host, "summary.os")),
            ("Kernel", show(host, "summary.kernel")),
        ]);
    }
    rows
}

/// The state; a host whose scripts before the start failed takes no steps, which is worth a word.
fn state(host: &Value) -> String {
    let degraded = at(host, "agent.degraded").as_bool() == Some(true);
    if degraded { format!("{} (degraded)", show(host, "state")) } else { show(host, "state") }
}

fn memory(host: &Value) -> String {
    let mebibytes = at(host, "summary.memoryMb").as_u64();
    mebibytes.map_or_else(|| UNKNOWN.into(), |count| human::bytes(count.saturating_mul(1 << 20)))
}

fn seen(host: &Value) -> String {
    string(host, "agent.lastSeenAt").map_or_else(|| "never".into(), |text| human::ago(text, SystemClock.now()))
}

fn certificate(host: &Value) -> String {
    match string(host, "agent.certificateSerial") {
        Some(serial) => format!("{}, valid until {}", human::clean(serial), moment(host, "agent.certificateExpiresAt")),
        None => UNKNOWN.into(),
    }
}

fn introspection(host: &Value) -> String {
    let Some(state) = string(host, "introspection.state") else { return "never".into() };
    let finished = string(host, "introspection.finishedAt").map(|text| format!(" at {}", human::moment(text)));
    let error = string(host, "introspection.error").map(|text| format!(": {}", human::clean(text)));
    format!("{}{}{}", human::clean(state), finished.unwrap_or_default(), error.unwrap_or_default())
}

fn identity(host: &Value) -> String {
    let found = [show(host, "identityChange.found.systemUuid"), show(host, "identityChange.found.serial")];
    let name = show(host, "name");
    format!(
        "seems to be {} since {}; `hostler host identity show {name}`",
        found.join(", serial "),
        moment(host, "identityChange.heldAt")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Theme;

    fn host() -> Value {
        json!({
            "id": "0192f3c4-0000-7000-8000-000000000001", "number": 1, "name": "ceph-07", "description": null,
            "state": "online", "roles": ["storage"], "labels": {"rack": "r1"}, "zone": "z1",
            "agent": {"version": "0.1.0", "state": "online", "connectedAt": "2026-01-02T03:04:05.000001Z", "lastSeenAt": null,
                "address": "192.0.2.7", "certificateSerial": "0a", "certificateExpiresAt": "2026-01-03T03:04:05.000001Z", "bootId": "b"},
            "cluster": "f-1", "createdAt": "2026-01-02T03:04:05.000001Z",
            "introspection": {"state": "error", "startedAt": "x", "finishedAt": "2026-01-02T03:04:06Z", "error": "Introspection timeout"},
            "summary": {"manufacturer": "Acme", "product": "S2U", "serial": "A1", "cpuModel": "Example 6330", "cpus": 64,
                "memoryMb": 262_144, "disks": 3, "interfaces": 2, "os": "Debian 13", "kernel": "6.12"},
        })
    }

    #[test]
    fn the_list_shows_what_matters_first() {
        let text = table::list(&Theme::plain(), &columns(), &[host()]);
        let expected = "#  NAME     STATE   INTROSPECTION  PRODUCT  CPUS  MEMORY   DISKS  ZONE  CLUSTER  SEEN   ID\n1  ceph-07  online  error          S2U      64    256 GiB  3      z1    f-1      never  0192f3c4-0000-7000-8000-000000000001\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_degraded_host_says_so() {
        let mut host = host();
        let state_of = |host: &Value| rows(host).into_iter().find(|(name, _)| *name == "State").unwrap().1;
        assert_eq!(state_of(&host), "online");
        host["agent"]["degraded"] = json!(true);
        assert_eq!(state_of(&host), "online (degraded)");
        assert!(table::list(&Theme::plain(), &columns(), &[host]).contains("online (degraded)"));
    }

    #[test]
    fn the_record_tells_why_an_introspection_failed() {
        let rows = rows(&host());
        let of = |label| rows.iter().find(|(name, _)| *name == label).map(|(_, text)| text.as_str());
        assert_eq!(of("Introspection"), Some("error at 2026-01-02 03:04:06Z: Introspection timeout"));
        assert_eq!(of("Certificate"), Some("0a, valid until 2026-01-03 03:04:05Z"));
        assert_eq!(of("CPU"), Some("64 x Example 6330"));
    }

    #[test]
    fn the_record_tells_what_is_stale_and_that_it_seems_to_be_another_machine() {
        let mut host = host();
        assert!(!rows(&host).iter().any(|(name, _)| ["Stale", "Identity"].contains(name)));
        host["staleSections"] = json!(["bmc", "storage"]);
        host["identityChange"] =
            json!({"heldAt": "2026-01-02T03:04:05Z", "found": {"systemUuid": "u", "serial": "N2"}});
        let rows = rows(&host);
        let of = |label| rows.iter().find(|(name, _)| *name == label).map(|(_, text)| text.as_str());
        assert_eq!(of("Stale"), Some("bmc, storage"));
        let identity = of("Identity").unwrap();
        assert!(identity.starts_with("seems to be u, serial N2 since 2026-01-02 03:04:05Z"), "{identity}");
    }

    #[test]
    fn changes_carry_the_labels_as_a_whole() {
        let args = Change {
            label: vec![("row".into(), "2".into())],
            remove_label: vec!["rack".into()],
            zone: Some(String::new()),
            role: vec!["compute".into()],
            description: None,
        };
        assert_eq!(changes(&args, &host()), json!({"labels": {"row": "2"}, "zone": null, "roles": ["compute"]}));
    }
}
