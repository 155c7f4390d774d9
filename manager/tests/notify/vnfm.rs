//! Tenants that are programs of their own: alarms, links and answers over sockets, from the login to the end of the session
//! (spec/maintenance.md §1.13; §9, 5 and 6). What they do is in tests/python/vnfm.py.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path as PathOf, State};
use axum::routing::delete;
use hostler_core::maintenance::instance::Size;
use hostler_manager::api::server::{Limits, Service, serve, serve_connections};
use hostler_manager::engine::compute::Memory;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::lab::LONG;
use super::python::python;
use super::site::Site;
use super::stage::Stage;

const GROUP: &str = "0b1f2c3d-1111-4222-8333-444455556666";

/// Two of them fill a host.
const HALF: Size = Size { vcpus: 4, memory_mib: 4096, disk_gib: 10 };

/// What a tenant did.
#[derive(Debug, Deserialize)]
struct Report {
    alarms: usize,
    answers: Vec<Answer>,
    /// What it could not read, and whatever was not answered with 200.
    problems: Vec<String>,
    project: String,
    servers: Vec<String>,
    statuses: BTreeMap<String, u32>,
    repeats: u32,
}

#[derive(Debug, Deserialize)]
struct Answer {
    state: String,
    about: Value,
    reply: String,
    /// Of each time that it was sent.
    statuses: Vec<u16>,
}

/// A tenant's process. It ends when nobody speaks to it any more.
struct Tenant {
    process: Child,
    ask: ChildStdin,
    said: Lines<BufReader<ChildStdout>>,
}

impl Tenant {
    /// Starts one and waits until it has said what its instances need, and listens.
    async fn start(python: &Path, environment: &[(&str, &str)]) -> (Self, Report) {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/python/vnfm.py");
        let mut process = Command::new(python)
            .arg("-B")
            .arg(program)
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (ask, said) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let mut tenant = Self { process, ask, said: BufReader::new(said).lines() };
        let report = tenant.hear().await;
        (tenant, report)
    }

    async fn hear(&mut self) -> Report {
        let line = timeout(LONG, self.said.next_line()).await.expect("it says nothing").unwrap();
        serde_json::from_str(&line.expect("it ended; why is above")).unwrap()
    }

    /// Waits until it answered everything that it heard.
    async fn ask(&mut self, what: &str) -> Report {
        self.ask.write_all(format!("{what}\n").as_bytes()).await.unwrap();
        self.hear().await
    }

    /// It takes back what it said of its instances, and ends.
    async fn end(mut self) -> Report {
        let report = self.ask("end").await;
        drop(self.ask);
        let end = timeout(LONG, self.process.wait()).await.expect("it does not end").unwrap();
        assert!(end.success(), "{end}");
        report
    }
}

/// The compute service, as far as a tenant needs it who gives up servers.
async fn remove(State(compute): State<Arc<Memory>>, PathOf(id): PathOf<String>) -> (StatusCode, &'static str) {
    if compute.host_of(&id).is_none() {
        return (StatusCode::NOT_FOUND, "{}");
    }
    compute.remove(&id);
    (StatusCode::OK, "{}")
}

/// A manager behind a socket with three full hosts, of the tenant that runs in the process.
struct Scene {
    stage: Stage,
    tenant: Tenant,
    project: String,
    _stop: DropGuard,
}

impl Scene {
    /// Sets the scene; `None` where there is no such tenant here.
    async fn set(kind: &str) -> Option<Self> {
        let python = python()?;
        // Hosts may be filled up to the last processor.
        let settings = format!("{}\n[maintenance.policy]\ncapacity_reserve = 0\n", Site::guarded_settings());
        let stage = Stage::nameless(&settings, 3).await;
        let (_, project) = stage.person("ann", "member").await;
        let servers: Vec<String> = (1..=6).map(|n| format!("3f7a2b60-5c11-4e0b-9d55-{n:012}")).collect();
        for (n, id) in servers.iter().enumerate() {
            stage.sized(id, &project, n / 2, HALF);
        }
        let stop = CancellationToken::new();
        let (manager, compute) = (free().await, free().await);
        let url = format!("http://{}/identity/v3", manager.local_addr().unwrap());
        let compute_url = format!("http://{}", compute.local_addr().unwrap());
        tokio::spawn(serve(stage.api.clone(), manager, None, stop.clone()));
        let router = Router::new().route("/servers/{id}", delete(remove)).with_state(Arc::clone(&stage.compute));
        let limits = Limits { grace: Duration::from_millis(10), ..Limits::default() };
        tokio::spawn(serve_connections(Service::new(router, limits), compute, None, stop.clone()));
        let (tenant, said) = Tenant::start(
            &python,
            &[
                ("VNFM_KIND", kind),
                ("VNFM_AUTH_URL", &url),
                ("VNFM_USERNAME", "ann"),
                ("VNFM_PASSWORD", "secret-ann"),
                ("VNFM_PROJECT", "anns"),
                ("VNFM_COMPUTE_URL", &compute_url),
                ("VNFM_GROUP", GROUP),
                ("VNFM_SERVERS", &servers.join(",")),
            ],
        )
        .await;
        assert!(said.problems.is_empty() && said.project == project && said.servers == servers, "{said:?}");
        Some(Self { stage, tenant, project, _stop: stop.drop_guard() })
    }

