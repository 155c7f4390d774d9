//! Point 1: URLs, methods, the order of checks, the shape of errors; links.

use axum::Router;
use axum::body::Body;
use hostler_manager::api::introspection;
use http::Request;

use super::fixture::{Answer, World, document, send};

const UUID: &str = "6f1d2c3a-0b4e-4a5f-8c6d-7e8f90a1b2c3";
const RULE: &str = r#"{"uuid": null, "description": null, "actions": [{"action": "fail", "message": "x"}]}"#;

/// Every row of the endpoint overview (spec §1.6), with the status of a success.
fn rows(host: &str, rule: &str) -> Vec<(&'static str, String, &'static str, u16)> {
    vec![
        ("GET", "/".into(), "", 200),
        ("GET", "/v1".into(), "", 200),
        ("GET", "/v1/introspection".into(), "", 200),
        ("POST", format!("/v1/introspection/{host}"), "", 202),
        ("GET", format!("/v1/introspection/{host}"), "", 200),
        ("POST", format!("/v1/introspection/{host}/abort"), "", 202),
        ("GET", format!("/v1/introspection/{host}/data"), "", 200),
        ("GET", format!("/v1/introspection/{host}/data/unprocessed"), "", 200),
        ("GET", "/v1/rules".into(), "", 200),
        ("POST", "/v1/rules".into(), RULE, 201),
        ("GET", format!("/v1/rules/{rule}"), "", 200),
        ("POST", format!("/v1/rules/{rule}"), RULE, 409),
        ("DELETE", format!("/v1/rules/{rule}"), "", 204),
        ("DELETE", "/v1/rules".into(), "", 204),
        ("POST", "/v1/continue".into(), "{}", 403),
    ]
}

fn decent(answer: &Answer) {
    assert!(answer.headers.contains_key("x-openstack-ironic-inspector-api-minimum-version"));
    assert!(answer.headers.contains_key("x-openstack-request-id"));
    if answer.status.is_client_error() || answer.status.is_server_error() {
        answer.error();
    }
}

#[tokio::test]
async fn spec_8_1_every_row_with_and_without_a_slash() {
    let world = World::new().await;
    let host = world.host("ceph-07").await;
    for slash in ["", "/"] {
        world.introspect(host, &document("52:54:00:aa:00:01")).await;
        let rule = format!("00000000-0000-4000-8000-00000000000{}", slash.len());
        assert_eq!(world.post(&format!("/v1/rules/{rule}"), RULE).await.status, 201);
        for (method, path, body, status) in rows("ceph-07", &rule) {
            let path = if path == "/" { path } else { path + slash };
            let answer = world.call(method, &path, &[], body).await;
            assert_eq!(answer.status, status, "{method} {path}: {:?}", answer.body);
            decent(&answer);
            match status {
                202 => assert_eq!(
                    (answer.body.as_ref(), answer.header("content-type")),
                    (&b"{}\n"[..], Some("application/json"))
                ),
                204 => {
                    assert!(answer.body.is_empty());
                    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
                    assert_eq!(answer.header("content-length"), Some("0"));
                }
                _ => {}
            }
        }
        world.run_due().await;
    }
}

#[tokio::test]
async fn spec_8_1_a_wrong_method_is_405_with_the_right_ones() {
    let world = World::new().await;
    let table = [
        ("/", "GET, HEAD, OPTIONS"),
        ("/v1", "GET, HEAD, OPTIONS"),
        ("/v1/introspection", "GET, HEAD, OPTIONS"),
        ("/v1/introspection/x", "GET, HEAD, OPTIONS, POST"),
        ("/v1/introspection/x/abort", "OPTIONS, POST"),
        ("/v1/introspection/x/data", "GET, HEAD, OPTIONS"),
        ("/v1/introspection/x/data/unprocessed", "GET, HEAD, OPTIONS, POST"),
        ("/v1/continue", "OPTIONS, POST"),
        ("/v1/rules", "DELETE, GET, HEAD, OPTIONS, POST"),
        ("/v1/rules/x", "DELETE, GET, HEAD, OPTIONS, POST"),
    ];
    for (path, allow) in table {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"] {
            if allow.split(", ").any(|known| known == method) {
                continue;
            }
            let answer = world.call(method, path, &[], "").await;
            let text = "405 Method Not Allowed: The method is not allowed for the requested URL.";
            assert_eq!(answer.refusal(), (405, text.to_owned()), "{method} {path}");
            assert_eq!(answer.header("allow"), Some(allow));
            decent(&answer);
        }
        let options = world.call("OPTIONS", path, &[], "").await;
        assert_eq!((options.status.as_u16(), options.header("allow")), (200, Some(allow)));
        assert!(options.body.is_empty());
    }
}

