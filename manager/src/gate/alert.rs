//! What an Alertmanager's list of alerts says.

use std::collections::BTreeMap;

use hostler_common::text::clip;
use serde::Deserialize;

/// How many alerts are named, and how long a name may be, in bytes.
const NAMED: usize = 3;
const NAME_MAX: usize = 80;

/// An alert, as far as it matters here.
#[derive(Deserialize)]
struct Alert {
    labels: BTreeMap<String, String>,
}

/// Whether a list of alerts is empty.
///
/// # Errors
/// It is not, or is no list of alerts; for people.
pub(super) fn clear(body: &[u8]) -> Result<(), String> {
    let alerts: Vec<Alert> = serde_json::from_slice(body)
        .map_err(|_| "its answer is no list of alerts: is it an Alertmanager?".to_owned())?;
    if alerts.is_empty() { Ok(()) } else { Err(in_words(&alerts)) }
}

/// How many there are, and the names of those of which there are most.
fn in_words(alerts: &[Alert]) -> String {
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    for alert in alerts {
        *names.entry(name(alert)).or_default() += 1;
    }
    let mut names: Vec<(String, usize)> = names.into_iter().collect();
    // A stable sort: those of which there are equally many stay in the order of their names.
    names.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let one = |(name, count): &(String, usize)| match count {
        1 => name.clone(),
        count => format!("{name} ({count})"),
    };
    let shown: Vec<String> = names.iter().take(NAMED).map(one).collect();
    let more = match names.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more names"),
    };
    let noun = if alerts.len() == 1 { "alert is" } else { "alerts are" };
    format!("{} {noun} active: {}{more}", alerts.len(), shown.join(", "))
}

fn name(alert: &Alert) -> String {
    let name = alert.labels.get("alertname").map_or("an alert without a name", String::as_str);
    clip(name, NAME_MAX).replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(names: &[&str]) -> String {
        let alerts: Vec<serde_json::Value> =
            names.iter().map(|name| serde_json::json!({"labels": {"alertname": name}, "status": {}})).collect();
        clear(&serde_json::to_vec(&alerts).unwrap()).unwrap_err()
    }

    #[test]
    fn no_alert_is_clear_and_some_are_named() {
        assert_eq!(clear(b" [] "), Ok(()));
        assert_eq!(said(&["CephDown"]), "1 alert is active: CephDown");
        assert_eq!(said(&["b", "a", "d", "b", "c", "e"]), "6 alerts are active: b (2), a, c and 2 more names");
        assert_eq!(said(&["x\ny"]), "1 alert is active: x y");
        assert!(clear(br#"[{"labels": {}}]"#).unwrap_err().contains("without a name"));
        assert!(said(&["x".repeat(9000).as_str()]).len() < 200);
    }

    #[test]
    fn anything_else_is_no_list_of_alerts() {
        for body in ["", "{}", "<html>", "[1]", "null", "{\"status\": \"success\", \"data\": []}"] {
            assert!(clear(body.as_bytes()).unwrap_err().contains("no list of alerts"), "{body}");
        }
    }
}
