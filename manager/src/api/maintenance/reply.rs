//! Answers of projects (spec/maintenance.md §1.9), in the forms in which clients send them (§1.13).

use std::collections::BTreeMap;

use hostler_common::id::{SessionId, uuid_like};
use hostler_core::maintenance::constraint::{ID_MAX, id_fault};
use hostler_core::maintenance::instance::MoveAction;
use hostler_core::maintenance::state::State;
use serde_json::{Map, Value};

use super::create::NAME_MAX;
use super::error::{Failure, shown};
use super::fields::Fields;
use crate::api::json::kind;

/// How many instances one answer may name.
const INSTANCES: usize = 100_000;

/// What a project sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// That it knows that an action is done: nobody asked.
    Noted,
    /// An answer.
    Answer(Answer),
}

/// An answer, as far as it is known from the request alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The state that is answered.
    pub(super) state: State,
    /// Whether they agree.
    pub(super) ack: bool,
    /// How instances leave, by their ids.
    pub(super) actions: BTreeMap<String, MoveAction>,
    /// How the one instance leaves that is asked about.
    pub(super) action: Option<MoveAction>,
    /// The instances that the sender thinks of.
    pub(super) instances: Vec<String>,
}

/// Reads an answer to the session of the path.
///
/// # Errors
/// 422 with the field and its rule.
pub(super) fn read(body: Map<String, Value>, session: SessionId) -> Result<Sent, Failure> {
    let mut fields = Fields::new(body);
    let named = fields.text("session_id", NAME_MAX)?.filter(|named| !named.is_empty());
    if named.is_some_and(|named| uuid_like(&named) != Some(session.0)) {
        return Err(fields.wrong("session_id", "must be the session in the path"));
    }
    let state = fields.text("state", NAME_MAX)?.ok_or_else(|| fields.wrong("state", "is required"))?;
    let instances = instances(&mut fields)?;
    let actions = actions(&mut fields)?;
    let action = match fields.text("instance_action", NAME_MAX)? {
        Some(name) if !name.is_empty() => Some(action_of("instance_action", &name)?),
        _ => None,
    };
    fields.finish()?;
    let (ack, asked) = match (state.strip_prefix("ACK_"), state.strip_prefix("NACK_")) {
        (Some(asked), _) => (true, asked),
        (_, Some(asked)) => (false, asked),
        _ => return Err(unknown(&state)),
    };
    if ack && matches!(asked, "INSTANCE_ACTION_DONE" | "ADMIN_ACTION_DONE") {
        return Ok(Sent::Noted);
    }
    let state = match asked {
        // Words of older drafts.
        "DOWN_SCALE" | "IN_SCALE" => State::ScaleIn,
        asked => State::from_name(asked).ok_or_else(|| unknown(&state))?,
    };
    Ok(Sent::Answer(Answer { state, ack, actions, action, instances }))
}

fn unknown(state: &str) -> Failure {
    let known = "ACK_ or NACK_ and one of MAINTENANCE, SCALE_IN, PREPARE_MAINTENANCE, PLANNED_MAINTENANCE, \
                 MAINTENANCE_COMPLETE";
    Failure::field("state", format_args!("must be {known}, is {:?}", shown(state)))
}

/// Instances that older clients name: a list, or one. The link from which they have them is sent back by some, too.
fn instances(fields: &mut Fields) -> Result<Vec<String>, Failure> {
    match fields.take("instance_ids") {
        None => Ok(Vec::new()),
        Some(Value::String(one)) if id_fault(&one).is_some() => Ok(Vec::new()),
        Some(Value::String(one)) => Ok(vec![one]),
        Some(Value::Array(many)) if many.len() <= INSTANCES => {
            let texts = many.into_iter().map(|one| match one {
                Value::String(text) => Ok(text),
                other => Err(fields.wrong("instance_ids", format_args!("must be texts, has {}", kind(&other)))),
            });
            texts.collect()
        }
        Some(other) => Err(fields.wrong("instance_ids", format_args!("must be a list of ids, is {}", kind(&other)))),
    }
}

fn actions(fields: &mut Fields) -> Result<BTreeMap<String, MoveAction>, Failure> {
    let mut actions = BTreeMap::new();
    match fields.take("instance_actions") {
        None => {}
        Some(Value::Object(map)) => {
            for (id, value) in map {
                let name = format!("instance_actions.{}", shown(&id));
                if id_fault(&id).is_some() {
                    return Err(Failure::field(&name, format_args!("ids have from 1 to {ID_MAX} characters")));
                }
                let action = value.as_str().ok_or_else(|| Failure::field(&name, "must be a text"))?;
                actions.insert(id, action_of(&name, action)?);
            }
        }
        Some(other) => {
            let rule = format!("must be an object of instances and actions, is {}", kind(&other));
            return Err(fields.wrong("instance_actions", rule));
        }
    }
    Ok(actions)
}

fn action_of(field: &str, name: &str) -> Result<MoveAction, Failure> {
    let rule = "must be one of MIGRATE, LIVE_MIGRATE, OWN_ACTION";
    MoveAction::from_name(name).ok_or_else(|| Failure::field(field, rule))
}

