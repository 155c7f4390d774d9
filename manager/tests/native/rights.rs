//! Who may do what: every route is asked without a token, with a wrong one, and with each role.

use axum::body::Body;
use hostler_core::policy::{Action, Caller, Role, allowed};
use hostler_manager::api::native::ROUTES;

use crate::app::App;

/// What each route needs, as docs/native-api.md says: `none`, or the weakest role that may; `watcher` is any role that holds for
/// the whole system. A route that is not here has no
/// authorization case, which fails.
const CASES: &[(&str, &str, &str)] = &[
    ("GET", "/version", "none"),
    ("GET", "/hosts", "reader"),
    ("GET", "/hosts/{host}", "reader"),
    ("PATCH", "/hosts/{host}", "admin"),
    ("DELETE", "/hosts/{host}", "admin"),
    ("POST", "/hosts/{host}/agent/revoke", "admin"),
    ("POST", "/hosts/{host}/introspect", "service"),
    ("GET", "/hosts/{host}/inventories", "reader"),
    ("GET", "/hosts/{host}/inventories/{inventory}", "reader"),
    ("GET", "/hosts/{host}/inventory-diff", "reader"),
    ("GET", "/hosts/{host}/inventory-changes", "reader"),
    ("GET", "/hosts/{host}/identity", "reader"),
    ("POST", "/hosts/{host}/identity/accept", "admin"),
    ("POST", "/hosts/{host}/identity/discard", "admin"),
    ("GET", "/inventory-drift", "reader"),
    ("POST", "/join-tokens", "admin"),
    ("GET", "/join-tokens", "admin"),
    ("DELETE", "/join-tokens/{id}", "admin"),
    ("GET", "/events", "reader"),
    ("GET", "/events/stream", "reader"),
    ("POST", "/webhooks", "admin"),
    ("GET", "/webhooks", "admin"),
    ("GET", "/webhooks/{id}", "admin"),
    ("PATCH", "/webhooks/{id}", "admin"),
    ("DELETE", "/webhooks/{id}", "admin"),
    ("POST", "/webhooks/{id}/test", "admin"),
    ("POST", "/webhooks/{id}/rotate", "admin"),
    ("GET", "/webhooks/{id}/dead-letters", "admin"),
    ("POST", "/webhooks/{id}/dead-letters/{number}/replay", "admin"),
    ("GET", "/maintenance/sessions", "watcher"),
    ("GET", "/maintenance/sessions/{id}", "watcher"),
    ("GET", "/maintenance/plugins", "watcher"),
    ("GET", "/maintenance/plugins/{name}", "watcher"),
    ("PUT", "/maintenance/plugins/{name}", "admin"),
    ("DELETE", "/maintenance/plugins/{name}", "admin"),
    ("POST", "/rules/dry-run", "service"),
    ("PUT", "/rules/{id}", "service"),
];

/// From the weakest to the strongest.
const ROLES: [&str; 4] = ["reader", "member", "service", "admin"];

fn may(role: &str, needed: &str, system: bool) -> bool {
    match needed {
        "reader" => true,
        "watcher" if system => true,
        "service" => matches!(role, "service" | "admin"),
        _ => role == "admin",
    }
}

#[test]
fn routes_and_cases_are_the_same_list() {
    let routes: Vec<_> = ROUTES.iter().map(|route| (route.method, route.path)).collect();
    let cases: Vec<_> = CASES.iter().map(|(method, path, _)| (*method, *path)).collect();
    assert_eq!(routes, cases);
    for (route, (_, _, needed)) in ROUTES.iter().zip(CASES) {
        assert_eq!(route.action.is_none(), *needed == "none", "{} {}", route.method, route.path);
    }
}

#[test]
fn the_policy_agrees_with_the_cases() {
    for (route, (_, path, needed)) in ROUTES.iter().zip(CASES) {
        let Some(action) = route.action else { continue };
        for role in ROLES {
            let caller = Caller {
                name: "x".into(),
                roles: vec![Role::from_name(role).unwrap()],
                system_scope: false,
                project: None,
            };
            assert_eq!(allowed(&caller, action), may(role, needed, false), "{path} {role} {}", action.name());
        }
    }
    assert_eq!(Action::MetricsRead.name(), "metrics:read");
}

#[tokio::test]
async fn every_route_is_guarded() {
    let app = App::start().await;
    for (method, path, needed) in CASES {
        // Nobody waits here for the end of a stream: a wrong number is refused, after the guard.
        let endless = if path.ends_with("/stream") { "?after=x" } else { "" };
        let path = format!("/api{path}{endless}").replace(['{', '}'], "");
        let answer = app.call("", method, &path, Body::empty()).await;
        if *needed == "none" {
            assert_eq!(answer.status, 200, "{method} {path}: {answer:?}");
            continue;
        }
        assert!(answer.headers.contains_key("www-authenticate"), "{method} {path}: {answer:?}");
        assert!(!answer.error(401).is_empty());
        app.call("wrong", method, &path, Body::empty()).await.error(401);
        for role in ROLES {
            let answer = app.call(role, method, &path, Body::empty()).await;
            // Tokens of the settings hold for the whole system.
            if may(role, needed, true) {
                assert!(!matches!(answer.status, 401 | 403 | 405 | 500), "{role} {method} {path}: {answer:?}");
            } else {
                let text = answer.error(403);
                assert!(text.contains(&format!("token:{role}")), "{text}");
            }
        }
    }
}

#[tokio::test]
async fn the_bearer_scheme_works_too() {
    let app = App::start().await;
    let request =
        http::Request::get("/api/hosts").header("Authorization", "Bearer reader").body(Body::empty()).unwrap();
    app.send(request, "192.0.2.7:1").await.expect(200);
}
