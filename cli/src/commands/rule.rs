//! `hostler rule`: introspection rules (spec/introspection.md §1.7.7, §3).

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value, json};

use super::host;
use crate::client::Client;
use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::output::field::{UNKNOWN, at, inline, list, show, string};
use crate::output::table::{self, Column};
use crate::output::{Theme, human};
use crate::prompt;

/// The largest file of rules that is read.
const FILE_MAX: u64 = 16 << 20;

/// What to do with rules.
#[derive(Subcommand, Debug)]
pub enum RuleCommand {
    /// List the rules in the order in which they run
    List,
    /// Show a rule
    Show {
        /// UUID of the rule
        uuid: String,
    },
    /// Create the rules of a file, one object or a list of them
    Import {
        /// JSON or YAML file, or - for standard input
        file: PathBuf,
        /// Replace rules that exist already; they keep their place
        #[arg(long)]
        replace: bool,
    },
    /// Delete rules
    Delete {
        /// UUIDs of the rules
        #[arg(required = true, value_name = "UUID")]
        uuids: Vec<String>,
    },
    /// Delete all rules
    Purge {
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// Show what rules would do to a host, changing nothing
    DryRun {
        /// Name, UUID or number
        host: String,
        /// Rules to try in place of the stored ones: JSON or YAML file, or - for standard input
        #[arg(short, long)]
        file: Option<PathBuf>,
    },
}

/// Runs the command.
///
/// # Errors
/// The manager refuses or is not reached, or the file holds no rules.
pub async fn run(command: RuleCommand, context: &Context) -> Result<(), Failure> {
    match command {
        RuleCommand::List => show_all(context).await,
        RuleCommand::Show { uuid } => show_one(context, &uuid).await,
        RuleCommand::Import { file, replace } => import(context, &file, replace).await,
        RuleCommand::Delete { uuids } => delete(context, &uuids).await,
        RuleCommand::Purge { yes } => purge(context, yes).await,
        RuleCommand::DryRun { host, file } => dry_run(context, &host, file.as_deref()).await,
    }
}

fn path(uuid: Option<&str>) -> Vec<&str> {
    ["introspection", "v1", "rules"].into_iter().chain(uuid).collect()
}

async fn show_all(context: &Context) -> Result<(), Failure> {
    let answer = context.client().await?.get("list rules", &path(None)).json().await?;
    let none = "No rules. `hostler rule import FILE` creates some.";
    context.output.list(list(&answer, "rules"), &columns(), none)
}

async fn show_one(context: &Context, uuid: &str) -> Result<(), Failure> {
    let rule =
        context.client().await?.get(format!("show rule {uuid}"), &path(Some(uuid))).json().await.map_err(unknown)?;
    context.output.data(&rule, |theme| table::record(theme, &rows(&rule)))
}

async fn import(context: &Context, file: &Path, replace: bool) -> Result<(), Failure> {
    let rules = rules_of(file)?;
    let client = context.client().await?;
    let mut created = Vec::with_capacity(rules.len());
    for (position, rule) in rules.iter().enumerate() {
        let done = import_one(&client, position + 1, rule, replace).await.map_err(|failure| {
            if created.is_empty() {
                return failure;
            }
            let kept = format!("{} before it were imported and stay", created.len());
            let hint = failure.hint.clone().map_or(kept.clone(), |hint| format!("{hint}; {kept}"));
            failure.hint(hint)
        })?;
        created.push(done);
    }
    context.output.list(&created, &columns(), "The file holds no rules.")
}

async fn import_one(client: &Client, number: usize, rule: &Value, replace: bool) -> Result<Value, Failure> {
    let doing = match string(rule, "uuid") {
        Some(uuid) => format!("import rule {uuid}"),
        None => format!("import rule number {number}"),
    };
    let created = client.post(doing.as_str(), &path(None)).body(rule.clone()).json().await;
    match (created, string(rule, "uuid")) {
        (Err(failure), Some(uuid)) if failure.kind == Kind::Conflict && replace => {
            client.call(Method::PUT, doing, &["api", "rules", uuid]).body(rule.clone()).json().await
        }
        (Err(failure), _) if failure.kind == Kind::Conflict => Err(failure.hint("--replace replaces rules that exist")),
        (created, _) => created,
    }
}

async fn delete(context: &Context, uuids: &[String]) -> Result<(), Failure> {
    let client = context.client().await?;
    for uuid in uuids {
        client.delete(format!("delete rule {uuid}"), &path(Some(uuid))).done().await.map_err(unknown)?;
        context.output.note(&format!("Rule {uuid} is deleted."));
    }
    Ok(())
}

async fn purge(context: &Context, yes: bool) -> Result<(), Failure> {
    let client = context.client().await?;
    prompt::confirm(yes, "Delete all rules?").await?;
    client.delete("delete all rules", &path(None)).done().await?;
    context.output.note("All rules are deleted.");
    Ok(())
}

async fn dry_run(context: &Context, name: &str, file: Option<&Path>) -> Result<(), Failure> {
    let mut body = json!({"host": name});
    if let Some(file) = file {
        body["rules"] = rules_of(file)?.into();
    }
    let client = context.client().await?;
    let call = client.post(format!("try rules on host {name}"), &["api", "rules", "dry-run"]).body(body);
    let answer = call.json().await.map_err(host::unknown)?;
    context.output.data(&answer, |theme| outcome(theme, &answer))
}

fn unknown(failure: Failure) -> Failure {
    if failure.kind == Kind::NotFound { failure.hint("`hostler rule list` shows all rules") } else { failure }
}

/// Reads the rules of a file: one rule, a list, or an object with the list under `rules`.
fn rules_of(file: &Path) -> Result<Vec<Value>, Failure> {
    let refused = |why: String| {
        Failure::new(Kind::Usage, format!("cannot read rules from {}", file.display()), why).hint(
            "a rule is an object with conditions and actions; a file holds one or a list of them, as JSON or YAML",
        )
    };
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().lock().take(FILE_MAX).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(FILE_MAX).read_to_string(&mut text))
    };
    read.map_err(|error| refused(error.to_string()))?;
    let rules = match value_of(&text).map_err(refused)? {
        Value::Array(rules) => rules,
        Value::Object(mut map) => match map.get_mut("rules").map(Value::take) {
            Some(Value::Array(rules)) => rules,
            _ => vec![Value::Object(map)],
        },
        _ => return Err(refused("it holds neither an object nor a list".into())),
    };
    match rules.iter().position(|rule| !rule.is_object()) {
        Some(position) => Err(refused(format!("entry {} is not an object", position + 1))),
        None => Ok(rules),
    }
}

