//! `hostler webhook`: programs elsewhere that are told of events.

use std::time::Duration;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::event::FilterArgs;
use super::values;
use crate::client::Client;
use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::output::field::{UNKNOWN, inline, moment, show, string};
use crate::output::table::{self, Column};
use crate::prompt;

/// What to do with webhooks.
#[derive(Subcommand, Debug)]
pub enum WebhookCommand {
    /// Have events sent to a URL; the secret that signs them is shown this once
    Add(AddArgs),
    /// List webhooks
    List,
    /// Show a webhook and where it stands
    Show {
        /// Number of the webhook
        id: i64,
    },
    /// Remove a webhook with its dead letters
    Rm {
        /// Number of the webhook
        id: i64,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Send a test event now; fails if the receiver does not take it
    Test {
        /// Number of the webhook
        id: i64,
    },
    /// List the events that were given up
    DeadLetters {
        /// Number of the webhook
        id: i64,
    },
    /// Send dead letters once more
    Replay {
        /// Number of the webhook
        id: i64,
        /// Numbers of the events
        #[arg(required_unless_present = "all")]
        events: Vec<i64>,
        /// All of them
        #[arg(long, conflicts_with = "events")]
        all: bool,
    },
    /// Sign with a new secret, which is shown this once
    Rotate {
        /// Number of the webhook
        id: i64,
        /// How long the secret of before counts too
        #[arg(long, value_name = "TIME", value_parser = values::length, default_value = "1d")]
        keep: Duration,
    },
    /// Switch a webhook on; it goes on where it was
    Enable {
        /// Number of the webhook
        id: i64,
    },
    /// Switch a webhook off; its events wait
    Disable {
        /// Number of the webhook
        id: i64,
    },
}

/// What the webhook is told, and how.
#[derive(Args, Debug)]
pub struct AddArgs {
    /// Where events are sent
    // Not `url`: that is the manager's, which every command has.
    #[arg(value_name = "URL")]
    receiver: String,
    /// What it is called
    #[arg(long)]
    name: Option<String>,
    /// Which events
    #[command(flatten)]
    filter: FilterArgs,
    /// How events are written
    #[arg(long, value_parser = ["cloudevents", "cloudevents-binary", "native"])]
    format: Option<String>,
    /// Begin after the event of this number; without it, with what happens from now on
    #[arg(long, value_name = "NUMBER")]
    after: Option<i64>,
    /// How long the receiver may fail without a break until events are given up
    #[arg(long, value_name = "TIME", value_parser = values::length)]
    retry_for: Option<Duration>,
    /// How often one event is tried at the most
    #[arg(long, value_name = "COUNT")]
    max_attempts: Option<u32>,
    /// Switch the webhook off rather than give an event up
    #[arg(long)]
    stop: bool,
}

/// Runs the command.
///
/// # Errors
/// The manager refuses or is not reached, or a receiver that was tried does not answer as it should.
pub async fn run(command: WebhookCommand, context: &Context) -> Result<(), Failure> {
    let client = context.client().await?;
    match command {
        WebhookCommand::Add(args) => {
            let made = client.post("add a webhook", &["api", "webhooks"]).body(request(&args)).json().await?;
            print_secret(context, &made)
        }
        WebhookCommand::List => {
            let all = client.pages("list webhooks", &["api", "webhooks"], &[], None).await?;
            context.output.list(&all, &columns(), "No webhooks. `hostler webhook add` makes one.")
        }
        WebhookCommand::Show { id } => {
            let call = client.get(format!("show webhook {id}"), &["api", "webhooks", &id.to_string()]);
            let webhook = call.json().await.map_err(hint)?;
            context.output.data(&webhook, |theme| table::record(theme, &rows(&webhook)))
        }
        WebhookCommand::Rm { id, yes } => {
            prompt::confirm(yes, &format!("Remove webhook {id} with its dead letters?")).await?;
            let call = client.delete(format!("remove webhook {id}"), &["api", "webhooks", &id.to_string()]);
            call.done().await.map_err(hint)?;
            context.output.note(&format!("Webhook {id} is removed."));
            Ok(())
        }
        WebhookCommand::Test { id } => test(context, &client, id).await,
        WebhookCommand::DeadLetters { id } => {
            let letters = dead_letters(&client, id).await?;
            context.output.list(&letters, &letter_columns(), "No dead letters.")
        }
        WebhookCommand::Replay { id, events, all } => replay(context, &client, id, events, all).await,
        WebhookCommand::Rotate { id, keep } => {
            let path = ["api", "webhooks", &id.to_string(), "rotate"];
            let call = client.post(format!("rotate the secret of webhook {id}"), &path);
            let rotated = call.body(json!({ "keepFor": keep.as_secs() })).json().await.map_err(hint)?;
            print_secret(context, &rotated)
        }
        WebhookCommand::Enable { id } => switch(context, &client, id, true).await,
        WebhookCommand::Disable { id } => switch(context, &client, id, false).await,
    }
}

fn print_secret(context: &Context, webhook: &Value) -> Result<(), Failure> {
    let mut shown = rows(webhook);
    shown.insert(1, ("Secret", show(webhook, "secret")));
    context.output.data(webhook, |theme| table::record(theme, &shown))?;
    if context.output.for_people() {
        context.output.note("The secret is not shown again; docs/events.md says how receivers verify with it.");
    }
    Ok(())
}

async fn switch(context: &Context, client: &Client, id: i64, enabled: bool) -> Result<(), Failure> {
    let (doing, done) = if enabled { ("enable", "on") } else { ("disable", "off") };
    let path = ["api", "webhooks", &id.to_string()];
    let call = client.call(Method::PATCH, format!("{doing} webhook {id}"), &path);
    call.body(json!({ "enabled": enabled })).done().await.map_err(hint)?;
    context.output.note(&format!("Webhook {id} is switched {done}."));
    Ok(())
}

async fn test(context: &Context, client: &Client, id: i64) -> Result<(), Failure> {
    let call = client.post(format!("test webhook {id}"), &["api", "webhooks", &id.to_string(), "test"]);
    let tried = call.json().await.map_err(hint)?;
    let taken = tried["delivered"] == true;
    let rows = [
        ("Taken", show(&tried, "delivered")),
        ("Status", show(&tried, "status")),
        ("Reason", show(&tried, "reason")),
        ("Took", format!("{} ms", show(&tried, "tookMs"))),
    ];
    context.output.data(&tried, |theme| table::record(theme, &rows))?;
    if taken {
        return Ok(());
    }
    Err(Failure::new(
        Kind::Failed,
        format!("the receiver of webhook {id} did not take the event"),
        show(&tried, "reason"),
    ))
}

async fn dead_letters(client: &Client, id: i64) -> Result<Vec<Value>, Failure> {
    let path = ["api", "webhooks", &id.to_string(), "dead-letters"];
    client.pages(&format!("list the dead letters of webhook {id}"), &path, &[], None).await.map_err(hint)
}

async fn replay(context: &Context, client: &Client, id: i64, events: Vec<i64>, all: bool) -> Result<(), Failure> {
    let events = match all {
        false => events,
        true => dead_letters(client, id).await?.iter().filter_map(|letter| letter["event"].as_i64()).collect(),
    };
    for event in &events {
        let path = ["api", "webhooks", &id.to_string(), "dead-letters", &event.to_string(), "replay"];
        client.post(format!("replay event {event} to webhook {id}"), &path).done().await?;
    }
    let shown = format!("Dead letters that are sent once more: {}.", events.len());
    context.output.note(&shown);
    Ok(())
}

fn hint(failure: Failure) -> Failure {
    match failure.kind {
        Kind::NotFound => failure.hint("`hostler webhook list` shows all webhooks with their numbers"),
        _ => failure,
    }
}

fn request(args: &AddArgs) -> Value {
    let mut body = Map::new();
    body.insert("url".into(), args.receiver.as_str().into());
    for (key, value) in [("name", &args.name), ("format", &args.format)] {
        if let Some(value) = value {
            body.insert(key.into(), value.as_str().into());
        }
    }
    if let Some(after) = args.after {
        body.insert("after".into(), after.into());
    }
    let given = &args.filter;
    let lists =
        [("kinds", &given.kind), ("subjects", &given.subject), ("hosts", &given.host), ("severities", &given.severity)];
    let filter: Map<String, Value> =
        lists.into_iter().filter_map(|(key, text)| Some((key.to_owned(), entries(text.as_deref()?)))).collect();
    if !filter.is_empty() {
        body.insert("filter".into(), filter.into());
    }
    let mut policy = Map::new();
    if let Some(time) = args.retry_for {
        policy.insert("retryFor".into(), time.as_secs().into());
    }
    if let Some(count) = args.max_attempts {
        policy.insert("maxAttempts".into(), count.into());
    }
    if args.stop {
        policy.insert("onExhausted".into(), "stop".into());
    }
    if !policy.is_empty() {
        body.insert("policy".into(), policy.into());
    }
    body.into()
}

/// The entries of a list with commas.
fn entries(text: &str) -> Value {
    text.split(',').map(str::trim).filter(|entry| !entry.is_empty()).collect()
}

fn lag(webhook: &Value) -> String {
    let Some(events) = webhook["lag"]["events"].as_u64() else { return UNKNOWN.into() };
    let more = if webhook["lag"]["more"] == true { "+" } else { "" };
    match webhook["lag"]["seconds"].as_u64() {
        Some(seconds) if events > 0 => format!("{events}{more}, {seconds} s"),
        _ => format!("{events}{more}"),
    }
}

fn wants(webhook: &Value) -> String {
    let lists = ["kinds", "subjects", "hosts", "severities"];
    let parts = lists.iter().map(|key| inline(&webhook["filter"][*key])).filter(|text| text != UNKNOWN);
    let text = parts.collect::<Vec<_>>().join("; ");
    if text.is_empty() { "all".into() } else { text }
}

fn failure(webhook: &Value) -> String {
    match string(webhook, "lastFailure.reason") {
        None => UNKNOWN.into(),
        Some(_) => format!("{}  {}", moment(webhook, "lastFailure.at"), show(webhook, "lastFailure.reason")),
    }
}

fn columns() -> Vec<Column> {
    vec![
        Column::new("#", |v| show(v, "id")).whole(),
        Column::new("NAME", |v| show(v, "name")),
        Column::new("STATE", |v| show(v, "state")).state(),
        Column::new("WAITING", lag).whole(),
        Column::new("DELIVERED", |v| show(v, "delivered")).whole(),
        Column::new("DEAD", |v| show(v, "deadLetters")).whole(),
        Column::new("EVENTS", wants).spare(),
        Column::new("URL", |v| show(v, "url")),
    ]
}

fn letter_columns() -> Vec<Column> {
    vec![
        Column::new("EVENT", |v| show(v, "event")).whole(),
        Column::new("GIVEN UP", |v| moment(v, "at")).whole(),
        Column::new("ATTEMPTS", |v| show(v, "attempts")).whole(),
        Column::new("REASON", |v| show(v, "reason")),
    ]
}

fn rows(webhook: &Value) -> Vec<(&'static str, String)> {
    vec![
        ("Webhook", format!("{} {}", show(webhook, "id"), show(webhook, "name"))),
        ("URL", show(webhook, "url")),
        ("State", show(webhook, "state")),
        ("Events", wants(webhook)),
        ("Format", show(webhook, "format")),
        ("Policy", show(webhook, "policy")),
        ("Waiting", lag(webhook)),
        ("Delivered", show(webhook, "delivered")),
        ("Dead letters", show(webhook, "deadLetters")),
        ("Last success", moment(webhook, "lastSuccess.at")),
        ("Last failure", failure(webhook)),
        ("Next attempt", moment(webhook, "nextAttemptAt")),
        ("Made", format!("{} by {}", moment(webhook, "createdAt"), show(webhook, "createdBy"))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_names_only_what_was_asked_for() {
        let mut args = AddArgs {
            receiver: "https://x/".into(),
            name: None,
            filter: FilterArgs::default(),
            format: None,
            after: None,
            retry_for: None,
            max_attempts: None,
            stop: false,
        };
        assert_eq!(request(&args), json!({"url": "https://x/"}));
        args.filter.kind = Some("run.*, host.enrolled".into());
        args.max_attempts = Some(3);
        args.stop = true;
        assert_eq!(
            request(&args),
            json!({"url": "https://x/", "filter": {"kinds": ["run.*", "host.enrolled"]},
                   "policy": {"maxAttempts": 3, "onExhausted": "stop"}})
        );
    }

    #[test]
    fn what_waits_and_what_is_wanted_in_words() {
        let webhook =
            json!({"lag": {"events": 3, "more": true, "seconds": 9}, "filter": {"kinds": ["a.*", "b"], "hosts": []}});
        assert_eq!((lag(&webhook).as_str(), wants(&webhook).as_str()), ("3+, 9 s", "a.*, b"));
        assert_eq!((lag(&json!({})).as_str(), wants(&json!({})).as_str()), ("-", "all"));
    }
}
