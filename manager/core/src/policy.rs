//! Who may do what: one table for all dialects (design §8).
//!
//! The defaults of the introspection actions are those of spec/introspection.md §1.4, those of the maintenance actions those of
//! spec/maintenance.md §1.12.

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
    /// `maintenance:create`.
    MaintenanceCreate,
    /// `maintenance:list`.
    MaintenanceList,
    /// `maintenance:get`: the state of a session.
    MaintenanceGet,
    /// `maintenance:detail`: everything about a session, its hosts and its plan.
    MaintenanceDetail,
    /// `maintenance:update`.
    MaintenanceUpdate,
    /// `maintenance:delete`.
    MaintenanceDelete,
    /// `maintenance:steps`: the history of a session.
    MaintenanceSteps,
    /// `maintenance:events`: what happened in sessions, and who is told of it.
    MaintenanceEvents,
    /// `maintenance:force`: go on against a gate, a constraint or a refusal.
    MaintenanceForce,
    /// `maintenance:download`: have files fetched for a session.
    MaintenanceDownload,
    /// `maintenance:plugin`: make, change and remove plug-ins, which are programs that run on hosts.
    MaintenancePlugin,
    /// `maintenance:project:get`: what a session asks of a project.
    MaintenanceProjectGet,
    /// `maintenance:project:put`: answer for a project.
    MaintenanceProjectPut,
    /// `maintenance:instance:put`: answer for one instance.
    MaintenanceInstancePut,
    /// `instance:read`: what an instance needs.
    InstanceRead,
    /// `instance:change`.
    InstanceChange,
    /// `instance_group:read`: what a group of instances needs.
    InstanceGroupRead,
    /// `instance_group:change`.
    InstanceGroupChange,
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
    (Action::MaintenanceCreate, "maintenance:create", &[]),
    (Action::MaintenanceList, "maintenance:list", &[]),
    (Action::MaintenanceGet, "maintenance:get", &[]),
    (Action::MaintenanceDetail, "maintenance:detail", &[]),
    (Action::MaintenanceUpdate, "maintenance:update", &[]),
    (Action::MaintenanceDelete, "maintenance:delete", &[]),
    (Action::MaintenanceSteps, "maintenance:steps", &[]),
    (Action::MaintenanceEvents, "maintenance:events", &[]),
    (Action::MaintenanceForce, "maintenance:force", &[]),
    (Action::MaintenanceDownload, "maintenance:download", &[]),
    (Action::MaintenancePlugin, "maintenance:plugin", &[]),
    (Action::MaintenanceProjectGet, "maintenance:project:get", &[]),
    (Action::MaintenanceProjectPut, "maintenance:project:put", &[]),
    (Action::MaintenanceInstancePut, "maintenance:instance:put", &[]),
    (Action::InstanceRead, "instance:read", &[]),
    (Action::InstanceChange, "instance:change", &[]),
    (Action::InstanceGroupRead, "instance_group:read", &[]),
    (Action::InstanceGroupChange, "instance_group:change", &[]),
];

/// What callers whose roles hold for the whole system may do with them: services and managers all of maintenance, readers and
/// members look at it. Otherwise it takes an administrator.
const SYSTEM: &[(Action, &[Role])] = &[
    (Action::IntrospectionStatus, &[Role::Reader, Role::Member]),
    (Action::MaintenanceCreate, CHANGE_SYSTEM),
    (Action::MaintenanceList, READ_SYSTEM),
    (Action::MaintenanceGet, READ_SYSTEM),
    (Action::MaintenanceDetail, READ_SYSTEM),
    (Action::MaintenanceUpdate, CHANGE_SYSTEM),
    (Action::MaintenanceDelete, CHANGE_SYSTEM),
    (Action::MaintenanceSteps, READ_SYSTEM),
    (Action::MaintenanceEvents, READ_SYSTEM),
    (Action::MaintenanceForce, CHANGE_SYSTEM),
    (Action::MaintenanceDownload, CHANGE_SYSTEM),
    (Action::MaintenanceProjectGet, READ_SYSTEM),
    (Action::InstanceRead, READ_SYSTEM),
    (Action::InstanceGroupRead, READ_SYSTEM),
];

const READ_SYSTEM: &[Role] = &[Role::Service, Role::Manager, Role::Member, Role::Reader];
const CHANGE_SYSTEM: &[Role] = &[Role::Service, Role::Manager];

