//! `GET /api/events/stream`.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::lab::{LONG, Lab, Manager, client};

/// One message of a stream.
#[derive(Clone, Debug, PartialEq)]
struct Message {
    id: i64,
    event: String,
    data: Value,
}

/// A client that follows.
struct Follower {
    response: reqwest::Response,
    text: String,
    /// The last id that was said, also without a message.
    last: i64,
}

impl Follower {
    async fn open(manager: &Manager, query: &str, last: Option<i64>) -> Self {
        let response = Self::ask(manager, query, last).await;
        assert_eq!(response.status(), 200, "{query}");
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        let mut follower = Self { response, text: String::new(), last: 0 };
        assert!(follower.block().await.unwrap().contains("retry: "));
        follower
    }

    async fn ask(manager: &Manager, query: &str, last: Option<i64>) -> reqwest::Response {
        let mut request =
            client().get(manager.url(&format!("/events/stream?{query}"))).header("X-Auth-Token", "reader");
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last.to_string());
        }
        request.send().await.unwrap()
    }

    /// Everything up to the next empty line; `None` at the end.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                if let Some(id) = block.lines().find_map(|line| line.strip_prefix("id: ")) {
                    self.last = id.parse().unwrap();
                }
                return Some(block);
            }
            let chunk = tokio::time::timeout(LONG, self.response.chunk()).await.expect("nothing comes");
            match chunk {
                Ok(Some(chunk)) => self.text.push_str(std::str::from_utf8(&chunk).unwrap()),
                Ok(None) => return None,
                Err(error) => {
                    assert!(self.text.is_empty() || error.is_body() || error.is_decode(), "{error:?}");
                    return None;
                }
            }
        }
    }

    async fn next(&mut self) -> Option<Message> {
        loop {
            let block = self.block().await?;
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned));
            if let Some(data) = field("data: ") {
                let data = serde_json::from_str(&data).unwrap();
                return Some(Message { id: self.last, event: field("event: ").unwrap(), data });
            }
        }
    }

    async fn take(&mut self, count: usize) -> Vec<Message> {
        let mut all = Vec::new();
        while all.len() < count {
            all.push(self.next().await.expect("the stream ended"));
        }
        all
    }
}

#[tokio::test]
async fn events_come_as_they_happen_in_both_forms() {
    let lab = Lab::new();
    let manager = lab.start().await;
    manager.emit("early.bird", 0, 3).await;
    let mut plain = Follower::open(&manager, "", None).await;
    let mut native = Follower::open(&manager, "format=native&after=2", None).await;
    manager.emit("host.seen", 7, 1).await;
    let message = plain.next().await.unwrap();
    assert_eq!((message.id, message.event.as_str()), (4, "host.seen"));
    assert_eq!(
        message.data,
        json!({"specversion": "1.0", "id": "4", "source": "/hostler/main", "type": "io.hostler.host.seen",
               "time": message.data["time"], "subject": "7", "actor": "user:test", "severity": "info",
               "datacontenttype": "application/json", "data": {"n": 7}})
    );
    let both = native.take(2).await;
    assert_eq!((both[0].id, both[0].event.as_str()), (3, "early.bird"));
    assert_eq!(both[1].data["number"], 4);
    assert_eq!((&both[1].data["kind"], &both[1].data["data"]), (&json!("host.seen"), &json!({"n": 7})));
}

#[tokio::test]
async fn a_stream_is_resumed_across_the_death_of_the_manager() {
    let lab = Lab::new();
    let manager = lab.start().await;
    let mut follower = Follower::open(&manager, "", None).await;
    manager.emit("a.b", 0, 250).await;
    let mut numbers: Vec<i64> = follower.take(120).await.iter().map(|message| message.id).collect();
    let last = follower.last;
    manager.crash();
    drop(follower);
    let manager = lab.start().await;
    manager.emit("a.b", 250, 10).await;
    // The header counts, not the parameter of the first call.
    let mut follower = Follower::open(&manager, "after=3", Some(last)).await;
    numbers.extend(follower.take(140).await.iter().map(|message| message.id));
    assert_eq!(numbers, (1..=260).collect::<Vec<i64>>());
}

