//! A client of the system's D-Bus for the few questions and orders that systemd gets: blocking, one call at a time, without
//! a library that would bring a runtime of its own.

mod wire;

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

pub use wire::{Body, Reader};

/// Where systemd is on the bus, and the object that is its manager.
pub const SYSTEMD: &str = "org.freedesktop.systemd1";
/// The path of systemd's manager.
pub const SYSTEMD_PATH: &str = "/org/freedesktop/systemd1";
/// The interface of systemd's manager.
pub const SYSTEMD_MANAGER: &str = "org.freedesktop.systemd1.Manager";

const DEADLINE: Duration = Duration::from_millis(1500);
const MESSAGE_MAX: usize = 16 << 20;
/// How many signals are kept that nobody has asked for yet; the oldest go.
const SIGNALS_MAX: usize = 1024;
const METHOD_RETURN: u8 = 2;
const ERROR: u8 = 3;
const SIGNAL: u8 = 4;
const FIELD_MEMBER: u8 = 3;
const FIELD_ERROR_NAME: u8 = 4;
const FIELD_REPLY_SERIAL: u8 = 5;
const FIELD_DESCRIPTORS: u8 = 9;

/// A connection.
#[derive(Debug)]
pub struct Bus {
    stream: UnixStream,
    serial: u32,
    shared: bool,
    /// How long an answer is waited for.
    patience: Duration,
    /// Signals that came while something else was waited for; `None` where nobody listens.
    heard: Option<VecDeque<Signal>>,
}

/// Something that is told to all who listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal {
    /// Its name, without that of its interface.
    pub member: String,
    /// What it says.
    pub body: Vec<u8>,
}

/// A message as it comes.
struct Message {
    kind: u8,
    header: Header,
    body: Vec<u8>,
}

impl Bus {
    /// Connects to the system bus of the host whose root is `root`, or to systemd itself where there is no bus.
    ///
    /// # Errors
    /// "Not found" if neither is there; "timed out".
    pub fn connect(root: &Path) -> io::Result<Self> {
        Self::open(root, false)
    }

    /// As [`Bus::connect`], for calls with descriptors.
    ///
    /// # Errors
    /// As [`Bus::connect`]; "unsupported" where descriptors cannot be sent.
    pub fn connect_with_descriptors(root: &Path) -> io::Result<Self> {
        Self::open(root, true)
    }

    fn open(root: &Path, descriptors: bool) -> io::Result<Self> {
        let (stream, shared) = match UnixStream::connect(root.join("run/dbus/system_bus_socket")) {
            Ok(stream) => (stream, true),
            Err(_) => (UnixStream::connect(root.join("run/systemd/private"))?, false),
        };
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        let mut bus = Self { stream, serial: 0, shared, patience: DEADLINE, heard: None };
        // The user's number in decimal, each digit as hexadecimal of its character.
        let user = hex::encode(nix::unistd::geteuid().to_string());
        bus.stream.write_all(format!("\0AUTH EXTERNAL {user}\r\n").as_bytes())?;
        if !line(&mut bus.stream)?.starts_with("OK ") {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        if descriptors {
            bus.stream.write_all(b"NEGOTIATE_UNIX_FD\r\n")?;
            if !line(&mut bus.stream)?.starts_with("AGREE_UNIX_FD") {
                return Err(io::ErrorKind::Unsupported.into());
            }
        }
        bus.stream.write_all(b"BEGIN\r\n")?;
        if shared {
            let own = "org.freedesktop.DBus";
            bus.call([own, "/org/freedesktop/DBus", own, "Hello"], &Body::default())?;
        }
        Ok(bus)
    }

    /// Whether it is the bus, which others share, and not systemd's own socket.
    #[must_use]
    pub fn shared(&self) -> bool {
        self.shared
    }

    /// Waits longer than usual for answers.
    ///
    /// # Errors
    /// The socket does not take it.
    pub fn wait_up_to(&mut self, patience: Duration) -> io::Result<()> {
        self.patience = patience;
        self.stream.set_read_timeout(Some(patience))
    }

    /// Listens to the signals of an interface, from now on.
    ///
    /// # Errors
    /// As [`Bus::call`].
    pub fn listen(&mut self, interface: &str) -> io::Result<()> {
        self.heard.get_or_insert_default();
        // Without a bus between, everything that the other side says is for us.
        if self.shared {
            let own = "org.freedesktop.DBus";
            let mut body = Body::new("s");
            body.text(&format!("type='signal',interface='{interface}'"));
            self.call([own, "/org/freedesktop/DBus", own, "AddMatch"], &body)?;
        }
        Ok(())
    }

    /// The next signal of those that are listened to.
    ///
    /// # Errors
    /// "Timed out" where none came until `end`; "invalid data" for a message that cannot be read.
    pub fn signal(&mut self, end: Instant) -> io::Result<Signal> {
        loop {
            if let Some(signal) = self.heard.as_mut().and_then(VecDeque::pop_front) {
                return Ok(signal);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.stream.set_read_timeout(Some(left))?;
            let received = self.receive();
            self.stream.set_read_timeout(Some(self.patience))?;
            self.keep(received?);
        }
    }

    /// Calls a method, named by destination, path, interface and member; returns the body of the answer.
    ///
    /// # Errors
    /// What was answered instead: "not found" and "permission denied" for what these words mean on the bus, others with the
    /// text of the answer; "timed out"; "invalid data" for an answer that cannot be read.
    pub fn call(&mut self, method: [&str; 4], body: &Body) -> io::Result<Vec<u8>> {
        self.call_with(method, body, None)
    }

    /// As [`Bus::call`]; with a descriptor, which the body speaks of as number 0 of kind `h`.
    ///
    /// # Errors
    /// As [`Bus::call`].
    pub fn call_with(
        &mut self,
        method: [&str; 4],
        body: &Body,
        descriptor: Option<BorrowedFd<'_>>,
    ) -> io::Result<Vec<u8>> {
        self.serial += 1;
        let message = message(self.serial, method, body, descriptor.is_some());
        let sent = match descriptor {
            None => 0,
            Some(descriptor) => send_with(&self.stream, &message, descriptor)?,
        };
        self.stream.write_all(&message[sent..])?;
        self.reply(self.serial)
    }

    /// The answer to a call; signals are kept where somebody listens, other messages are skipped.
    fn reply(&mut self, serial: u32) -> io::Result<Vec<u8>> {
        loop {
            let message = self.receive()?;
            match (message.kind, message.header.answers == Some(serial)) {
                (METHOD_RETURN, true) => return Ok(message.body),
                (ERROR, true) => return Err(refusal(&message.header.error.unwrap_or_default(), &message.body)),
                _ => self.keep(message),
            }
        }
    }

    fn keep(&mut self, message: Message) {
        let (Some(heard), SIGNAL, Some(member)) = (&mut self.heard, message.kind, message.header.member) else {
            return;
        };
        if heard.len() >= SIGNALS_MAX {
            heard.pop_front();
        }
        heard.push_back(Signal { member, body: message.body });
    }

    fn receive(&mut self) -> io::Result<Message> {
        let mut head = [0_u8; 16];
        self.stream.read_exact(&mut head).map_err(late)?;
        let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]) as usize;
        let (body, fields) = (number(4), number(12));
        if head[0] != b'l' || body > MESSAGE_MAX || fields > MESSAGE_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut rest = vec![0; fields.next_multiple_of(8)];
        self.stream.read_exact(&mut rest).map_err(late)?;
        let mut content = vec![0; body];
        self.stream.read_exact(&mut content).map_err(late)?;
        let header = Header::read(&rest[..fields]).unwrap_or_default();
        Ok(Message { kind: head[1], header, body: content })
    }
}

