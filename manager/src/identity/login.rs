//! Proving who somebody is: by password, by application credential, by a token they have.
//!
//! Whoever fails is told nothing but that; the reason is in the audit trail. A user that does not exist costs as much time
//! as a wrong password.

use std::net::IpAddr;
use std::sync::Arc;

use hostler_common::id::UserId;
use secrecy::{ExposeSecret as _, SecretString};

use super::issue::{Basis, Claim};
use super::session::{Place, Session};
use super::{Error, Identity, Result, token};
use crate::store;
use crate::store::Connection;
use crate::store::identity::{
    Credential, Project, User, credential_by_name, credential_find, credential_secret, project_by_name, project_find,
    token_find, user_by_name, user_find, user_password,
};

/// How a request names a user. Nothing is said of whether there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserRef {
    /// By what should be an id.
    Id(String),
    /// By name.
    Name(String),
}

/// How a request names a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProjectRef {
    /// By what should be an id.
    Id(String),
    /// By name.
    Name(String),
}

/// How a request names an application credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialRef {
    /// By what should be an id.
    Id(String),
    /// By its name among those of a user.
    Name(String, UserRef),
}

/// What somebody proves with who they are.
#[derive(Clone, Debug)]
pub enum Proof {
    /// A user's password.
    Password {
        /// Who.
        user: UserRef,
        /// The password.
        password: SecretString,
    },
    /// A token that they have, also a static one.
    Token(SecretString),
    /// The secret of an application credential.
    Credential {
        /// Which.
        credential: CredentialRef,
        /// The secret.
        secret: SecretString,
    },
}

/// What the roles of the new token shall hold for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The credential's project, or the user's own one, or nothing.
    Default,
    /// Nothing.
    Unscoped,
    /// A project.
    Project(ProjectRef),
    /// The whole system.
    System,
}

impl UserRef {
    fn text(&self) -> &str {
        match self {
            Self::Id(text) | Self::Name(text) => text,
        }
    }
}

impl CredentialRef {
    fn text(&self) -> &str {
        match self {
            Self::Id(text) | Self::Name(text, _) => text,
        }
    }
}

pub(super) async fn user_resolve(connection: &mut Connection, user: &UserRef) -> store::Result<Option<User>> {
    match user {
        UserRef::Id(id) => match hostler_common::id::uuid_like(id) {
            Some(id) => user_find(connection, UserId(id)).await,
            None => Ok(None),
        },
        UserRef::Name(name) => user_by_name(connection, name).await,
    }
}

pub(super) async fn project_resolve(
    connection: &mut Connection,
    project: &ProjectRef,
) -> store::Result<Option<Project>> {
    match project {
        ProjectRef::Id(id) => match hostler_common::id::uuid_like(id) {
            Some(id) => project_find(connection, hostler_common::id::ProjectId(id)).await,
            None => Ok(None),
        },
        ProjectRef::Name(name) => project_by_name(connection, name).await,
    }
}

async fn credential_resolve(
    connection: &mut Connection,
    credential: &CredentialRef,
) -> store::Result<Option<Credential>> {
    match credential {
        CredentialRef::Id(id) => match hostler_common::id::uuid_like(id) {
            Some(id) => credential_find(connection, hostler_common::id::CredentialId(id)).await,
            None => Ok(None),
        },
        CredentialRef::Name(name, user) => match user_resolve(connection, user).await? {
            Some(user) => credential_by_name(connection, user.id, name).await,
            None => Ok(None),
        },
    }
}

/// A proof that does not hold, for the audit trail.
struct Failed {
    who: String,
    reason: &'static str,
}

