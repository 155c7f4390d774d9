//! How what owners send becomes a record (spec/maintenance.md §1.10, §1.11): leniencies, defaults, and whose it is.

use hostler_common::id::uuid_like;
use serde_json::{Map, Value};

use super::super::instance::MoveAction;
use super::{DEFAULT_INTERRUPTION, DEFAULT_LEAD_TIME, GroupConstraint, InstanceConstraint};

/// The longest id of an instance or a project, in characters (§1.1).
pub const ID_MAX: usize = 36;

/// The longest name, in characters.
const NAME_MAX: usize = 255;

/// How long a moved member counts as impacted if its owner does not say, in seconds.
const DEFAULT_RECOVERY: u32 = 60;

/// The largest number: ten years in seconds.
const NUMBER_MAX: u32 = 315_576_000;

/// What is wrong with what was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {rule}")]
pub struct Wrong {
    /// The field.
    pub field: String,
    /// What it has to be.
    pub rule: String,
}

impl Wrong {
    fn new(field: &str, rule: impl Into<String>) -> Self {
        Self { field: field.to_owned(), rule: rule.into() }
    }
}

/// What is wrong with an id that stands in a path or a field; `None` if nothing is.
#[must_use]
pub fn id_fault(id: &str) -> Option<&'static str> {
    if id.is_empty() {
        Some("must not be empty")
    } else if id.chars().count() > ID_MAX {
        Some("may have at most 36 characters")
    } else if id.chars().any(char::is_control) {
        Some("may not contain control characters")
    } else {
        None
    }
}

/// A whole number: as a number, or as a text, where a comma at its end does not count: templates of one client bring it along.
#[must_use]
pub fn lenient_number(value: &Value) -> Option<u32> {
    let number = match value {
        Value::Number(number) => number.as_u64().or_else(|| {
            let float = number.as_f64().filter(|float| float.fract() == 0.0 && (0.0..=1e9).contains(float))?;
            format!("{float}").parse().ok()
        })?,
        Value::String(text) => bare(text).parse().ok()?,
        _ => return None,
    };
    u32::try_from(number).ok().filter(|number| *number <= NUMBER_MAX)
}

/// A truth value: as one, or as a text, in any case and with the comma of [`lenient_number`].
#[must_use]
pub fn lenient_truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::String(text) => match bare(text).to_ascii_lowercase().as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

fn bare(text: &str) -> &str {
    let text = text.trim();
    text.strip_suffix(',').unwrap_or(text).trim_end()
}

/// The fields of a record, taken one by one.
struct Fields(Map<String, Value>);

impl Fields {
    fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }

    fn text(&mut self, name: &str, max: usize) -> Result<Option<String>, Wrong> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) if text.chars().count() > max => {
                Err(Wrong::new(name, format!("may have at most {max} characters")))
            }
            Some(Value::String(text)) if text.chars().any(char::is_control) => {
                Err(Wrong::new(name, "may not contain control characters"))
            }
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Wrong::new(name, "must be a text")),
        }
    }

    fn number(&mut self, name: &str, default: u32) -> Result<u32, Wrong> {
        let rule = || Wrong::new(name, format!("must be a whole number from 0 to {NUMBER_MAX}"));
        self.take(name).map_or(Ok(default), |value| lenient_number(&value).ok_or_else(rule))
    }

    fn truth(&mut self, name: &str, default: bool) -> Result<bool, Wrong> {
        let rule = || Wrong::new(name, "must be true or false");
        self.take(name).map_or(Ok(default), |value| lenient_truth(&value).ok_or_else(rule))
    }

    /// The project: as named, else the sender's own.
    fn project(&mut self, own: Option<&str>) -> Result<String, Wrong> {
        let named = self.text("project_id", ID_MAX)?;
        let missing = || Wrong::new("project_id", "is required: the token is not one of a project");
        named.or_else(|| own.map(str::to_owned)).ok_or_else(missing)
    }

    /// Refuses fields that mean nothing; those that begin with `x-` are the sender's own affair.
    fn finish(self) -> Result<(), Wrong> {
        let unknown = self.0.keys().find(|name| !name.starts_with("x-"));
        unknown.map_or(Ok(()), |name| Err(Wrong::new(name, "is not a field here")))
    }
}

fn group_id(field: &str, text: &str) -> Result<String, Wrong> {
    uuid_like(text).map(|id| id.to_string()).ok_or_else(|| Wrong::new(field, "must be a UUID"))
}

impl InstanceConstraint {
    /// The record of the instance `id` that was sent by somebody of the project `own`.
    ///
    /// # Errors
    /// The first field that breaks its rule.
    pub fn read(id: &str, sent: Map<String, Value>, own: Option<&str>) -> Result<Self, Wrong> {
        let mut fields = Fields(sent);
        if fields.text("instance_id", ID_MAX)?.is_some_and(|named| named != id) {
            return Err(Wrong::new("instance_id", "must be the id in the path"));
        }
        let group = fields.text("group_id", NAME_MAX)?;
        let action = fields.text("migration_type", NAME_MAX)?.map(|name| {
            let rule = || Wrong::new("migration_type", "must be one of MIGRATE, LIVE_MIGRATE, OWN_ACTION");
            MoveAction::from_name(&name).ok_or_else(rule)
        });
        let read = Self {
            instance_id: id.to_owned(),
            project_id: fields.project(own)?,
            group_id: group.map(|group| group_id("group_id", &group)).transpose()?,
            instance_name: fields.text("instance_name", NAME_MAX)?,
            max_interruption_time: fields.number("max_interruption_time", DEFAULT_INTERRUPTION)?,
            migration_type: action.transpose()?.unwrap_or(MoveAction::Migrate),
            resource_mitigation: fields.truth("resource_mitigation", true)?,
            lead_time: fields.number("lead_time", DEFAULT_LEAD_TIME)?,
        };
        fields.finish()?;
        Ok(read)
    }
}

