//! Point 4, as far as the interface is concerned: pages of the list; point 13: pages stay stable.

use std::time::Duration;

use hostler_common::id::HostId;
use serde_json::Value;

use super::fixture::World;

async fn fleet(world: &World, count: usize) -> Vec<HostId> {
    let mut hosts = Vec::new();
    for n in 0..count {
        let host = world.host(&format!("host-{n}")).await;
        assert_eq!(world.post(&format!("/v1/introspection/{host}"), "").await.status, 202);
        world.clock.advance(Duration::from_secs(1));
        hosts.push(host);
    }
    hosts
}

fn ids(page: &Value) -> Vec<String> {
    let records = page["introspection"].as_array().unwrap();
    records.iter().map(|record| record["uuid"].as_str().unwrap().to_owned()).collect()
}

fn newest_first(hosts: &[HostId]) -> Vec<String> {
    hosts.iter().rev().map(HostId::to_string).collect()
}

#[tokio::test]
async fn spec_8_4_paging_by_marker_until_an_empty_page() {
    let world = World::new().await;
    let hosts = fleet(&world, 7).await;
    assert_eq!(ids(&world.get("/v1/introspection").await.json()), newest_first(&hosts));
    assert_eq!(world.get("/v1/introspection").await.header("link"), None);
    let (mut seen, mut path, mut pages) = (Vec::new(), "/v1/introspection?limit=3".to_owned(), 0);
    loop {
        let page = ids(&world.get(&path).await.json());
        let Some(last) = page.last() else { break };
        path = format!("/v1/introspection?limit=3&marker={last}");
        seen.extend(page);
        pages += 1;
    }
    assert_eq!((seen, pages), (newest_first(&hosts), 3));
}

#[tokio::test]
async fn spec_8_13_a_marker_whose_run_was_restarted_continues_from_its_old_place() {
    let world = World::new().await;
    let hosts = fleet(&world, 6).await;
    let first = ids(&world.get("/v1/introspection?limit=3").await.json());
    assert_eq!(first, newest_first(&hosts)[..3]);
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(world.post(&format!("/v1/introspection/{}/abort", first[2]), "").await.status, 202);
    world.run_due().await;
    assert_eq!(world.post(&format!("/v1/introspection/{}", first[2]), "").await.status, 202);
    let second = ids(&world.get(&format!("/v1/introspection?limit=3&marker={}", first[2])).await.json());
    assert_eq!(second, newest_first(&hosts)[3..]);
    // Another manager does not know where the page ended: the record's place of now counts.
    let other = hostler_manager::api::introspection::routes(world.api.clone());
    let path = format!("/v1/introspection?limit=3&marker={}", first[2]);
    let request = http::Request::get(&path).body(axum::body::Body::empty()).unwrap();
    let page = ids(&super::fixture::send(&other, request).await.json());
    assert_eq!(page, first[..2].iter().chain(&second[..1]).cloned().collect::<Vec<_>>());
}

#[tokio::test]
async fn spec_8_13_the_link_to_the_next_page_holds_with_any_manager() {
    let world = World::new().await;
    let hosts = fleet(&world, 5).await;
    let answer = world.get("/v1/introspection?limit=2&state=starting").await;
    let link = answer.header("link").unwrap().to_owned();
    let target = link.strip_prefix("<http://manager.example:5050").unwrap().strip_suffix(">; rel=\"next\"").unwrap();
    assert!(target.ends_with("&state=starting"), "{target}");
    let last = ids(&answer.json())[1].clone();
    world.clock.advance(Duration::from_secs(60));
    world.post(&format!("/v1/introspection/{last}/abort"), "").await;
    let other = hostler_manager::api::introspection::routes(world.api.clone());
    let request = http::Request::get(target).body(axum::body::Body::empty()).unwrap();
    let page = super::fixture::send(&other, request).await;
    assert_eq!(ids(&page.json()), newest_first(&hosts)[2..4]);
}