/// Reads JSON or, where the text is none, YAML: its scalars become what they are in YAML 1.2, so that `on` stays a text.
pub(super) fn value_of(text: &str) -> Result<Value, String> {
    let yaml = || serde_saphyr::from_str_with_options(text, serde_saphyr::options! { strict_booleans: true });
    match serde_json::from_str(text) {
        Ok(value) => Ok(value),
        // YAML that begins so is read as well, but who meant JSON wants to hear where that breaks off.
        Err(json) if text.trim_start().starts_with(['{', '[']) => yaml().map_err(|_| format!("it is not JSON: {json}")),
        Err(_) => yaml().map_err(|error| format!("it is neither JSON nor YAML: {error}")),
    }
}

fn outcome(theme: &Theme, answer: &Value) -> String {
    let mut text = table::list(theme, &report_columns(), list(answer, "report"));
    let changes = list(answer, "changes");
    if !changes.is_empty() {
        text.push_str(&format!("\n{}\n{}", theme.bold("Changes"), table::list(theme, &change_columns(), changes)));
    }
    if !at(answer, "failure").is_null() {
        text.push_str(&format!("\n{} {}\n", theme.bold("The introspection would fail:"), show(answer, "failure")));
    }
    text
}

fn columns() -> Vec<Column> {
    vec![
        Column::new("UUID", |v| show(v, "uuid")).whole(),
        Column::new("SCOPE", |v| show(v, "scope")).spare(),
        Column::new("DESCRIPTION", |v| show(v, "description")),
    ]
}

fn rows(rule: &Value) -> Vec<(&'static str, String)> {
    let mut rows =
        vec![("UUID", show(rule, "uuid")), ("Description", show(rule, "description")), ("Scope", show(rule, "scope"))];
    rows.extend(list(rule, "conditions").iter().map(|condition| ("If", inline(condition))));
    rows.extend(list(rule, "actions").iter().map(|action| ("Then", inline(action))));
    rows
}

fn report_columns() -> Vec<Column> {
    vec![
        Column::new("RULE", rule_name),
        Column::new("MATCHED", |v| show(v, "matched")).state(),
        Column::new("DETAILS", details),
    ]
}

/// A rule by its description; one without, by its UUID; one that is only tried and has neither, by its place in the file.
fn rule_name(report: &Value) -> String {
    match (string(report, "description"), at(report, "rule")) {
        (Some(description), _) => human::clean(description),
        (None, Value::Number(place)) => format!("number {place}"),
        (None, id) => inline(id),
    }
}

