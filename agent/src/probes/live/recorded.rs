//! Live sources of a recorded host: what its `live.json` says. What it does not say is "unsupported", as on a host that lacks
//! the source.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Address, Bmc, Identity, Link, Live, Route, Space};
use crate::sys::clock::Discipline;
use crate::sys::ethtool::{Driver, LinkSettings};
use crate::sys::kvm::Kvm;
use crate::sys::scsi::Power;

/// The contents of `live.json`. Every key may be missing; bytes are hexadecimal.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recorded {
    /// Kernel and host name.
    pub identity: Option<Identity>,
    /// Interfaces.
    pub links: Option<Vec<Link>>,
    /// Addresses.
    pub addresses: Option<Vec<Address>>,
    /// Routes.
    pub routes: Option<Vec<Route>>,
    /// Drivers by interface.
    pub drivers: BTreeMap<String, Driver>,
    /// Link settings by interface.
    pub link_settings: BTreeMap<String, LinkSettings>,
    /// Room by mount point.
    pub space: BTreeMap<String, Space>,
    /// Clock discipline.
    pub clock: Option<Discipline>,
    /// chrony's tracking reply.
    pub chrony: Option<String>,
    /// What lldpd's client says.
    pub lldpd: Option<String>,
    /// KVM.
    pub kvm: Option<Kvm>,
    /// Power state by device name.
    pub power: BTreeMap<String, Power>,
    /// Names of devices that cannot be opened exclusively.
    pub locked: Vec<String>,
    /// SMART page and forecast by device name.
    pub ata_smart: BTreeMap<String, (String, Option<bool>)>,
    /// Log pages by `device:page`, the page as `0x2f`.
    pub scsi_logs: BTreeMap<String, String>,
    /// Health pages by controller name.
    pub nvme_health: BTreeMap<String, String>,
    /// Answers of the management controller by the request's bytes (network function, command, data).
    pub ipmi: Option<BTreeMap<String, String>>,
    /// Seconds since boot.
    pub since_boot: u64,
}

fn given<T: Clone>(value: Option<&T>) -> io::Result<T> {
    value.cloned().ok_or_else(|| io::ErrorKind::Unsupported.into())
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn unhex(text: &str) -> io::Result<Vec<u8>> {
    hex::decode(text).map_err(io::Error::other)
}

impl Live for Recorded {
    fn identity(&self) -> io::Result<Identity> {
        given(self.identity.as_ref())
    }

    fn links(&self) -> io::Result<Vec<Link>> {
        given(self.links.as_ref())
    }

    fn addresses(&self) -> io::Result<Vec<Address>> {
        given(self.addresses.as_ref())
    }

    fn routes(&self) -> io::Result<Vec<Route>> {
        given(self.routes.as_ref())
    }

    fn ethtool_driver(&self, interface: &str) -> io::Result<Driver> {
        given(self.drivers.get(interface))
    }

    fn ethtool_link(&self, interface: &str) -> io::Result<LinkSettings> {
        given(self.link_settings.get(interface))
    }

    fn ethtool_address(&self, _interface: &str) -> io::Result<Option<String>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn space(&self, place: &str) -> io::Result<Space> {
        given(self.space.get(place))
    }

    fn clock(&self) -> io::Result<Discipline> {
        given(self.clock.as_ref())
    }

    fn chrony(&self) -> io::Result<Vec<u8>> {
        unhex(&given(self.chrony.as_ref())?)
    }

    fn lldpd(&self) -> io::Result<Vec<u8>> {
        given(self.lldpd.as_ref()).map(String::into_bytes)
    }

    fn kvm(&self) -> io::Result<Kvm> {
        given(self.kvm.as_ref())
    }

    fn power(&self, device: &Path, _ata: bool) -> io::Result<Power> {
        given(self.power.get(&name(device)))
    }

    fn exclusive(&self, device: &Path) -> io::Result<bool> {
        Ok(!self.locked.contains(&name(device)))
    }

    fn ata_smart(&self, device: &Path) -> io::Result<(Vec<u8>, Option<bool>)> {
        let (page, failing) = given(self.ata_smart.get(&name(device)))?;
        Ok((unhex(&page)?, failing))
    }

    fn scsi_log(&self, device: &Path, page: u8) -> io::Result<Vec<u8>> {
        unhex(&given(self.scsi_logs.get(&format!("{}:{page:#04x}", name(device))))?)
    }

    fn nvme_health(&self, controller: &Path) -> io::Result<Vec<u8>> {
        unhex(&given(self.nvme_health.get(&name(controller)))?)
    }

    fn ipmi(&self) -> io::Result<Box<dyn Bmc>> {
        match &self.ipmi {
            Some(answers) => Ok(Box::new(Script(answers.clone()))),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn since_boot(&self) -> u64 {
        self.since_boot
    }
}

struct Script(BTreeMap<String, String>);

impl Bmc for Script {
    fn request(&mut self, netfn: u8, command: u8, data: &[u8]) -> io::Result<Vec<u8>> {
        let key: String = [netfn, command].iter().chain(data).map(|b| format!("{b:02x}")).collect();
        // Completion code C1h: invalid command, what a controller says to what it does not know.
        self.0.get(&key).map_or_else(|| Ok(vec![0xC1]), |answer| unhex(answer))
    }

    fn pause(&self) {}
}
