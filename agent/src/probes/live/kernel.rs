//! The live sources of this machine.

use std::io;
use std::path::Path;
use std::time::Duration;

use nix::sys::statvfs::statvfs;

use super::{Address, Bmc, Identity, Link, Live, Route, Space, mac_text, netlink};
use crate::sys::clock::{self, Discipline};
use crate::sys::ethtool::{Driver, Ethtool, LinkSettings};
use crate::sys::ipmi::Ipmi;
use crate::sys::kvm::{self, Kvm};
use crate::sys::scsi::{Disk, Power};
use crate::sys::{self, nvme};

/// The kernel of this machine.
#[derive(Clone, Copy, Debug)]
pub struct Kernel;

impl Live for Kernel {
    fn identity(&self) -> io::Result<Identity> {
        let uname = nix::sys::utsname::uname()?;
        let text = |part: &std::ffi::OsStr| part.to_string_lossy().into_owned();
        Ok(Identity {
            release: text(uname.release()),
            version: text(uname.version()),
            machine: text(uname.machine()),
            hostname: text(&nix::unistd::gethostname()?),
        })
    }

    fn links(&self) -> io::Result<Vec<Link>> {
        netlink::links()
    }

    fn addresses(&self) -> io::Result<Vec<Address>> {
        netlink::addresses()
    }

    fn routes(&self) -> io::Result<Vec<Route>> {
        netlink::routes()
    }

    fn ethtool_driver(&self, interface: &str) -> io::Result<Driver> {
        Ethtool::open()?.driver(interface)
    }

    fn ethtool_link(&self, interface: &str) -> io::Result<LinkSettings> {
        Ethtool::open()?.link_settings(interface)
    }

    fn ethtool_address(&self, interface: &str) -> io::Result<Option<String>> {
        Ok(Ethtool::open()?.permanent_address(interface)?.map(|bytes| mac_text(&bytes)))
    }

    fn space(&self, place: &str) -> io::Result<Space> {
        let room = statvfs(place)?;
        let block = room.fragment_size();
        Ok(Space {
            total: room.blocks() * block,
            free: room.blocks_free() * block,
            available: room.blocks_available() * block,
            inodes: room.files(),
            inodes_used: room.files().saturating_sub(room.files_free()),
        })
    }

    fn clock(&self) -> io::Result<Discipline> {
        clock::discipline()
    }

    fn chrony(&self) -> io::Result<Vec<u8>> {
        crate::probes::chrony::ask()
    }

    fn lldpd(&self) -> io::Result<Vec<u8>> {
        crate::probes::lldpd::ask()
    }

    fn kvm(&self) -> io::Result<Kvm> {
        kvm::query(Path::new("/dev/kvm"))
    }

    fn power(&self, device: &Path, ata: bool) -> io::Result<Power> {
        let disk = Disk::open(device)?;
        if ata { disk.ata_power() } else { disk.scsi_power() }
    }

    fn exclusive(&self, device: &Path) -> io::Result<bool> {
        sys::exclusive(device)
    }

    fn ata_smart(&self, device: &Path) -> io::Result<(Vec<u8>, Option<bool>)> {
        let disk = Disk::open(device)?;
        Ok((disk.ata_smart()?, disk.ata_failing()?))
    }

    fn scsi_log(&self, device: &Path, page: u8) -> io::Result<Vec<u8>> {
        Disk::open(device)?.log_page(page)
    }

    fn nvme_health(&self, controller: &Path) -> io::Result<Vec<u8>> {
        nvme::health_page(controller)
    }

    fn ipmi(&self) -> io::Result<Box<dyn Bmc>> {
        for path in ["/dev/ipmi0", "/dev/ipmi/0", "/dev/ipmidev/0"] {
            match Ipmi::open(Path::new(path)) {
                Ok(ipmi) => return Ok(Box::new(Paced(ipmi))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::NotFound.into())
    }

    fn since_boot(&self) -> u64 {
        clock::since_boot()
    }
}

struct Paced(Ipmi);

impl Bmc for Paced {
    fn request(&mut self, netfn: u8, command: u8, data: &[u8]) -> io::Result<Vec<u8>> {
        self.0.request(netfn, command, data)
    }

    fn pause(&self) {
        std::thread::sleep(Duration::from_secs(1));
    }
}
