//! The table of the dialect's URLs (spec/maintenance.md §1.2).
//!
//! Our own table rather than a router's: a slash more, at the end or in the middle, makes no difference and leads to no
//! redirection, and every refusal has the dialect's body.

use hostler_common::id::{SessionId, uuid_like};
use hostler_core::policy::Action;
use http::Method;

use super::error::Failure;
use crate::api::url::decode;

/// A resource of the dialect. Texts are decoded and not yet looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Resource {
    /// `/`.
    Root,
    /// `/v1`.
    Version,
    /// `/healthcheck`.
    Health,
    /// `/v1/capabilities`.
    Capabilities,
    /// `/v1/maintenance`.
    Sessions,
    /// `/v1/maintenance/{session}`.
    Session(String),
    /// `/v1/maintenance/{session}/{part}`.
    Part(String, Part),
    /// `/v1/maintenance/{session}/{project}`.
    Project(String, String),
    /// `/v1/maintenance/{session}/{project}/{instance}`.
    ProjectInstance(String, String, String),
    /// `/v1/instance`.
    Instances,
    /// `/v1/instance/{instance}`.
    Instance(String),
    /// `/v1/instance_group`.
    Groups,
    /// `/v1/instance_group/{group}`.
    Group(String),
    /// `/v1/subscription`.
    Subscriptions,
    /// `/v1/subscription/{id}`.
    Subscription(String),
    /// `/v1/events`.
    Events,
}

/// Something of a session. These words stand where a project could, and no project is called so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Everything about it.
    Detail,
    /// Its history.
    Steps,
    /// Its hosts.
    Hosts,
    /// What happened in it.
    Events,
    /// What comes next.
    Plan,
}

impl Part {
    fn from_name(name: &str) -> Option<Self> {
        match name {
            "detail" => Some(Self::Detail),
            "steps" => Some(Self::Steps),
            "hosts" => Some(Self::Hosts),
            "events" => Some(Self::Events),
            "plan" => Some(Self::Plan),
            _ => None,
        }
    }
}

/// Who may make a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Right {
    /// Everybody.
    Public,
    /// Everybody who proves who they are.
    Known,
    /// Those who may do that.
    Anywhere(Action),
    /// Those who may do that, anywhere or for the project that it is about. The handler knows the project.
    InProject(Action),
}

impl Resource {
    /// The resource of a path, which is counted from the root of the dialect.
    ///
    /// # Errors
    /// 400 for control characters, 404 where there is nothing.
    pub(super) fn of(path: &str) -> Result<Self, Failure> {
        let words: Vec<String> =
            path.split('/').filter(|word| !word.is_empty()).map(|word| decode(word, false)).collect();
        if words.iter().any(|word| word.chars().any(char::is_control)) {
            return Err(Failure::unreadable("the path may not contain control characters"));
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let own = |text: &str| text.to_owned();
        Ok(match words.as_slice() {
            [] => Self::Root,
            ["v1"] => Self::Version,
            ["healthcheck"] | ["v1", "healthcheck"] => Self::Health,
            ["v1", "capabilities"] => Self::Capabilities,
            ["v1", "maintenance"] => Self::Sessions,
            ["v1", "maintenance", session] => Self::Session(own(session)),
            ["v1", "maintenance", session, third] => match Part::from_name(third) {
                Some(part) => Self::Part(own(session), part),
                None => Self::Project(own(session), own(third)),
            },
            ["v1", "maintenance", session, project, instance] if Part::from_name(project).is_none() => {
                Self::ProjectInstance(own(session), own(project), own(instance))
            }
            ["v1", "instance"] => Self::Instances,
            ["v1", "instance", instance] => Self::Instance(own(instance)),
            ["v1", "instance_group"] => Self::Groups,
            ["v1", "instance_group", group] => Self::Group(own(group)),
            ["v1", "subscription"] => Self::Subscriptions,
            ["v1", "subscription", id] => Self::Subscription(own(id)),
            ["v1", "events"] => Self::Events,
            _ => return Err(Failure::not_found("there is nothing under this path")),
        })
    }

    /// The value of `Allow`.
    pub(super) fn allow(&self) -> &'static str {
        match self {
            Self::Root | Self::Version | Self::Health | Self::Capabilities => "GET, HEAD, OPTIONS",
            Self::Part(..) | Self::Instances | Self::Groups | Self::Events => "GET, HEAD, OPTIONS",
            Self::Sessions | Self::Subscriptions => "GET, HEAD, OPTIONS, POST",
            Self::Session(_) => "DELETE, GET, HEAD, OPTIONS, POST, PUT",
            Self::Project(..) | Self::ProjectInstance(..) => "GET, HEAD, OPTIONS, PUT",
            Self::Instance(_) | Self::Group(_) => "DELETE, GET, HEAD, OPTIONS, PUT",
            Self::Subscription(_) => "DELETE, GET, HEAD, OPTIONS",
        }
    }

