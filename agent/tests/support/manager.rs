//! A manager for tests of the agent: the generated services on a real port with real TLS, and what a test says.

#![allow(clippy::unwrap_used, dead_code, reason = "each test uses its part, and one that cannot go on fails")]

#[path = "connection.rs"]
mod connection;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use hostler_agent::identity::{Identity, fresh_request};
use hostler_common::hook::{AssignedHook, Assignment, HookPoint, HostReport, OnFailure, Origin};
use hostler_common::id::{HookId, HostId, JobId};
use hostler_common::job::{JobSpec, JobState, JobUpdate, Merged, Outcome, Work};
use hostler_common::link::{MANAGER_NAME, host_uri};
use hostler_common::script::{Digest, ScriptRef, ScriptRun, signed_text};
use hostler_common::time::{Clock as _, SystemClock};
use hostler_proto::v1;
use hostler_proto::v1::agent_frame::Frame as Up;
use hostler_proto::v1::manager_frame::Frame as Down;
use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;

use connection::Connection;

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How long anything that an agent says at some time is awaited.
const LONGEST: Duration = Duration::from_secs(120);

/// What the services share.
#[derive(Default)]
pub struct Shared {
    /// What is handed out, by digest.
    pub artifacts: Mutex<HashMap<[u8; 32], Vec<u8>>>,
    /// After how many bytes each answer breaks off; zero for never.
    pub break_after: AtomicUsize,
    /// From which offsets was asked.
    pub fetched: Mutex<Vec<u64>>,
}

#[derive(Clone)]
struct Services {
    shared: Arc<Shared>,
    links: mpsc::Sender<Link>,
    keys: Vec<Vec<u8>>,
}

type Answers<T> = Pin<Box<dyn tokio_stream::Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl v1::agent_link_server::AgentLink for Services {
    type AttachStream = Answers<v1::ManagerFrame>;

    async fn renew(&self, _: Request<v1::RenewRequest>) -> Result<Response<v1::Identity>, Status> {
        Err(Status::unimplemented("not now"))
    }

    async fn attach(
        &self,
        request: Request<Streaming<v1::AgentFrame>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let mut up = request.into_inner();
        let first = up.message().await?.and_then(|frame| frame.frame);
        let Some(Up::Hello(hello)) = first else { return Err(Status::invalid_argument("no hello")) };
        let (down, frames) = mpsc::channel(64);
        let welcome = v1::Welcome {
            version: "test".into(),
            heartbeat_s: 10,
            clock_us: SystemClock.now().as_micros(),
            signing_keys: self.keys.clone(),
        };
        down.send(Ok(v1::ManagerFrame { frame: Some(Down::Welcome(welcome)) })).await.unwrap();
        self.links.send(Link { hello, down, up, outputs: Vec::new(), other: Vec::new() }).await.ok();
        Ok(Response::new(Box::pin(ReceiverStream::new(frames))))
    }
}

#[tonic::async_trait]
impl v1::artifacts_server::Artifacts for Services {
    type FetchStream = Answers<v1::FetchChunk>;

    async fn fetch(&self, request: Request<v1::FetchRequest>) -> Result<Response<Self::FetchStream>, Status> {
        let request = request.into_inner();
        self.shared.fetched.lock().unwrap().push(request.offset);
        let digest: [u8; 32] = request.sha256.try_into().map_err(|_| Status::invalid_argument("digest"))?;
        let bytes = self.shared.artifacts.lock().unwrap().get(&digest).cloned();
        let bytes = bytes.ok_or_else(|| Status::not_found("no such artifact"))?;
        let total = bytes.len() as u64;
        let rest = &bytes[usize::try_from(request.offset).unwrap().min(bytes.len())..];
        let limit = match self.shared.break_after.load(Ordering::Relaxed) {
            0 => usize::MAX,
            limit => limit,
        };
        let mut answers: Vec<Result<v1::FetchChunk, Status>> = rest[..rest.len().min(limit)]
            .chunks(1000)
            .map(|data| Ok(v1::FetchChunk { data: data.to_vec(), total }))
            .collect();
        if rest.len() > limit {
            answers.push(Err(Status::unavailable("the line broke")));
        }
        Ok(Response::new(Box::pin(tokio_stream::iter(answers))))
    }
}

