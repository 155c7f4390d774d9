//! Gates that servers elsewhere open, with real servers: what keeps a host waiting, what it says meanwhile, and that nothing but
//! the right answer lets it go on (spec/maintenance.md §3.9).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use bytes::Bytes;
use hostler_common::time::Clock as _;
use hostler_manager::gate::Gates;
use hostler_manager::store::machine::timer_next;
use http::{Request, Response};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::crew::{Crew, Nobody};

/// How long a server may take, where it takes longer than anybody may.
const SHORT: Duration = Duration::from_millis(400);

/// How long it may take where the test is not about that.
const LONG: Duration = Duration::from_secs(300);

/// What a server does with a request.
#[derive(Clone, Debug)]
enum Act {
    /// It answers.
    Say(u16, String),
    /// It sends the client elsewhere.
    SendOn(String),
    /// It says nothing, ever.
    Hang,
    /// It begins an answer of 200 that has no end, and stops in the middle of it after so many bytes, if any.
    Flood(Option<usize>),
}

/// A server that does what it is told, and remembers what it was asked.
struct Server {
    url: String,
    acts: Arc<Mutex<VecDeque<Act>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

type Shared = (Arc<Mutex<VecDeque<Act>>>, Arc<Mutex<Vec<String>>>);

impl Server {
    /// One that does this at every request, until it is told something else.
    async fn new(act: Act) -> Self {
        let acts = Arc::new(Mutex::new(VecDeque::from([act])));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let routes = Router::new().fallback(serve).with_state((Arc::clone(&acts), Arc::clone(&asked)));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { url, acts, asked }
    }