#[tokio::test]
async fn spec_8_1_an_unknown_url_is_404_with_the_text_of_the_dialect() {
    let world = World::new().await;
    for path in ["/v1/nothing", "/a/b", "/v1/introspection/x/y", "/v1/rules/x/y", "/v1//"] {
        for method in ["GET", "POST", "OPTIONS"] {
            let (status, text) = world.call(method, path, &[], "").await.refusal();
            assert_eq!(status, 404, "{method} {path}");
            assert!(text.starts_with("404 Not Found: The requested URL was not found on the server. "), "{text}");
        }
    }
}

#[tokio::test]
async fn spec_8_1_head_is_get_without_a_body() {
    let world = World::new().await;
    let host = world.host("ceph-07").await;
    world.introspect(host, &document("52:54:00:aa:00:01")).await;
    let rule = world.post("/v1/rules", RULE).await.json()["uuid"].as_str().unwrap().to_owned();
    for (method, path, _, _) in rows("ceph-07", &rule) {
        if method != "GET" {
            continue;
        }
        let (get, head) = (world.get(&path).await, world.call("HEAD", &path, &[], "").await);
        assert_eq!((head.status, head.body.len()), (get.status, 0), "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"));
        assert_eq!(head.header("content-length"), Some(get.body.len().to_string().as_str()), "{path}");
    }
}

#[tokio::test]
async fn spec_8_1_401_and_403_come_before_404_and_after_406_405_and_unknown_urls() {
    let world = World::with_tokens().await;
    let bad_version = ("X-OpenStack-Ironic-Inspector-API-Version", "9.9");
    for (method, path, body, _) in rows(UUID, UUID) {
        let public = matches!(path.as_str(), "/" | "/v1" | "/v1/continue");
        assert_eq!(world.call(method, &path, &[bad_version], body).await.status, 406, "{path}");
        for token in [None, Some("wrong")] {
            let headers: Vec<_> = token.map(|token| ("X-Auth-Token", token)).into_iter().collect();
            let answer = world.call(method, &path, &headers, body).await;
            if public {
                assert_ne!(answer.status, 401, "{path}");
                continue;
            }
            assert_eq!(answer.refusal(), (401, "Authentication required".to_owned()), "{method} {path}");
            let challenge = answer.header("www-authenticate");
            assert_eq!(challenge, Some("Keystone uri=\"http://manager.example:5050/identity/v3\""));
        }
        let status =
            method == "GET" && matches!(path.trim_end_matches(UUID), "/v1/introspection" | "/v1/introspection/");
        if status {
            // A static token counts for the whole system, and there a reader may see statuses.
            let answer = world.call(method, &path, &[("X-Auth-Token", "reader")], body).await;
            assert_ne!(answer.status, 403, "{path}");
        } else if !public {
            let answer = world.call(method, &path, &[("X-Auth-Token", "reader"), ("X-Roles", "admin")], body).await;
            assert_eq!(answer.refusal(), (403, "Access denied by policy".to_owned()), "{method} {path}");
        }
    }
    assert_eq!(world.call("PUT", "/v1/rules", &[], "").await.status, 405);
    assert_eq!(world.get("/v1/nothing/here").await.status, 404);
    for token in ["admin", "service"] {
        let headers = [("X-Auth-Token", token)];
        let status = format!("/v1/introspection/{UUID}");
        let answer = world.call("GET", &status, &headers, "").await;
        assert_eq!(answer.refusal(), (404, format!("Could not find node {UUID} in cache")));
        // Parameters before existence.
        let answer = world.call("POST", &format!("{status}?manage_boot=maybe"), &headers, "").await;
        assert_eq!(answer.refusal(), (400, "Invalid boolean value for manage_boot: maybe".to_owned()));
        let answer = world.call("POST", &format!("{status}/data/unprocessed"), &headers, "[]").await;
        assert_eq!(answer.refusal(), (400, "Invalid data: expected a JSON object, got list".to_owned()));
    }
}

