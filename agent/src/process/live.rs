//! What a running script writes, for whoever watches: a ring of two files in its folder, which its supervisor writes and an
//! agent follows (spec/hooks.md §10). Neither waits for the other: where one is slow, something is skipped.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use hostler_common::job::Stream;

/// The most that is in the ring, in bytes.
const RING_MAX: u64 = 8 << 20;

/// How many pieces may wait for a slow disk; each has at most what one read of a pipe gives.
const WAITING: usize = 32;

/// Of each piece: the stream, where it begins in all that was written, and its length.
const HEADER: usize = 1 + 8 + 4;

/// The longest piece, in bytes: more is no piece of ours.
const PIECE_MAX: usize = 1 << 20;

/// A piece of output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where it begins in all that was written.
    pub offset: u64,
    /// Whose it is.
    pub stream: Stream,
    /// The bytes.
    pub data: Vec<u8>,
}

fn part(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("live.{number}"))
}

/// The numbers of the files of the ring that are there.
fn parts(folder: &Path) -> Vec<u64> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let number = |entry: std::fs::DirEntry| entry.file_name().to_str()?.strip_prefix("live.")?.parse().ok();
    let mut found: Vec<u64> = entries.filter_map(number).collect();
    found.sort_unstable();
    found
}

/// Removes the ring.
pub fn remove(folder: &Path) {
    for number in parts(folder) {
        std::fs::remove_file(part(folder, number)).ok();
    }
}

/// The end of the ring at which the supervisor writes; on a thread of its own, as disks may hang.
#[derive(Debug)]
pub struct Writer {
    pieces: Option<SyncSender<Piece>>,
    dropped: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// A new ring in `folder`; `wake` is called when there is something new in it.
    ///
    /// # Errors
    /// There can be no thread.
    pub fn start(folder: &Path, wake: impl Fn() + Send + 'static) -> io::Result<Self> {
        let (pieces, waiting) = sync_channel(WAITING);
        let dropped = Arc::new(AtomicU64::new(0));
        let (folder, lost) = (folder.to_owned(), Arc::clone(&dropped));
        let thread = std::thread::Builder::new()
            .name("live".into())
            .spawn(move || write_all(&folder, &waiting, &lost, &wake))?;
        Ok(Self { pieces: Some(pieces), dropped, thread: Some(thread) })
    }

    /// Takes a piece. Never waits: what finds no room is counted and lost to who watches.
    pub fn push(&self, piece: Piece) {
        let len = piece.data.len() as u64;
        if let Some(pieces) = &self.pieces
            && pieces.try_send(piece).is_err()
        {
            self.dropped.fetch_add(len, Ordering::Relaxed);
        }
    }

    /// How many bytes were lost to who watches, as the disk was too slow or full.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Writes what waits, if the disk does its part within `patience`.
    pub fn finish(&mut self, patience: std::time::Duration) {
        self.pieces = None;
        let Some(thread) = self.thread.take() else { return };
        let began = std::time::Instant::now();
        while !thread.is_finished() && began.elapsed() < patience {
            std::thread::sleep(std::time::Duration::from_micros(200));
        }
        if thread.is_finished() {
            thread.join().ok();
        }
    }
}

fn write_all(folder: &Path, waiting: &Receiver<Piece>, lost: &AtomicU64, wake: &dyn Fn()) {
    let (mut number, mut written, mut file) = (0, 0, None::<File>);
    while let Ok(first) = waiting.recv() {
        let mut bytes = encode(&first);
        // What came meanwhile goes with it.
        while let Some(next) = (bytes.len() < PIECE_MAX).then(|| waiting.try_recv().ok()).flatten() {
            bytes.extend(encode(&next));
        }
        if file.is_none() || written + bytes.len() as u64 > RING_MAX / 2 {
            number += 1;
            written = 0;
            let open = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(part(folder, number));
            file = open.ok();
            std::fs::remove_file(part(folder, number.saturating_sub(2))).ok();
        }
        let len = bytes.len() as u64;
        match file.as_mut().map(|file| file.write_all(&bytes)) {
            Some(Ok(())) => written += len,
            // A piece that was half written ends its file; the next one gets a new file.
            Some(Err(_)) | None => {
                file = None;
                lost.fetch_add(len, Ordering::Relaxed);
            }
        }
        wake();
    }
}

fn encode(piece: &Piece) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + piece.data.len());
    bytes.push(u8::from(piece.stream == Stream::Stderr));
    bytes.extend(piece.offset.to_le_bytes());
    // A piece is what one read of a pipe gave.
    bytes.extend((piece.data.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&piece.data);
    bytes
}

/// The end of the ring that an agent follows.
#[derive(Debug)]
pub struct Follower {
    folder: PathBuf,
    number: u64,
    file: Option<File>,
    /// What was read and is no whole piece yet.
    read: Vec<u8>,
    /// What of a piece did not fit into the answer before.
    left: Option<Piece>,
}

