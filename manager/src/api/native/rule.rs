//! Rules of the introspection dialect, as far as that has no way for it: replace one in its place, try them.

use axum::Json;
use axum::extract::State;
use hostler_common::id::RuleId;
use hostler_core::introspection::diff::delta;
use hostler_core::introspection::rules::{self, Culprit, Rule, RuleReport};
use http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::body::{Document, Fields};
use super::change::ChangeView;
use super::error::{Error, Result};
use super::guard::Actor;
use super::path::{Id, find_host, no_host};
use crate::api::Api;
use crate::api::json::kind;
use crate::engine::Tried;

/// How many rules can be tried at once.
const RULES_MAX: usize = 1000;

/// What would come of rules.
#[derive(Clone, Debug, Serialize)]
pub struct TriedView {
    report: Vec<ReportView>,
    node: Value,
    changes: Vec<ChangeView>,
    failure: Option<String>,
}

/// `RuleReport` of docs/native-api.md.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ReportView {
    rule: RuleName,
    description: Option<String>,
    in_scope: bool,
    matched: bool,
    failing_condition: Option<CulpritView>,
    actions_applied: usize,
    failed_action: Option<CulpritView>,
    warnings: Vec<String>,
}

/// A rule that is only tried has no id unless its author chose one; then its place in the request names it, from 1.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
enum RuleName {
    Id(String),
    Place(usize),
}

#[derive(Clone, Debug, Serialize)]
struct CulpritView {
    index: usize,
    text: String,
}

impl CulpritView {
    fn of(culprit: Culprit) -> Self {
        Self { index: culprit.index, text: culprit.text }
    }
}

/// `POST /rules/dry-run`
///
/// # Errors
/// A field or a rule breaks a rule, there is no such host, it has no data yet; see [`crate::store::Error`].
pub async fn dry_run(State(api): State<Api>, mut fields: Fields) -> Result<Json<TriedView>> {
    let name = fields.required_text("host", 255)?;
    let wanted = wanted(fields.take("rules"))?;
    fields.finish()?;
    let host = find_host(&api, &name).await?.ok_or_else(|| no_host(&name))?;
    let (named, rules) = match wanted {
        Some((named, rules)) => (Some(named), Some(rules)),
        None => (None, None),
    };
    let tried = api.engine.rules_try(host.id, rules).await?;
    Ok(Json(render(tried, named.as_deref())))
}

/// The rules of a request, each with an id, and whether its author chose that.
fn wanted(given: Option<Value>) -> Result<Option<(Vec<bool>, Vec<Rule>)>> {
    let items = match given {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(items)) => items,
        Some(other) => return Err(Error::field("rules", format_args!("must be a list of rules, is {}", kind(&other)))),
    };
    if items.len() > RULES_MAX {
        return Err(Error::field("rules", format_args!("may have at most {RULES_MAX} entries, has {}", items.len())));
    }
    let (mut named, mut all) = (Vec::with_capacity(items.len()), Vec::with_capacity(items.len()));
    for (index, item) in items.iter().enumerate() {
        let wrong = |error: rules::RuleError| Error::field("rules", format_args!("rule {}: {error}", index + 1));
        let rule = rules::parse(item).map_err(wrong)?;
        named.push(rule.id.is_some());
        let id = rule.id.unwrap_or_else(|| RuleId(Uuid::new_v4()));
        all.push(rule.with_id(id));
    }
    Ok(Some((named, all)))
}

/// `named` says which rules have an id that the caller knows; without it all have.
fn render(tried: Tried, named: Option<&[bool]>) -> TriedView {
    let done = tried.processed;
    let name = |report: &RuleReport| {
        let place = tried.rules.iter().position(|rule| *rule == report.rule);
        match (named, place) {
            (Some(named), Some(place)) if !named[place] => RuleName::Place(place + 1),
            _ => RuleName::Id(report.rule.to_string()),
        }
    };
    let report = done.report.into_iter().map(|report| ReportView {
        rule: name(&report),
        description: report.description,
        in_scope: report.in_scope,
        matched: report.matched,
        failing_condition: report.failing_condition.map(CulpritView::of),
        actions_applied: report.actions_applied,
        failed_action: report.failed_action.map(CulpritView::of),
        warnings: report.warnings,
    });
    let node = done.node.view();
    TriedView {
        report: report.collect(),
        changes: delta(&tried.before.view(), &node).into_iter().map(ChangeView::of).collect(),
        node,
        failure: done.outcome.err().map(|failure| failure.message),
    }
}

/// `PUT /rules/{id}`
///
/// # Errors
/// The rule breaks a rule, its id is another one, there is none of that id; see [`crate::store::Error`].
pub async fn replace(
    State(api): State<Api>,
    Actor(actor): Actor,
    Id(id): Id<RuleId>,
    Document(body): Document,
) -> Result<Json<Value>> {
    let new = rules::parse(&body).map_err(|error| Error::new(StatusCode::BAD_REQUEST, error.to_string()))?;
    if new.id.is_some_and(|other| other != id) {
        return Err(Error::field("uuid", "must be the one in the path, or absent"));
    }
    let rule = new.with_id(id);
    let view = rule.representation();
    api.engine.rule_replace(rule, &actor).await?;
    Ok(Json(view))
}
