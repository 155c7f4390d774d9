//! An operator's own PKI in place of the built-in authority (design §5), with real certificates and real TLS.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use hostler_agent::config::Pki as AgentPki;
use hostler_agent::dial::dial_name;
use hostler_agent::operator::Operator;
use hostler_common::link::HOST_URI;
use hostler_common::time::{Clock as _, SystemClock};
use hostler_manager::store::job::job_open;
use hostler_manager::store::{self, Store};
use hostler_proto::v1;
use hostler_proto::v1::agent_frame::Frame as Up;
use hostler_proto::v1::agent_link_client::AgentLinkClient;
use hostler_proto::v1::enrollment_client::EnrollmentClient;
use hostler_tests::lab::{Agent, Manager, Options, until};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::json;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

const SOON: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// The operator's authority, and a folder for what it makes.
struct Operators {
    dir: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Operators {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        std::fs::write(dir.path().join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { dir, issuer: Issuer::new(params, key) }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes `NAME.pem` and `NAME.key`.
    fn issue(&self, name: &str, serial: u64, life: Duration, subject: SanType, usage: ExtendedKeyUsagePurpose) {
        let mut params = CertificateParams::default();
        params.serial_number = Some(SerialNumber::from(serial));
        params.subject_alt_names = vec![subject];
        params.extended_key_usages = vec![usage];
        params.not_after = rcgen::date_time_ymd(1970, 1, 1) + since_epoch() + life;
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.file(&format!("{name}.key")), key.serialize_pem()).unwrap();
        std::fs::write(self.file(&format!("{name}.pem")), certificate.pem()).unwrap();
    }

    fn issue_manager(&self, serial: u64) {
        let address = SanType::IpAddress([127, 0, 0, 1].into());
        self.issue("manager", serial, HOUR, address, ExtendedKeyUsagePurpose::ServerAuth);
    }

    /// A certificate for the files `name`, of the host `host`.
    fn issue_host(&self, name: &str, host: &str, serial: u64, life: Duration) {
        let uri = SanType::URI(format!("{HOST_URI}{host}").try_into().unwrap());
        self.issue(name, serial, life, uri, ExtendedKeyUsagePurpose::ClientAuth);
    }

    fn revoke(&self, serials: &[u64]) {
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        let now = epoch + since_epoch();
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: now,
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: now,
            next_update: now + HOUR,
            crl_number: SerialNumber::from(serials.len() as u64),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        std::fs::write(self.file("crl.pem"), list.signed_by(&self.issuer).unwrap().pem().unwrap()).unwrap();
    }

    /// A section of settings with the files `name`.
    fn section(&self, name: &str) -> String {
        let file = |end: &str| self.file(&format!("{name}.{end}"));
        format!(
            "[pki]\nca_file = {:?}\ncert_file = {:?}\nkey_file = {:?}\n",
            self.file("ca.pem"),
            file("pem"),
            file("key")
        )
    }

    async fn manager(&self, more: &str) -> Manager {
        self.issue_manager(1);
        let settings = format!("{}{more}", self.section("manager"));
        Manager::with(Options { settings, ..Options::default() }).await.unwrap()
    }

    /// An agent with the files `name` that runs.
    fn agent(&self, manager: &Manager, name: &str) -> Agent {
        let settings = format!("managers = [{:?}]\n{}", manager.agents, self.section(name));
        let mut agent = Agent::configured(name, &settings).unwrap();
        agent.run().unwrap();
        agent
    }

    /// The identity of an agent with the files `name`.
    fn identity(&self, name: &str) -> Operator {
        let file = |end: &str| self.file(&format!("{name}.{end}"));
        let (cert_file, key_file) = (file("pem"), file("key"));
        let uri_prefix = HOST_URI.into();
        Operator::open(AgentPki { ca_file: self.file("ca.pem"), cert_file, key_file, uri_prefix, manager_name: None })
            .unwrap()
    }
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap()
}

async fn refused(manager: &Manager, reason: &str) {
    until(SOON, &format!("a refusal says {reason:?}"), async || {
        let events = manager.events("agent.refused").await?;
        Ok(events.iter().any(|event| event["data"]["reason"].as_str().is_some_and(|text| text.contains(reason))))
    })
    .await
    .unwrap();
}

async fn is_unknown(manager: &Manager, name: &str) {
    assert_eq!(manager.call("GET", &format!("/api/hosts/{name}"), None).await.unwrap().status, 404, "{name}");
}

#[tokio::test]
async fn a_host_appears_with_a_certificate_of_the_operator() {
    let pki = Operators::new();
    let manager = pki.manager("").await;
    pki.issue_host("node", "node", 2, HOUR);
    let _agent = pki.agent(&manager, "node");
    manager.host_is("node", "online").await.unwrap();
    assert_eq!(manager.introspected("node").await.unwrap()["error"], serde_json::Value::Null);
    let host = manager.get("/api/hosts/node").await.unwrap();
    assert_eq!(host["id"], pki.identity("node").host().to_string(), "both ends know it from the certificate");
    assert_eq!(host["agent"]["certificateSerial"], "02", "{host}");
    assert!(!manager.state_dir().join("ca.key").exists(), "an authority was made that nobody needs");

    // By its UUID, with a name beside it.
    let id = "c3d1078a-9c5e-43b6-9614-dcda508a162a";
    pki.issue_host("nameless", id, 3, HOUR);
    let nameless = pki.agent(&manager, "nameless");
    refused(&manager, "no name for it").await;
    drop(nameless);
    is_unknown(&manager, id).await;
}

#[tokio::test]
async fn nobody_joins_with_a_token() {
    let pki = Operators::new();
    let manager = pki.manager("").await;
    let answer = manager.call("POST", "/api/join-tokens", Some(json!({}))).await.unwrap();
    assert_eq!(answer.status, 409, "{answer:?}");
    assert!(answer.body["message"].as_str().unwrap().contains("operator's own PKI"), "{answer:?}");

    pki.issue_host("node", "node", 2, HOUR);
    let identity = pki.identity("node");
    let name = identity.manager_name(&manager.agents).unwrap();
    let channel = dial_name(&manager.agents, name, identity.tls().unwrap()).await.unwrap();
    let clock_us = SystemClock.now().as_micros();
    let asked =
        v1::EnrolRequest { token: "hjt1_x".into(), name: "node".into(), csr: vec![], clock_us, version: "1".into() };
    let status = EnrollmentClient::new(channel.clone()).enrol(asked).await.unwrap_err();
    assert!(status.message().contains("operator's own PKI"), "{status}");
    let status = AgentLinkClient::new(channel).renew(v1::RenewRequest { csr: vec![], clock_us }).await.unwrap_err();
    assert!(status.message().contains("operator's own PKI"), "{status}");
    refused(&manager, "operator's own PKI").await;
}

#[tokio::test]
async fn other_authorities_are_not_believed_at_either_end() {
    let (ours, theirs) = (Operators::new(), Operators::new());
    let manager = ours.manager("").await;
    // It believes our authority and shows a certificate of theirs.
    theirs.issue_host("stranger", "stranger", 2, HOUR);
    std::fs::copy(ours.file("ca.pem"), theirs.file("ca.pem")).unwrap();
    let stranger = theirs.agent(&manager, "stranger");
    refused(&manager, "TLS:").await;
    until(SOON, "the agent says it", async || Ok(stranger.log().contains("refuse"))).await.unwrap();
    is_unknown(&manager, "stranger").await;

    // It has a certificate of ours and believes another authority.
    ours.issue_host("doubter", "doubter", 3, HOUR);
    let other = Operators::new();
    for file in ["doubter.pem", "doubter.key"] {
        std::fs::copy(ours.file(file), other.file(file)).unwrap();
    }
    let doubter = other.agent(&manager, "doubter");
    until(SOON, "the agent says it", async || Ok(doubter.log().contains("invalid peer certificate"))).await.unwrap();
    is_unknown(&manager, "doubter").await;
}

#[tokio::test]
async fn a_certificate_is_good_for_its_own_host_only() {
    let pki = Operators::new();
    let manager = pki.manager("").await;
    pki.issue_host("victim", "victim", 2, HOUR);
    let victim = pki.agent(&manager, "victim");
    manager.introspected("victim").await.unwrap();
    drop(victim);
    manager.host_is("victim", "offline").await.unwrap();
    let started = manager.call("POST", "/v1/introspection/victim", None).await.unwrap();
    assert_eq!(started.status, 202, "{started:?}");
    let store = Store::open(&store::Options::Sqlite(manager.state_dir().join("manager.db"))).await.unwrap();
    let host = pki.identity("victim").host();
    let open = async || job_open(&mut store.read().await.unwrap(), host).await.unwrap();
    until(SOON, "the probe is ordered", async || Ok(open().await.len() == 1)).await.unwrap();
    let job = open().await[0].spec.id;

    // Another host says that it has done the job of the first.
    pki.issue_host("liar", "liar", 3, HOUR);
    let identity = pki.identity("liar");
    let name = identity.manager_name(&manager.agents).unwrap();
    let channel = dial_name(&manager.agents, name, identity.tls().unwrap()).await.unwrap();
    let (up, outgoing) = tokio::sync::mpsc::channel(8);
    let clock_us = SystemClock.now().as_micros();
    let hello = v1::Hello { version: "1".into(), boot_id: "b".into(), clock_us, ..v1::Hello::default() };
    let outcome = v1::Outcome { exit_code: Some(0), ..v1::Outcome::default() };
    let state = v1::JobState::Succeeded.into();
    let forged = v1::JobUpdate { id: job.to_string(), state, outcome: Some(outcome) };
    for frame in [Up::Hello(hello), Up::Update(forged)] {
        up.send(v1::AgentFrame { frame: Some(frame) }).await.unwrap();
    }
    let mut frames = AgentLinkClient::new(channel).attach(ReceiverStream::new(outgoing)).await.unwrap().into_inner();
    let status = loop {
        if let Err(status) = tokio::time::timeout(SOON, frames.next()).await.unwrap().unwrap() {
            break status;
        }
    };
    assert!(status.message().contains("is not of this host"), "{status}");
    assert_eq!(open().await.len(), 1, "the job of the victim was touched");
    assert_eq!(manager.get("/v1/introspection/victim").await.unwrap()["state"], "waiting");

    // Files that are another host's all of a sudden are not used: the journal is not that one's.
    let agent = pki.agent(&manager, "victim");
    manager.host_is("victim", "online").await.unwrap();
    pki.issue_host("victim", "other", 4, HOUR);
    let mut manager = manager;
    manager.kill().unwrap();
    manager.restart().await.unwrap();
    until(SOON, "the agent says it", async || Ok(agent.log().contains("names another host"))).await.unwrap();
    is_unknown(&manager, "other").await;
}

#[tokio::test]
async fn a_revoked_host_stays_out_with_whatever_certificate() {
    let pki = Operators::new();
    pki.revoke(&[9]);
    let manager = pki.manager(&format!("crl_file = {:?}\n", pki.file("crl.pem"))).await;
    pki.issue_host("node", "node", 2, HOUR);
    let agent = pki.agent(&manager, "node");
    manager.host_is("node", "online").await.unwrap();
    let body = json!({ "reason": "stolen" });
    let answer = manager.call("POST", "/api/hosts/node/agent/revoke", Some(body)).await.unwrap();
    assert_eq!(answer.status, 204);
    let reason = "the agent of this host was revoked";
    until(SOON, "the agent hears why", async || Ok(agent.log().contains(reason))).await.unwrap();
    pki.issue_host("node", "node", 3, HOUR);
    drop(agent);
    let again = pki.agent(&manager, "node");
    until(SOON, "the next certificate does not help", async || Ok(again.log().contains(reason))).await.unwrap();
    assert_eq!(manager.get("/api/hosts/node").await.unwrap()["state"], "revoked");

    // What the operator's own list names is refused as well.
    pki.issue_host("listed", "listed", 9, HOUR);
    let listed = pki.agent(&manager, "listed");
    refused(&manager, "Revoked").await;
    drop(listed);
    is_unknown(&manager, "listed").await;
}

#[tokio::test]
async fn certificates_are_followed_by_others_without_a_restart() {
    let pki = Operators::new();
    let manager = pki.manager("").await;
    pki.issue_host("node", "node", 2, Duration::from_secs(10));
    let agent = pki.agent(&manager, "node");
    manager.host_is("node", "online").await.unwrap();
    pki.issue_host("node", "node", 3, HOUR);
    until(SOON, "the link goes on with the next certificate", async || {
        let host = manager.get("/api/hosts/node").await?;
        Ok(host["state"] == "online" && host["agent"]["certificateSerial"] == "03")
    })
    .await
    .unwrap();
    assert!(agent.log().contains("the link ended with its proof of identity"), "{}", agent.log());

    let identity = pki.identity("node");
    let shown = async || server_certificate(&manager, &identity).await;
    let written = || CertificateDer::from_pem_file(pki.file("manager.pem")).unwrap();
    let first = written();
    assert_eq!(shown().await, first);
    // Not whole yet: the key does not fit, and the old certificate stays.
    std::fs::write(pki.file("manager.key"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let complaint = "the manager's certificate cannot be renewed";
    until(SOON, "that is said", async || Ok(manager.daemon().log().contains(complaint))).await.unwrap();
    assert_eq!(shown().await, first);
    pki.issue_manager(7);
    until(SOON, "the new certificate is shown", async || Ok(shown().await == written())).await.unwrap();
}

/// The certificate that the manager shows.
async fn server_certificate(manager: &Manager, identity: &Operator) -> CertificateDer<'static> {
    let stream = tokio::net::TcpStream::connect(&manager.agents).await.unwrap();
    let name = identity.manager_name(&manager.agents).unwrap();
    let tls = tokio_rustls::TlsConnector::from(identity.tls().unwrap()).connect(name, stream).await.unwrap();
    tls.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

#[tokio::test]
async fn wrong_files_end_the_check_of_both_daemons() {
    let pki = Operators::new();
    pki.issue_manager(1);
    pki.issue_host("node", "node", 2, HOUR);
    let check = |daemon: &str, settings: &str| {
        let file = pki.file("checked.toml");
        std::fs::write(&file, settings).unwrap();
        let arguments = [Path::new("check-config"), Path::new("--config"), &file];
        let done = std::process::Command::new(hostler_tests::lab::binary(daemon)).args(arguments).output().unwrap();
        (done.status.success(), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    let manager = format!("state_dir = \"/nowhere\"\n{}", pki.section("manager"));
    let agent = format!("managers = [\"192.0.2.1:7443\"]\n{}", pki.section("node"));
    assert_eq!(check("hostler-manager", &manager), (true, "the settings are in order\n".into()));
    assert_eq!(check("hostler-agent", &agent), (true, "the settings are in order\n".into()));
    for (daemon, settings, file) in
        [("hostler-manager", &manager, "manager.key"), ("hostler-agent", &agent, "node.key")]
    {
        std::fs::write(pki.file(file), "").unwrap();
        let (fine, said) = check(daemon, settings);
        assert!(!fine && said.contains("pki") && said.contains(file), "{said}");
    }
    // The certificate of a manager names no host.
    pki.issue_manager(1);
    let (fine, said) = check("hostler-agent", &agent.replace("node.", "manager."));
    assert!(!fine && said.contains("names no host"), "{said}");
}
