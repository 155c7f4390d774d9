//! The link to a manager: dials, says hello, carries frames, says that it is there, and comes back when it broke
//! (design §5). What frames mean is the daemon's business.

use std::time::Duration;

use hostler_common::time::{Clock, SystemClock, Timestamp};
use hostler_proto::v1::agent_frame::Frame as Up;
use hostler_proto::v1::agent_link_client::AgentLinkClient;
use hostler_proto::v1::manager_frame::Frame as Down;
use hostler_proto::{MESSAGE_MAX, v1};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use crate::backoff::Backoff;
use crate::identity::fresh_request;
use crate::shared_identity::SharedIdentity;

/// How many frames may wait for a slow network.
const UP_QUEUE: usize = 32;

/// How long a manager may take to answer the hello.
const HELLO: Duration = Duration::from_secs(20);

/// How often it is looked whether the certificate wants renewal.
const RENEWAL_CHECK: Duration = Duration::from_secs(600);

/// What the link tells the daemon.
#[derive(Debug)]
pub enum Event {
    /// A stream is about to be opened: the daemon puts the hello into it, and may send on it from then on.
    Opening(mpsc::Sender<v1::AgentFrame>, oneshot::Sender<()>),
    /// The manager said this.
    Frame(Down),
    /// The stream is gone.
    Closed,
}

/// Why a link ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error(transparent)]
    Dial(#[from] crate::dial::Error),
    /// The manager does not want this agent; asking again soon will not change that.
    #[error("the manager refuses this agent: {0}")]
    Refused(String),
    #[error("{0}")]
    Broken(String),
    #[error("the agent stops")]
    Stopped,
}

/// Keeps a link to one of the managers until `stop`.
pub async fn run(
    identity: SharedIdentity,
    managers: Vec<String>,
    events: mpsc::Sender<Event>,
    stop: CancellationToken,
) {
    let mut backoff = Backoff::default();
    for address in managers.iter().cycle() {
        let link = Link { identity: &identity, events: &events, stop: &stop };
        let began = tokio::time::Instant::now();
        let end = link.once(address).await;
        events.send(Event::Closed).await.ok();
        match end {
            End::Stopped => return,
            End::Refused(reason) => {
                tracing::error!(manager = address, reason, "the manager refuses this agent");
                backoff.refused();
            }
            End::Dial(error) => tracing::warn!(manager = address, %error, "no connection to the manager"),
            End::Broken(reason) => {
                tracing::warn!(manager = address, reason, "the link to the manager broke");
                if began.elapsed() > Duration::from_secs(10) {
                    backoff.reset();
                }
            }
        }
        let wait = backoff.next(random());
        tracing::debug!(wait_ms = wait.as_millis(), "waiting before the next attempt");
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

fn random() -> u64 {
    let mut bytes = [0; 8];
    // Without randomness the agents of a fleet may come back together; that is no reason not to come back.
    getrandom::fill(&mut bytes).ok();
    u64::from_ne_bytes(bytes)
}

struct Link<'a> {
    identity: &'a SharedIdentity,
    events: &'a mpsc::Sender<Event>,
    stop: &'a CancellationToken,
}

impl Link<'_> {
    async fn once(&self, address: &str) -> End {
        tokio::select! {
            () = self.stop.cancelled() => End::Stopped,
            end = self.serve(address) => match end {
                Ok(()) => End::Broken("the manager closed the link".into()),
                Err(end) => end,
            },
        }
    }

    async fn serve(&self, address: &str) -> Result<(), End> {
        let channel = self.identity.dial(address).await?;
        let mut client = AgentLinkClient::new(channel.clone()).max_decoding_message_size(MESSAGE_MAX);
        let (up, outgoing) = mpsc::channel(UP_QUEUE);
        let (greeted, said_hello) = oneshot::channel();
        let gone = |_| End::Stopped;
        self.events.send(Event::Opening(up.clone(), greeted)).await.map_err(|_| End::Stopped)?;
        said_hello.await.map_err(gone)?;
        let answer = tokio::time::timeout(HELLO, client.attach(ReceiverStream::new(outgoing)))
            .await
            .map_err(|_| End::Broken("no answer to the hello".into()))?;
        let mut frames = answer.map_err(|status| end_of(&status))?.into_inner();
        let mut heartbeat = tokio::time::interval(Duration::from_secs(15));
        let mut renewal = tokio::time::interval(RENEWAL_CHECK);
        loop {
            tokio::select! {
                frame = frames.next() => match frame {
                    None => return Ok(()),
                    Some(Err(status)) => return Err(end_of(&status)),
                    Some(Ok(v1::ManagerFrame { frame: Some(Down::Welcome(welcome)) })) => {
                        tracing::info!(manager = address, version = welcome.version, "connected");
                        let period = Duration::from_secs(u64::from(welcome.heartbeat_s.clamp(1, 300)));
                        heartbeat = tokio::time::interval_at(tokio::time::Instant::now() + period, period);
                        heartbeat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
                    }
                    Some(Ok(v1::ManagerFrame { frame: Some(frame) })) => {
                        self.events.send(Event::Frame(frame)).await.map_err(|_| End::Stopped)?;
                    }
                    // A newer manager says something that this release does not know.
                    Some(Ok(v1::ManagerFrame { frame: None })) => {}
                },
                _ = heartbeat.tick() => {
                    let beat = v1::AgentFrame { frame: Some(Up::Heartbeat(crate::load::heartbeat())) };
                    up.send(beat).await.map_err(|_| End::Broken("the stream is closed".into()))?;
                }
                _ = renewal.tick() => self.renew(&channel).await,
            }
        }
    }

    /// Gets the next certificate when it is time. The link goes on with the old one; the next uses the new one.
    async fn renew(&self, channel: &Channel) {
        let Some(identity) = self.identity.to_renew() else { return };
        let now = SystemClock.now();
        if !identity.wants_renewal(now) {
            return;
        }
        let renewed = async {
            let (key, csr) = fresh_request().map_err(|error| error.to_string())?;
            let request = v1::RenewRequest { csr, clock_us: now.as_micros() };
            let answer = AgentLinkClient::new(channel.clone()).renew(request).await;
            let answer = answer.map_err(|status| status.message().to_owned())?.into_inner();
            let mut next = (*identity).clone();
            next.certificate = answer.certificate;
            next.key = key;
            next.issued_at = now;
            next.expires_at = Timestamp::from_micros(answer.expires_us);
            self.identity.replace(next).map_err(|error| error.to_string())
        };
        match renewed.await {
            Ok(()) => tracing::info!("the certificate was renewed"),
            Err(reason) => {
                tracing::warn!(reason, expires_at = %identity.expires_at, "the certificate cannot be renewed")
            }
        }
    }
}

fn end_of(status: &tonic::Status) -> End {
    use tonic::Code;
    match status.code() {
        Code::PermissionDenied | Code::InvalidArgument | Code::Unauthenticated | Code::NotFound => {
            End::Refused(status.message().to_owned())
        }
        // TLS 1.3 tells a client of a refused certificate only on first use, and often only by closing the connection.
        _ => {
            let reason = crate::dial::chain_of(status);
            if reason.contains("alert") || reason.contains("ertificate") {
                End::Refused(format!("{reason}; see the manager's log"))
            } else {
                End::Broken(reason)
            }
        }
    }
}
