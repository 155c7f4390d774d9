//! API tokens of the croit dialect (spec/hooks.md §2.1): they belong to nobody and have roles of their own.

use hostler_common::error::Class;
use hostler_common::time::Timestamp;
use hostler_core::policy::Role;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::session::{Place, Session, expand};
use super::user::check_name;
use super::{By, Error, Identity, Result, audit, token};
use crate::store;
use crate::store::api_token::{
    ApiToken, api_token_by_hash, api_token_delete, api_token_insert, api_token_list, api_token_revoke,
    api_token_set_roles,
};

/// The method that sessions of API tokens name.
pub(super) const METHOD: &str = "api_token";

/// The method that sessions of tokens for hooks name besides.
pub(super) const FOR_HOOKS: &str = "hook";

/// An API token to be made.
#[derive(Clone, Debug)]
pub struct NewApiToken {
    /// What it is called, 1 to 255 characters.
    pub name: String,
    /// The roles of its bearer, as the dialect names them.
    pub roles: Vec<String>,
    /// Whether it is for scripts of hooks.
    pub for_hooks: bool,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
}

/// What the dialect's role means here; those that mean nothing are kept and give nothing.
fn role_of(name: &str) -> Option<Role> {
    match name {
        "admin" => Some(Role::Admin),
        "viewer" => Some(Role::Reader),
        _ => None,
    }
}

fn missing(id: i64) -> store::Error {
    store::Error::Refused(Class::NotFound, format!("there is no API token {id}"))
}

impl Identity {
    /// Makes an API token; its text is shown this once.
    ///
    /// # Errors
    /// A refusal of class `Invalid`; the store does not answer.
    pub async fn api_token_create(&self, by: &By, new: NewApiToken) -> Result<(i64, SecretString)> {
        check_name("name", &new.name, 255)?;
        let now = self.now();
        if new.expires_at.is_some_and(|end| end <= now) {
            return Err(Error::invalid("expiry", "must be in the future"));
        }
        let fresh = token::fresh_api_token()?;
        let hash = hex::encode(token::hash(fresh.expose_secret()));
        let NewApiToken { name, roles, for_hooks, expires_at } = new;
        let created_by = by.name.clone();
        let id = self
            .commit(by, move |tx, turn| {
                Box::pin(async move {
                    let token =
                        ApiToken { id: 0, name, roles, for_hooks, expires_at, created_at: turn.now, created_by };
                    let id = api_token_insert(tx, &token, &hash).await?;
                    let data = json!({"name": token.name, "roles": token.roles, "for_hooks": for_hooks});
                    Ok((id, vec![audit::event("api_token.created", &id, data)]))
                })
            })
            .await?;
        Ok((id, fresh))
    }

    /// All API tokens, by number.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn api_tokens(&self) -> Result<Vec<ApiToken>> {
        Ok(api_token_list(&mut *self.read().await?).await?)
    }

    /// Replaces the roles of an API token.
    ///
    /// # Errors
    /// A refusal of class `NotFound`; the store does not answer.
    pub async fn api_token_roles(&self, by: &By, id: i64, roles: Vec<String>) -> Result<()> {
        self.commit(by, move |tx, _| {
            Box::pin(async move {
                if !api_token_set_roles(tx, id, &roles).await? {
                    return Err(missing(id));
                }
                Ok(((), vec![audit::event("api_token.changed", &id, json!({"roles": roles}))]))
            })
        })
        .await
    }

    /// Removes an API token.
    ///
    /// # Errors
    /// A refusal of class `NotFound`; the store does not answer.
    pub async fn api_token_remove(&self, by: &By, id: i64) -> Result<()> {
        self.commit(by, move |tx, _| {
            Box::pin(async move {
                if !api_token_delete(tx, id).await? {
                    return Err(missing(id));
                }
                Ok(((), vec![audit::event("api_token.removed", &id, json!({}))]))
            })
        })
        .await
    }

    /// Removes the API token that its bearer presents; `false` if it is none.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn api_token_logout(&self, by: &By, presented: &str) -> Result<bool> {
        let hash = hex::encode(token::hash(presented));
        self.commit(by, move |tx, _| {
            Box::pin(async move {
                let removed = api_token_revoke(tx, &hash).await?;
                let event = audit::event("api_token.removed", &"own", json!({}));
                Ok((removed, if removed { vec![event] } else { Vec::new() }))
            })
        })
        .await
    }

    /// The session of an API token; `None` if it is none or has ended.
    pub(super) async fn api_token_session(&self, hash: &token::Hash) -> Result<Option<Session>> {
        let found = api_token_by_hash(&mut *self.read().await?, &hex::encode(hash)).await?;
        let now = self.now();
        let Some(found) = found.filter(|token| token.expires_at.is_none_or(|end| end > now)) else { return Ok(None) };
        let roles: Vec<Role> = found.roles.iter().filter_map(|name| role_of(name)).collect();
        let mut methods = vec![METHOD.to_owned()];
        if found.for_hooks {
            methods.push(FOR_HOOKS.to_owned());
        }
        Ok(Some(Session {
            user: None,
            name: found.name,
            place: Place::System,
            roles: expand(&roles),
            methods,
            credential: None,
            audit_ids: vec![format!("api-token-{}", found.id)],
            issued_at: found.created_at,
            expires_at: found.expires_at.unwrap_or(Timestamp::from_micros(i64::MAX)),
        }))
    }
}