/// What the members of a project may do for their project, and with which of their roles in it.
const PROJECT: &[(Action, &[Role])] = &[
    (Action::MaintenanceEvents, READ_PROJECT),
    (Action::MaintenanceProjectGet, READ_PROJECT),
    (Action::MaintenanceProjectPut, CHANGE_PROJECT),
    (Action::MaintenanceInstancePut, CHANGE_PROJECT),
    (Action::InstanceRead, READ_PROJECT),
    (Action::InstanceChange, CHANGE_PROJECT),
    (Action::InstanceGroupRead, READ_PROJECT),
    (Action::InstanceGroupChange, CHANGE_PROJECT),
];

const READ_PROJECT: &[Role] = &[Role::Service, Role::Manager, Role::Member, Role::Reader];
const CHANGE_PROJECT: &[Role] = &[Role::Service, Role::Manager, Role::Member];

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
    /// The project that the roles hold for, by its id as identity writes it; `None` where they hold for none.
    pub project: Option<String>,
}

impl Caller {
    /// The caller of an installation that asks nobody who they are.
    #[must_use]
    pub fn anonymous() -> Self {
        Self { name: "anonymous".into(), roles: vec![Role::Admin], system_scope: false, project: None }
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
    let within = |table: &[(Action, &[Role])]| {
        let roles = table.iter().find(|(known, _)| *known == action).map_or(&[][..], |(_, roles)| roles);
        roles.iter().any(|role| caller.has(*role))
    };
    (caller.system_scope && within(SYSTEM)) || rule(action).1.iter().any(|role| caller.has(*role))
}

/// Whether `caller` may do `action` to something of `project`: as anybody who may do it anywhere, or as a member of it.
#[must_use]
pub fn allowed_in(caller: &Caller, action: Action, project: &str) -> bool {
    let own = caller.project.as_deref() == Some(project);
    let roles = PROJECT.iter().find(|(known, _)| *known == action).map_or(&[][..], |(_, roles)| roles);
    (own && roles.iter().any(|role| caller.has(*role))) || allowed(caller, action)
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
        Caller { name: "x".into(), roles: vec![role], system_scope, project: None }
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
        let nobody = Caller { name: "user:x".into(), roles: vec![], system_scope: false, project: None };
        for action in [Action::IdentityRead, Action::IdentityCredential, Action::IdentityPassword] {
            assert!(allowed_own(&nobody, action, true), "{action:?}");
            assert!(!allowed_own(&nobody, action, false), "{action:?}");
        }
        assert!(!allowed_own(&nobody, Action::IdentityChange, true));
        assert!(allowed_own(&caller(Role::Admin, false), Action::IdentityChange, false));
    }

    #[test]
    fn maintenance_is_for_administrators_and_for_those_of_the_whole_system() {
        let sessions = [Action::MaintenanceCreate, Action::MaintenanceUpdate, Action::MaintenanceDelete];
        for action in sessions.into_iter().chain([Action::MaintenanceForce, Action::MaintenanceDownload]) {
            for (role, system) in [(Role::Admin, false), (Role::Service, true), (Role::Manager, true)] {
                assert!(allowed(&caller(role, system), action), "{action:?} {role:?}");
            }
            for (role, system) in [(Role::Reader, true), (Role::Member, true), (Role::Service, false)] {
                assert!(!allowed(&caller(role, system), action), "{action:?} {role:?}");
            }
        }
        for action in [Action::MaintenanceList, Action::MaintenanceDetail, Action::MaintenanceSteps] {
            assert!(allowed(&caller(Role::Reader, true), action));
            assert!(!allowed(&caller(Role::Manager, false), action));
        }
    }

    #[test]
    fn projects_speak_for_themselves_only() {
        let of = |role, project: &str| Caller { project: Some(project.into()), ..caller(role, false) };
        for (action, reads) in PROJECT.iter().map(|(action, roles)| (*action, roles.contains(&Role::Reader))) {
            assert!(allowed_in(&of(Role::Member, "p"), action, "p"), "{action:?}");
            assert!(!allowed_in(&of(Role::Member, "p"), action, "q"), "{action:?}");
            assert!(!allowed_in(&caller(Role::Member, false), action, "p"), "{action:?}");
            assert_eq!(allowed_in(&of(Role::Reader, "p"), action, "p"), reads, "{action:?}");
            assert!(allowed_in(&of(Role::Admin, "q"), action, "p"), "{action:?}");
        }
        assert!(!allowed_in(&of(Role::Manager, "p"), Action::MaintenanceCreate, "p"));
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