/// A socket that nothing comes from says "would block".
fn late(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock { io::ErrorKind::TimedOut.into() } else { error }
}

/// Sends as much of `bytes` as goes at once, and a descriptor with the first of them; returns how much that was.
fn send_with(stream: &UnixStream, bytes: &[u8], descriptor: BorrowedFd<'_>) -> io::Result<usize> {
    let numbers = [descriptor.as_raw_fd()];
    let rights = [ControlMessage::ScmRights(&numbers)];
    Ok(sendmsg::<()>(stream.as_raw_fd(), &[io::IoSlice::new(bytes)], &rights, MsgFlags::MSG_NOSIGNAL, None)?)
}

fn line(stream: &mut UnixStream) -> io::Result<String> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n") && bytes.len() < 512 {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        bytes.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A method call, little endian.
fn message(serial: u32, [destination, path, interface, member]: [&str; 4], body: &Body, descriptor: bool) -> Vec<u8> {
    let mut fields = Body::default();
    for (code, kind, text) in [(1, "o", path), (6, "s", destination), (2, "s", interface), (3, "s", member)] {
        fields.align(8).bytes.push(code);
        fields.signature(kind).text(text);
    }
    if !body.kinds.is_empty() {
        fields.align(8).bytes.push(8);
        fields.signature("g").signature(&body.kinds);
    }
    if descriptor {
        fields.align(8).bytes.push(FIELD_DESCRIPTORS);
        fields.signature("u").number(1);
    }
    let mut message = vec![b'l', 1, 0, 1];
    message.extend((body.bytes.len() as u32).to_le_bytes());
    message.extend(serial.to_le_bytes());
    message.extend((fields.bytes.len() as u32).to_le_bytes());
    message.extend(fields.bytes);
    message.resize(message.len().next_multiple_of(8), 0);
    message.extend(&body.bytes);
    message
}

fn refusal(name: &str, body: &[u8]) -> io::Error {
    let text = Reader::new(body).text().unwrap_or_default();
    let kind = match name.rsplit('.').next() {
        Some("NoSuchUnit" | "ServiceUnknown" | "UnknownObject") => io::ErrorKind::NotFound,
        Some("AccessDenied" | "InteractiveAuthorizationRequired") => io::ErrorKind::PermissionDenied,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, format!("{name}: {text}"))
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Header {
    answers: Option<u32>,
    error: Option<String>,
    member: Option<String>,
}

impl Header {
    fn read(fields: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(fields);
        let mut header = Self::default();
        while reader.at < fields.len() {
            reader.align(8);
            let code = reader.byte()?;
            let len = usize::from(reader.byte()?);
            match *reader.take(len + 1)?.first()? {
                b'u' => {
                    let number = reader.number()?;
                    header.answers = (code == FIELD_REPLY_SERIAL).then_some(number).or(header.answers);
                }
                b's' | b'o' => {
                    let text = reader.text()?;
                    match code {
                        FIELD_ERROR_NAME => header.error = Some(text),
                        FIELD_MEMBER => header.member = Some(text),
                        _ => {}
                    }
                }
                b'g' => {
                    let len = usize::from(reader.byte()?);
                    reader.take(len + 1)?;
                }
                _ => return None,
            }
        }
        Some(header)
    }
}

#[cfg(test)]
mod tests;
