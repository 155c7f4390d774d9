//! Who may do what (spec/maintenance.md §1.12; §9, 22).

use serde_json::{Value, json};

use super::site::{NOBODY, Site};

/// Requests for those who look after the whole fleet, whether they change something, and what answers those who may.
fn fleet_wide() -> Vec<(&'static str, String, bool)> {
    let session = |rest: &str| format!("/v1/maintenance/{NOBODY}{rest}");
    vec![
        ("GET", "/v1/maintenance".into(), false),
        ("POST", "/v1/maintenance".into(), true),
        ("GET", session(""), false),
        ("PUT", session(""), true),
        ("POST", session(""), true),
        ("DELETE", session(""), true),
        ("GET", session("/detail"), false),
        ("GET", session("/steps"), false),
        ("GET", session("/hosts"), false),
        ("GET", session("/events"), false),
        ("GET", session("/plan"), false),
    ]
}

#[tokio::test]
async fn spec_9_22_sessions_are_for_those_of_the_whole_fleet() {
    let site = Site::guarded("").await;
    let (member, _) = site.person("ann", "member").await;
    let (manager, _) = site.person("mia", "manager").await;
    let (admin, _) = site.person("eve", "admin").await;
    for (method, path, changes) in fleet_wide() {
        let body = if matches!(method, "PUT" | "POST") { json!({}) } else { Value::Null };
        let refused = site.call(method, &path, &[], "").await;
        assert!(refused.headers.contains_key("www-authenticate"), "{method} {path}");
        refused.error(401);
        site.of("wrong", method, &path, &body).await.error(401);
        for token in [&member, &manager] {
            site.of(token, method, &path, &body).await.error(403);
        }
        // What is wrong with the request shows only to those who may make it.
        for token in ["admin", "service", admin.as_str()] {
            let status = site.of(token, method, &path, &body).await.status.as_u16();
            assert!(matches!(status, 200 | 404 | 422), "{method} {path}: {status}");
        }
        let read = site.of("reader", method, &path, &body).await.status.as_u16();
        assert_eq!(read == 403, changes, "{method} {path}: {read}");
    }
}

#[tokio::test]
async fn spec_9_22_projects_are_for_their_members() {
    for hide in [true, false] {
        let site = Site::guarded(&format!("[maintenance]\nhide_foreign = {hide}\n")).await;
        let (ann, anns) = site.person("ann", "member").await;
        let (rob, robs) = site.person("rob", "reader").await;
        let reply = json!({"state": "ACK_MAINTENANCE"});
        for rest in ["", "/i"] {
            let path = |project: &str| format!("/v1/maintenance/{NOBODY}/{project}{rest}");
            site.call("GET", &path(&anns), &[], "").await.error(401);
            // Whoever may ask learns that there is no such session; others learn nothing, or that they may not.
            assert_eq!(site.of(&ann, "GET", &path(&anns), &Value::Null).await.error(404), "Invalid session");
            assert_eq!(site.of(&ann, "PUT", &path(&anns), &reply).await.error(404), "Invalid session");
            let foreign = if hide { 404 } else { 403 };
            site.of(&ann, "GET", &path(&robs), &Value::Null).await.error(foreign);
            site.of(&ann, "PUT", &path(&robs), &reply).await.error(foreign);
            site.of(&rob, "GET", &path(&robs), &Value::Null).await.error(404);
            site.of(&rob, "PUT", &path(&robs), &reply).await.error(403);
            site.of("admin", "PUT", &path(&anns), &reply).await.error(404);
        }
    }
}

#[tokio::test]
async fn overrides_and_downloads_take_a_role_more() {
    let site = Site::guarded("").await;
    let file = json!({"url": "https://m.example/a", "sha256": "9f".repeat(32)});
    let at = "2031-04-12 22:00:00";
    let wanted = json!({"maintenance_at": at, "download": [file], "hosts": ["nobody"]});
    let text = site.of("service", "POST", "/v1/maintenance", &wanted).await.error(403);
    assert!(text.contains("maintenance:download"), "{text}");
    let weaker = json!({"maintenance_at": at, "policy": {"storage": {"ignore": true}}, "hosts": ["nobody"]});
    let text = site.of("service", "POST", "/v1/maintenance", &weaker).await.error(403);
    assert!(text.contains("maintenance:force"), "{text}");
    site.host("kvm-a07", &["compute"]).await;
    let plain = json!({"maintenance_at": at, "hosts": ["kvm-a07"]});
    let made = site.of("service", "POST", "/v1/maintenance", &plain).await.is(200);
    let path = format!("/v1/maintenance/{}", made["session_id"].as_str().unwrap());
    let force = json!({"force": {"ignore_health": ["OSD_NEARFULL"], "reason": "known"}});
    let weak = json!({"policy": {"storage": {"allow_cluster_flags": true}}});
    for body in [&force, &weak] {
        let text = site.of("service", "PUT", &path, body).await.error(403);
        assert!(text.contains("maintenance:force"), "{text}");
        site.of("admin", "PUT", &path, body).await.is(200);
    }
    let allowed = Site::guarded("[maintenance]\nforce_roles = [\"service\"]\n").await;
    for body in [&wanted, &weaker] {
        assert_ne!(allowed.of("service", "POST", "/v1/maintenance", body).await.status, 403);
    }
}
