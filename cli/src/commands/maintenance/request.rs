//! Beginning a session: how the words of the command line become the request (spec/maintenance.md §1.3).

mod action;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use hostler_common::time::Timestamp;
use serde_json::{Map, Value, json};

use super::moment::{self, Start};
use super::{plan, session, show, watch};
use crate::client::Client;
use crate::commands::script::library;
use crate::commands::select::{self, HostsArgs};
use crate::commands::{rule, values};
use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::prompt;
use action::ActionArgs;

/// The largest file with a request, in bytes; the manager takes no larger body.
const FILE_MAX: usize = 1 << 20;

/// How long from now a session begins that is to begin at once: the manager wants five seconds, and clocks differ.
const AT_ONCE: Duration = Duration::from_secs(6);

/// What is to be done, where, when and by which rules.
#[derive(Args, Debug, Default)]
pub struct RequestArgs {
    /// Hosts: names, numbers or UUIDs
    #[arg(value_name = "HOST")]
    named: Vec<String>,
    /// More of them.
    #[command(flatten)]
    hosts: HostsArgs,
    /// Read the request from this file, JSON or YAML, - for standard input; other options add to it and win over it
    #[arg(short, long, value_name = "FILE", help_heading = "What")]
    file: Option<PathBuf>,
    /// What is done on the hosts.
    #[command(flatten)]
    actions: ActionArgs,
    /// Name for people
    #[arg(long, value_name = "NAME", help_heading = "What")]
    name: Option<String>,
    /// Why, for people
    #[arg(long, value_name = "TEXT", help_heading = "What")]
    reason: Option<String>,
    /// When it begins: now, +2h, 22:00, "2031-04-12 22:00" (UTC); without it, at once
    #[arg(long, value_name = "TIME", value_parser = moment::start, help_heading = "When")]
    at: Option<Start>,
    /// When it may work: 22:00-04:00, or "mon-fri 22:00-04:00 Europe/Berlin"
    #[arg(long, value_name = "WINDOW", value_parser = moment::window, help_heading = "When")]
    window: Option<Value>,
    /// How instances are gone about: their projects are asked as a whole, or each owner within constraints
    #[arg(long, value_parser = ["default", "vnf"], help_heading = "How")]
    workflow: Option<String>,
    /// So many hosts at once, as far as nothing speaks against it; 0 for as many as possible
    #[arg(long, value_name = "HOSTS", help_heading = "How")]
    parallel: Option<u32>,
    /// Sizes of the batches, the last one repeated: 1,2,10%
    #[arg(long, value_name = "N|N%,...", value_delimiter = ',', help_heading = "How")]
    batch: Vec<String>,
    /// How long it rests between batches
    #[arg(long, value_name = "TIME", value_parser = values::length, help_heading = "How")]
    pause_between: Option<Duration>,
    /// When a host fails: stop with the session, skip the host, or go on as if the step were done
    #[arg(long, value_parser = ["stop", "skip", "force"], help_heading = "How")]
    on_failure: Option<String>,
    /// So many hosts may fail before the session does
    #[arg(long, value_name = "N|N%", help_heading = "How")]
    max_failed: Option<String>,
    /// Wait for an approval before anything is done, before the first host, or before each host
    #[arg(long, value_name = "BEFORE", num_args = 0..=1, require_equals = true, default_missing_value = "session",
        value_parser = ["session", "first-host", "each-host"], help_heading = "How")]
    require_approval: Option<String>,
    /// What must hold before a host is touched: ceph, a URL that answers 200, alerts:URL [MATCHER ...] of an Alertmanager without
    /// such alerts, or a script that ends well
    #[arg(long, value_name = "GATE", help_heading = "How")]
    gate: Vec<String>,
    /// Any other rule by its name; docs/maintenance.md has all
    #[arg(long, value_name = "KEY=VALUE", value_parser = values::pair, help_heading = "How")]
    policy: Vec<(String, String)>,
}

/// Begin a session.
#[derive(Args, Debug)]
pub struct StartArgs {
    /// What is asked for.
    #[command(flatten)]
    request: RequestArgs,
    /// Follow it until it is over, as `watch` does
    #[arg(short, long)]
    watch: bool,
    /// Do not show the plan and ask
    #[arg(short, long)]
    yes: bool,
}

/// Begins a session, after a look at its plan where there is somebody to look.
///
/// # Errors
/// The manager refuses or is not reached, or the answer was not yes; with `--watch`, the session failed.
pub async fn start(context: &Context, client: &Client, args: StartArgs) -> Result<(), Failure> {
    let doing = "start the maintenance session";
    let body = body(context, client, args.request, doing).await?;
    if !args.yes && prompt::somebody() {
        let planned = plan::rehearse(client, doing, body.clone()).await?;
        context.output.note(&plan::in_words(&plan::plain(), &planned));
        prompt::confirm(false, "Begin?").await?;
    }
    let path = ["maintenance", "v1", "maintenance"];
    let made = client.post(doing, &path).body(body.into()).json().await.map_err(hinted)?;
    let id = made["session_id"].as_str().map(str::to_owned);
    let id = id.ok_or_else(|| Failure::new(Kind::Failed, format!("cannot {doing}"), "the answer names no session"))?;
    if args.watch {
        return watch::run(context, client, &id, None).await;
    }
    let now = session::now(client, &id).await?;
    context.output.data(&now, |theme| show::record(theme, &now))?;
    if context.output.for_people() {
        context.output.note(&format!("Begun. `hostler maintenance watch {}` follows it.", session::called(&now)));
    }
    Ok(())
}

