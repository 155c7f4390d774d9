//! What is the same for every request: the order of checks, `HEAD` and `OPTIONS`, the last word on panics
//! (spec/maintenance.md §1.1, §1.2).

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use bytes::Bytes;
use futures::FutureExt as _;
use hostler_core::policy::{self, Action, Caller, Role};
use http::header::{ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use tracing::Instrument as _;

use super::error::Failure;
use super::path::{Part, Resource, Right, session_id};
use super::{Dialect, detail, discovery, events, history, project, record, render, session, subscription};
use crate::api::answer::without_body;
use crate::api::auth::{AuthError, authenticate, challenge};
use crate::api::bounded;
use crate::api::links::Links;
use crate::api::peer::Peer;
use crate::api::request_id::{OPENSTACK_HEADER, RequestId};
use crate::capability::{self, Capability};
use crate::engine::Engine;

/// The header with a token.
const TOKEN: &str = "x-auth-token";

/// The largest body, in bytes.
const BODY_MAX: usize = 1 << 20;

/// How long a request may take after its body arrived.
const PATIENCE: Duration = Duration::from_secs(90);

/// A request whose sender is known where they have to be.
pub(super) struct Call<'a> {
    pub(super) dialect: &'a Dialect,
    pub(super) parts: &'a Parts,
    /// Who asks; `None` where everybody may.
    pub(super) caller: Option<Caller>,
    /// The one question that the sender may look at and answer, where a link gives them that right and nothing else does.
    pub(super) granted: Option<Capability>,
    /// The body; empty where none belongs.
    pub(super) body: Bytes,
    links: Links,
}

impl Call<'_> {
    /// The engine.
    pub(super) fn engine(&self) -> &Engine {
        &self.dialect.api.engine
    }

    /// The settings of maintenance.
    pub(super) fn settings(&self) -> &crate::config::Maintenance {
        &self.dialect.api.config.maintenance
    }

    /// The caller's name for the audit trail.
    pub(super) fn actor(&self) -> &str {
        self.caller.as_ref().map_or("anonymous", |caller| caller.name.as_str())
    }

    /// The project of the caller.
    pub(super) fn project(&self) -> Option<&str> {
        self.caller.as_ref().and_then(|caller| caller.project.as_deref())
    }

    /// Whether the caller may do that to things of everybody.
    pub(super) fn may_anywhere(&self, action: Action) -> bool {
        self.caller.as_ref().is_some_and(|caller| policy::allowed(caller, action))
    }

    /// Lets the caller do that to something of a project.
    ///
    /// # Errors
    /// 403; or `hidden` for what is another project's, where that is nobody's business (§1.12).
    pub(super) fn must_in(&self, action: Action, project: &str, hidden: Failure) -> Result<(), Failure> {
        let Some(caller) = &self.caller else { return Err(denied("anonymous", action)) };
        if policy::allowed_in(caller, action, project) {
            return Ok(());
        }
        let own = caller.project.as_deref() == Some(project);
        tracing::info!(caller = caller.name, action = action.name(), "denied");
        Err(if self.settings().hide_foreign && !own { hidden } else { denied(&caller.name, action) })
    }

    /// Lets the caller do something that takes a right and one of the roles that the settings name for it.
    ///
    /// # Errors
    /// 403.
    pub(super) fn must_specially(&self, action: Action) -> Result<(), Failure> {
        let Some(caller) = &self.caller else { return Err(denied("anonymous", action)) };
        let roles = &self.settings().force_roles;
        let has = roles.iter().filter_map(|role| Role::from_name(role)).any(|role| caller.has(role));
        if has && policy::allowed(caller, action) { Ok(()) } else { Err(denied(&caller.name, action)) }
    }

    /// An absolute link to a path below the dialect's root, which begins with a slash.
    pub(super) fn link(&self, path: &str) -> String {
        match &self.settings().public_url {
            Some(base) => format!("{}{path}", base.trim_end_matches('/')),
            None => self.links.absolute(path),
        }
    }

    /// The first value of a parameter behind the question mark.
    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        crate::api::url::parameter(self.parts.uri.query(), name).filter(|value| !value.is_empty())
    }
}

