//! What the dialect shows of a host's last document.

use serde_json::Value;

/// A Ceph daemon of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Daemon {
    /// `mon`, `mgr`, `osd`, `mds`, `rgw` and others.
    pub(super) kind: String,
    /// Its id among those of its kind.
    pub(super) id: String,
    /// Whether it answered on its socket when the facts were read.
    pub(super) running: Option<bool>,
    /// `package` or `container`.
    pub(super) style: Option<String>,
    /// Its cluster.
    pub(super) fsid: Option<String>,
}

/// Some facts of a host. What no document says is absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Facts {
    pub(super) macs: Vec<String>,
    pub(super) ips: Vec<String>,
    pub(super) os: Option<String>,
    pub(super) os_version: Option<String>,
    pub(super) machine_id: Option<String>,
    pub(super) ports: Vec<u64>,
    pub(super) memory: Option<u64>,
    pub(super) memory_available: Option<u64>,
    pub(super) boot_time: Option<i64>,
    pub(super) clock_offset_us: Option<i64>,
    pub(super) booted_from_network: bool,
    pub(super) cpu_model: Option<String>,
    pub(super) cpu_architecture: Option<String>,
    pub(super) cpu_count: Option<u64>,
    pub(super) sockets: Option<u64>,
    pub(super) cpu_mhz: Option<f64>,
    pub(super) board: Option<String>,
    pub(super) board_serial: Option<String>,
    pub(super) bmc_ip: Option<String>,
    pub(super) bmc_mac: Option<String>,
    pub(super) daemons: Vec<Daemon>,
}

impl Facts {
    /// Reads a processed document.
    ///
    /// # Errors
    /// It is no JSON.
    pub(super) fn read(text: &str) -> Result<Self, serde_json::Error> {
        let document: Value = serde_json::from_str(text)?;
        let text = |path: &str| document.pointer(path).and_then(Value::as_str).map(str::to_owned);
        let number = |path: &str| document.pointer(path).and_then(Value::as_u64);
        let list = |path: &str| document.pointer(path).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let interfaces = list("/inventory/interfaces");
        let mut ips = Vec::new();
        for field in ["ipv4_address", "ipv6_address"] {
            let named = interfaces.iter().filter_map(|interface| interface[field].as_str());
            ips.extend(named.filter(|ip| !ip.starts_with("fe80:")).map(str::to_owned));
        }
        let mut ports: Vec<u64> =
            list("/fleet/net/listeners").iter().filter_map(|listener| listener["port"].as_u64()).collect();
        ports.sort_unstable();
        ports.dedup();
        let daemon = |daemon: &Value| Daemon {
            kind: daemon["type"].as_str().unwrap_or_default().to_owned(),
            id: daemon["id"].as_str().unwrap_or_default().to_owned(),
            running: daemon["socket"].as_bool(),
            style: daemon["style"].as_str().map(str::to_owned),
            fsid: daemon["cluster_fsid"].as_str().map(str::to_owned),
        };
        Ok(Self {
            macs: distinct(interfaces.iter().filter_map(|interface| interface["mac_address"].as_str())),
            ips: distinct(ips.iter().map(String::as_str)),
            os: text("/fleet/os/release/pretty_name"),
            os_version: text("/fleet/os/release/version_id"),
            machine_id: text("/fleet/system/machine_id"),
            ports,
            memory: number("/inventory/memory/total"),
            memory_available: number("/fleet/memory/available"),
            boot_time: document.pointer("/fleet/os/boot_time").and_then(Value::as_i64),
            clock_offset_us: document.pointer("/fleet/time/offset_us").and_then(Value::as_i64),
            booted_from_network: text("/inventory/boot/pxe_interface").is_some(),
            cpu_model: text("/inventory/cpu/model_name"),
            cpu_architecture: text("/inventory/cpu/architecture"),
            cpu_count: number("/inventory/cpu/count"),
            sockets: number("/inventory/cpu/socket_count"),
            cpu_mhz: text("/inventory/cpu/frequency").and_then(|mhz| mhz.parse().ok()),
            board: text("/fleet/system/board_name"),
            board_serial: text("/fleet/system/board_serial"),
            bmc_ip: text("/inventory/bmc_address").filter(|ip| ip != "0.0.0.0"),
            bmc_mac: text("/inventory/bmc_mac"),
            daemons: list("/fleet/ceph/daemons").iter().map(daemon).collect(),
        })
    }
}

fn distinct<'t>(texts: impl Iterator<Item = &'t str>) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    for text in texts {
        if !seen.iter().any(|known| known == text) {
            seen.push(text.to_owned());
        }
    }
    seen
}
