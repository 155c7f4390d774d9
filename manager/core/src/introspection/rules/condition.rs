//! Conditions: what they look like, how they are validated, and whether they hold (spec/introspection.md §3.2).

use serde_json::{Map, Value, json};

use super::compare::Comparison;
use super::path::Path;
use super::pattern::Pattern;
use super::schema;
use crate::introspection::document::{net, python};

/// Keys that every condition may have; all others are parameters of its operator.
const COMMON_KEYS: [&str; 4] = ["op", "field", "multiple", "invert"];

/// A condition, ready to be evaluated.
#[derive(Clone, Debug)]
pub struct Condition {
    op: &'static Op,
    field: String,
    source: Source,
    path: Path,
    multiple: Multiple,
    invert: bool,
    value: Option<Value>,
    test: Test,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Data,
    Node,
}

/// How the results of several values become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Multiple {
    Any,
    All,
    First,
}

/// An operator: its name and how its parameter becomes a test.
#[derive(Debug)]
struct Op {
    name: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Compare(Comparison),
    InNet,
    Matches,
    Contains,
    IsEmpty,
}

/// The operators, in the order in which error texts list them.
static OPS: [Op; 10] = [
    Op { name: "eq", kind: Kind::Compare(Comparison::Eq) },
    Op { name: "lt", kind: Kind::Compare(Comparison::Lt) },
    Op { name: "gt", kind: Kind::Compare(Comparison::Gt) },
    Op { name: "le", kind: Kind::Compare(Comparison::Le) },
    Op { name: "ge", kind: Kind::Compare(Comparison::Ge) },
    Op { name: "ne", kind: Kind::Compare(Comparison::Ne) },
    Op { name: "in-net", kind: Kind::InNet },
    Op { name: "matches", kind: Kind::Matches },
    Op { name: "contains", kind: Kind::Contains },
    Op { name: "is-empty", kind: Kind::IsEmpty },
];

#[derive(Clone, Debug)]
enum Test {
    Compare(Comparison, Value),
    InNet(net::Network),
    Text(Pattern),
    IsEmpty,
}

/// What came of a condition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it holds.
    pub holds: bool,
    /// Where types did not fit.
    pub warnings: Vec<String>,
}

impl Condition {
    /// Reads a condition. The depth of `json` must be bounded.
    ///
    /// # Errors
    /// The complete text for the caller.
    pub(super) fn parse(json: &Value) -> Result<Self, String> {
        let invalid = |reason: String| format!("Validation failed for conditions: {reason}");
        let map = schema::object(json).map_err(invalid)?;
        let op =
            schema::required(map, "op").and_then(|name| schema::one_of(name, &OPS, |op| op.name)).map_err(invalid)?;
        let field = schema::required(map, "field").and_then(schema::string).map_err(invalid)?;
        let multiple = match map.get("multiple") {
            None => Multiple::Any,
            Some(value) => *schema::one_of(value, &Multiple::ALL, |multiple| multiple.name()).map_err(invalid)?,
        };
        let invert = map.get("invert").map_or(Ok(false), schema::boolean).map_err(invalid)?;
        let (source, path) = parse_field(field)?;
        let (value, test) =
            op.test(map).map_err(|reason| format!("Invalid parameters for operator {}: {reason}", op.name))?;
        Ok(Self { op, field: field.to_owned(), source, path, multiple, invert, value, test })
    }

    /// As shown by the API: every default filled in.
    #[must_use]
    pub fn representation(&self) -> Value {
        let mut shown = json!({
            "op": self.op.name, "field": self.field, "multiple": self.multiple.name(), "invert": self.invert
        });
        if let (Some(value), Value::Object(map)) = (&self.value, &mut shown) {
            map.insert("value".to_owned(), value.clone());
        }
        shown
    }

    /// For reports: operator and field.
    #[must_use]
    pub fn summary(&self) -> String {
        format!("{} {}", self.op.name, self.field)
    }

