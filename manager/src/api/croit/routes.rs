//! The list of all routes of the dialect.

use axum::routing::{MethodRouter, delete, get, patch, post, put};
use hostler_core::policy::Action;

use super::{Croit, api_token, audit, document, hook, login, operation, run, script, secret, server, setting, task};

/// What a route answers when all is well; for the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A status and no body.
    Empty(u16),
    /// One thing of that schema.
    One(&'static str),
    /// A bare array.
    List(&'static str),
    /// A bare array, or a page where one is asked for.
    ListOrPage(&'static str),
    /// A page.
    Page(&'static str),
    /// Plain text.
    Text,
    /// Server-sent events.
    Events,
}

/// One thing that can be asked.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// The method.
    pub method: &'static str,
    /// The path below `/api`, with its variable segments in braces.
    pub path: &'static str,
    /// What a caller must be allowed to do; `None` means that everybody may.
    pub action: Option<Action>,
    /// Under which heading it stands.
    pub tag: &'static str,
    /// What it does.
    pub summary: &'static str,
    /// The schema of its body; empty if it takes none.
    pub body: &'static str,
    /// What it answers.
    pub answer: Answer,
    /// Parameters behind the question mark besides `pagination`.
    pub query: &'static [&'static str],
    /// Whether there is a newer way.
    pub deprecated: bool,
    pub(super) handler: fn() -> MethodRouter<Croit>,
}

impl Route {
    const fn takes(self, body: &'static str) -> Self {
        Self { body, ..self }
    }

    const fn asks(self, query: &'static [&'static str]) -> Self {
        Self { query, ..self }
    }

    const fn old(self) -> Self {
        Self { deprecated: true, ..self }
    }
}

type Handler = fn() -> MethodRouter<Croit>;

macro_rules! route {
    ($method:ident $path:literal, $action:expr, $tag:literal, $answer:expr, $summary:literal, $handler:path) => {
        Route {
            method: stringify!($method),
            path: $path,
            action: $action,
            tag: $tag,
            summary: $summary,
            body: "",
            answer: $answer,
            query: &[],
            deprecated: false,
            handler: route!(@$method $handler),
        }
    };
    (@GET $handler:path) => { (|| get($handler)) as Handler };
    (@POST $handler:path) => { (|| post($handler)) as Handler };
    (@PUT $handler:path) => { (|| put($handler)) as Handler };
    (@PATCH $handler:path) => { (|| patch($handler)) as Handler };
    (@DELETE $handler:path) => { (|| delete($handler)) as Handler };
}

use Action::{
    ApiToken, AuditRead, ClusterRead, HookChange, HookRead, HostRead, HostRedetect, ScriptChange, ScriptRead,
    ScriptRun, Secret, StepRun, TaskAnswer, TaskChange, TaskRead,
};
use Answer::{Empty, Events, List, ListOrPage, One, Page, Text};