impl GroupConstraint {
    /// The record of the group `id` that was sent by somebody of the project `own`.
    ///
    /// # Errors
    /// The first field that breaks its rule.
    pub fn read(id: &str, sent: Map<String, Value>, own: Option<&str>) -> Result<Self, Wrong> {
        let mut fields = Fields(sent);
        let id = group_id("group_id", id)?;
        if let Some(named) = fields.text("group_id", NAME_MAX)?
            && group_id("group_id", &named)? != id
        {
            return Err(Wrong::new("group_id", "must be the id in the path"));
        }
        let read = Self {
            group_id: id,
            project_id: fields.project(own)?,
            group_name: fields.text("group_name", NAME_MAX)?,
            anti_affinity_group: fields.truth("anti_affinity_group", false)?,
            max_instances_per_host: fields.number("max_instances_per_host", 0)?,
            max_impacted_members: fields.number("max_impacted_members", 1)?,
            recovery_time: fields.number("recovery_time", DEFAULT_RECOVERY)?,
            resource_mitigation: fields.truth("resource_mitigation", true)?,
        };
        fields.finish()?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn numbers_and_truths_of_templates_are_understood() {
        let cases = [
            (json!(60), Some(60)),
            (json!("60"), Some(60)),
            (json!(" 60, "), Some(60)),
            (json!(60.0), Some(60)),
            (json!(0), Some(0)),
            (json!(-1), None),
            (json!("-1"), None),
            (json!(1.5), None),
            (json!("60,,"), None),
            (json!("sixty"), None),
            (json!(true), None),
            (json!(u64::MAX), None),
            (json!(1e300), None),
        ];
        for (value, number) in cases {
            assert_eq!(lenient_number(&value), number, "{value}");
        }
        for (value, truth) in [
            (json!("True,"), Some(true)),
            (json!("true"), Some(true)),
            (json!("FALSE"), Some(false)),
            (json!(false), Some(false)),
            (json!(1), None),
            (json!("yes"), None),
        ] {
            assert_eq!(lenient_truth(&value), truth, "{value}");
        }
    }

    #[test]
    fn an_instance_of_a_client() {
        let sent = json!({
            "instance_id": "i-1", "project_id": "p", "group_id": "5D0E1C4C2F5D11F09A590242AC110002",
            "instance_name": "db", "max_interruption_time": "120,", "migration_type": "LIVE_MIGRATION",
            "resource_mitigation": "True,", "lead_time": 40,
        });
        let read = InstanceConstraint::read("i-1", map(sent), None).unwrap();
        assert_eq!(read.group_id.as_deref(), Some("5d0e1c4c-2f5d-11f0-9a59-0242ac110002"));
        assert_eq!((read.max_interruption_time, read.lead_time), (120, 40));
        assert_eq!(read.migration_type, MoveAction::LiveMigrate);
        let empty = InstanceConstraint::read("i-1", map(json!({"group_id": null})), Some("q")).unwrap();
        assert_eq!((empty.project_id.as_str(), empty.migration_type, empty.lead_time), ("q", MoveAction::Migrate, 120));
        for (sent, field) in [
            (json!({"instance_id": "other"}), "instance_id"),
            (json!({"group_id": "servers"}), "group_id"),
            (json!({"migration_type": "STOP"}), "migration_type"),
            (json!({"lead_time": -1}), "lead_time"),
            (json!({"lead_tim": 1}), "lead_tim"),
            (json!({"project_id": "x".repeat(37)}), "project_id"),
        ] {
            assert_eq!(InstanceConstraint::read("i-1", map(sent), Some("q")).unwrap_err().field, field);
        }
        assert_eq!(InstanceConstraint::read("i-1", Map::new(), None).unwrap_err().field, "project_id");
    }

    #[test]
    fn a_group_of_a_client() {
        let id = "5d0e1c4c-2f5d-11f0-9a59-0242ac110002";
        let read = GroupConstraint::read(id, map(json!({"max_impacted_members": "0,"})), Some("p")).unwrap();
        assert_eq!((read.max_impacted_members, read.recovery_time, read.resource_mitigation), (0, 60, true));
        assert!(!read.anti_affinity_group && read.max_instances_per_host == 0);
        let same = GroupConstraint::read(id, map(json!({"group_id": id.replace('-', "")})), Some("p")).unwrap();
        assert_eq!(same.group_id, id);
        assert_eq!(GroupConstraint::read("no", Map::new(), Some("p")).unwrap_err().field, "group_id");
        let other = json!({"group_id": "5d0e1c4c-2f5d-11f0-9a59-0242ac110003"});
        assert_eq!(GroupConstraint::read(id, map(other), Some("p")).unwrap_err().field, "group_id");
    }
}
