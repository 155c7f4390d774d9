//! Evaluation of all rules of a run (spec/introspection.md §3.1).
//!
//! The conditions of all rules are judged before the first action runs, so that no rule reacts to another one of the
//! same run.
//!
//! If an action fails, the actions before it are taken back and the node stays as the hooks left it. Upstream keeps
//! what was done until then (§3.1), while §3.4 requires that the actions of one run are applied in one transaction. We
//! follow §3.4: half of a rule set on a node is a state that nobody described, and a node whose run is in `error` is
//! easier to understand if only facts have changed on it, not decisions. The same run can be repeated by a reapply.

use hostler_common::id::RuleId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Rule;
use super::format::Formatter;
use crate::introspection::document::Failure;
use crate::introspection::node::Node;

/// What came of one rule in a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleReport {
    /// Which rule.
    pub rule: RuleId,
    /// Its description, for people.
    pub description: Option<String>,
    /// Whether it is meant for this node.
    pub in_scope: bool,
    /// Whether it is meant for the node and all of its conditions held.
    pub matched: bool,
    /// The first condition that did not hold: its operator and field.
    pub failing_condition: Option<Culprit>,
    /// How many of its actions took effect: all, or none where any action of the run failed.
    pub actions_applied: usize,
    /// The action that failed and ended the run: its message.
    pub failed_action: Option<Culprit>,
    /// Where types did not fit (§3.2: false, with a warning).
    pub warnings: Vec<String>,
}

/// A part of a rule that something is to be said of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Culprit {
    /// Its place in the rule, from 0.
    pub index: usize,
    /// What is to be said.
    pub text: String,
}

/// What came of all rules.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// The node, with the effects of all actions or of none.
    pub node: Node,
    /// One report per rule, in order.
    pub report: Vec<RuleReport>,
    /// The message of the action that failed, if one did.
    pub outcome: Result<(), Failure>,
}

/// Applies the rules, in the given order, which is that of their creation. `data` is the processed document; the depth
/// of it and of the node must be bounded. Also serves as the dry run: nothing but the result is changed.
#[must_use]
pub fn run(rules: &[Rule], data: &Value, node: &Node) -> Evaluation {
    let view = node.view();
    let mut report: Vec<RuleReport> = rules.iter().map(|rule| judge(rule, data, node, &view)).collect();
    let mut changed = node.clone();
    let mut formatter = Formatter::new(data);
    for (entry, rule) in rules.iter().enumerate() {
        if !report[entry].matched {
            continue;
        }
        for (index, action) in rule.actions.iter().enumerate() {
            if let Err(failure) = action.apply(&mut changed, &mut formatter) {
                report[entry].failed_action = Some(Culprit { index, text: failure.message.clone() });
                report.iter_mut().for_each(|entry| entry.actions_applied = 0);
                return Evaluation { node: node.clone(), report, outcome: Err(failure) };
            }
            report[entry].actions_applied += 1;
        }
    }
    Evaluation { node: changed, report, outcome: Ok(()) }
}

fn judge(rule: &Rule, data: &Value, node: &Node, view: &Value) -> RuleReport {
    let in_scope = rule.scope.as_deref().is_none_or(|scope| node.inspection_scope() == Some(scope));
    let mut report = RuleReport {
        rule: rule.id,
        description: rule.description.clone(),
        in_scope,
        matched: in_scope,
        failing_condition: None,
        actions_applied: 0,
        failed_action: None,
        warnings: Vec::new(),
    };
    if !in_scope {
        return report;
    }
    for (index, condition) in rule.conditions.iter().enumerate() {
        let verdict = condition.check(data, view);
        report.warnings.extend(verdict.warnings);
        if !verdict.holds {
            report.matched = false;
            report.failing_condition = Some(Culprit { index, text: condition.summary() });
            break;
        }
    }
    report
}

#[cfg(test)]
mod tests;
