//! Conditions, and whether a row fulfils them.

use std::cmp::Ordering;

use hostler_common::time::Timestamp;
use regex::{Regex, RegexBuilder};
use serde_json::Value;

use super::read::Kind;
use super::{Column, Columns, Row};

/// How large a compiled pattern may become, in bytes.
const PATTERN_MAX: usize = 1 << 20;

/// Which rows count.
#[derive(Clone, Debug)]
pub(in super::super) enum Condition {
    /// All of them hold.
    All(Vec<Condition>),
    /// One of them holds.
    Any(Vec<Condition>),
    /// It does not hold.
    Not(Box<Condition>),
    /// A text column contains that, in any case of letters; it is in small letters itself.
    Search(String),
    /// The value of a column is so.
    Test(Column, Operator, Operand),
}

/// How a value is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Operator {
    /// Equal.
    Eq,
    /// Not equal.
    Neq,
    /// Greater.
    Gt,
    /// Greater or equal.
    Gte,
    /// Less.
    Lt,
    /// Less or equal.
    Lte,
    /// A pattern is found in it.
    Regex,
    /// One of several, or a part of the text.
    In,
    /// None of that.
    Nin,
    /// It contains that.
    Contains,
}

impl Operator {
    pub(super) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "_eq" => Self::Eq,
            "_neq" => Self::Neq,
            "_gt" => Self::Gt,
            "_gte" => Self::Gte,
            "_lt" => Self::Lt,
            "_lte" => Self::Lte,
            "_regex" => Self::Regex,
            "_in" => Self::In,
            "_nin" => Self::Nin,
            "_contains" => Self::Contains,
            _ => return None,
        })
    }
}

/// What a value is compared with.
#[derive(Clone, Debug)]
pub(in super::super) enum Operand {
    /// One value.
    One(Scalar),
    /// Several, and the text in which they stood.
    Several(Vec<Scalar>, String),
    /// A pattern.
    Pattern(Regex),
}

/// A value that can be compared.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) enum Scalar {
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
    /// A moment.
    Date(Timestamp),
    /// True or false.
    Flag(bool),
}

/// What a value says as text; values come as texts, some clients send them as they are.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

impl Scalar {
    fn read(kind: Kind, text: &str) -> Result<Self, &'static str> {
        match kind {
            Kind::Text | Kind::List => Ok(Self::Text(text.to_owned())),
            Kind::Number => {
                let number = text.trim().parse().ok().filter(|number: &f64| number.is_finite());
                number.map(Self::Number).ok_or("needs a number")
            }
            Kind::Flag => match text.to_ascii_lowercase().as_str() {
                "true" => Ok(Self::Flag(true)),
                "false" => Ok(Self::Flag(false)),
                _ => Err("needs true or false"),
            },
            Kind::Date => match text.parse::<Timestamp>() {
                Ok(moment) => Ok(Self::Date(moment)),
                Err(_) => {
                    let millis =
                        text.trim().parse::<i64>().map_err(|_| "needs a moment such as 2026-01-02T03:04:05Z")?;
                    Ok(Self::Date(Timestamp::from_micros(millis.saturating_mul(1000))))
                }
            },
        }
    }
}

impl Operand {
    pub(super) fn read(kind: Kind, operator: Operator, value: &Value) -> Result<Self, String> {
        match operator {
            Operator::In | Operator::Nin => {
                let (items, whole) = list_of(value)?;
                let items: Result<Vec<Scalar>, _> = items.iter().map(|item| Scalar::read(kind, item)).collect();
                Ok(Self::Several(items?, whole))
            }
            Operator::Regex => {
                let text = value.as_str().ok_or("needs a pattern")?;
                let pattern = RegexBuilder::new(text).size_limit(PATTERN_MAX).build();
                pattern.map(Self::Pattern).map_err(|_| "needs a pattern that can be read".into())
            }
            Operator::Contains => {
                let text = text_of(value).ok_or("needs a text")?;
                Ok(Self::One(Scalar::Text(text)))
            }
            _ => {
                let text = text_of(value).ok_or("needs a value")?;
                Ok(Self::One(Scalar::read(kind, &text)?))
            }
        }
    }
}

/// The entries of a list: a JSON array, the text of one, or texts separated by commas.
fn list_of(value: &Value) -> Result<(Vec<String>, String), String> {
    let items = |items: &[Value]| items.iter().map(text_of).collect::<Option<Vec<_>>>().ok_or("needs a list of values");
    match value {
        Value::Array(array) => Ok((items(array)?, value.to_string())),
        other => {
            let text = text_of(other).ok_or("needs a list of values")?;
            match serde_json::from_str::<Value>(&text) {
                Ok(Value::Array(array)) => Ok((items(&array)?, text)),
                _ => Ok((text.split(',').map(|item| item.trim().to_owned()).collect(), text)),
            }
        }
    }
}

