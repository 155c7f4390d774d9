//! The task that a path names.

use axum::extract::FromRequestParts;
use hostler_common::id::{JobId, TaskId, uuid_like};
use http::request::Parts;

use super::super::Croit;
use crate::api::native::error::{Error, Result};
use crate::api::native::path::Id;
use crate::store::target::job_task;

/// The task in the path, `{id}`: by its number, or by the job of one of its targets. The second is what a script knows that an
/// agent runs by itself: it has no number before the manager hears of it.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Named(pub(in super::super) TaskId);

impl FromRequestParts<Croit> for Named {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, croit: &Croit) -> Result<Self> {
        let Id(text) = Id::<String>::from_request_parts(parts, croit).await?;
        let Some(job) = uuid_like(&text) else {
            return Id::<TaskId>::from_request_parts(parts, croit).await.map(|Id(id)| Self(id));
        };
        let task = job_task(&mut *croit.api.engine.store.read().await?, JobId(job)).await?;
        task.map(Self).ok_or_else(|| Error::not_found(format!("there is no task of job {job}")))
    }
}
