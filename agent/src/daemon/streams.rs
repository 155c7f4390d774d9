//! Output of running scripts on its way to who watches: from the ring in a job's folder to the link. A link that is slow
//! holds up nothing: the ring goes on, and what was not sent is skipped (spec/hooks.md §10).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hostler_common::id::JobId;
use hostler_common::job::Stream;
use hostler_proto::v1;
use hostler_proto::v1::agent_frame::Frame as Up;
use tokio::sync::Notify;
use tokio::sync::mpsc::Sender;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::process::Folder;
use crate::process::live::{self, Follower, Piece};

/// The longest piece that is sent, in bytes.
const PIECE_MAX: usize = 16 << 10;

/// How long output is collected before less than a whole piece is sent.
const COLLECT: Duration = Duration::from_millis(200);

/// How often it is looked for output if nobody tells of it.
const LOOK: Duration = Duration::from_secs(1);

/// How long the end of a script waits for the last of its output; nobody waits for anything while that is sent.
const LAST: Duration = Duration::from_millis(100);

/// How long a full link is left alone.
const FULL: Duration = Duration::from_millis(50);

/// The running scripts.
#[derive(Debug, Default)]
pub(super) struct Streams {
    running: BTreeMap<JobId, Running>,
}

#[derive(Debug)]
struct Running {
    folder: Folder,
    news: Arc<Notify>,
    over: CancellationToken,
    /// Who follows it on the link that there is.
    follower: Option<JoinHandle<()>>,
}

impl Streams {
    /// A script runs.
    pub(super) fn begin(&mut self, job: JobId, folder: Folder, link: Option<&Sender<v1::AgentFrame>>) {
        let mut running = Running { folder, news: Arc::default(), over: CancellationToken::new(), follower: None };
        if let Some(link) = link {
            running.follow(job, link.clone());
        }
        self.running.insert(job, running);
    }

    /// A link begins: watchers get what is there once more.
    pub(super) fn open(&mut self, link: &Sender<v1::AgentFrame>) {
        for (job, running) in &mut self.running {
            running.follow(*job, link.clone());
        }
    }

    /// A script wrote something.
    pub(super) fn news(&self, job: JobId) {
        if let Some(running) = self.running.get(&job) {
            running.news.notify_waiters();
        }
    }

    /// A script ended. What was written last is sent if there is room, before anybody hears of the end; and the ring goes.
    pub(super) async fn end(&mut self, job: JobId) {
        let Some(running) = self.running.remove(&job) else { return };
        running.over.cancel();
        if let Some(follower) = running.follower {
            tokio::time::timeout(LAST, follower).await.ok();
        }
        live::remove(running.folder.path());
    }
}

impl Running {
    fn follow(&mut self, job: JobId, link: Sender<v1::AgentFrame>) {
        let follower = Follower::new(self.folder.path());
        let follow = follow(job, follower, link, Arc::clone(&self.news), self.over.clone());
        // One on a link before ends with that link.
        self.follower = Some(tokio::spawn(follow));
    }
}

async fn follow(
    job: JobId,
    mut follower: Follower,
    link: Sender<v1::AgentFrame>,
    news: Arc<Notify>,
    over: CancellationToken,
) {
    let mut unread: Option<Piece> = None;
    while !link.is_closed() {
        let last = over.is_cancelled();
        // Who waits is told of what comes from here on, also while it reads.
        let news = news.notified();
        tokio::pin!(news);
        news.as_mut().enable();
        let sent_at = Instant::now();
        let state = pass(job, &mut follower, &mut unread, &link);
        if last {
            return;
        }
        match state {
            Passed::Failed => return,
            Passed::Full => pause(&over, FULL).await,
            Passed::All { some: false } => {
                tokio::select! {
                    () = over.cancelled() => {}
                    () = news => {}
                    () = tokio::time::sleep(LOOK) => {}
                }
            }
            // More is collected before it is sent.
            Passed::All { some: true } => {
                tokio::select! {
                    () = over.cancelled() => {}
                    () = tokio::time::sleep_until(sent_at + COLLECT) => {}
                }
            }
        }
    }
}

async fn pause(over: &CancellationToken, time: Duration) {
    tokio::select! {
        () = over.cancelled() => {}
        () = tokio::time::sleep(time) => {}
    }
}

/// How far sending got.
enum Passed {
    /// Everything that there was.
    All {
        /// Whether that was something.
        some: bool,
    },
    /// The link takes no more now.
    Full,
    /// The ring cannot be read; its outcome will say everything.
    Failed,
}

fn pass(job: JobId, follower: &mut Follower, unread: &mut Option<Piece>, link: &Sender<v1::AgentFrame>) -> Passed {
    let mut some = false;
    loop {
        // Half of the queue is for what matters more.
        if link.capacity() <= link.max_capacity() / 2 {
            return Passed::Full;
        }
        let piece = match unread.take() {
            Some(piece) => Ok(Some(piece)),
            None => follower.next(PIECE_MAX),
        };
        let piece = match piece {
            Ok(Some(piece)) => piece,
            Ok(None) => return Passed::All { some },
            Err(error) => {
                tracing::warn!(%job, %error, "the output of a running script cannot be read");
                return Passed::Failed;
            }
        };
        let output = v1::Output {
            id: job.to_string(),
            offset: piece.offset,
            data: piece.data.clone(),
            stderr: piece.stream == Stream::Stderr,
        };
        if link.try_send(v1::AgentFrame { frame: Some(Up::Output(output)) }).is_err() {
            *unread = Some(piece);
            return Passed::Full;
        }
        some = true;
    }
}
