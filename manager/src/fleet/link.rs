//! The gRPC services that agents talk to: moves frames between a stream and the desk.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hostler_common::cluster::ClusterState;
use hostler_common::error::Class;
use hostler_common::hook::HostReport;
use hostler_common::job::{JobSpec, JobState, JobUpdate, Outcome, Stream};
use hostler_common::time::Timestamp;
use hostler_proto::v1;
use hostler_proto::v1::agent_frame::Frame as Up;
use hostler_proto::v1::agent_link_server::AgentLink;
use hostler_proto::v1::artifacts_server::ArtifactsServer;
use hostler_proto::v1::enrollment_server::{Enrollment, EnrollmentServer};
use hostler_proto::v1::manager_frame::Frame as Down;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::Fleet;
use super::accept::{HostCertificate, Issuer, Peer, Tls, accept};
use super::admit::Refusals;
use super::attach::Links;
use super::desk::{Hello, Order, Session};
use super::enrol::{self, Enrolled};
use super::frames::Frames;
use crate::store::Error;
use crate::store::host::Greeting;

/// How many frames may wait for a slow agent; then its own link waits, and no other.
const DOWN_QUEUE: usize = 32;

/// What an agent may send ahead of us, in bytes: a thousand that wait for their turn hold this much each. No piece of a
/// document is larger, so that with its head it fits into the 8 KiB that a connection reads into from its beginning.
const WINDOW: u32 = (8 << 10) - 9;

/// How long an agent may take for its first frame.
const HELLO: Duration = Duration::from_secs(10);

/// How many heartbeats may be missed.
const MISSED: u32 = 3;

/// The longest text of an agent's version, boot id and name that is looked at.
const TEXT_MAX: usize = 256;

/// Serves agents on `listener` until `stop`.
///
/// # Errors
/// The listener cannot be set up, or failed.
pub async fn serve(fleet: Fleet, listener: TcpListener, stop: CancellationToken) -> anyhow::Result<()> {
    let tls = Arc::new(Tls::new(&fleet)?);
    let refusals = Arc::new(Refusals::default());
    let rotation = {
        let (tls, fleet, stop) = (Arc::clone(&tls), fleet.clone(), stop.clone());
        tokio::spawn(async move { tls.rotate(&fleet, stop).await })
    };
    let _listening = fleet.listen_begins();
    let connections = accept(fleet.clone(), tls, Arc::clone(&refusals), listener, stop.clone());
    let service = Service { fleet, refusals, stop: stop.clone() };
    let links = Links::new(service.clone());
    tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .max_concurrent_streams(Some(8))
        .initial_stream_window_size(Some(WINDOW))
        .initial_connection_window_size(Some(64 << 10))
        .add_service(ArtifactsServer::new(service.clone()))
        .add_service(EnrollmentServer::new(service))
        .add_service(links)
        .serve_with_incoming_shutdown(ReceiverStream::new(connections), stop.clone().cancelled_owned())
        .await?;
    rotation.await?;
    Ok(())
}

/// A frame for the agent, or how its link ends.
pub(super) type Outgoing = Result<v1::ManagerFrame, Status>;

#[derive(Clone)]
pub(super) struct Service {
    pub(super) fleet: Fleet,
    refusals: Arc<Refusals>,
    stop: CancellationToken,
}

impl Service {
    /// The peer of a request, which every connection has.
    pub(super) fn peer<T>(request: &Request<T>) -> Result<Peer, Status> {
        request.extensions().get::<Peer>().cloned().ok_or_else(|| Status::internal("a connection without peer"))
    }

    /// Records a refusal and says it to the agent.
    async fn refuse(&self, peer: &Peer, subject: &str, error: Error) -> Status {
        let status = status_of(&error);
        if matches!(error, Error::Refused(..)) {
            self.refusals.record(&self.fleet.engine, peer.address, subject, status.message()).await;
        } else {
            tracing::warn!(address = %peer.address, %error, "an agent cannot be served");
        }
        status
    }

    /// The certificate of the host at the other end.
    pub(super) async fn certificate(&self, peer: &Peer) -> Result<HostCertificate, Status> {
        match peer.certificate.clone() {
            Some(certificate) => Ok(certificate),
            None => {
                let error = Error::Refused(Class::Denied, "a link needs the certificate of a host".into());
                Err(self.refuse(peer, "", error).await)
            }
        }
    }
}

