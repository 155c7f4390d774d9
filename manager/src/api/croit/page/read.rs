//! Reads the `pagination` parameter and checks it against the columns.

use serde_json::{Map, Value};

use super::condition::{Condition, Operand, Operator};
use super::{Column, Columns};
use crate::api::native::error::{Error, Result};

/// The longest text of the parameter, in bytes.
const TEXT_MAX: usize = 32 << 10;

/// How many conditions there may be in all.
const CONDITIONS_MAX: usize = 256;

/// How many columns may be sorted by.
const SORTS_MAX: usize = 16;

/// What the values of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Kind {
    /// Numbers.
    Number,
    /// Texts.
    Text,
    /// Moments.
    Date,
    /// True or false.
    Flag,
    /// Lists of texts or numbers.
    List,
}

/// A column to sort by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Sort {
    /// Which.
    pub(in super::super) column: Column,
    /// Whether the greatest comes first.
    pub(in super::super) descending: bool,
}

/// A request for a page.
#[derive(Clone, Debug)]
pub(in super::super) struct Plan {
    pub(super) columns: Columns,
    /// How many rows come before the page.
    pub(in super::super) after: u64,
    /// How many rows the page has at the most; `None` means all.
    pub(in super::super) limit: Option<u64>,
    /// Which rows count.
    pub(in super::super) condition: Option<Condition>,
    /// The order.
    pub(in super::super) sort: Vec<Sort>,
}

fn wrong(text: impl std::fmt::Display) -> Error {
    Error::field("pagination", text)
}

impl Plan {
    /// Reads the parameter; an absent one asks for everything.
    ///
    /// # Errors
    /// It is no JSON object of the known fields, or names a column that the list does not have.
    pub(in super::super) fn read(columns: Columns, text: Option<&str>) -> Result<Self> {
        let mut plan = Self { columns, after: 0, limit: None, condition: None, sort: Vec::new() };
        let Some(text) = text else { return Ok(plan) };
        if text.len() > TEXT_MAX {
            return Err(wrong(format_args!("may have at most {TEXT_MAX} bytes")));
        }
        let document: Value =
            serde_json::from_str(text).map_err(|error| wrong(format_args!("is not JSON: {error}")))?;
        let Value::Object(document) = document else { return Err(wrong("must be a JSON object")) };
        plan.after = number(&document, "after")?.unwrap_or(0);
        plan.limit = number(&document, "limit")?;
        let mut reader = Reader { columns, left: CONDITIONS_MAX };
        plan.condition = match document.get("where") {
            None | Some(Value::Null) => None,
            Some(condition) => reader.condition(condition)?,
        };
        plan.sort = sorts(columns, document.get("sortBy"))?;
        Ok(plan)
    }

    /// The same with another limit.
    pub(in super::super) fn with_limit(self, limit: u64) -> Self {
        Self { limit: Some(limit), ..self }
    }
}

fn number(document: &Map<String, Value>, name: &str) -> Result<Option<u64>> {
    match document.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            let number = value.as_u64().filter(|number| *number <= i64::MAX as u64);
            number.map(Some).ok_or_else(|| wrong(format_args!("{name} must be a whole number from 0 on")))
        }
    }
}

fn find(columns: Columns, name: &str) -> Result<Column> {
    columns.iter().copied().find(|column| column.name == name).ok_or_else(|| {
        let known: Vec<&str> = columns.iter().map(|column| column.name).collect();
        let name = hostler_common::text::clip(name, 64);
        wrong(format_args!("there is no column {name:?}; columns are {}", known.join(", ")))
    })
}

fn sorts(columns: Columns, given: Option<&Value>) -> Result<Vec<Sort>> {
    let items = match given {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(items)) => items,
        Some(_) => return Err(wrong("sortBy must be a list")),
    };
    if items.len() > SORTS_MAX {
        return Err(wrong(format_args!("sortBy may have at most {SORTS_MAX} entries")));
    }
    let shape = || wrong("an entry of sortBy must be {\"column\": …, \"order\": \"ASC\" or \"DESC\"}");
    let read = |item: &Value| {
        let (name, order) = match item {
            Value::Object(map) => (map.get("column"), map.get("order")),
            // What croit's own client writes.
            Value::Array(pair) if (1..=2).contains(&pair.len()) => (pair.first(), pair.get(1)),
            _ => return Err(shape()),
        };
        let column = find(columns, name.and_then(Value::as_str).ok_or_else(shape)?)?;
        let descending = match order.and_then(Value::as_str).map(str::to_ascii_uppercase).as_deref() {
            Some("ASC") => false,
            Some("DESC") => true,
            None if order.is_none_or(Value::is_null) => false,
            _ => return Err(shape()),
        };
        Ok(Sort { column, descending })
    };
    items.iter().map(read).collect()
}

struct Reader {
    columns: Columns,
    left: usize,
}

impl Reader {
    /// `None` where nothing is asked for, as in `{}`.
    fn condition(&mut self, given: &Value) -> Result<Option<Condition>> {
        match given {
            Value::Array(items) => Ok(Some(Condition::All(self.several(items)?))),
            Value::Object(map) => {
                let mut all = Vec::with_capacity(map.len());
                for (name, inner) in map {
                    all.extend(self.part(name, inner)?);
                }
                Ok(match all.len() {
                    0 => None,
                    1 => all.pop(),
                    _ => Some(Condition::All(all)),
                })
            }
            _ => Err(wrong("where must be an object or a list of objects")),
        }
    }

    fn several(&mut self, items: &[Value]) -> Result<Vec<Condition>> {
        let read: Result<Vec<_>> = items.iter().map(|item| self.condition(item)).collect();
        Ok(read?.into_iter().flatten().collect())
    }

    fn part(&mut self, name: &str, inner: &Value) -> Result<Option<Condition>> {
        self.left = self
            .left
            .checked_sub(1)
            .ok_or_else(|| wrong(format_args!("where may have at most {CONDITIONS_MAX} conditions")))?;
        let list = || inner.as_array().ok_or_else(|| wrong(format_args!("{name} must be a list")));
        match name {
            "_and" => Ok(Some(Condition::All(self.several(list()?)?))),
            "_or" => Ok(Some(Condition::Any(self.several(list()?)?))),
            "_not" => Ok(self.condition(inner)?.map(|inner| Condition::Not(Box::new(inner)))),
            "_search" => {
                let text = inner.as_str().ok_or_else(|| wrong("_search must be a text"))?;
                Ok(if text.is_empty() { None } else { Some(Condition::Search(text.to_lowercase())) })
            }
            field => {
                let column = find(self.columns, field)?;
                let tests = inner.as_object().ok_or_else(|| wrong(format_args!("{field} must be an object")))?;
                let mut all = Vec::with_capacity(tests.len());
                for (operator, value) in tests {
                    let read = Operator::from_name(operator).ok_or_else(|| {
                        wrong(format_args!("{field}: {:?} is no operator", hostler_common::text::clip(operator, 64)))
                    })?;
                    let operand = Operand::read(column.kind, read, value)
                        .map_err(|rule| wrong(format_args!("{field}: {operator} {rule}")))?;
                    all.push(Condition::Test(column, read, operand));
                }
                Ok(match all.len() {
                    0 => None,
                    1 => all.pop(),
                    _ => Some(Condition::All(all)),
                })
            }
        }
    }
}
