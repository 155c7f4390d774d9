//! What a valid token says, and how that is found out.
//!
//! A token carries no rights: the roles are those that the user has at the moment of the question, so taking a role away,
//! disabling a user or a project, or removing a credential holds for tokens that are already out.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hostler_common::id::UserId;
use hostler_common::time::Timestamp;
use hostler_core::policy::{Caller, Role};

use super::token::{self, Hash};
use super::{Identity, Result, static_token};
use crate::store::identity::{
    Credential, Project, Scope, Token, credential_find, grant_roles, project_find, token_find, user_find,
};
use crate::store::{self, Connection};

/// How long a session is believed without a look at the rows: what another manager changes counts here after this time.
pub(super) const FRESH: Duration = Duration::from_secs(3);

/// How many sessions are remembered.
const CACHE_MAX: usize = 4096;

/// What the roles of a session hold for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nothing.
    Unscoped,
    /// A project.
    Project(Project),
    /// The whole system.
    System,
}

/// Who the bearer of a valid token is and what they may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The user; `None` for a static token, which belongs to nobody.
    pub user: Option<UserId>,
    /// The name of the user or of the static token.
    pub name: String,
    /// What the roles hold for.
    pub place: Place,
    /// The roles, with those that they include, the strongest first.
    pub roles: Vec<Role>,
    /// How the bearer proved who they are.
    pub methods: Vec<String>,
    /// The application credential that the token was got with.
    pub credential: Option<Credential>,
    /// The public name of the token, and of the first one of its chain.
    pub audit_ids: Vec<String>,
    /// Since when it counts.
    pub issued_at: Timestamp,
    /// Until when it counts; a static token is always said to end one lifetime from now.
    pub expires_at: Timestamp,
}

impl Session {
    /// The caller that the policy table judges.
    #[must_use]
    pub fn caller(&self) -> Caller {
        let kind = if self.user.is_some() {
            "user"
        } else if self.of_api_token() {
            "api-token"
        } else {
            "token"
        };
        Caller {
            name: format!("{kind}:{}", self.name),
            roles: self.roles.clone(),
            system_scope: self.place == Place::System,
            project: match &self.place {
                Place::Project(project) => Some(project.id.to_string()),
                Place::Unscoped | Place::System => None,
            },
        }
    }

    /// Whether the token is an API token of the croit dialect.
    #[must_use]
    pub fn of_api_token(&self) -> bool {
        self.methods.iter().any(|method| method == super::api_token::METHOD)
    }

    /// Whether the token is for scripts of hooks: what is done with it never makes hooks run.
    #[must_use]
    pub fn of_hook(&self) -> bool {
        self.methods.iter().any(|method| method == super::api_token::FOR_HOOKS)
    }

    /// Whether the token may manage application credentials: those that were got with a restricted one may not.
    #[must_use]
    pub fn unrestricted(&self) -> bool {
        self.credential.as_ref().is_none_or(|credential| credential.unrestricted)
    }
}

/// The roles and all that they include, each once, the strongest first.
pub(super) fn expand(roles: &[Role]) -> Vec<Role> {
    Role::ALL.into_iter().filter(|role| roles.iter().any(|had| had.included().contains(role))).collect()
}

/// What the stored token says at `now`; `None` if it does not count.
pub(super) async fn session_of(
    connection: &mut Connection,
    token: Token,
    now: Timestamp,
) -> store::Result<Option<Session>> {
    if token.expires_at <= now {
        return Ok(None);
    }
    let Some(user) = user_find(connection, token.user).await?.filter(|user| user.enabled) else { return Ok(None) };
    let credential = match token.credential {
        None => None,
        Some(id) => match credential_find(connection, id).await?.filter(|found| !found.expired(now)) {
            None => return Ok(None),
            found => found,
        },
    };
    let Some(place) = place_of(connection, token.scope).await? else { return Ok(None) };
    let roles = roles_in(connection, token.user, token.scope, credential.as_ref()).await?;
    if roles.is_empty() && token.scope != Scope::Unscoped {
        return Ok(None);
    }
    Ok(Some(Session {
        user: Some(user.id),
        name: user.name,
        place,
        roles,
        methods: token.methods,
        credential,
        audit_ids: std::iter::once(token.audit_id).chain(token.audit_parent).collect(),
        issued_at: token.issued_at,
        expires_at: token.expires_at,
    }))
}

