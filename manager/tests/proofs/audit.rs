//! Every change that a request causes says in the audit trail from where and under which request id (design §8).

use std::collections::BTreeMap;

use serde_json::json;

use super::site::Site;

#[tokio::test]
async fn changes_of_every_dialect_carry_address_and_request() {
    let site =
        Site::with("[listen]\ntrusted_proxies = ['127.0.0.1']\n[bootstrap]\nusername = 'a'\npassword = 'b'\n").await;
    let host = site.host("ceph-01").await;
    site.host("ceph-02").await;
    let before = site.events().await.len();
    let rule = json!({"conditions": [], "actions": [{"action": "fail", "message": "no"}]}).to_string();
    let id = uuid::Uuid::new_v4();
    let (task, agent) = (json!({}).to_string(), json!({"reason": "gone"}).to_string());
    let calls = [
        ("PATCH", "/api/hosts/ceph-01".to_owned(), json!({"zone": "z"}).to_string()),
        ("POST", "/api/join-tokens".to_owned(), "{}".to_owned()),
        ("POST", format!("/v1/introspection/{host}"), String::new()),
        ("POST", format!("/v1/introspection/{host}/abort"), String::new()),
        ("POST", "/api/hosts/ceph-02/introspect".to_owned(), task),
        (
            "POST",
            "/introspection/v1/rules".to_owned(),
            rule.replace("\"conditions\"", &format!("\"uuid\":\"{id}\",\"conditions\"")),
        ),
        ("PUT", format!("/api/rules/{id}"), rule.replace("\"no\"", "\"never\"")),
        ("DELETE", format!("/v1/rules/{id}"), String::new()),
        ("POST", "/identity/v3/projects".to_owned(), json!({"project": {"name": "p"}}).to_string()),
        ("POST", "/api/hosts/ceph-01/agent/revoke".to_owned(), agent),
        ("DELETE", "/api/hosts/ceph-01".to_owned(), String::new()),
    ];
    for (number, (method, path, body)) in calls.iter().enumerate() {
        let name = format!("call-{number}");
        let headers = [
            ("x-auth-token", "admin"),
            ("x-request-id", name.as_str()),
            ("x-forwarded-for", "203.0.113.1, 198.51.100.7"),
        ];
        let answer = site.call(method, path, &headers, body).await;
        assert!(answer.status < 300, "{method} {path}: {answer:?}");
    }
    let seen = site.events().await.split_off(before);
    let mut kinds: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    for event in &seen {
        assert_eq!(event.actor.as_deref(), Some("token:admin"), "{event:?}");
        assert_eq!(event.data["from"], "198.51.100.7", "{event:?}");
        let request = event.data["request_id"].as_str().unwrap_or_else(|| panic!("{event:?}"));
        kinds.entry(request.strip_prefix("call-").unwrap().parse().unwrap()).or_default().push(&event.kind);
    }
    let silent: Vec<_> = (0..calls.len()).filter(|number| !kinds.contains_key(number)).map(|n| &calls[n].1).collect();
    assert!(silent.is_empty(), "no event of {silent:?}; there are {kinds:?}");
}

#[tokio::test]
async fn what_nobody_asked_for_names_no_request() {
    let site = Site::with("").await;
    let host = site.host("ceph-01").await;
    site.call("POST", &format!("/v1/introspection/{host}"), &[("x-auth-token", "admin")], "").await.is(202);
    let before = site.events().await.len();
    // The time is over: the run ends by a timer.
    for _ in 0..3 {
        site.pass(std::time::Duration::from_secs(700));
        site.api.engine.run_due().await.unwrap();
    }
    let ended = site.events().await.split_off(before);
    assert!(!ended.is_empty());
    for event in ended {
        assert!(event.data.get("request_id").is_none() && event.data.get("from").is_none(), "{event:?}");
    }
}

#[tokio::test]
async fn one_id_names_a_request_everywhere() {
    let site = Site::with("").await;
    let own = |name: &'static str| [("x-auth-token", "admin"), (name, "req-mine")];
    for name in ["x-request-id", "x-openstack-request-id"] {
        let answer = site.call("GET", "/v1/introspection", &own(name), "").await.is(200);
        assert_eq!((answer.header("x-request-id"), answer.header("x-openstack-request-id")), ("req-mine", "req-mine"));
    }
    let answer = site.call("GET", "/v1/rules", &[], "").await.is(401);
    assert!(answer.header("x-openstack-request-id").starts_with("req-"));
    assert_eq!(answer.header("x-request-id"), answer.header("x-openstack-request-id"));
}