    /// Whether the condition holds for the processed document and the view of the node.
    ///
    /// `invert` turns each value's result before `multiple` combines them, as upstream does. A value whose type does
    /// not fit counts as false after that: inverting what could not be judged would make it true.
    #[must_use]
    pub fn check(&self, data: &Value, node: &Value) -> Verdict {
        let document = if self.source == Source::Data { data } else { node };
        let mut verdict = Verdict::default();
        let values = match self.path.find(document) {
            Ok(values) => values,
            Err(error) => {
                verdict.warnings.push(format!("{}: {error}", self.summary()));
                return verdict;
            }
        };
        // A field that does not exist is empty; no other operator says anything of it, inverted or not.
        let missing = [&Value::Null];
        let values = match (values.as_slice(), &self.test) {
            ([], Test::IsEmpty) => &missing,
            ([], _) => return verdict,
            (values, _) => values,
        };
        for value in values {
            verdict.holds = match self.test.passes(value) {
                Ok(passes) => passes != self.invert,
                Err(reason) => {
                    verdict.warnings.push(format!("{}: {reason}", self.summary()));
                    false
                }
            };
            if self.multiple.settled_by(verdict.holds) {
                break;
            }
        }
        verdict
    }
}

impl Multiple {
    const ALL: [Self; 3] = [Self::Any, Self::All, Self::First];

    fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::All => "all",
            Self::First => "first",
        }
    }

    /// Whether later values cannot change the result.
    fn settled_by(self, result: bool) -> bool {
        match self {
            Self::Any => result,
            Self::All => !result,
            Self::First => true,
        }
    }
}

impl Op {
    fn test(&self, map: &Map<String, Value>) -> Result<(Option<Value>, Test), String> {
        let required: &[&str] = if matches!(self.kind, Kind::IsEmpty) { &[] } else { &["value"] };
        schema::parameters(map, &COMMON_KEYS, required, &[])?;
        let value = map.get("value").filter(|value| !value.is_null());
        let test = match (self.kind, value) {
            (Kind::IsEmpty, _) | (_, None) => Test::IsEmpty,
            (Kind::Compare(comparison), Some(value)) => Test::Compare(comparison, value.clone()),
            (Kind::InNet, Some(value)) => Test::InNet(network(value)?),
            (Kind::Matches, Some(value)) => Test::Text(pattern(value, Pattern::full)?),
            (Kind::Contains, Some(value)) => Test::Text(pattern(value, Pattern::search)?),
        };
        Ok((value.cloned(), test))
    }
}

fn network(value: &Value) -> Result<net::Network, String> {
    let text = python::str(value);
    net::Network::parse(&text).ok_or_else(|| format!("invalid value: invalid IPNetwork {text}"))
}

fn pattern(value: &Value, compile: fn(&str) -> Result<Pattern, String>) -> Result<Pattern, String> {
    let text = value.as_str().ok_or_else(|| format!("expected a string, got {}", python::type_name(value)));
    text.and_then(compile).map_err(|reason| format!("invalid regular expression: {reason}"))
}

impl Test {
    fn passes(&self, field: &Value) -> Result<bool, String> {
        match self {
            Self::Compare(comparison, value) => comparison.holds(field, value),
            Self::InNet(network) => {
                let address = field.as_str().and_then(net::parse_ip);
                address
                    .map(|address| network.contains(address))
                    .ok_or_else(|| format!("value of type {} is not an IP address", python::type_name(field)))
            }
            Self::Text(pattern) => Ok(pattern.fits(&python::str(field))),
            Self::IsEmpty => Ok(match field {
                Value::Null => true,
                Value::String(text) => text.is_empty(),
                Value::Array(items) => items.is_empty(),
                Value::Object(map) => map.is_empty(),
                Value::Bool(_) | Value::Number(_) => false,
            }),
        }
    }
}

fn parse_field(field: &str) -> Result<(Source, Path), String> {
    let (scheme, path) = field.split_once("://").unwrap_or(("data", field));
    let source = match scheme {
        "data" => Source::Data,
        "node" => Source::Node,
        other => {
            return Err(format!("Unsupported scheme for field: {other}, valid values are node:// or data://"));
        }
    };
    let path = Path::parse(path).map_err(|reason| format!("Unable to parse field JSON path {field}: {reason}"))?;
    Ok((source, path))
}

#[cfg(test)]
mod tests;
