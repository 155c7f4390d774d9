//! Introspection probes: everything an agent can say about its host (spec/introspection.md §4, §6).
//!
//! A probe only looks. It starts no process (but for `lldpctl`, see `lldpd`), opens no device for writing, loads no module, changes no interface and wakes no
//! disk (§6.2). Each section is gathered on a thread of its own with a deadline; a missing tool, permission or device costs
//! one fact and names its reason, never the whole inventory (§6.4).
//!
//! Adding a section is one file in this folder and one row in [`PROBES`].

mod agent;
mod blkid;
mod block;
mod bluestore;
mod bmc;
mod canonical;
mod ceph;
mod ceph_verdict;
mod chrony;
mod command;
mod cpu;
mod dbus;
mod dmi;
mod facts;
mod firmware;
mod health;
mod host;
mod inventory;
mod kvm;
mod live;
mod lldp;
mod lldpd;
mod lvm;
mod memory;
mod mounts;
mod net;
mod net_links;
mod numa;
mod os;
mod ovs;
mod packages;
mod pci;
pub(crate) mod pending;
mod rpm;
mod run;
mod smart;
mod sqlite;
mod storage;
mod sysctl;
mod system;
mod time;
mod udev;
mod usb;

pub(crate) use time::offset_us;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use hostler_common::inventory::{Section, SectionStatus};
use hostler_common::time::{Clock as _, SystemClock};
use serde_json::{Map, Value, json};

pub use ceph_verdict::{Candidate, Verdict, verdict};
pub use dmi::{Structure, Tables};
pub use facts::{Facts, Found};
pub use host::HostRoot;
pub use live::{Address, Bmc, Identity, Kernel, Link, Live, Recorded, Route, Space};

/// How long one source or device may take (spec/introspection.md §6.2).
pub const DEADLINE: Duration = Duration::from_secs(2);
/// How long all devices of one section may take together.
const DEVICES_DEADLINE: Duration = Duration::from_secs(3);
/// How long a section that asks many devices may take.
const WIDE: Duration = Duration::from_secs(4);
/// The management controller is asked once a second, about thirty times (§6.5).
const SLOW: Duration = Duration::from_secs(45);

/// How long facts of a class count as fresh, in seconds (§6.4).
mod ttl {
    pub(super) const STATIC: u64 = 24 * 3600;
    pub(super) const TOPOLOGY: u64 = 600;
    pub(super) const HEALTH: u64 = 900;
    pub(super) const SOFTWARE: u64 = 6 * 3600;
}

/// What is asked of a probe run.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Sections to collect; `None` for all. Unknown names are reported as unavailable.
    pub sections: Option<Vec<String>>,
    /// The agent's state folder: the LLDP neighbours, the certificate and the cached answers of the management controller.
    pub state_dir: Option<PathBuf>,
    /// Whether large lists (packages) are included under `fleet.blobs`.
    pub blobs: bool,
}

/// What a probe gets.
#[derive(Clone, Debug)]
pub struct Context {
    /// The host.
    pub host: HostRoot,
    /// What was asked.
    pub request: Request,
}

/// One section of the inventory.
#[derive(Debug)]
pub struct Probe {
    /// Its name: the key under `fleet` and under `fleet.sections`.
    pub name: &'static str,
    /// How long its facts count as fresh, in seconds.
    pub ttl_s: u64,
    /// How long it may take.
    pub deadline: Duration,
    /// What it reads, for people.
    pub source: &'static str,
    /// Gathers the facts.
    pub run: fn(&Context) -> Found,
}

macro_rules! probes {
    ($($name:literal, $ttl:expr, $deadline:expr, $run:path, $source:literal;)*) => {
        &[$(Probe { name: $name, ttl_s: $ttl, deadline: $deadline, source: $source, run: $run }),*]
    };
}

