//! One run over a raw document: hooks, then rules (spec/introspection.md §2.4 steps 1, 2, 9 to 11; §1.7.6).

use serde_json::{Map, Value};

use super::document;
use super::hooks::{self, Facts};
use super::node::Node;
use super::rules::{self, Rule};

pub use super::document::Failure;
pub use super::hooks::Settings;
pub use super::rules::RuleReport;

/// Why the document is processed; decides the words of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A probe delivered it.
    First,
    /// Somebody asked to process a stored document again.
    Reapply,
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Processed {
    /// The processed document; there once all hooks ran, also if a rule then failed. It is stored even so (§1.7.5).
    pub document: Option<Value>,
    /// The node with all effects that stay: those of the hooks that ran, and those of the rules if none failed.
    pub node: Node,
    /// Whether the run succeeded.
    pub outcome: Result<(), Failure>,
    /// One entry per rule; empty if the run ended before the rules.
    pub report: Vec<RuleReport>,
    /// What hooks and rules found odd.
    pub warnings: Vec<String>,
}

/// Processes a raw document. Never panics and never recurses deeper than [`document::MAX_DEPTH`], whatever `raw` is.
///
/// Effects of hooks stay if the run fails later: they are facts, and upstream keeps them too. Effects of rules are kept
/// together or not at all, for the reasons that [`rules::evaluate`] gives.
#[must_use]
pub fn process(raw: &Value, node: &Node, rules: &[Rule], settings: &Settings, mode: Mode) -> Processed {
    let mut run =
        Processed { document: None, node: node.clone(), outcome: Ok(()), report: Vec::new(), warnings: Vec::new() };
    run.outcome = steps(&mut run, raw, rules, settings, mode);
    run
}

fn steps(run: &mut Processed, raw: &Value, rules: &[Rule], settings: &Settings, mode: Mode) -> Result<(), Failure> {
    let mut data = document::check(raw)?.clone();
    data.shift_remove("logs");
    let mut facts = Facts { data: &mut data, settings, warnings: &mut run.warnings };
    let failures = hooks::run_pre(&mut facts);
    if !failures.is_empty() {
        return Err(Failure::new(format!("{}\n{}", mode.heading(), failures.join("\n"))));
    }
    hooks::run_post(&mut facts, &mut run.node)?;
    complete(&mut data);
    let document = Value::Object(data);
    let evaluation = rules::run(rules, &document, &run.node);
    run.document = Some(document);
    run.node = evaluation.node;
    run.report = evaluation.report;
    for entry in &run.report {
        run.warnings.extend(entry.warnings.iter().map(|warning| format!("rule {}: {warning}", entry.rule)));
    }
    evaluation.outcome
}

impl Mode {
    /// The first line of the text when hooks refuse a document before anything was changed.
    #[must_use]
    pub fn heading(self) -> &'static str {
        match self {
            Self::First => "The following failures happened during running pre-processing hooks:",
            Self::Reapply => "Pre-processing failures detected reapplying introspection on stored data:",
        }
    }
}

/// Adds the keys that clients rely on where the configured hooks have not (§4.5, last paragraph).
fn complete(data: &mut Map<String, Value>) {
    for key in ["ipmi_address", "ipmi_v6address", "local_gb", "cpus", "cpu_arch", "memory_mb"] {
        data.entry(key).or_insert(Value::Null);
    }
    for key in ["all_interfaces", "interfaces"] {
        data.entry(key).or_insert_with(|| Value::Object(Map::new()));
    }
    data.entry("macs").or_insert_with(|| Value::Array(Vec::new()));
}

#[cfg(test)]
mod tests;