/// Everything that can be asked.
#[rustfmt::skip]
pub const ROUTES: &[Route] = &[
    route!(POST "/auth/login", None, "authentication", One("Token"), "Log in with HTTP Basic.", login::basic),
    route!(POST "/auth/login-form", None, "authentication", One("Token"), "Log in with a form.", login::form).takes("LoginForm"),
    route!(POST "/auth/logout", Some(TaskRead), "authentication", Empty(201), "End the token.", login::logout),
    route!(GET "/auth/token-info", Some(TaskRead), "authentication", One("TokenInfo"), "Say whose the token is.", login::token_info),
    route!(GET "/api-tokens", Some(ApiToken), "authentication", ListOrPage("ApiToken"), "List API tokens.", api_token::list),
    route!(POST "/api-tokens", Some(ApiToken), "authentication", One("TokenText"), "Make an API token; it is shown this once.", api_token::create).takes("ApiTokenRequest"),
    route!(PATCH "/api-tokens/{id}", Some(ApiToken), "authentication", Empty(204), "Replace the roles of an API token.", api_token::update).takes("ApiTokenUpdate"),
    route!(DELETE "/api-tokens/{id}", Some(ApiToken), "authentication", Empty(204), "Remove an API token.", api_token::remove),

    route!(GET "/events/hook-scripts", Some(ScriptRead), "hooks", Page("ScriptInfo"), "List scripts with their hooks.", script::list_with_hooks),
    route!(POST "/events/hook-scripts", Some(ScriptChange), "hooks", One("GeneratedId"), "Make a script and its hooks together.", script::create).takes("HookScriptRequest"),
    route!(PATCH "/events/hook-scripts/{id}", Some(ScriptChange), "hooks", Empty(204), "Change a script; hooks that are named replace all of its hooks.", script::update).takes("HookScriptRequest"),
    route!(GET "/events/scripts", Some(ScriptRead), "hooks", ListOrPage("ScriptIdentifier"), "List scripts.", script::list).old(),
    route!(POST "/events/scripts", Some(ScriptChange), "hooks", One("GeneratedId"), "Make a script.", script::create).takes("ScriptRequest").old(),
    route!(POST "/events/scripts/execute", Some(ScriptRun), "hooks", One("ManagedTask"), "Run a script on servers.", run::execute).takes("RunScriptRequest"),
    route!(GET "/events/scripts/{id}", Some(ScriptRead), "hooks", Text, "Read a script.", script::contents).asks(&["revision"]),
    route!(PATCH "/events/scripts/{id}", Some(ScriptChange), "hooks", Empty(204), "Rename or replace a script.", script::update).takes("ScriptRequest").old(),
    route!(DELETE "/events/scripts/{id}", Some(ScriptChange), "hooks", Empty(204), "Remove a script; with force its hooks too.", script::remove).asks(&["force"]),
    route!(GET "/events/scripts/{id}/revisions", Some(ScriptRead), "hooks", List("ScriptRevision"), "List the revisions of a script.", script::revisions),
    route!(GET "/events/hooks", Some(HookRead), "hooks", ListOrPage("HookInfo"), "List hooks.", hook::list).old(),
    route!(POST "/events/hooks", Some(HookChange), "hooks", Empty(201), "Bind a script to an event.", hook::create).takes("HookRequest").old(),
    route!(GET "/events/hooks/hook-points", Some(HookRead), "hooks", List("HookPointInfo"), "List the events to which scripts can be bound.", hook::points).old(),
    route!(PATCH "/events/hooks/{id}", Some(HookChange), "hooks", Empty(204), "Change a hook.", hook::update).takes("HookUpdateRequest").old(),
    route!(DELETE "/events/hooks/{id}", Some(HookChange), "hooks", Empty(204), "Remove a hook.", hook::remove).old(),
    route!(POST "/events/hooks/{id}/test", Some(ScriptRun), "hooks", One("ManagedTask"), "Run a hook with sample values.", run::test).takes("HookTestRequest"),

    route!(GET "/secrets", Some(Secret), "secrets", ListOrPage("SecretInfo"), "List secrets without their values.", secret::list),
    route!(PUT "/secrets/{id}", Some(Secret), "secrets", Empty(204), "Store a secret under that name.", secret::put).takes("SecretRequest"),
    route!(DELETE "/secrets/{id}", Some(Secret), "secrets", Empty(204), "Remove a secret.", secret::remove),

    route!(GET "/tasks", Some(TaskRead), "tasks", Page("TaskResponse"), "List tasks, newest first unless an order is asked for.", task::list),
    route!(GET "/tasks/active", Some(TaskRead), "tasks", List("TaskResponse"), "List tasks that have not ended.", task::active),
    route!(GET "/tasks/status", Some(TaskRead), "tasks", List("TaskResponse"), "Show the tasks of those numbers.", task::status).asks(&["id"]),
    route!(GET "/tasks/{id}", Some(TaskRead), "tasks", One("TaskResponse"), "Show a task.", task::show),
    route!(POST "/tasks/{id}/answer", Some(TaskAnswer), "tasks", Empty(201), "Answer the question of a task.", task::answer).takes("TaskQuestionAnswer"),
    route!(POST "/tasks/{id}/cancel", Some(TaskChange), "tasks", Empty(201), "Ask a task to stop.", task::cancel),
    route!(GET "/tasks/{id}/targets", Some(TaskRead), "tasks", List("Target"), "List the servers of a run.", task::targets).asks(&["after", "limit"]),
    route!(GET "/tasks/{id}/output", Some(TaskRead), "tasks", Text, "Read what the script of a run wrote on a server.", task::output).asks(&["server", "offset", "follow", "pieces"]),
    route!(GET "/tasks/{id}/events", Some(TaskRead), "tasks", Events, "Follow a task until it has ended.", task::events).asks(&["output", "bytes"]),

    route!(GET "/servers", Some(HostRead), "servers", ListOrPage("Server"), "List servers.", server::list),
    route!(GET "/servers/{id}", Some(HostRead), "servers", One("Server"), "Show a server.", server::show),
    route!(POST "/servers/{id}/redetect", Some(HostRedetect), "servers", Empty(201), "Have the facts of a server read anew.", server::redetect),
    route!(GET "/servers/{id}/services", Some(HostRead), "servers", List("Service"), "List the Ceph daemons of a server.", server::services),
    route!(POST "/servers/{id}/services/{service}/{action}", Some(StepRun), "servers", Empty(201), "Start, stop or restart a Ceph daemon.", operation::service),
    route!(POST "/servers/{id}/steps", Some(StepRun), "servers", One("ManagedTask"), "Make a change of a server or of its cluster.", operation::step).takes("StepRequest"),

    route!(GET "/maintenance/flags", Some(ClusterRead), "maintenance", List("Flag"), "List the flags of the cluster.", operation::flags).asks(&["cluster"]),
    route!(PUT "/maintenance/flags/{flag}/{change}", Some(StepRun), "maintenance", Empty(204), "Set or unset a flag of the cluster.", operation::flag).asks(&["cluster"]),

    route!(GET "/maintenance/recovery-speed", Some(ClusterRead), "maintenance", One("RecoverySpeed"), "Say how much of the OSDs' work may be recovery.", setting::recovery_speed).asks(&["cluster"]),
    route!(PUT "/maintenance/recovery-speed", Some(StepRun), "maintenance", Empty(204), "Change how much of the OSDs' work may be recovery.", setting::set_recovery_speed).takes("RecoverySpeed").asks(&["cluster"]),
    route!(GET "/maintenance/osd-full-ratios", Some(ClusterRead), "maintenance", One("FullRatios"), "Say from which fill on OSDs count as full.", setting::full_ratios).asks(&["cluster"]),
    route!(PATCH "/maintenance/osd-full-ratios", Some(StepRun), "maintenance", Empty(204), "Change from which fill on OSDs count as full.", setting::set_full_ratios).takes("FullRatios").asks(&["cluster"]),
    route!(GET "/maintenance/max-mds", Some(ClusterRead), "maintenance", List("MaxMds"), "Say how many metadata servers of each file system are active.", setting::max_mds).asks(&["cluster"]),
    route!(PUT "/maintenance/max-mds", Some(StepRun), "maintenance", Empty(204), "Change how many metadata servers of a file system are active.", setting::set_max_mds).takes("MaxMds").asks(&["cluster"]),
    route!(GET "/maintenance/allow-standby-replay", Some(ClusterRead), "maintenance", List("StandbyReplay"), "Say whether standby metadata servers follow the active ones.", setting::standby_replay).asks(&["cluster"]),
    route!(PUT "/maintenance/allow-standby-replay", Some(StepRun), "maintenance", Empty(204), "Change whether standby metadata servers of a file system follow the active ones.", setting::set_standby_replay).takes("StandbyReplay").asks(&["cluster"]),
    route!(GET "/maintenance/min-compat-client", Some(ClusterRead), "maintenance", One("MinCompatClient"), "Say which release clients must have.", setting::min_compat_client).asks(&["cluster"]),
    route!(PUT "/maintenance/min-compat-client", Some(StepRun), "maintenance", Empty(204), "Change which release clients must have.", setting::set_min_compat_client).takes("MinCompatClient").asks(&["cluster"]),
    route!(POST "/maintenance/osd/{id}/{how}", Some(StepRun), "maintenance", Empty(201), "Have an OSD scrubbed or deep-scrubbed.", setting::scrub).asks(&["cluster"]),

    route!(GET "/audit", Some(AuditRead), "audit", List("AuditInfo"), "List calls that could change something, newest first.", audit::list).asks(&["limit", "offset"]),
    route!(GET "/audit/{id}", Some(AuditRead), "audit", One("AuditInfo"), "Show such a call.", audit::show),

    route!(GET "/swagger.json", None, "document", One("Document"), "This document.", document::show),
    route!(GET "/openapi.json", None, "document", One("Document"), "This document.", document::show),
];
