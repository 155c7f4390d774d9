//! `hostler hook points`: the moments, with the values that scripts get.

use serde_json::Value;

use crate::client::Client;
use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::output::Theme;
use crate::output::field::{list, show};
use crate::output::table::{self, Column};

/// Runs the command.
///
/// # Errors
/// The manager refuses or is not reached, or does not know the moment.
pub async fn run(context: &Context, client: &Client, event: Option<&str>, wide: bool) -> Result<(), Failure> {
    let answer = client.get("list hook points", &["api", "events", "hooks", "hook-points"]).json().await?;
    let points = answer.as_array().cloned().unwrap_or_default();
    let Some(event) = event else {
        let mut columns = columns();
        columns.extend(wide.then(|| Column::new("PARAMETERS", parameters)));
        return context.output.list(&points, &columns, "No hook points.");
    };
    let point = points.into_iter().find(|point| point["name"] == event).ok_or_else(|| {
        Failure::new(Kind::NotFound, format!("cannot show hook point {event}"), "this manager does not have it")
    })?;
    context.output.data(&point, |theme| record(theme, &point))
}

fn columns() -> Vec<Column> {
    vec![
        Column::new("EVENT", |v| show(v, "name")).whole(),
        Column::new("RUNS ON", place).whole(),
        Column::new("WAITS", |v| show(v, "blocking")).whole(),
        Column::new("WHEN", |v| show(v, "description")),
    ]
}

fn place(point: &Value) -> String {
    if point["canChooseServer"] == true { "hosts" } else { "management" }.into()
}

fn parameters(point: &Value) -> String {
    list(point, "parameters").iter().map(|parameter| show(parameter, "name")).collect::<Vec<_>>().join(", ")
}

fn variable(parameter: &Value) -> String {
    format!("HOOK_{}", show(parameter, "name").replace('-', "_").to_ascii_uppercase())
}

fn record(theme: &Theme, point: &Value) -> String {
    let waits = match (point["blocking"] == true, place(point).as_str()) {
        (true, _) => "what happens waits for it, and does not happen if it fails",
        (false, _) => "nothing waits for it",
    };
    let rows = [
        ("Event", show(point, "name")),
        ("When", show(point, "description")),
        ("Runs on", place(point)),
        ("Waits", waits.to_owned()),
    ];
    let columns = [
        Column::new("ARGUMENT", |v| show(v, "name")).whole(),
        Column::new("VARIABLE", variable).whole(),
        Column::new("WHAT", |v| show(v, "description")),
    ];
    let parameters = table::list(theme, &columns, list(point, "parameters"));
    format!("{}\n{}", table::record(theme, &rows), parameters)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_point_is_shown_with_its_parameters_in_their_order() {
        let point = json!({"name": "PreX", "canChooseServer": true, "description": "Before X.", "blocking": true,
            "parameters": [{"name": "old-status", "description": "Before."}, {"name": "device", "description": "Which."}]});
        let text = record(&Theme::plain(), &point);
        assert!(text.contains("Runs on  hosts\n"), "{text}");
        assert!(text.ends_with("ARGUMENT    VARIABLE         WHAT\nold-status  HOOK_OLD_STATUS  Before.\ndevice      HOOK_DEVICE      Which.\n"), "{text}");
        assert_eq!(parameters(&point), "old-status, device");
    }
}