#[tokio::test]
async fn spec_8_1_http_basic_and_its_malformed_credentials() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("htpasswd");
    std::fs::write(&file, format!("ops:{}\n", bcrypt::hash("secret", 4).unwrap())).unwrap();
    let world = World::with(&format!("[auth]\nstrategy = \"http_basic\"\nhtpasswd_file = {file:?}\n")).await;
    let bad_version = ("X-OpenStack-Ironic-Inspector-API-Version", "9.9");
    for value in ["Digest abc", "Basic", "Basic %%%", "Basic b3Bz", "nonsense"] {
        for path in ["/", "/v1/introspection", "/foo", "/v1/continue"] {
            let answer = world.call("GET", path, &[("Authorization", value), bad_version], "").await;
            assert_eq!(answer.refusal().0, 400, "{value} {path}");
        }
    }
    // `ops:wrong`, nothing at all, and `ops:secret`.
    for headers in [&[("Authorization", "Basic b3BzOndyb25n")][..], &[]] {
        let answer = world.call("GET", "/v1/introspection", headers, "").await;
        assert_eq!(answer.refusal(), (401, "Authentication required".to_owned()));
        assert_eq!(answer.header("www-authenticate"), Some("Basic realm=\"introspection\""));
    }
    let right = [("Authorization", "Basic b3BzOnNlY3JldA==")];
    assert_eq!(world.call("GET", "/v1/introspection", &right, "").await.status, 200);
    assert_eq!(world.get("/v1").await.status, 200);
}

#[tokio::test]
async fn spec_8_1_both_texts_of_an_unknown_node() {
    let world = World::new().await;
    let known = world.host("ceph-07").await;
    for (method, rest) in [("GET", ""), ("POST", "/abort"), ("POST", "/data/unprocessed")] {
        let never = (404, format!("Could not find node {known} in cache"));
        for name in ["ceph-07", &known.to_string(), &known.0.simple().to_string().to_uppercase()] {
            assert_eq!(world.call(method, &format!("/v1/introspection/{name}{rest}"), &[], "").await.refusal(), never);
        }
        let unknown = world.call(method, &format!("/v1/introspection/{UUID}{rest}"), &[], "").await.refusal();
        assert_eq!(unknown, (404, format!("Could not find node {UUID} in cache")));
        let nobody = world.call(method, &format!("/v1/introspection/Ceph-07{rest}"), &[], "").await.refusal();
        assert_eq!(nobody, (404, "Node Ceph-07 was not found in Ironic".to_owned()));
    }
    let start = world.post(&format!("/v1/introspection/{UUID}"), "").await.refusal();
    assert_eq!(start, (404, format!("Node {UUID} was not found in Ironic")));
    let data = world.get(&format!("/v1/introspection/{UUID}/data")).await.refusal();
    assert_eq!(data, (404, format!("Introspection data not found for node {UUID}, processed=True")));
    let odd = world.get("/v1/introspection/caf%C3%A9%2F%FF").await.refusal();
    assert_eq!(odd, (404, "Node café/\u{fffd} was not found in Ironic".to_owned()));
}

#[tokio::test]
async fn spec_8_1_bodies_that_cannot_be_used() {
    let world = World::new().await;
    let host = world.host("a").await;
    world.introspect(host, &document("52:54:00:aa:00:01")).await;
    let reapply = format!("/v1/introspection/{host}/data/unprocessed");
    let deep = "[".repeat(200_000);
    let many = format!("{{\"a\":[{}1]}}", "1,".repeat(1_000_000));
    let none = "Invalid data: expected a JSON object, got None";
    let table: [(&str, &str); 9] = [
        ("null", none),
        ("{", none),
        ("nonsense", none),
        ("[]", "Invalid data: expected a JSON object, got list"),
        ("\"x\"", "Invalid data: expected a JSON object, got str"),
        ("1", "Invalid data: expected a JSON object, got int"),
        ("1.5", "Invalid data: expected a JSON object, got float"),
        ("true", "Invalid data: expected a JSON object, got bool"),
        (&deep, "Invalid data: nested deeper than 100 levels"),
    ];
    for (body, text) in table {
        for path in [reapply.as_str(), "/v1/rules"] {
            assert_eq!(world.post(path, body).await.refusal(), (400, text.to_owned()), "{path}");
        }
    }
    let text = "Invalid data: more than 1000000 values".to_owned();
    assert_eq!(world.post(&reapply, &many).await.refusal(), (400, text));
    for path in [reapply.as_str(), "/v1/rules"] {
        let request = Request::post(path).body(Body::from(vec![b'{', 0xff, b'}'])).unwrap();
        assert_eq!(world.send(request).await.refusal(), (400, none.to_owned()));
    }
    assert_eq!(world.state(host).await, "finished");
}

