//! `hostler script run`: a script on hosts, with its output while it is written.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use hostler_common::script::STDIN_MAX;
use serde_json::{Map, Value, json};

use super::library;
use crate::client::Client;
use crate::commands::select::{self, HostsArgs};
use crate::commands::{outcome, values};
use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::follow;

/// What is run, where and how.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// Name or number of a script of the library, a file, or - for standard input
    #[arg(value_name = "NAME|FILE|-")]
    script: String,
    /// Where.
    #[command(flatten)]
    hosts: HostsArgs,
    /// Run on so many hosts at a time, or on such a share of them
    #[arg(long, value_name = "N|N%")]
    max_concurrency: Option<String>,
    /// Begin on no more hosts once the script failed on more than so many, or on such a share
    #[arg(long, value_name = "N|N%")]
    max_errors: Option<String>,
    /// End the script on a host after this time; without it, after an hour
    #[arg(long, value_name = "TIME", value_parser = values::length)]
    timeout: Option<Duration>,
    /// Account under which it runs; without it, that of the agent
    #[arg(long, value_name = "USER")]
    run_as: Option<String>,
    /// Variable of its environment
    #[arg(long, value_name = "NAME=VALUE", value_parser = values::pair)]
    env: Vec<(String, String)>,
    /// A stored secret that it finds as this file in $CREDENTIALS_DIRECTORY
    #[arg(long, value_name = "FILE=SECRET", value_parser = values::pair)]
    secret: Vec<(String, String)>,
    /// File with its standard input, or - for ours
    #[arg(long, value_name = "FILE")]
    stdin: Option<PathBuf>,
    /// Exit code that counts as success besides 0
    #[arg(long, value_name = "CODE")]
    success_code: Vec<i32>,
    /// Revision of the script; without it, the newest
    #[arg(long, value_name = "NUMBER")]
    revision: Option<u32>,
    /// Ask whether to go on after so many hosts
    #[arg(long, value_name = "HOSTS")]
    canary: Option<u32>,
    /// Let processes live on that it leaves behind
    #[arg(long)]
    leave_children: bool,
    /// Only begin it; do not wait
    #[arg(short, long)]
    detach: bool,
    /// Arguments of the script
    #[arg(last = true, value_name = "ARGS")]
    args: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// The manager refuses or is not reached, or the script failed on a host: then with its exit code.
pub async fn run(context: &Context, args: RunArgs) -> Result<(), Failure> {
    let doing = format!("run script {}", args.script);
    let wrong = |why: &str, hint: &str| Failure::new(Kind::Usage, format!("cannot {doing}"), why).hint(hint);
    if !args.hosts.given() {
        return Err(wrong("no host is named", "name hosts with --on, or say --all, --role or --label"));
    }
    if args.script == "-" && args.stdin.as_deref() == Some(Path::new("-")) {
        let why = "standard input cannot be both the script and what it reads";
        return Err(wrong(why, "put one of the two into a file"));
    }
    let client = context.client().await?;
    let mut body = what(&client, &doing, &args.script).await?;
    if args.revision.is_some() && !body.contains_key("scriptId") {
        return Err(wrong("only scripts of the library have revisions", "`hostler script add FILE` adds it"));
    }
    body.insert("servers".into(), select::numbers(context, &client, &args.hosts, &doing).await?.into());
    if let Some(file) = &args.stdin {
        body.insert("stdin".into(), library::text(&doing, file, STDIN_MAX)?.into());
    }
    body.extend(options(&args));
    let call = client.post(doing.as_str(), &["api", "events", "scripts", "execute"]).body(body.into());
    let task = call.json().await?;
    let number = outcome::number(&task, &doing)?;
    if args.detach {
        return outcome::begun(context, &task);
    }
    outcome::of_run(context, follow::run(context, number).await?).await
}

/// Which script: one of the library, or the text of a file. What contains a `/` is a file.
async fn what(client: &Client, doing: &str, name: &str) -> Result<Map<String, Value>, Failure> {
    let body = |key: &str, value: Value| Map::from_iter([(key.to_owned(), value)]);
    let file = Path::new(name);
    if name == "-" || name.contains('/') {
        return Ok(body("script", library::read(doing, file)?.into()));
    }
    if let Some(script) = library::find(client, name).await? {
        return Ok(body("scriptId", script.id.into()));
    }
    if file.is_file() {
        return Ok(body("script", library::read(doing, file)?.into()));
    }
    let why = "the library has no such script, and there is no such file";
    Err(Failure::new(Kind::NotFound, format!("cannot {doing}"), why)
        .hint("`hostler script list` shows the library, `hostler script add FILE` adds to it"))
}

/// Everything else of the request.
fn options(args: &RunArgs) -> Map<String, Value> {
    let texts = |pairs: &[(String, String)]| -> Value {
        pairs.iter().map(|(key, value)| (key.clone(), value.as_str().into())).collect::<Map<_, _>>().into()
    };
    let mut body = Map::new();
    let mut put = |key: &str, value: Option<Value>| drop(value.map(|value| body.insert(key.into(), value)));
    put("args", Some(json!(args.args)));
    put("maxConcurrency", args.max_concurrency.as_deref().map(Value::from));
    put("maxErrors", args.max_errors.as_deref().map(Value::from));
    put("timeoutSeconds", args.timeout.map(|time| time.as_secs().into()));
    put("runAs", args.run_as.as_deref().map(Value::from));
    put("env", (!args.env.is_empty()).then(|| texts(&args.env)));
    put("secrets", (!args.secret.is_empty()).then(|| texts(&args.secret)));
    put("successExitCodes", (!args.success_code.is_empty()).then(|| json!(args.success_code)));
    put("revision", args.revision.map(Value::from));
    put("canary", args.canary.map(Value::from));
    put("leaveChildren", args.leave_children.then_some(Value::Bool(true)));
    body
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        run: RunArgs,
    }

    fn parsed(line: &str) -> RunArgs {
        Line::try_parse_from(line.split(' ')).unwrap().run
    }

    #[test]
    fn options_become_fields() {
        let args = parsed(
            "run check.sh --on a,b --on 3 --max-concurrency 10% --max-errors 1 --timeout 5m --run-as ceph --env A=b=c --secret k=key --success-code 3 --canary 1 --leave-children -- -x --all",
        );
        assert_eq!(args.hosts.on, ["a", "b", "3"]);
        assert_eq!(
            Value::Object(options(&args)),
            json!({"args": ["-x", "--all"], "maxConcurrency": "10%", "maxErrors": "1", "timeoutSeconds": 300,
                "runAs": "ceph", "env": {"A": "b=c"}, "secrets": {"k": "key"}, "successExitCodes": [3], "canary": 1,
                "leaveChildren": true})
        );
        assert_eq!(Value::Object(options(&parsed("run x --all"))), json!({"args": []}));
        assert!(Line::try_parse_from(["run", "x", "--all", "--role", "storage"]).is_err());
    }
}
