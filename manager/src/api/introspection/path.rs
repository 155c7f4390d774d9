//! The table of the dialect's URLs (spec/introspection.md §1.6).
//!
//! Our own table rather than a router's: the version is checked before an unknown URL is refused, and every refusal has
//! the dialect's body.

use hostler_core::policy::Action;
use http::Method;

use super::error::Failure;
use crate::api::url::decode;
use crate::store::introspection::DataKind;

pub(super) use crate::api::url::parameter;

/// A resource of the dialect. Texts are decoded and not yet looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Resource {
    /// `/`.
    Root,
    /// `/v1`.
    Version,
    /// `/v1/introspection`.
    Statuses,
    /// `/v1/introspection/{node}`.
    Status(String),
    /// `/v1/introspection/{node}/abort`.
    Abort(String),
    /// `/v1/introspection/{node}/data` and `…/data/unprocessed`.
    Data(String, DataKind),
    /// `/v1/continue`.
    Continue,
    /// `/v1/rules`.
    Rules,
    /// `/v1/rules/{uuid}`.
    Rule(String),
}

impl Resource {
    /// The resource of a path, which is counted from the root of the dialect. One slash at the end does not count.
    ///
    /// # Errors
    /// 404 with the dialect's text.
    pub(super) fn of(path: &str) -> Result<Self, Failure> {
        let path = path.strip_prefix('/').unwrap_or(path);
        if path.is_empty() {
            return Ok(Self::Root);
        }
        let path = path.strip_suffix('/').unwrap_or(path);
        let segments: Vec<String> = path.split('/').map(|segment| decode(segment, false)).collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        match segments.as_slice() {
            ["v1"] => Ok(Self::Version),
            [other] if !other.is_empty() => Err(Failure::not_found(format!("Version {other} not found."))),
            ["v1", "introspection"] => Ok(Self::Statuses),
            ["v1", "introspection", node] if !node.is_empty() => Ok(Self::Status((*node).to_owned())),
            ["v1", "introspection", node, "abort"] if !node.is_empty() => Ok(Self::Abort((*node).to_owned())),
            ["v1", "introspection", node, "data"] if !node.is_empty() => {
                Ok(Self::Data((*node).to_owned(), DataKind::Processed))
            }
            ["v1", "introspection", node, "data", "unprocessed"] if !node.is_empty() => {
                Ok(Self::Data((*node).to_owned(), DataKind::Unprocessed))
            }
            ["v1", "continue"] => Ok(Self::Continue),
            ["v1", "rules"] => Ok(Self::Rules),
            ["v1", "rules", rule] if !rule.is_empty() => Ok(Self::Rule((*rule).to_owned())),
            _ => Err(Failure::not_found(
                "404 Not Found: The requested URL was not found on the server. If you entered the URL manually please \
                 check your spelling and try again.",
            )),
        }
    }

    /// The value of `Allow`.
    pub(super) fn allow(&self) -> &'static str {
        match self {
            Self::Root | Self::Version | Self::Statuses | Self::Data(_, DataKind::Processed) => "GET, HEAD, OPTIONS",
            Self::Status(_) | Self::Data(_, DataKind::Unprocessed) => "GET, HEAD, OPTIONS, POST",
            Self::Abort(_) | Self::Continue => "OPTIONS, POST",
            Self::Rules | Self::Rule(_) => "DELETE, GET, HEAD, OPTIONS, POST",
        }
    }

    /// Whether the resource has that method.
    pub(super) fn allows(&self, method: &Method) -> bool {
        self.allow().split(", ").any(|known| known == method.as_str())
    }

    /// What a caller must be allowed to do for this request; `None` where everybody may (§1.4).
    pub(super) fn action(&self, method: &Method) -> Option<Action> {
        match self {
            Self::Root | Self::Version | Self::Continue => None,
            Self::Statuses => Some(Action::IntrospectionStatus),
            Self::Status(_) if method == Method::POST => Some(Action::IntrospectionStart),
            Self::Status(_) => Some(Action::IntrospectionStatus),
            Self::Abort(_) => Some(Action::IntrospectionAbort),
            Self::Data(..) if method == Method::POST => Some(Action::IntrospectionReapply),
            Self::Data(..) => Some(Action::IntrospectionData),
            Self::Rules | Self::Rule(_) => Some(Action::IntrospectionRule),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_with_and_without_a_slash() {
        let node = || "ceph-07".to_owned();
        let table = [
            ("", Resource::Root),
            ("/v1", Resource::Version),
            ("/v1/introspection", Resource::Statuses),
            ("/v1/introspection/ceph%2d07", Resource::Status(node())),
            ("/v1/introspection/ceph-07/abort", Resource::Abort(node())),
            ("/v1/introspection/ceph-07/data", Resource::Data(node(), DataKind::Processed)),
            ("/v1/introspection/ceph-07/data/unprocessed", Resource::Data(node(), DataKind::Unprocessed)),
            ("/v1/continue", Resource::Continue),
            ("/v1/rules", Resource::Rules),
            ("/v1/rules/x", Resource::Rule("x".into())),
        ];
        for (path, want) in table {
            assert_eq!(Resource::of(path).unwrap(), want, "{path}");
            assert_eq!(Resource::of(&format!("{path}/")).unwrap(), want, "{path}/");
        }
        for path in ["/v1//", "/v1/introspection//", "/v1/introspection/x/y", "/v1/introspection//abort", "/a/b", "//"]
        {
            assert!(Resource::of(path).is_err(), "{path}");
        }
    }
}