pub(super) fn status_of(error: &Error) -> Status {
    let text = error.to_string();
    match error.class() {
        Class::Invalid => Status::invalid_argument(text),
        Class::NotFound => Status::not_found(text),
        Class::Conflict => Status::already_exists(text),
        Class::Denied => Status::permission_denied(text),
        Class::Exhausted => Status::resource_exhausted(text),
        Class::Unavailable => Status::unavailable(text),
        Class::Internal => Status::internal("internal error; see the manager's log"),
    }
}

fn identity_of(enrolled: Enrolled) -> v1::Identity {
    v1::Identity {
        host_id: enrolled.host.to_string(),
        name: enrolled.name,
        certificate: enrolled.issued.certificate,
        ca: enrolled.ca,
        expires_us: enrolled.issued.expires_at.as_micros(),
    }
}

#[tonic::async_trait]
impl Enrollment for Service {
    async fn enrol(&self, request: Request<v1::EnrolRequest>) -> Result<Response<v1::Identity>, Status> {
        let peer = Self::peer(&request)?;
        let asked = request.into_inner();
        let wanted = enrol::Request {
            name: asked.name.chars().take(TEXT_MAX).collect(),
            csr: asked.csr,
            clock: Timestamp::from_micros(asked.clock_us),
        };
        let name = wanted.name.clone();
        match self.fleet.enrol(&asked.token, wanted, peer.address).await {
            Ok(enrolled) => {
                tracing::info!(host = %enrolled.host, name, address = %peer.address, "host enrolled");
                Ok(Response::new(identity_of(enrolled)))
            }
            Err(error) => Err(self.refuse(&peer, &name, error).await),
        }
    }
}

#[tonic::async_trait]
impl AgentLink for Service {
    type AttachStream = ReceiverStream<Outgoing>;

    async fn renew(&self, request: Request<v1::RenewRequest>) -> Result<Response<v1::Identity>, Status> {
        let peer = Self::peer(&request)?;
        let who = self.certificate(&peer).await?;
        let asked = request.into_inner();
        let clock = Timestamp::from_micros(asked.clock_us);
        match self.fleet.renew(who.host, who.serial, asked.csr, clock).await {
            Ok(enrolled) => Ok(Response::new(identity_of(enrolled))),
            Err(error) => Err(self.refuse(&peer, &who.host.to_string(), error).await),
        }
    }

    async fn attach(&self, _: Request<Streaming<v1::AgentFrame>>) -> Result<Response<Self::AttachStream>, Status> {
        // `super::attach` takes these requests before the generated code would.
        Err(Status::unimplemented("links are not made this way"))
    }
}

impl Service {
    /// Begins a link; what comes out of the receiver is to be sent to the agent.
    pub(super) async fn link(&self, request: Request<Frames>) -> Result<mpsc::Receiver<Outgoing>, Status> {
        let peer = Self::peer(&request)?;
        let who = self.certificate(&peer).await?;
        let mut frames = request.into_inner();
        let hello = first_frame(&mut frames, &peer).await?;
        let session = match self.fleet.hello(&who, hello).await {
            Ok(session) => session,
            Err(error) => return Err(self.refuse(&peer, &who.host.to_string(), error).await),
        };
        let (down, outgoing) = mpsc::channel(DOWN_QUEUE);
        let stop = self.stop.child_token();
        self.fleet.link_begins(who.host, &stop);
        let expires_at = match who.issuer {
            Issuer::Operator { expires_at, .. } => Some(expires_at),
            Issuer::BuiltIn => None,
        };
        let link = Link { fleet: self.fleet.clone(), session, frames, down, stop, expires_at };
        tokio::spawn(link.run());
        Ok(outgoing)
    }
}

/// Waits for as long as a certificate counts; a link that lasts for a year may prove itself anew, too.
async fn ends(life: Option<Duration>) {
    match life {
        Some(life) => tokio::time::sleep(life.min(Duration::from_secs(366 * 86_400))).await,
        None => std::future::pending().await,
    }
}

