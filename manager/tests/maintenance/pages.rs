//! Sessions with many hosts and instances are shown part by part (spec/maintenance.md §9, 21).

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::crew::{Crew, Nobody};

const HOSTS: usize = 60;
const PER_HOST: usize = 25;

/// A session of one project that is asked, with more instances than one answer shows.
async fn large() -> (Crew, String) {
    let mut crew = Crew::new(HOSTS, "").await;
    let (_, project) = crew.site.person("ann", "member").await;
    crew.site.listen_for(&project).await;
    for host in 0..HOSTS {
        for n in 0..PER_HOST {
            crew.instance(&format!("i-{host:02}-{n:02}"), &project, host);
        }
    }
    let id = crew.session(json!({"maintenance_at": "2031-04-12 22:00:00"})).await;
    crew.step(&mut [Nobody]).await;
    (crew, id)
}

/// What a path shows, page by page, of a list; the next page begins where the answer says.
async fn all(crew: &Crew, path: &str, limit: usize, list: &str, name: &str, after: &str) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut from = String::new();
    loop {
        let page = crew.site.of("admin", "GET", &format!("{path}?limit={limit}{from}"), &Value::Null).await.is(200);
        let shown = page[list].as_array().unwrap();
        assert!(shown.len() <= limit, "{} of {limit}", shown.len());
        for one in shown {
            let text = one[name].as_str().map_or_else(|| one[name].to_string(), str::to_owned);
            assert!(seen.insert(text), "{} is shown twice", one[name]);
        }
        let next = if page["next"].is_object() { &page["next"][list] } else { &page["next"] };
        match next {
            Value::Null => return seen,
            next => from = format!("&{after}={}", next.as_str().map_or_else(|| next.to_string(), str::to_owned)),
        }
    }
}

#[tokio::test]
async fn spec_9_21_everything_is_shown_once_page_by_page() {
    let (crew, id) = large().await;
    let path = |rest: &str| format!("/v1/maintenance/{id}/{rest}");
    let whole = crew.detail(&id).await;
    assert_eq!(whole["hosts"].as_array().unwrap().len(), HOSTS);
    assert_eq!(whole["instances"].as_array().unwrap().len(), 1000, "no answer grows without bound");
    assert_eq!(
        whole["next"],
        json!({"hosts": null, "projects": null, "instances": whole["instances"][999]["instance_id"]})
    );
    let instances = all(&crew, &path("detail"), 400, "instances", "instance_id", "instances_after").await;
    assert_eq!(instances.len(), HOSTS * PER_HOST);
    let by_detail = all(&crew, &path("detail"), 25, "hosts", "hostname", "hosts_after").await;
    let by_hosts = all(&crew, &path("hosts"), 7, "hosts", "hostname", "after").await;
    assert_eq!((by_detail.len(), &by_detail), (HOSTS, &by_hosts));
    for wrong in ["limit=0", "limit=1001", "hosts_after=nobody", "projects_after=nobody"] {
        crew.site.of("admin", "GET", &format!("{}?{wrong}", path("detail")), &Value::Null).await.error(422);
    }
    crew.site.of("admin", "GET", &format!("{}?after=nobody", path("hosts")), &Value::Null).await.error(422);
}

#[tokio::test]
async fn spec_9_21_history_is_shown_once_page_by_page() {
    let mut crew = Crew::new(5, "").await;
    let id = crew.session(json!({})).await;
    assert_eq!(crew.finish(&id, &mut [Nobody]).await, "MAINTENANCE_DONE");
    for (part, list) in [("steps", "steps"), ("events", "events")] {
        let path = format!("/v1/maintenance/{id}/{part}");
        let whole = all(&crew, &path, 1000, list, "id", "after").await;
        assert!(whole.len() > 10, "{part}: {whole:?}");
        assert_eq!(all(&crew, &path, 3, list, "id", "after").await, whole);
    }
    let path = format!("/v1/maintenance/{id}/steps?host=kvm-a03&kind=plugin&state=DONE");
    let steps = crew.site.of("admin", "GET", &path, &Value::Null).await.is(200)["steps"].clone();
    assert_eq!((steps.as_array().unwrap().len(), &steps[0]["name"]), (1, &json!("dummy")), "{steps}");
    let detail = crew.detail(&id).await;
    let stands = detail["action_plugin_instances"].as_array().unwrap();
    assert!(
        stands.len() == 5 && stands.iter().all(|one| one["plugin"] == "dummy" && one["state"] == "DONE"),
        "{stands:?}"
    );
}
