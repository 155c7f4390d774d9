//! Application credentials: making and removing.

use hostler_common::error::Class;
use hostler_common::id::{CredentialId, ProjectId, UserId};
use hostler_common::time::Timestamp;
use hostler_core::policy::Role;
use secrecy::SecretString;
use serde_json::json;

use super::error::{missing, taken};
use super::session::roles_in;
use super::user::{check_name, check_password, check_text};
use super::{By, Error, Identity, Result, audit, fresh_id, token};
use crate::store;
use crate::store::identity::{
    Credential, Scope, credential_by_name, credential_delete, credential_find, credential_insert, credential_list,
};

/// Longest name of a credential, in characters.
const NAME_MAX: usize = 255;

/// How many credentials a user may have.
const PER_USER_MAX: usize = 500;

/// An application credential to be made.
#[derive(Clone, Debug)]
pub struct NewCredential {
    /// Whose it is.
    pub user: UserId,
    /// The project that its tokens are for.
    pub project: ProjectId,
    /// The name, unique among those of the user.
    pub name: String,
    /// Free text.
    pub description: String,
    /// The roles that its tokens have; `None` means all that the user has in the project now.
    pub roles: Option<Vec<Role>>,
    /// Whether its tokens may manage application credentials.
    pub unrestricted: bool,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// The secret; `None` makes one of 256 random bits.
    pub secret: Option<SecretString>,
}

impl Identity {
    /// The credentials of a user.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn credentials(&self, user: UserId) -> Result<Vec<Credential>> {
        Ok(credential_list(&mut *self.read().await?, user).await?)
    }

    /// The credential of that id of a user.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn credential(&self, user: UserId, id: CredentialId) -> Result<Option<Credential>> {
        Ok(credential_find(&mut *self.read().await?, id).await?.filter(|found| found.user == user))
    }

    /// Makes a credential and returns it with its secret, which nobody can learn later.
    ///
    /// # Errors
    /// A refusal of class `Invalid` (also for a role that the user does not have), `Conflict` or `Exhausted`.
    pub async fn credential_create(&self, by: &By, new: NewCredential) -> Result<(Credential, SecretString)> {
        check_name("name", &new.name, NAME_MAX)?;
        check_text("description", &new.description)?;
        if new.expires_at.is_some_and(|end| end <= self.now()) {
            return Err(Error::invalid("expires_at", "must be in the future"));
        }
        if new.roles.as_ref().is_some_and(Vec::is_empty) {
            return Err(Error::invalid("roles", "must name at least one role, or be left out for all"));
        }
        let secret = match new.secret.clone() {
            Some(secret) => {
                check_password("secret", &secret)?;
                secret
            }
            None => token::fresh_secret()?,
        };
        let hash = self.inner.passwords.hash(secret.clone()).await?;
        let credential = self
            .commit(by, move |tx, turn| {
                Box::pin(async move {
                    let has = roles_in(tx, new.user, Scope::Project(new.project), None).await?;
                    let roles = choose(new.roles, has)?;
                    if credential_by_name(tx, new.user, &new.name).await?.is_some() {
                        return Err(taken("application credential", &new.name));
                    }
                    if credential_list(tx, new.user).await?.len() >= PER_USER_MAX {
                        let text =
                            format!("A user has at most {PER_USER_MAX} application credentials; delete one first.");
                        return Err(store::Error::Refused(Class::Exhausted, text));
                    }
                    let credential = Credential {
                        id: CredentialId(fresh_id(turn)),
                        user: new.user,
                        project: new.project,
                        name: new.name,
                        description: new.description,
                        roles,
                        unrestricted: new.unrestricted,
                        expires_at: new.expires_at,
                        created_at: turn.now,
                    };
                    credential_insert(tx, &credential, &hash).await?;
                    let data = json!({"name": credential.name, "user": credential.user.to_string()});
                    let event = audit::event("identity.credential.created", &credential.id, data);
                    Ok((credential, vec![event]))
                })
            })
            .await?;
        Ok((credential, secret))
    }

    /// Removes a credential of a user; its tokens end at once.
    ///
    /// # Errors
    /// A refusal of class `NotFound`; the store does not answer.
    pub async fn credential_delete(&self, by: &By, user: UserId, id: CredentialId) -> Result<()> {
        self.commit(by, move |tx, _| {
            Box::pin(async move {
                let found = credential_find(tx, id).await?.filter(|found| found.user == user);
                let found = found.ok_or_else(|| missing("application credential", &id))?;
                credential_delete(tx, id).await?;
                let data = json!({"name": found.name, "user": user.to_string()});
                Ok(((), vec![audit::event("identity.credential.deleted", &id, data)]))
            })
        })
        .await
    }
}

/// The roles of a new credential: those that are asked for, if the user has them all.
fn choose(asked: Option<Vec<Role>>, has: Vec<Role>) -> store::Result<Vec<Role>> {
    let refuse = |text: String| Err(store::Error::Refused(Class::Invalid, text));
    if has.is_empty() {
        return refuse("Invalid input for field 'project_id': the user has no role in it".into());
    }
    let Some(mut asked) = asked else { return Ok(has) };
    if let Some(role) = asked.iter().find(|role| !has.contains(role)) {
        return refuse(format!("Invalid input for field 'roles': the user does not have the role {}", role.name()));
    }
    asked.sort_unstable();
    asked.dedup();
    Ok(asked)
}
