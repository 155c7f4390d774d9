//! `hostler event`: what happened, in order.

use std::time::Duration;

use clap::Subcommand;
use serde_json::Value;
use tokio::time::sleep;

use super::wait;
use crate::client::Client;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::Theme;
use crate::output::field::{inline, list, moment, show};
use crate::output::human;
use crate::output::table::Column;

/// How long to wait between two looks while nothing happens.
const PAUSE: Duration = Duration::from_secs(1);
/// Events in one answer.
const PAGE: usize = 1000;

/// What to do with events.
#[derive(Subcommand, Debug)]
pub enum EventCommand {
    /// List events, oldest first
    List {
        /// Only events after this number
        #[arg(long, default_value_t = 0, value_name = "NUMBER")]
        after: i64,
        /// Show at most so many
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Print events as they happen, until Ctrl-C
    Tail {
        /// Begin after this number; without it, with what happens from now on
        #[arg(long, value_name = "NUMBER")]
        after: Option<i64>,
    },
}

/// Runs the command.
///
/// # Errors
/// The manager refuses or is not reached.
pub async fn run(command: EventCommand, context: &Context) -> Result<(), Failure> {
    let client = context.client().await?;
    match command {
        EventCommand::List { after, limit } => {
            let mut events = Vec::new();
            let mut last = after;
            while events.len() < limit {
                let (page, end) = page(&client, last, (limit - events.len()).min(PAGE)).await?;
                if page.is_empty() {
                    break;
                }
                events.extend(page);
                last = end;
            }
            context.output.list(&events, &columns(), "No events.")
        }
        EventCommand::Tail { after } => tail(context, &client, after).await,
    }
}

/// How a tail stands with the manager: one that was never reached is a failure, one that went away will be back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Link {
    New,
    Well,
    Away,
}

async fn tail(context: &Context, client: &Client, after: Option<i64>) -> Result<(), Failure> {
    let mut last = match after {
        Some(number) => number,
        None => newest(client).await?,
    };
    let mut state = Link::New;
    loop {
        let (events, end) = match page(client, last, PAGE).await {
            Ok(found) => found,
            Err(failure) if state != Link::New && wait::transient(&failure) => {
                if state == Link::Well {
                    context.output.note(&format!("{}: {}; waiting for it", failure.what, failure.why));
                }
                state = Link::Away;
                sleep(PAUSE).await;
                continue;
            }
            Err(failure) => return Err(failure),
        };
        state = Link::Well;
        for event in &events {
            context.output.item(event, |theme| line(theme, event))?;
        }
        last = end;
        if events.is_empty() {
            sleep(PAUSE).await;
        }
    }
}

/// The number of the newest event, found by reading to the end.
async fn newest(client: &Client) -> Result<i64, Failure> {
    let mut last = 0;
    loop {
        let (events, end) = page(client, last, PAGE).await?;
        if events.is_empty() {
            return Ok(last);
        }
        last = end;
    }
}

/// Events after a number, and the number to go on from.
async fn page(client: &Client, after: i64, limit: usize) -> Result<(Vec<Value>, i64), Failure> {
    let call = client.get("list events", &["api", "events"]);
    let answer = call.query("after", Some(&after.to_string())).query("limit", Some(&limit.to_string())).json().await?;
    let events = list(&answer, "data").to_vec();
    let number = events.last().and_then(|event| event["number"].as_i64());
    Ok((events, number.or_else(|| answer["last"].as_i64()).unwrap_or(after).max(after)))
}

fn line(theme: &Theme, event: &Value) -> String {
    let data = match inline(&event["data"]) {
        data if data == crate::output::field::UNKNOWN => String::new(),
        data => format!("  {data}"),
    };
    let kind = theme.bold(&show(event, "kind"));
    let by = format!("{}{}", show(event, "actor"), human::clean(&data));
    format!("{}  {}  {kind}  {}  {by}\n", show(event, "number"), moment(event, "at"), show(event, "subject"))
}

fn columns() -> Vec<Column> {
    vec![
        Column::new("#", |v| show(v, "number")).whole(),
        Column::new("AT", |v| moment(v, "at")).whole(),
        Column::new("KIND", |v| show(v, "kind")).whole(),
        Column::new("SUBJECT", |v| show(v, "subject")),
        Column::new("BY", |v| show(v, "actor")).spare(),
        Column::new("DATA", |v| show(v, "data")),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_one_line() {
        let event = json!({"number": 9, "at": "2026-01-02T03:04:05.1Z", "kind": "host.enrolled", "subject": "ceph-07", "actor": "token", "data": {"from": "192.0.2.7\nx"}});
        assert_eq!(
            line(&Theme::plain(), &event),
            "9  2026-01-02 03:04:05Z  host.enrolled  ceph-07  token  from=192.0.2.7 x\n"
        );
    }
}
