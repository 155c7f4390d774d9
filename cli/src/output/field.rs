//! Reading answers by path. An answer may lack what a table shows (an older manager, a fact that was not found), so
//! nothing here fails: what is missing is shown as `-`.

use serde_json::Value;

use super::human;

/// What stands in a table for what is not known.
pub const UNKNOWN: &str = "-";

/// The value at a path such as `agent.version`; null if there is none.
#[must_use]
pub fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(value, |value, key| value.get(key).unwrap_or(&Value::Null))
}

/// The text at a path, if it is a non-empty string.
#[must_use]
pub fn string<'a>(value: &'a Value, path: &str) -> Option<&'a str> {
    at(value, path).as_str().filter(|text| !text.is_empty())
}

/// The value at a path for a cell of a table.
#[must_use]
pub fn show(value: &Value, path: &str) -> String {
    inline(at(value, path))
}

/// A value in one line: text as it is, lists with commas, mappings as `key=value`.
#[must_use]
pub fn inline(value: &Value) -> String {
    match value {
        Value::Null => UNKNOWN.into(),
        Value::Bool(value) => if *value { "yes" } else { "no" }.into(),
        Value::Number(number) => number.to_string(),
        Value::String(text) if text.is_empty() => UNKNOWN.into(),
        Value::String(text) => human::clean(text),
        Value::Array(items) if items.is_empty() => UNKNOWN.into(),
        Value::Array(items) => items.iter().map(inline).collect::<Vec<_>>().join(", "),
        Value::Object(map) if map.is_empty() => UNKNOWN.into(),
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| format!("{}={}", human::clean(key), inline(value)))
            .collect::<Vec<_>>()
            .join(", "),
    }
}

/// The moment at a path, to the second.
#[must_use]
pub fn moment(value: &Value, path: &str) -> String {
    string(value, path).map_or_else(|| UNKNOWN.into(), human::moment)
}

/// The elements of the list at a path; none if there is no list.
#[must_use]
pub fn list<'a>(value: &'a Value, path: &str) -> &'a [Value] {
    at(value, path).as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_missing_is_shown_as_unknown() {
        let host =
            json!({"name": "a", "agent": {"version": ""}, "labels": {"rack": "r1", "row": 2}, "roles": ["x", "y"]});
        assert_eq!(show(&host, "name"), "a");
        assert_eq!(show(&host, "agent.version"), UNKNOWN);
        assert_eq!(show(&host, "agent.missing.deeper"), UNKNOWN);
        assert_eq!(show(&host, "labels"), "rack=r1, row=2");
        assert_eq!(show(&host, "roles"), "x, y");
        assert!(list(&host, "name").is_empty());
    }
}
