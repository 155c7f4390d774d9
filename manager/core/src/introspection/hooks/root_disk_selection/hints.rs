//! Root device hints: properties of a disk with operators, such as `{"size": ">= 100", "model": "<or> a <or> b"}`.

use core::cmp::Ordering;

use serde_json::{Map, Value};

use super::{GIB, size};
use crate::introspection::document::python;

/// The properties that hints may name. `size` counts in whole GiB, `rotational` is a truth value, the rest are texts.
const KNOWN: [&str; 11] = [
    "size",
    "rotational",
    "model",
    "wwn",
    "serial",
    "vendor",
    "wwn_with_extension",
    "wwn_vendor_extension",
    "name",
    "hctl",
    "by_path",
];

/// Operators and what they accept; longer ones before those that they begin with. `=` means "at least".
const RELATIONS: [(&str, bool, &[Ordering]); 13] = [
    ("s==", true, &[Ordering::Equal]),
    ("s!=", true, &[Ordering::Less, Ordering::Greater]),
    ("s>=", true, &[Ordering::Equal, Ordering::Greater]),
    ("s<=", true, &[Ordering::Equal, Ordering::Less]),
    ("s>", true, &[Ordering::Greater]),
    ("s<", true, &[Ordering::Less]),
    ("==", false, &[Ordering::Equal]),
    ("!=", false, &[Ordering::Less, Ordering::Greater]),
    (">=", false, &[Ordering::Equal, Ordering::Greater]),
    ("<=", false, &[Ordering::Equal, Ordering::Less]),
    ("=", false, &[Ordering::Equal, Ordering::Greater]),
    (">", false, &[Ordering::Greater]),
    ("<", false, &[Ordering::Less]),
];

/// Hints that must all fit.
pub(super) struct Hints(Vec<(&'static str, Test)>);

enum Test {
    Truth(bool),
    Number(&'static [Ordering], f64),
    /// Compared in lower case.
    Text(&'static [Ordering], String),
    /// One of these is the value.
    Or(Vec<String>),
    /// All of these occur in the value.
    In(Vec<String>),
}

impl Hints {
    /// Reads the hints.
    pub(super) fn parse(json: &Value) -> Result<Self, String> {
        let map = json.as_object().ok_or("not an object")?;
        if map.is_empty() {
            return Err("none given".to_owned());
        }
        let one = |(key, value): (&String, &Value)| {
            let name = KNOWN.iter().find(|known| *known == key).ok_or_else(|| format!("unknown hint {key}"))?;
            let test = Test::parse(name, value).ok_or_else(|| format!("unusable value for {key}"))?;
            Ok((*name, test))
        };
        map.iter().map(one).collect::<Result<_, String>>().map(Self)
    }

    /// Whether the disk fits.
    pub(super) fn fit(&self, disk: &Map<String, Value>) -> bool {
        self.0.iter().all(|(name, test)| test.passes(disk, name))
    }
}

impl Test {
    fn parse(name: &str, value: &Value) -> Option<Self> {
        let text = match value {
            Value::Null | Value::Array(_) | Value::Object(_) => return None,
            other => python::str(other).trim().to_lowercase(),
        };
        if name == "rotational" {
            return match text.as_str() {
                "true" | "t" | "1" | "yes" | "y" | "on" => Some(Self::Truth(true)),
                "false" | "f" | "0" | "no" | "n" | "off" => Some(Self::Truth(false)),
                _ => None,
            };
        }
        let words = |rest: &str, operator: &str| rest.split(operator).map(|word| word.trim().to_owned()).collect();
        if let Some(rest) = text.strip_prefix("<or>") {
            return Some(Self::Or(words(rest, "<or>")));
        }
        for operator in ["<in>", "<all-in>"] {
            if let Some(rest) = text.strip_prefix(operator) {
                return Some(Self::In(words(rest, operator)));
            }
        }
        let operator = RELATIONS.iter().find_map(|(word, is_text, accepted)| {
            text.strip_prefix(word).map(|rest| (*is_text, *accepted, rest.trim().to_owned()))
        });
        let (is_text, accepted, operand) = operator.unwrap_or((name != "size", &[Ordering::Equal], text));
        if is_text {
            Some(Self::Text(accepted, operand))
        } else {
            operand.parse().ok().map(|n| Self::Number(accepted, n))
        }
    }

    fn passes(&self, disk: &Map<String, Value>, name: &str) -> bool {
        let value = match disk.get(name) {
            None | Some(Value::Null) => return false,
            Some(_) if name == "size" => (size(disk) / GIB).to_string(),
            Some(value) => python::str(value).trim().to_lowercase(),
        };
        match self {
            Self::Truth(wanted) => disk.get(name).and_then(Value::as_bool) == Some(*wanted),
            Self::Number(accepted, operand) => {
                let order = value.parse::<f64>().ok().and_then(|value| value.partial_cmp(operand));
                order.is_some_and(|order| accepted.contains(&order))
            }
            Self::Text(accepted, operand) => accepted.contains(&value.cmp(operand)),
            Self::Or(options) => options.contains(&value),
            Self::In(parts) => parts.iter().all(|part| value.contains(part.as_str())),
        }
    }
}
