//! Granting roles and taking them away.

use hostler_common::id::UserId;
use serde_json::json;

use super::error::missing;
use super::{By, Identity, Result, audit};
use crate::store::identity::{
    Grant, GrantFilter, Scope, grant_delete, grant_exists, grant_insert, grant_list, project_find, user_find,
};
use crate::store::{self, Connection};

/// The refusal of a grant whose user or project does not exist.
async fn check_ends(connection: &mut Connection, grant: &Grant) -> store::Result<()> {
    if user_find(connection, grant.user).await?.is_none() {
        return Err(missing("user", &grant.user));
    }
    match grant.scope {
        Scope::Project(id) if project_find(connection, id).await?.is_none() => Err(missing("project", &id)),
        _ => Ok(()),
    }
}

fn event(kind: &'static str, grant: &Grant) -> hostler_core::machine::Event {
    let scope = match grant.scope {
        Scope::Project(id) => id.to_string(),
        Scope::System => "system".into(),
        Scope::Unscoped => String::new(),
    };
    audit::event(kind, &grant.user, json!({"scope": scope, "role": grant.role.name()}))
}

impl Identity {
    /// Whether that grant is there.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn grant_exists(&self, grant: &Grant) -> Result<bool> {
        Ok(grant_exists(&mut *self.read().await?, grant).await?)
    }

    /// Grants, ordered by user, scope and role.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn grants(&self, filter: &GrantFilter) -> Result<Vec<Grant>> {
        Ok(grant_list(&mut *self.read().await?, filter).await?)
    }

    /// Whether a user has any role in the whole system.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn has_system(&self, user: UserId) -> Result<bool> {
        let filter = GrantFilter { user: Some(user), scope: Some(Scope::System), role: None };
        Ok(!self.grants(&filter).await?.is_empty())
    }

    /// Grants a role; one that is granted already stays.
    ///
    /// # Errors
    /// A refusal of class `NotFound`; the store does not answer.
    pub async fn grant_create(&self, by: &By, grant: Grant) -> Result<()> {
        self.commit(by, move |tx, _| {
            Box::pin(async move {
                check_ends(tx, &grant).await?;
                let new = grant_insert(tx, &grant).await?;
                Ok(((), if new { vec![event("identity.grant.created", &grant)] } else { vec![] }))
            })
        })
        .await
    }

    /// Takes a role away; tokens that are out lose it at once.
    ///
    /// # Errors
    /// A refusal of class `NotFound`; the store does not answer.
    pub async fn grant_delete(&self, by: &By, grant: Grant) -> Result<()> {
        self.commit(by, move |tx, _| {
            Box::pin(async move {
                check_ends(tx, &grant).await?;
                if !grant_delete(tx, &grant).await? {
                    return Err(missing("role assignment with role", &grant.role.name()));
                }
                Ok(((), vec![event("identity.grant.deleted", &grant)]))
            })
        })
        .await
    }
}
