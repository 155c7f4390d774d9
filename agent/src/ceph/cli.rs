//! The `ceph` program as a way to a cluster. Slow (0.3 s and 50 MB a call), but it is nearly always there.

use std::time::Duration;

use serde_json::Value;

use super::{Access, CephClient, Error, Reply, program};

/// How long the program may look for a monitor.
const CONNECT: &str = "5";
/// How long it may take in all.
const LIMIT: Duration = Duration::from_secs(12);

/// The `ceph` program.
#[derive(Clone, Debug)]
pub struct Cli {
    access: Access,
}

impl Cli {
    /// For that access.
    #[must_use]
    pub fn new(access: Access) -> Self {
        Self { access }
    }

    fn arguments(&self, command: &Value, input: &[u8]) -> Result<Vec<String>, Error> {
        let mut arguments = self.access.arguments();
        arguments.extend(["--connect-timeout".to_owned(), CONNECT.to_owned()]);
        if !input.is_empty() {
            arguments.extend(["-i".to_owned(), "-".to_owned()]);
        }
        if command["prefix"] == "osd getcrushmap" {
            // Bytes come as they are only to a named file; text must not go there, on that the program stumbles.
            arguments.extend(["-o".to_owned(), "-".to_owned()]);
        }
        arguments.extend(words(command)?);
        Ok(arguments)
    }
}

/// The words of a command: its prefix, then each argument by its name, except the few that the program only takes by place.
fn words(command: &Value) -> Result<Vec<String>, Error> {
    let wrong = || Error::Unreadable("a command must be an object with a prefix".into());
    let object = command.as_object().ok_or_else(wrong)?;
    let prefix = object.get("prefix").and_then(Value::as_str).ok_or_else(wrong)?;
    let mut words: Vec<String> = prefix.split(' ').map(str::to_owned).collect();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    for (name, value) in object.iter().filter(|(name, _)| *name != "prefix" && *name != "format") {
        match value {
            Value::Bool(false) => {}
            Value::Bool(true) => words.push(format!("--{}", name.replace('_', "-"))),
            Value::Array(list) => words.extend(list.iter().map(text)),
            other if matches!(name.as_str(), "group_name" | "max") => words.extend([format!("--{name}"), text(other)]),
            other => words.push(text(other)),
        }
    }
    if let Some(format) = object.get("format") {
        words.extend(["--format".into(), text(format)]);
    }
    Ok(words)
}

impl CephClient for Cli {
    fn send(&mut self, command: &Value, input: &[u8]) -> Result<Reply, Error> {
        let arguments = self.arguments(command, input)?;
        let ended =
            program::run("ceph", &arguments, input, LIMIT).map_err(|error| Error::Unknown(error.to_string()))?;
        match ended.code {
            Some(0) => Ok(Reply { output: ended.output, status: ended.complaint }),
            // The program says 1 also where it found no monitor.
            Some(code) if code != 1 || ended.complaint.contains("Error EPERM") => {
                Err(Error::Refused { errno: code, message: clean(&ended.complaint) })
            }
            _ => Err(Error::Unknown(ended.reason())),
        }
    }
}

/// The sentence of a refusal, without `Error EBUSY: ` before it.
fn clean(complaint: &str) -> String {
    let last = complaint.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("");
    let sentence = last.strip_prefix("Error E").and_then(|rest| rest.split_once(": ")).map(|(_, sentence)| sentence);
    sentence.unwrap_or(last).to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn commands_become_words() {
        let cases = [
            (
                json!({"prefix": "osd crush move", "name": "osd.1", "args": ["rack=a", "root=default"]}),
                "osd crush move osd.1 rack=a root=default",
            ),
            (json!({"prefix": "health", "detail": "detail", "format": "json"}), "health detail --format json"),
            (
                json!({"prefix": "fs subvolume ls", "vol_name": "fs", "group_name": "g"}),
                "fs subvolume ls fs --group_name g",
            ),
            (json!({"prefix": "osd setcrushmap", "prior_version": 9}), "osd setcrushmap 9"),
            (json!({"prefix": "osd ok-to-stop", "ids": ["1"], "max": 4}), "osd ok-to-stop 1 --max 4"),
            (
                json!({"prefix": "osd set", "key": "full", "yes_i_really_mean_it": true}),
                "osd set full --yes-i-really-mean-it",
            ),
        ];
        for (command, expected) in cases {
            assert_eq!(words(&command).unwrap().join(" "), expected);
        }
        assert!(words(&json!([])).is_err());
    }

    #[test]
    fn sentences_of_refusals() {
        assert_eq!(clean("x\nError EBUSY: osd.1 is busy\n"), "osd.1 is busy");
        assert_eq!(clean("Invalid command"), "Invalid command");
    }
}
