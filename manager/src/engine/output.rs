//! What running scripts write, as it arrives: for those who watch, and lost with the manager. What is kept for good comes
//! with the outcome of the job.
//!
//! Memory is bounded (design §10.10): of each script the beginning and the end, of all scripts together [`ALL_MAX`]; a
//! watcher that is too slow misses pieces and is told so, and nobody waits for it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use hostler_common::id::{HostId, JobId};
use hostler_common::job::{Captured, Merged, Stream};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// How many of the first bytes of a running script are kept.
const HEAD: usize = 64 << 10;

/// How many of the last bytes of a running script are kept.
const TAIL: usize = 64 << 10;

/// How many bytes of all running scripts together are kept.
const ALL_MAX: usize = 64 << 20;

/// How many changes of stream are kept of a running script.
const MARKS: usize = 1024;

/// The largest piece that is taken.
pub const PIECE_MAX: usize = 64 << 10;

/// How many pieces a watcher may be behind.
const BEHIND: usize = 256;

/// Something that a watcher sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Live {
    /// A script wrote something.
    Piece {
        /// Which.
        job: JobId,
        /// Where the piece begins in all that it wrote.
        offset: u64,
        /// To which stream.
        stream: Stream,
        /// What.
        bytes: Bytes,
    },
    /// The outcome of a job is recorded, with its output.
    Ended(JobId),
    /// So many pieces were missed: the watcher was too slow.
    Missed(u64),
}

/// The output of all running scripts.
#[derive(Debug)]
pub struct Outputs {
    running: Mutex<Running>,
    watchers: broadcast::Sender<Live>,
}

#[derive(Debug, Default)]
struct Running {
    jobs: HashMap<JobId, Kept>,
    size: usize,
}

#[derive(Debug)]
struct Kept {
    host: HostId,
    head: Vec<u8>,
    tail: VecDeque<u8>,
    end: u64,
    /// Where the stream changes, as in [`Merged`].
    marks: Vec<(u64, Stream)>,
}

impl Default for Outputs {
    fn default() -> Self {
        Self { running: Mutex::default(), watchers: broadcast::Sender::new(BEHIND) }
    }
}

impl Outputs {
    /// Whether the output of that job is taken from that host; `None` if nobody has looked yet.
    pub fn knows(&self, job: JobId, host: HostId) -> Option<bool> {
        self.lock().jobs.get(&job).map(|kept| kept.host == host)
    }

    /// The job is open and belongs to that host: its output may come.
    pub fn begin(&self, job: JobId, host: HostId) {
        let fresh = || Kept { host, head: Vec::new(), tail: VecDeque::new(), end: 0, marks: Vec::new() };
        self.lock().jobs.entry(job).or_insert_with(fresh);
    }

    /// A script wrote something. After a new link an agent may say again what it said before: that counts once.
    pub fn take(&self, job: JobId, offset: u64, stream: Stream, mut bytes: Bytes) {
        bytes.truncate(PIECE_MAX);
        let mut running = self.lock();
        let Running { jobs, size } = &mut *running;
        let Some(kept) = jobs.get_mut(&job) else { return };
        let known = usize::try_from(kept.end.saturating_sub(offset)).unwrap_or(usize::MAX);
        if known >= bytes.len() {
            return;
        }
        let (bytes, offset) = (bytes.slice(known..), offset.max(kept.end));
        kept.mark(offset, stream);
        kept.keep(&bytes, offset, size);
        drop(running);
        // Nobody may be watching.
        self.watchers.send(Live::Piece { job, offset, stream, bytes }).ok();
    }

    /// What is kept of the output of a running script; `None` if it has none yet, or is not running.
    #[must_use]
    pub fn so_far(&self, job: JobId) -> Option<Merged> {
        let running = self.lock();
        let kept = running.jobs.get(&job)?;
        let bytes = Captured { head: kept.head.clone(), tail: kept.tail.iter().copied().collect(), total: kept.end };
        Some(Merged { bytes, marks: kept.marks.clone(), dropped: 0 })
    }

    /// The outcome of a job is recorded.
    pub fn end(&self, job: JobId) {
        let mut running = self.lock();
        if let Some(kept) = running.jobs.remove(&job) {
            running.size = running.size.saturating_sub(kept.head.len() + kept.tail.len());
        }
        drop(running);
        self.watchers.send(Live::Ended(job)).ok();
    }

