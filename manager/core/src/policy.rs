//! Who may do what: one table for all dialects (design §8).
//!
//! The defaults of the introspection actions are those of spec/introspection.md §1.4.

/// What a caller may be. Roles are additive; `admin` includes all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Everything.
    Admin,
    /// Other services: everything but identity and enrolment.
    Service,
    /// Manages a project (no more than `member` here).
    Manager,
    /// Member of a project.
    Member,
    /// Only reads.
    Reader,
}

impl Role {
    /// All roles, the strongest first.
    pub const ALL: [Self; 5] = [Self::Admin, Self::Service, Self::Manager, Self::Member, Self::Reader];

    /// The name as identity writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Service => "service",
            Self::Manager => "manager",
            Self::Member => "member",
            Self::Reader => "reader",
        }
    }

    /// The role and all that it includes, the strongest first: whoever has it can act as any of these.
    #[must_use]
    pub fn included(self) -> &'static [Self] {
        match self {
            Self::Admin => &Self::ALL,
            Self::Service => &[Self::Service],
            Self::Manager => &[Self::Manager, Self::Member, Self::Reader],
            Self::Member => &[Self::Member, Self::Reader],
            Self::Reader => &[Self::Reader],
        }
    }

    /// The role of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// Something that somebody may or may not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// `introspection:status`: list and show.
    IntrospectionStatus,
    /// `introspection:start`.
    IntrospectionStart,
    /// `introspection:abort`.
    IntrospectionAbort,
    /// `introspection:data`: processed and unprocessed.
    IntrospectionData,
    /// `introspection:reapply`.
    IntrospectionReapply,
    /// `introspection:rule:*`: all of list, show, create, delete.
    IntrospectionRule,
    /// `introspection:continue`: deliver data of hosts without their agents. Of certificates only: tokens of callbacks and
    /// networks are no callers.
    IntrospectionContinue,
    /// Look at hosts and their inventories.
    HostRead,
    /// Change or remove hosts, revoke agents.
    HostChange,
    /// Make, list and revoke join tokens.
    JoinToken,
    /// Look at tasks and events.
    TaskRead,
    /// Cancel tasks.
    TaskChange,
    /// Manage users, projects and roles.
    IdentityChange,
    /// Look at users, projects and roles.
    IdentityRead,
    /// Look at the application credentials of users, and remove them.
    IdentityCredential,
    /// Change a password, knowing the one before.
    IdentityPassword,
    /// Read the metrics.
    MetricsRead,
    /// Read scripts and their bindings.
    ScriptRead,
    /// Make, change and remove scripts.
    ScriptChange,
    /// Run scripts on hosts.
    ScriptRun,
    /// Look at hooks and hook points.
    HookRead,
    /// Make, change, try and remove hooks.
    HookChange,
    /// Answer the questions of tasks.
    TaskAnswer,
    /// Have the facts of a host read anew, as viewers of the croit dialect may (spec/hooks.md §4.1).
    HostRedetect,
    /// Read the audit trail.
    AuditRead,
    /// Make changes of hosts and clusters.
    StepRun,
    /// Look at the state of clusters.
    ClusterRead,
    /// Store and remove secrets; nobody reads them back.
    Secret,
    /// Manage webhooks.
    Webhook,
    /// Manage tokens of the croit dialect.
    ApiToken,
}

/// The rule of an action: the roles of which one is needed. `admin` may always.
const RULES: &[(Action, &str, &[Role])] = &[
    (Action::IntrospectionStatus, "introspection:status", &[Role::Service]),
    (Action::IntrospectionStart, "introspection:start", &[Role::Service]),
    (Action::IntrospectionAbort, "introspection:abort", &[Role::Service]),
    (Action::IntrospectionData, "introspection:data", &[Role::Service]),
    (Action::IntrospectionReapply, "introspection:reapply", &[Role::Service]),
    (Action::IntrospectionRule, "introspection:rule", &[Role::Service]),
    (Action::IntrospectionContinue, "introspection:continue", &[Role::Service]),
    (Action::HostRead, "host:read", &[Role::Service, Role::Manager, Role::Member, Role::Reader]),
    (Action::HostChange, "host:change", &[]),
    (Action::JoinToken, "join_token", &[]),
    (Action::TaskRead, "task:read", &[Role::Service, Role::Manager, Role::Member, Role::Reader]),
    (Action::TaskChange, "task:change", &[Role::Service]),
    (Action::IdentityChange, "identity:change", &[]),
    (Action::IdentityRead, "identity:read", &[Role::Service]),
    (Action::IdentityCredential, "identity:credential", &[]),
    (Action::IdentityPassword, "identity:password", &[]),
    (Action::MetricsRead, "metrics:read", &[Role::Service, Role::Manager, Role::Member, Role::Reader]),
    (Action::ScriptRead, "script:read", &[]),
    (Action::ScriptChange, "script:change", &[]),
    (Action::ScriptRun, "script:run", &[]),
    (Action::HookRead, "hook:read", &[Role::Service, Role::Manager, Role::Member, Role::Reader]),
    (Action::HookChange, "hook:change", &[]),
    (Action::TaskAnswer, "task:answer", &[]),
    (Action::HostRedetect, "host:redetect", &[Role::Service, Role::Manager, Role::Member, Role::Reader]),
    (Action::AuditRead, "audit:read", &[]),
    (Action::StepRun, "step:run", &[]),
    (Action::ClusterRead, "cluster:read", &[Role::Service, Role::Manager, Role::Member, Role::Reader]),
    (Action::Secret, "secret", &[]),
    (Action::Webhook, "webhook", &[]),
    (Action::ApiToken, "api_token", &[]),
];