#[tokio::test]
async fn spec_8_1_bodies_over_the_limit_are_413() {
    let world = World::new().await;
    let host = world.host("a").await;
    world.introspect(host, &document("52:54:00:aa:00:01")).await;
    let status = format!("/v1/introspection/{host}");
    let mega = " ".repeat((1 << 20) + 1);
    for (method, path) in [("POST", "/v1/rules"), ("DELETE", "/v1/rules"), ("POST", &status)] {
        assert_eq!(world.call(method, path, &[], &mega).await.refusal().0, 413, "{method} {path}");
    }
    let reapply = format!("{status}/data/unprocessed");
    assert_eq!(world.post(&reapply, &" ".repeat((16 << 20) + 1)).await.refusal().0, 413);
    let padded = format!("{}{}", document("52:54:00:aa:00:01"), mega);
    assert_eq!(world.post(&reapply, &padded).await.status, 202);
}

#[tokio::test]
async fn spec_8_1_links_follow_host_mount_and_trusted_proxies() {
    let world = World::with("[listen]\ntrusted_proxies = [\"192.0.2.1\"]\n[auth]\nstrategy = \"none\"\n").await;
    let forwarded = [
        ("X-Forwarded-Host", "evil.example, fleet.example"),
        ("X-Forwarded-Proto", "http, https"),
        ("X-Forwarded-Port", "8443"),
        ("X-Forwarded-Prefix", "/x, /fleet/"),
    ];
    let href = |answer: Answer| answer.json()["versions"][0]["links"][0]["href"].as_str().unwrap().to_owned();
    assert_eq!(href(world.call("GET", "/", &forwarded, "").await), "http://manager.example:5050/v1");
    let by_proxy =
        |extra: &[(&'static str, &'static str)]| [&forwarded, extra, &[("x-test-peer", "192.0.2.1")]].concat();
    assert_eq!(href(world.call("GET", "/", &by_proxy(&[]), "").await), "https://fleet.example:8443/fleet/v1");
    let odd = by_proxy(&[("X-Forwarded-Host", "a\"b"), ("X-Forwarded-Port", "443")]);
    assert_eq!(href(world.call("GET", "/", &odd, "").await), "https://manager.example/fleet/v1");

    let mounted: Router = introspection::mounted(world.api.clone(), "/introspection");
    let literals = introspection::literals(world.api.clone()).route("/", introspection::root(world.api.clone()));
    let router = mounted.merge(literals);
    let get = async |path: &str| {
        send(&router, Request::get(path).header("host", "[2001:db8::1]:80").body(Body::empty()).unwrap()).await
    };
    assert_eq!(href(get("/").await), "http://[2001:db8::1]:80/v1");
    for path in ["/introspection", "/introspection/"] {
        assert_eq!(href(get(path).await), "http://[2001:db8::1]:80/introspection/v1");
    }
    let rule = world.post("/v1/rules", RULE).await.json()["uuid"].as_str().unwrap().to_owned();
    for mount in ["", "/introspection"] {
        let shown = get(&format!("{mount}/v1/rules/{rule}/")).await.json();
        assert_eq!(shown["links"][0]["href"], format!("{mount}/v1/rules/{rule}"));
        for path in ["/v1", "/v1/", "/v1/introspection", "/v1/introspection/", "/v1/rules", "/v1/rules/"] {
            assert_eq!(get(&format!("{mount}{path}")).await.status, 200, "{mount}{path}");
        }
        assert_eq!(get(&format!("{mount}/v1/continue/")).await.status, 405);
    }
    assert_eq!(get("/introspection/v2").await.refusal(), (404, "Version v2 not found.".to_owned()));
}

#[tokio::test]
async fn spec_8_1_a_store_that_does_not_answer_is_503() {
    let world = World::new().await;
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(world.api.engine.store.read().await.unwrap());
    }
    let answer = world.get(&format!("/v1/introspection/{UUID}")).await;
    assert_eq!(answer.refusal(), (503, "The store is not available, please, retry later".to_owned()));
    drop(held);
    assert_eq!(world.get(&format!("/v1/introspection/{UUID}")).await.status, 404);
}