    /// Everything that comes from now on, of all jobs.
    #[must_use]
    pub fn watch(&self) -> Watcher {
        Watcher(self.watchers.subscribe())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Running> {
        // What is there after a panic is at worst less than was said.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Notes that what follows is of that stream. Changes among bytes that are gone are forgotten; where there are still too
    /// many, what follows counts to the stream before.
    fn mark(&mut self, offset: u64, stream: Stream) {
        if self.marks.last().is_some_and(|(_, last)| *last == stream) {
            return;
        }
        if self.marks.len() >= MARKS {
            let (head, tail) = (self.head.len() as u64, self.end - self.tail.len() as u64);
            let kept_from = self.marks.iter().rposition(|(at, _)| *at <= tail).unwrap_or(0);
            let mut place = 0;
            self.marks.retain(|(at, _)| {
                place += 1;
                *at < head || place > kept_from
            });
        }
        if self.marks.len() < MARKS {
            self.marks.push((offset, stream));
        }
    }

    /// Keeps what fits; `size` is what all jobs have together.
    fn keep(&mut self, bytes: &[u8], offset: u64, size: &mut usize) {
        let before = self.head.len() + self.tail.len();
        let gap = offset > self.end;
        self.end = offset + bytes.len() as u64;
        let room = ALL_MAX.saturating_sub(*size);
        // A gap ends the beginning: what follows belongs to the end.
        let to_head =
            if gap || !self.tail.is_empty() { 0 } else { (HEAD - self.head.len()).min(bytes.len()).min(room) };
        self.head.extend_from_slice(&bytes[..to_head]);
        let rest = &bytes[to_head..];
        let rest = &rest[rest.len().saturating_sub(TAIL)..];
        if gap {
            self.tail.clear();
        }
        let limit = TAIL.min(self.tail.len() + room.saturating_sub(to_head));
        self.tail.extend(rest);
        let surplus = self.tail.len().saturating_sub(limit);
        self.tail.drain(..surplus);
        *size = (*size + self.head.len() + self.tail.len()).saturating_sub(before);
    }
}

/// Somebody who watches.
#[derive(Debug)]
pub struct Watcher(broadcast::Receiver<Live>);

impl Watcher {
    /// What happens next; `None` when the manager stops.
    pub async fn next(&mut self) -> Option<Live> {
        match self.0.recv().await {
            Ok(live) => Some(live),
            Err(RecvError::Lagged(missed)) => Some(Live::Missed(missed)),
            Err(RecvError::Closed) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn job(n: u128) -> JobId {
        JobId(Uuid::from_u128(n))
    }

    fn host(n: u128) -> HostId {
        HostId(Uuid::from_u128(n))
    }

    #[tokio::test]
    async fn pieces_reach_watchers_once_and_are_freed_at_the_end() {
        let outputs = Outputs::default();
        let mut watcher = outputs.watch();
        outputs.take(job(1), 0, Stream::Stdout, Bytes::from_static(b"nobody"));
        outputs.begin(job(1), host(1));
        assert_eq!((outputs.knows(job(1), host(1)), outputs.knows(job(1), host(2))), (Some(true), Some(false)));
        outputs.take(job(1), 0, Stream::Stdout, Bytes::from_static(b"hello "));
        outputs.take(job(1), 0, Stream::Stdout, Bytes::from_static(b"hello world"));
        let Some(Live::Piece { bytes, offset, .. }) = watcher.next().await else { panic!() };
        assert_eq!((&bytes[..], offset), (&b"hello "[..], 0));
        let Some(Live::Piece { bytes, offset, .. }) = watcher.next().await else { panic!() };
        assert_eq!((&bytes[..], offset), (&b"world"[..], 6));
        assert_eq!(outputs.so_far(job(1)).unwrap().bytes.head, b"hello world");
        outputs.end(job(1));
        assert_eq!(watcher.next().await, Some(Live::Ended(job(1))));
        assert_eq!(outputs.so_far(job(1)), None);
        assert_eq!(outputs.lock().size, 0);
    }

    #[tokio::test]
    async fn a_slow_watcher_is_told_what_it_missed() {
        let outputs = Outputs::default();
        let mut watcher = outputs.watch();
        outputs.begin(job(1), host(1));
        for n in 0..(BEHIND as u64 + 10) {
            outputs.take(job(1), n, Stream::Stderr, Bytes::from_static(b"x"));
        }
        assert_eq!(watcher.next().await, Some(Live::Missed(10)));
        assert!(matches!(watcher.next().await, Some(Live::Piece { offset: 10, .. })));
    }

    #[test]
    fn changes_of_stream_are_known_and_bounded() {
        let outputs = Outputs::default();
        outputs.begin(job(1), host(1));
        let streams = [Stream::Stdout, Stream::Stderr];
        for n in 0..4_u64 {
            outputs.take(job(1), n, streams[usize::from(n >= 2)], Bytes::from_static(b"x"));
        }
        assert_eq!(outputs.so_far(job(1)).unwrap().marks, [(0, Stream::Stdout), (2, Stream::Stderr)]);
        let size = 1000;
        for n in 0..3000 {
            let piece = Bytes::from(vec![b'x'; size]);
            outputs.take(job(1), 4 + n * size as u64, streams[(n % 2) as usize], piece);
        }
        let kept = outputs.so_far(job(1)).unwrap();
        assert!(kept.marks.len() <= MARKS && kept.marks.is_sorted_by_key(|(at, _)| *at), "{}", kept.marks.len());
        let end = kept.bytes.total - size as u64;
        assert_eq!(kept.marks.last(), Some(&(end, Stream::Stderr)), "the newest are right");
    }

    #[test]
    fn memory_is_bounded_for_each_and_for_all() {
        let outputs = Outputs::default();
        let piece = Bytes::from(vec![7; PIECE_MAX]);
        for n in 0..700 {
            outputs.begin(job(n), host(1));
            for at in 0..4 {
                outputs.take(job(n), at * PIECE_MAX as u64, Stream::Stdout, piece.clone());
            }
        }
        let first = outputs.so_far(job(0)).unwrap().bytes;
        assert_eq!((first.head.len(), first.tail.len(), first.total), (HEAD, TAIL, 4 * PIECE_MAX as u64));
        let real: usize = outputs.lock().jobs.values().map(|kept| kept.head.len() + kept.tail.len()).sum();
        assert_eq!(outputs.lock().size, real);
        assert!(real <= ALL_MAX, "{real}");
        for n in 0..700 {
            outputs.end(job(n));
        }
        assert_eq!(outputs.lock().size, 0);
    }
}