#[tokio::test]
async fn filters_pass_what_is_wanted_and_tell_where_the_client_is() {
    let lab = Lab::new();
    let manager = lab.start().await;
    manager.emit("run.started", 1, 2).await;
    manager.emit_one("run.failed", "1", json!({"severity": "alarm"})).await;
    manager.emit_one("runs.other", "1", json!({"severity": "alarm"})).await;
    manager.emit("host.seen", 1, 1).await;
    for (query, wanted) in [
        ("kind=run.*", vec![1, 2, 3]),
        ("kind=run.started,host.seen", vec![1, 2, 5]),
        ("subject=1", vec![1, 3, 4, 5]),
        ("severity=alarm,warning", vec![3, 4]),
        ("severity=alarm&kind=run.*&subject=1,2", vec![3]),
        ("", vec![1, 2, 3, 4, 5]),
    ] {
        let mut follower = Follower::open(&manager, &format!("after=0&{query}"), None).await;
        let ids: Vec<i64> = follower.take(wanted.len()).await.iter().map(|message| message.id).collect();
        assert_eq!(ids, wanted, "{query}");
    }
}

#[tokio::test]
async fn bad_parameters_are_refused_by_name() {
    let lab = Lab::new();
    let manager = lab.start().await;
    for (query, field) in [
        ("after=-1", "after"),
        ("after=x", "after"),
        ("kind=a..b", "kind"),
        ("kind=a*", "kind"),
        ("severity=loud", "severity"),
        ("host=nobody", "host"),
        ("format=xml", "format"),
        ("kinds=a", "kinds"),
        ("kind=a&kind=b", "kind"),
    ] {
        let answer = Follower::ask(&manager, query, None).await;
        assert_eq!(answer.status(), 400, "{query}");
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body["details"]["field"], field, "{body}");
    }
    let answer = client().get(manager.url("/events/stream")).send().await.unwrap();
    assert_eq!(answer.status(), 401);
}

#[tokio::test]
async fn what_cannot_be_had_any_more_is_told() {
    let lab = Lab::with(json!({ "retention": { "events_days": 1 } }));
    let manager = lab.start().await;
    manager.emit("a.b", 0, 5).await;
    lab.pass(Duration::from_secs(2 * 86_400));
    manager.emit("a.b", 5, 2).await;
    manager.engine.prune().await.unwrap();
    let mut follower = Follower::open(&manager, "after=2", None).await;
    let gap = follower.next().await.unwrap();
    assert_eq!((gap.id, gap.event.as_str()), (5, "gap"));
    assert_eq!(gap.data, json!({"after": 2, "resumesAfter": 5, "missed": 3}));
    assert_eq!(follower.take(2).await.iter().map(|message| message.id).collect::<Vec<_>>(), [6, 7]);
    // A number that nobody ever had is of another store.
    let mut follower = Follower::open(&manager, "", Some(900)).await;
    let gap = follower.next().await.unwrap();
    assert_eq!((gap.id, gap.event.as_str()), (7, "gap"));
    manager.emit("a.b", 7, 1).await;
    assert_eq!(follower.next().await.unwrap().id, 8);
}

#[tokio::test]
async fn there_is_room_for_so_many_and_all_end_with_the_manager() {
    let lab = Lab::with(json!({ "events": { "streams_max": 2, "name": "eu-1" } }));
    let manager = lab.start().await;
    let mut one = Follower::open(&manager, "", None).await;
    let two = Follower::open(&manager, "", None).await;
    let refused = Follower::ask(&manager, "", None).await;
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    drop(two);
    let begun = Instant::now();
    while Follower::ask(&manager, "", None).await.status() != 200 {
        assert!(begun.elapsed() < LONG, "the place of a client that went away is not given back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    manager.emit("a.b", 0, 1).await;
    assert_eq!(one.next().await.unwrap().data["source"], "/hostler/eu-1");
    manager.stop.cancel();
    assert_eq!(one.next().await, None);
}

#[tokio::test]
async fn a_client_that_does_not_read_costs_nothing_and_loses_nothing() {
    let lab = Lab::new();
    let manager = lab.start().await;
    let mut slow = Follower::open(&manager, "after=0", None).await;
    let text = "x".repeat(4000);
    for n in 0..1500 {
        manager.emit_one("a.b", &n.to_string(), json!({ "text": text })).await;
    }
    // Far more than sockets hold waits for this client; another one is not held up by it.
    let mut quick = Follower::open(&manager, "after=1499", None).await;
    assert_eq!(quick.next().await.unwrap().id, 1500);
    let all = slow.take(1500).await;
    assert_eq!(all.iter().map(|message| message.id).collect::<Vec<_>>(), (1..=1500).collect::<Vec<i64>>());
}
