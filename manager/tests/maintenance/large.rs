//! The largest fleet that the specification names: 500 hosts with 10,000 instances in groups (spec/maintenance.md §9, 21).
//!
//! How long things take is shown and not judged, for the machine may have much else to do; what would make them long or large
//! is: the entries and the bytes of every answer, and that everything is reached once.

use std::collections::BTreeSet;
use std::time::Instant;

use hostler_common::time::Clock as _;
use hostler_core::machine::Machine as _;
use hostler_core::maintenance::constraint::{GroupConstraint, InstanceConstraint};
use hostler_core::maintenance::instance::{Instance, InstanceState, MoveAction, Size};
use hostler_core::maintenance::session::Session;
use hostler_manager::store::machine::machine_find;
use hostler_manager::store::maintenance::{constraint_put, group_put};
use serde_json::{Value, json};

use super::crew::{Crew, Nobody};

const HOSTS: usize = 500;
const PER_HOST: usize = 20;
const INSTANCES: usize = HOSTS * PER_HOST;
const PROJECTS: usize = 20;
/// Members of each group, all on different hosts.
const MEMBERS: usize = 10;

const ROOM: Size = Size { vcpus: 64, memory_mib: 262_144, disk_gib: 4000 };
const SIZE: Size = Size { vcpus: 2, memory_mib: 8192, disk_gib: 40 };

/// The most bytes that one entry of a list may take: names, moments and reasons are bounded.
const ENTRY_BYTES: usize = 2048;

/// The most bytes that the plan of one host may take: twenty landings with a few other places each.
const PLAN_BYTES: usize = PER_HOST * 1024;

/// The most bytes that the session's document may take: hosts and instances are rows of their own.
const DOCUMENT_BYTES: usize = 65_536;

/// The id of an instance; those of a host have neighbouring numbers.
fn id(n: usize) -> String {
    format!("3f7a2b60-5c11-4e0b-9d55-{n:012}")
}

/// The group of an instance: hosts take turns.
fn group(n: usize) -> String {
    let (host, place) = (n / PER_HOST, n % PER_HOST);
    format!("0b1f2c3d-1111-4222-8333-{:012}", host / MEMBERS * PER_HOST + place)
}

/// What tenants say of their instances, and the instances.
async fn settle(crew: &Crew, projects: &[String]) {
    for n in 0..INSTANCES {
        crew.compute.put(Instance {
            id: id(n),
            name: format!("vm-{n}"),
            project: projects[n % PROJECTS].clone(),
            host: crew.hosts[n / PER_HOST],
            state: InstanceState::Active,
            size: SIZE,
            can_live_migrate: true,
            needs: Vec::new(),
            group: None,
            busy: false,
        });
    }
    let (now, projects) = (crew.site.clock.now(), projects.to_vec());
    let write = crew.site.api.engine.store.write(move |tx| {
        let projects = projects.clone();
        Box::pin(async move {
            let mut known = BTreeSet::new();
            for n in 0..INSTANCES {
                let project = projects[n % PROJECTS].clone();
                if known.insert(group(n)) {
                    group_put(tx, &of_group(group(n), project.clone()), now).await?;
                }
                constraint_put(tx, &of_instance(n, project), now).await?;
            }
            Ok(())
        })
    });
    write.await.unwrap();
}

fn of_group(group_id: String, project_id: String) -> GroupConstraint {
    GroupConstraint {
        group_id,
        project_id,
        group_name: None,
        anti_affinity_group: true,
        max_instances_per_host: 1,
        max_impacted_members: 1,
        recovery_time: 60,
        resource_mitigation: true,
    }
}

fn of_instance(n: usize, project_id: String) -> InstanceConstraint {
    InstanceConstraint {
        instance_id: id(n),
        project_id,
        group_id: Some(group(n)),
        instance_name: None,
        max_interruption_time: 120,
        migration_type: MoveAction::LiveMigrate,
        resource_mitigation: true,
        lead_time: 120,
    }
}

/// A fleet whose session was announced.
async fn announced() -> (Crew, String, Vec<String>) {
    let mut crew = Crew::with_room(HOSTS, "", ROOM).await;
    let projects: Vec<String> = (0..PROJECTS).map(|n| format!("7c1d9be24f6a4d0f8b35a6e2c94{n:05}")).collect();
    for project in &projects {
        crew.site.listen_for(project).await;
    }
    settle(&crew, &projects).await;
    let body = json!({
        "maintenance_at": "2031-04-12 22:00:00", "workflow": "vnf", "dry_run": true, "policy": {"max_parallel_hosts": 0},
        "actions": [{"plugin": "dummy", "type": "host"}],
    });
    let rehearsed = timed(&crew, "dry run", "POST", "/v1/maintenance", &body).await;
    is_planned(&rehearsed["plan"]);
    let began = Instant::now();
    let id = crew.session(json!({"maintenance_at": "2031-04-12 22:00:00", "workflow": "vnf"})).await;
    println!("made: {:?}", began.elapsed());
    let began = Instant::now();
    crew.step(&mut [Nobody]).await;
    println!("announced: {:?}", began.elapsed());
    (crew, id, projects)
}

