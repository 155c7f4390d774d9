//! `hostler maintenance plugin`: what runs on hosts in a session (spec/maintenance.md §5.3).

use std::path::{Path, PathBuf};

use clap::Subcommand;
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::client::Client;
use crate::commands::rule;
use crate::commands::script::library;
use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::output::field::{UNKNOWN, list, moment, show, string};
use crate::output::table::{self, Column};
use crate::output::{Theme, human};
use crate::prompt;

/// The largest manifest, in bytes.
const FILE_MAX: usize = 256 << 10;

/// What to do with plug-ins.
#[derive(Subcommand, Debug)]
pub enum PluginCommand {
    /// Make a script of the library a plug-in, or change one
    Add {
        /// Name of the plug-in
        name: String,
        /// The script, by name or number
        #[arg(long)]
        script: String,
        /// File with the manifest, JSON or YAML; options win over it
        #[arg(long, value_name = "FILE")]
        manifest: Option<PathBuf>,
        /// What it does, for people
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        /// For which types of action it is; without it, all
        #[arg(long = "type", value_name = "TYPE", value_delimiter = ',')]
        types: Vec<String>,
        /// Repeating it is harmless
        #[arg(long)]
        idempotent: bool,
    },
    /// List plug-ins, first those that are built in
    List,
    /// Show a plug-in with what it takes
    Show {
        /// Name of the plug-in
        name: String,
    },
    /// Remove a plug-in; its script stays
    Rm {
        /// Name of the plug-in
        name: String,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

fn path(name: &str) -> [&str; 4] {
    ["api", "maintenance", "plugins", name]
}

/// Runs the command.
///
/// # Errors
/// The manager refuses or is not reached.
pub async fn run(command: PluginCommand, context: &Context, client: &Client) -> Result<(), Failure> {
    match command {
        PluginCommand::Add { name, script, manifest, description, types, idempotent } => {
            let doing = format!("add plug-in {name}");
            let mut told = match &manifest {
                Some(file) => of_file(&doing, file)?,
                None => Map::new(),
            };
            let mut put = |key: &str, value: Option<Value>| drop(value.map(|value| told.insert(key.into(), value)));
            put("description", description.map(Value::from));
            put("types", (!types.is_empty()).then(|| json!(types)));
            put("idempotent", idempotent.then_some(Value::Bool(true)));
            let script = library::existing(client, &script).await?;
            let body = json!({ "script": script.id, "manifest": told });
            let plugin = client.call(Method::PUT, doing, &path(&name)).body(body).json().await?;
            context.output.data(&plugin, |theme| record(theme, &plugin))
        }
        PluginCommand::List => {
            let plugins = client.pages("list plug-ins", &path("")[..3], &[], None).await?;
            context.output.list(&plugins, &columns(), "No plug-ins.")
        }
        PluginCommand::Show { name } => {
            let call = client.get(format!("show plug-in {name}"), &path(&name));
            let plugin = call.json().await.map_err(unknown)?;
            context.output.data(&plugin, |theme| record(theme, &plugin))
        }
        PluginCommand::Rm { name, yes } => {
            prompt::confirm(yes, &format!("Remove plug-in {name}?")).await?;
            client.delete(format!("remove plug-in {name}"), &path(&name)).done().await.map_err(unknown)?;
            context.output.note(&format!("Plug-in {name} is removed."));
            Ok(())
        }
    }
}

fn of_file(doing: &str, file: &Path) -> Result<Map<String, Value>, Failure> {
    let wrong =
        |why: String| Failure::new(Kind::Usage, format!("cannot {doing}"), format!("{}: {why}", file.display()));
    match rule::value_of(&library::text(doing, file, FILE_MAX)?).map_err(wrong)? {
        Value::Object(manifest) => Ok(manifest),
        _ => Err(wrong("it holds no object".into())),
    }
}

fn unknown(failure: Failure) -> Failure {
    match failure.kind {
        Kind::NotFound => failure.hint("`hostler maintenance plugin list` shows all plug-ins"),
        _ => failure,
    }
}

fn columns() -> Vec<Column> {
    vec![
        Column::new("NAME", |v| show(v, "name")).whole(),
        Column::new("SCRIPT", |v| if v["builtIn"] == true { "built in".into() } else { show(v, "script.name") })
            .whole(),
        Column::new("TYPES", types).whole().spare(),
        Column::new("REBOOTS", |v| show(v, "manifest.reboot")).whole().spare(),
        Column::new("DESCRIPTION", |v| show(v, "manifest.description")),
    ]
}

fn types(plugin: &Value) -> String {
    let types = show(plugin, "manifest.types");
    match types.as_str() {
        UNKNOWN => "all".into(),
        "host, compute, controller, storage, other" => "on hosts".into(),
        _ => types,
    }
}

fn record(theme: &Theme, plugin: &Value) -> String {
    let script = match plugin["builtIn"] == true {
        true => "built in".into(),
        false => format!("{} (number {})", show(plugin, "script.name"), show(plugin, "script.id")),
    };
    let seconds =
        |path: &str| string_or_number(plugin, path).map_or_else(|| "as the policy says".into(), |n| format!("{n} s"));
    let mut text = table::record(
        theme,
        &[
            ("Plug-in", show(plugin, "name")),
            ("Does", show(plugin, "manifest.description")),
            ("Script", script),
            ("Version", show(plugin, "manifest.version")),
            ("Types", types(plugin)),
            ("Reboots", show(plugin, "manifest.reboot")),
            ("Repeatable", show(plugin, "manifest.idempotent")),
            ("Time", seconds("manifest.timeout_s")),
            ("Changed", moment(plugin, "updatedAt")),
        ],
    );
    let parameters = parameters(&plugin["manifest"]["params"]);
    if !parameters.is_empty() {
        text.push_str(&format!("\n{}", table::list(theme, &parameter_columns(), &parameters)));
    }
    text
}

fn string_or_number(value: &Value, path: &str) -> Option<String> {
    Some(show(value, path)).filter(|text| text != UNKNOWN)
}

/// What a plug-in takes, by the schema in its manifest.
fn parameters(schema: &Value) -> Vec<Value> {
    let required = list(schema, "required");
    let fields = schema["properties"].as_object();
    let row = |(name, rule): (&String, &Value)| json!({ "name": name, "required": required.iter().any(|known| known == name.as_str()), "rule": rule });
    fields.map(|fields| fields.iter().map(row).collect()).unwrap_or_default()
}

fn parameter_columns() -> Vec<Column> {
    vec![
        Column::new("TAKES", |v| show(v, "name")).whole(),
        Column::new("NEEDED", |v| show(v, "required")).whole(),
        Column::new("RULE", rule_of),
    ]
}

/// A schema in a few words.
fn rule_of(row: &Value) -> String {
    let rule = &row["rule"];
    if rule["enum"].is_array() {
        return format!("one of {}", show(rule, "enum"));
    }
    let mut words = vec![show(rule, "type")];
    for (key, word) in [("minimum", "from"), ("maximum", "to"), ("maxLength", "at most"), ("pattern", "like")] {
        if let Some(bound) = string_or_number(rule, key) {
            words.push(format!("{word} {bound}"));
        }
    }
    let text = string(rule, "description").map_or_else(|| words.join(" "), str::to_owned);
    human::clean(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plug_in_says_what_it_takes() {
        let plugin = json!({"name": "wait", "builtIn": true, "manifest": {"description": "Waits", "types": [], "reboot": "never",
            "idempotent": true, "timeout_s": null, "params": {"type": "object", "required": ["seconds"],
                "properties": {"seconds": {"type": "integer", "minimum": 0, "maximum": 9}, "how": {"enum": ["a", "b"]}}}}});
        let text = record(&Theme::plain(), &plugin);
        for part in ["Types       all\n", "seconds  yes     integer from 0 to 9\n", "how      no      one of a, b\n"] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
    }
}
