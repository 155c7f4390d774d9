//! `extra_hardware`: turns the list `data` of `[class, id, key, value]` items into the nested object `extra`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Facts;
use crate::introspection::document::{Failure, python};
use crate::introspection::node::Node;

const NAME: &str = "extra_hardware";

pub(super) fn post(facts: &mut Facts<'_>, _: &mut Node) -> Result<(), Failure> {
    let Some(data) = facts.data.get("data") else { return Ok(()) };
    let items: Option<Vec<&Vec<Value>>> = data.as_array().and_then(|items| items.iter().map(Value::as_array).collect());
    let strict = facts.settings.extra_hardware.strict;
    let Some(items) = items.filter(|items| !strict || items.iter().all(|item| item.len() == 4)) else {
        facts.warn(NAME, "data is not a list of items with four parts");
        if strict {
            facts.data.shift_remove("data");
        }
        return Ok(());
    };
    let mut extra: BTreeMap<String, BTreeMap<String, Map<String, Value>>> = BTreeMap::new();
    for item in items {
        if let [class, id, key, value, ..] = item.as_slice() {
            let inner = extra.entry(python::str(class)).or_default().entry(python::str(id)).or_default();
            inner.insert(python::str(key), number_where_possible(value));
        }
    }
    let extra = extra.into_iter().map(|(class, ids)| {
        (class, Value::Object(ids.into_iter().map(|(id, facts)| (id, Value::Object(facts))).collect()))
    });
    facts.data.insert("extra".to_owned(), Value::Object(extra.collect()));
    facts.data.shift_remove("data");
    Ok(())
}

fn number_where_possible(value: &Value) -> Value {
    value.as_str().and_then(|text| text.trim().parse::<i64>().ok()).map_or_else(|| value.clone(), Value::from)
}
