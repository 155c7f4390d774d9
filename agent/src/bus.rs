//! A client of the system's D-Bus for the few questions and orders that systemd gets: blocking, one call at a time, without
//! a library that would bring a runtime of its own.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Where systemd is on the bus, and the object that is its manager.
pub const SYSTEMD: &str = "org.freedesktop.systemd1";
/// The path of systemd's manager.
pub const SYSTEMD_PATH: &str = "/org/freedesktop/systemd1";
/// The interface of systemd's manager.
pub const SYSTEMD_MANAGER: &str = "org.freedesktop.systemd1.Manager";

const DEADLINE: Duration = Duration::from_millis(1500);
const MESSAGE_MAX: usize = 16 << 20;
const METHOD_RETURN: u8 = 2;
const ERROR: u8 = 3;
const FIELD_ERROR_NAME: u8 = 4;
const FIELD_REPLY_SERIAL: u8 = 5;

/// A connection.
#[derive(Debug)]
pub struct Bus {
    stream: UnixStream,
    serial: u32,
    shared: bool,
}

impl Bus {
    /// Connects to the system bus of the host whose root is `root`, or to systemd itself where there is no bus.
    ///
    /// # Errors
    /// "Not found" if neither is there; "timed out".
    pub fn connect(root: &Path) -> io::Result<Self> {
        let (stream, shared) = match UnixStream::connect(root.join("run/dbus/system_bus_socket")) {
            Ok(stream) => (stream, true),
            Err(_) => (UnixStream::connect(root.join("run/systemd/private"))?, false),
        };
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        let mut bus = Self { stream, serial: 0, shared };
        // The user's number in decimal, each digit as hexadecimal of its character.
        let user = hex::encode(nix::unistd::geteuid().to_string());
        bus.stream.write_all(format!("\0AUTH EXTERNAL {user}\r\n").as_bytes())?;
        if !line(&mut bus.stream)?.starts_with("OK ") {
            return Err(io::ErrorKind::PermissionDenied.into());
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

    /// Calls a method, named by destination, path, interface and member; returns the body of the answer.
    ///
    /// # Errors
    /// What was answered instead: "not found" and "permission denied" for what these words mean on the bus, others with the
    /// text of the answer; "timed out"; "invalid data" for an answer that cannot be read.
    pub fn call(&mut self, method: [&str; 4], body: &Body) -> io::Result<Vec<u8>> {
        self.serial += 1;
        self.stream.write_all(&message(self.serial, method, body))?;
        self.reply(self.serial)
    }

    /// The answer to a call; signals and other messages are skipped.
    fn reply(&mut self, serial: u32) -> io::Result<Vec<u8>> {
        loop {
            let mut head = [0_u8; 16];
            self.stream.read_exact(&mut head)?;
            let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]) as usize;
            let (body, fields) = (number(4), number(12));
            if head[0] != b'l' || body > MESSAGE_MAX || fields > MESSAGE_MAX {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let mut rest = vec![0; fields.next_multiple_of(8)];
            self.stream.read_exact(&mut rest)?;
            let mut content = vec![0; body];
            self.stream.read_exact(&mut content)?;
            let header = Header::read(&rest[..fields]).unwrap_or_default();
            if header.answers != Some(serial) {
                continue;
            }
            match head[1] {
                METHOD_RETURN => return Ok(content),
                ERROR => return Err(refusal(&header.error.unwrap_or_default(), &content)),
                _ => {}
            }
        }
    }
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
fn message(serial: u32, [destination, path, interface, member]: [&str; 4], body: &Body) -> Vec<u8> {
    let mut fields = Body::default();
    for (code, kind, text) in [(1, "o", path), (6, "s", destination), (2, "s", interface), (3, "s", member)] {
        fields.align(8).bytes.push(code);
        fields.signature(kind).text(text);
    }
    if !body.kinds.is_empty() {
        fields.align(8).bytes.push(8);
        fields.signature("g").signature(&body.kinds);
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

/// The arguments of a call.
#[derive(Clone, Debug, Default)]
pub struct Body {
    kinds: String,
    bytes: Vec<u8>,
}

impl Body {
    /// Arguments of these kinds, in the letters of D-Bus; what is added must be of them.
    #[must_use]
    pub fn new(kinds: &str) -> Self {
        Self { kinds: kinds.to_owned(), bytes: Vec::new() }
    }

    fn align(&mut self, to: usize) -> &mut Self {
        self.bytes.resize(self.bytes.len().next_multiple_of(to), 0);
        self
    }

    /// A text or a path.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.number(text.len() as u32).bytes.extend(text.bytes());
        self.bytes.push(0);
        self
    }

    /// A number of 32 bits.
    pub fn number(&mut self, number: u32) -> &mut Self {
        self.align(4).bytes.extend(number.to_le_bytes());
        self
    }

    /// A number of 64 bits.
    pub fn long(&mut self, number: u64) -> &mut Self {
        self.align(8).bytes.extend(number.to_le_bytes());
        self
    }

    /// The kind of the value that follows, where any kind may.
    pub fn signature(&mut self, kinds: &str) -> &mut Self {
        self.bytes.push(kinds.len() as u8);
        self.bytes.extend(kinds.bytes());
        self.bytes.push(0);
        self
    }

    /// A list whose items are aligned to `align`.
    pub fn list(&mut self, align: usize, fill: impl FnOnce(&mut Self)) -> &mut Self {
        self.number(0);
        let len_at = self.bytes.len() - 4;
        self.align(align);
        let begin = self.bytes.len();
        fill(self);
        let len = (self.bytes.len() - begin) as u32;
        self.bytes[len_at..len_at + 4].copy_from_slice(&len.to_le_bytes());
        self
    }

    /// The next item of a list of structures.
    pub fn item(&mut self) -> &mut Self {
        self.align(8)
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Header {
    answers: Option<u32>,
    error: Option<String>,
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
                    header.error = (code == FIELD_ERROR_NAME).then_some(text).or(header.error);
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

/// Reads the body of an answer; `None` where it is not what was expected.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// From its beginning.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How far it was read.
    #[must_use]
    pub fn at(&self) -> usize {
        self.at
    }

    /// Goes on to the next multiple of `to`.
    pub fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(len)?)?;
        self.at += len;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    /// A number of 32 bits.
    pub fn number(&mut self) -> Option<u32> {
        self.align(4);
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    /// A number of 64 bits.
    pub fn long(&mut self) -> Option<u64> {
        self.align(8);
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }

    /// A text or a path.
    pub fn text(&mut self) -> Option<String> {
        let len = self.number()? as usize;
        let text = self.take(len.checked_add(1)?)?;
        Some(String::from_utf8_lossy(&text[..len]).into_owned())
    }

    /// The kind of the value that follows, where any kind may.
    pub fn signature(&mut self) -> Option<&'a [u8]> {
        let len = usize::from(self.byte()?);
        self.take(len + 1).map(|bytes| &bytes[..len])
    }
}

#[cfg(test)]
mod tests;