fn denied(name: &str, action: Action) -> Failure {
    Failure::denied(format!("{name} may not do {}", action.name()))
}

/// Answers any request to the dialect.
pub(super) async fn dispatch(State(dialect): State<Arc<Dialect>>, request: Request) -> Response<Body> {
    let id = request.extensions().get().cloned().unwrap_or_else(|| RequestId::of(request.headers()));
    let head = request.method() == Method::HEAD;
    let span = tracing::info_span!("maintenance", request = id.as_str());
    let serving = AssertUnwindSafe(serve(&dialect, request)).catch_unwind().instrument(span.clone());
    let answer = serving.await.unwrap_or_else(|_| {
        span.in_scope(|| tracing::error!("the handler panicked"));
        Err(Failure::internal())
    });
    let mut response = answer.unwrap_or_else(|failure| failure.into_response(&id));
    let headers = response.headers_mut();
    headers.insert(OPENSTACK_HEADER, id.value());
    headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if head { without_body(response).await } else { response }
}

async fn serve(dialect: &Dialect, request: Request) -> Result<Response<Body>, Failure> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    let resource = Resource::of(path.strip_prefix(&dialect.mount).unwrap_or(path))?;
    let allow = HeaderValue::from_static(resource.allow());
    if !resource.allows(&parts.method) {
        let text = "this path does not take this method; see the header Allow";
        let failure = Failure::new(StatusCode::METHOD_NOT_ALLOWED, "method.unknown", text);
        return Err(failure.with_header(ALLOW, allow));
    }
    if parts.method == Method::OPTIONS {
        let mut response = render::json(&serde_json::json!({}));
        response.headers_mut().insert(ALLOW, allow);
        return Ok(response);
    }
    let peer = Peer::of(&parts);
    let right = resource.right(&parts.method);
    let granted = granted(dialect, &parts, &resource);
    let caller = match right {
        Right::Public => None,
        Right::InProject(_) if granted.is_some() => bearer(&resource),
        Right::Known | Right::Anywhere(_) | Right::InProject(_) => Some(caller(dialect, &parts, &peer).await?),
    };
    let body = bounded::read(body, BODY_MAX).await?;
    if !matches!(parts.method, Method::POST | Method::PUT) && !body.is_empty() {
        return Err(Failure::body_unwanted());
    }
    if let (Right::Anywhere(action), Some(caller)) = (right, &caller)
        && !policy::allowed(caller, action)
    {
        tracing::info!(caller = caller.name, action = action.name(), "denied");
        return Err(denied(&caller.name, action));
    }
    let links = Links::of(&dialect.api.config, &dialect.mount, &parts, &peer);
    let call = Call { dialect, parts: &parts, caller, granted, body, links };
    tokio::time::timeout(PATIENCE, handle(&call, &resource))
        .await
        .unwrap_or_else(|_| Err(Failure::unavailable("the request took too long; look before trying again")))
}