/// The manager.
pub struct Manager {
    pub shared: Arc<Shared>,
    pub host: HostId,
    key: Arc<Ed25519KeyPair>,
    authority: CertifiedIssuer<'static, KeyPair>,
    address: String,
    links: mpsc::Receiver<Link>,
    server: Option<tokio::task::JoinHandle<()>>,
    services: Services,
}

impl Manager {
    pub async fn start() -> Self {
        rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = Arc::new(Ed25519KeyPair::generate().unwrap());
        let (tell, links) = mpsc::channel(16);
        let shared = Arc::new(Shared::default());
        let keys = vec![key.public_key().as_ref().to_vec()];
        let services = Services { shared: Arc::clone(&shared), links: tell, keys };
        let mut manager = Self {
            shared,
            host: HostId(Uuid::now_v7()),
            key,
            authority,
            address: String::new(),
            links,
            server: None,
            services,
        };
        manager.listen("127.0.0.1:0").await;
        manager
    }

    async fn listen(&mut self, address: &str) {
        let listener = TcpListener::bind(address).await.unwrap();
        self.address = listener.local_addr().unwrap().to_string();
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec![MANAGER_NAME.to_owned()]).unwrap().signed_by(&key, &self.authority).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.authority.der().clone()).unwrap();
        let clients = rustls::server::WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
        let mut config = rustls::ServerConfig::builder()
            .with_client_cert_verifier(clients)
            .with_single_cert(
                vec![CertificateDer::from(certificate.der().to_vec())],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (push, incoming) = mpsc::channel(16);
        let services = self.services.clone();
        self.server = Some(tokio::spawn(async move {
            let accept = async move {
                while let Ok((stream, _)) = listener.accept().await {
                    stream.set_nodelay(true).unwrap();
                    if let Ok(stream) = acceptor.accept(stream).await {
                        push.send(Ok::<_, std::io::Error>(Connection(stream))).await.ok();
                    }
                }
            };
            let serve = tonic::transport::Server::builder()
                .add_service(v1::agent_link_server::AgentLinkServer::new(services.clone()))
                .add_service(v1::artifacts_server::ArtifactsServer::new(services))
                .serve_with_incoming(ReceiverStream::new(incoming));
            tokio::select! {
                () = accept => {}
                served = serve => served.unwrap(),
            }
        }));
    }

    /// Nobody answers at its port any more.
    pub async fn go_away(&mut self) {
        if let Some(server) = self.server.take() {
            server.abort();
            server.await.ok();
        }
    }

    /// It is there again.
    pub async fn come_back(&mut self) {
        let address = self.address.clone();
        self.listen(&address).await;
    }

    /// The next link that an agent opens.
    pub async fn link(&mut self) -> Link {
        tokio::time::timeout(PATIENCE, self.links.recv()).await.expect("no agent came").unwrap()
    }

    /// A signed script that the manager hands out.
    pub fn script(&self, text: &str) -> ScriptRun {
        self.script_of(text.as_bytes())
    }

    pub fn script_of(&self, bytes: &[u8]) -> ScriptRun {
        let digest = Digest(Sha256::digest(bytes).into());
        self.shared.artifacts.lock().unwrap().insert(digest.0, bytes.to_vec());
        ScriptRun::new(self.signed("test.sh", digest))
    }

    pub fn signed(&self, name: &str, digest: Digest) -> ScriptRef {
        let signature = self.key.sign(signed_text(name, 1, &digest).as_bytes());
        ScriptRef { id: None, name: name.into(), revision: 1, digest, signature: hex::encode(signature) }
    }

    /// A hook that runs a signed script.
    pub fn hook(&self, id: i64, point: HookPoint, text: &str) -> AssignedHook {
        AssignedHook {
            id: HookId(id),
            point,
            order: 100,
            on_failure: OnFailure::Block,
            timeout_s: 30,
            script: self.script(text).script,
            run_as: None,
            env: BTreeMap::new(),
            secrets: BTreeMap::new(),
            stdin_json: false,
            external: true,
            leave_children: false,
        }
    }

    pub fn assignment(&self, hooks: Vec<AssignedHook>) -> v1::Assignment {
        let assignment = Assignment { number: 7, name: "host-7".into(), hooks, ..Assignment::default() };
        let document = serde_json::to_vec(&assignment).unwrap();
        v1::Assignment {
            revision: Digest(Sha256::digest(&document).into()).to_string(),
            signature: self.key.sign(&document).as_ref().to_vec(),
            document,
        }
    }

    /// An agent of this manager's host that has joined.
    pub fn agent(&self) -> Agent {
        self.agent_in(&std::env::temp_dir())
    }

    pub fn agent_in(&self, parent: &Path) -> Agent {
        let state = tempfile::Builder::new().prefix("agent-").tempdir_in(parent).unwrap();
        let (key, csr) = fresh_request().unwrap();
        drop(csr);
        let pair = KeyPair::try_from(key.as_slice()).unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(host_uri(self.host).try_into().unwrap())];
        let certificate = params.signed_by(&pair, &self.authority).unwrap();
        let now = SystemClock.now();
        let identity = Identity {
            host: self.host,
            name: "host-7".into(),
            managers: vec![self.address.clone()],
            certificate: certificate.der().to_vec(),
            key,
            ca: self.authority.der().to_vec(),
            issued_at: now,
            expires_at: now.after(Duration::from_secs(3600)),
        };
        identity.save(state.path()).unwrap();
        let config = state.path().join("agent.toml");
        let (opt_out, runtime) = (state.path().join("no-remote-scripts"), state.path().join("run"));
        std::fs::write(
            &config,
            format!(
                "[allow]\nusers = [\"nobody\"]\n[scripts]\nopt_out_file = {opt_out:?}\nruntime_dir = {runtime:?}\n"
            ),
        )
        .unwrap();
        Agent { state, config, binary: executable(), child: None, env: Vec::new(), host: self.host }
    }
}

