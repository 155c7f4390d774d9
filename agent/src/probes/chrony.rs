//! What chrony says about its source, by the one monitoring request that everybody on the host may make.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::Duration;

use serde_json::{Value, json};

const PORT: u16 = 323;
const DEADLINE: Duration = Duration::from_millis(500);
const VERSION: u8 = 6;
const REQUEST: u8 = 1;
const REPLY: u8 = 2;
const TRACKING: u16 = 33;
const TRACKING_REPLY: u16 = 5;
/// Header (28 bytes) and tracking data (76 bytes). Requests are as long as their replies, so that nobody can abuse chrony to
/// multiply traffic.
const LEN: usize = 28 + 76;

/// Asks the chrony of this host.
///
/// # Errors
/// "Connection refused" without one; "would block" after half a second.
pub(super) fn ask() -> io::Result<Vec<u8>> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.set_read_timeout(Some(DEADLINE))?;
    socket.connect((Ipv4Addr::LOCALHOST, PORT))?;
    let mut request = [0_u8; LEN];
    (request[0], request[1]) = (VERSION, REQUEST);
    request[4..6].copy_from_slice(&TRACKING.to_be_bytes());
    request[8..12].copy_from_slice(&1_u32.to_be_bytes());
    socket.send(&request)?;
    let mut reply = vec![0_u8; LEN * 2];
    let len = socket.recv(&mut reply)?;
    reply.truncate(len);
    Ok(reply)
}

/// Decodes a tracking reply; `None` if it is something else.
pub(super) fn decode(reply: &[u8]) -> Option<Value> {
    let word = |at: usize| reply.get(at..at + 2).map(|b| u16::from_be_bytes([b[0], b[1]]));
    let float = |at: usize| reply.get(at..at + 4).map(|b| number(u32::from_be_bytes([b[0], b[1], b[2], b[3]])));
    let good = *reply.first()? == VERSION && *reply.get(1)? == REPLY && word(6)? == TRACKING_REPLY && word(8)? == 0;
    if !good || reply.len() < LEN {
        return None;
    }
    let address = match word(48)? {
        1 => Some(IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(reply.get(32..36)?).ok()?))),
        2 => Some(IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(reply.get(32..48)?).ok()?))),
        _ => None,
    };
    let micros = |at: usize| float(at).map(|seconds| seconds * 1e6);
    Some(json!({
        "source": address.map(|address| address.to_string()), "stratum": word(52)?,
        // 3 means that the clock is not synchronised.
        "synchronised": word(54)? != 3,
        "statistics": {"offset_us": micros(68), "last_offset_us": micros(72), "rms_offset_us": micros(76),
                       "root_delay_us": micros(92), "root_dispersion_us": micros(96)},
    }))
}

/// chrony's own floating point: seven bits of exponent, twenty-five of coefficient, both signed.
fn number(word: u32) -> f64 {
    let exponent = (word.cast_signed() >> 25) - 25;
    let coefficient = (word << 7).cast_signed() >> 7;
    f64::from(coefficient) * 2_f64.powi(exponent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers() {
        // 1.0 is half of the coefficient's range times two.
        assert!((number((2 << 25) | (1 << 23)) - 1.0).abs() < 1e-9);
        assert!((number((1 << 25) | 0x0180_0000) + 0.5).abs() < 1e-9);
        assert!(number(0).abs() < 1e-9);
    }

    #[test]
    fn a_tracking_reply() {
        let mut reply = vec![0_u8; LEN];
        (reply[0], reply[1], reply[7]) = (VERSION, REPLY, 5);
        reply[32..36].copy_from_slice(&[192, 0, 2, 9]);
        (reply[49], reply[53]) = (1, 3);
        let tracking = decode(&reply).unwrap();
        assert_eq!((&tracking["source"], &tracking["stratum"]), (&json!("192.0.2.9"), &json!(3)));
        assert_eq!(tracking["synchronised"], true);
        assert_eq!(decode(&reply[..60]), None);
    }

    proptest! {
        #[test]
        fn arbitrary_replies_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }
    }
}
