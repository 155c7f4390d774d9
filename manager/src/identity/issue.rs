//! Making tokens for those who proved who they are, and revoking them.

use std::sync::Arc;

use hostler_core::policy::Role;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::login::{Target, project_resolve};
use super::session::{Place, Session, place_of, roles_in, session_of};
use super::{By, Error, Identity, Result, audit, token};
use crate::engine::Turn;
use crate::store::identity::{
    Credential, Scope, Token, User, credential_find, token_cap, token_delete, token_delete_expired, token_find,
    token_insert, user_password,
};
use crate::store::{self, Connection};

/// How many tokens a user may have at a time; a further one ends the oldest.
const TOKENS_MAX: u32 = 4096;

/// Somebody who proved who they are.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    /// Who.
    pub(super) user: User,
    /// By what.
    pub(super) basis: Basis,
}

/// What a claim rests on. It is looked at again in the transaction that makes the token: what was revoked in the meantime
/// makes none.
#[derive(Clone)]
pub(super) enum Basis {
    /// The password of this hash.
    Password(String),
    /// An application credential.
    Credential(Credential),
    /// Another token, and the credential that that one was got with.
    Token {
        /// The token.
        parent: Token,
        /// Its credential.
        credential: Option<Credential>,
    },
}

/// Without hashes.
impl std::fmt::Debug for Basis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Password(_) => "Password",
            Self::Credential(_) => "Credential",
            Self::Token { .. } => "Token",
        })
    }
}

impl Basis {
    fn credential(&self) -> Option<&Credential> {
        match self {
            Self::Password(_) => None,
            Self::Credential(credential) => Some(credential),
            Self::Token { credential, .. } => credential.as_ref(),
        }
    }

    async fn holds(&self, connection: &mut Connection, user: &User) -> store::Result<bool> {
        Ok(match self {
            Self::Password(hash) => user_password(connection, user.id).await?.as_ref() == Some(hash),
            Self::Credential(credential) => credential_find(connection, credential.id).await?.is_some(),
            Self::Token { parent, .. } => token_find(connection, &parent.hash).await?.is_some(),
        })
    }
}

type Issued = std::result::Result<(SecretString, Session), Error>;

impl Identity {
    pub(super) async fn issue(&self, claim: Claim, target: Target) -> Result<(SecretString, Arc<Session>)> {
        let (turn, lifetime) = (self.inner.engine.turn(None), self.inner.lifetime);
        let fresh = token::fresh()?;
        let expires_at = turn.now.after(lifetime);
        let audit_id = token::fresh_audit_id()?;
        let (issued, capped) = self
            .inner
            .engine
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let new = New { fresh, audit_id, expires_at };
                    let issued = issue_in(tx, &turn, &claim, &target, new).await?;
                    token_delete_expired(tx, claim.user.id, turn.now).await?;
                    let capped = token_cap(tx, claim.user.id, TOKENS_MAX).await?;
                    Ok((issued, capped))
                })
            })
            .await?;
        if capped > 0 {
            self.inner.sessions.forget();
        }
        let (token, session) = issued?;
        Ok((token, Arc::new(session)))
    }

    /// Revokes a token of the store; `false` if there is none.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn token_revoke(&self, by: &By, token: &str) -> Result<bool> {
        let hash = hex::encode(token::hash(token));
        self.commit(by, move |tx, _| {
            Box::pin(async move {
                let Some(found) = token_find(tx, &hash).await? else { return Ok((false, vec![])) };
                token_delete(tx, &hash).await?;
                let data = json!({"audit_id": found.audit_id});
                Ok((true, vec![audit::event("identity.token.revoked", &found.user, data)]))
            })
        })
        .await
    }
}

/// What a new token is made from.
struct New {
    fresh: SecretString,
    audit_id: String,
    expires_at: hostler_common::time::Timestamp,
}