/// The place of a scope; `None` if it is a project that is gone or disabled.
pub(super) async fn place_of(connection: &mut Connection, scope: Scope) -> store::Result<Option<Place>> {
    Ok(match scope {
        Scope::Unscoped => Some(Place::Unscoped),
        Scope::System => Some(Place::System),
        Scope::Project(id) => project_find(connection, id).await?.filter(|project| project.enabled).map(Place::Project),
    })
}

/// The roles of a user in a scope, with those that they include; through a credential only what it was given of them.
pub(super) async fn roles_in(
    connection: &mut Connection,
    user: UserId,
    scope: Scope,
    credential: Option<&Credential>,
) -> store::Result<Vec<Role>> {
    if scope == Scope::Unscoped {
        return Ok(Vec::new());
    }
    let mut roles = expand(&grant_roles(connection, user, scope).await?);
    if let Some(credential) = credential {
        let given = expand(&credential.roles);
        roles.retain(|role| given.contains(role));
    }
    Ok(roles)
}

/// Sessions that were found a moment ago. Every mutation of this manager makes all of them stale at once.
#[derive(Debug, Default)]
pub(super) struct Cache {
    epoch: AtomicU64,
    found: Mutex<HashMap<Hash, Found>>,
}

#[derive(Debug)]
struct Found {
    session: Arc<Session>,
    epoch: u64,
    at: Timestamp,
}

impl Cache {
    /// Makes everything stale.
    pub(super) fn forget(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
    }

    fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    fn get(&self, hash: &Hash, now: Timestamp) -> Option<Arc<Session>> {
        let epoch = self.epoch();
        let found = self.lock();
        let found = found.get(hash).filter(|found| found.epoch == epoch)?;
        let fresh = now >= found.at && now.since(found.at) < FRESH && now < found.session.expires_at;
        fresh.then(|| Arc::clone(&found.session))
    }

    /// Remembers a session that was read after `epoch` was.
    fn put(&self, hash: Hash, session: Arc<Session>, epoch: u64, at: Timestamp) {
        let mut found = self.lock();
        if found.len() >= CACHE_MAX {
            found.clear();
        }
        found.insert(hash, Found { session, epoch, at });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Hash, Found>> {
        // The map is whole after any panic: every critical section is one operation on it.
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Identity {
    /// What a token says: one of the store, or a static one. `None` if it does not count.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn session(&self, token: &str) -> Result<Option<Arc<Session>>> {
        if let Some(session) = self.static_session(token) {
            return Ok(Some(Arc::new(session)));
        }
        let (hash, now) = (token::hash(token), self.now());
        if let Some(session) = self.inner.sessions.get(&hash, now) {
            return Ok(Some(session));
        }
        let epoch = self.inner.sessions.epoch();
        if token::is_api_token(token) {
            let Some(session) = self.api_token_session(&hash).await?.map(Arc::new) else { return Ok(None) };
            self.inner.sessions.put(hash, Arc::clone(&session), epoch, now);
            return Ok(Some(session));
        }
        let mut connection = self.read().await?;
        let Some(stored) = token_find(&mut connection, &hex::encode(hash)).await? else { return Ok(None) };
        let Some(session) = session_of(&mut connection, stored, now).await? else { return Ok(None) };
        let session = Arc::new(session);
        self.inner.sessions.put(hash, Arc::clone(&session), epoch, now);
        Ok(Some(session))
    }

    /// What a static token says; `None` if it is none.
    #[must_use]
    pub fn static_session(&self, token: &str) -> Option<Session> {
        let found = static_token::find(&self.inner.statics, &token::hash(token))?;
        let now = self.now();
        Some(Session {
            user: None,
            name: found.name.clone(),
            place: Place::System,
            roles: found.roles.clone(),
            methods: vec!["token".into()],
            credential: None,
            audit_ids: vec![found.name.clone()],
            issued_at: now,
            expires_at: now.after(self.inner.lifetime),
        })
    }
}
