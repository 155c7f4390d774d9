//! The body of `POST /v3/auth/tokens`: a proof and a scope.

use secrecy::SecretString;
use serde_json::Value;

use super::failure::Failure;
use super::fields::Fields;
use crate::identity::{CredentialRef, DOMAIN_ID, DOMAIN_NAME, ProjectRef, Proof, Target, UserRef};

type Result<T> = std::result::Result<T, Failure>;

/// Reads the body.
pub(super) fn parse(body: Value) -> Result<(Proof, Target)> {
    let mut auth = Fields::only(body, "auth")?;
    let proof = proof(auth.object("identity")?)?;
    let target = target(&mut auth)?;
    auth.finish()?;
    Ok((proof, target))
}

fn proof(mut identity: Fields) -> Result<Proof> {
    let methods = identity.maybe_list("methods")?.ok_or_else(|| identity.invalid("methods", "is required"))?;
    let [Value::String(method)] = methods.as_slice() else {
        return Err(identity.invalid("methods", "must be a list of exactly one method"));
    };
    let proof = match method.as_str() {
        "password" => password(identity.object("password")?),
        "token" => token(identity.object("token")?),
        "application_credential" => credential(identity.object("application_credential")?),
        _ => return Err(identity.invalid("methods", "must be password, token or application_credential")),
    }?;
    identity.finish()?;
    Ok(proof)
}

fn password(mut fields: Fields) -> Result<Proof> {
    let mut who = fields.object("user")?;
    fields.finish()?;
    let password = SecretString::from(who.text("password")?);
    let user = user(&mut who)?;
    who.finish()?;
    Ok(Proof::Password { user, password })
}

fn token(mut fields: Fields) -> Result<Proof> {
    let token = SecretString::from(fields.text("id")?);
    fields.finish()?;
    Ok(Proof::Token(token))
}

fn credential(mut fields: Fields) -> Result<Proof> {
    let secret = SecretString::from(fields.text("secret")?);
    let credential = match (fields.maybe_text("id")?, fields.maybe_text("name")?) {
        (Some(id), None) => {
            // Clients may send the user along with the id; the id says it all.
            fields.maybe_object("user")?;
            CredentialRef::Id(id)
        }
        (None, Some(name)) => {
            let mut who = fields.object("user")?;
            let user = user(&mut who)?;
            who.finish()?;
            CredentialRef::Name(name, user)
        }
        _ => return Err(fields.invalid("id", "either id, or name and user, is required")),
    };
    fields.finish()?;
    Ok(Proof::Credential { credential, secret })
}

fn user(fields: &mut Fields) -> Result<UserRef> {
    let known = domain(fields)?;
    match (fields.maybe_text("id")?, fields.maybe_text("name")?) {
        (Some(id), None) => Ok(UserRef::Id(id)),
        (None, Some(name)) if known => Ok(UserRef::Name(name)),
        // Nobody: with the sign it is no id. The login still fails as every other one does, in the same time.
        (None, Some(name)) => Ok(UserRef::Id(format!("{name}@another-domain"))),
        (Some(_), Some(_)) => Err(fields.invalid("id", "either id or name, not both")),
        (None, None) => Err(fields.invalid("name", "is required where there is no id")),
    }
}

/// Whether the domain that is named, if one is, is the one there is.
fn domain(fields: &mut Fields) -> Result<bool> {
    let Some(mut domain) = fields.maybe_object("domain")? else { return Ok(true) };
    let known = match (domain.maybe_text("id")?, domain.maybe_text("name")?) {
        (Some(id), None) => id == DOMAIN_ID,
        (None, Some(name)) => name.eq_ignore_ascii_case(DOMAIN_NAME),
        (Some(_), Some(_)) => return Err(domain.invalid("id", "either id or name, not both")),
        (None, None) => return Err(domain.invalid("id", "id or name is required")),
    };
    domain.finish()?;
    Ok(known)
}

fn target(auth: &mut Fields) -> Result<Target> {
    match auth.take("scope") {
        None => Ok(Target::Default),
        Some(Value::String(text)) if text == "unscoped" => Ok(Target::Unscoped),
        Some(scope) => scoped(auth.item_of("scope", scope)?),
    }
}

