//! What owners ask for their instances and groups (spec/maintenance.md §1.10, §1.11). Whose a record is says the record; its
//! owner and administrators may read, replace and remove it.

use axum::body::Body;
use hostler_common::error::Class;
use hostler_core::machine::Event;
use hostler_core::maintenance::constraint::{GroupConstraint, InstanceConstraint, id_fault};
use hostler_core::policy::{self, Action, Caller};
use http::Response;
use serde::Serialize;
use serde_json::{Value, json};

use super::error::Failure;
use super::transport::Call;
use super::{fields, render};
use crate::store::event::event_insert;
use crate::store::maintenance::{
    constraint_delete, constraint_find, constraint_list, constraint_put, group_delete, group_find, group_list,
    group_put,
};
use crate::store::{Connection, Error};

/// What is told of a record of another project to somebody who wants to write it.
const TAKEN: &str = "the record belongs to another project";

fn shown<T: Serialize>(record: &T) -> Result<Value, Failure> {
    serde_json::to_value(record).map_err(|_| Failure::internal())
}

/// The project to which a list is restricted; `None` means to none.
fn restricted(call: &Call<'_>, action: Action) -> Result<Option<String>, Failure> {
    let asked = call.parameter("project_id");
    if call.may_anywhere(action) {
        return Ok(asked);
    }
    let own = call.project().ok_or_else(|| Failure::denied("the token is not one of a project"))?;
    call.must_in(action, own, Failure::not_found("Invalid project"))?;
    if asked.is_some_and(|asked| asked != own) {
        return Err(Failure::denied("that is another project"));
    }
    Ok(Some(own.to_owned()))
}

/// The sender of a record, who must be allowed to write records of its project.
fn writer(call: &Call<'_>, action: Action, project: &str) -> Result<Caller, Failure> {
    call.must_in(action, project, Failure::denied(format!("project {project} is not the caller's")))?;
    call.caller.clone().ok_or_else(|| Failure::denied("nobody knows who asks"))
}

/// Refuses, within the transaction, to write over a record of a project for which the sender does not speak.
fn check_owner(caller: &Caller, action: Action, owner: Option<&str>) -> Result<(), Error> {
    match owner {
        Some(owner) if !policy::allowed_in(caller, action, owner) => Err(Error::Refused(Class::Conflict, TAKEN.into())),
        _ => Ok(()),
    }
}

/// Writes what happened to a record, for the audit.
async fn note(
    tx: &mut Connection,
    call: (&str, hostler_common::time::Timestamp),
    kind: &'static str,
    subject: &str,
    data: Value,
) -> Result<(), Error> {
    let event = Event { kind, subject: subject.to_owned(), data };
    event_insert(tx, call.1, Some(call.0), &event).await.map(|_| ())
}

fn instance_id(text: &str) -> Result<&str, Failure> {
    id_fault(text).map_or(Ok(text), |fault| Err(Failure::field("instance_id", fault)))
}

/// A group's id in the form in which it is kept; a text that is none is the id of no group.
fn group_id(text: &str) -> Option<String> {
    hostler_common::id::uuid_like(text).map(|id| id.to_string())
}

/// `GET /v1/instance`.
pub(super) async fn instance_list(call: &Call<'_>) -> Result<Response<Body>, Failure> {
    let project = restricted(call, Action::InstanceRead)?;
    let found = constraint_list(&mut *call.engine().store.read().await?, project.as_deref()).await?;
    Ok(render::json(&json!({ "instances": shown(&found)? })))
}

async fn instance_of(call: &Call<'_>, id: &str, action: Action) -> Result<InstanceConstraint, Failure> {
    let unknown = || Failure::not_found("Invalid instance");
    let found = constraint_find(&mut *call.engine().store.read().await?, id).await?.ok_or_else(unknown)?;
    call.must_in(action, &found.project_id, unknown())?;
    Ok(found)
}

/// `GET /v1/instance/{instance}`.
pub(super) async fn instance_show(call: &Call<'_>, id: &str) -> Result<Response<Body>, Failure> {
    Ok(render::json(&shown(&instance_of(call, id, Action::InstanceRead).await?)?))
}

