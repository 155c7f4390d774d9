//! A real DHCP server (dnsmasq) in a namespace of a lab, and real clients (udhcpc of busybox) that get, renew and give back
//! leases of it.

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use anyhow::{Context as _, ensure};

use crate::hosts::Lab;
use crate::means::{self, Need};
use crate::namespace::Namespace;
use crate::shell::{self, PATIENCE};
use crate::ward::{Taken, Ward};

/// The server's own address, outside of what it gives out.
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);

/// What it gives out, and for how long: two minutes are the least that it accepts.
const RANGE: &str = "10.99.0.200,10.99.0.249,2m";

/// What udhcpc runs when it has a lease or has lost one.
const SCRIPT: &str = "#!/bin/sh
case $1 in
    bound | renew) ip addr replace \"$ip/24\" dev \"$interface\" ;;
    deconfig) ip addr flush dev \"$interface\" ;;
esac
";

/// A server and its file of leases. Dropping it ends it.
#[derive(Debug)]
pub struct Dhcp {
    namespace: Namespace,
    ward: Ward,
    server: Child,
}

/// A client with a lease. Dropping it kills it, so that the server hears nothing.
#[derive(Debug)]
pub struct Client {
    namespace: Namespace,
    process: Child,
    /// The hardware address.
    pub mac: String,
    /// What it was given.
    pub address: Ipv4Addr,
}

impl Dhcp {
    /// Starts a server on the switch of a lab; `None` if its programs are not there.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(lab: &Lab) -> anyhow::Result<Option<Self>> {
        let needs = [Need::Program("dnsmasq", "dnsmasq-base"), Need::Program("busybox", "busybox")];
        if !means::has("DHCP", &needs) {
            return Ok(None);
        }
        let namespace = lab.namespace("dhcp", Some(SERVER))?;
        let ward = Ward::new("hostler-dhcp-")?;
        let log = fs::File::create(ward.dir().join("log"))?;
        let mut command = namespace.command("dnsmasq");
        command.args([
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--port=0",
            "--no-ping",
            "--dhcp-authoritative",
        ]);
        command.args([
            "--user=root",
            "--interface=eth0",
            "--bind-interfaces",
            "--log-dhcp",
            "--log-facility=-",
            "--pid-file=",
        ]);
        command
            .arg(format!("--dhcp-range={RANGE}"))
            .arg(format!("--dhcp-leasefile={}", ward.dir().join("leases").display()));
        let server = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn().context("dnsmasq")?;
        ward.note(Taken::Process(server.id()))?;
        let mut dhcp = Self { namespace, ward, server };
        shell::wait(PATIENCE, "dnsmasq listens", || {
            ensure!(dhcp.server.try_wait()?.is_none(), "{}", dhcp.log());
            Ok(dhcp.log().contains("DHCP, IP range"))
        })?;
        Ok(Some(dhcp))
    }

    /// The file of leases: `EXPIRY MAC ADDRESS NAME CLIENT-ID` a line. It is rewritten in place with each change.
    #[must_use]
    pub fn leases(&self) -> PathBuf {
        self.ward.dir().join("leases")
    }

    /// What the server said.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.ward.dir().join("log")).unwrap_or_default()
    }

    /// The namespace of the server.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// A machine of that name (of at most 13 characters that differ) on the switch, that has asked for a lease and got it.
    ///
    /// # Errors
    /// It gets none.
    pub fn client(&self, lab: &Lab, name: &str) -> anyhow::Result<Client> {
        let namespace = lab.namespace(name, None)?;
        let script = self.ward.dir().join("udhcpc.sh");
        if !script.exists() {
            fs::write(&script, SCRIPT)?;
            shell::run(shell::command(&["chmod", "755"]).arg(&script))?;
        }
        let log = fs::File::create(self.ward.dir().join(format!("{name}.log")))?;
        let mut command = namespace.command("busybox");
        command.args([
            "udhcpc",
            "-f",
            "-R",
            "-i",
            "eth0",
            "-t",
            "20",
            "-T",
            "1",
            "-x",
            &format!("hostname:{name}"),
            "-s",
        ]);
        let process = command.arg(&script).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
        self.ward.note(Taken::Process(process.id()))?;
        let links: serde_json::Value = serde_json::from_str(&namespace.ip("-j link show eth0")?)?;
        let mac = links[0]["address"].as_str().context("a link has an address")?.to_owned();
        let mut client = Client { namespace, process, mac, address: Ipv4Addr::UNSPECIFIED };
        shell::wait(PATIENCE, &format!("{name} gets a lease"), || {
            ensure!(client.process.try_wait()?.is_none(), "udhcpc of {name} has ended");
            let leases = fs::read_to_string(self.leases()).unwrap_or_default();
            let line = leases.lines().find(|line| line.contains(&client.mac)).map(str::to_owned);
            let Some(line) = line else { return Ok(false) };
            client.address = line.split(' ').nth(2).context("a lease has an address")?.parse()?;
            // Before it has taken it, it would not hear an order to renew it.
            Ok(client.namespace.ip("-4 addr show eth0")?.contains(&format!(" {}/", client.address)))
        })?;
        Ok(client)
    }
}

impl Client {
    /// Its place on the switch.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Lets it renew its lease now.
    ///
    /// # Errors
    /// It has ended.
    pub fn renew(&self) -> anyhow::Result<()> {
        shell::sh(&["kill", "-s", "USR1", &self.process.id().to_string()]).map(drop)
    }

    /// Lets it give its lease back and end.
    ///
    /// # Errors
    /// It does not end.
    pub fn release(mut self) -> anyhow::Result<()> {
        shell::sh(&["kill", "-s", "TERM", &self.process.id().to_string()])?;
        shell::wait(PATIENCE, "udhcpc ends", || Ok(self.process.try_wait()?.is_some()))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

impl Drop for Dhcp {
    fn drop(&mut self) {
        if std::thread::panicking() {
            crate::postgres::announce(&self.log());
        }
        self.server.kill().ok();
        self.server.wait().ok();
    }
}
