//! Records of instances and groups: what owners ask for (spec/maintenance.md §1.10, §1.11, §1.13).

use serde_json::{Value, json};

use super::site::Site;

const GROUP: &str = "0b1f2c3d-1111-4222-8333-444455556666";

#[tokio::test]
async fn an_instance_from_its_first_to_its_last_record() {
    let site = Site::guarded("").await;
    let (ann, project) = site.person("ann", "member").await;
    let path = "/v1/instance/3f7a2b60-5c11-4e0b-9d55-2a8e6c90b71d";
    site.of(&ann, "GET", path, &Value::Null).await.error(404);
    site.of(&ann, "DELETE", path, &Value::Null).await.error(404);
    // As the template of one client sends it.
    let sent = json!({"instance_id": "3f7a2b60-5c11-4e0b-9d55-2a8e6c90b71d", "project_id": project, "group_id": GROUP,
                      "instance_name": "db-1", "max_interruption_time": "120,", "migration_type": "MIGRATION",
                      "resource_mitigation": "True,", "lead_time": 40});
    let kept = site.of(&ann, "PUT", path, &sent).await.is(200);
    let want = json!({"instance_id": "3f7a2b60-5c11-4e0b-9d55-2a8e6c90b71d", "project_id": project, "group_id": GROUP,
                      "instance_name": "db-1", "max_interruption_time": 120, "migration_type": "MIGRATE",
                      "resource_mitigation": true, "lead_time": 40});
    assert_eq!(kept, want);
    assert_eq!(site.of(&ann, "PUT", path, &sent).await.is(200), want, "the same again");
    assert_eq!(site.of(&ann, "GET", path, &Value::Null).await.is(200), want);
    assert_eq!(site.of(&ann, "GET", "/v1/instance", &Value::Null).await.is(200)["instances"], json!([want]));
    let smaller = site.of(&ann, "PUT", path, &json!({})).await.is(200);
    assert_eq!((&smaller["lead_time"], &smaller["group_id"]), (&json!(120), &Value::Null), "replaced, not merged");
    assert_eq!(site.of(&ann, "DELETE", path, &Value::Null).await.is(200), json!({}));
    site.of(&ann, "GET", path, &Value::Null).await.error(404);
}

#[tokio::test]
async fn a_group_from_its_first_to_its_last_record() {
    let site = Site::guarded("").await;
    let (ann, project) = site.person("ann", "member").await;
    let path = format!("/v1/instance_group/{GROUP}");
    let sent = json!({"group_id": GROUP, "project_id": project, "group_name": "ha", "anti_affinity_group": true,
                      "max_instances_per_host": 1, "max_impacted_members": "1,", "recovery_time": "60",
                      "resource_mitigation": true});
    let kept = site.of(&ann, "PUT", &path, &sent).await.is(200);
    assert_eq!((&kept["max_impacted_members"], &kept["recovery_time"]), (&json!(1), &json!(60)));
    let member = json!({"group_id": GROUP});
    site.of(&ann, "PUT", "/v1/instance/i", &member).await.is(200);
    let undashed = format!("/v1/instance_group/{}", GROUP.replace('-', ""));
    assert_eq!(site.of(&ann, "GET", &undashed, &Value::Null).await.is(200), kept);
    let listed = site.of(&ann, "GET", "/v1/instance_group", &Value::Null).await.is(200);
    assert_eq!(listed["instance_groups"], json!([kept]));
    assert_eq!(site.of(&ann, "DELETE", &path, &Value::Null).await.is(200), json!({}), "members or not");
    assert_eq!(site.of(&ann, "GET", "/v1/instance/i", &Value::Null).await.is(200)["group_id"], GROUP);
    site.of(&ann, "DELETE", &path, &Value::Null).await.error(404);
}

#[tokio::test]
async fn records_that_are_refused() {
    let site = Site::open().await;
    let refuse = [
        ("/v1/instance/i", json!({}), "project_id"),
        ("/v1/instance/i", json!({"project_id": "p", "instance_id": "j"}), "instance_id"),
        ("/v1/instance/i", json!({"project_id": "p", "lead_time": "soon"}), "lead_time"),
        ("/v1/instance/i", json!({"project_id": "p", "migration_type": "STOP"}), "migration_type"),
        ("/v1/instance/i", json!({"project_id": 7}), "project_id"),
        ("/v1/instance/i", json!({"project_id": "p", "lead": 1}), "lead"),
        ("/v1/instance/0123456789012345678901234567890123456", json!({"project_id": "p"}), "instance_id"),
        ("/v1/instance_group/servers", json!({"project_id": "p"}), "group_id"),
        (
            "/v1/instance_group/0b1f2c3d-1111-4222-8333-444455556666",
            json!({"project_id": "p", "recovery_time": -1}),
            "recovery_time",
        ),
    ];
    for (path, body, field) in refuse {
        let body = site.put(path, &body).await.is(422);
        assert_eq!(body["field"], field, "{body}");
    }
    site.put("/v1/instance/i", &json!({"project_id": "p", "x-note": [1]})).await.is(200);
}

#[tokio::test]
async fn spec_9_22_records_belong_to_projects() {
    for hide in [true, false] {
        let site = Site::guarded(&format!("[maintenance]\nhide_foreign = {hide}\n")).await;
        let ((ann, anns), (bob, bobs)) = (site.person("ann", "member").await, site.person("bob", "member").await);
        site.of(&ann, "PUT", "/v1/instance/i", &json!({})).await.is(200);
        let hidden = if hide { 404 } else { 403 };
        site.of(&bob, "GET", "/v1/instance/i", &Value::Null).await.error(hidden);
        site.of(&bob, "DELETE", "/v1/instance/i", &Value::Null).await.error(hidden);
        site.of(&bob, "PUT", "/v1/instance/i", &json!({})).await.error(409);
        site.of(&bob, "PUT", "/v1/instance/j", &json!({"project_id": anns})).await.error(403);
        assert_eq!(site.of(&bob, "GET", "/v1/instance", &Value::Null).await.is(200)["instances"], json!([]));
        site.of(&bob, "GET", &format!("/v1/instance?project_id={anns}"), &Value::Null).await.error(403);
        // An administrator names the project.
        site.of("admin", "PUT", "/v1/instance/k", &json!({})).await.error(422);
        let all = site.of("admin", "GET", "/v1/instance", &Value::Null).await.is(200);
        assert_eq!(all["instances"][0]["project_id"], anns.as_str());
        site.of("admin", "PUT", "/v1/instance/i", &json!({"project_id": bobs})).await.is(200);
        site.of(&bob, "GET", "/v1/instance/i", &Value::Null).await.is(200);
        site.of(&ann, "GET", "/v1/instance/i", &Value::Null).await.error(hidden);
        let of_bob = site.of("admin", "GET", &format!("/v1/instance?project_id={bobs}"), &Value::Null).await.is(200);
        assert_eq!(of_bob["instances"].as_array().unwrap().len(), 1);
    }
}
