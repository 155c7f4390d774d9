//! What is kept of a program's output: of a script both streams together, without its secrets; of others each for itself.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hostler_common::job::{Captured, Merged, Stream};
use hostler_common::script::{OUTPUT_HEAD, OUTPUT_TAIL};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{ChildStderr, ChildStdout};

use super::Program;
use super::bell::{Rope, Word};
use super::capture::{Capture, pump};
use super::live::{Piece, Writer};
use super::mask::{Masker, Patterns};
use super::merge::Merge;

/// How many bytes of standard error are kept, of its beginning and of its end each.
const STDERR_MAX: usize = 32 << 10;

/// How much of a pipe is read at once, in bytes.
const READ: usize = 64 << 10;

/// How long the disk is waited for with what live watchers get, when all is over.
const PATIENCE: Duration = Duration::from_millis(500);

/// Output as it is read.
#[derive(Debug)]
pub(super) enum Output {
    /// Each stream for itself.
    Apart { stdout: Capture, stderr: Capture },
    /// Both in the order of their arrival.
    Together(Box<Together>),
}

/// Both streams of a script.
#[derive(Debug)]
pub(super) struct Together {
    merge: Merge,
    out: Masker,
    err: Masker,
    live: Option<Writer>,
}

/// What was kept.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) stdout: Captured,
    pub(super) stderr: Captured,
    pub(super) merged: Option<Merged>,
}

impl Output {
    /// For a program of `folder`, whose `secrets` are not to be in it.
    pub(super) fn of(program: &Program, folder: &Path, secrets: &[Vec<u8>]) -> Self {
        let Some(script) = &program.script else {
            let stdout = Capture::new(program.stdout_head, program.stdout_tail);
            return Self::Apart { stdout, stderr: Capture::new(STDERR_MAX, STDERR_MAX) };
        };
        let patterns = Arc::new(Patterns::new(secrets));
        let rope = Rope::new(&script.bell, &name_of(folder));
        // Without it nobody can watch; the script runs all the same.
        let live = Writer::start(folder, move || rope.ring(Word::Output)).ok();
        let (out, err) = (Masker::new(Arc::clone(&patterns)), Masker::new(patterns));
        Self::Together(Box::new(Together { merge: Merge::new(OUTPUT_HEAD, OUTPUT_TAIL), out, err, live }))
    }

    /// Reads both pipes to their ends. Never waits for anything else.
    pub(super) async fn read(&mut self, out: Option<ChildStdout>, err: Option<ChildStderr>) {
        match self {
            Self::Apart { stdout, stderr } => {
                tokio::join!(pump_all(out, stdout), pump_all(err, stderr));
            }
            Self::Together(together) => together.read(out, err).await,
        }
    }

    pub(super) fn finish(self) -> Kept {
        match self {
            Self::Apart { stdout, stderr } => Kept { stdout: stdout.finish(), stderr: stderr.finish(), merged: None },
            Self::Together(together) => Kept { merged: Some(together.finish()), ..Kept::default() },
        }
    }
}

pub(super) fn name_of(folder: &Path) -> String {
    folder.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

impl Together {
    async fn read(&mut self, mut out: Option<ChildStdout>, mut err: Option<ChildStderr>) {
        let (mut out_bytes, mut err_bytes) = (vec![0; READ], vec![0; READ]);
        while out.is_some() || err.is_some() {
            let (stream, len) = tokio::select! {
                len = some(&mut out, &mut out_bytes) => (Stream::Stdout, len),
                len = some(&mut err, &mut err_bytes) => (Stream::Stderr, len),
            };
            match stream {
                Stream::Stdout => self.take(stream, &out_bytes[..len]),
                Stream::Stderr => self.take(stream, &err_bytes[..len]),
            }
        }
    }

    fn take(&mut self, stream: Stream, bytes: &[u8]) {
        let masker = match stream {
            Stream::Stdout => &mut self.out,
            Stream::Stderr => &mut self.err,
        };
        let shown = masker.push(bytes);
        keep(&mut self.merge, self.live.as_ref(), stream, &shown);
    }

    fn finish(mut self) -> Merged {
        let held = [(Stream::Stdout, self.out.finish()), (Stream::Stderr, self.err.finish())];
        for (stream, held) in held {
            keep(&mut self.merge, self.live.as_ref(), stream, &held);
        }
        if let Some(live) = &mut self.live {
            live.finish(PATIENCE);
        }
        let dropped = self.live.as_ref().map_or(0, Writer::dropped);
        self.merge.finish(dropped)
    }
}

fn keep(merge: &mut Merge, live: Option<&Writer>, stream: Stream, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    if let Some(live) = live {
        live.push(Piece { offset: merge.total(), stream, data: bytes.to_vec() });
    }
    merge.push(stream, bytes);
}

/// Reads a pipe; one that ended is gone and never answers again.
async fn some(pipe: &mut Option<impl AsyncRead + Unpin>, bytes: &mut [u8]) -> usize {
    let Some(open) = pipe else { return std::future::pending().await };
    // A pipe that cannot be read has ended as far as we can know.
    let len = open.read(bytes).await.unwrap_or(0);
    if len == 0 {
        *pipe = None;
    }
    len
}

async fn pump_all(pipe: Option<impl AsyncRead + Unpin>, capture: &mut Capture) {
    if let Some(pipe) = pipe {
        pump(pipe, capture).await;
    }
}