impl Follower {
    /// Of the ring in `folder`, from the oldest that it has on.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), number: 0, file: None, read: Vec::new(), left: None }
    }

    /// What comes next, at most `max` bytes of one stream; `None` where there is nothing yet.
    ///
    /// # Errors
    /// The ring cannot be read.
    pub fn next(&mut self, max: usize) -> io::Result<Option<Piece>> {
        let mut found: Option<Piece> = None;
        while let Some(piece) = match self.left.take() {
            Some(left) => Some(left),
            None => self.piece()?,
        } {
            let Some(so_far) = &mut found else {
                found = Some(self.cut(piece, max));
                continue;
            };
            let room = max.saturating_sub(so_far.data.len());
            let goes_on = piece.stream == so_far.stream && piece.offset == so_far.offset + so_far.data.len() as u64;
            if room == 0 || !goes_on {
                self.left = Some(piece);
                break;
            }
            let more = self.cut(piece, room);
            so_far.data.extend(more.data);
        }
        Ok(found)
    }

    /// The first `max` bytes of a piece; the rest is for later.
    fn cut(&mut self, mut piece: Piece, max: usize) -> Piece {
        if piece.data.len() > max {
            let data = piece.data.split_off(max);
            self.left = Some(Piece { offset: piece.offset + max as u64, stream: piece.stream, data });
        }
        piece
    }

    /// The next whole piece of the ring.
    fn piece(&mut self) -> io::Result<Option<Piece>> {
        loop {
            if let Some(piece) = self.decode() {
                return Ok(Some(piece));
            }
            // Whether there is a newer file is asked before the end of this one is found: so nothing is missed.
            let newer = parts(&self.folder).into_iter().find(|number| *number > self.number);
            if let Some(file) = &mut self.file {
                let before = self.read.len();
                std::io::Read::take(file, 64 << 10).read_to_end(&mut self.read)?;
                if self.read.len() > before {
                    continue;
                }
            }
            let Some(newer) = newer else { return Ok(None) };
            match File::open(part(&self.folder, newer)) {
                Ok(file) => (self.file, self.number) = (Some(file), newer),
                // The writer was quicker and took it away.
                Err(error) if error.kind() == io::ErrorKind::NotFound => self.number = newer,
                Err(error) => return Err(error),
            }
            self.read.clear();
        }
    }

    fn decode(&mut self) -> Option<Piece> {
        let (stream, rest) = self.read.split_first()?;
        let (offset, rest) = rest.split_first_chunk()?;
        let (len, rest) = rest.split_first_chunk()?;
        let len = (u32::from_le_bytes(*len) as usize).min(PIECE_MAX);
        let data = rest.get(..len)?.to_vec();
        let stream = if *stream == 1 { Stream::Stderr } else { Stream::Stdout };
        let piece = Piece { offset: u64::from_le_bytes(*offset), stream, data };
        self.read.drain(..HEADER + len);
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn piece(offset: u64, stream: Stream, data: &[u8]) -> Piece {
        Piece { offset, stream, data: data.to_vec() }
    }

    #[test]
    fn what_is_written_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let mut follower = Follower::new(dir.path());
        assert_eq!(follower.next(10).unwrap(), None);
        let mut writer = Writer::start(dir.path(), || {}).unwrap();
        writer.push(piece(0, Stream::Stdout, b"0123456789abcdef"));
        writer.push(piece(16, Stream::Stdout, b"ghi"));
        writer.push(piece(19, Stream::Stderr, b"no"));
        writer.finish(Duration::from_secs(10));
        assert_eq!(follower.next(10).unwrap(), Some(piece(0, Stream::Stdout, b"0123456789")));
        assert_eq!(follower.next(10).unwrap(), Some(piece(10, Stream::Stdout, b"abcdefghi")));
        assert_eq!(follower.next(10).unwrap(), Some(piece(19, Stream::Stderr, b"no")));
        assert_eq!(follower.next(10).unwrap(), None);
        assert_eq!(writer.dropped(), 0);
    }

    #[test]
    fn the_ring_is_bounded_and_who_is_slow_skips() {
        let dir = tempfile::tempdir().unwrap();
        let mut slow = Follower::new(dir.path());
        let mut writer = Writer::start(dir.path(), || {}).unwrap();
        let (mut offset, chunk) = (0, vec![7_u8; 64 << 10]);
        for _ in 0..512 {
            writer.push(piece(offset, Stream::Stdout, &chunk));
            offset += chunk.len() as u64;
            std::thread::sleep(Duration::from_micros(300));
        }
        writer.finish(Duration::from_secs(10));
        let size: u64 = parts(dir.path()).iter().map(|n| part(dir.path(), *n).metadata().unwrap().len()).sum();
        assert!(size <= RING_MAX && size > RING_MAX / 4, "{size}");
        let (mut seen, mut first, mut last) = (0, None, 0);
        while let Some(piece) = slow.next(16 << 10).unwrap() {
            assert!(piece.data.len() <= 16 << 10 && piece.offset >= last);
            first = first.or(Some(piece.offset));
            last = piece.offset + piece.data.len() as u64;
            seen += piece.data.len() as u64;
        }
        assert!(first.unwrap() > 0 && seen <= RING_MAX);
        remove(dir.path());
        assert_eq!(parts(dir.path()), [] as [u64; 0]);
    }
}
