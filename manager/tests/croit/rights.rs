//! Who may do what: every route is asked without a token, with a wrong one, and with each role (spec/hooks.md §13.1).

use axum::body::Body;
use hostler_core::policy::{Caller, Role, allowed};
use hostler_manager::api::croit::ROUTES;

use crate::app::App;

/// What the specification says of each endpoint (§2.1, §4, §4.1): `none`, `viewer` or `admin`.
fn needed(method: &str, path: &str) -> &'static str {
    match (method, path) {
        (_, "/auth/login" | "/auth/login-form" | "/swagger.json" | "/openapi.json") => "none",
        (_, "/auth/logout" | "/auth/token-info") => "viewer",
        ("GET", "/events/hooks" | "/events/hooks/hook-points") => "viewer",
        ("POST", "/tasks/{id}/cancel") => "service",
        ("GET", path) if path.starts_with("/tasks") || path.starts_with("/servers") => "viewer",
        ("GET", path) if path.starts_with("/maintenance/") => "viewer",
        ("POST", "/servers/{id}/redetect") => "viewer",
        _ => "admin",
    }
}

fn may(role: &str, needed: &str) -> bool {
    match needed {
        "none" | "viewer" => true,
        "service" => matches!(role, "service" | "admin"),
        _ => role == "admin",
    }
}

#[test]
fn the_policy_agrees_with_the_specification() {
    for route in ROUTES {
        let needed = needed(route.method, route.path);
        let Some(action) = route.action else {
            assert_eq!(needed, "none", "{} {}", route.method, route.path);
            continue;
        };
        for role in ["reader", "member", "service", "admin"] {
            let caller = Caller {
                name: "x".into(),
                roles: vec![Role::from_name(role).unwrap()],
                system_scope: false,
                project: None,
            };
            assert_eq!(allowed(&caller, action), may(role, needed), "{} {} {role}", route.method, route.path);
        }
    }
}

#[tokio::test]
async fn spec_13_1_role_matrix_and_bad_tokens() {
    let app = App::start().await;
    for route in ROUTES.iter().filter(|route| route.action.is_some()) {
        let path = format!(
            "/api{}",
            route
                .path
                .replace("{id}", "77")
                .replace("{service}/{action}", "osd.1/start")
                .replace("{flag}/{change}", "noout/set")
                .replace(['{', '}'], "")
        );
        let answer = app.call("", route.method, &path, Body::empty()).await;
        assert_eq!(answer.headers["www-authenticate"], "Bearer", "{path}");
        answer.error(401);
        app.call("wrong", route.method, &path, Body::empty()).await.error(401);
        let needed = needed(route.method, route.path);
        for role in ["reader", "member", "service", "admin"] {
            // Whoever is let in ends the token last, and a static one stays.
            let answer = app.call(role, route.method, &path, Body::empty()).await;
            if may(role, needed) {
                assert!(!matches!(answer.status, 401 | 403 | 405 | 500), "{role} {} {path}: {answer:?}", route.method);
            } else {
                assert!(answer.error(403).contains(&format!("token:{role}")));
            }
        }
    }
}

#[tokio::test]
async fn other_methods_and_paths_are_refused() {
    let app = App::start().await;
    let answer = app.call("admin", "PUT", "/api/events/scripts", Body::empty()).await;
    assert!(answer.headers.contains_key("allow"));
    answer.error(405);
    app.call("admin", "GET", "/api/events/nothing", Body::empty()).await.error(404);
    app.call("admin", "GET", "/api/maintenance/backups", Body::empty()).await.error(404);
}
