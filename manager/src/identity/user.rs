//! Users: making, changing, removing, and their passwords.

use hostler_common::id::{ProjectId, UserId};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::error::{missing, taken};
use super::{By, Error, Identity, Result, audit, fresh_id};
use crate::store::identity::{
    Revoke, User, UserFilter, project_find, token_revoke, user_by_name, user_delete, user_find, user_insert, user_list,
    user_password, user_password_set, user_update,
};
use crate::store::{self, Connection};

/// Longest name of a user, in characters.
const NAME_MAX: usize = 255;

/// Longest free text, in characters.
const TEXT_MAX: usize = 4096;

/// Longest password and secret, in bytes.
const PASSWORD_MAX: usize = 1024;

/// Longest mail address, in characters.
const EMAIL_MAX: usize = 254;

/// A user to be made.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// The name, 1 to 255 characters, unique.
    pub name: String,
    /// Free text.
    pub description: String,
    /// The mail address.
    pub email: Option<String>,
    /// Whether they can log in.
    pub enabled: bool,
    /// The project of a login that names none.
    pub project: Option<ProjectId>,
    /// The password; without one they cannot log in by password.
    pub password: Option<SecretString>,
}

/// What shall be different of a user; `None` leaves things as they are.
#[derive(Clone, Debug, Default)]
pub struct UserChange {
    /// The name.
    pub name: Option<String>,
    /// Free text.
    pub description: Option<String>,
    /// The mail address; `Some(None)` removes it.
    pub email: Option<Option<String>>,
    /// Whether they can log in. Disabling ends all tokens.
    pub enabled: Option<bool>,
    /// The project of a login that names none; `Some(None)` removes it.
    pub project: Option<Option<ProjectId>>,
    /// A new password. It ends all tokens that were got with the one before.
    pub password: Option<SecretString>,
}

impl UserChange {
    fn named(&self) -> Vec<&'static str> {
        let all = [
            ("name", self.name.is_some()),
            ("description", self.description.is_some()),
            ("email", self.email.is_some()),
            ("enabled", self.enabled.is_some()),
            ("default_project_id", self.project.is_some()),
            ("password", self.password.is_some()),
        ];
        all.into_iter().filter_map(|(name, changed)| changed.then_some(name)).collect()
    }

    fn check(&self) -> Result<()> {
        if let Some(name) = &self.name {
            check_name("name", name, NAME_MAX)?;
        }
        if let Some(description) = &self.description {
            check_text("description", description)?;
        }
        if let Some(Some(email)) = &self.email {
            check_name("email", email, EMAIL_MAX)?;
        }
        if let Some(password) = &self.password {
            check_password("password", password)?;
        }
        Ok(())
    }
}

/// A name: 1 to `max` characters, none of them a control character, no blank at either end.
pub(super) fn check_name(field: &str, name: &str, max: usize) -> Result<()> {
    if name.is_empty() || name.chars().count() > max {
        return Err(Error::invalid(field, &format!("must have 1 to {max} characters")));
    }
    if name.chars().any(char::is_control) {
        return Err(Error::invalid(field, "must not contain control characters"));
    }
    if name.trim() != name {
        return Err(Error::invalid(field, "must not begin or end with a blank"));
    }
    Ok(())
}

/// A free text: at most 4096 characters.
pub(super) fn check_text(field: &str, text: &str) -> Result<()> {
    if text.chars().count() > TEXT_MAX {
        return Err(Error::invalid(field, &format!("must have at most {TEXT_MAX} characters")));
    }
    // PostgreSQL stores none.
    if text.contains('\0') {
        return Err(Error::invalid(field, "must not contain the character U+0000"));
    }
    Ok(())
}

/// A password or a secret: 1 to 1024 bytes.
pub(super) fn check_password(field: &str, password: &SecretString) -> Result<()> {
    match password.expose_secret().len() {
        1..=PASSWORD_MAX => Ok(()),
        _ => Err(Error::invalid(field, &format!("must have 1 to {PASSWORD_MAX} bytes"))),
    }
}

async fn check_free(tx: &mut Connection, name: &str, own: Option<UserId>) -> store::Result<()> {
    match user_by_name(tx, name).await? {
        Some(other) if Some(other.id) != own => Err(taken("user", name)),
        _ => Ok(()),
    }
}

async fn check_project(tx: &mut Connection, project: Option<ProjectId>) -> store::Result<()> {
    match project {
        Some(id) if project_find(tx, id).await?.is_none() => Err(missing("project", &id)),
        _ => Ok(()),
    }
}

