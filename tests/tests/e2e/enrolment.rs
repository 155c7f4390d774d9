//! Who is let in and who is not; each refusal has its reason on both sides and an event (design §5).

use std::time::Duration;

use hostler_agent::dial::{dial, tls_by_hash, tls_of};
use hostler_agent::identity::{Identity, fresh_request};
use hostler_common::join::JoinText;
use hostler_common::time::{Clock as _, SystemClock};
use hostler_proto::v1;
use hostler_proto::v1::agent_link_client::AgentLinkClient;
use hostler_proto::v1::enrollment_client::EnrollmentClient;
use hostler_tests::lab::{Agent, Manager, join, until};
use serde_json::json;

const SOON: Duration = Duration::from_secs(60);

/// Joins and returns what the agent complained of.
fn refusal(manager: &Manager, token: &str, name: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let output = join(dir.path(), &manager.agents, token, name).unwrap();
    assert!(!output.status.success(), "{name} was let in");
    assert!(!dir.path().join("identity.json").exists());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The reason stands in the manager's log and in an event.
async fn is_on_record(manager: &Manager, reason: &str) {
    until(SOON, &format!("an event says {reason:?}"), async || {
        let events = manager.events("agent.refused").await?;
        Ok(events.iter().any(|event| event["data"]["reason"].as_str().is_some_and(|text| text.contains(reason))))
    })
    .await
    .unwrap();
    assert!(manager.daemon().log().contains(reason), "the manager's log does not say {reason:?}");
}

#[tokio::test]
async fn join_tokens_are_refused_with_the_reason() {
    let manager = Manager::start().await.unwrap();
    let good = manager.join_token(json!({})).await.unwrap();

    assert!(refusal(&manager, "hjt1_nonsense", "a").contains("not a join token"));

    let mut forged: JoinText = good.parse().unwrap();
    forged.secret = [9; 32];
    assert!(refusal(&manager, &forged.to_string(), "a").contains("the join token is not known"));
    is_on_record(&manager, "the join token is not known").await;

    let once = manager.join_token(json!({ "uses": 1 })).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    assert!(join(dir.path(), &manager.agents, &once, "first").unwrap().status.success());
    assert!(refusal(&manager, &once, "second").contains("the join token is used up"));
    is_on_record(&manager, "the join token is used up").await;

    let brief = manager.join_token(json!({ "expiresIn": 1 })).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(refusal(&manager, &brief, "a").contains("the join token expired at"));
    is_on_record(&manager, "the join token expired at").await;

    let bound = manager.join_token(json!({ "names": ["only-me"] })).await.unwrap();
    assert!(refusal(&manager, &bound, "a").contains("not for a host named a"));
    let elsewhere = manager.join_token(json!({ "networks": ["198.51.100.0/24"] })).await.unwrap();
    assert!(refusal(&manager, &elsewhere, "a").contains("cannot be used from 127.0.0.1"));

    assert!(refusal(&manager, &good, "first").contains("a host named first is enrolled already"));
}

#[tokio::test]
async fn a_manager_that_did_not_make_the_token_is_not_believed() {
    let manager = Manager::start().await.unwrap();
    let mut token: JoinText = manager.join_token(json!({})).await.unwrap().parse().unwrap();
    token.ca_sha256 = [7; 32];
    let complaint = refusal(&manager, &token.to_string(), "a");
    assert!(complaint.contains("not the manager that made the join token"), "{complaint}");
}

#[tokio::test]
async fn a_clock_that_is_a_day_off_is_refused() {
    let manager = Manager::start().await.unwrap();
    let token = manager.join_token(json!({})).await.unwrap();
    let text: JoinText = token.parse().unwrap();
    let (_, csr) = fresh_request().unwrap();
    let tomorrow = SystemClock.now().after(Duration::from_secs(86_400));
    let request =
        v1::EnrolRequest { token, name: "late".into(), csr, clock_us: tomorrow.as_micros(), version: "1".into() };
    let channel = dial(&manager.agents, tls_by_hash(text.ca_sha256)).await.unwrap();
    let status = EnrollmentClient::new(channel).enrol(request).await.unwrap_err();
    assert!(status.message().contains("clock skew of"), "{status}");
    is_on_record(&manager, "clock skew of").await;
}

#[tokio::test]
async fn a_certificate_request_for_another_host_is_refused() {
    let manager = Manager::start().await.unwrap();
    let agent = Agent::joined(&manager, "honest").await.unwrap();
    let victim = Agent::joined(&manager, "victim").await.unwrap();
    let identity = Identity::load(&agent.state_dir()).unwrap().unwrap();
    let other = Identity::load(&victim.state_dir()).unwrap().unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    let uri = hostler_common::link::host_uri(other.host);
    params.subject_alt_names = vec![rcgen::SanType::URI(uri.try_into().unwrap())];
    let csr = params.serialize_request(&key).unwrap().der().to_vec();
    let channel = dial(&manager.agents, tls_of(&identity).unwrap()).await.unwrap();
    let request = v1::RenewRequest { csr, clock_us: SystemClock.now().as_micros() };
    let status = AgentLinkClient::new(channel).renew(request).await.unwrap_err();
    assert!(status.message().contains("names another identity"), "{status}");
    is_on_record(&manager, "names another identity").await;
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused() {
    let (ours, theirs) = (Manager::start().await.unwrap(), Manager::start().await.unwrap());
    let agent = Agent::joined(&theirs, "stranger").await.unwrap();
    let mut identity = Identity::load(&agent.state_dir()).unwrap().unwrap();
    let known = Agent::joined(&ours, "known").await.unwrap();
    // It believes our authority and shows a certificate of theirs.
    identity.ca = Identity::load(&known.state_dir()).unwrap().unwrap().ca;
    identity.managers = vec![ours.agents.clone()];
    identity.save(&agent.state_dir()).unwrap();
    let mut agent = agent;
    agent.run().unwrap();
    is_on_record(&ours, "TLS:").await;
    until(SOON, "the agent says that it is refused", async || Ok(agent.log().contains("refuse"))).await.unwrap();
    assert_eq!(ours.call("GET", "/api/hosts/stranger", None).await.unwrap().status, 404);
}

#[tokio::test]
async fn a_revoked_agent_is_cut_off_at_once_and_stays_out() {
    let manager = Manager::start().await.unwrap();
    let agent = Agent::start(&manager, "node").await.unwrap();
    let body = json!({ "reason": "stolen" });
    let answer = manager.call("POST", "/api/hosts/node/agent/revoke", Some(body)).await.unwrap();
    assert_eq!(answer.status, 204);
    until(SOON, "the agent hears why", async || Ok(agent.log().contains("the certificate was revoked"))).await.unwrap();
    is_on_record(&manager, "the certificate was revoked").await;
    assert_eq!(manager.get("/api/hosts/node").await.unwrap()["state"], "revoked");
    let start = manager.call("POST", "/v1/introspection/node", None).await.unwrap();
    assert_eq!(start.status, 400, "{start:?}");

    // The host may join again, and is the same host then.
    let before = manager.get("/api/hosts/node").await.unwrap()["id"].clone();
    let again = Agent::start(&manager, "node").await.unwrap();
    assert_eq!(manager.get("/api/hosts/node").await.unwrap()["id"], before);
    drop(again);
}

#[tokio::test]
async fn a_link_without_a_certificate_is_refused() {
    let manager = Manager::start().await.unwrap();
    let token: JoinText = manager.join_token(json!({})).await.unwrap().parse().unwrap();
    let channel = dial(&manager.agents, tls_by_hash(token.ca_sha256)).await.unwrap();
    let request = v1::RenewRequest { csr: Vec::new(), clock_us: SystemClock.now().as_micros() };
    let status = AgentLinkClient::new(channel).renew(request).await.unwrap_err();
    assert!(status.message().contains("needs the certificate of a host"), "{status}");
}
