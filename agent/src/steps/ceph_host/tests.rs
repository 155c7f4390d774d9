use super::*;
use crate::ceph::Reply;
use crate::steps::fixture::recorded;

fn answers() -> Answers {
    Answers {
        nodes: recorded("node_ls"),
        tree: recorded("tree"),
        services: recorded("service"),
        crush: recorded("crush"),
        dump: recorded("osd_dump"),
        pools: recorded("pools"),
    }
}

/// Says where OSDs run.
struct Finds(&'static str);

impl CephClient for Finds {
    fn send(&mut self, command: &Value, _: &[u8]) -> Result<Reply, Error> {
        assert_eq!(command["prefix"], "osd find");
        Ok(Reply { output: json!({"host": self.0}).to_string().into_bytes(), status: String::new() })
    }
}

fn differs(answers: &Answers, name: &str, runs_on: &'static str) -> Option<String> {
    let (here, bucket) = views(answers, name);
    mismatch(&mut Finds(runs_on), name, &here, bucket.as_ref()).unwrap()
}

#[test]
fn a_host_with_all_of_it() {
    let found = host(&answers(), "host2.example.org");
    let text = |name: &str| vec![name.to_owned()];
    assert_eq!(found.daemons, Daemons { osds: vec![1], mons: text("b"), mgrs: text("y"), ..Daemons::default() });
    assert_eq!((found.bucket.as_deref(), found.flags), (Some("host2"), text("noout")));
    assert_eq!(found.location, [("root".to_owned(), "default".to_owned())].into());
    assert_eq!((found.domain.as_deref(), found.tight_pools.len()), (Some("host"), 0));
    assert_eq!(differs(&answers(), "host2", "host2"), None);
    assert_eq!(host(&answers(), "host1").daemons.mdss, text("a"));
    let stranger = host(&answers(), "elsewhere");
    assert!(stranger.daemons.is_empty() && stranger.bucket.is_none());
    assert_eq!(stranger.domain.as_deref(), Some("host"));
}

#[test]
fn the_union_of_both_views_counts_and_their_difference_is_said() {
    let mut moved = answers();
    // CRUSH has OSD 2 in host2, while it runs on host3.
    for node in moved.tree["nodes"].as_array_mut().unwrap() {
        match node["name"].as_str() {
            Some("host2") => node["children"] = json!([1, 2]),
            Some("host3") => node["children"] = json!([]),
            _ => {}
        }
    }
    assert_eq!(host(&moved, "host2").daemons.osds, [1, 2]);
    assert_eq!(host(&moved, "host3").daemons.osds, [2]);
    let reason = differs(&moved, "host2", "host3").unwrap();
    assert!(reason.contains("osd.2 is in the CRUSH bucket of host2 and runs on host3"), "{reason}");
    let reason = differs(&moved, "host3", "host3").unwrap();
    assert!(reason.contains("osd.2 runs on host3 and is not in the CRUSH bucket host3"), "{reason}");
    // An OSD that never ran is not elsewhere.
    assert_eq!(differs(&moved, "host2", ""), None);
}

#[test]
fn a_bucket_of_another_name_is_found_by_its_osds() {
    let mut renamed = answers();
    for node in renamed.tree["nodes"].as_array_mut().unwrap() {
        if node["name"] == "host2" {
            node["name"] = json!("host2-ssd");
        }
    }
    assert_eq!(host(&renamed, "host2").bucket.as_deref(), Some("host2-ssd"));
    assert_eq!(differs(&renamed, "host2", "host2"), None);
}

#[test]
fn domains_and_tight_pools() {
    let rule = |id: u64, steps: Value| json!({"rule_id": id, "steps": steps});
    let crush = json!({
        "types": recorded("crush")["types"],
        "rules": [
            rule(0, json!([{"op": "take"}, {"op": "chooseleaf_firstn", "type": "rack"}, {"op": "emit"}])),
            rule(1, json!([{"op": "choose_indep", "type": "rack"}, {"op": "chooseleaf_indep", "type": "host"}])),
            rule(2, json!([{"op": "choose_firstn", "type": "osd"}])),
        ]
    });
    let pool = |rule: u64, size: u64, min: u64| json!({"pool_name": format!("p{rule}"), "crush_rule": rule, "size": size, "min_size": min});
    let domain_of = |pools: &[Value]| domain(&json!(pools), &crush);
    assert_eq!(domain_of(&[]), None);
    assert_eq!(domain_of(&[pool(0, 3, 2)]).as_deref(), Some("rack"));
    assert_eq!(domain_of(&[pool(0, 3, 2), pool(1, 3, 2)]).as_deref(), Some("host"));
    assert_eq!(domain_of(&[pool(2, 3, 2), pool(1, 3, 2)]).as_deref(), Some("osd"));
    assert_eq!(tight_pools(&json!([pool(0, 3, 2), pool(1, 2, 2), pool(2, 1, 1)])), ["p1", "p2"]);
}

#[test]
fn gateways_are_found_by_the_name_of_their_host() {
    let services = json!({"services": {"rgw": {"daemons": {
        "summary": "", "4123": {"metadata": {"id": "store.a", "hostname": "host1"}},
        "b": {"metadata": {"hostname": "host2.example.org"}},
    }}}});
    assert_eq!(gateways(&services, "host1"), ["store.a"]);
    assert_eq!(gateways(&services, "host2"), ["b"]);
}

#[test]
fn cephadm_leaves_a_template_of_units() {
    let root = tempfile::tempdir().unwrap();
    assert!(!managed(root.path(), "f"));
    std::fs::create_dir_all(root.path().join("etc/systemd/system")).unwrap();
    std::fs::write(root.path().join("etc/systemd/system/ceph-f@.service"), "").unwrap();
    assert!(managed(root.path(), "f") && !managed(root.path(), ""));
}