impl Identity {
    /// The user of that id.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn user(&self, id: UserId) -> Result<Option<User>> {
        Ok(user_find(&mut *self.read().await?, id).await?)
    }

    /// The user of that name.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn user_by_name(&self, name: &str) -> Result<Option<User>> {
        Ok(user_by_name(&mut *self.read().await?, name).await?)
    }

    /// Users in the order of their creation.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn users(&self, filter: &UserFilter, limit: u32) -> Result<Vec<User>> {
        Ok(user_list(&mut *self.read().await?, filter, limit).await?)
    }

    /// Makes a user.
    ///
    /// # Errors
    /// A refusal of class `Invalid`, `NotFound` (the project) or `Conflict` (the name); the store does not answer.
    pub async fn user_create(&self, by: &By, new: NewUser) -> Result<User> {
        let NewUser { name, description, email, enabled, project, password } = new;
        UserChange {
            name: Some(name.clone()),
            description: Some(description.clone()),
            email: Some(email.clone()),
            password: password.clone(),
            ..UserChange::default()
        }
        .check()?;
        let hash = match password {
            Some(password) => Some(self.inner.passwords.hash(password).await?),
            None => None,
        };
        self.commit(by, move |tx, turn| {
            Box::pin(async move {
                check_free(tx, &name, None).await?;
                check_project(tx, project).await?;
                let id = UserId(fresh_id(turn));
                let user = User { id, name, description, email, enabled, project, created_at: turn.now };
                user_insert(tx, &user).await?;
                if let Some(hash) = hash {
                    user_password_set(tx, id, &hash).await?;
                }
                let event = audit::event("identity.user.created", &id, json!({"name": user.name}));
                Ok((user, vec![event]))
            })
        })
        .await
    }

    /// Changes a user.
    ///
    /// # Errors
    /// A refusal of class `Invalid`, `NotFound` or `Conflict`; the store does not answer.
    pub async fn user_update(&self, by: &By, id: UserId, change: UserChange) -> Result<User> {
        change.check()?;
        let hash = match change.password.clone() {
            Some(password) => Some(self.inner.passwords.hash(password).await?),
            None => None,
        };
        self.commit(by, move |tx, _| {
            Box::pin(async move {
                let mut user = user_find(tx, id).await?.ok_or_else(|| missing("user", &id))?;
                let named = change.named();
                if let Some(name) = change.name {
                    check_free(tx, &name, Some(id)).await?;
                    user.name = name;
                }
                if let Some(project) = change.project {
                    check_project(tx, project).await?;
                    user.project = project;
                }
                user.description = change.description.unwrap_or(user.description);
                user.email = change.email.unwrap_or(user.email);
                user.enabled = change.enabled.unwrap_or(user.enabled);
                user_update(tx, &user).await?;
                if let Some(hash) = hash {
                    user_password_set(tx, id, &hash).await?;
                    token_revoke(tx, Revoke::Password(id)).await?;
                }
                if !user.enabled {
                    token_revoke(tx, Revoke::User(id)).await?;
                }
                let data = json!({"name": user.name, "changed": named});
                Ok((user, vec![audit::event("identity.user.updated", &id, data)]))
            })
        })
        .await
    }

    /// Removes a user with everything that is theirs.
    ///
    /// # Errors
    /// A refusal of class `NotFound`; the store does not answer.
    pub async fn user_delete(&self, by: &By, id: UserId) -> Result<()> {
        self.commit(by, move |tx, _| {
            Box::pin(async move {
                let user = user_find(tx, id).await?.ok_or_else(|| missing("user", &id))?;
                user_delete(tx, id).await?;
                let event = audit::event("identity.user.deleted", &id, json!({"name": user.name}));
                Ok(((), vec![event]))
            })
        })
        .await
    }

    /// Changes a password by somebody who knows the one before. It ends all tokens that were got with that.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] if the old password is wrong; a refusal of class `Invalid` or `NotFound`.
    pub async fn password_change(
        &self,
        by: &By,
        id: UserId,
        original: SecretString,
        password: SecretString,
    ) -> Result<()> {
        check_password("password", &password)?;
        if original.expose_secret() == password.expose_secret() {
            return Err(Error::invalid("password", "must differ from the one before"));
        }
        let user = self.user(id).await?.ok_or_else(|| Error::from(missing("user", &id)))?;
        let known = user_password(&mut *self.read().await?, id).await?;
        if !self.inner.passwords.verify(original, known.clone()).await? {
            self.login_failed(by.from, "password_change", &user.name, "wrong password").await;
            return Err(Error::Unauthenticated("The original password is wrong.".into()));
        }
        let hash = self.inner.passwords.hash(password).await?;
        self.commit(by, move |tx, _| {
            Box::pin(async move {
                if user_password(tx, id).await? != known {
                    return Err(store::Error::Moved);
                }
                user_password_set(tx, id, &hash).await?;
                token_revoke(tx, Revoke::Password(id)).await?;
                let event = audit::event("identity.user.password_changed", &id, json!({"name": user.name}));
                Ok(((), vec![event]))
            })
        })
        .await
    }
}
