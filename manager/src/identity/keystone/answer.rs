//! What Keystone's answer about a token means here.

use hostler_common::text::clip;
use hostler_common::time::Timestamp;
use hostler_core::policy::{Caller, Role};
use serde::Deserialize;

/// The longest name of a user that is shown, in bytes.
const NAME_MAX: usize = 255;

/// The longest id of a project, in bytes; Keystone's own have 32.
const PROJECT_MAX: usize = 64;

/// What Keystone says of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    /// Whose it is.
    pub(super) caller: Caller,
    /// Until when it counts.
    pub(super) expires_at: Timestamp,
}

#[derive(Deserialize)]
struct Body {
    token: Token,
}

#[derive(Deserialize)]
struct Token {
    user: User,
    expires_at: String,
    #[serde(default)]
    roles: Vec<Named>,
    project: Option<Project>,
    system: Option<System>,
}

#[derive(Deserialize)]
struct User {
    name: String,
    domain: Option<Domain>,
}

#[derive(Deserialize)]
struct Domain {
    id: String,
    name: Option<String>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct Project {
    id: String,
}

#[derive(Deserialize)]
struct System {
    #[serde(default)]
    all: bool,
}

/// Reads the body of an answer to a login or to a question about a token.
///
/// # Errors
/// It is not what Keystone answers; the text repeats nothing of it.
pub(super) fn read(body: &[u8]) -> Result<Said, String> {
    let Body { token } = serde_json::from_slice(body).map_err(|_| "its answer is not a token".to_owned())?;
    let expires_at = token.expires_at.parse().map_err(|_| "its answer has no time of expiry".to_owned())?;
    let system_scope = token.system.is_some_and(|system| system.all);
    // Roles in a domain are not about this fleet, and a token without a scope has none.
    let counts = system_scope || token.project.is_some();
    let has = |role: &Role| token.roles.iter().any(|named| named.name.eq_ignore_ascii_case(role.name()));
    let roles = if counts { Role::ALL.into_iter().filter(has).collect() } else { Vec::new() };
    let project = token.project.map(|project| project.id).filter(|id| id.len() <= PROJECT_MAX);
    Ok(Said { caller: Caller { name: name(&token.user), roles, system_scope, project }, expires_at })
}

/// The name for the audit trail. Only names of the default domain stand alone, so that nobody of another domain passes for
/// one of its users.
fn name(user: &User) -> String {
    let own: String = clip(&user.name, NAME_MAX).chars().filter(|c| !c.is_control()).collect();
    match &user.domain {
        Some(domain) if domain.id != "default" => {
            let domain = clip(domain.name.as_deref().unwrap_or(&domain.id), NAME_MAX);
            let domain: String = domain.chars().filter(|c| !c.is_control()).collect();
            format!("user:{own}@{domain}")
        }
        _ => format!("user:{own}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn said(more: Value) -> Result<Said, String> {
        let mut token = json!({
            "user": {"id": "7", "name": "ann", "domain": {"id": "default", "name": "Default"}},
            "expires_at": "2026-01-02T04:04:05.000000Z", "methods": ["password"], "unknown": {"x": [1]},
        });
        token.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        read(json!({"token": token}).to_string().as_bytes())
    }

    #[test]
    fn roles_count_in_a_project_and_in_the_system() {
        let roles = json!([{"id": "1", "name": "Reader"}, {"id": "2", "name": "heat_stack_owner"}, {"name": "admin"}]);
        let in_project = said(json!({"roles": roles, "project": {"id": "p"}})).unwrap();
        assert_eq!(in_project.caller.roles, [Role::Admin, Role::Reader]);
        assert!(!in_project.caller.system_scope);
        assert_eq!(in_project.caller.name, "user:ann");
        assert_eq!(in_project.expires_at.rfc3339(), "2026-01-02T04:04:05.000000Z");
        let in_system = said(json!({"roles": roles, "system": {"all": true}})).unwrap();
        assert!(in_system.caller.system_scope && in_system.caller.has(Role::Reader));
        for scope in [json!({"roles": roles, "domain": {"id": "d"}}), json!({"roles": roles, "system": {"all": false}})]
        {
            let elsewhere = said(scope).unwrap().caller;
            assert!(elsewhere.roles.is_empty() && !elsewhere.system_scope);
        }
        assert!(said(json!({})).unwrap().caller.roles.is_empty());
    }

    #[test]
    fn users_of_other_domains_are_told_apart() {
        let named = |user: Value| said(json!({"user": user})).unwrap().caller.name;
        assert_eq!(named(json!({"name": "admin", "domain": {"id": "d2", "name": "Guests"}})), "user:admin@Guests");
        assert_eq!(named(json!({"name": "admin\n", "domain": {"id": "d2"}})), "user:admin@d2");
    }

    #[test]
    fn anything_else_is_refused_without_being_repeated() {
        let cases = [
            json!({"token": {}}),
            json!({"token": {"user": {"name": "hush"}}}),
            json!({"error": "hush"}),
            json!([]),
            json!({"token": {"user": {"name": "hush"}, "expires_at": "soon"}}),
        ];
        for body in cases {
            let error = read(body.to_string().as_bytes()).unwrap_err();
            assert!(!error.contains("hush"), "{error}");
        }
        assert!(read(b"<html>").is_err() && read(b"").is_err());
    }
}
