use proptest::prelude::*;
use serde_json::json;

use super::*;

#[test]
fn health_of_both_commands() {
    let health = json!({"status": "HEALTH_WARN", "checks": {"OSD_DOWN": {"severity": "HEALTH_WARN",
        "summary": {"message": "1 osds down", "count": 1}, "detail": [], "muted": true}, "ODD": {}}, "mutes": []});
    let read = super::health(&health).unwrap();
    assert_eq!(read.status, "HEALTH_WARN");
    let check = Check { severity: "HEALTH_WARN".into(), count: 1, message: "1 osds down".into(), muted: true };
    assert_eq!(read.checks["OSD_DOWN"], check);
    assert_eq!(read.checks["ODD"], Check::default());
    assert_eq!(super::health(&json!({"fsid": "x", "health": health})), Some(read));
    assert_eq!(super::health(&json!({})), None);
}

#[test]
fn maps() {
    let map = osd_map(&json!({"epoch": 40, "crush_version": 9, "flags": "noout,sortbitwise", "osds": [
        {"osd": 0, "up": 1, "in": 1, "up_from": 7}, {"osd": 1, "up": false, "in": true}, {"no": "number"}]}));
    assert_eq!((map.epoch, map.crush_version), (Some(40), Some(9)));
    assert_eq!(map.flags, ["noout", "sortbitwise"]);
    assert_eq!(map.osds[0], Osd { id: 0, up: true, r#in: true, up_from: 7 });
    assert_eq!(map.osds[1], Osd { id: 1, up: false, r#in: true, up_from: 0 });
    assert_eq!(osd_epoch(&json!({"epoch": 3})), Some(3));
    assert_eq!(osd_epoch(&json!({"osdmap": {"epoch": 3}})), Some(3));
}

#[test]
fn the_hash_is_of_what_counts() {
    let one = json!({"devices": [{"id": 0, "name": "osd.0"}], "choose_args": {"-1": []}});
    let same = json!({"choose_args": {}, "devices": [{"name": "osd.0", "id": 0}]});
    let other = json!({"devices": [{"id": 1, "name": "osd.0"}]});
    assert_eq!(crush_hash(&one), crush_hash(&same));
    assert_ne!(crush_hash(&one), crush_hash(&other));
}

#[test]
fn changes_of_options() {
    let answer = json!([
        {"version": 3, "timestamp": "2026-01-01T00:00:00.000000+0000", "name": "",
         "changes": [{"name": "osd.0/debug_osd", "previous_value": "1/5", "new_value": "2/5"}, {"name": "global/x", "new_value": "1"}]},
        {"version": 2, "name": "", "changes": []},
        {"odd": true},
    ]);
    let log = config_log(&answer);
    assert_eq!(log.iter().map(|change| change.version).collect::<Vec<_>>(), [3, 2]);
    assert_eq!(log[0].options, ["osd.0/debug_osd", "global/x"]);
    assert!(config_log(&json!({})).is_empty());
}

#[test]
fn snapshots_and_names() {
    let list = json!([{"id": 4, "name": "a", "size": 1, "protected": "false"},
        {"id": 5, "name": ".mirror.x", "namespace": {"type": "mirror"}}]);
    let expected = [
        RbdSnapshot { id: 4, name: "a".into(), mirror: false },
        RbdSnapshot { id: 5, name: ".mirror.x".into(), mirror: true },
    ];
    assert_eq!(rbd_snapshots(&list), expected);
    assert_eq!(names(&json!(["a", {"name": "b"}, 3])), ["a", "b"]);
    let pools = json!([{"pool_name": "rbd", "application_metadata": {"rbd": {}}}, {"pool_name": "x"}]);
    assert_eq!(rbd_pools(&pools), ["rbd"]);
}

#[test]
fn who_is_there() {
    assert!(presence::mon(&json!({"quorum_names": ["a"]}), "a") && !presence::mon(&json!({}), "a"));
    let mgr = json!({"active_name": "x", "available": true, "standbys": [{"name": "y"}]});
    assert!(presence::mgr(&mgr, "x") && presence::mgr(&mgr, "y") && !presence::mgr(&mgr, "z"));
    let fs = json!({"standbys": [{"name": "s"}], "filesystems": [{"mdsmap": {"info": {"gid_1": {"name": "a"}}}}]});
    assert!(presence::mds(&fs, "s") && presence::mds(&fs, "a") && !presence::mds(&fs, "b"));
    let services = json!({"services": {"rgw": {"daemons": {"4711": {"metadata": {"id": "host1"}}, "summary": ""}}}});
    assert!(presence::rgw(&services, "host1") && !presence::rgw(&services, "host2"));
}

proptest! {
    /// Nothing that Ceph may say is too odd.
    #[test]
    fn arbitrary_answers_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(value) = serde_json::from_slice::<Value>(&bytes) {
            let _ = super::health(&value);
            let _ = osd_map(&value);
            let _ = rbd_snapshots(&value);
            let _ = names(&value);
            let _ = crush_hash(&value);
        }
    }
}
