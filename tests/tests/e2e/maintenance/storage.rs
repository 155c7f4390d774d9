//! Sessions over hosts of a real cluster whose daemons are left running: gates, flags and the lock of the storage
//! (spec/maintenance.md §8).

use std::time::Duration;

use hostler_tests::ceph::{Cluster, Options};
use hostler_tests::hosts;
use hostler_tests::lab::{Agent, Manager, until};
use serde_json::{Value, json};

use super::session::{SOON, Session};

const HOSTS: [&str; 3] = ["host1", "host2", "host3"];

/// How long it is watched that nothing happens.
const WATCHED: Duration = Duration::from_secs(12);

/// A manager, a cluster of three hosts, and an agent for each, which finds itself on the host of its name.
struct Fleet {
    manager: Manager,
    _agents: Vec<Agent>,
    cluster: Cluster,
}

impl Fleet {
    async fn start() -> Option<Self> {
        // Names of hosts are given as root only.
        if !hosts::possible() {
            return None;
        }
        let cluster = Cluster::start(Options { mgrs: 2, named: true, ..Options::default() }).unwrap()?;
        cluster.pool_create("data", "rbd").unwrap();
        let manager = Manager::start().await.unwrap();
        let mut agents = Vec::new();
        for name in HOSTS {
            let mut agent = Agent::joined(&manager, name).await.unwrap();
            let named = ["unshare", "--uts", "sh", "-c", "hostname \"$1\" && shift && exec \"$@\"", "on-host", name];
            agent.launcher = named.map(str::to_owned).to_vec();
            agent.environment = vec![("CEPH_CONF".into(), cluster.conf().display().to_string())];
            agent.run().unwrap();
            agents.push(agent);
        }
        for name in HOSTS {
            let known = until(SOON, "the manager knows the cluster of the host", async || {
                let host = manager.get(&format!("/api/hosts/{name}")).await?;
                Ok(host["state"] == "online" && host["cluster"] == cluster.fsid())
            });
            known.await.unwrap();
        }
        Some(Self { manager, _agents: agents, cluster })
    }

    /// A session that leaves the daemons running.
    async fn session(&self, host: &str, action: Value) -> Session {
        let policy = json!({ "storage": { "keep_daemons": true, "stable_for": 0 } });
        Session::create(&self.manager, json!({ "hosts": [host], "actions": [action], "policy": policy })).await
    }

    async fn dummy(&self, host: &str) -> Session {
        self.session(host, json!({ "plugin": "dummy", "type": "host" })).await
    }

    /// Waits until the session does not come on, for that reason, and stays so for a while.
    async fn stands(&self, session: &Session, word: &str) {
        let waits = |detail: &Value| {
            let host = &detail["hosts"][0];
            let phase = host["phase"].as_str().unwrap_or_default();
            phase.starts_with("waiting_") && host["reason"]["text"].as_str().is_some_and(|text| text.contains(word))
        };
        session.wait(&self.manager, SOON, &format!("it waits for {word}"), waits).await;
        tokio::time::sleep(WATCHED).await;
        let detail = session.detail(&self.manager).await;
        assert!(waits(&detail), "{detail}");
        assert!(
            session.steps(&self.manager).await.iter().all(|step| step["name"] != "noout" && step["name"] != "dummy")
        );
    }

    async fn done(&self, session: &Session) {
        session.ends(&self.manager, SOON, "MAINTENANCE_DONE").await;
    }

