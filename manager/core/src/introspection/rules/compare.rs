//! Comparison of a field with the `value` of a condition, as Python compares after upstream's coercion: the field is
//! brought to the type of the value if that is a number or a boolean (spec/introspection.md §3.2).

use core::cmp::Ordering;

use serde_json::{Map, Number, Value};

use crate::introspection::document::python;

/// The six comparing operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Less.
    Lt,
    /// Less or equal.
    Le,
    /// Greater.
    Gt,
    /// Greater or equal.
    Ge,
}

impl Comparison {
    /// Compares. The depth of both must be bounded.
    ///
    /// # Errors
    /// The types do not fit: where the original fails with an unexpected exception.
    pub fn holds(self, field: &Value, value: &Value) -> Result<bool, String> {
        if let Some(wanted) = Numeric::of(value) {
            let field = wanted.coerce(field).ok_or_else(|| {
                let kind = if matches!(wanted, Numeric::Float(_)) { "a float" } else { "an integer" };
                format!("{} of type {} is not {kind}", shown(field), python::type_name(field))
            })?;
            return Ok(self.accepts(field.compare(wanted)));
        }
        match self {
            Self::Eq => Ok(equal(field, value)),
            Self::Ne => Ok(!equal(field, value)),
            Self::Lt | Self::Le | Self::Gt | Self::Ge => order(field, value).map(|order| self.accepts(order)),
        }
    }

    /// `None` is the comparison with "not a number", of which only inequality is true.
    fn accepts(self, order: Option<Ordering>) -> bool {
        match self {
            Self::Eq => order == Some(Ordering::Equal),
            Self::Ne => order != Some(Ordering::Equal),
            Self::Lt => order == Some(Ordering::Less),
            Self::Le => matches!(order, Some(Ordering::Less | Ordering::Equal)),
            Self::Gt => order == Some(Ordering::Greater),
            Self::Ge => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        }
    }
}

/// A value for a warning: long ones are cut.
fn shown(value: &Value) -> String {
    let text = python::repr(value);
    let short = hostler_common::text::clip(&text, 80);
    if short.len() < text.len() { format!("{short}...") } else { text }
}

#[derive(Clone, Copy, Debug)]
enum Numeric {
    Int(i128),
    Float(f64),
}

impl Numeric {
    /// Numbers, and booleans, which are the integers 0 and 1.
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Bool(truth) => Some(Self::Int(i128::from(*truth))),
            Value::Number(number) => Some(Self::of_number(number)),
            Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }

    fn of_number(number: &Number) -> Self {
        if let Some(int) = number.as_i64() {
            return Self::Int(int.into());
        }
        if let Some(int) = number.as_u64() {
            return Self::Int(int.into());
        }
        Self::Float(number.as_f64().unwrap_or(f64::NAN))
    }

    /// Brings a field to the type of this one: `float(field)` or `int(field)`.
    fn coerce(self, field: &Value) -> Option<Self> {
        let source = match field {
            Value::String(text) => {
                return match self {
                    Self::Float(_) => float_from(text).map(Self::Float),
                    Self::Int(_) => int_from(text).map(Self::Int),
                };
            }
            other => Self::of(other)?,
        };
        Some(match (self, source) {
            (Self::Float(_), Self::Int(int)) => Self::Float(int as f64),
            // `int()` cuts towards zero. JSON has neither infinities nor NaN.
            (Self::Int(_), Self::Float(float)) => Self::Int(float as i128),
            (_, same) => same,
        })
    }

    fn compare(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(&b)),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(&b),
            (Self::Int(a), Self::Float(b)) => compare_mixed(a, b),
            (Self::Float(a), Self::Int(b)) => compare_mixed(b, a).map(Ordering::reverse),
        }
    }
}

/// Exact, as in Python: the cast alone would make 2^53+1 equal to the float 2^53.
fn compare_mixed(int: i128, float: f64) -> Option<Ordering> {
    let by_cast = (int as f64).partial_cmp(&float)?;
    Some(if by_cast == Ordering::Equal { int.cmp(&(float as i128)) } else { by_cast })
}

fn float_from(text: &str) -> Option<f64> {
    without_underscores(text.trim())?.parse().ok()
}

/// Integers beyond the range of `i128` become its ends, which no value of a rule reaches.
fn int_from(text: &str) -> Option<i128> {
    let text = without_underscores(text.trim())?;
    text.parse().ok().or_else(|| {
        let digits = text.strip_prefix(['+', '-']).unwrap_or(&text);
        let whole = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        whole.then(|| if text.starts_with('-') { i128::MIN } else { i128::MAX })
    })
}

