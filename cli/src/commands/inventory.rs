//! `hostler inventory`: what introspections found, and how it changed.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::{drift, host};
use crate::client::Client;
use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::output::field::{UNKNOWN, moment, show};
use crate::output::table::{self, Column};
use crate::output::{self, Theme, human, inventory};

/// What to do with inventories.
#[derive(Subcommand, Debug)]
pub enum InventoryCommand {
    /// List the stored inventories of a host, newest first
    List {
        /// Name, UUID or number
        host: String,
        /// Show at most so many
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Show an inventory in short; with -o json or yaml, the whole document
    Show(Which),
    /// Show what changed between two inventories of a host
    Diff {
        /// Name, UUID or number
        host: String,
        /// Older inventory: an id, latest or previous
        #[arg(long, default_value = "previous", value_name = "INVENTORY")]
        from: String,
        /// Newer inventory: an id, latest or previous
        #[arg(long, default_value = "latest", value_name = "INVENTORY")]
        to: String,
    },
    /// List what changed on a host, newest first, also where the inventories themselves are gone
    Changes {
        /// Name, UUID or number
        host: String,
        /// Show at most so many
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Show where hosts of one model, or of one role, differ from each other
    Drift {
        /// What makes hosts comparable; default model
        #[arg(long, value_parser = ["model", "role"])]
        by: Option<String>,
        /// Only this fact, such as firmware.version
        #[arg(long)]
        fact: Option<String>,
        /// Show at most so many
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Write an inventory as the manager has it, JSON byte for byte
    Export {
        /// Which one.
        #[command(flatten)]
        which: Which,
        /// File to write to, readable by you alone; without it, standard output
        #[arg(short, long)]
        file: Option<PathBuf>,
    },
}

/// Which document.
#[derive(Args, Debug)]
pub struct Which {
    /// Name, UUID or number
    host: String,
    /// Id of the inventory, latest or previous
    #[arg(default_value = "latest")]
    inventory: String,
    /// What the agent sent, before hooks and rules
    #[arg(long)]
    unprocessed: bool,
}

/// Runs the command.
///
/// # Errors
/// The manager refuses or is not reached, or the file cannot be written.
pub async fn run(command: InventoryCommand, context: &Context) -> Result<(), Failure> {
    let client = context.client().await?;
    match command {
        InventoryCommand::List { host, limit } => list(context, &client, &host, limit).await,
        InventoryCommand::Show(which) => {
            let document = parse(&which, &fetch(&client, &which).await?)?;
            let ages = ages(context, &client, &which).await?;
            context.output.data(&document, |theme| summary(theme, &which, &document, &ages))
        }
        InventoryCommand::Changes { host, limit } => drift::changes(context, &client, &host, limit).await,
        InventoryCommand::Drift { by, fact, limit } => {
            drift::drift(context, &client, by.as_deref(), fact.as_deref(), limit).await
        }
        InventoryCommand::Diff { host, from, to } => diff(context, &client, &host, &from, &to).await,
        InventoryCommand::Export { which, file } => {
            let bytes = fetch(&client, &which).await?;
            match file {
                Some(path) => save(&path, &bytes)?,
                None => output::write_out(&bytes)?,
            }
            Ok(())
        }
    }
}

/// How old the facts of the newest inventory are; null for older ones, and for programs, which ask for the host itself.
async fn ages(context: &Context, client: &Client, which: &Which) -> Result<Value, Failure> {
    if which.inventory != "latest" || !context.output.for_people() {
        return Ok(Value::Null);
    }
    let call = client.get(format!("show host {}", which.host), &["api", "hosts", which.host.as_str()]);
    Ok(call.json().await.map_err(host::unknown)?["sections"].take())
}

/// The newest inventory of a host.
///
/// # Errors
/// There is none, or the manager refuses or is not reached.
pub async fn latest(client: &Client, host: &str) -> Result<Value, Failure> {
    let which = Which { host: host.into(), inventory: "latest".into(), unprocessed: false };
    parse(&which, &fetch(client, &which).await?)
}

async fn list(context: &Context, client: &Client, host: &str, limit: usize) -> Result<(), Failure> {
    let path = ["api", "hosts", host, "inventories"];
    let found = client.pages(&format!("list inventories of host {host}"), &path, &[], Some(limit)).await;
    let none = format!("No inventories. `hostler introspect {host} --wait` makes one.");
    context.output.list(&found.map_err(host::unknown)?, &list_columns(), &none)
}

async fn diff(context: &Context, client: &Client, host: &str, from: &str, to: &str) -> Result<(), Failure> {
    let path = ["api", "hosts", host, "inventory-diff"];
    let call = client.get(format!("compare inventories of host {host}"), &path);
    let answer =
        call.query("from", Some(from)).query("to", Some(to)).json().await.map_err(|failure| hint(failure, host))?;
    let changes = output::field::list(&answer, "changes");
    if changes.is_empty() && context.output.for_people() {
        context.output.note("Nothing changed.");
        return Ok(());
    }
    context.output.data(&answer, |theme| table::list(theme, &change_columns(), changes))
}

async fn fetch(client: &Client, which: &Which) -> Result<Vec<u8>, Failure> {
    let path = ["api", "hosts", which.host.as_str(), "inventories", which.inventory.as_str()];
    let call = client.get(format!("read the inventory of host {}", which.host), &path);
    let reply = call.query("unprocessed", which.unprocessed.then_some("true")).reply().await;
    reply.map(|reply| reply.body).map_err(|failure| hint(failure, &which.host))
}

fn hint(failure: Failure, host: &str) -> Failure {
    match failure.kind {
        Kind::NotFound => {
            failure.hint(format!("`hostler host list` shows hosts, `hostler inventory list {host}` its inventories"))
        }
        _ => failure,
    }
}

fn parse(which: &Which, bytes: &[u8]) -> Result<Value, Failure> {
    serde_json::from_slice(bytes).map_err(|error| {
        Failure::new(Kind::Failed, format!("cannot read the inventory of host {}", which.host), error.to_string())
    })
}

/// Writes a document to a file of its own: an inventory tells much about a host, so nobody else may read a new one.
fn save(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    use std::os::unix::fs::OpenOptionsExt;
    let file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| file.write_all(bytes));
    written.map_err(|error| Failure::new(Kind::Failed, format!("cannot write {}", path.display()), error.to_string()))
}

fn summary(theme: &Theme, which: &Which, document: &Value, ages: &Value) -> String {
    let mut rows = vec![("Host", human::clean(&which.host))];
    rows.extend(inventory::machine(document));
    rows.push(("Inventory", inventory::completeness(document)));
    let mut text = table::record(theme, &rows);
    for (title, columns, items) in [
        ("Disks", disk_columns(), inventory::disks(document)),
        ("Interfaces", interface_columns(), inventory::interfaces(document)),
        ("Sections", section_columns(ages), &inventory::aged_sections(document, ages)),
    ] {
        if !items.is_empty() {
            text.push_str(&format!("\n{}\n{}", theme.bold(title), table::list(theme, &columns, items)));
        }
    }
    text
}

fn list_columns() -> Vec<Column> {
    vec![
        Column::new("COLLECTED", |v| moment(v, "collectedAt")).whole(),
        Column::new("SIZE", |v| v["size"].as_u64().map_or_else(|| show(v, "size"), human::bytes)).whole(),
        Column::new("SECTIONS", section_counts).whole(),
        Column::new("HASH", |v| show(v, "hash").chars().take(12).collect()).whole(),
        Column::new("ID", |v| show(v, "id")).whole(),
    ]
}

fn section_counts(info: &Value) -> String {
    let sections = info["sections"].as_object();
    let total = sections.map_or(0, serde_json::Map::len);
    let complete = sections.map_or(0, |map| map.values().filter(|state| *state == "ok").count());
    format!("{complete} of {total} ok")
}

fn change_columns() -> Vec<Column> {
    vec![
        Column::new("SEVERITY", |v| show(v, "severity")).state(),
        Column::new("CLASS", |v| show(v, "class")).whole().spare(),
        Column::new("CHANGE", |v| show(v, "op")).state(),
        Column::new("WHAT", |v| show(v, "path")),
        Column::new("OLD", |v| show(v, "old")),
        Column::new("NEW", |v| show(v, "new")),
    ]
}

fn disk_columns() -> Vec<Column> {
    vec![
        Column::new("NAME", |v| show(v, "name")).whole(),
        Column::new("SIZE", inventory::disk_size).whole(),
        Column::new("KIND", inventory::disk_kind).whole(),
        Column::new("MODEL", inventory::disk_model),
        Column::new("SERIAL", |v| show(v, "serial")),
        Column::new("PATH", |v| show(v, "by_path")).whole().spare(),
    ]
}

fn interface_columns() -> Vec<Column> {
    vec![
        Column::new("NAME", |v| show(v, "name")).whole(),
        Column::new("LINK", inventory::interface_link).whole(),
        Column::new("MAC", |v| show(v, "mac_address")).whole(),
        Column::new("ADDRESS", inventory::interface_address).whole(),
        Column::new("SPEED", inventory::interface_speed).whole(),
        Column::new("DRIVER", |v| show(v, "driver")).spare(),
        Column::new("PCI", |v| show(v, "pci_address")).spare(),
    ]
}

fn section_columns(ages: &Value) -> Vec<Column> {
    let mut columns = vec![
        Column::new("NAME", |v| show(v, "name")).whole(),
        Column::new("STATE", |v| show(v, "status")).state(),
        Column::new("TOOK", |v| {
            v["duration_ms"].as_u64().map_or_else(|| show(v, "duration_ms"), |ms| format!("{ms} ms"))
        })
        .whole(),
    ];
    if ages.is_object() {
        columns.extend([
            Column::new("READ", |v| moment(v, "age.collectedAt")).whole(),
            Column::new("AGE LIMIT", |v| {
                let limit = v["age"]["maxAgeS"].as_u64().map(Duration::from_secs);
                limit.map_or_else(|| UNKNOWN.into(), human::duration)
            })
            .whole(),
            Column::new("STALE", |v| show(v, "age.stale")).state(),
        ]);
    }
    columns.push(Column::new("REASON", |v| show(v, "reason")));
    columns
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_summary_has_machine_disks_interfaces_and_sections() {
        let which = Which { host: "ceph-07".into(), inventory: "latest".into(), unprocessed: false };
        let text = summary(&Theme::plain(), &which, &inventory::example(), &Value::Null);
        for part in [
            "Host       ceph-07",
            "/dev/nvme0n1  3.49 TiB  nvme SSD",
            "ens1f1  down",
            "bmc   unavailable  0 ms  no /dev/ipmi0",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }

    #[test]
    fn the_newest_inventory_shows_how_old_its_sections_are() {
        let which = Which { host: "ceph-07".into(), inventory: "latest".into(), unprocessed: false };
        let ages = json!({"cpu": {"collectedAt": "2026-01-02T03:04:05.000001Z", "maxAgeS": 90_000, "stale": true}});
        let text = summary(&Theme::plain(), &which, &inventory::example(), &ages);
        assert!(text.contains("READ") && text.contains("AGE LIMIT") && text.contains("STALE"), "{text}");
        let line = text.lines().find(|line| line.starts_with("cpu")).unwrap();
        assert!(line.contains("2026-01-02 03:04:05Z") && line.contains("1 d 1 h") && line.contains("yes"), "{line}");
    }

    #[test]
    fn changes_show_severity_first() {
        let change = json!({"path": "/inventory/disks/S1/size", "op": "changed", "old": 1, "new": {"a": 2}, "class": "hardware", "severity": "alarm"});
        assert_eq!(
            table::list(&Theme::plain(), &change_columns(), &[change]),
            "SEVERITY  CLASS     CHANGE   WHAT                      OLD  NEW\nalarm     hardware  changed  /inventory/disks/S1/size  1    a=2\n"
        );
    }

    #[test]
    fn a_saved_document_is_private_and_exact() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        save(&path, b"{ }").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"{ }");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(save(&dir.path().join("no/such"), b"").unwrap_err().kind, Kind::Failed);
    }
}