/// All sections.
pub const PROBES: &[Probe] = probes! {
    "system", ttl::STATIC, DEADLINE, system::probe, "/sys/class/dmi/id, SMBIOS tables, device tree";
    "firmware", ttl::STATIC, DEADLINE, firmware::probe, "/sys/class/dmi/id, /sys/firmware/efi, /sys/class/tpm";
    "cpu", ttl::STATIC, DEADLINE, cpu::probe, "/proc/cpuinfo, /sys/devices/system/cpu";
    "memory", ttl::STATIC, DEADLINE, memory::probe, "/proc/meminfo, SMBIOS types 16 and 17, /sys/kernel/mm";
    "numa", ttl::STATIC, DEADLINE, numa::probe, "/sys/devices/system/node";
    "pci", ttl::STATIC, WIDE, pci::probe, "/sys/bus/pci/devices";
    "usb", ttl::TOPOLOGY, DEADLINE, usb::probe, "/sys/bus/usb/devices";
    "net", ttl::TOPOLOGY, WIDE, net::probe, "rtnetlink, ethtool, /sys/class/net, /proc/net, resolv.conf";
    "lldp", ttl::TOPOLOGY, DEADLINE, lldp::probe, "the agent's LLDP listener, systemd-networkd, lldpd";
    "storage", ttl::TOPOLOGY, WIDE, storage::probe, "/sys/block, udev database, superblocks, mountinfo, LVM metadata";
    "ceph", ttl::TOPOLOGY, WIDE, ceph::probe, "superblocks, LVM metadata, BlueStore labels, /var/lib/ceph";
    "kvm", ttl::SOFTWARE, DEADLINE, kvm::probe, "/dev/kvm, /sys/module, /sys/class/iommu, /run/libvirt";
    "os", ttl::SOFTWARE, DEADLINE, os::probe, "/etc/os-release, /proc, /boot, systemd's D-Bus";
    "packages", ttl::SOFTWARE, DEADLINE, packages::probe, "/var/lib/dpkg/status, rpm database, lists of apt";
    "time", ttl::HEALTH, DEADLINE, time::probe, "adjtimex, chrony, /run";
    "health", ttl::HEALTH, WIDE, health::probe, "hwmon, EDAC, SMART and NVMe log pages";
    "bmc", ttl::SOFTWARE, SLOW, bmc::probe, "/dev/ipmi0";
    "agent", ttl::HEALTH, DEADLINE, agent::probe, "the agent itself";
};

/// Names of all sections, for what an agent announces.
#[must_use]
pub fn names() -> Vec<&'static str> {
    PROBES.iter().map(|probe| probe.name).collect()
}

/// Gathers the unprocessed document of spec/introspection.md §4.1, with everything of ours under `fleet` (§6.6).
///
/// `error` is null unless the mandatory minimum is missing from sections that were asked for: one interface with a MAC,
/// the number of processors, the size of memory. The call returns when the last section answered or ran out of time.
#[must_use]
pub fn collect(host: &HostRoot, request: &Request) -> Value {
    let context = Context { host: host.clone(), request: request.clone() };
    let wanted = |name: &str| request.sections.as_ref().is_none_or(|list| list.iter().any(|asked| asked == name));
    let chosen: Vec<&'static Probe> = PROBES.iter().filter(|probe| wanted(probe.name)).collect();
    let mut results = run_all(&context, &chosen);
    let mut sections = Map::new();
    let mut fleet = Map::new();
    let mut blobs = Map::new();
    for probe in &chosen {
        let Some((section, mut facts)) = results.remove(probe.name) else { continue };
        if let Some(Value::Object(found)) = facts.as_object_mut().and_then(|facts| facts.remove("blobs"))
            && request.blobs
        {
            blobs.extend(found);
        }
        sections.insert(probe.name.to_owned(), json!(section));
        fleet.insert(probe.name.to_owned(), facts);
    }
    for name in request.sections.iter().flatten().filter(|name| PROBES.iter().all(|probe| probe.name != **name)) {
        sections.insert(name.clone(), json!(unknown_section()));
    }
    document(&fleet, sections, blobs, request.sections.is_none())
}

fn document(fleet: &Map<String, Value>, sections: Map<String, Value>, blobs: Map<String, Value>, whole: bool) -> Value {
    let inventory = inventory::build(fleet);
    let error = inventory::shortfall(&inventory, fleet);
    let get = |section: &str, key: &str| fleet.get(section).and_then(|facts| facts.get(key)).cloned();
    let mut document = Map::new();
    let boot_interface = inventory["boot"]["pxe_interface"].clone();
    let root_disk = inventory::root_disk(&inventory, fleet);
    document.insert("inventory".into(), inventory);
    document.extend(root_disk.map(|disk| ("root_disk".to_owned(), disk)));
    document.insert("boot_interface".into(), boot_interface);
    document.insert(
        "configuration".into(),
        json!({"collectors": sections.keys().collect::<Vec<_>>(),
               "managers": [{"name": "hostler_agent", "version": env!("CARGO_PKG_VERSION")}]}),
    );
    document.insert("error".into(), json!(error));
    for (key, section, fact) in [
        ("pci_devices", "pci", "compatible"),
        ("numa_topology", "numa", "compatible"),
        ("lldp_raw", "lldp", "raw"),
        ("usb_devices", "usb", "compatible"),
    ] {
        document.extend(get(section, fact).map(|value| (key.to_owned(), value)));
    }
    let mut own = Map::new();
    own.insert("schema".into(), json!(1));
    own.insert("complete".into(), json!(whole));
    own.insert("sections".into(), Value::Object(sections));
    for (name, facts) in fleet {
        let mut facts = facts.clone();
        // The forms of the upstream agent live at the top level only.
        if let Some(facts) = facts.as_object_mut() {
            facts.remove("compatible");
        }
        own.insert(name.clone(), facts);
    }
    if !blobs.is_empty() {
        own.insert("blobs".into(), Value::Object(blobs));
    }
    document.insert("fleet".into(), Value::Object(own));
    Value::Object(document)
}

