//! The network that hosts are on.

use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use anyhow::Context as _;

use super::{Host, Options, possible};
use crate::lab::{Manager, Place};
use crate::namespace::Namespace;
use crate::ward::Ward;

/// The address of the manager, and of whatever else runs in its namespace.
pub const MANAGER: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);

/// The length of the network's prefix.
const PREFIX: u8 = 24;

/// A switch, a place for the manager, and hosts. Dropping it gives everything back.
#[derive(Debug)]
pub struct Lab {
    pub(super) ward: Ward,
    id: String,
    switch: Namespace,
    manager: Namespace,
    next: AtomicU8,
    plugged: Mutex<Vec<String>>,
}

impl Lab {
    /// A network without hosts; `None` if that is impossible here, see [`possible`].
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn start() -> anyhow::Result<Option<Self>> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        if !possible() {
            return Ok(None);
        }
        let ward = Ward::new("hostler-lab-")?;
        let id = format!("hl{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::SeqCst));
        let switch = Namespace::new(&ward, &format!("{id}-switch"))?;
        switch.ip("link add br0 type bridge")?;
        switch.ip("link set br0 up")?;
        let manager = Namespace::new(&ward, &format!("{id}-manager"))?;
        let lab = Self { ward, id, switch, manager, next: AtomicU8::new(11), plugged: Mutex::default() };
        lab.plug(&lab.manager, "manager", "eth0")?;
        lab.manager.ip(&format!("addr add {MANAGER}/{PREFIX} dev eth0"))?;
        lab.manager.ip("link set eth0 up")?;
        Ok(Some(lab))
    }

    /// Boots a host and waits until its systemd is ready.
    ///
    /// # Errors
    /// It does not boot, or something in it fails while it does.
    pub fn host(&self, name: &str, options: Options) -> anyhow::Result<Host<'_>> {
        let host = Host::new(self, name, options)?;
        host.boot()?;
        Ok(host)
    }

    /// Boots hosts at the same time, all alike.
    ///
    /// # Errors
    /// One does not boot.
    pub fn hosts(&self, names: &[&str], options: &Options) -> anyhow::Result<Vec<Host<'_>>> {
        std::thread::scope(|scope| {
            let boots: Vec<_> = names.iter().map(|name| scope.spawn(|| self.host(name, options.clone()))).collect();
            boots.into_iter().map(|boot| boot.join().map_err(|_| anyhow::anyhow!("a thread failed"))?).collect()
        })
    }

    /// Starts a real manager at [`MANAGER`]; tests call it as any other, its agents are those of hosts.
    ///
    /// # Errors
    /// It does not become ready.
    pub async fn start_manager(&self, mut options: crate::lab::Options) -> anyhow::Result<Manager> {
        options.place = Some(Place { namespace: self.manager.clone(), address: MANAGER.into() });
        Manager::with(options).await
    }

    /// The namespace of the manager and of the test's own programs, at [`MANAGER`].
    #[must_use]
    pub fn manager(&self) -> &Namespace {
        &self.manager
    }

    /// The namespace of the switch: the bridge `br0`, with a port `p-NAME` to each host.
    #[must_use]
    pub fn switch(&self) -> &Namespace {
        &self.switch
    }

    /// A further namespace on the switch, with that address on its `eth0`, or none: for a DHCP server or its clients.
    ///
    /// # Errors
    /// The kernel refuses, or there is one of that name.
    pub fn namespace(&self, name: &str, address: Option<Ipv4Addr>) -> anyhow::Result<Namespace> {
        let namespace = Namespace::new(&self.ward, &format!("{}-{name}", self.id))?;
        self.plug(&namespace, name, "eth0")?;
        if let Some(address) = address {
            namespace.ip(&format!("addr add {address}/{PREFIX} dev eth0"))?;
        }
        namespace.ip("link set eth0 up")?;
        Ok(namespace)
    }

    /// A namespace for a host, whose link is `host0`.
    pub(super) fn network(&self, name: &str) -> anyhow::Result<Namespace> {
        let namespace = Namespace::new(&self.ward, &format!("{}-{name}", self.id))?;
        self.plug(&namespace, name, "host0")?;
        Ok(namespace)
    }

    /// The next free address, with the length of the prefix.
    pub(super) fn next_address(&self) -> (Ipv4Addr, u8) {
        (Ipv4Addr::new(10, 99, 0, self.next.fetch_add(1, Ordering::SeqCst)), PREFIX)
    }

    /// What its control groups and its machines are called, so that no two tests meet.
    pub(super) fn unique(&self, name: &str) -> String {
        format!("lab.{}-{name}", self.id)
    }

    /// Cuts a host or a namespace off, or plugs it in again.
    pub(super) fn port(&self, name: &str, state: &str) -> anyhow::Result<()> {
        self.switch.ip(&format!("link set {} {state}", port(name))).map(drop)
    }

    fn plug(&self, namespace: &Namespace, name: &str, link: &str) -> anyhow::Result<()> {
        let port = port(name);
        let mut plugged = self.plugged.lock().map_err(|_| anyhow::anyhow!("a thread failed"))?;
        anyhow::ensure!(!plugged.contains(&port), "there is a {name}, or one whose name begins alike");
        self.switch
            .ip(&format!("link add {port} type veth peer name {link} netns {}", namespace.name()))
            .with_context(|| format!("the link of {name}"))?;
        self.switch.ip(&format!("link set {port} master br0 up"))?;
        plugged.push(port);
        Ok(())
    }
}

/// The port of the switch that leads there; a name of a link has 15 bytes at the most.
fn port(name: &str) -> String {
    let name: String = name.chars().take(13).collect();
    format!("p-{name}")
}