/// Python allows single underscores between digits.
fn without_underscores(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
    let misplaced = |(at, byte): (usize, &u8)| *byte == b'_' && !(digit(at.checked_sub(1)) && digit(Some(at + 1)));
    (!bytes.iter().enumerate().any(misplaced)).then(|| text.replace('_', ""))
}

/// Python's `==` on JSON values: numbers by value, whatever their type, and deeply.
#[must_use]
pub fn equal(a: &Value, b: &Value) -> bool {
    if let (Some(a), Some(b)) = (Numeric::of(a), Numeric::of(b)) {
        return a.compare(b) == Some(Ordering::Equal);
    }
    match (a, b) {
        (Value::Null, Value::Null) => true,
        (Value::String(a), Value::String(b)) => a == b,
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => equal_maps(a, b),
        _ => false,
    }
}

fn equal_maps(a: &Map<String, Value>, b: &Map<String, Value>) -> bool {
    a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
}

/// Python's `<` and its kin: numbers, texts by code point, lists by their first difference.
fn order(a: &Value, b: &Value) -> Result<Option<Ordering>, String> {
    if let (Some(a), Some(b)) = (Numeric::of(a), Numeric::of(b)) {
        return Ok(a.compare(b));
    }
    match (a, b) {
        (Value::String(a), Value::String(b)) => Ok(Some(a.cmp(b))),
        (Value::Array(a), Value::Array(b)) => match a.iter().zip(b).find(|(a, b)| !equal(a, b)) {
            Some((a, b)) => order(a, b),
            None => Ok(Some(a.len().cmp(&b.len()))),
        },
        _ => Err(format!("{} and {} have no order", python::type_name(a), python::type_name(b))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Field, operator, value, and what Python answers; `None` where it raises.
    #[test]
    fn as_python_compares() {
        use Comparison::*;
        let table = [
            (json!("5"), Eq, json!(5), Some(true)),
            (json!(" 5 "), Eq, json!(5), Some(true)),
            (json!("1_000"), Eq, json!(1000), Some(true)),
            (json!("1__0"), Eq, json!(10), None),
            (json!("5.0"), Eq, json!(5), None),
            (json!(5.9), Eq, json!(5), Some(true)),
            (json!(-5.9), Eq, json!(-5), Some(true)),
            (json!(true), Eq, json!(1), Some(true)),
            (json!("1"), Eq, json!(true), Some(true)),
            (json!("abc"), Ne, json!(5), None),
            (json!(null), Eq, json!(5), None),
            (json!([5]), Eq, json!(5), None),
            (json!(5), Eq, json!("5"), Some(false)),
            (json!(5), Ne, json!("5"), Some(true)),
            (json!(5), Ge, json!("5"), None),
            (json!("abc"), Ge, json!(5), None),
            (json!("b"), Gt, json!("a"), Some(true)),
            (json!("10"), Lt, json!("9"), Some(true)),
            (json!("1.5"), Ge, json!(1.5), Some(true)),
            (json!("nan"), Ge, json!(1.5), Some(false)),
            (json!("nan"), Ne, json!(1.5), Some(true)),
            (json!("-inf"), Lt, json!(1.5), Some(true)),
            (json!(u64::MAX), Gt, json!(i64::MAX), Some(true)),
            (json!("999999999999999999999999999999999999999999"), Gt, json!(1), Some(true)),
            (json!("-999999999999999999999999999999999999999999"), Lt, json!(1), Some(true)),
            (json!([1, 2]), Lt, json!([1, 3]), Some(true)),
            (json!([1]), Lt, json!([1, 0]), Some(true)),
            (json!([1, "a"]), Lt, json!([1, 2]), None),
            (json!([1.0, true]), Eq, json!([1, 1]), Some(true)),
            (json!({"a": 1, "b": 2}), Eq, json!({"b": 2.0, "a": 1}), Some(true)),
            (json!({"a": 1}), Ne, json!({"a": 1, "b": 2}), Some(true)),
            (json!({}), Le, json!({}), None),
            (json!([9007199254740993_i64]), Eq, json!([9007199254740992.0]), Some(false)),
        ];
        for (field, op, value, want) in table {
            assert_eq!(op.holds(&field, &value).ok(), want, "{field} {op:?} {value}");
        }
    }

    #[test]
    fn warnings_are_short() {
        let text = Comparison::Eq.holds(&json!("é".repeat(500)), &json!(1)).unwrap_err();
        assert!(text.len() < 150 && text.ends_with("... of type str is not an integer"), "{text}");
    }
}