impl Answer {
    /// How instances leave: as named one by one; the action for a single instance counts for `one`, for the only one that the
    /// sender thinks of, or for the only one of `listed`.
    ///
    /// # Errors
    /// 422 where an action is for nobody in particular.
    pub(super) fn actions_for(
        &self,
        one: Option<&str>,
        listed: &[String],
    ) -> Result<BTreeMap<String, MoveAction>, Failure> {
        let mut actions = self.actions.clone();
        if let Some(id) = one
            && let Some(other) = actions.keys().find(|other| *other != id)
        {
            let rule = format!("is about {id} alone and names {:?}", shown(other));
            return Err(Failure::field("instance_actions", rule));
        }
        let Some(action) = self.action else { return Ok(actions) };
        let only = |all: &[String]| if let [only] = all { Some(only.clone()) } else { None };
        match one.map(str::to_owned).or_else(|| only(&self.instances)).or_else(|| only(listed)) {
            Some(id) => {
                actions.entry(id).or_insert(action);
            }
            // Whoever named all of them one by one said enough.
            None if !actions.is_empty() || !self.ack => {}
            None => {
                let rule = "is for a single instance: name all of them in instance_actions";
                return Err(Failure::field("instance_action", rule));
            }
        }
        Ok(actions)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SESSION: &str = "5d0e1c4c-2f5d-11f0-9a59-0242ac110002";

    fn of(body: Value) -> Result<Sent, Failure> {
        read(body.as_object().unwrap().clone(), SESSION.parse().unwrap())
    }

    fn answer(body: Value) -> Answer {
        match of(body).unwrap() {
            Sent::Answer(answer) => answer,
            Sent::Noted => panic!("no answer"),
        }
    }

    #[test]
    fn what_clients_send() {
        let bulk =
            answer(json!({"session_id": SESSION, "state": "ACK_PLANNED_MAINTENANCE", "instance_ids": ["a", "b"],
                                 "instance_actions": {"a": "MIGRATE", "b": "LIVE_MIGRATION"}}));
        assert_eq!((bulk.state, bulk.ack), (State::PlannedMaintenance, true));
        assert_eq!(bulk.actions_for(None, &[]).unwrap()["b"], MoveAction::LiveMigrate);
        let single = answer(json!({"state": "ACK_PREPARE_MAINTENANCE", "instance_action": "OWN_ACTION"}));
        assert_eq!(single.actions_for(Some("i"), &[]).unwrap()["i"], MoveAction::OwnAction);
        assert_eq!(single.actions_for(None, &["j".into()]).unwrap()["j"], MoveAction::OwnAction);
        assert!(single.actions_for(None, &["j".into(), "k".into()]).is_err());
        for (state, want) in [
            ("NACK_IN_SCALE", (State::ScaleIn, false)),
            ("ACK_DOWN_SCALE", (State::ScaleIn, true)),
            ("ACK_MAINTENANCE_COMPLETE", (State::MaintenanceComplete, true)),
            ("ACK_START_MAINTENANCE", (State::StartMaintenance, true)),
        ] {
            let answer = answer(json!({"state": state, "session_id": ""}));
            assert_eq!((answer.state, answer.ack), want);
        }
        let link = "https://x:12347/v1/maintenance/5d0e1c4c-2f5d-11f0-9a59-0242ac110002/p";
        assert!(answer(json!({"state": "ACK_MAINTENANCE", "instance_ids": link})).instances.is_empty());
        assert_eq!(of(json!({"state": "ACK_INSTANCE_ACTION_DONE", "instance_ids": "i"})).unwrap(), Sent::Noted);
    }

    #[test]
    fn what_is_wrong_is_called_by_its_name() {
        for (body, field) in [
            (json!({}), "state"),
            (json!({"state": "MAINTENANCE"}), "state"),
            (json!({"state": "ACK_LUNCH"}), "state"),
            (json!({"state": "NACK_INSTANCE_ACTION_DONE"}), "state"),
            (json!({"state": 1}), "state"),
            (json!({"state": "ACK_MAINTENANCE", "session_id": "other"}), "session_id"),
            (json!({"state": "ACK_MAINTENANCE", "instance_actions": {"a": "STOP"}}), "instance_actions.a"),
            (json!({"state": "ACK_MAINTENANCE", "instance_actions": ["a"]}), "instance_actions"),
            (json!({"state": "ACK_MAINTENANCE", "instance_action": "RUN"}), "instance_action"),
            (json!({"state": "ACK_MAINTENANCE", "instance_ids": 7}), "instance_ids"),
            (json!({"state": "ACK_MAINTENANCE", "instance_ids": [7]}), "instance_ids"),
            (json!({"state": "ACK_MAINTENANCE", "more": 7}), "more"),
        ] {
            let failure = format!("{:?}", of(body.clone()).unwrap_err());
            assert!(failure.contains(&format!("\"{field}: ")), "{body}: {failure}");
        }
        let mixed = answer(json!({"state": "ACK_MAINTENANCE", "instance_actions": {"a": "MIGRATE"}}));
        assert!(mixed.actions_for(Some("b"), &[]).is_err());
    }
}
