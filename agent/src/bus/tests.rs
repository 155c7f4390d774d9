#![allow(clippy::unwrap_used)]

use std::os::unix::net::UnixListener;

use proptest::prelude::*;

use super::*;

/// A message as a bus sends it: its header with these fields, and its body.
fn message(kind: u8, fields: &Body, body: &[u8]) -> Vec<u8> {
    let mut message = vec![b'l', kind, 0, 1];
    message.extend((body.len() as u32).to_le_bytes());
    message.extend(9_u32.to_le_bytes());
    message.extend((fields.bytes.len() as u32).to_le_bytes());
    message.extend(&fields.bytes);
    message.resize(message.len().next_multiple_of(8), 0);
    message.extend(body);
    message
}

fn answer(kind: u8, serial: u32, error: Option<&str>, body: &[u8]) -> Vec<u8> {
    let mut fields = Body::default();
    fields.align(8).bytes.push(FIELD_REPLY_SERIAL);
    fields.signature("u").number(serial);
    if let Some(error) = error {
        fields.align(8).bytes.push(FIELD_ERROR_NAME);
        fields.signature("s").text(error);
    }
    message(kind, &fields, body)
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
        // An answer to somebody else comes first and must be skipped.
        peer.write_all(&answer(METHOD_RETURN, 77, None, b"noise")).unwrap();
        peer.write_all(&answer(METHOD_RETURN, 1, None, b"")).unwrap();
        peer.write_all(&answer(METHOD_RETURN, 2, None, b"found")).unwrap();
        let mut text = Body::default();
        text.text("no x.scope");
        peer.write_all(&answer(ERROR, 3, Some("org.freedesktop.systemd1.NoSuchUnit"), &text.bytes)).unwrap();
        let mut rest = Vec::new();
        peer.read_to_end(&mut rest).unwrap();
        assert!(rest.windows(9).any(|window| window == b"ListUnits"));
    });
    let mut bus = Bus::connect(dir.path()).unwrap();
    assert!(bus.shared());
    let method = [SYSTEMD, SYSTEMD_PATH, SYSTEMD_MANAGER, "ListUnits"];
    assert_eq!(bus.call(method, &Body::default()).unwrap(), b"found");
    let error = bus.call(method, &Body::default()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    assert!(error.to_string().ends_with("NoSuchUnit: no x.scope"), "{error}");
    drop(bus);
    thread.join().unwrap();
}

fn told(member: &str, body: &[u8]) -> Vec<u8> {
    let mut fields = Body::default();
    fields.align(8).bytes.push(FIELD_MEMBER);
    fields.signature("s").text(member);
    message(SIGNAL, &fields, body)
}

#[test]
fn signals_are_kept_for_who_listens() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("run/systemd")).unwrap();
    // systemd's own socket: nobody has to be told that somebody listens.
    let server = UnixListener::bind(dir.path().join("run/systemd/private")).unwrap();
    let thread = std::thread::spawn(move || {
        let (mut peer, _) = server.accept().unwrap();
        line(&mut peer).unwrap();
        // It does not wait for that before it says so.
        peer.set_read_timeout(Some(DEADLINE)).unwrap();
        assert_eq!(line(&mut peer).unwrap(), "BEGIN\r\n");
        peer.set_read_timeout(None).unwrap();
        peer.write_all(b"OK 0123\r\n").unwrap();
        peer.write_all(&told("Before", b"nobody listens")).unwrap();
        peer.write_all(&answer(METHOD_RETURN, 1, None, b"one")).unwrap();
        peer.write_all(&told("JobNew", b"a")).unwrap();
        peer.write_all(&told("JobRemoved", b"b")).unwrap();
        peer.write_all(&answer(METHOD_RETURN, 2, None, b"two")).unwrap();
        let mut rest = Vec::new();
        peer.read_to_end(&mut rest).unwrap();
    });
    let mut bus = Bus::connect(dir.path()).unwrap();
    let method = [SYSTEMD, SYSTEMD_PATH, SYSTEMD_MANAGER, "StartUnit"];
    assert_eq!(bus.call(method, &Body::default()).unwrap(), b"one");
    bus.listen(SYSTEMD_MANAGER).unwrap();
    assert_eq!(bus.call(method, &Body::default()).unwrap(), b"two");
    let end = Instant::now() + Duration::from_millis(200);
    for (member, body) in [("JobNew", b"a"), ("JobRemoved", b"b")] {
        assert_eq!(bus.signal(end).unwrap(), Signal { member: member.into(), body: body.to_vec() });
    }
    assert_eq!(bus.signal(end).unwrap_err().kind(), io::ErrorKind::TimedOut);
    drop(bus);
    thread.join().unwrap();
}

#[test]
fn lists_of_structures_are_aligned_as_the_bus_wants_it() {
    let mut body = Body::new("sa(sv)");
    body.text("ab").list(8, |list| {
        list.item().text("N").signature("t").long(7);
    });
    let expected = [
        &[2, 0, 0, 0, b'a', b'b', 0, 0][..],
        // The length does not count the bytes up to the first item.
        &[24, 0, 0, 0, 0, 0, 0, 0],
        &[1, 0, 0, 0, b'N', 0, 1, b't', 0, 0, 0, 0, 0, 0, 0, 0],
        &[7, 0, 0, 0, 0, 0, 0, 0],
    ]
    .concat();
    assert_eq!(body.bytes, expected);
}

proptest! {
    #[test]
    fn arbitrary_answers_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Header::read(&bytes);
        let mut reader = Reader::new(&bytes);
        while reader.text().is_some() && reader.signature().is_some() && reader.long().is_some() {}
    }
}
