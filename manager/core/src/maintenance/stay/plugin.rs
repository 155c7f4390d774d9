//! Plug-ins that are scripts (spec/maintenance.md §5.3): how they are started, and what their end means.
//!
//! A script gets its context as JSON on its standard input and in its environment. The contract's result is a JSON object in a file
//! or on descriptor 3; neither travels with a job, so it is the last line of the output that counts, where that is such an
//! object. Its exit status speaks first: 0 is done, 77 skipped, 194 done with a wish for a reboot, all others failed. The object
//! may make a success a failure or a skip, never the other way round.

use std::collections::BTreeMap;
use std::time::Duration;

use hostler_common::job::{Outcome, Work};
use hostler_common::script::{ScriptLimits, ScriptRef, ScriptRun};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::plugin::Manifest;
use super::agenda::Entry;
use super::builtin::{self, ScriptParams};
use super::draft::Draft;
use super::judge::{kept, output};

/// Exit status: there was nothing to do.
const SKIPPED: i32 = 77;
/// Exit status: it is done, and a reboot is needed.
const REBOOT: i32 = 194;
/// How long a probe may take, in seconds.
const PROBE_WITHIN: u64 = 300;

/// What a plug-in says of its end.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Said {
    state: Option<String>,
    reboot_required: bool,
    changed: Option<bool>,
    facts: Map<String, Value>,
    message: String,
}

/// How a plug-in ended.
#[derive(Debug, PartialEq)]
enum Verdict {
    Done { reboot: bool },
    Skipped,
    Failed(String),
}

/// The last line of an output, if it is a result.
fn said(text: &str) -> Option<Said> {
    let line = text.lines().rev().find(|line| !line.trim().is_empty())?;
    let value: Value = serde_json::from_str(line.trim()).ok()?;
    let names = ["state", "reboot_required", "changed", "facts", "message"];
    let known = value.as_object().is_some_and(|fields| names.iter().any(|name| fields.contains_key(*name)));
    if known { serde_json::from_value(value).ok() } else { None }
}

fn verdict(exit_code: Option<i32>, said: Option<&Said>) -> Verdict {
    let asked = said.is_some_and(|said| said.reboot_required);
    let exit = match exit_code {
        Some(0) => Verdict::Done { reboot: asked },
        Some(REBOOT) => Verdict::Done { reboot: true },
        Some(SKIPPED) => Verdict::Skipped,
        Some(code) => Verdict::Failed(format!("it ended with status {code}")),
        None => Verdict::Failed("it was killed".into()),
    };
    match (exit, said.and_then(|said| said.state.as_deref())) {
        (Verdict::Failed(why), _) => Verdict::Failed(why),
        (_, Some("FAILED")) => {
            let message = said.map(|said| said.message.clone()).filter(|message| !message.is_empty());
            Verdict::Failed(message.unwrap_or_else(|| "it says that it failed".into()))
        }
        (_, Some("SKIPPED")) => Verdict::Skipped,
        (exit, _) => exit,
    }
}

