//! The one question that is put to systemd: its units. A bus client of one call, so that no process is started and no library
//! with a runtime is needed.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::host::HostRoot;

const DEADLINE: Duration = Duration::from_millis(1500);
const MESSAGE_MAX: usize = 16 << 20;
const METHOD_RETURN: u8 = 2;
const ERROR: u8 = 3;
const FIELD_REPLY_SERIAL: u8 = 5;

/// One unit of systemd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    pub name: String,
    /// `loaded`, `not-found`, `masked`, …
    pub load: String,
    /// `active`, `failed`, `inactive`, …
    pub active: String,
    /// The state of its kind: `running`, `dead`, …
    pub sub: String,
}

/// Asks the system bus, or systemd itself where there is no bus.
///
/// # Errors
/// "Not found" if neither is there; "timed out"; "invalid data" for an answer that cannot be read.
pub(super) fn list_units(host: &HostRoot) -> io::Result<Vec<Unit>> {
    let body = match UnixStream::connect(host.path("/run/dbus/system_bus_socket")) {
        Ok(stream) => ask(stream, true)?,
        Err(_) => ask(UnixStream::connect(host.path("/run/systemd/private"))?, false)?,
    };
    units(&body).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn ask(mut stream: UnixStream, bus: bool) -> io::Result<Vec<u8>> {
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_write_timeout(Some(DEADLINE))?;
    // The user's number in decimal, each digit as hexadecimal of its character.
    let user = hex::encode(nix::unistd::geteuid().to_string());
    stream.write_all(format!("\0AUTH EXTERNAL {user}\r\n").as_bytes())?;
    if !line(&mut stream)?.starts_with("OK ") {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    stream.write_all(b"BEGIN\r\n")?;
    if bus {
        let hello = call(1, "/org/freedesktop/DBus", "org.freedesktop.DBus", "org.freedesktop.DBus", "Hello");
        stream.write_all(&hello)?;
        reply(&mut stream, 1)?;
    }
    let manager = "org.freedesktop.systemd1.Manager";
    stream.write_all(&call(2, "/org/freedesktop/systemd1", "org.freedesktop.systemd1", manager, "ListUnits"))?;
    reply(&mut stream, 2)
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

/// A method call without arguments, little endian.
fn call(serial: u32, path: &str, destination: &str, interface: &str, member: &str) -> Vec<u8> {
    let mut fields = Vec::new();
    for (code, signature, text) in [(1, b'o', path), (6, b's', destination), (2, b's', interface), (3, b's', member)] {
        fields.resize(fields.len().next_multiple_of(8), 0);
        fields.extend([code, 1, signature, 0]);
        fields.extend((text.len() as u32).to_le_bytes());
        fields.extend(text.bytes());
        fields.push(0);
    }
    let mut message = vec![b'l', 1, 0, 1];
    message.extend(0_u32.to_le_bytes());
    message.extend(serial.to_le_bytes());
    message.extend((fields.len() as u32).to_le_bytes());
    message.extend(fields);
    message.resize(message.len().next_multiple_of(8), 0);
    message
}

/// The body of the answer to a call; signals and other messages are skipped.
fn reply(stream: &mut UnixStream, serial: u32) -> io::Result<Vec<u8>> {
    loop {
        let mut head = [0_u8; 16];
        stream.read_exact(&mut head)?;
        let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]) as usize;
        let (body, fields) = (number(4), number(12));
        if head[0] != b'l' || body > MESSAGE_MAX || fields > MESSAGE_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut rest = vec![0; fields.next_multiple_of(8)];
        stream.read_exact(&mut rest)?;
        let mut content = vec![0; body];
        stream.read_exact(&mut content)?;
        if reply_serial(&rest[..fields]) != Some(serial) {
            continue;
        }
        match head[1] {
            METHOD_RETURN => return Ok(content),
            ERROR => return Err(io::Error::other("systemd refused to list its units")),
            _ => {}
        }
    }
}

/// The call that a message answers.
fn reply_serial(fields: &[u8]) -> Option<u32> {
    let mut reader = Reader { bytes: fields, at: 0 };
    while reader.at < fields.len() {
        reader.align(8);
        let code = reader.byte()?;
        let len = usize::from(reader.byte()?);
        let signature = *reader.take(len + 1)?.first()?;
        let number = match signature {
            b'u' => Some(reader.number()?),
            b's' | b'o' => reader.text().map(|_| None)?,
            b'g' => {
                let len = usize::from(reader.byte()?);
                reader.take(len + 1).map(|_| None)?
            }
            _ => return None,
        };
        if code == FIELD_REPLY_SERIAL {
            return number;
        }
    }
    None
}

/// `a(ssssssouso)`.
fn units(body: &[u8]) -> Option<Vec<Unit>> {
    let mut reader = Reader { bytes: body, at: 0 };
    let end = reader.number()? as usize;
    reader.align(8);
    let end = reader.at.checked_add(end)?;
    let mut found = Vec::new();
    while reader.at < end {
        reader.align(8);
        let name = reader.text()?;
        let _description = reader.text()?;
        let (load, active, sub) = (reader.text()?, reader.text()?, reader.text()?);
        let _following = reader.text()?;
        let _path = reader.text()?;
        let _job = reader.number()?;
        let _job_type = reader.text()?;
        let _job_path = reader.text()?;
        found.push(Unit { name, load, active, sub });
    }
    Some(found)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn align(&mut self, to: usize) {
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

    fn number(&mut self) -> Option<u32> {
        self.align(4);
        self.take(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
    }

    fn text(&mut self) -> Option<String> {
        let len = self.number()? as usize;
        let text = self.take(len.checked_add(1)?)?;
        Some(String::from_utf8_lossy(&text[..len]).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::net::UnixListener;

    fn string(body: &mut Vec<u8>, text: &str) {
        body.resize(body.len().next_multiple_of(4), 0);
        body.extend((text.len() as u32).to_le_bytes());
        body.extend(text.bytes());
        body.push(0);
    }

    fn unit_list() -> Vec<u8> {
        let mut body = vec![0; 8];
        for (name, active) in [("a.service", "failed"), ("b.mount", "active")] {
            body.resize(body.len().next_multiple_of(8), 0);
            for text in [name, "about", "loaded", active, "sub", "", "/p"] {
                string(&mut body, text);
            }
            body.resize(body.len().next_multiple_of(4), 0);
            body.extend([0; 4]);
            string(&mut body, "");
            string(&mut body, "/");
        }
        let len = (body.len() - 8) as u32;
        body[..4].copy_from_slice(&len.to_le_bytes());
        body
    }

    fn answer(serial: u32, body: &[u8]) -> Vec<u8> {
        let mut message = vec![b'l', METHOD_RETURN, 0, 1];
        message.extend((body.len() as u32).to_le_bytes());
        message.extend(9_u32.to_le_bytes());
        message.extend(8_u32.to_le_bytes());
        message.extend([FIELD_REPLY_SERIAL, 1, b'u', 0]);
        message.extend(serial.to_le_bytes());
        message.extend(body);
        message
    }

    #[test]
    fn a_conversation_with_a_bus() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("run/dbus")).unwrap();
        let server = UnixListener::bind(dir.path().join("run/dbus/system_bus_socket")).unwrap();
        let thread = std::thread::spawn(move || {
            let (mut peer, _) = server.accept().unwrap();
            assert!(line(&mut peer).unwrap().starts_with("\0AUTH EXTERNAL "));
            peer.write_all(b"OK 0123\r\n").unwrap();
            assert_eq!(line(&mut peer).unwrap(), "BEGIN\r\n");
            // A signal-like answer to somebody else comes first and must be skipped.
            peer.write_all(&answer(77, b"noise")).unwrap();
            peer.write_all(&answer(1, b"")).unwrap();
            peer.write_all(&answer(2, &unit_list())).unwrap();
            let mut rest = Vec::new();
            let _ = peer.read_to_end(&mut rest);
            assert!(rest.windows(9).any(|window| window == b"ListUnits"));
        });
        let host = HostRoot::recorded(dir.path()).unwrap();
        let found = list_units(&host).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].name.as_str(), found[0].active.as_str()), ("a.service", "failed"));
        thread.join().unwrap();
    }

    proptest! {
        #[test]
        fn arbitrary_answers_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = units(&bytes);
            let _ = reply_serial(&bytes);
        }
    }
}