    /// Runs a session to its end; what the tenant did, after it took its records back.
    async fn session(mut self, workflow: &str) -> (Stage, Report) {
        let id = self.stage.session(&json!({ "workflow": workflow })).await;
        let tenant = &mut self.tenant;
        let turn = async || _ = tenant.ask("report").await;
        let end = self.stage.finish(&id, turn).await;
        let report = self.tenant.ask("report").await;
        let path = format!("/v1/maintenance/{id}/detail");
        let detail = self.stage.of("admin", "GET", &path, &Value::Null).await.is(200);
        assert_eq!(end, "MAINTENANCE_DONE", "{detail}\n{report:#?}");
        let report = Report { answers: report.answers, ..self.tenant.end().await };
        assert_eq!(report.problems, [] as [String; 0]);
        assert!(report.repeats == 0 && report.statuses.keys().eq(["200"]), "{:?}", report.statuses);
        let told = self.stage.told().await;
        let told = told.iter().filter(|event| event.data["project_id"] == self.project.as_str());
        let told: Vec<_> = told.filter(|event| event.kind == "maintenance.scheduled").collect();
        // It heard everything once, and left no question open.
        let questions = told.iter().filter(|event| event.data["state"] != "INSTANCE_ACTION_DONE").count();
        let answers = report.answers.iter().filter(|answer| answer.state != "INSTANCE_ACTION_DONE").count();
        assert_eq!((report.alarms, answers), (told.len(), questions), "{:#?}", report.answers);
        for server in &report.servers {
            assert!((1..=2).contains(&self.stage.compute.performed(server)), "{server}");
        }
        (self.stage, report)
    }
}

/// A socket on a free port.
async fn free() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

/// How often something was answered with that.
fn count(report: &Report, reply: &str) -> usize {
    report.answers.iter().filter(|answer| answer.reply == reply).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spec_9_06_a_stock_subscriber_answers_for_each_instance_twice() {
    let Some(scene) = Scene::set("tacker").await else { return };
    let (stage, report) = scene.session("vnf").await;
    // Every question was refused once and then agreed to; what is about an instance was said twice each time.
    for state in ["MAINTENANCE", "SCALE_IN", "PLANNED_MAINTENANCE", "MAINTENANCE_COMPLETE"] {
        let (yes, no) = (count(&report, &format!("ACK_{state}")), count(&report, &format!("NACK_{state}")));
        assert!(yes > 0 && yes == no, "{state}: {yes} and {no}: {:#?}", report.answers);
    }
    // One agreement to shrink came to nothing, the next one left a host empty.
    assert_eq!((count(&report, "ACK_SCALE_IN"), report.servers.len()), (2, 4));
    for answer in &report.answers {
        let twice = answer.state == "PLANNED_MAINTENANCE" || answer.state == "PREPARE_MAINTENANCE";
        assert_eq!(answer.statuses, vec![200; if twice { 2 } else { 1 }], "{answer:?}");
        assert_eq!(answer.about.is_array(), twice || answer.state == "INSTANCE_ACTION_DONE", "{answer:?}");
    }
    assert_eq!(count(&report, "ACK_INSTANCE_ACTION_DONE"), 4, "{:#?}", report.answers);
    // What it said of its instances is gone.
    for list in ["instance", "instance_group"] {
        let left = stage.of("admin", "GET", &format!("/v1/{list}"), &Value::Null).await.is(200);
        assert!(left.as_object().unwrap().values().all(|list| *list == json!([])), "{left}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spec_9_05_a_stock_subscriber_answers_for_all_instances_at_once() {
    let Some(scene) = Scene::set("doctor").await else { return };
    let (_, report) = scene.session("default").await;
    assert_eq!((count(&report, "ACK_SCALE_IN"), report.servers.len()), (1, 4));
    for state in ["MAINTENANCE", "PREPARE_MAINTENANCE", "PLANNED_MAINTENANCE", "MAINTENANCE_COMPLETE"] {
        assert!(count(&report, &format!("ACK_{state}")) > 0, "{state}: {:#?}", report.answers);
    }
    assert!(report.answers.iter().all(|answer| answer.about.is_string() && answer.statuses == [200]), "{report:#?}");
}
