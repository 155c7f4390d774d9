//! Three read-only requests of the ethtool interface.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::libc;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

const SIOCETHTOOL: libc::c_ulong = 0x8946;
const GET_DRIVER: u32 = 0x3;
const GET_PERMANENT_ADDRESS: u32 = 0x20;
const GET_LINK_SETTINGS: u32 = 0x4c;
/// The longest hardware address that the kernel hands out, in bytes.
const ADDRESS_MAX: usize = 32;
/// Room for the largest driver record (196 bytes) and link settings with the most mode words (48 + 3 * 127 * 4).
const BUFFER: usize = 2048;

/// Who drives an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Driver {
    /// Name of the kernel driver.
    pub name: String,
    /// Version of the driver, often the kernel's.
    pub version: String,
    /// Firmware of the adapter, empty if the driver does not tell.
    pub firmware: String,
    /// Bus address, such as `0000:3b:00.0`.
    pub bus: String,
}

/// The state and abilities of a link.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct LinkSettings {
    /// Current speed in Mbit/s; `None` without a link.
    pub speed: Option<u32>,
    /// `full`, `half`, or `None` without a link.
    pub duplex: Option<String>,
    /// Whether speed is negotiated.
    pub autonegotiation: bool,
    /// Numbers of the supported `ETHTOOL_LINK_MODE_*` bits.
    pub supported: Vec<u32>,
}

/// A socket on which requests about any interface of this network namespace are made.
#[derive(Debug)]
pub struct Ethtool(OwnedFd);

impl Ethtool {
    /// Opens the socket.
    ///
    /// # Errors
    /// Those of `socket(2)`.
    pub fn open() -> io::Result<Self> {
        Ok(Self(socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?))
    }

    /// Asks for driver and firmware.
    ///
    /// # Errors
    /// "Not supported" from interfaces without driver data, "no such device".
    pub fn driver(&self, interface: &str) -> io::Result<Driver> {
        let answer = self.ask(interface, &[GET_DRIVER])?;
        let text = |from: usize, len: usize| {
            let field = &answer[from..from + len];
            let end = field.iter().position(|b| *b == 0).unwrap_or(len);
            String::from_utf8_lossy(&field[..end]).trim().to_owned()
        };
        Ok(Driver { name: text(4, 32), version: text(36, 32), firmware: text(68, 32), bus: text(100, 32) })
    }

    /// Asks for the address burnt into the adapter; `None` if it has none.
    ///
    /// # Errors
    /// As for [`Ethtool::driver`].
    pub fn permanent_address(&self, interface: &str) -> io::Result<Option<Vec<u8>>> {
        let answer = self.ask(interface, &[GET_PERMANENT_ADDRESS, ADDRESS_MAX as u32])?;
        let len = (word(&answer, 4) as usize).min(ADDRESS_MAX);
        let address = &answer[8..8 + len];
        Ok(address.iter().any(|b| *b != 0).then(|| address.to_vec()))
    }

    /// Asks for speed, duplex and the modes that the port supports.
    ///
    /// # Errors
    /// As for [`Ethtool::driver`].
    pub fn link_settings(&self, interface: &str) -> io::Result<LinkSettings> {
        // The first request tells, as a negative number, how many mode words this kernel has; the second asks with it.
        let probe = self.ask(interface, &[GET_LINK_SETTINGS])?;
        let words = probe[15].cast_signed().unsigned_abs();
        let mut request = [0_u32; 12];
        request[0] = GET_LINK_SETTINGS;
        request[3] = u32::from_ne_bytes([0, 0, 0, words]);
        let answer = self.ask(interface, &request)?;
        let supported = (0..usize::from(words.min(127)))
            .flat_map(|at| {
                let bits = word(&answer, 48 + at * 4);
                (0..32).filter(move |bit| bits & (1 << bit) != 0).map(move |bit| at as u32 * 32 + bit)
            })
            .collect();
        let speed = word(&answer, 4);
        let duplex = match answer[8] {
            0 => Some("half".to_owned()),
            1 => Some("full".to_owned()),
            _ => None,
        };
        Ok(LinkSettings {
            speed: (speed != 0 && speed != u32::MAX).then_some(speed),
            duplex,
            autonegotiation: answer[11] == 1,
            supported,
        })
    }

    /// Sends one request, given as its leading words, and returns the filled buffer.
    #[allow(unsafe_code)]
    fn ask(&self, interface: &str, request: &[u32]) -> io::Result<Vec<u8>> {
        let mut buffer = vec![0_u32; BUFFER / 4];
        buffer[..request.len()].copy_from_slice(request);
        let name = interface.as_bytes();
        if name.is_empty() || name.len() >= libc::IFNAMSIZ || name.contains(&0) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // SAFETY: an all-zero `ifreq` is valid; the name fits with its terminator (checked above). The kernel writes the
        // answer of one of the three requests into `buffer`, which is aligned and larger than any of them, and lives
        // until after the call.
        unsafe {
            let mut packet: libc::ifreq = std::mem::zeroed();
            for (to, from) in packet.ifr_name.iter_mut().zip(name) {
                *to = *from as libc::c_char;
            }
            packet.ifr_ifru.ifru_data = buffer.as_mut_ptr().cast();
            super::checked(libc::ioctl(self.0.as_raw_fd(), SIOCETHTOOL as _, &raw mut packet))?;
        }
        Ok(buffer.iter().flat_map(|word| word.to_ne_bytes()).collect())
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |b| u32::from_ne_bytes([b[0], b[1], b[2], b[3]]))
}

/// The speed of a supported link mode in Mbit/s, by the bit numbers of the kernel's `ethtool_link_mode_bit_indices`.
/// Bits that name a medium or a pause ability have none.
#[must_use]
pub fn mode_speed(bit: u32) -> Option<u32> {
    Some(match bit {
        0 | 1 => 10,
        2 | 3 | 67 => 100,
        4 | 5 | 17 | 41 | 68 => 1_000,
        15 | 47 => 2_500,
        48 => 5_000,
        12 | 18 | 19 | 20 | 42..=46 => 10_000,
        21 | 22 => 20_000,
        31..=33 => 25_000,
        23..=26 => 40_000,
        34 | 35 | 40 | 52..=56 => 50_000,
        27..=30 => 56_000,
        36..=39 | 57..=61 | 75..=79 => 100_000,
        62..=66 | 80..=84 | 103..=108 => 200_000,
        69..=73 | 85..=89 | 109..=114 => 400_000,
        93..=98 | 115..=120 => 800_000,
        90 | 91 => 100,
        92 | 99..=102 => 10,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_answers_or_refuses_but_never_breaks() {
        let Ok(ethtool) = Ethtool::open() else { return };
        assert!(ethtool.driver("name-that-is-far-too-long").is_err());
        assert!(ethtool.driver("absent0").is_err());
        assert!(!matches!(ethtool.permanent_address("lo"), Ok(Some(_))));
    }

    #[test]
    fn speeds_of_modes() {
        assert_eq!(mode_speed(5), Some(1_000));
        assert_eq!(mode_speed(31), Some(25_000));
        assert_eq!(mode_speed(6), None);
    }
}
