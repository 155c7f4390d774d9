//! `hostler inventory changes` and `hostler inventory drift`: what changed on a host, and where hosts of one kind differ.

use serde_json::Value;

use super::host;
use crate::client::Client;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::field::{self, UNKNOWN, moment, show, string};
use crate::output::human;
use crate::output::table::Column;

/// How many hosts are named in a line.
const NAMED: usize = 3;

/// Lists what changed on a host.
///
/// # Errors
/// The manager refuses or is not reached.
pub async fn changes(context: &Context, client: &Client, host: &str, limit: usize) -> Result<(), Failure> {
    let path = ["api", "hosts", host, "inventory-changes"];
    let found = client.pages(&format!("list changes of host {host}"), &path, &[], Some(limit)).await;
    context.output.list(&found.map_err(host::unknown)?, &change_columns(), "Nothing changed.")
}

/// Lists where hosts of one model or role differ.
///
/// # Errors
/// The manager refuses or is not reached.
pub async fn drift(
    context: &Context,
    client: &Client,
    by: Option<&str>,
    fact: Option<&str>,
    limit: usize,
) -> Result<(), Failure> {
    let query = [("by", by), ("fact", fact)];
    let found = client.pages("compare hosts", &["api", "inventory-drift"], &query, Some(limit)).await?;
    context.output.list(&found, &drift_columns(), "No differences among hosts of one kind.")
}

fn change_columns() -> Vec<Column> {
    vec![
        Column::new("AT", |v| moment(v, "at")).whole(),
        Column::new("SEVERITY", |v| show(v, "severity")).state(),
        Column::new("CHANGES", |v| field::list(v, "changes").len().to_string()).whole(),
        Column::new("WHAT", what),
        Column::new("INVENTORY", |v| show(v, "inventory")).whole(),
    ]
}

/// The change that matters most.
fn what(delta: &Value) -> String {
    let changes = field::list(delta, "changes");
    let worst = changes.iter().find(|change| change["severity"] == delta["severity"]);
    worst.map_or_else(|| UNKNOWN.into(), |change| format!("{} {}", show(change, "path"), show(change, "op")))
}

fn drift_columns() -> Vec<Column> {
    vec![
        Column::new("SEVERITY", |v| show(v, "severity")).state(),
        Column::new("KIND", |v| show(v, "kind")),
        Column::new("FACT", |v| show(v, "fact")).whole(),
        Column::new("USUAL", |v| show(v, "usual")),
        Column::new("ODD", |v| format!("{} of {}", show(v, "outlierCount"), show(v, "hosts"))).whole(),
        Column::new("HOSTS", hosts),
    ]
}

fn hosts(difference: &Value) -> String {
    let outliers = field::list(difference, "outliers");
    let total = difference["outlierCount"].as_u64().unwrap_or(0);
    let named: Vec<String> = outliers
        .iter()
        .take(NAMED)
        .map(|host| {
            let name = string(host, "name").map_or_else(|| UNKNOWN.into(), human::clean);
            format!("{name} ({})", show(host, "value"))
        })
        .collect();
    let more = total.saturating_sub(named.len() as u64);
    let rest = if more > 0 { format!(", {more} more") } else { String::new() };
    format!("{}{rest}", named.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::output::Theme;
    use crate::output::table;

    #[test]
    fn a_line_names_the_odd_hosts_and_counts_the_rest() {
        let outlier = |name: &str| json!({"name": name, "value": "1.9"});
        let row = json!({"severity": "warning", "kind": "Acme S2U", "fact": "firmware.version", "usual": "2.0", "hosts": 40,
            "outlierCount": 5, "outliers": [outlier("a"), outlier("b"), outlier("c"), outlier("d")]});
        let text = table::list(&Theme::plain(), &drift_columns(), &[row]);
        assert!(text.contains("5 of 40") && text.contains("a (1.9), b (1.9), c (1.9), 2 more"), "{text}");
    }

    #[test]
    fn the_worst_change_stands_for_all() {
        let change = |path: &str, severity: &str| json!({"path": path, "op": "removed", "severity": severity});
        let delta = json!({"at": "2026-01-02T03:04:05Z", "severity": "alarm", "inventory": "i",
            "changes": [change("/a", "info"), change("/inventory/disks/S1", "alarm")]});
        assert_eq!(what(&delta), "/inventory/disks/S1 removed");
        assert_eq!(what(&json!({})), UNKNOWN);
    }
}