/// What helps where a session is refused.
pub fn hinted(failure: Failure) -> Failure {
    match failure.kind {
        Kind::Conflict => failure.hint("`hostler maintenance list` shows which sessions there are"),
        Kind::Rejected if failure.why.contains("plug-in") => {
            failure.hint("`hostler maintenance plugin list` shows what there is, `plugin show NAME` what it takes")
        }
        Kind::Rejected => failure.hint("docs/maintenance.md has the rules of a session"),
        _ => failure,
    }
}

/// The request that the command line means.
///
/// # Errors
/// The file cannot be read, no host is named, or one that is named is not there; the manager refuses or is not reached.
pub async fn body(
    context: &Context,
    client: &Client,
    args: RequestArgs,
    doing: &str,
) -> Result<Map<String, Value>, Failure> {
    let mut body = match &args.file {
        Some(file) => of_file(doing, file)?,
        None => Map::new(),
    };
    let named = HostsArgs { on: [args.named.clone(), args.hosts.on.clone()].concat(), ..args.hosts.clone() };
    if named.all && named.on.is_empty() {
        // The manager leaves those out whose agents are away, and says so.
        body.insert("hosts".into(), json!([]));
    } else if named.given() {
        body.insert("hosts".into(), select::names(context, client, &named, doing).await?.into());
    } else if !body.contains_key("hosts") && !body.contains_key("host_selector") {
        return Err(Failure::new(Kind::Usage, format!("cannot {doing}"), "no host is named")
            .hint("name hosts, or say --all, --role or --label"));
    }
    options(&args, &mut body, now()).map_err(|why| Failure::new(Kind::Usage, format!("cannot {doing}"), why))?;
    Ok(body)
}

fn now() -> Timestamp {
    Timestamp::from_micros(jiff::Timestamp::now().as_microsecond())
}

fn of_file(doing: &str, file: &Path) -> Result<Map<String, Value>, Failure> {
    let text = library::text(doing, file, FILE_MAX)?;
    let wrong =
        |why: String| Failure::new(Kind::Usage, format!("cannot {doing}"), format!("{}: {why}", file.display()));
    match rule::value_of(&text).map_err(wrong)? {
        Value::Object(body) => Ok(body),
        _ => Err(wrong("it holds no object".into())),
    }
}

/// Puts everything but the hosts into the request.
fn options(args: &RequestArgs, body: &mut Map<String, Value>, now: Timestamp) -> Result<(), String> {
    if args.at.is_some() || !body.contains_key("maintenance_at") {
        let at = args.at.filter(|at| *at != Start::In(Duration::ZERO)).unwrap_or(Start::In(AT_ONCE));
        body.insert("maintenance_at".into(), at.moment(now).rfc3339().into());
    }
    let mut put = |key: &str, value: Option<Value>| drop(value.map(|value| body.insert(key.into(), value)));
    put("name", args.name.as_deref().map(Value::from));
    put("reason", args.reason.as_deref().map(Value::from));
    put("workflow", args.workflow.as_deref().map(Value::from));
    put("window", args.window.clone());
    let wanted = args.actions.actions()?;
    if !wanted.is_empty() {
        let actions = body.entry("actions").or_insert_with(|| json!([]));
        let list = actions.as_array_mut().ok_or("actions of the file must be a list")?;
        list.extend(wanted);
    }
    let rules = policy(args)?;
    if !rules.is_empty() {
        let policy = body.entry("policy").or_insert_with(|| json!({}));
        let known = policy.as_object_mut().ok_or("policy of the file must be an object")?;
        known.extend(rules);
    }
    Ok(())
}

/// The rules that the options mean.
fn policy(args: &RequestArgs) -> Result<Map<String, Value>, String> {
    let mut policy = Map::new();
    let mut put = |key: &str, value: Option<Value>| drop(value.map(|value| policy.insert(key.into(), value)));
    put("reboot", args.actions.reboot_rule().map(Value::from));
    put("max_parallel_hosts", args.parallel.map(Value::from));
    put("batch", (!args.batch.is_empty()).then(|| json!(args.batch)));
    put("pause_between", args.pause_between.map(|time| time.as_secs().into()));
    put("on_fail", args.on_failure.as_deref().map(Value::from));
    put("max_failed_hosts", args.max_failed.as_deref().map(Value::from));
    let mut gates: Vec<Value> = args.gate.iter().map(|gate| of_gate(gate)).collect();
    gates.extend(
        args.require_approval
            .as_deref()
            .map(|before| json!({ "gate": "manual_approval", "before": before.replace('-', "_") })),
    );
    put("gates", (!gates.is_empty()).then(|| gates.into()));
    for (key, value) in &args.policy {
        if policy.insert(key.clone(), action::value(value)).is_some() {
            return Err(format!("--policy {key} is said by another option, too"));
        }
    }
    Ok(policy)
}