async fn issue_in(tx: &mut Connection, turn: &Turn, claim: &Claim, target: &Target, new: New) -> store::Result<Issued> {
    if !claim.basis.holds(tx, &claim.user).await? {
        return Ok(Err(Error::login()));
    }
    let scope = match scope_of(tx, claim, target).await? {
        Ok(scope) => scope,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let (methods, parent) = match &claim.basis {
        Basis::Password(_) => (vec!["password".to_owned()], None),
        Basis::Credential(_) => (vec!["application_credential".to_owned()], None),
        Basis::Token { parent, .. } => {
            let mut methods = parent.methods.clone();
            if !methods.iter().any(|method| method == "token") {
                methods.push("token".into());
            }
            (methods, Some(parent))
        }
    };
    let credential = claim.basis.credential();
    // A token got with another one ends with it, and one of a credential with that: no chain outlives its beginning.
    let ends = [parent.map(|parent| parent.expires_at), credential.and_then(|credential| credential.expires_at)];
    let token = Token {
        hash: hex::encode(token::hash(new.fresh.expose_secret())),
        audit_id: new.audit_id,
        audit_parent: parent.map(|parent| parent.audit_parent.clone().unwrap_or_else(|| parent.audit_id.clone())),
        user: claim.user.id,
        scope,
        methods,
        credential: credential.map(|credential| credential.id),
        issued_at: turn.now,
        expires_at: ends.into_iter().flatten().fold(new.expires_at, Ord::min),
    };
    token_insert(tx, &token).await?;
    match session_of(tx, token, turn.now).await? {
        Some(session) => Ok(Ok((new.fresh, session))),
        // The row is kept from counting by the same rules that made it useless; retention removes it.
        None => Ok(Err(Error::login())),
    }
}

/// The scope that is asked for, if the user has any role there.
async fn scope_of(
    tx: &mut Connection,
    claim: &Claim,
    target: &Target,
) -> store::Result<std::result::Result<Scope, Error>> {
    let credential = claim.basis.credential();
    let refuse = |text: String| Ok(Err(Error::Unauthenticated(text)));
    let scope = match (target, credential) {
        (Target::Default, Some(credential)) => Scope::Project(credential.project),
        (Target::Default, None) => return Ok(Ok(default_scope(tx, &claim.user).await?)),
        (Target::Unscoped, None) => return Ok(Ok(Scope::Unscoped)),
        (Target::System, None) => Scope::System,
        (Target::Project(project), _) => match project_resolve(tx, project).await? {
            Some(project) if credential.is_none_or(|credential| credential.project == project.id) => {
                Scope::Project(project.id)
            }
            _ => return refuse(format!("User {} has no access to that project.", claim.user.name)),
        },
        (Target::Unscoped | Target::System, Some(_)) => {
            return refuse("An application credential is for its project only.".into());
        }
    };
    if usable(tx, claim, scope, credential).await?.is_empty() {
        let what = if scope == Scope::System { "the system" } else { "that project" };
        return refuse(format!("User {} has no access to {what}.", claim.user.name));
    }
    Ok(Ok(scope))
}

async fn usable(
    tx: &mut Connection,
    claim: &Claim,
    scope: Scope,
    credential: Option<&Credential>,
) -> store::Result<Vec<Role>> {
    match place_of(tx, scope).await? {
        Some(Place::Project(_) | Place::System) => roles_in(tx, claim.user.id, scope, credential).await,
        Some(Place::Unscoped) | None => Ok(Vec::new()),
    }
}

/// The user's own project, if they have one that they can use; otherwise nothing.
async fn default_scope(tx: &mut Connection, user: &User) -> store::Result<Scope> {
    let Some(project) = user.project else { return Ok(Scope::Unscoped) };
    let scope = Scope::Project(project);
    let enabled = place_of(tx, scope).await?.is_some();
    let has_role = !roles_in(tx, user.id, scope, None).await?.is_empty();
    Ok(if enabled && has_role { scope } else { Scope::Unscoped })
}