#[tokio::test]
async fn spec_8_4_parameters_of_the_list() {
    let world = World::new().await;
    let hosts = fleet(&world, 3).await;
    let unknown = "6f1d2c3a-0b4e-4a5f-8c6d-7e8f90a1b2c3";
    let table = [
        ("marker=host-1", 400, "Bad request: Marker not UUID-like".to_owned()),
        ("marker=", 400, "Bad request: Marker not UUID-like".to_owned()),
        (&format!("marker={unknown}"), 404, "The requested node was not found.".to_owned()),
        ("limit=-1", 400, "Bad request: Limit cannot be negative".to_owned()),
        ("limit=1001", 400, "Bad request: Limit over 1000".to_owned()),
        ("limit=99999999999999999999", 400, "Bad request: Limit over 1000".to_owned()),
        ("limit=abc", 400, "Bad request: invalid literal for int() with base 10: 'abc'".to_owned()),
        ("limit=", 400, "Bad request: invalid literal for int() with base 10: ''".to_owned()),
        ("limit=1.5", 400, "Bad request: invalid literal for int() with base 10: '1.5'".to_owned()),
        ("state=bogus,zork", 400, "Bad request: State(s) \"bogus, zork\" are not valid".to_owned()),
        ("state=finished,Error", 400, "Bad request: State(s) \"Error\" are not valid".to_owned()),
        ("state=finished,%20error", 400, "Bad request: State(s) \" error\" are not valid".to_owned()),
        ("state=", 400, "Bad request: State(s) \"\" are not valid".to_owned()),
    ];
    for (query, status, text) in table {
        assert_eq!(world.get(&format!("/v1/introspection?{query}")).await.refusal(), (status, text), "{query}");
    }
    let all = newest_first(&hosts);
    let marked = format!("marker={}", hosts[1].0.simple().to_string().to_uppercase());
    let table = [
        ("limit=0", &all[..]),
        ("limit=%202%20", &all[..2]),
        ("limit=2&limit=1", &all[..2]),
        ("unknown=1", &all[..]),
        ("state=starting,error", &all[..]),
        ("state=finished", &[]),
        (&marked, &all[2..]),
    ];
    for (query, want) in table {
        assert_eq!(ids(&world.get(&format!("/v1/introspection?{query}")).await.json()), want, "{query}");
    }
}

#[tokio::test]
async fn a_list_shows_every_commit_before_it() {
    let world = World::new().await;
    let hosts = fleet(&world, 2).await;
    for _ in 0..3 {
        for host in &hosts {
            world.post(&format!("/v1/introspection/{host}/abort"), "").await;
            world.run_due().await;
            let listed = world.get("/v1/introspection?limit=1000").await.json();
            let shown = world.get(&format!("/v1/introspection/{host}")).await.json();
            assert!(listed["introspection"].as_array().unwrap().contains(&shown), "{listed}");
            assert_eq!(shown["state"], "error");
            world.post(&format!("/v1/introspection/{host}"), "").await;
            let listed = world.get("/v1/introspection?limit=1000").await.json();
            assert_eq!(listed["introspection"][0]["uuid"], host.to_string());
            world.clock.advance(Duration::from_secs(1));
        }
    }
}

#[tokio::test]
async fn a_list_shows_commits_of_others_within_a_second() {
    let world = World::new().await;
    fleet(&world, 1).await;
    assert_eq!(ids(&world.get("/v1/introspection").await.json()).len(), 1);
    // Another manager on the same store: its commits wake nobody here.
    let write = world.api.engine.store.write(|tx| {
        Box::pin(async move {
            sqlx::query("update introspection set state = 'error', error = 'other'").execute(tx).await?;
            Ok(())
        })
    });
    write.await.unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_millis(1500);
    loop {
        let listed = world.get("/v1/introspection").await.json();
        if listed["introspection"][0]["error"] == "other" {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
