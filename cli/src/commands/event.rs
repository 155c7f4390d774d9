//! `hostler event`: what happened, in order.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::Value;
use tokio::time::sleep;

use super::wait;
use crate::client::stream::Messages;
use crate::client::{Call, Client};
use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::output::Theme;
use crate::output::field::{inline, list, moment, show};
use crate::output::human;
use crate::output::table::Column;

/// How long to wait before a stream is resumed.
const PAUSE: Duration = Duration::from_secs(1);
/// Events in one answer.
const PAGE: usize = 1000;
/// The status of a token that counts no more.
const UNAUTHORIZED: u16 = 401;

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
        /// Which ones
        #[command(flatten)]
        filter: FilterArgs,
    },
    /// Print events as they happen, until Ctrl-C
    Tail {
        /// Begin after this number; without it, with what happens from now on
        #[arg(long, value_name = "NUMBER")]
        after: Option<i64>,
        /// Which ones
        #[command(flatten)]
        filter: FilterArgs,
    },
}

/// Which events; everything that is given has to fit.
#[derive(Args, Clone, Debug, Default)]
pub struct FilterArgs {
    /// Only of these kinds, with commas; `run.*` is every kind that begins with `run.`
    #[arg(long, value_name = "KINDS")]
    pub kind: Option<String>,
    /// Only about exactly this, with commas
    #[arg(long, value_name = "SUBJECTS")]
    pub subject: Option<String>,
    /// Only about these hosts, with commas
    #[arg(long, value_name = "HOSTS")]
    pub host: Option<String>,
    /// Only so urgent: info, warning, alarm, with commas
    #[arg(long, value_name = "SEVERITIES")]
    pub severity: Option<String>,
}

impl FilterArgs {
    fn apply<'a>(&self, call: Call<'a>) -> Call<'a> {
        call.query("kind", self.kind.as_deref())
            .query("subject", self.subject.as_deref())
            .query("host", self.host.as_deref())
            .query("severity", self.severity.as_deref())
    }
}

/// Runs the command.
///
/// # Errors
/// The manager refuses or is not reached.
pub async fn run(command: EventCommand, context: &Context) -> Result<(), Failure> {
    let client = context.client().await?;
    match command {
        EventCommand::List { after, limit, filter } => {
            let mut events = Vec::new();
            let mut last = after;
            while events.len() < limit {
                let (page, end) = page(&client, &filter, last, (limit - events.len()).min(PAGE)).await?;
                events.extend(page);
                if end == last {
                    break;
                }
                last = end;
            }
            context.output.list(&events, &columns(), "No events.")
        }
        EventCommand::Tail { after, filter } => tail(context, client, after, &filter).await,
    }
}

/// Follows the stream and resumes it where it ended. A manager that was never reached is a failure, one that went away will
/// be back.
async fn tail(context: &Context, mut client: Client, after: Option<i64>, filter: &FilterArgs) -> Result<(), Failure> {
    let mut place = after.map(|number| number.to_string());
    let (mut reached, mut told, mut fresh) = (false, false, false);
    loop {
        let failure = match open(&client, filter, place.as_deref()).await {
            Ok(mut stream) => {
                (reached, told, fresh) = (true, false, false);
                match print(context, &mut stream, &mut place).await {
                    // The manager ends streams from time to time, and when it stops.
                    Ok(()) => {
                        sleep(PAUSE / 4).await;
                        continue;
                    }
                    Err(failure) => failure,
                }
            }
            Err(failure) => failure,
        };
        if reached && !fresh && failure.status == Some(UNAUTHORIZED) {
            // The token has ended; where there is a password, there is another one.
            client = context.client().await?;
            fresh = true;
            continue;
        }
        if !reached || !wait::transient(&failure) {
            return Err(failure);
        }
        if !told {
            context.output.note(&format!("{}: {}; waiting for it", failure.what, failure.why));
            told = true;
        }
        sleep(PAUSE).await;
    }
}

async fn open(client: &Client, filter: &FilterArgs, place: Option<&str>) -> Result<Messages, Failure> {
    let call = client.get("follow events", &["api", "events", "stream"]).query("format", Some("native"));
    let call = filter.apply(call);
    match place {
        Some(place) => call.header("Last-Event-ID", place).messages().await,
        None => call.messages().await,
    }
}

/// Prints what comes until the stream ends.
async fn print(context: &Context, stream: &mut Messages, place: &mut Option<String>) -> Result<(), Failure> {
    while let Some(message) = stream.next().await? {
        if !message.data.is_empty() {
            let data: Value = serde_json::from_str(&message.data).map_err(|error| {
                Failure::new(Kind::Failed, "cannot follow events", format!("a message is not JSON: {error}"))
            })?;
            if message.event == "gap" {
                context.output.note(&format!("{} events cannot be had any more", show(&data, "missed")));
            } else {
                context.output.item(&data, |theme| line(theme, &data))?;
            }
        }
        if !message.id.is_empty() {
            *place = Some(message.id);
        }
    }
    Ok(())
}

/// Events after a number, and the number to go on from: the same number at the end.
async fn page(client: &Client, filter: &FilterArgs, after: i64, limit: usize) -> Result<(Vec<Value>, i64), Failure> {
    let call = filter.apply(client.get("list events", &["api", "events"]));
    let answer = call.query("after", Some(&after.to_string())).query("limit", Some(&limit.to_string())).json().await?;
    Ok((list(&answer, "data").to_vec(), answer["last"].as_i64().unwrap_or(after).max(after)))
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