/// The agent's executable. In a host that is booted for tests it may be found elsewhere than where it was built.
fn executable() -> PathBuf {
    let built = Path::new(env!("CARGO_BIN_EXE_hostler-agent"));
    match (std::env::var_os("HOSTLER_TEST_BUILT"), built.file_name()) {
        (Some(folder), Some(name)) => Path::new(&folder).join(name),
        _ => built.to_owned(),
    }
}

/// An agent.
pub struct Agent {
    pub state: tempfile::TempDir,
    pub config: PathBuf,
    pub binary: PathBuf,
    pub env: Vec<(String, String)>,
    host: HostId,
    child: Option<tokio::process::Child>,
}

impl Agent {
    pub fn start(&mut self) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.state.path().join("log")).unwrap();
        let child = tokio::process::Command::new(&self.binary)
            .arg("run")
            .arg("--state-dir")
            .arg(self.state.path())
            .arg("--config")
            .arg(&self.config)
            .envs(self.env.iter().cloned())
            .stdin(std::process::Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        self.child = Some(child);
    }

    /// Gives scripts that run as others a folder to which they can pass through.
    pub fn passable(&self) -> tempfile::TempDir {
        let runtime = tempfile::Builder::new().prefix("run-").tempdir().unwrap();
        std::fs::set_permissions(runtime.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
        let text = std::fs::read_to_string(&self.config).unwrap();
        let at = text.find("runtime_dir").unwrap();
        std::fs::write(&self.config, format!("{}runtime_dir = {:?}\n", &text[..at], runtime.path())).unwrap();
        runtime
    }

    pub async fn kill(&mut self) {
        self.child.take().unwrap().kill().await.unwrap();
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id().unwrap()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.state.path().join("log")).unwrap_or_default()
    }

    pub fn folder(&self, job: JobId) -> PathBuf {
        self.state.path().join("jobs").join(job.to_string())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        std::fs::remove_dir_all(Path::new("/dev/shm/hostler-agent").join(self.host.to_string())).ok();
        if let Some(child) = &mut self.child {
            child.start_kill().ok();
        }
        if std::thread::panicking() {
            eprintln!("the agent said:\n{}", self.log());
        }
        // Whoever still ends a job writes there for a moment; what is removed once would come back.
        for _ in 0..100 {
            if std::fs::remove_dir_all(self.state.path()).is_ok() || !self.state.path().exists() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// One link of an agent.
pub struct Link {
    pub hello: v1::Hello,
    pub down: mpsc::Sender<Result<v1::ManagerFrame, Status>>,
    pub up: Streaming<v1::AgentFrame>,
    /// Output that came while something else was waited for.
    pub outputs: Vec<v1::Output>,
    /// Everything else but heartbeats, likewise.
    pub other: Vec<Up>,
}

pub fn job(run: ScriptRun) -> JobSpec {
    JobSpec {
        id: JobId(Uuid::now_v7()),
        host: HostId(Uuid::nil()),
        work: Work::Script(Box::new(run)),
        deadline: Duration::from_secs(60),
    }
}

impl Link {
    pub async fn send(&self, frame: Down) {
        self.down.send(Ok(v1::ManagerFrame { frame: Some(frame) })).await.unwrap();
    }

    pub async fn give(&self, spec: &JobSpec) {
        self.send(Down::Job(spec.into())).await;
    }

    pub async fn cancel(&self, job: JobId) {
        self.send(Down::Cancel(v1::CancelJob { id: job.to_string() })).await;
    }

    pub async fn acknowledge(&self, job: JobId) {
        self.send(Down::Acknowledge(v1::Acknowledge { id: job.to_string() })).await;
    }

    /// The next frame that is no heartbeat.
    pub async fn next(&mut self) -> Up {
        loop {
            let frame = tokio::time::timeout(PATIENCE, self.up.message()).await.expect("the agent says nothing");
            match frame.unwrap().expect("the agent left").frame.unwrap() {
                Up::Heartbeat(_) => {}
                other => return other,
            }
        }
    }

    /// The next frame that `want` takes; what comes before it is kept.
    pub async fn until<T>(&mut self, want: impl FnMut(&Up) -> Option<T>) -> T {
        tokio::time::timeout(LONGEST, self.search(want)).await.expect("the agent says other things only")
    }

    async fn search<T>(&mut self, mut want: impl FnMut(&Up) -> Option<T>) -> T {
        for at in 0..self.other.len() {
            if let Some(found) = want(&self.other[at]) {
                self.other.remove(at);
                return found;
            }
        }
        loop {
            let frame = self.next().await;
            if let Some(found) = want(&frame) {
                return found;
            }
            match frame {
                Up::Output(output) => self.outputs.push(output),
                other => self.other.push(other),
            }
        }
    }

    /// Waits for the end of a job.
    pub async fn end(&mut self, job: JobId) -> (JobState, Outcome) {
        self.until(|frame| {
            let Up::Update(update) = frame else { return None };
            let update = JobUpdate::try_from(update.clone()).unwrap();
            (update.job == job && update.state.is_final()).then(|| (update.state, update.outcome.unwrap()))
        })
        .await
    }

    pub async fn report(&mut self) -> HostReport {
        self.until(|frame| {
            let Up::Report(report) = frame else { return None };
            let report: HostReport = serde_json::from_slice(&report.report).unwrap();
            // What others do to this machine meanwhile is not the test's business.
            (report.occurrence.origin == Origin::Agent).then_some(report)
        })
        .await
    }

    /// Has a script run to its end.
    pub async fn run(&mut self, run: ScriptRun) -> (JobState, Outcome) {
        let spec = job(run);
        self.give(&spec).await;
        self.end(spec.id).await
    }
}

/// All of the output that was kept.
pub fn text(outcome: &Outcome) -> String {
    let merged: &Merged = outcome.merged.as_ref().expect("no merged output");
    String::from_utf8_lossy(&[merged.bytes.head.as_slice(), &merged.bytes.tail].concat()).into_owned()
}

/// Waits until something is so.
pub async fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let began = std::time::Instant::now();
    while !so() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A manager, an agent and the link between them.
pub async fn connected() -> (Manager, Agent, Link) {
    let mut manager = Manager::start().await;
    let mut agent = manager.agent();
    agent.start();
    let link = manager.link().await;
    (manager, agent, link)
}

/// The same, where scripts may run as other accounts, with the folder to which they can pass through; `None` if this is not root.
pub async fn connected_with_accounts() -> Option<(Manager, Agent, Link, tempfile::TempDir)> {
    if !nix::unistd::geteuid().is_root() {
        untested("this is not root");
        return None;
    }
    let mut manager = Manager::start().await;
    let mut agent = manager.agent();
    let runtime = agent.passable();
    agent.start();
    let link = manager.link().await;
    Some((manager, agent, link, runtime))
}

/// Says that a test cannot be done here; where everything has to be tested, that is a failure.
pub fn untested(why: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "this test must run in CI: {why}");
    eprintln!("\n!!! NOT TESTED: {why}\n");
}