    fn flags(&self) -> Value {
        self.cluster.ceph(&["osd", "dump"]).unwrap()["crush_node_flags"].clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spec_9_19_flags_and_daemons_of_others_close_the_gate() {
    let Some(fleet) = Fleet::start().await else { return };
    // While the OSD of another host is down, no second one is touched.
    fleet.cluster.stop_osd(0).unwrap();
    fleet.cluster.wait_check("OSD_DOWN").unwrap();
    let session = fleet.dummy("host2").await;
    fleet.stands(&session, "osd").await;
    fleet.cluster.start_osd(0).unwrap();
    fleet.done(&session).await;
    assert_eq!(session.done(&fleet.manager, "host2").await["noout"], 1);
    assert_eq!(fleet.flags(), json!({}));

    // A flag that somebody else set on another host; it is theirs to take back.
    fleet.cluster.ceph(&["osd", "set-group", "noout", "host3"]).unwrap();
    let session = fleet.dummy("host1").await;
    fleet.stands(&session, "flags").await;
    fleet.cluster.ceph(&["osd", "unset-group", "noout", "host3"]).unwrap();
    fleet.done(&session).await;

    // One on the host itself, which somebody says is known: it is there before and afterwards.
    fleet.cluster.ceph(&["osd", "set-group", "noout", "host1"]).unwrap();
    let session = fleet.dummy("host1").await;
    fleet.stands(&session, "flags").await;
    let force = json!({ "host": "host1", "ignore_health": ["OSD_FLAGS"], "reason": "it is ours" });
    session.update(&fleet.manager, json!({ "force": force })).await;
    fleet.done(&session).await;
    assert_eq!(fleet.flags(), json!({ "host1": ["noout"] }), "{}", session.told(&fleet.manager).await);
    fleet.cluster.ceph(&["osd", "unset-group", "noout", "host1"]).unwrap();

    // Data in a pool that cannot spare a copy would be out of reach.
    fleet.cluster.ceph(&["osd", "pool", "set", "data", "size", "2"]).unwrap();
    fleet.cluster.ceph(&["osd", "pool", "set", "data", "min_size", "2"]).unwrap();
    let refused = Session::create(&fleet.manager, json!({ "hosts": ["host1"] })).await;
    let detail = refused.ends(&fleet.manager, SOON, "MAINTENANCE_FAILED").await;
    assert_eq!(detail["reason"]["code"], "ceph.tight_pools", "{detail}");
    assert!(detail["reason"]["text"].as_str().unwrap().contains("data"), "{detail}");
    assert_eq!(fleet.flags(), json!({}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spec_9_20_two_sessions_never_have_the_storage_together() {
    let Some(fleet) = Fleet::start().await else { return };
    let wait = json!({ "plugin": "wait", "type": "host", "metadata": { "message": "look at it" } });
    let one = fleet.session("host1", wait).await;
    let waits = |detail: &Value| detail["hosts"][0]["phase"] == "waiting_approval";
    one.wait(&fleet.manager, SOON, "the first has the storage and waits", waits).await;
    assert_eq!(fleet.flags(), json!({ "host1": ["noout"] }));
    let two = fleet.dummy("host2").await;
    let three = fleet.dummy("host3").await;
    fleet.stands(&two, "").await;
    fleet.stands(&three, "").await;
    // Two sessions on one host: the second is refused.
    let body = json!({ "hosts": ["host2"], "maintenance_at": super::session::NOW });
    let refused = fleet.manager.call("POST", "/v1/maintenance", Some(body)).await.unwrap();
    assert_eq!(refused.status, 409, "{refused:?}");

    one.update(&fleet.manager, json!({ "approve": true })).await;
    let mut held = Vec::new();
    for (session, host) in [(&one, "host1"), (&two, "host2"), (&three, "host3")] {
        fleet.done(session).await;
        let steps = session.steps(&fleet.manager).await;
        let at = |name: &str| steps.iter().position(|step| step["name"] == name && step["state"] == "DONE").unwrap();
        assert!(at("lock") < at("noout") && at("noout_off") < at("unlock"), "{host}");
        let moment = |name: &str, key: &str| steps[at(name)][key].as_str().unwrap().to_owned();
        held.push((moment("lock", "finished_at"), moment("unlock", "started_at")));
    }
    held.sort();
    assert!(held.windows(2).all(|pair| pair[0].1 <= pair[1].0), "two at once: {held:?}");
    assert_eq!(fleet.flags(), json!({}));
}
