//! Pages of lists (spec/hooks.md §2.3): one query parameter that holds JSON, with filters and an order.
//!
//! A [`Plan`] is a request that was checked against the columns of a list. It is carried out over rows in memory by
//! [`Plan::page`]; the list of tasks, which may be long, has the store do it.

mod condition;
mod read;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;

use axum::Json;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use http::request::Parts;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::api::native::error::{Error, Result};

pub(super) use condition::{Condition, Operand, Operator, Scalar};
pub(super) use read::{Kind, Plan, Sort};

/// A column of a list: what conditions and orders can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Column {
    /// The field.
    pub(super) name: &'static str,
    /// What its values are.
    pub(super) kind: Kind,
}

/// The columns of a list.
pub(super) type Columns = &'static [Column];

/// A column.
pub(super) const fn column(name: &'static str, kind: Kind) -> Column {
    Column { name, kind }
}

/// A row of a list.
pub(super) type Row = Map<String, Value>;

/// The `pagination` parameter of a request, unread; `None` if there is none. Other parameters are left alone.
#[derive(Clone, Debug)]
pub(super) struct Paging(pub(super) Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for Paging {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self> {
        let pairs: Vec<(String, String)> = axum::extract::Query::try_from_uri(&parts.uri)
            .map_err(|_| Error::new(StatusCode::BAD_REQUEST, "the query cannot be read"))?
            .0;
        let found = pairs.into_iter().find(|(name, _)| name == "pagination");
        Ok(Self(found.map(|(_, text)| text).filter(|text| !text.trim().is_empty())))
    }
}

/// A page.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Page {
    /// The rows.
    pub(super) data: Vec<Row>,
    /// How many rows there are under the filter.
    pub(super) total: u64,
    /// How many of them come before.
    pub(super) after: u64,
    /// How many were asked for at the most.
    pub(super) limit: Option<u64>,
}

/// A list that answers a bare array unless a page is asked for.
///
/// # Errors
/// The `pagination` parameter cannot be read.
pub(super) fn listed(columns: Columns, paging: &Paging, rows: Vec<Row>) -> Result<Response> {
    match &paging.0 {
        None => Ok(Json(rows).into_response()),
        Some(_) => paged(columns, paging, rows),
    }
}

/// A list that always answers a page.
///
/// # Errors
/// The `pagination` parameter cannot be read.
pub(super) fn paged(columns: Columns, paging: &Paging, rows: Vec<Row>) -> Result<Response> {
    let plan = Plan::read(columns, paging.0.as_deref())?;
    Ok(Json(plan.page(rows)).into_response())
}

impl Plan {
    /// The page of `rows`.
    pub(super) fn page(&self, mut rows: Vec<Row>) -> Page {
        if let Some(condition) = &self.condition {
            rows.retain(|row| condition.holds(self.columns, row));
        }
        if !self.sort.is_empty() {
            rows.sort_by(|a, b| self.order(a, b));
        }
        let total = rows.len() as u64;
        let begin = usize::try_from(self.after).unwrap_or(usize::MAX);
        let count = self.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let data = rows.into_iter().skip(begin).take(count).collect();
        Page { data, total, after: self.after, limit: self.limit }
    }

    fn order(&self, a: &Row, b: &Row) -> Ordering {
        for sort in &self.sort {
            let order = condition::compare(sort.column.kind, a.get(sort.column.name), b.get(sort.column.name));
            let order = if sort.descending { order.reverse() } else { order };
            if order.is_ne() {
                return order;
            }
        }
        Ordering::Equal
    }
}

/// A document as a row.
///
/// # Errors
/// It is no object, which is a fault of ours.
pub(super) fn row(document: &impl Serialize) -> Result<Row> {
    match serde_json::to_value(document) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(Error::internal(&"a row of a list is no object")),
        Err(error) => Err(Error::internal(&error)),
    }
}