/// `PUT /v1/instance/{instance}`.
pub(super) async fn instance_put(call: &Call<'_>, id: &str) -> Result<Response<Body>, Failure> {
    let record = InstanceConstraint::read(instance_id(id)?, fields::object(&call.body)?, call.project())?;
    let caller = writer(call, Action::InstanceChange, &record.project_id)?;
    let (kept, now, actor) = (record.clone(), call.engine().clock.now(), call.actor().to_owned());
    let written = call.engine().store.write(move |tx| {
        Box::pin(async move {
            let before = constraint_find(tx, &kept.instance_id).await?;
            check_owner(&caller, Action::InstanceChange, before.as_ref().map(|before| before.project_id.as_str()))?;
            if before.as_ref() == Some(&kept) {
                return Ok(());
            }
            constraint_put(tx, &kept, now).await?;
            let data = json!({ "project_id": kept.project_id });
            note(tx, (&actor, now), "maintenance.instance.set", &kept.instance_id, data).await
        })
    });
    written.await?;
    Ok(render::json(&shown(&record)?))
}

/// `DELETE /v1/instance/{instance}`.
pub(super) async fn instance_delete(call: &Call<'_>, id: &str) -> Result<Response<Body>, Failure> {
    let found = instance_of(call, id, Action::InstanceChange).await?;
    let (now, actor) = (call.engine().clock.now(), call.actor().to_owned());
    let removed = call.engine().store.write(move |tx| {
        Box::pin(async move {
            if constraint_delete(tx, &found.instance_id).await? {
                let data = json!({ "project_id": found.project_id });
                note(tx, (&actor, now), "maintenance.instance.removed", &found.instance_id, data).await?;
            }
            Ok(())
        })
    });
    removed.await?;
    Ok(render::json(&json!({})))
}

/// `GET /v1/instance_group`.
pub(super) async fn group_list_all(call: &Call<'_>) -> Result<Response<Body>, Failure> {
    let project = restricted(call, Action::InstanceGroupRead)?;
    let found = group_list(&mut *call.engine().store.read().await?, project.as_deref()).await?;
    Ok(render::json(&json!({ "instance_groups": shown(&found)? })))
}

async fn group_of(call: &Call<'_>, id: &str, action: Action) -> Result<GroupConstraint, Failure> {
    let unknown = || Failure::not_found("Invalid instance group");
    let id = group_id(id).ok_or_else(unknown)?;
    let found = group_find(&mut *call.engine().store.read().await?, &id).await?.ok_or_else(unknown)?;
    call.must_in(action, &found.project_id, unknown())?;
    Ok(found)
}

/// `GET /v1/instance_group/{group}`.
pub(super) async fn group_show(call: &Call<'_>, id: &str) -> Result<Response<Body>, Failure> {
    Ok(render::json(&shown(&group_of(call, id, Action::InstanceGroupRead).await?)?))
}

/// `PUT /v1/instance_group/{group}`.
pub(super) async fn group_replace(call: &Call<'_>, id: &str) -> Result<Response<Body>, Failure> {
    let record = GroupConstraint::read(id, fields::object(&call.body)?, call.project())?;
    let caller = writer(call, Action::InstanceGroupChange, &record.project_id)?;
    let (kept, now, actor) = (record.clone(), call.engine().clock.now(), call.actor().to_owned());
    let written = call.engine().store.write(move |tx| {
        Box::pin(async move {
            let before = group_find(tx, &kept.group_id).await?;
            check_owner(
                &caller,
                Action::InstanceGroupChange,
                before.as_ref().map(|before| before.project_id.as_str()),
            )?;
            if before.as_ref() == Some(&kept) {
                return Ok(());
            }
            group_put(tx, &kept, now).await?;
            let data = json!({ "project_id": kept.project_id });
            note(tx, (&actor, now), "maintenance.instance_group.set", &kept.group_id, data).await
        })
    });
    written.await?;
    Ok(render::json(&shown(&record)?))
}

/// `DELETE /v1/instance_group/{group}`. Instances that still name it have no limits of a group from now on; that is recorded.
pub(super) async fn group_remove(call: &Call<'_>, id: &str) -> Result<Response<Body>, Failure> {
    let found = group_of(call, id, Action::InstanceGroupChange).await?;
    let (now, actor) = (call.engine().clock.now(), call.actor().to_owned());
    let removed = call.engine().store.write(move |tx| {
        Box::pin(async move {
            if let Some(members) = group_delete(tx, &found.group_id).await? {
                let severity = if members > 0 { "warning" } else { "info" };
                let data = json!({ "project_id": found.project_id, "members": members, "severity": severity });
                note(tx, (&actor, now), "maintenance.instance_group.removed", &found.group_id, data).await?;
            }
            Ok(())
        })
    });
    removed.await?;
    Ok(render::json(&json!({})))
}
