//! `hostler hook`: scripts bound to moments (spec/hooks.md §4-§8).

mod change;
mod points;

use clap::Subcommand;
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::select::HostsArgs;
use super::{outcome, script, select, values};
use crate::client::Client;
use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::follow;
use crate::output::field::{UNKNOWN, list, show, string};
use crate::output::table::{self, Column};
use crate::prompt;

/// What to do with hooks.
#[derive(Subcommand, Debug)]
pub enum HookCommand {
    /// Bind a script to a moment
    Add(Box<change::AddArgs>),
    /// Change a hook
    Edit(Box<change::EditArgs>),
    /// List hooks
    List {
        /// Only those at this moment
        #[arg(long, value_name = "EVENT", ignore_case = true, value_parser = change::events())]
        event: Option<String>,
        /// Only those of this script, by its name
        #[arg(long, value_name = "NAME")]
        script: Option<String>,
    },
    /// Show a hook
    Show {
        /// Number of the hook
        id: i64,
    },
    /// Remove a hook; its script stays
    Rm {
        /// Number of the hook
        id: i64,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// List the moments to which scripts can be bound, or show one with its parameters
    Points {
        /// Show this one
        #[arg(value_name = "EVENT", ignore_case = true, value_parser = change::events())]
        event: Option<String>,
        /// With all parameters in the list
        #[arg(short, long)]
        wide: bool,
    },
    /// Run a hook with sample values; the exit code is the worst of its hosts'
    Test {
        /// Number of the hook
        id: i64,
        /// A value in place of the sample; `hook points EVENT` has the names
        #[arg(long, value_name = "NAME=VALUE", value_parser = values::pair)]
        value: Vec<(String, String)>,
        /// Where; without it, where the hook is bound to
        #[command(flatten)]
        hosts: HostsArgs,
        /// Only begin it; do not wait
        #[arg(short, long)]
        detach: bool,
    },
}

/// Runs the command.
///
/// # Errors
/// The manager refuses or is not reached, or a hook that was tried failed.
pub async fn run(command: HookCommand, context: &Context) -> Result<(), Failure> {
    let client = context.client().await?;
    match command {
        HookCommand::Add(args) => add(context, &client, *args).await,
        HookCommand::Edit(args) => edit(context, &client, *args).await,
        HookCommand::List { event, script } => {
            let mut condition = Map::new();
            let mut put = |key: &str, value| drop(condition.insert(key.to_owned(), json!({ "_eq": value })));
            event.into_iter().for_each(|event| put("event", event));
            script.into_iter().for_each(|script| put("scriptName", script));
            let hooks = all(&client, &condition.into()).await?;
            context.output.list(&hooks, &columns(), "No hooks. `hostler hook add EVENT --script NAME` binds a script.")
        }
        HookCommand::Show { id } => {
            let hook = one(&client, id).await?;
            context.output.data(&hook, |theme| table::record(theme, &rows(&hook)))
        }
        HookCommand::Rm { id, yes } => {
            prompt::confirm(yes, &format!("Remove hook {id}?")).await?;
            let path = ["api", "events", "hooks", &id.to_string()];
            client.delete(format!("remove hook {id}"), &path).done().await.map_err(unknown)?;
            context.output.note(&format!("Hook {id} is removed."));
            Ok(())
        }
        HookCommand::Points { event, wide } => points::run(context, &client, event.as_deref(), wide).await,
        HookCommand::Test { id, value, hosts, detach } => test(context, &client, id, &value, &hosts, detach).await,
    }
}

async fn all(client: &Client, condition: &Value) -> Result<Vec<Value>, Failure> {
    client.counted_pages("list hooks", &["api", "events", "hooks"], condition, usize::MAX).await
}

async fn one(client: &Client, id: i64) -> Result<Value, Failure> {
    let found = all(client, &json!({ "id": { "_eq": id.to_string() } })).await?;
    let missing = Failure::new(Kind::NotFound, format!("cannot find hook {id}"), "there is no hook of this number");
    found.into_iter().next().ok_or_else(|| unknown(missing))
}

fn unknown(failure: Failure) -> Failure {
    if failure.kind == Kind::NotFound { failure.hint("`hostler hook list` shows all hooks") } else { failure }
}

async fn add(context: &Context, client: &Client, args: change::AddArgs) -> Result<(), Failure> {
    let doing = format!("bind script {} to {}", args.script, args.event);
    let script = script::find(client, &args.script).await?.ok_or_else(|| {
        Failure::new(Kind::NotFound, format!("cannot {doing}"), "the library has no such script")
            .hint("`hostler script list` shows all scripts, `hostler script add FILE` adds one")
    })?;
    let mut body = args.options.body();
    body.insert("event".into(), args.event.as_str().into());
    body.insert("scriptId".into(), script.id.into());
    change::bind(context, client, &args.place, &doing, &mut body).await?;
    let call = client.post(doing.as_str(), &["api", "events", "hooks"]).body(body.into());
    let reply = call.reply().await?;
    let place = reply.headers.get("Location").and_then(|place| place.to_str().ok());
    let id = place.and_then(|place| place.rsplit('/').next()).and_then(|id| id.parse().ok());
    let id =
        id.ok_or_else(|| Failure::new(Kind::Failed, "cannot show the new hook", "the answer does not say which"))?;
    told(context, client, id).await
}

async fn edit(context: &Context, client: &Client, args: change::EditArgs) -> Result<(), Failure> {
    let doing = format!("change hook {}", args.id);
    let mut body = args.options.body();
    if let Some(event) = &args.event {
        body.insert("event".into(), event.as_str().into());
    }
    if let Some(name) = &args.script {
        let script = script::find(client, name).await?;
        let missing = || Failure::new(Kind::NotFound, format!("cannot {doing}"), format!("there is no script {name}"));
        body.insert("scriptId".into(), script.ok_or_else(missing)?.id.into());
    }
    change::bind(context, client, &args.place, &doing, &mut body).await?;
    if body.is_empty() {
        let why = "nothing is to be changed";
        return Err(Failure::new(Kind::Usage, format!("cannot {doing}"), why)
            .hint("`hostler hook edit --help` has what can be changed"));
    }
    let path = ["api", "events", "hooks", &args.id.to_string()];
    client.call(Method::PATCH, doing, &path).body(body.into()).done().await.map_err(unknown)?;
    told(context, client, args.id).await
}

/// Shows a hook that was made or changed.
async fn told(context: &Context, client: &Client, id: i64) -> Result<(), Failure> {
    let hook = one(client, id).await?;
    context.output.data(&hook, |theme| table::record(theme, &rows(&hook)))?;
    if let Some(warning) = string(&hook, "warning").filter(|_| context.output.for_people()) {
        context.output.note(&format!("warning: {warning}; `hostler hook edit {id} --all` or --on HOSTS binds it"));
    }
    Ok(())
}

async fn test(
    context: &Context,
    client: &Client,
    id: i64,
    values: &[(String, String)],
    hosts: &HostsArgs,
    detach: bool,
) -> Result<(), Failure> {
    let doing = format!("test hook {id}");
    let values: Map<String, Value> = values.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    let mut body = json!({ "values": values });
    if hosts.given() {
        body["servers"] = select::numbers(context, client, hosts, &doing).await?.into();
    }
    let call = client.post(doing.as_str(), &["api", "events", "hooks", &id.to_string(), "test"]).body(body);
    let task = call.json().await.map_err(unknown)?;
    let number = outcome::number(&task, &doing)?;
    if detach {
        return outcome::begun(context, &task);
    }
    outcome::of_run(context, follow::run(context, number).await?).await
}

fn columns() -> Vec<Column> {
    vec![
        Column::new("#", |v| show(v, "id")).whole(),
        Column::new("EVENT", |v| show(v, "event")).whole(),
        Column::new("SCRIPT", |v| show(v, "scriptName")).whole(),
        Column::new("ON", place),
        Column::new("ENABLED", |v| show(v, "enabled")).whole(),
        Column::new("ORDER", |v| show(v, "order")).whole().spare(),
        Column::new("ON FAILURE", |v| show(v, "onFailure")).whole().spare(),
        Column::new("NOTE", |v| show(v, "warning")).spare(),
    ]
}

/// Where a hook runs.
fn place(hook: &Value) -> String {
    let names = list(hook, "serverNames");
    match (&hook["allServers"], names.is_empty()) {
        (Value::Bool(true), _) => "all".into(),
        (_, false) => show(hook, "serverNames"),
        (_, true) if string(hook, "warning").is_some() => UNKNOWN.into(),
        (_, true) => "management".into(),
    }
}

fn rows(hook: &Value) -> Vec<(&'static str, String)> {
    vec![
        ("Hook", show(hook, "id")),
        ("Event", show(hook, "event")),
        ("Script", format!("{} (number {})", show(hook, "scriptName"), show(hook, "scriptId"))),
        ("Revision", string(hook, "revision").map_or_else(|| revision(hook), str::to_owned)),
        ("On", place(hook)),
        ("Enabled", show(hook, "enabled")),
        ("Order", show(hook, "order")),
        ("On failure", show(hook, "onFailure")),
        ("Timeout", format!("{} s", show(hook, "timeoutSeconds"))),
        ("Run as", show(hook, "runAs")),
        ("Environment", show(hook, "env")),
        ("Secrets", show(hook, "secrets")),
        ("At a time", hook["maxParallel"].as_u64().map_or_else(|| "all hosts".into(), |count| count.to_string())),
        ("Stdin", show(hook, "stdin")),
        ("External", show(hook, "external")),
        ("Children", if hook["leaveChildren"] == true { "live on" } else { "end with it" }.into()),
    ]
}

fn revision(hook: &Value) -> String {
    hook["revision"].as_u64().map_or_else(|| "the newest".into(), |number| number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Theme;

    #[test]
    fn hooks_are_listed_with_where_they_run() {
        let hook = |id: i64, all: bool, names: Value, warning: Value| {
            json!({"id": id, "event": "PreFormatDisk", "scriptName": "s", "allServers": all, "serverNames": names,
                "enabled": true, "order": 100, "onFailure": "block", "warning": warning})
        };
        let hooks = [
            hook(1, true, json!([]), Value::Null),
            hook(2, false, json!(["a", "b"]), Value::Null),
            hook(3, false, json!([]), "never runs".into()),
            hook(4, false, json!([]), Value::Null),
        ];
        let places: Vec<String> = hooks.iter().map(place).collect();
        assert_eq!(places, ["all", "a, b", "-", "management"]);
        let text = table::list(&Theme::plain(), &columns(), &hooks[1..2]);
        assert!(text.contains("2  PreFormatDisk  s       a, b  yes      100    block"), "{text}");
    }
}
