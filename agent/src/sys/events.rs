//! Descriptors that the kernel makes ready when something happened, for the runtime.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd, RawFd};
use std::path::Path;

use netlink_sys::SocketAddr;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A netlink socket that hears multicast groups.
#[derive(Debug)]
pub struct Netlink(AsyncFd<netlink_sys::Socket>);

impl Netlink {
    /// Joins groups of a protocol; `groups` has a bit for each.
    ///
    /// # Errors
    /// Those of the socket; there must be a runtime.
    #[allow(unsafe_code)]
    pub fn open(protocol: isize, groups: u32) -> io::Result<Self> {
        let mut socket = netlink_sys::Socket::new(protocol)?;
        socket.bind(&SocketAddr::new(0, groups))?;
        socket.set_non_blocking(true)?;
        // SAFETY: the socket is owned by this value, never replaced, and closed after the runtime has let go of it.
        Ok(Self(unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }?))
    }

    /// Waits for a message; answers with its length in `buffer`.
    ///
    /// # Errors
    /// `ENOBUFS` where messages were lost.
    pub async fn next(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.0.readable().await?;
            match ready.try_io(|socket| socket.get_ref().recv(&mut &mut *buffer, 0)) {
                Ok(result) => return result,
                Err(_would_block) => {}
            }
        }
    }
}

/// `Inotify` of nix, as the runtime wants it.
#[derive(Debug)]
struct Raw(Inotify);

impl AsRawFd for Raw {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// Folders whose entries are watched for being written, replaced and made.
#[derive(Debug)]
pub struct Folders(AsyncFd<Raw>);

impl Folders {
    /// Watches nothing yet.
    ///
    /// # Errors
    /// Those of `inotify_init1(2)`; there must be a runtime.
    #[allow(unsafe_code)]
    pub fn open() -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        // SAFETY: the descriptor is owned by this value, never replaced, and closed after the runtime has let go of it.
        Ok(Self(unsafe { AsyncFd::register_with_interest(Raw(inotify), Interest::READABLE) }?))
    }

    /// Watches a folder, too; again is harmless.
    ///
    /// # Errors
    /// Those of `inotify_add_watch(2)`.
    pub fn add(&self, folder: &Path) -> io::Result<()> {
        let events = AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_ONLYDIR;
        self.0.get_ref().0.add_watch(folder, events)?;
        Ok(())
    }

    /// Waits until something happened in one of the folders; what is waiting is taken away. `None` stands for events that
    /// were lost, or for the folder itself.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn changed(&self) -> io::Result<Vec<Option<std::ffi::OsString>>> {
        loop {
            let mut ready = self.0.readable().await?;
            match ready.try_io(|raw| raw.get_ref().0.read_events().map_err(io::Error::from)) {
                Ok(events) => return Ok(events?.into_iter().map(|event| event.name).collect()),
                Err(_would_block) => {}
            }
        }
    }
}

/// The table of mounts of this process's mount namespace.
#[derive(Debug)]
pub struct Mounts(AsyncFd<File>);

impl Mounts {
    /// Opens it.
    ///
    /// # Errors
    /// Those of opening `/proc/self/mountinfo`; there must be a runtime.
    #[allow(unsafe_code)]
    pub fn open() -> io::Result<Self> {
        let file = File::open("/proc/self/mountinfo")?;
        // SAFETY: the file is owned by this value, never replaced, and closed after the runtime has let go of it.
        Ok(Self(unsafe { AsyncFd::register_with_interest(file, Interest::PRIORITY) }?))
    }

    /// Waits until something was mounted or unmounted.
    ///
    /// # Errors
    /// Those of the runtime.
    pub async fn changed(&self) -> io::Result<()> {
        self.0.ready(Interest::PRIORITY).await?.clear_ready();
        Ok(())
    }
}
