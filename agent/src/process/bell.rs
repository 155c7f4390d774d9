//! How a supervisor tells the agent at once that there is something new: a datagram with a word. It may be lost, as when the
//! agent is away; then the agent finds out by looking.

use std::io;
use std::os::unix::net::UnixDatagram as StdDatagram;
use std::path::{Path, PathBuf};

use tokio::net::UnixDatagram;

/// What there is to tell of the program of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// It wrote something.
    Output,
    /// It ended, and that is recorded.
    Ended,
}

impl Word {
    fn text(self) -> &'static str {
        match self {
            Self::Output => "output",
            Self::Ended => "ended",
        }
    }
}

/// Where the agent of a state directory listens.
#[must_use]
pub fn place(state_dir: &Path) -> PathBuf {
    state_dir.join("bell")
}

/// The supervisor's hand on the bell.
#[derive(Debug)]
pub struct Rope {
    socket: Option<StdDatagram>,
    bell: PathBuf,
    name: String,
}

impl Rope {
    /// For the program of the folder called `name`.
    #[must_use]
    pub fn new(bell: &Path, name: &str) -> Self {
        let socket = StdDatagram::unbound().ok().filter(|socket| socket.set_nonblocking(true).is_ok());
        Self { socket, bell: bell.to_owned(), name: name.to_owned() }
    }

    /// Tells, if somebody listens; never waits.
    pub fn ring(&self, word: Word) {
        if let Some(socket) = &self.socket {
            socket.send_to(format!("{} {}", word.text(), self.name).as_bytes(), &self.bell).ok();
        }
    }
}

/// The agent's ear.
#[derive(Debug)]
pub struct Bell {
    socket: UnixDatagram,
}

impl Bell {
    /// Listens at `place`; an agent that was there before does so no more.
    ///
    /// # Errors
    /// The socket cannot be made; a path of more than about a hundred bytes is too long for one.
    pub fn hang(place: &Path) -> io::Result<Self> {
        match std::fs::remove_file(place) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        Ok(Self { socket: UnixDatagram::bind(place)? })
    }

    /// What is told next, and of which folder.
    pub async fn hear(&self) -> (Word, String) {
        let mut bytes = [0; 256];
        loop {
            let Ok(len) = self.socket.recv(&mut bytes).await else {
                // It is our own socket; if it breaks, looking remains.
                return std::future::pending().await;
            };
            let text = String::from_utf8_lossy(&bytes[..len]);
            let Some((word, name)) = text.split_once(' ') else { continue };
            if let Some(word) = [Word::Output, Word::Ended].into_iter().find(|known| known.text() == word) {
                return (word, name.to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_told_is_heard_and_nobody_waits_for_an_ear() {
        let dir = tempfile::tempdir().unwrap();
        let rope = Rope::new(&place(dir.path()), "job");
        rope.ring(Word::Output);
        for _ in 0..2 {
            let bell = Bell::hang(&place(dir.path())).unwrap();
            rope.ring(Word::Ended);
            assert_eq!(bell.hear().await, (Word::Ended, "job".to_owned()));
        }
    }
}