    /// Whether the resource has that method.
    pub(super) fn allows(&self, method: &Method) -> bool {
        self.allow().split(", ").any(|known| known == method.as_str())
    }

    /// Who may make this request (§1.12).
    pub(super) fn right(&self, method: &Method) -> Right {
        let changes = !matches!(*method, Method::GET | Method::HEAD);
        match self {
            Self::Root | Self::Version | Self::Health => Right::Public,
            Self::Capabilities => Right::Known,
            Self::Sessions if changes => Right::Anywhere(Action::MaintenanceCreate),
            Self::Sessions => Right::Anywhere(Action::MaintenanceList),
            Self::Session(_) if *method == Method::DELETE => Right::Anywhere(Action::MaintenanceDelete),
            Self::Session(_) if changes => Right::Anywhere(Action::MaintenanceUpdate),
            Self::Session(_) => Right::Anywhere(Action::MaintenanceGet),
            Self::Part(_, Part::Steps) => Right::Anywhere(Action::MaintenanceSteps),
            Self::Part(_, Part::Events) => Right::Anywhere(Action::MaintenanceEvents),
            Self::Part(..) => Right::Anywhere(Action::MaintenanceDetail),
            Self::Project(..) if changes => Right::InProject(Action::MaintenanceProjectPut),
            Self::ProjectInstance(..) if changes => Right::InProject(Action::MaintenanceInstancePut),
            Self::Project(..) | Self::ProjectInstance(..) => Right::InProject(Action::MaintenanceProjectGet),
            Self::Instance(_) if changes => Right::InProject(Action::InstanceChange),
            Self::Instances | Self::Instance(_) => Right::InProject(Action::InstanceRead),
            Self::Group(_) if changes => Right::InProject(Action::InstanceGroupChange),
            Self::Groups | Self::Group(_) => Right::InProject(Action::InstanceGroupRead),
            Self::Subscriptions | Self::Subscription(_) | Self::Events => Right::InProject(Action::MaintenanceEvents),
        }
    }
}

/// The session of a path.
///
/// # Errors
/// 404: what is no id is the id of no session.
pub(super) fn session_id(text: &str) -> Result<SessionId, Failure> {
    uuid_like(text).map(SessionId).ok_or_else(Failure::no_session)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_with_any_slashes() {
        let text = || "x".to_owned();
        let table = [
            ("", Resource::Root),
            ("/v1", Resource::Version),
            ("/healthcheck", Resource::Health),
            ("/v1/capabilities", Resource::Capabilities),
            ("/v1/maintenance", Resource::Sessions),
            ("/v1/maintenance/x", Resource::Session(text())),
            ("/v1/maintenance/x/detail", Resource::Part(text(), Part::Detail)),
            ("/v1/maintenance/x/steps", Resource::Part(text(), Part::Steps)),
            ("/v1/maintenance/x/hosts", Resource::Part(text(), Part::Hosts)),
            ("/v1/maintenance/x/events", Resource::Part(text(), Part::Events)),
            ("/v1/maintenance/x/plan", Resource::Part(text(), Part::Plan)),
            ("/v1/maintenance/x/p%2d1", Resource::Project(text(), "p-1".into())),
            ("/v1/maintenance/x/p/i", Resource::ProjectInstance(text(), "p".into(), "i".into())),
            ("/v1/instance", Resource::Instances),
            ("/v1/instance/x", Resource::Instance(text())),
            ("/v1/instance_group", Resource::Groups),
            ("/v1/instance_group/x", Resource::Group(text())),
            ("/v1/subscription", Resource::Subscriptions),
            ("/v1/subscription/x", Resource::Subscription(text())),
            ("/v1/events", Resource::Events),
        ];
        for (path, want) in table {
            for path in [path.to_owned(), format!("{path}/"), format!("{}//", path.replace('/', "//"))] {
                assert_eq!(Resource::of(&path).unwrap(), want, "{path}");
            }
        }
        for path in ["/v2", "/v1/x", "/v1/maintenance/x/p/i/y", "/v1/instance/x/y", "/v1/maintenance/x/detail/y"] {
            assert_eq!(Resource::of(path).unwrap_err().status(), 404, "{path}");
        }
        assert_eq!(Resource::of("/v1/instance/a%0ab").unwrap_err().status(), 400);
    }
}
