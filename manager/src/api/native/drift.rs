//! Where hosts of one model or role differ, over the whole fleet (spec/introspection.md §6.4).

use axum::Json;
use axum::extract::State;
use hostler_common::time::Timestamp;
use hostler_core::introspection::diff::Class;
use hostler_core::introspection::facts::{FACTS, fact};
use serde::Serialize;
use serde_json::Value;

use super::error::{Error, Result};
use super::query::{Page, Query};
use crate::api::Api;
use crate::store::Connection;
use crate::store::drift::{Difference, Kind, drift_list, drift_outliers, drift_values};

/// How many values of a fact are shown.
const VALUES_MAX: u32 = 10;

/// How many hosts with an unusual value are shown; the count says how many there are.
const HOSTS_MAX: u32 = 50;

/// How many differences a page has at the most: each costs two look-ups.
const PAGE_MAX: u32 = 100;

/// `Drift` of docs/native-api.md.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DriftView {
    kind: Value,
    fact: String,
    class: &'static str,
    severity: &'static str,
    hosts: i64,
    value_count: i64,
    values: Vec<ValueView>,
    usual: Option<String>,
    outlier_count: i64,
    outliers: Vec<OutlierView>,
}

#[derive(Clone, Debug, Serialize)]
struct ValueView {
    value: String,
    hosts: i64,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct OutlierView {
    host: String,
    name: String,
    value: String,
    last_seen_at: Option<String>,
}

/// `GET /inventory-drift`
///
/// # Errors
/// A parameter breaks a rule; see [`crate::store::Error`].
pub async fn list(State(api): State<Api>, mut query: Query) -> Result<Json<Page<DriftView>>> {
    let by = query.word("by", "model, role", |word| match word {
        "model" => Some(Kind::Model),
        "role" => Some(Kind::Roles),
        _ => None,
    })?;
    let by = by.unwrap_or(Kind::Model);
    let names: Vec<&str> = FACTS.iter().map(|fact| fact.name).collect();
    let wanted = query.word("fact", &names.join(", "), |word| fact(word).map(|fact| fact.name))?;
    let limit = query.limit()?.min(PAGE_MAX);
    let after = position(&mut query)?;
    query.finish()?;
    // Machines of one role may be of any make; what runs on them should be the same.
    let compared = |class| by == Kind::Model || class == Class::Software;
    let names: Vec<&str> = match wanted {
        Some(name) => vec![name],
        None => FACTS.iter().filter(|fact| compared(fact.class)).map(|fact| fact.name).collect(),
    };
    let mut connection = api.engine.store.read().await?;
    let found = drift_list(&mut connection, by, &names, after, limit + 1).await?;
    let mut views = Vec::with_capacity(found.len());
    for difference in found {
        let view = view(&mut connection, by, &difference).await?;
        views.push((difference, view));
    }
    let key = |(difference, _): &(Difference, DriftView)| {
        Value::from(vec![difference.kind.clone(), difference.fact.clone()]).to_string()
    };
    Ok(Json(Page::new(views, limit, key, |(_, view)| view)))
}

/// Where the page begins: after this kind and fact.
fn position(query: &mut Query) -> Result<Option<(String, String)>> {
    let Some(text) = query.after::<String>()? else { return Ok(None) };
    let read = serde_json::from_str(&text).map_err(|_| Error::field("after", "must be the `next` of the page before"));
    read.map(Some)
}

async fn view(connection: &mut Connection, by: Kind, difference: &Difference) -> Result<DriftView> {
    let values = drift_values(connection, by, difference, VALUES_MAX).await?;
    let usual = match values.as_slice() {
        [(first, most), (_, next), ..] if most > next => Some(first.clone()),
        _ => None,
    };
    let most = values.first().filter(|_| usual.is_some()).map_or(0, |(_, hosts)| *hosts);
    let found = drift_outliers(connection, by, difference, usual.as_deref(), HOSTS_MAX).await?;
    let known = fact(&difference.fact);
    let outlier = |outlier: crate::store::drift::Outlier| OutlierView {
        host: outlier.host.to_string(),
        name: outlier.name,
        value: outlier.value,
        last_seen_at: outlier.seen_at.map(Timestamp::rfc3339),
    };
    Ok(DriftView {
        kind: match by {
            Kind::Model => difference.kind.clone().into(),
            Kind::Roles => serde_json::from_str(&difference.kind).unwrap_or(Value::Null),
        },
        fact: difference.fact.clone(),
        class: known.map_or("hardware", |fact| fact.class.name()),
        severity: known.map_or("info", |fact| fact.severity.name()),
        hosts: difference.hosts,
        value_count: difference.values,
        values: values.into_iter().map(|(value, hosts)| ValueView { value, hosts }).collect(),
        usual,
        outlier_count: difference.hosts - most,
        outliers: found.into_iter().map(outlier).collect(),
    })
}