async fn handle(call: &Call<'_>, resource: &Resource) -> Result<Response<Body>, Failure> {
    // `HEAD` is left: what does not change anything is answered like `GET`.
    let method = &call.parts.method;
    let (delete, change) = (*method == Method::DELETE, matches!(*method, Method::POST | Method::PUT));
    match resource {
        Resource::Root => Ok(discovery::versions(call)),
        Resource::Version => Ok(discovery::version(call)),
        Resource::Health => discovery::health(call).await,
        Resource::Capabilities => discovery::capabilities(call).await,
        Resource::Sessions if change => session::create(call).await,
        Resource::Sessions => session::list(call).await,
        Resource::Session(id) if delete => session::delete(call, id).await,
        Resource::Session(id) if change => session::update(call, id).await,
        Resource::Session(id) => session::show(call, id).await,
        Resource::Part(id, Part::Detail) => detail::show(call, id).await,
        Resource::Part(id, Part::Hosts) => detail::hosts(call, id).await,
        Resource::Part(id, Part::Steps) => history::steps(call, id).await,
        Resource::Part(id, Part::Events) => history::events(call, id).await,
        Resource::Part(id, Part::Plan) => session::plan(call, id).await,
        Resource::Project(id, project) if change => project::answer(call, id, project, None).await,
        Resource::Project(id, project) => project::show(call, id, project).await,
        Resource::ProjectInstance(id, project, one) if change => project::answer(call, id, project, Some(one)).await,
        Resource::ProjectInstance(id, project, one) => project::show_one(call, id, project, one).await,
        Resource::Instances => record::instance_list(call).await,
        Resource::Instance(id) if delete => record::instance_delete(call, id).await,
        Resource::Instance(id) if change => record::instance_put(call, id).await,
        Resource::Instance(id) => record::instance_show(call, id).await,
        Resource::Groups => record::group_list_all(call).await,
        Resource::Group(id) if delete => record::group_remove(call, id).await,
        Resource::Group(id) if change => record::group_replace(call, id).await,
        Resource::Group(id) => record::group_show(call, id).await,
        Resource::Subscriptions if change => subscription::create(call).await,
        Resource::Subscriptions => subscription::list(call).await,
        Resource::Subscription(id) if delete => subscription::delete(call, id).await,
        Resource::Subscription(id) => subscription::show(call, id).await,
        Resource::Events => events::follow(call).await,
    }
}

/// What a link allows whose bearer shows nothing else.
fn granted(dialect: &Dialect, parts: &Parts, resource: &Resource) -> Option<Capability> {
    let api = &dialect.api;
    let proves = parts.headers.contains_key(TOKEN) || parts.headers.contains_key(AUTHORIZATION);
    if !api.config.maintenance.capability_links || proves {
        return None;
    }
    let path = match resource {
        Resource::Project(session, project) => format!("{}/{project}", session_id(session).ok()?),
        Resource::ProjectInstance(session, project, one) => format!("{}/{project}/{one}", session_id(session).ok()?),
        _ => return None,
    };
    let text = crate::api::url::parameter(parts.uri.query(), capability::PARAMETER)?;
    let right = Capability::read(api.hooks.vault(), &format!("/v1/maintenance/{path}"), &text)?;
    (api.engine.clock.now() <= right.until).then_some(right)
}

/// The bearer of a link: somebody of its project, who may do there what the link says and nothing else.
fn bearer(resource: &Resource) -> Option<Caller> {
    let (Resource::Project(_, project) | Resource::ProjectInstance(_, project, _)) = resource else { return None };
    let name = format!("link:{project}");
    crate::api::audit::called_by(&name, false);
    Some(Caller { name, roles: vec![Role::Member], system_scope: false, project: Some(project.clone()) })
}

/// Who asks.
async fn caller(dialect: &Dialect, parts: &Parts, peer: &Peer) -> Result<Caller, Failure> {
    let api = &dialect.api;
    authenticate(api, &parts.headers, peer).await.map_err(|error| match error {
        AuthError::Missing | AuthError::Invalid => {
            let text = format!("{error}: send a valid token in X-Auth-Token");
            let failure = Failure::new(StatusCode::UNAUTHORIZED, "token.missing", text);
            match HeaderValue::from_str(&challenge(api, &parts.headers, peer)) {
                Ok(challenge) => failure.with_header(WWW_AUTHENTICATE, challenge),
                Err(_) => failure,
            }
        }
        AuthError::Malformed(text) => Failure::unreadable(text),
        AuthError::Unavailable(text) => Failure::unavailable(text),
    })
}