/// Asks as the administrator and shows how long it took and how much came.
async fn timed(crew: &Crew, what: &str, method: &str, path: &str, body: &Value) -> Value {
    let began = Instant::now();
    let answer = crew.site.of("admin", method, path, body).await;
    println!("{what}: {:?}, {} bytes", began.elapsed(), answer.body.len());
    answer.is(200)
}

/// That every host has its place and every instance somewhere to go, and that it is said within bounds.
fn is_planned(plan: &Value) {
    let hosts = plan["hosts"].as_array().unwrap();
    let landings = hosts.iter().flat_map(|host| host["landings"].as_array().unwrap());
    let places: BTreeSet<&str> = landings.map(|landing| landing["instance"].as_str().unwrap()).collect();
    assert_eq!((hosts.len(), places.len()), (HOSTS, INSTANCES));
    for host in hosts {
        assert_eq!(host["blockers"], json!([]));
        let bytes = host.to_string().len();
        assert!(bytes <= PLAN_BYTES, "{bytes} bytes of {}", host["name"]);
    }
}

/// Reads a list of `detail` page by page, the other lists as short as that; the names of all entries.
async fn pages(crew: &Crew, id: &str, limit: usize, list: &str, name: &str) -> BTreeSet<String> {
    let (mut seen, mut from, mut slowest, mut count) = (BTreeSet::new(), String::new(), 0, 0);
    loop {
        let path = format!("/v1/maintenance/{id}/detail?limit={limit}{from}");
        let began = Instant::now();
        let answer = crew.site.of("admin", "GET", &path, &Value::Null).await;
        slowest = slowest.max(began.elapsed().as_millis());
        count += 1;
        let bytes = answer.body.len();
        let page = answer.is(200);
        let mut entries = 0;
        for part in ["hosts", "projects", "instances", "action_plugin_instances"] {
            let shown = page[part].as_array().unwrap().len();
            assert!(shown <= limit, "{shown} {part} on a page of {limit}");
            entries += shown;
        }
        assert!(bytes <= (entries + 4) * ENTRY_BYTES, "{bytes} bytes for {entries} entries");
        for one in page[list].as_array().unwrap() {
            assert!(seen.insert(one[name].as_str().unwrap().to_owned()), "{} is shown twice", one[name]);
        }
        match page["next"][list].as_str() {
            Some(next) => from = format!("&{list}_after={next}"),
            None => break,
        }
        assert!(count <= INSTANCES, "it does not end");
    }
    println!("{list}, {limit} a page: {count} pages, the slowest {slowest} ms");
    seen
}

/// The size of the session's document, which is read and written with each of its decisions.
async fn document(crew: &Crew, id: &str) -> usize {
    let mut connection = crew.site.api.engine.store.read().await.unwrap();
    let found = machine_find::<Session>(&mut connection, Session::KIND, id).await.unwrap().unwrap();
    serde_json::to_vec(&found.machine).unwrap().len()
}

#[tokio::test]
async fn spec_9_21_500_hosts_with_10000_instances_in_bounded_parts() {
    let (crew, session, projects) = announced().await;
    let plan = timed(&crew, "plan", "GET", &format!("/v1/maintenance/{session}/plan"), &Value::Null).await;
    is_planned(&plan["plan"]);
    for limit in [1000, 300] {
        assert_eq!(pages(&crew, &session, limit, "instances", "instance_id").await, (0..INSTANCES).map(id).collect());
    }
    assert_eq!(pages(&crew, &session, 100, "hosts", "hostname").await.len(), HOSTS);
    let shown = pages(&crew, &session, 7, "projects", "project_id").await;
    assert_eq!(shown, projects.iter().cloned().collect());
    // A page of one entry of each list is read as one, from wherever in the list.
    let last = format!("/v1/maintenance/{session}/detail?limit=1&instances_after={}", id(INSTANCES - 2));
    let last = timed(&crew, "the last one", "GET", &last, &Value::Null).await;
    assert_eq!(
        (&last["instances"][0]["instance_id"], &last["next"]["instances"]),
        (&json!(id(INSTANCES - 1)), &Value::Null)
    );
    // A project hears of its own, all of them.
    let path = format!("/v1/maintenance/{session}/{}", projects[3]);
    let own = timed(&crew, "of a project", "GET", &path, &Value::Null).await;
    assert_eq!(own["instance_ids"].as_array().unwrap().len(), INSTANCES / PROJECTS);
    let document = document(&crew, &session).await;
    println!("document: {document} bytes");
    assert!(document <= DOCUMENT_BYTES, "{document} bytes");
    let told: BTreeSet<&str> = crew.notices.iter().map(|notice| notice["project_id"].as_str().unwrap()).collect();
    assert_eq!((crew.notices.len(), told.len()), (PROJECTS, PROJECTS), "one question for each project");
}