/// Reads the hello of a new link.
async fn first_frame(frames: &mut Frames, peer: &Peer) -> Result<Hello, Status> {
    let first = tokio::time::timeout(HELLO, frames.next())
        .await
        .map_err(|_| Status::deadline_exceeded("no hello"))??
        .and_then(|frame| frame.frame);
    let Some(Up::Hello(hello)) = first else {
        return Err(Status::invalid_argument("the first frame of a link must be a hello"));
    };
    let mut journal = BTreeMap::new();
    for entry in &hello.journal {
        let (job, state) = entry.read().map_err(|error| Status::invalid_argument(error.to_string()))?;
        journal.insert(job, state);
    }
    Ok(Hello {
        greeting: Greeting {
            version: hello.version.chars().take(TEXT_MAX).collect(),
            boot_id: hello.boot_id.chars().take(TEXT_MAX).collect(),
            address: peer.address.ip().to_string(),
        },
        clock: Timestamp::from_micros(hello.clock_us),
        journal,
    })
}

/// One live link.
struct Link {
    fleet: Fleet,
    session: Session,
    frames: Frames,
    down: mpsc::Sender<Outgoing>,
    stop: CancellationToken,
    /// When the link ends with its certificate, which only whoever made it can follow by another.
    expires_at: Option<Timestamp>,
}

/// Why a link ended.
enum End {
    /// The agent went away.
    Gone,
    /// The manager stops, the agent was revoked, or a newer link took its place.
    Cut,
    /// The agent said nothing for too long.
    Silent,
    /// The certificate ended.
    Expired,
    /// The store does not answer: the agent keeps what it has and comes again.
    Failed(Error),
}

impl Link {
    async fn run(mut self) {
        let host = self.session.host;
        let wake = self.fleet.engine.wake.register(host);
        let mut seen_at = self.fleet.engine.clock.now();
        let end = self.serve(&wake, &mut seen_at).await;
        self.fleet.engine.wake.unregister(host, &wake);
        self.fleet.link_ends(host, &self.stop);
        match &end {
            End::Gone => tracing::info!(%host, "agent disconnected"),
            End::Cut => tracing::info!(%host, "link closed"),
            End::Expired => tracing::info!(%host, "the certificate of the host ended; link closed"),
            End::Silent => tracing::warn!(%host, "agent says nothing; link closed"),
            End::Failed(error) => tracing::warn!(%host, %error, "link closed"),
        }
        let status = match end {
            End::Failed(error) => status_of(&error),
            End::Expired => Status::unavailable("the link ended with its proof of identity; connect with the next one"),
            End::Cut => Status::unavailable("the link was closed by the manager"),
            End::Gone | End::Silent => Status::deadline_exceeded("no heartbeat"),
        };
        // The agent may be gone already.
        self.down.try_send(Err(status)).ok();
        if let Err(error) = self.fleet.goodbye(&self.session, seen_at).await {
            tracing::warn!(%host, %error, "the end of a link cannot be recorded");
        }
    }