/// Why a rule did not match, or what it did.
fn details(report: &Value) -> String {
    let mut parts = Vec::new();
    if report["inScope"] == false {
        parts.push("not meant for this host".to_string());
    }
    for (key, what) in [("failingCondition", "does not hold: condition"), ("failedAction", "failed: action")] {
        if let Some(index) = report[key]["index"].as_u64() {
            parts.push(format!("{what} {}, {}", index + 1, show(&report[key], "text")));
        }
    }
    match report["actionsApplied"].as_u64() {
        None | Some(0) => {}
        Some(1) => parts.push("1 action".into()),
        Some(count) => parts.push(format!("{count} actions")),
    }
    parts.extend(list(report, "warnings").iter().map(|warning| format!("warning: {}", inline(warning))));
    if parts.is_empty() { UNKNOWN.into() } else { parts.join("; ") }
}

fn change_columns() -> Vec<Column> {
    vec![
        Column::new("CHANGE", |v| show(v, "op")).state(),
        Column::new("WHAT", |v| show(v, "path")),
        Column::new("OLD", |v| show(v, "old")),
        Column::new("NEW", |v| show(v, "new")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Value>, Failure> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rules.json");
        std::fs::write(&path, text).unwrap();
        rules_of(&path)
    }

    #[test]
    fn files_of_rules() {
        assert_eq!(read(r#"{"actions":[]}"#).unwrap().len(), 1);
        assert_eq!(read(r#"[{"actions":[]},{"actions":[]}]"#).unwrap().len(), 2);
        assert_eq!(read(r#"{"rules":[{"actions":[]}]}"#).unwrap(), [json!({"actions": []})]);
        for bad in ["", "7", "[7]", "- 7", "a: [", "{\"actions\": [}", "a: 1\n---\nb: 2\n"] {
            assert_eq!(read(bad).unwrap_err().kind, Kind::Usage, "{bad}");
        }
        assert_eq!(rules_of(Path::new("/no/such/file")).unwrap_err().kind, Kind::Usage);
    }

    #[test]
    fn files_of_rules_may_be_yaml() {
        let rule = "description: big disks  # of the new series\nscope: \"on\"\nconditions:\n  - {op: ge, field: 'data://root_disk.size', value: 500}\nactions:\n  - action: set-attribute\n    path: /properties/big\n    value: on\n  - action: fail\n    message: |\n      two\n      lines\n";
        let wanted = json!({
            "description": "big disks",
            "scope": "on",
            "conditions": [{"op": "ge", "field": "data://root_disk.size", "value": 500}],
            "actions": [
                {"action": "set-attribute", "path": "/properties/big", "value": "on"},
                {"action": "fail", "message": "two\nlines\n"},
            ],
        });
        assert_eq!(read(rule).unwrap(), std::slice::from_ref(&wanted));
        let indented = rule.trim_end().replace('\n', "\n  ");
        assert_eq!(read(&format!("- {indented}\n- actions: []\n")).unwrap(), [wanted.clone(), json!({"actions": []})]);
        assert_eq!(read(&format!("rules:\n- {indented}\n")).unwrap(), std::slice::from_ref(&wanted));
        assert_eq!(read("[{actions: [], multiple: all, n: null, yes: true, f: 1.5}]").unwrap()[0]["f"], 1.5);
        // What this program itself writes as YAML.
        assert_eq!(read(&crate::output::yaml::document(&json!([wanted]))).unwrap(), [wanted]);
    }

    #[test]
    fn yaml_that_would_fill_the_memory_is_refused() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let before = format!("*a{}", level - 1);
            bomb.push_str(&format!("a{level}: &a{level} [{}]\n", [before.as_str(); 9].join(", ")));
        }
        assert_eq!(read(&bomb).unwrap_err().kind, Kind::Usage);
    }

    #[test]
    fn a_dry_run_shows_rules_changes_and_failure() {
        let answer = json!({
            "report": [
                {"rule": "u1", "description": "big disks", "inScope": true, "matched": true, "failingCondition": null,
                    "actionsApplied": 2, "failedAction": null, "warnings": ["a text is no number"]},
                {"rule": 2, "description": null, "inScope": true, "matched": false,
                    "failingCondition": {"index": 0, "text": "eq data://cpus"}, "actionsApplied": 0, "warnings": []},
                {"rule": "u3", "inScope": false, "matched": false, "actionsApplied": 0},
            ],
            "node": {}, "changes": [{"path": "/extra/x", "op": "added", "old": null, "new": 1}], "failure": "boom",
        });
        assert_eq!(
            outcome(&Theme::plain(), &answer),
            "RULE       MATCHED  DETAILS\nbig disks  yes      2 actions; warning: a text is no number\nnumber 2   no       does not hold: condition 1, eq data://cpus\nu3         no       not meant for this host\n\nChanges\nCHANGE  WHAT      OLD  NEW\nadded   /extra/x  -    1\n\nThe introspection would fail: boom\n"
        );
    }
}
