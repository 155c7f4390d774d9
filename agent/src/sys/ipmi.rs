//! Requests to the baseboard management controller over `/dev/ipmi0`.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::Path;

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// `_IOR('i', 13, struct ipmi_req)`.
const SEND_COMMAND: libc::c_ulong = 0x8028_690D;
/// `_IOWR('i', 11, struct ipmi_recv)`.
const RECEIVE_TRUNCATING: libc::c_ulong = 0xC030_690B;
const SYSTEM_INTERFACE: libc::c_int = 0x0C;
const CHANNEL_BMC: libc::c_short = 0x0F;
const DEADLINE_MS: u16 = 2_000;

#[repr(C)]
struct SystemAddress {
    kind: libc::c_int,
    channel: libc::c_short,
    lun: u8,
}

#[repr(C)]
struct Message {
    netfn: u8,
    command: u8,
    data_len: u16,
    data: *mut u8,
}

#[repr(C)]
struct Request {
    address: *mut SystemAddress,
    address_len: libc::c_uint,
    id: libc::c_long,
    message: Message,
}

#[repr(C)]
struct Received {
    kind: libc::c_int,
    address: *mut SystemAddress,
    address_len: libc::c_uint,
    id: libc::c_long,
    message: Message,
}

/// An opened IPMI device.
#[derive(Debug)]
pub struct Ipmi {
    device: File,
    next: libc::c_long,
}

impl Ipmi {
    /// Opens the device for reading, which is enough for its requests.
    ///
    /// # Errors
    /// "Not found" without a controller or its driver, "permission denied".
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { device: super::open_device(path)?, next: 1 })
    }

    /// Sends one request and waits up to two seconds for its answer: completion code first, then data.
    ///
    /// # Errors
    /// "Timed out" if the controller does not answer; those of the device.
    #[allow(unsafe_code)]
    pub fn request(&mut self, netfn: u8, command: u8, data: &[u8]) -> io::Result<Vec<u8>> {
        let id = self.next;
        self.next += 1;
        let mut address = SystemAddress { kind: SYSTEM_INTERFACE, channel: CHANNEL_BMC, lun: 0 };
        let mut payload = data.to_vec();
        let mut request = Request {
            address: &raw mut address,
            address_len: std::mem::size_of::<SystemAddress>() as libc::c_uint,
            id,
            message: Message { netfn, command, data_len: payload.len() as u16, data: payload.as_mut_ptr() },
        };
        // SAFETY: `Request` has the layout of `ipmi_req`; the kernel copies address and data before it returns.
        super::checked(unsafe { libc::ioctl(self.device.as_raw_fd(), SEND_COMMAND as _, &raw mut request) })?;
        loop {
            let (answer_id, answer) = self.receive()?;
            // An answer to an earlier request that was given up on is dropped.
            if answer_id == id {
                return Ok(answer);
            }
        }
    }

    #[allow(unsafe_code)]
    fn receive(&mut self) -> io::Result<(libc::c_long, Vec<u8>)> {
        let mut ready = [PollFd::new(self.device.as_fd(), PollFlags::POLLIN)];
        if poll(&mut ready, PollTimeout::from(DEADLINE_MS))? == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let mut address = SystemAddress { kind: 0, channel: 0, lun: 0 };
        let mut buffer = vec![0_u8; 1024];
        let mut received = Received {
            kind: 0,
            address: &raw mut address,
            address_len: std::mem::size_of::<SystemAddress>() as libc::c_uint,
            id: 0,
            message: Message { netfn: 0, command: 0, data_len: buffer.len() as u16, data: buffer.as_mut_ptr() },
        };
        // SAFETY: `Received` has the layout of `ipmi_recv`; the truncating receive never writes more than the lengths that
        // are given in it.
        let result = unsafe { libc::ioctl(self.device.as_raw_fd(), RECEIVE_TRUNCATING as _, &raw mut received) };
        if let Err(error) = super::checked(result)
            && error.raw_os_error() != Some(libc::EMSGSIZE)
        {
            return Err(error);
        }
        buffer.truncate(usize::from(received.message.data_len));
        Ok((received.id, buffer))
    }
}