impl Condition {
    /// Whether it holds for a row.
    pub(in super::super) fn holds(&self, columns: Columns, row: &Row) -> bool {
        match self {
            Self::All(all) => all.iter().all(|inner| inner.holds(columns, row)),
            Self::Any(any) => any.iter().any(|inner| inner.holds(columns, row)),
            Self::Not(inner) => !inner.holds(columns, row),
            Self::Search(text) => columns
                .iter()
                .filter(|column| matches!(column.kind, Kind::Text | Kind::List))
                .filter_map(|column| row.get(column.name))
                .any(|value| words(value).any(|word| word.to_lowercase().contains(text.as_str()))),
            Self::Test(column, operator, operand) => {
                let value = row.get(column.name).filter(|value| !value.is_null());
                test(column.kind, *operator, operand, value)
            }
        }
    }

    /// Whether there is a pattern in it, which the store cannot look for.
    pub(in super::super) fn has_pattern(&self) -> bool {
        match self {
            Self::All(inner) | Self::Any(inner) => inner.iter().any(Self::has_pattern),
            Self::Not(inner) => inner.has_pattern(),
            Self::Search(_) => false,
            Self::Test(_, operator, _) => *operator == Operator::Regex,
        }
    }
}

/// The texts of a value: its own, or those of its entries.
fn words(value: &Value) -> impl Iterator<Item = String> + '_ {
    let (one, several) = match value {
        Value::Array(items) => (None, items.as_slice()),
        other => (text_of(other), [].as_slice()),
    };
    one.into_iter().chain(several.iter().filter_map(text_of))
}

fn test(kind: Kind, operator: Operator, operand: &Operand, value: Option<&Value>) -> bool {
    // What is not there is different from everything, and fulfils nothing else.
    let Some(value) = value else { return matches!(operator, Operator::Neq | Operator::Nin) };
    match (operator, operand) {
        (Operator::Regex, Operand::Pattern(pattern)) => words(value).any(|word| pattern.is_match(&word)),
        (Operator::Contains, Operand::One(Scalar::Text(text))) => match value {
            Value::Array(_) => words(value).any(|word| word == *text),
            _ => words(value).any(|word| word.contains(text.as_str())),
        },
        (Operator::In, Operand::Several(items, whole)) => one_of(kind, items, whole, value),
        (Operator::Nin, Operand::Several(items, whole)) => !one_of(kind, items, whole, value),
        (Operator::Eq, Operand::One(wanted)) => order(kind, value, wanted).is_some_and(Ordering::is_eq),
        (Operator::Neq, Operand::One(wanted)) => !order(kind, value, wanted).is_some_and(Ordering::is_eq),
        (Operator::Gt, Operand::One(wanted)) => order(kind, value, wanted).is_some_and(Ordering::is_gt),
        (Operator::Gte, Operand::One(wanted)) => order(kind, value, wanted).is_some_and(Ordering::is_ge),
        (Operator::Lt, Operand::One(wanted)) => order(kind, value, wanted).is_some_and(Ordering::is_lt),
        (Operator::Lte, Operand::One(wanted)) => order(kind, value, wanted).is_some_and(Ordering::is_le),
        _ => false,
    }
}

fn one_of(kind: Kind, items: &[Scalar], whole: &str, value: &Value) -> bool {
    if items.iter().any(|item| order(kind, value, item).is_some_and(Ordering::is_eq)) {
        return true;
    }
    kind == Kind::Text && words(value).any(|word| !word.is_empty() && whole.contains(&word))
}

/// How a value stands to what it is compared with; `None` if they cannot be compared.
fn order(kind: Kind, value: &Value, wanted: &Scalar) -> Option<Ordering> {
    match (scalar(kind, value)?, wanted) {
        (Scalar::Number(a), Scalar::Number(b)) => a.partial_cmp(b),
        (Scalar::Text(a), Scalar::Text(b)) => Some(a.as_str().cmp(b)),
        (Scalar::Date(a), Scalar::Date(b)) => Some(a.cmp(b)),
        (Scalar::Flag(a), Scalar::Flag(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

fn scalar(kind: Kind, value: &Value) -> Option<Scalar> {
    match kind {
        // A list equals the text of its entries with commas between.
        Kind::List => Some(Scalar::Text(words(value).collect::<Vec<_>>().join(","))),
        _ => Scalar::read(kind, &text_of(value)?).ok(),
    }
}

/// How two values of a column stand to each other; what is not there comes first.
pub(super) fn compare(kind: Kind, a: Option<&Value>, b: Option<&Value>) -> Ordering {
    let read = |value: Option<&Value>| value.and_then(|value| scalar(kind, value));
    match (read(a), read(b)) {
        (Some(Scalar::Number(a)), Some(Scalar::Number(b))) => a.total_cmp(&b),
        (Some(Scalar::Text(a)), Some(Scalar::Text(b))) => a.cmp(&b),
        (Some(Scalar::Date(a)), Some(Scalar::Date(b))) => a.cmp(&b),
        (Some(Scalar::Flag(a)), Some(Scalar::Flag(b))) => a.cmp(&b),
        (a, b) => a.is_some().cmp(&b.is_some()),
    }
}
