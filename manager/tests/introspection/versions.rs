//! Point 2: the negotiation of versions.

use serde_json::json;

use super::fixture::{Answer, World};

const LEGACY: &str = "X-OpenStack-Ironic-Inspector-API-Version";

fn announced(answer: &Answer) {
    assert_eq!(answer.header("x-openstack-ironic-inspector-api-minimum-version"), Some("1.0"));
    assert_eq!(answer.header("x-openstack-ironic-inspector-api-maximum-version"), Some("1.18"));
    assert!(answer.header("x-openstack-request-id").unwrap().starts_with("req-"));
}

#[tokio::test]
async fn spec_8_2_version_table_row_by_row() {
    let world = World::new().await;
    let good = ["1.0", "1.18", "1.6", "latest", "LATEST", "Latest", "01.05", "1.018", " 1.5 ", "+1.5", "1. 5"];
    for value in good {
        let answer = world.call("GET", "/v1", &[(LEGACY, value)], "").await;
        assert_eq!(answer.status, 200, "{value}");
        announced(&answer);
    }
    let out_of_range = [
        ("0.9", "0.9"),
        ("1.19", "1.19"),
        ("2.0", "2.0"),
        ("-1.5", "-1.5"),
        ("01.019", "1.19"),
        ("1.99999999999999999999999", "1.99999999999999999999"),
    ];
    for (value, shown) in out_of_range {
        for path in ["/", "/v1", "/v1/introspection", "/foo", "/v1/nothing/here"] {
            let answer = world.call("GET", path, &[(LEGACY, value)], "").await;
            let text = format!("Unsupported API version {shown}, supported range is 1.0 to 1.18");
            assert_eq!(answer.refusal(), (406, text), "{path}");
            announced(&answer);
        }
    }
    for value in ["1", "abc", "1.2.3", "v1.5", "", "1.", ".5", "1.x", "--1.5", "1.5,1.6"] {
        let answer = world.call("GET", "/foo", &[(LEGACY, value)], "").await;
        let text = "Malformed API version: expected string in form of X.Y or latest".to_owned();
        assert_eq!(answer.refusal(), (400, text), "{value}");
        announced(&answer);
    }
}

#[tokio::test]
async fn spec_8_2_the_standard_header_counts_where_the_legacy_one_is_absent() {
    let world = World::new().await;
    let status = async |headers: &[(&str, &str)]| world.call("GET", "/v1", headers, "").await.status.as_u16();
    let standard = "OpenStack-API-Version";
    assert_eq!(status(&[(standard, "baremetal-introspection 1.17")]).await, 200);
    assert_eq!(status(&[(standard, "compute 2.90, baremetal-introspection 9.9")]).await, 406);
    assert_eq!(status(&[(standard, "compute 2.90"), (standard, "baremetal-introspection x")]).await, 400);
    assert_eq!(status(&[(standard, "compute 2.90")]).await, 200);
    assert_eq!(status(&[(standard, "baremetal-introspection")]).await, 200);
    assert_eq!(status(&[(LEGACY, "1.3"), (standard, "baremetal-introspection 9.9")]).await, 200);
    assert_eq!(status(&[(LEGACY, "9.9"), (standard, "baremetal-introspection 1.17")]).await, 406);
}

#[tokio::test]
async fn spec_8_2_rule_creation_is_200_below_1_6_and_201_from_there() {
    let world = World::new().await;
    let rule = r#"{"actions": [{"action": "set-attribute", "path": "/extra/a", "value": "b"}]}"#;
    for (version, status) in
        [(Some("1.0"), 200), (Some("1.5"), 200), (Some("1.6"), 201), (Some("1.18"), 201), (None, 201)]
    {
        let headers: Vec<(&str, &str)> = version.map(|version| (LEGACY, version)).into_iter().collect();
        let answer = world.call("POST", "/v1/rules", &headers, rule).await;
        assert_eq!(answer.status, status, "{version:?} {:?}", answer.body);
        announced(&answer);
    }
}

#[tokio::test]
async fn spec_8_2_discovery_documents() {
    let world = World::new().await;
    let root = world.get("/").await;
    let link = json!({ "href": "http://manager.example:5050/v1", "rel": "self" });
    assert_eq!(root.json(), json!({ "versions": [{ "id": "1.18", "links": [link], "status": "CURRENT" }] }));
    assert_eq!(&root.body[..23], br#"{"versions":[{"id":"1.1"#);
    assert!(root.body.ends_with(b"}\n"));
    for path in ["/v1", "/v1/"] {
        let body = world.get(path).await.json();
        let resources = body["resources"].as_array().unwrap();
        let names: Vec<&str> = resources.iter().map(|resource| resource["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["continue", "introspection", "rules"]);
        assert_eq!(resources[2]["links"][0]["href"], "http://manager.example:5050/v1/rules");
    }
    let unknown = world.get("/v2").await;
    assert_eq!(unknown.refusal(), (404, "Version v2 not found.".to_owned()));
}
