//! Pages of other origins in a browser (spec/introspection.md §1.1).

use super::site::Site;

const PAGE: &str = "https://console.example";
const ASKS: [(&str, &str); 3] = [
    ("origin", PAGE),
    ("access-control-request-method", "PUT"),
    ("access-control-request-headers", "x-auth-token,content-type"),
];

#[tokio::test]
async fn nobody_is_let_in_unless_somebody_is_configured() {
    let site = Site::with("").await;
    for path in ["/v1/introspection", "/api/hosts", "/identity/v3"] {
        for method in ["GET", "OPTIONS"] {
            let answer = site.call(method, path, &ASKS, "").await;
            assert!(!answer.headers.keys().any(|name| name.as_str().starts_with("access-control")), "{answer:?}");
            assert!(!answer.header("vary").contains("Origin"), "{answer:?}");
        }
    }
    assert!(!site.call("OPTIONS", "/v1/rules", &ASKS, "").await.is(200).header("allow").is_empty());
}

#[tokio::test]
async fn a_preflight_is_answered_for_every_dialect_and_without_a_proof() {
    let site = Site::with(&format!("[listen]\nallowed_origins = ['{PAGE}']\n")).await;
    for path in ["/v1/rules", "/introspection/v1/rules", "/api/hosts", "/identity/v3/users", "/metrics", "/nothing"] {
        let answer = site.call("OPTIONS", path, &ASKS, "").await.is(200);
        assert_eq!(answer.header("access-control-allow-origin"), PAGE, "{path}");
        let methods: Vec<_> = answer.header("access-control-allow-methods").split(", ").collect();
        assert_eq!(methods, ["GET", "POST", "PUT", "HEAD", "PATCH", "DELETE", "OPTIONS"]);
        let headers = answer.header("access-control-allow-headers").to_lowercase();
        for wanted in [
            "x-auth-token",
            "x-openstack-ironic-inspector-api-minimum-version",
            "x-openstack-ironic-inspector-api-maximum-version",
            "x-openstack-ironic-inspector-api-version",
            "content-type",
        ] {
            assert!(headers.split(", ").any(|header| header == wanted), "{headers} lacks {wanted}");
        }
        assert!(answer.header("vary").contains("Origin") && answer.text.is_empty());
        assert!(!answer.headers.contains_key("access-control-allow-credentials"));
    }
    // Not a question of a browser: the dialect answers.
    let answer = site.call("OPTIONS", "/v1/rules", &[("origin", PAGE)], "").await.is(200);
    assert!(!answer.header("allow").is_empty() && answer.header("access-control-allow-origin") == PAGE);
}

#[tokio::test]
async fn answers_say_to_whom_they_may_be_shown() {
    let site = Site::with(&format!("[listen]\nallowed_origins = ['{PAGE}']\n")).await;
    let allowed = |answer: &super::site::Answer| answer.header("access-control-allow-origin").to_owned();
    for (path, status) in [("/api/hosts", 401), ("/v1/introspection", 401), ("/v1", 200), ("/nothing", 404)] {
        let answer = site.call("GET", path, &[("origin", PAGE)], "").await.is(status);
        assert_eq!(allowed(&answer), PAGE, "{path}");
        assert!(answer.header("access-control-expose-headers").contains("X-Subject-Token"));
        for origin in ["https://console.example.evil", "https://console.example:444", "null"] {
            let answer = site.call("GET", path, &[("origin", origin)], "").await.is(status);
            assert_eq!(allowed(&answer), "", "{path} {origin}");
            let vary: Vec<_> = answer.headers.get_all("vary").iter().collect();
            assert!(vary.iter().any(|value| *value == "Origin"), "{vary:?}");
        }
    }
    let identity = site.call("GET", "/identity/v3", &[("origin", PAGE)], "").await;
    let vary: Vec<_> = identity.headers.get_all("vary").iter().map(|value| value.to_str().unwrap()).collect();
    assert_eq!(vary, ["X-Auth-Token", "Origin"]);
    // A page that is not let in gets no preflight either.
    let answer = site.call("OPTIONS", "/api/hosts", &[("origin", "null"), ASKS[1]], "").await;
    assert!(allowed(&answer).is_empty() && answer.header("access-control-allow-methods").is_empty());
}

#[tokio::test]
async fn a_star_lets_every_page_in() {
    let site = Site::with("[listen]\nallowed_origins = ['*']\n").await;
    let answer = site.call("GET", "/api/version", &[("origin", "https://any.example")], "").await.is(200);
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert!(site.call("GET", "/api/version", &[], "").await.header("access-control-allow-origin").is_empty());
}
