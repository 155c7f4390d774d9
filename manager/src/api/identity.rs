//! The identity dialect: as much of Keystone v3 as the stock clients need to log in and to manage users, projects, roles
//! and application credentials (design §8). One domain, a fixed list of roles, a catalogue that cannot be changed.

mod assignments;
mod call;
mod catalog;
mod credentials;
mod discovery;
mod failure;
mod fields;
mod fixed;
mod grants;
mod login;
mod own;
mod projects;
mod tokens;
mod users;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post, put};
use http::header::{CACHE_CONTROL, HOST, VARY, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use tower::Layer as _;
use tower_http::normalize_path::NormalizePathLayer;

use super::Api;
use super::auth::challenge;
use super::peer::Peer;
use failure::Failure;

/// All paths of the dialect, to be mounted with `nest_service("/identity", …)` (a plain `nest` does not pass `/identity/`
/// on). One trailing slash is tolerated everywhere. The listener puts a [`Peer`] into the extensions of each request.
pub fn routes(api: Api) -> Router {
    let inner = Router::new()
        .route("/", get(discovery::versions))
        .route("/v3", get(discovery::version))
        .merge(auth_routes())
        .merge(people_routes())
        .merge(grant_routes())
        .merge(fixed_routes())
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(api.clone(), finish))
        .with_state(api);
    Router::new().fallback_service(NormalizePathLayer::trim_trailing_slash().layer(inner))
}

fn auth_routes() -> Router<Api> {
    Router::new()
        .route("/v3/auth/tokens", get(tokens::show).post(tokens::create).delete(tokens::revoke))
        .route("/v3/auth/catalog", get(own::catalog))
        .route("/v3/auth/projects", get(own::projects))
        .route("/v3/auth/domains", get(own::domains))
        .route("/v3/auth/system", get(own::system))
}

fn people_routes() -> Router<Api> {
    Router::new()
        .route("/v3/users", get(users::list).post(users::create))
        .route("/v3/users/{user}", get(users::show).patch(users::update).delete(users::delete))
        .route("/v3/users/{user}/password", post(users::password))
        .route("/v3/users/{user}/projects", get(users::projects))
        .route("/v3/users/{user}/application_credentials", get(credentials::list).post(credentials::create))
        .route(
            "/v3/users/{user}/application_credentials/{credential}",
            get(credentials::show).delete(credentials::delete),
        )
        .route("/v3/projects", get(projects::list).post(projects::create))
        .route("/v3/projects/{project}", get(projects::show).patch(projects::update).delete(projects::delete))
}

fn grant_routes() -> Router<Api> {
    let one = || put(grants::create).get(grants::check).delete(grants::delete);
    Router::new()
        .route("/v3/role_assignments", get(assignments::list))
        .route("/v3/projects/{project}/users/{user}/roles", get(grants::list))
        .route("/v3/projects/{project}/users/{user}/roles/{role}", one())
        .route("/v3/system/users/{user}/roles", get(grants::list))
        .route("/v3/system/users/{user}/roles/{role}", one())
}

fn fixed_routes() -> Router<Api> {
    Router::new()
        .route("/v3/domains", get(fixed::domains))
        .route("/v3/domains/{domain}", get(fixed::domain))
        .route("/v3/roles", get(fixed::roles))
        .route("/v3/roles/{role}", get(fixed::role))
        .route("/v3/regions", get(fixed::regions))
        .route("/v3/regions/{region}", get(fixed::region))
        .route("/v3/services", get(fixed::services))
        .route("/v3/services/{service}", get(fixed::service))
        .route("/v3/endpoints", get(fixed::endpoints))
        .route("/v3/endpoints/{endpoint}", get(fixed::endpoint))
}

async fn unknown() -> Failure {
    Failure::new(StatusCode::NOT_FOUND, "The resource could not be found.")
}

async fn wrong_method() -> Failure {
    Failure::new(StatusCode::METHOD_NOT_ALLOWED, "The method is not allowed for the requested URL.")
}

/// What every answer of the dialect carries, and the challenge on every 401. A request over HTTP/2 names its host in the
/// URI; from here on it is in the header, as everywhere else.
async fn finish(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let authority = request.uri().authority().map(|authority| HeaderValue::from_str(authority.as_str()));
    if let Some(Ok(authority)) = authority
        && !request.headers().contains_key(HOST)
    {
        request.headers_mut().insert(HOST, authority);
    }
    let peer = request.extensions().get::<Peer>().cloned().unwrap_or_default();
    let challenge = challenge(&api, request.headers(), &peer);
    let mut response = next.run(request).await.into_response();
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("X-Auth-Token"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if response.status() == StatusCode::UNAUTHORIZED
        && let Ok(challenge) = HeaderValue::from_str(&challenge)
    {
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}