impl Identity {
    /// Checks a proof and makes a token. A static token is not exchanged: it is itself the answer, with a session that
    /// says the place that was asked for.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] if the proof does not hold or the user has no role in the place; a refusal of class
    /// `Unavailable` if too many log in at a time.
    pub async fn login(
        &self,
        from: Option<IpAddr>,
        proof: Proof,
        target: Target,
    ) -> Result<(SecretString, Arc<Session>)> {
        let method = match &proof {
            Proof::Password { .. } => "password",
            Proof::Token(_) => "token",
            Proof::Credential { .. } => "application_credential",
        };
        let claim = match proof {
            Proof::Password { user, password } => self.prove_password(&user, password).await?,
            Proof::Credential { credential, secret } => self.prove_credential(&credential, secret).await?,
            Proof::Token(token) => {
                if let Some(session) = self.static_session(token.expose_secret()) {
                    let session = self.static_login(session, &target).await?;
                    return Ok((token, Arc::new(session)));
                }
                self.prove_token(&token).await?
            }
        };
        let claim = match claim {
            Ok(claim) => claim,
            Err(Failed { who, reason }) => {
                self.login_failed(from, method, &who, reason).await;
                return Err(Error::login());
            }
        };
        let who = claim.user.name.clone();
        let issued = self.issue(claim, target).await;
        match &issued {
            Ok((_, session)) => tracing::info!(method, who, audit_id = session.audit_ids.first(), ?from, "login"),
            Err(Error::Unauthenticated(_)) => self.login_failed(from, method, &who, "no role in that scope").await,
            Err(_) => {}
        }
        issued
    }

    async fn prove_password(
        &self,
        named: &UserRef,
        password: SecretString,
    ) -> Result<std::result::Result<Claim, Failed>> {
        let mut connection = self.read().await?;
        let user = user_resolve(&mut connection, named).await?;
        let hash = match &user {
            Some(user) => user_password(&mut connection, user.id).await?,
            None => None,
        };
        // A hash takes long: no reader of the store is held meanwhile.
        drop(connection);
        let matches = self.inner.passwords.verify(password, hash.clone()).await?;
        let failed = |reason| Ok(Err(Failed { who: named.text().to_owned(), reason }));
        match (user, hash) {
            (None, _) => failed("there is no such user"),
            (Some(_), None) => failed("the user has no password"),
            (Some(_), Some(_)) if !matches => failed("wrong password"),
            (Some(user), _) if !user.enabled => failed("the user is disabled"),
            (Some(user), Some(hash)) => Ok(Ok(Claim { user, basis: Basis::Password(hash) })),
        }
    }

    async fn prove_credential(
        &self,
        named: &CredentialRef,
        secret: SecretString,
    ) -> Result<std::result::Result<Claim, Failed>> {
        let mut connection = self.read().await?;
        let credential = credential_resolve(&mut connection, named).await?;
        let (user, hash) = match &credential {
            Some(credential) => (
                user_find(&mut connection, credential.user).await?,
                credential_secret(&mut connection, credential.id).await?,
            ),
            None => (None, None),
        };
        drop(connection);
        let matches = self.inner.passwords.verify(secret, hash).await?;
        let failed = |reason| Ok(Err(Failed { who: named.text().to_owned(), reason }));
        match (user, credential) {
            (Some(_), Some(_)) if !matches => failed("wrong secret"),
            (Some(_), Some(credential)) if credential.expired(self.now()) => failed("the credential has ended"),
            (Some(user), Some(_)) if !user.enabled => failed("the user is disabled"),
            (Some(user), Some(credential)) => Ok(Ok(Claim { user, basis: Basis::Credential(credential) })),
            _ => failed("there is no such credential"),
        }
    }

    async fn prove_token(&self, presented: &SecretString) -> Result<std::result::Result<Claim, Failed>> {
        let session = self.session(presented.expose_secret()).await?;
        let mut connection = self.read().await?;
        let hash = hex::encode(token::hash(presented.expose_secret()));
        let stored = token_find(&mut connection, &hash).await?;
        let user = match session.as_ref().and_then(|session| session.user) {
            Some(id) => user_find(&mut connection, id).await?,
            None => None,
        };
        match (user, stored, session) {
            (Some(user), Some(parent), Some(session)) => {
                let credential = session.credential.clone();
                Ok(Ok(Claim { user, basis: Basis::Token { parent, credential } }))
            }
            _ => Ok(Err(Failed { who: String::new(), reason: "the token does not count" })),
        }
    }

    /// A static token holds everywhere, so it is given whatever place exists.
    async fn static_login(&self, mut session: Session, target: &Target) -> Result<Session> {
        session.place = match target {
            Target::Default | Target::System => Place::System,
            Target::Unscoped => Place::Unscoped,
            Target::Project(project) => {
                let found = project_resolve(&mut *self.read().await?, project).await?;
                Place::Project(found.filter(|project| project.enabled).ok_or_else(Error::login)?)
            }
        };
        Ok(session)
    }
}