    async fn serve(&mut self, wake: &Notify, seen_at: &mut Timestamp) -> End {
        let heartbeat = self.fleet.settings.heartbeat;
        let welcome = v1::Welcome {
            version: env!("CARGO_PKG_VERSION").into(),
            heartbeat_s: u32::try_from(heartbeat.as_secs()).unwrap_or(u32::MAX),
            clock_us: seen_at.as_micros(),
            signing_keys: self.fleet.signing_keys(),
        };
        if self.tell(Down::Welcome(welcome)).await.is_err() {
            return End::Gone;
        }
        if let Err(end) = self.send_outbox().await {
            return end;
        }
        let mut expiry = Box::pin(ends(self.expires_at.map(|end| end.since(*seen_at))));
        let mut silence = Box::pin(tokio::time::sleep(heartbeat * MISSED));
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return End::Cut,
                () = &mut silence => return End::Silent,
                () = &mut expiry => return End::Expired,
                () = wake.notified() => {
                    if let Err(end) = self.send_outbox().await {
                        return end;
                    }
                }
                frame = self.frames.next() => {
                    let Ok(Some(frame)) = frame else { return End::Gone };
                    *seen_at = self.fleet.engine.clock.now();
                    silence.as_mut().reset(tokio::time::Instant::now() + heartbeat * MISSED);
                    if let Err(end) = self.take(frame).await {
                        return end;
                    }
                }
            }
        }
    }

    async fn take(&mut self, frame: v1::AgentFrame) -> Result<(), End> {
        match frame.frame {
            Some(Up::Update(update)) => {
                let update = match JobUpdate::try_from(update) {
                    Ok(update) => update,
                    Err(error) => {
                        tracing::warn!(host = %self.session.host, %error, "an update cannot be understood");
                        return Ok(());
                    }
                };
                match self.fleet.update(&self.session, update).await {
                    Ok(Some(order)) => self.order(order).await,
                    Ok(None) => Ok(()),
                    Err(error) => Err(End::Failed(error)),
                }
            }
            Some(Up::Output(output)) => self.output(output).await,
            Some(Up::Report(report)) => self.report(report).await,
            Some(Up::Cluster(cluster)) => {
                match serde_json::from_slice::<ClusterState>(&cluster.state) {
                    Ok(state) => self.fleet.cluster_state(self.session.host, state),
                    Err(error) => {
                        tracing::warn!(host = %self.session.host, %error, "the state of a cluster cannot be understood");
                    }
                }
                Ok(())
            }
            // Being there is all that a heartbeat says to the rules; a second hello or a newer kind of frame changes nothing.
            Some(Up::Heartbeat(_) | Up::Hello(_)) | None => Ok(()),
        }
    }

    /// Output of a job that is open and of this host goes to those who watch; other output to nobody.
    async fn output(&mut self, output: v1::Output) -> Result<(), End> {
        let Ok(job) = output.id.parse() else { return Ok(()) };
        if self.fleet.output_is_taken(&self.session, job).await.map_err(End::Failed)? {
            let stream = if output.stderr { Stream::Stderr } else { Stream::Stdout };
            self.fleet.engine.outputs.take(job, output.offset, stream, output.data.into());
        }
        Ok(())
    }

    /// A report is acknowledged when it is durable. One that makes no sense would be said again for ever: it is
    /// acknowledged too, and the log says so.
    async fn report(&mut self, report: v1::HostReport) -> Result<(), End> {
        let host = self.session.host;
        let taken = match serde_json::from_slice::<HostReport>(&report.report) {
            Ok(document) => self.fleet.engine.report(host, HostReport { number: report.number, ..document }).await,
            Err(error) => Err(Error::Refused(Class::Invalid, error.to_string())),
        };
        match taken {
            Ok(()) => {}
            Err(error @ (Error::Refused(..) | Error::Exists(_) | Error::Broken(_))) => {
                tracing::error!(%host, number = report.number, %error, "a report cannot be taken and is dropped");
            }
            Err(error) => return Err(End::Failed(error)),
        }
        self.tell(Down::AcknowledgeReport(v1::AcknowledgeReport { number: report.number })).await
    }

    /// A job with the values of its secrets; one whose secrets cannot be had ends without having been begun.
    async fn job(&mut self, spec: &JobSpec) -> Result<Option<v1::Job>, End> {
        match self.fleet.secrets(spec).await {
            Ok(values) => {
                let secrets = values.into_iter().map(|(name, value)| v1::Secret { name, value }).collect();
                Ok(Some(v1::Job { secrets, ..spec.into() }))
            }
            Err(Error::Refused(_, reason)) => {
                let outcome = Some(Outcome { reason: Some(reason), ..Outcome::default() });
                let update = JobUpdate { job: spec.id, state: JobState::Refused, outcome };
                self.fleet.engine.job_update(self.session.host, update).await.map_err(End::Failed)?;
                Ok(None)
            }
            Err(error) => Err(End::Failed(error)),
        }
    }

    async fn send_outbox(&mut self) -> Result<(), End> {
        let orders = self.fleet.outbox(&mut self.session).await.map_err(End::Failed)?;
        for order in orders {
            self.order(order).await?;
        }
        Ok(())
    }

    async fn order(&mut self, order: Order) -> Result<(), End> {
        let frame = match order {
            Order::Run(spec) => match self.job(&spec).await? {
                Some(job) => Down::Job(job),
                None => return Ok(()),
            },
            Order::Cancel(job) => Down::Cancel(v1::CancelJob { id: job.to_string() }),
            Order::Acknowledge(job) => Down::Acknowledge(v1::Acknowledge { id: job.to_string() }),
        };
        self.tell(frame).await
    }

    async fn tell(&mut self, frame: Down) -> Result<(), End> {
        tokio::select! {
            sent = self.down.send(Ok(v1::ManagerFrame { frame: Some(frame) })) => sent.map_err(|_| End::Gone),
            () = self.stop.cancelled() => Err(End::Cut),
        }
    }
}
