//! What the path names.

use axum::extract::{FromRef, FromRequestParts, Path};
use hostler_common::id::{EventNumber, HostId, uuid_like};
use http::StatusCode;
use http::request::Parts;

use super::body::shown;
use super::error::{Error, Result};
use crate::api::Api;
use crate::store::host::{self, Host};

/// The one segment of the path that is not fixed.
async fn segment(parts: &mut Parts, name: &str) -> Result<String> {
    let found = Path::<Vec<(String, String)>>::from_request_parts(parts, &())
        .await
        .map_err(|_| Error::new(StatusCode::BAD_REQUEST, "the path cannot be read"))?;
    let found = found.0.into_iter().find(|(key, _)| key == name);
    found.map(|(_, value)| value).ok_or_else(|| Error::internal(&format_args!("the route has no {{{name}}}")))
}

/// The host that the path names: by its UUID, else by its name, else by its number.
#[derive(Clone, Debug)]
pub struct Named(pub Host);

impl<S> FromRequestParts<S> for Named
where
    S: Send + Sync,
    Api: FromRef<S>,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let name = segment(parts, "host").await?;
        find_host(&Api::from_ref(state), &name).await?.map(Self).ok_or_else(|| no_host(&name))
    }
}

/// The error for a host that is not there.
pub fn no_host(name: &str) -> Error {
    Error::not_found(format!("there is no host {}", shown(name)))
}

/// The host of that UUID, name or number.
///
/// # Errors
/// See [`crate::store::Error`].
pub async fn find_host(api: &Api, name: &str) -> Result<Option<Host>> {
    let mut connection = api.engine.store.read().await?;
    let id = match uuid_like(name) {
        Some(uuid) => Some(HostId(uuid)),
        None => match host::host_by_name(&mut connection, name).await? {
            Some(id) => Some(id),
            None => match name.parse() {
                Ok(number) => host::host_by_number(&mut connection, number).await?,
                Err(_) => None,
            },
        },
    };
    match id {
        Some(id) => Ok(host::host_find(&mut connection, id).await?),
        None => Ok(None),
    }
}

/// An identifier in the path, under the name `{id}`; one that cannot be read names nothing that exists.
#[derive(Clone, Copy, Debug)]
pub struct Id<T>(pub T);

impl<S: Send + Sync, T: std::str::FromStr> FromRequestParts<S> for Id<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self> {
        let text = segment(parts, "id").await?;
        text.parse().map(Self).map_err(|_| Error::not_found(format!("there is nothing with the id {}", shown(&text))))
    }
}

/// The inventory in the path: `{inventory}`, an id or `latest`; what it names is found out by the handler.
#[derive(Clone, Debug)]
pub struct Inventory(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Inventory {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self> {
        segment(parts, "inventory").await.map(Self)
    }
}

/// The event in the path: `{number}`.
#[derive(Clone, Copy, Debug)]
pub struct Letter(pub EventNumber);

impl<S: Send + Sync> FromRequestParts<S> for Letter {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self> {
        let text = segment(parts, "number").await?;
        let wrong = |_| Error::not_found(format!("there is no event with the number {}", shown(&text)));
        text.parse().map(Self).map_err(wrong)
    }
}
