//! What is done on the hosts, as the command line says it.

use clap::Args;
use serde_json::{Map, Value, json};

/// The types of actions, in the order in which they run.
const TYPES: [&str; 7] = ["pre", "host", "compute", "controller", "storage", "other", "post"];

/// What `--packages` may ask for besides names.
const SCOPES: [&str; 2] = ["upgrade", "security"];

/// What is done on the hosts.
#[derive(Args, Debug, Default)]
pub struct ActionArgs {
    /// Reboot every host
    #[arg(long, conflicts_with = "no_reboot", help_heading = "What")]
    reboot: bool,
    /// Reboot none, whatever asks for it
    #[arg(long, help_heading = "What")]
    no_reboot: bool,
    /// Upgrade packages: all, those of security, or these
    #[arg(long, value_name = "upgrade|security|NAME,...", num_args = 0..=1, require_equals = true,
        default_missing_value = "upgrade", help_heading = "What")]
    packages: Option<String>,
    /// Run this script of the library on every host; arguments stand behind --
    #[arg(long, value_name = "SCRIPT", help_heading = "What")]
    script: Option<String>,
    /// Run a plug-in, on every host unless a type is named: pre, host, compute, controller, storage, other, post
    #[arg(long, value_name = "NAME[@TYPE][:KEY=VALUE,...]", value_parser = plugin, help_heading = "What")]
    plugin: Vec<Value>,
    /// Arguments of the script
    #[arg(last = true, value_name = "ARGS")]
    args: Vec<String>,
}

impl ActionArgs {
    /// The rule of reboots that is asked for.
    #[must_use]
    pub fn reboot_rule(&self) -> Option<&'static str> {
        match (self.reboot, self.no_reboot) {
            (true, _) => Some("always"),
            (_, true) => Some("never"),
            _ => None,
        }
    }

    /// The actions that are asked for.
    ///
    /// # Errors
    /// There are arguments without a script.
    pub fn actions(&self) -> Result<Vec<Value>, String> {
        let mut actions = Vec::new();
        if let Some(wanted) = &self.packages {
            let metadata = match SCOPES.iter().find(|scope| *scope == wanted) {
                Some(scope) => json!({ "scope": scope }),
                None => json!({ "scope": "named", "names": wanted.split(',').collect::<Vec<_>>() }),
            };
            actions.push(action("packages", "host", metadata));
        }
        match &self.script {
            Some(script) if self.args.is_empty() => actions.push(action("script", "host", json!({ "script": script }))),
            Some(script) => actions.push(action("script", "host", json!({ "script": script, "args": self.args }))),
            None if self.args.is_empty() => {}
            None => return Err("arguments behind -- are those of a script, and --script names none".into()),
        }
        actions.extend(self.plugin.iter().cloned());
        Ok(actions)
    }
}

fn action(plugin: &str, kind: &str, metadata: Value) -> Value {
    json!({ "plugin": plugin, "type": kind, "metadata": metadata })
}

/// Reads `NAME[@TYPE][:KEY=VALUE,...]`. A value is JSON where it can be read as such, else a text.
fn plugin(text: &str) -> Result<Value, String> {
    let (name, told) = text.split_once(':').unwrap_or((text, ""));
    let (name, kind) = name.split_once('@').unwrap_or((name, "host"));
    if name.is_empty() {
        return Err("expected NAME[@TYPE][:KEY=VALUE,...]".into());
    }
    if !TYPES.contains(&kind) {
        return Err(format!("{kind:?} is no type; types are {}", TYPES.join(", ")));
    }
    let mut metadata = Map::new();
    for part in parts(told) {
        let (key, value) = part.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or("expected KEY=VALUE")?;
        metadata.insert(key.to_owned(), self::value(value));
    }
    Ok(action(name, kind, metadata.into()))
}

/// The parts between commas; commas inside of brackets, braces and quotes are no ends.
fn parts(text: &str) -> Vec<&str> {
    let (mut parts, mut from, mut depth, mut quoted) = (Vec::new(), 0, 0_i32, false);
    for (at, sign) in text.char_indices() {
        match sign {
            '"' => quoted = !quoted,
            '[' | '{' if !quoted => depth += 1,
            ']' | '}' if !quoted => depth -= 1,
            ',' if !quoted && depth <= 0 => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts.retain(|part| !part.is_empty());
    parts
}

/// A value: JSON where it can be read as such, else a text.
pub fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plug_ins_with_what_they_are_told() {
        for (text, told) in [
            ("dummy", action("dummy", "host", json!({}))),
            ("x@post", action("x", "post", json!({}))),
            ("wait:seconds=5", action("wait", "host", json!({"seconds": 5}))),
            ("x:a=[1,\"b,c\"],d=e f,g=", action("x", "host", json!({"a": [1, "b,c"], "d": "e f", "g": ""}))),
            ("x:url=http://a:1/", action("x", "host", json!({"url": "http://a:1/"}))),
        ] {
            assert_eq!(plugin(text), Ok(told), "{text}");
        }
        for bad in ["", "@pre", "x@nowhere", "x:a", "x:=1"] {
            assert!(plugin(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn packages_and_scripts() {
        let args = |packages: &str| ActionArgs { packages: Some(packages.into()), ..ActionArgs::default() };
        assert_eq!(args("upgrade").actions().unwrap()[0]["metadata"], json!({"scope": "upgrade"}));
        let named = args("ceph-osd,ceph-mon").actions().unwrap();
        assert_eq!(named[0]["metadata"], json!({"scope": "named", "names": ["ceph-osd", "ceph-mon"]}));
        assert!(ActionArgs { args: vec!["x".into()], ..ActionArgs::default() }.actions().is_err());
    }
}