impl Draft<'_> {
    /// The manifest of the plug-in that an entry is part of.
    fn manifest(&self, entry: &Entry) -> Option<Manifest> {
        let (name, _) = self.plugin_of(entry)?;
        builtin::manifest(&name).or_else(|| self.cx.facts.plugins.get(&name).map(|(manifest, _)| manifest.clone()))
    }

    /// How long a plug-in may take.
    pub(super) fn plugin_seconds(&self, entry: &Entry) -> u64 {
        let own = self.manifest(entry).and_then(|manifest| manifest.timeout_s);
        u64::from(own.unwrap_or_else(|| self.order().map_or(0, |order| order.policy.step_timeout)))
    }

    /// How often a plug-in that failed is tried once more.
    pub(super) fn plugin_retries(&self, entry: &Entry) -> u32 {
        let own = self.manifest(entry).and_then(|manifest| manifest.retries);
        own.unwrap_or_else(|| self.order().map_or(0, |order| order.policy.retries))
    }

    /// Runs a script of the library because the action names it.
    pub(super) fn run_script(&mut self, entry: &Entry, params: &ScriptParams) {
        let Some(script) = self.cx.facts.scripts.get(&params.script).cloned() else {
            // Facts are read for what a stay asked before: of an order that came just now they know nothing.
            if let Some(open) = self.next.open.as_mut().filter(|open| open.part == 0) {
                open.part = 1;
                open.next = Some(self.cx.now);
                return;
            }
            return self.fail("plugin.script_missing", format!("there is no script {} in the library", params.script));
        };
        self.run(entry, script, params.args.clone(), params.env.clone(), false);
    }

    /// Runs a plug-in of an operator.
    pub(super) fn run_plugin(&mut self, entry: &Entry) {
        let Some((name, _)) = self.plugin_of(entry) else { return self.dropped() };
        let Some((manifest, script)) = self.cx.facts.plugins.get(&name).cloned() else {
            return self.fail("plugin.unknown", format!("there is no plug-in {name}"));
        };
        let Some(script) = script else {
            return self.fail("plugin.script_missing", format!("the script of plug-in {name} is gone"));
        };
        if manifest.reboot == super::super::plugin::MayReboot::Always {
            self.reboot_wanted(&name);
        }
        self.run(entry, script, Vec::new(), BTreeMap::new(), manifest.idempotent);
    }

    fn run(
        &mut self,
        entry: &Entry,
        script: ScriptRef,
        args: Vec<String>,
        more: BTreeMap<String, String>,
        again: bool,
    ) {
        let (Some(order), Some(open), Some((plugin, kind))) = (self.order(), &self.next.open, self.plugin_of(entry))
        else {
            return self.dropped();
        };
        let attempt = self.next.tries.as_ref().map_or(1, |(_, tries)| *tries);
        let metadata = entry.action.and_then(|at| order.actions.get(at)).map(|action| &action.metadata);
        let told = json!({
            "session_id": order.session.to_string(), "host": order.name, "plugin": plugin, "type": kind,
            "step_id": open.step.to_string(), "attempt": attempt, "metadata": metadata,
        });
        let mut env = more;
        let own = [
            ("SESSION_ID", order.session.to_string()),
            ("HOST", order.name.clone()),
            ("PLUGIN", plugin),
            ("TYPE", kind),
            ("STEP_ID", open.step.to_string()),
        ];
        env.extend(own.map(|(name, value)| (name.to_owned(), value)));
        let seconds = self.plugin_seconds(entry);
        let run = ScriptRun {
            script,
            args,
            env,
            secrets: BTreeMap::new(),
            stdin: Some(told.to_string()),
            run_as: None,
            limits: ScriptLimits::default(),
            leave_children: false,
            success_codes: vec![SKIPPED, REBOOT],
            blocking: true,
        };
        self.order_here(Work::Script(Box::new(run)), Duration::from_secs(seconds), again);
    }

    /// Asks a gate that is a script of the library, on the host of the manager.
    pub(super) fn run_probe(&mut self, name: &str) {
        let (Some(script), Some(host)) = (self.cx.facts.scripts.get(name).cloned(), self.cx.facts.management) else {
            let text = format!("probe {name} cannot be asked: its script or the host of the manager is not there");
            return self.wait_for(15, "gate.closed", text);
        };
        let Some(order) = self.order() else { return };
        let env = [("SESSION_ID", order.session.to_string()), ("HOST", order.name.clone())];
        let run = ScriptRun {
            script,
            args: Vec::new(),
            env: env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            secrets: BTreeMap::new(),
            stdin: None,
            run_as: None,
            limits: ScriptLimits::default(),
            leave_children: false,
            success_codes: Vec::new(),
            blocking: true,
        };
        self.order_job(host, Work::Script(Box::new(run)), Duration::from_secs(PROBE_WITHIN), true);
    }

    /// A script that is a plug-in ended by itself, with a status that may be a success.
    pub(super) fn plugin_ended(&mut self, entry: &Entry, outcome: &Outcome) {
        let said = said(&output(outcome));
        let mut result = kept(outcome);
        if let Some(said) = &said {
            result["changed"] = json!(said.changed);
            result["facts"] = Value::Object(said.facts.clone());
            result["message"] = said.message.clone().into();
        }
        match verdict(outcome.exit_code, said.as_ref()) {
            Verdict::Done { reboot } => {
                let plugin = self.plugin_of(entry).map(|(name, _)| name).filter(|_| reboot);
                if let Some(plugin) = plugin {
                    self.reboot_wanted(&plugin);
                }
                self.done(result);
            }
            Verdict::Skipped => self.skip("it says that there is nothing to do"),
            Verdict::Failed(why) => self.fail_with("plugin.failed", why, result),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spec_9_17_exit_status_and_result_decide_together() {
        let done = |reboot| Verdict::Done { reboot };
        let failed = |why: &str| Verdict::Failed(why.into());
        for (exit, text, expected) in [
            (Some(0), "", done(false)),
            (Some(0), "some output\n{\"state\": \"DONE\", \"reboot_required\": true}\n\n", done(true)),
            (Some(194), "", done(true)),
            (Some(77), "", Verdict::Skipped),
            (Some(0), "{\"state\": \"SKIPPED\"}", Verdict::Skipped),
            (Some(0), "{\"state\": \"FAILED\", \"message\": \"no space\"}", failed("no space")),
            (Some(194), "{\"state\": \"FAILED\"}", failed("it says that it failed")),
            (Some(1), "{\"state\": \"DONE\"}", failed("it ended with status 1")),
            (None, "", failed("it was killed")),
            (Some(0), "{\"other\": 1}", done(false)),
            (Some(0), "{\"state\": \"FAILED\"}\nlast words", done(false)),
        ] {
            assert_eq!(verdict(exit, said(text).as_ref()), expected, "{exit:?} {text}");
        }
    }
}
