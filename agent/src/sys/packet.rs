//! A packet socket that hears only LLDP, by multicast membership and never by promiscuous mode (spec/introspection.md §6.2).

use std::io;
use std::os::fd::{AsRawFd, FromRawFd as _, OwnedFd, RawFd};

use nix::libc;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The Ethernet type of LLDP.
const ETHERTYPE: u16 = 0x88CC;
/// The three group addresses: nearest bridge, nearest non-TPMR bridge, nearest customer bridge.
const GROUPS: [[u8; 6]; 3] =
    [[0x01, 0x80, 0xC2, 0, 0, 0x0E], [0x01, 0x80, 0xC2, 0, 0, 0x03], [0x01, 0x80, 0xC2, 0, 0, 0x00]];

/// Netlink multicast group that tells of interfaces that come, go or change.
const GROUP_LINK: u32 = 1;

/// A frame as it arrived, with its Ethernet header.
#[derive(Debug)]
pub struct Frame {
    /// Index of the interface on which it arrived.
    pub interface: u32,
    /// The bytes, at most as many as the buffer that was given.
    pub len: usize,
    /// Whether this host sent it.
    pub outgoing: bool,
}

/// The socket.
#[derive(Debug)]
pub struct LldpSocket(OwnedFd);

impl LldpSocket {
    /// Opens a non-blocking socket for all interfaces.
    ///
    /// # Errors
    /// "Permission denied" without CAP_NET_RAW.
    #[allow(unsafe_code)]
    pub fn open() -> io::Result<Self> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        let protocol = libc::c_int::from(ETHERTYPE.to_be());
        // SAFETY: no memory is passed; the descriptor that comes back is owned by nobody else.
        let socket = unsafe {
            let fd = super::checked(libc::socket(libc::AF_PACKET, kind, protocol))?;
            OwnedFd::from_raw_fd(fd)
        };
        Ok(Self(socket))
    }

    /// Joins the LLDP groups on an interface. Joining twice only raises a count, which ends with the socket.
    ///
    /// # Errors
    /// "No such device" if the interface went away.
    #[allow(unsafe_code)]
    pub fn join(&self, interface: u32) -> io::Result<()> {
        for group in GROUPS {
            let mut address = [0_u8; 8];
            address[..6].copy_from_slice(&group);
            let request = libc::packet_mreq {
                mr_ifindex: libc::c_int::try_from(interface).map_err(|_| io::ErrorKind::InvalidInput)?,
                mr_type: libc::PACKET_MR_MULTICAST as libc::c_ushort,
                mr_alen: 6,
                mr_address: address,
            };
            // SAFETY: the kernel reads exactly the struct whose size is given.
            super::checked(unsafe {
                libc::setsockopt(
                    self.0.as_raw_fd(),
                    libc::SOL_PACKET,
                    libc::PACKET_ADD_MEMBERSHIP,
                    (&raw const request).cast(),
                    std::mem::size_of::<libc::packet_mreq>() as libc::socklen_t,
                )
            })?;
        }
        Ok(())
    }

    /// Takes one frame.
    ///
    /// # Errors
    /// "Would block" if none is waiting.
    #[allow(unsafe_code)]
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Frame> {
        // SAFETY: an all-zero `sockaddr_ll` is valid; the kernel writes at most the lengths given for both buffers.
        let (len, from) = unsafe {
            let mut from: libc::sockaddr_ll = std::mem::zeroed();
            let mut from_len = std::mem::size_of::<libc::sockaddr_ll>() as libc::socklen_t;
            let len = libc::recvfrom(
                self.0.as_raw_fd(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                0,
                (&raw mut from).cast(),
                &raw mut from_len,
            );
            (len, from)
        };
        let len = usize::try_from(len).map_err(|_| io::Error::last_os_error())?;
        let interface = u32::try_from(from.sll_ifindex).unwrap_or(0);
        Ok(Frame { interface, len, outgoing: from.sll_pkttype == libc::PACKET_OUTGOING })
    }
}

impl LldpSocket {
    /// Hands the socket to the runtime, which tells when a frame waits.
    ///
    /// # Errors
    /// Those of registering; there must be a runtime.
    #[allow(unsafe_code)]
    pub fn watch(self) -> io::Result<AsyncFd<Self>> {
        // SAFETY: the descriptor is owned by this value, never replaced, and closed only when the value is dropped, which is
        // after the runtime has let go of it.
        Ok(unsafe { AsyncFd::register_with_interest(self, Interest::READABLE) }?)
    }
}

impl AsRawFd for LldpSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// A netlink socket that becomes readable when interfaces come, go or change.
#[derive(Debug)]
pub struct LinkChanges(netlink_sys::Socket);

impl LinkChanges {
    /// Subscribes.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn open() -> io::Result<Self> {
        let mut socket = netlink_sys::Socket::new(netlink_sys::protocols::NETLINK_ROUTE)?;
        socket.bind(&netlink_sys::SocketAddr::new(0, GROUP_LINK))?;
        socket.set_non_blocking(true)?;
        Ok(Self(socket))
    }

    /// Throws away what is waiting: that something changed is all that matters.
    pub fn drain(&self, buffer: &mut [u8]) {
        while self.0.recv(&mut &mut *buffer, 0).is_ok() {}
    }

    /// Hands the socket to the runtime.
    ///
    /// # Errors
    /// Those of registering; there must be a runtime.
    #[allow(unsafe_code)]
    pub fn watch(self) -> io::Result<AsyncFd<Self>> {
        // SAFETY: as for [`LldpSocket::watch`]: owned, never replaced, closed last.
        Ok(unsafe { AsyncFd::register_with_interest(self, Interest::READABLE) }?)
    }
}

impl AsRawFd for LinkChanges {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
