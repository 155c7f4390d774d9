//! The part of JSON Schema that manifests of plug-ins may use (spec/maintenance.md §5.3): `type`, `properties`, `required`,
//! `additionalProperties` as a boolean, `items`, `enum`, `const`, `minimum`, `maximum`, `minLength`, `maxLength`, `minItems`,
//! `maxItems`, `pattern`. Other words are descriptions and have no effect.

use regex::Regex;
use serde_json::Value;

/// How deep a schema may nest: deeper ones are refused rather than followed.
const DEPTH: usize = 16;

/// Whether a value is as the schema says; null and `true` allow anything.
///
/// # Errors
/// What is wrong, with the place in the value.
pub fn check(schema: &Value, value: &Value) -> Result<(), String> {
    check_at(schema, value, "metadata", 0)
}

fn check_at(schema: &Value, value: &Value, place: &str, depth: usize) -> Result<(), String> {
    if depth > DEPTH {
        return Err(format!("{place}: the schema nests deeper than {DEPTH} levels"));
    }
    match schema {
        Value::Null | Value::Bool(true) => return Ok(()),
        Value::Bool(false) => return Err(format!("{place} is not allowed")),
        Value::Object(_) => {}
        _ => return Err(format!("{place}: the schema is neither an object nor a boolean")),
    }
    kind(schema, value, place)?;
    if let Some(choices) = schema["enum"].as_array()
        && !choices.contains(value)
    {
        return Err(format!("{place} must be one of {}", schema["enum"]));
    }
    if let Some(only) = schema.get("const")
        && only != value
    {
        return Err(format!("{place} must be {only}"));
    }
    match value {
        Value::Object(_) => object(schema, value, place, depth),
        Value::Array(items) => {
            within(schema, ("minItems", "maxItems"), items.len() as f64, &format!("the number of items of {place}"))?;
            let each = schema.get("items").unwrap_or(&Value::Null);
            items
                .iter()
                .enumerate()
                .try_for_each(|(at, item)| check_at(each, item, &format!("{place}[{at}]"), depth + 1))
        }
        Value::String(text) => string(schema, text, place),
        Value::Number(number) => within(schema, ("minimum", "maximum"), number.as_f64().unwrap_or(f64::NAN), place),
        Value::Null | Value::Bool(_) => Ok(()),
    }
}

fn kind(schema: &Value, value: &Value, place: &str) -> Result<(), String> {
    let fits = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        _ => false,
    };
    let names: Vec<&str> = match &schema["type"] {
        Value::Null => return Ok(()),
        Value::String(name) => vec![name],
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if names.iter().any(|name| fits(name)) {
        Ok(())
    } else {
        Err(format!("{place} must be of type {}", names.join(" or ")))
    }
}

fn object(schema: &Value, value: &Value, place: &str, depth: usize) -> Result<(), String> {
    let Some(fields) = value.as_object() else { return Ok(()) };
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !fields.contains_key(name) {
            return Err(format!("{place}.{name} is missing"));
        }
    }
    for (name, field) in fields {
        let place = format!("{place}.{name}");
        match schema["properties"].get(name) {
            Some(known) => check_at(known, field, &place, depth + 1)?,
            None if schema["additionalProperties"] == Value::Bool(false) => {
                return Err(format!("{place} is not known"));
            }
            None => {}
        }
    }
    Ok(())
}

fn string(schema: &Value, text: &str, place: &str) -> Result<(), String> {
    within(schema, ("minLength", "maxLength"), text.chars().count() as f64, &format!("the length of {place}"))?;
    let Some(pattern) = schema["pattern"].as_str() else { return Ok(()) };
    match Regex::new(pattern) {
        Ok(regex) if regex.is_match(text) => Ok(()),
        Ok(_) => Err(format!("{place} must match {pattern}")),
        Err(_) => Err(format!("{place}: the schema's pattern {pattern} cannot be read")),
    }
}

fn within(schema: &Value, (least, most): (&str, &str), found: f64, what: &str) -> Result<(), String> {
    if let Some(bound) = schema[least].as_f64()
        && found < bound
    {
        return Err(format!("{what} must be at least {bound}"));
    }
    if let Some(bound) = schema[most].as_f64()
        && found > bound
    {
        return Err(format!("{what} must be at most {bound}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::check;

    #[test]
    fn values_are_held_against_schemas() {
        let schema = json!({
            "type": "object", "required": ["unit"], "additionalProperties": false,
            "properties": {
                "unit": {"type": "string", "pattern": "^[a-z.]+$", "maxLength": 10},
                "times": {"type": "integer", "minimum": 1, "maximum": 3},
                "names": {"type": "array", "items": {"type": "string"}, "maxItems": 2},
                "how": {"enum": ["fast", "slow"]},
            },
        });
        let good = json!({"unit": "a.service", "times": 3, "names": ["x"], "how": "fast"});
        assert_eq!(check(&schema, &good), Ok(()));
        for (bad, word) in [
            (json!([]), "type object"),
            (json!({}), "metadata.unit is missing"),
            (json!({"unit": 1}), "metadata.unit must be of type string"),
            (json!({"unit": "A"}), "must match"),
            (json!({"unit": "aaaaaaaaaaa"}), "at most 10"),
            (json!({"unit": "a", "times": 0}), "at least 1"),
            (json!({"unit": "a", "times": 1.5}), "type integer"),
            (json!({"unit": "a", "names": ["a", 1]}), "metadata.names[1]"),
            (json!({"unit": "a", "names": ["a", "b", "c"]}), "at most 2"),
            (json!({"unit": "a", "how": "so"}), "one of"),
            (json!({"unit": "a", "more": 1}), "metadata.more is not known"),
        ] {
            let said = check(&schema, &bad).unwrap_err();
            assert!(said.contains(word), "{bad}: {said}");
        }
        assert_eq!(check(&json!(null), &json!({"x": 1})), Ok(()));
    }

    #[test]
    fn schemas_that_nest_for_ever_are_refused() {
        let (mut schema, mut value) = (json!({}), json!(1));
        for _ in 0..40 {
            schema = json!({"items": schema});
            value = json!([value]);
        }
        assert!(check(&schema, &value).unwrap_err().contains("deeper"));
    }
}