fn of_gate(gate: &str) -> Value {
    match gate {
        "ceph" | "ceph_health" => json!({ "gate": "ceph_health" }),
        url if url.starts_with("http://") || url.starts_with("https://") => json!({ "gate": "http", "url": url }),
        script => match script.strip_prefix("alerts:") {
            Some(alerts) => {
                let mut words = alerts.split_whitespace();
                let url = words.next().unwrap_or_default();
                json!({ "gate": "alerts_clear", "url": url, "filter": words.collect::<Vec<_>>() })
            }
            None => json!({ "gate": "probe", "name": script }),
        },
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::output::human;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        request: RequestArgs,
    }

    fn parsed(words: &[&str]) -> RequestArgs {
        Line::try_parse_from([&["start"], words].concat()).unwrap().request
    }

    fn told(words: &[&str], mut body: Map<String, Value>) -> Value {
        options(&parsed(words), &mut body, human::parse("2031-04-12T21:00:00Z").unwrap()).unwrap();
        body.into()
    }

    #[test]
    fn options_become_fields() {
        let body = told(
            &[
                "a",
                "b",
                "--reboot",
                "--packages=security",
                "--script",
                "fw.sh",
                "--plugin",
                "x@pre:n=1,t=a b",
                "--at",
                "22:00",
                "--workflow",
                "vnf",
                "--parallel",
                "2",
                "--on-failure",
                "skip",
                "--max-failed",
                "10%",
                "--batch",
                "1,50%",
                "--pause-between",
                "5m",
                "--require-approval=first-host",
                "--gate",
                "ceph",
                "--gate",
                "https://x/",
                "--gate",
                "probe.sh",
                "--gate",
                "alerts:http://am severity=critical",
                "--window",
                "sat 22:00-04:00",
                "--policy",
                "step_timeout=60",
                "--name",
                "spring",
                "--reason",
                "firmware",
                "--",
                "-v",
            ],
            Map::new(),
        );
        assert_eq!(
            body,
            json!({
                "maintenance_at": "2031-04-12T22:00:00.000000Z", "name": "spring", "reason": "firmware",
                "workflow": "vnf", "window": {"days": ["sat"], "start": "22:00", "end": "04:00"},
                "actions": [
                    {"plugin": "packages", "type": "host", "metadata": {"scope": "security"}},
                    {"plugin": "script", "type": "host", "metadata": {"script": "fw.sh", "args": ["-v"]}},
                    {"plugin": "x", "type": "pre", "metadata": {"n": 1, "t": "a b"}},
                ],
                "policy": {
                    "reboot": "always", "max_parallel_hosts": 2, "batch": ["1", "50%"], "pause_between": 300,
                    "on_fail": "skip", "max_failed_hosts": "10%", "step_timeout": 60,
                    "gates": [{"gate": "ceph_health"}, {"gate": "http", "url": "https://x/"},
                        {"gate": "probe", "name": "probe.sh"},
                        {"gate": "alerts_clear", "url": "http://am", "filter": ["severity=critical"]}, {"gate": "manual_approval", "before": "first_host"}],
                },
            })
        );
    }

    #[test]
    fn options_add_to_a_file_and_win_over_it() {
        let file = json!({"maintenance_at": "2031-01-01 00:00:00", "hosts": ["a"], "name": "old",
            "actions": [{"plugin": "dummy", "type": "host"}], "policy": {"on_fail": "stop", "retries": 1}});
        let file = file.as_object().unwrap().clone();
        let body = told(&["--name", "new", "--on-failure", "skip", "--plugin", "wait:seconds=5"], file);
        assert_eq!((&body["name"], &body["maintenance_at"]), (&json!("new"), &json!("2031-01-01 00:00:00")));
        assert_eq!(body["policy"], json!({"on_fail": "skip", "retries": 1}));
        assert_eq!(body["actions"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn a_session_begins_at_once_unless_something_else_is_said() {
        let begins = |words: &[&str]| told(words, Map::new())["maintenance_at"].as_str().unwrap().to_owned();
        assert_eq!(begins(&["a"]), "2031-04-12T21:00:06.000000Z");
        assert_eq!(begins(&["a", "--at", "now"]), begins(&["a"]));
        assert_eq!(begins(&["a", "--at", "+1h"]), "2031-04-12T22:00:00.000000Z");
    }

    #[test]
    fn what_is_said_twice_is_refused() {
        let mut body = Map::new();
        let args = parsed(&["a", "--parallel", "2", "--policy", "max_parallel_hosts=3"]);
        let said = options(&args, &mut body, now()).unwrap_err();
        assert!(said.contains("max_parallel_hosts"), "{said}");
        assert!(Line::try_parse_from(["start", "a", "--script", "x", "--script", "y"]).is_err());
        assert!(Line::try_parse_from(["start", "a", "--reboot", "--no-reboot"]).is_err());
    }
}