    /// From now on it does this.
    fn now(&self, act: Act) {
        *self.acts.lock().unwrap() = VecDeque::from([act]);
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve(State((acts, asked)): State<Shared>, request: Request<Body>) -> Response<Body> {
    asked.lock().unwrap().push(format!("{} {}", request.method(), request.uri()));
    let act = acts.lock().unwrap().front().cloned().unwrap();
    match act {
        Act::Say(status, body) => Response::builder().status(status).body(Body::from(body)).unwrap(),
        Act::SendOn(to) => Response::builder().status(302).header("location", to).body(Body::empty()).unwrap(),
        Act::Hang => std::future::pending().await,
        Act::Flood(stop) => {
            let chunk = Bytes::from(vec![b'['; 64 << 10]);
            let flood = futures::stream::unfold(0_usize, move |sent| {
                let chunk = chunk.clone();
                async move {
                    if stop.is_some_and(|stop| sent >= stop) {
                        std::future::pending::<()>().await;
                    }
                    Some((Ok::<_, std::io::Error>(chunk.clone()), sent + chunk.len()))
                }
            });
            Response::new(Body::from_stream(flood))
        }
    }
}

fn say(status: u16) -> Act {
    Act::Say(status, "whatever".into())
}

/// A manager with so many hosts, and who asks for it.
async fn crew(hosts: usize, patience: Duration, settings: &str) -> (Crew, Gates) {
    let crew = Crew::new(hosts, settings).await;
    let api = &crew.site.api;
    let gates = Gates::with_patience(api.engine.clone(), &api.config, patience);
    (crew, gates)
}

/// A session over these hosts with that gate. Virtual time passes while a server is asked in real time, so the gate has all
/// the time there is.
async fn session(crew: &Crew, hosts: &[&str], gate: &Value) -> String {
    let policy = json!({"gates": [gate], "gate_timeout": 31_536_000});
    crew.session(json!({"hosts": hosts, "policy": policy})).await
}

/// Goes on until the host waits at its gate; returns what it says.
async fn at_gate(crew: &mut Crew, id: &str) -> String {
    for _ in 0..1000 {
        crew.step(&mut [Nobody]).await;
        if let Some(text) = detail_of_host(crew, id).await.filter(|text| text.starts_with("waits until")) {
            return text;
        }
    }
    panic!("no host waits at a gate: {}", crew.detail(id).await);
}

async fn detail_of_host(crew: &Crew, id: &str) -> Option<String> {
    let detail = crew.detail(id).await;
    let hosts = detail["hosts"].as_array().unwrap().clone();
    hosts.iter().find_map(|host| Some(host["details"].as_str()?.to_owned()))
}

/// Asks what is due, and lets the host look at the answers; returns what it says then.
async fn after_asking(crew: &mut Crew, gates: &Gates, id: &str) -> String {
    assert_eq!(gates.ask_due().await.unwrap(), 1);
    crew.site.run_due().await;
    detail_of_host(crew, id).await.unwrap_or_default()
}

/// Some time passes, after which the same is asked again.
async fn later(crew: &Crew) {
    crew.site.clock.advance(Duration::from_secs(16));
    crew.site.run_due().await;
}

#[tokio::test]
async fn a_host_waits_until_a_url_answers_200() {
    let (mut crew, gates) = crew(1, LONG, "").await;
    let server = Server::new(say(503)).await;
    let url = format!("{}/may/begin?x=1", server.url);
    let id = session(&crew, &["kvm-a01"], &json!({"http": {"url": url}})).await;
    assert_eq!(at_gate(&mut crew, &id).await, format!("waits until {url} answers 200: it was not asked yet"));

    let said = after_asking(&mut crew, &gates, &id).await;
    let (text, at) = said.rsplit_once(" at ").unwrap();
    assert_eq!(text, format!("waits until {url} answers 200: last answer 503"));
    assert!(at.starts_with("2026-01-02T03:") && at.ends_with('Z'), "{at}");
    assert_eq!(gates.ask_due().await.unwrap(), 0, "it is not asked all the time");
    let detail = crew.detail(&id).await;
    assert_eq!((&detail["phase"], &detail["hosts"][0]["maintained"]), (&json!("waiting_health"), &json!(false)));

    // No other answer opens it, whatever it looks like.
    for act in [say(204), say(201), say(404), Act::SendOn(format!("{}/ok", server.url))] {
        server.now(act);
        later(&crew).await;
        let said = after_asking(&mut crew, &gates, &id).await;
        assert!(said.contains("last answer ") && !said.contains("503"), "{said}");
    }
    assert!(server.asked().iter().all(|one| one == "GET /may/begin?x=1"), "{:?}", server.asked());

    server.now(say(200));
    later(&crew).await;
    assert_eq!(gates.ask_due().await.unwrap(), 1);
    assert_eq!(crew.finish(&id, &mut [Nobody]).await, "MAINTENANCE_DONE");
    let steps =
        crew.site.of("admin", "GET", &format!("/v1/maintenance/{id}/steps?kind=gate"), &Value::Null).await.is(200);
    let step = &steps["steps"][0];
    assert_eq!(
        (&step["name"], &step["state"], &step["result"]["status"]),
        (&json!("http"), &json!("DONE"), &json!(200))
    );
    assert_eq!(gates.ask_due().await.unwrap(), 0, "nobody waits any more");
}

#[tokio::test]
async fn each_host_asks_anew() {
    let (mut crew, gates) = crew(2, LONG, "").await;
    let server = Server::new(say(200)).await;
    let id = session(&crew, &["kvm-a01", "kvm-a02"], &json!({"http": {"url": server.url}})).await;
    at_gate(&mut crew, &id).await;
    assert_eq!(gates.ask_due().await.unwrap(), 1);
    server.now(say(500));
    // The first goes through; what was heard for it does not count for the second, which comes a moment later.
    crew.site.clock.advance(Duration::from_millis(1));
    let said = at_gate(&mut crew, &id).await;
    assert!(said.ends_with("it was not asked yet"), "{said}");
    later(&crew).await;
    let said = after_asking(&mut crew, &gates, &id).await;
    assert!(said.contains("last answer 500"), "{said}");
    assert_eq!(crew.detail(&id).await["percent_done"], 50);
    server.now(say(200));
    later(&crew).await;
    assert_eq!(gates.ask_due().await.unwrap(), 1);
    assert_eq!(crew.finish(&id, &mut [Nobody]).await, "MAINTENANCE_DONE");
}

#[tokio::test]
async fn an_answer_wakes_only_those_that_wait_for_it() {
    let (mut crew, gates) = crew(2, LONG, "").await;
    let server = Server::new(say(200)).await;
    let gate = json!({"http": {"url": server.url}});
    let body = json!({"hosts": ["kvm-a02"], "policy": {"gates": [gate], "gate_timeout": 31_536_000},
                      "actions": [{"plugin": "wait", "type": "host", "metadata": {"seconds": 86_400}}]});
    let rests = crew.session(body).await;
    at_gate(&mut crew, &rests).await;
    gates.ask_due().await.unwrap();
    let path = format!("/v1/maintenance/{rests}/steps?kind=wait");
    while crew.site.of("admin", "GET", &path, &Value::Null).await.is(200)["steps"].as_array().unwrap().is_empty() {
        crew.step(&mut [Nobody]).await;
    }
    server.now(say(503));
    let waits = session(&crew, &["kvm-a01"], &gate).await;
    at_gate(&mut crew, &waits).await;
    later(&crew).await;
    gates.ask_due().await.unwrap();
    let mut connection = crew.site.api.engine.store.read().await.unwrap();
    let timers = timer_next(&mut connection, 100).await.unwrap();
    let due: Vec<&str> =
        timers.iter().filter(|timer| timer.due_at <= crew.site.clock.now()).map(|timer| timer.name.as_str()).collect();
    assert_eq!(due, ["look"], "{timers:?}");
    assert_eq!(timers.iter().filter(|timer| timer.name == "look").count(), 2, "the other rests: {timers:?}");
}

#[tokio::test]
async fn servers_that_are_silent_or_not_there_keep_a_gate_closed() {
    let (mut crew, gates) = crew(1, SHORT, "").await;
    let server = Server::new(Act::Hang).await;
    let id = session(&crew, &["kvm-a01"], &json!({"http": {"url": server.url}})).await;
    at_gate(&mut crew, &id).await;
    let said = after_asking(&mut crew, &gates, &id).await;
    assert!(said.contains(": the server did not answer in time, at "), "{said}");
    crew.site.of("admin", "DELETE", &format!("/v1/maintenance/{id}"), &Value::Null).await.is(200);
    crew.site.run_due().await;

    // A port that is free, as nobody listens any more.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let id = session(&crew, &["kvm-a01"], &json!({"http": {"url": gone}})).await;
    at_gate(&mut crew, &id).await;
    // The question of the session before is due until nobody wants it for long enough.
    gates.ask_due().await.unwrap();
    crew.site.run_due().await;
    let said = detail_of_host(&crew, &id).await.unwrap();
    assert!(said.contains(": no connection: "), "{said}");
}

#[tokio::test]
async fn of_a_body_without_an_end_nothing_is_read() {
    let (mut crew, gates) = crew(1, LONG, "").await;
    let server = Server::new(Act::Flood(None)).await;
    let id = session(&crew, &["kvm-a01"], &json!({"http": {"url": server.url}})).await;
    at_gate(&mut crew, &id).await;
    assert_eq!(gates.ask_due().await.unwrap(), 1);
    assert_eq!(crew.finish(&id, &mut [Nobody]).await, "MAINTENANCE_DONE");
}

#[tokio::test]
async fn what_webhooks_may_not_reach_is_not_asked() {
    let (mut crew, gates) = crew(1, LONG, "[webhooks]\ndeny_networks = [\"127.0.0.0/8\"]\n").await;
    let server = Server::new(say(200)).await;
    let id = session(&crew, &["kvm-a01"], &json!({"http": {"url": server.url}})).await;
    at_gate(&mut crew, &id).await;
    let said = after_asking(&mut crew, &gates, &id).await;
    assert!(said.contains("webhooks.deny_networks"), "{said}");
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn a_host_waits_until_no_alert_is_active() {
    let (mut crew, gates) = crew(1, LONG, "").await;
    let alert =
        |name: &str| json!({"labels": {"alertname": name, "severity": "critical"}, "status": {"state": "active"}});
    let list = |names: &[&str]| Act::Say(200, names.iter().map(|name| alert(name)).collect::<Value>().to_string());
    let server = Server::new(list(&["Disk", "Ceph", "Fan", "Ceph", "Link"])).await;
    let gate = json!({"alerts_clear": {"url": format!("{}/am", server.url), "filter": ["severity=\"critical\"", "team=~a|b"]}});
    let id = session(&crew, &["kvm-a01"], &gate).await;
    let until = format!("waits until {}/am has no active alerts with severity=\"critical\", team=~a|b: ", server.url);
    assert_eq!(at_gate(&mut crew, &id).await, format!("{until}it was not asked yet"));
    let said = after_asking(&mut crew, &gates, &id).await;
    let found = format!("{until}5 alerts are active: Ceph (2), Disk, Fan and 1 more names, at ");
    assert!(said.starts_with(&found), "{said}");
    assert_eq!(
        server.asked(),
        ["GET /am/api/v2/alerts?active=true&silenced=false&inhibited=false&filter=severity%3D%22critical%22\
          &filter=team%3D%7Ea%7Cb"]
    );
    // Nothing but an empty list is one.
    for (act, text) in [
        (say(200), "no list of alerts"),
        (say(503), "last answer 503"),
        (Act::Flood(None), "more than 1048576 bytes"),
        (list(&["One"]), "1 alert is active: One"),
    ] {
        server.now(act);
        later(&crew).await;
        let said = after_asking(&mut crew, &gates, &id).await;
        assert!(said.contains(text), "{text}: {said}");
    }
    server.now(list(&[]));
    later(&crew).await;
    assert_eq!(gates.ask_due().await.unwrap(), 1);
    assert_eq!(crew.finish(&id, &mut [Nobody]).await, "MAINTENANCE_DONE");
    let steps =
        crew.site.of("admin", "GET", &format!("/v1/maintenance/{id}/steps?kind=gate"), &Value::Null).await.is(200);
    assert_eq!(steps["steps"][0]["name"], "alerts_clear", "{steps}");
}

#[tokio::test]
async fn a_list_of_alerts_that_stops_in_the_middle_keeps_a_gate_closed() {
    let (mut crew, gates) = crew(1, SHORT, "").await;
    let server = Server::new(Act::Flood(Some(1000))).await;
    let id = session(&crew, &["kvm-a01"], &json!({"alerts_clear": {"url": server.url}})).await;
    at_gate(&mut crew, &id).await;
    let said = after_asking(&mut crew, &gates, &id).await;
    assert!(said.contains("has no active alerts: the server did not answer in time"), "{said}");
}

#[tokio::test]
async fn a_server_that_hangs_keeps_nobody_else_waiting() {
    let (mut crew, gates) = crew(2, LONG, "").await;
    let (slow, fast) = (Server::new(Act::Hang).await, Server::new(say(200)).await);
    let waits = session(&crew, &["kvm-a01"], &json!({"http": {"url": slow.url}})).await;
    let goes = session(&crew, &["kvm-a02"], &json!({"http": {"url": fast.url}})).await;
    let stop = CancellationToken::new();
    let asking = tokio::spawn({
        let (gates, stop) = (gates.clone(), stop.clone());
        async move { gates.run(stop).await }
    });
    // By itself: nobody but the task asks. It is woken by what the steps commit.
    for _ in 0..100_000 {
        crew.step(&mut [Nobody]).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
        if crew.state(&goes).await == "MAINTENANCE_DONE" && !slow.asked().is_empty() {
            break;
        }
    }
    assert_eq!(crew.state(&goes).await, "MAINTENANCE_DONE");
    assert_eq!(slow.asked().len(), 1, "while one answer is awaited, it is not asked again");
    assert!(detail_of_host(&crew, &waits).await.unwrap().ends_with("it was not asked yet"));
    stop.cancel();
    asking.await.unwrap();
}