type Results = BTreeMap<&'static str, (Section, Value)>;

/// Runs probes side by side, each until its own deadline.
fn run_all(context: &Context, probes: &[&'static Probe]) -> Results {
    let began = Instant::now();
    let collected_at = SystemClock.now().rfc3339();
    let (sender, inbox) = mpsc::channel();
    let mut results = Results::new();
    let mut open: Vec<&'static Probe> = Vec::new();
    for probe in probes {
        let (context, sender, probe) = (context.clone(), sender.clone(), *probe);
        let started = run::start(probe.name, move || {
            let own = Instant::now();
            let found = (probe.run)(&context);
            // The receiver is gone when the deadline has passed; nobody wants the answer then.
            let _ = sender.send((probe, found, own.elapsed()));
        });
        if started {
            open.push(probe);
        } else {
            let found = Facts::unavailable("no thread could be started");
            results.insert(probe.name, finish(probe, found, Duration::ZERO, &collected_at));
        }
    }
    drop(sender);
    while let Some(next) = open.iter().map(|probe| probe.deadline).min() {
        match inbox.recv_timeout(next.saturating_sub(began.elapsed())) {
            Ok((probe, found, took)) => {
                open.retain(|other| other.name != probe.name);
                results.insert(probe.name, finish(probe, found, took, &collected_at));
            }
            Err(error) => {
                // Disconnected means that the threads that are left have panicked.
                let crashed = error == mpsc::RecvTimeoutError::Disconnected;
                let now = began.elapsed();
                for probe in open.iter().filter(|probe| crashed || probe.deadline <= now) {
                    results.insert(probe.name, lost(probe, crashed, now, &collected_at));
                }
                open.retain(|probe| !crashed && probe.deadline > now);
            }
        }
    }
    results
}

fn finish(probe: &Probe, found: Found, took: Duration, collected_at: &str) -> (Section, Value) {
    let status = match (&found.unavailable, found.problems.is_empty()) {
        (Some(_), _) => SectionStatus::Unavailable,
        (None, true) => SectionStatus::Ok,
        (None, false) => SectionStatus::Partial,
    };
    let reason = found.unavailable.or_else(|| (!found.problems.is_empty()).then(|| found.problems.join("; ")));
    (section(probe, status, reason, took, collected_at, &found.facts), found.facts)
}

fn lost(probe: &Probe, crashed: bool, took: Duration, collected_at: &str) -> (Section, Value) {
    let (status, reason) = if crashed {
        (SectionStatus::Error, "the probe failed".to_owned())
    } else {
        (SectionStatus::Timeout, format!("no answer within {} s", probe.deadline.as_secs()))
    };
    (section(probe, status, Some(reason), took, collected_at, &Value::Null), json!({}))
}

fn section(
    probe: &Probe,
    status: SectionStatus,
    reason: Option<String>,
    took: Duration,
    collected_at: &str,
    facts: &Value,
) -> Section {
    Section {
        status,
        reason,
        collected_at: collected_at.to_owned(),
        duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        source: probe.source.to_owned(),
        ttl_s: probe.ttl_s,
        hash: canonical::hash(facts),
    }
}

fn unknown_section() -> Section {
    Section {
        status: SectionStatus::Unavailable,
        reason: Some("this agent has no such section".to_owned()),
        collected_at: SystemClock.now().rfc3339(),
        duration_ms: 0,
        source: String::new(),
        ttl_s: 0,
        hash: canonical::hash(&Value::Null),
    }
}

/// What the hidden subcommand `probe` takes.
#[derive(Debug, Default, clap::Args)]
pub struct Arguments {
    /// Sections to collect, separated by commas; all if not given
    #[arg(long, value_delimiter = ',')]
    pub sections: Option<Vec<String>>,
    /// Folder that stands for the root of the host
    #[arg(long, default_value = "/")]
    pub root: PathBuf,
    /// The agent's state folder
    #[arg(long)]
    pub state_dir: Option<PathBuf>,
    /// Include large lists such as packages
    #[arg(long)]
    pub blobs: bool,
}

/// Runs a probe and writes its document as one line of JSON.
///
/// # Errors
/// The output cannot be written; the `live.json` of a recorded root is broken.
pub fn run_cli(arguments: Arguments, output: &mut dyn Write) -> io::Result<()> {
    let host = match arguments.root.to_str() {
        None | Some("" | "/") => HostRoot::machine(),
        Some(_) => HostRoot::recorded(&arguments.root)?,
    };
    let request = Request { sections: arguments.sections, state_dir: arguments.state_dir, blobs: arguments.blobs };
    serde_json::to_writer(&mut *output, &collect(&host, &request))?;
    output.write_all(b"\n")?;
    output.flush()
}