/// What every user may do to what is their own, whatever their roles.
const OWN: &[Action] = &[Action::IdentityRead, Action::IdentityCredential, Action::IdentityPassword];

impl Action {
    /// The stable name, for the audit trail and for error texts.
    #[must_use]
    pub fn name(self) -> &'static str {
        rule(self).0
    }
}

fn rule(action: Action) -> (&'static str, &'static [Role]) {
    for (known, name, roles) in RULES {
        if *known == action {
            return (name, roles);
        }
    }
    // A test holds the table complete; without a row only an administrator may.
    ("unknown", &[])
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The name in the audit trail: `user:admin`, `token:up`, `certificate:CN`, `anonymous`.
    pub name: String,
    /// What they are.
    pub roles: Vec<Role>,
    /// Whether the roles hold for the whole system rather than for one project: such a reader may also see statuses.
    pub system_scope: bool,
}

impl Caller {
    /// The caller of an installation that asks nobody who they are.
    #[must_use]
    pub fn anonymous() -> Self {
        Self { name: "anonymous".into(), roles: vec![Role::Admin], system_scope: false }
    }

    /// Whether they are that.
    #[must_use]
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
}

/// Whether `caller` may do `action`.
#[must_use]
pub fn allowed(caller: &Caller, action: Action) -> bool {
    if caller.has(Role::Admin) {
        return true;
    }
    if action == Action::IntrospectionStatus
        && caller.system_scope
        && (caller.has(Role::Reader) || caller.has(Role::Member))
    {
        return true;
    }
    rule(action).1.iter().any(|role| caller.has(*role))
}

/// Whether `caller` may do `action` to something of a user; `own` says that the caller is that user.
#[must_use]
pub fn allowed_own(caller: &Caller, action: Action, own: bool) -> bool {
    (own && OWN.contains(&action)) || allowed(caller, action)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(role: Role, system_scope: bool) -> Caller {
        Caller { name: "x".into(), roles: vec![role], system_scope }
    }

    #[test]
    fn every_action_has_one_row() {
        for (index, (action, name, _)) in RULES.iter().enumerate() {
            assert_eq!(action.name(), *name);
            assert!(!RULES[..index].iter().any(|(other, other_name, _)| other == action || other_name == name));
        }
    }

    #[test]
    fn matrix_of_the_introspection_dialect() {
        for action in [
            Action::IntrospectionStart,
            Action::IntrospectionAbort,
            Action::IntrospectionData,
            Action::IntrospectionReapply,
            Action::IntrospectionRule,
            Action::IntrospectionContinue,
        ] {
            assert!(allowed(&caller(Role::Admin, false), action));
            assert!(allowed(&caller(Role::Service, false), action));
            for role in [Role::Manager, Role::Member, Role::Reader] {
                assert!(!allowed(&caller(role, false), action));
                assert!(!allowed(&caller(role, true), action));
            }
        }
        assert!(!allowed(&caller(Role::Reader, false), Action::IntrospectionStatus));
        assert!(allowed(&caller(Role::Reader, true), Action::IntrospectionStatus));
        assert!(allowed(&caller(Role::Member, true), Action::IntrospectionStatus));
    }

    #[test]
    fn only_administrators_change_identity_and_enrolment() {
        for action in [Action::HostChange, Action::JoinToken, Action::IdentityChange] {
            for role in [Role::Service, Role::Manager, Role::Member, Role::Reader] {
                assert!(!allowed(&caller(role, true), action), "{action:?} {role:?}");
            }
        }
    }

    #[test]
    fn what_runs_as_root_on_hosts_is_for_administrators() {
        for action in [Action::ScriptChange, Action::ScriptRun, Action::HookChange, Action::StepRun, Action::Secret] {
            for role in [Role::Service, Role::Manager, Role::Member, Role::Reader] {
                assert!(!allowed(&caller(role, true), action), "{action:?} {role:?}");
            }
        }
        assert!(allowed(&caller(Role::Reader, false), Action::HookRead));
    }

    #[test]
    fn users_have_rights_on_themselves_only() {
        let nobody = Caller { name: "user:x".into(), roles: vec![], system_scope: false };
        for action in [Action::IdentityRead, Action::IdentityCredential, Action::IdentityPassword] {
            assert!(allowed_own(&nobody, action, true), "{action:?}");
            assert!(!allowed_own(&nobody, action, false), "{action:?}");
        }
        assert!(!allowed_own(&nobody, Action::IdentityChange, true));
        assert!(allowed_own(&caller(Role::Admin, false), Action::IdentityChange, false));
    }

    #[test]
    fn roles_include_themselves_and_only_weaker_ones() {
        for (index, role) in Role::ALL.into_iter().enumerate() {
            assert!(role.included().contains(&role));
            assert!(role.included().iter().all(|other| Role::ALL[index..].contains(other)));
            for other in role.included() {
                assert!(other.included().iter().all(|last| role.included().contains(last)), "transitive");
            }
        }
    }
}