fn scoped(mut scope: Fields) -> Result<Target> {
    let target = match (scope.maybe_object("project")?, scope.maybe_object("system")?, scope.has("unscoped")) {
        (Some(project), None, false) => project_target(project)?,
        (None, Some(system), false) => system_target(system)?,
        (None, None, true) => {
            scope.vacant("unscoped")?;
            Target::Unscoped
        }
        (None, None, false) if scope.has("domain") => {
            return Err(scope.invalid("domain", "there is no domain scope here; ask for a project or for the system"));
        }
        _ => return Err(scope.invalid("project", "exactly one of project, system and unscoped is required")),
    };
    scope.finish()?;
    Ok(target)
}

fn project_target(mut project: Fields) -> Result<Target> {
    let known = domain(&mut project)?;
    let named = match (project.maybe_text("id")?, project.maybe_text("name")?) {
        (Some(id), None) => ProjectRef::Id(id),
        (None, Some(name)) if known => ProjectRef::Name(name),
        // No project: nothing that is empty is an id.
        (None, Some(_)) => ProjectRef::Id(String::new()),
        (Some(_), Some(_)) => return Err(project.invalid("id", "either id or name, not both")),
        (None, None) => return Err(project.invalid("id", "id or name is required")),
    };
    project.finish()?;
    Ok(Target::Project(named))
}

fn system_target(mut system: Fields) -> Result<Target> {
    let all = system.maybe_flag("all")?;
    if all != Some(true) {
        return Err(system.invalid("all", "must be true"));
    }
    system.finish()?;
    Ok(Target::System)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with_scope(scope: Value) -> Result<Target> {
        let identity = json!({"methods": ["token"], "token": {"id": "x"}});
        parse(json!({"auth": {"identity": identity, "scope": scope}})).map(|(_, target)| target)
    }

    #[test]
    fn every_scope() {
        assert_eq!(with_scope(json!(null)), Ok(Target::Default));
        assert_eq!(with_scope(json!("unscoped")), Ok(Target::Unscoped));
        assert_eq!(with_scope(json!({"unscoped": {}})), Ok(Target::Unscoped));
        assert_eq!(with_scope(json!({"system": {"all": true}})), Ok(Target::System));
        let by_name = Target::Project(ProjectRef::Name("p".into()));
        for domain in [json!({"id": "default"}), json!({"name": "Default"}), json!({"name": "default"}), json!(null)] {
            assert_eq!(with_scope(json!({"project": {"name": "p", "domain": domain}})), Ok(by_name.clone()));
        }
        let nowhere = Ok(Target::Project(ProjectRef::Id(String::new())));
        assert_eq!(with_scope(json!({"project": {"name": "p", "domain": {"id": "x"}}})), nowhere);
        let by_id = Ok(Target::Project(ProjectRef::Id("1".into())));
        assert_eq!(with_scope(json!({"project": {"id": "1"}})), by_id);
    }

    #[test]
    fn every_refusal_names_the_field() {
        for (scope, field) in [
            (json!(5), "auth.scope'"),
            (json!("all"), "auth.scope'"),
            (json!({}), "auth.scope.project'"),
            (json!({"domain": {"id": "default"}}), "auth.scope.domain'"),
            (json!({"system": {"all": false}}), "auth.scope.system.all'"),
            (json!({"system": {"all": true, "more": 1}}), "auth.scope.system.more'"),
            (json!({"project": {"id": 5}}), "auth.scope.project.id'"),
            (json!({"project": {"id": "1"}, "system": {"all": true}}), "auth.scope.project'"),
        ] {
            let refusal = format!("{:?}", with_scope(scope.clone()).unwrap_err());
            assert!(refusal.contains(field), "{scope}: {refusal}");
        }
        for (body, field) in [
            (json!([]), "body'"),
            (json!({}), "'auth'"),
            (json!({"auth": {}}), "auth.identity'"),
            (json!({"auth": {"identity": {}}}), "auth.identity.methods'"),
            (json!({"auth": {"identity": {"methods": []}}}), "auth.identity.methods'"),
            (json!({"auth": {"identity": {"methods": ["totp"]}}}), "auth.identity.methods'"),
            (json!({"auth": {"identity": {"methods": ["password"]}}}), "auth.identity.password'"),
            (
                json!({"auth": {"identity": {"methods": ["password"], "password": {"user": {"password": "x"}}}}}),
                "auth.identity.password.user.name'",
            ),
            (
                json!({"auth": {"identity": {"methods": ["application_credential"],
                    "application_credential": {"secret": "x", "name": "n"}}}}),
                "auth.identity.application_credential.user'",
            ),
        ] {
            let refusal = format!("{:?}", parse(body.clone()).unwrap_err());
            assert!(refusal.contains(field), "{body}: {refusal}");
        }
    }
}
