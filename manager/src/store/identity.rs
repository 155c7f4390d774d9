//! The embedded identity: users, projects, grants of roles, application credentials, tokens (design §8).
//!
//! Hashes of passwords and secrets never leave this module with the records they belong to: they have functions of their
//! own, so that a record can be shown and logged without a second thought.

mod credential;
mod grant;
mod project;
mod token;
mod user;

use hostler_common::id::ProjectId;
use hostler_core::policy::Role;

use super::tx::{Error, Result};

pub use credential::{
    Credential, credential_by_name, credential_delete, credential_find, credential_insert, credential_list,
    credential_secret,
};
pub use grant::{
    Grant, GrantFilter, grant_delete, grant_delete_project, grant_exists, grant_insert, grant_list, grant_projects,
    grant_roles,
};
pub use project::{
    Project, ProjectFilter, project_by_name, project_delete, project_find, project_insert, project_list, project_update,
};
pub use token::{
    Revoke, Token, token_cap, token_delete, token_delete_expired, token_find, token_insert, token_prune, token_revoke,
};
pub use user::{
    User, UserFilter, user_by_name, user_delete, user_find, user_insert, user_list, user_number, user_password,
    user_password_set, user_update,
};

/// What roles hold for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Nothing: the bearer is known and has no role.
    Unscoped,
    /// One project.
    Project(ProjectId),
    /// The whole system.
    System,
}

impl Scope {
    /// As stored.
    fn text(self) -> String {
        match self {
            Self::Unscoped => String::new(),
            Self::Project(id) => id.to_string(),
            Self::System => "system".into(),
        }
    }

    fn parse(text: &str) -> Result<Self> {
        match text {
            "" => Ok(Self::Unscoped),
            "system" => Ok(Self::System),
            id => Ok(Self::Project(parse_id(id)?)),
        }
    }
}

/// Reads a stored id.
fn parse_id<T: std::str::FromStr>(text: &str) -> Result<T> {
    text.parse().map_err(|_| Error::Broken(format!("not an id: {text}")))
}

/// Reads a stored role.
fn parse_role(text: &str) -> Result<Role> {
    Role::from_name(text).ok_or_else(|| Error::Broken(format!("not a role: {text}")))
}
