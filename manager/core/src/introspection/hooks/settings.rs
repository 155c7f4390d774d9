//! The options of the hooks, under their upstream section and option names (spec/introspection.md §4.8).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Hook, by_name};
use crate::introspection::document::net::Network;

/// All options of processing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// General options.
    pub processing: Processing,
    /// Options of the hook `capabilities`.
    pub capabilities: Capabilities,
    /// Options of the hook `pci_devices`.
    pub pci_devices: PciDevices,
    /// Options of the hook `physnet_cidr_map`.
    pub port_physnet: PortPhysnet,
    /// Options of the hook `accelerators`.
    pub accelerators: Accelerators,
    /// Options of the hook `extra_hardware`.
    pub extra_hardware: ExtraHardware,
}

impl Settings {
    pub(super) fn hooks(&self) -> impl Iterator<Item = &'static Hook> {
        self.processing.processing_hooks.iter().filter_map(|name| by_name(&name.0))
    }
}

/// `[processing]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Processing {
    /// Which interfaces become ports.
    pub add_ports: AddPorts,
    /// Which ports stay; on a node in service all do.
    pub keep_ports: KeepPorts,
    /// Whether facts replace properties that are set already.
    pub overwrite_existing: bool,
    /// Whether `pxe_enabled` of existing ports follows the boot interface.
    pub update_pxe_enabled: bool,
    /// Whether one GiB of the root disk is left for partitioning.
    pub disk_partitioning_spacing: bool,
    /// The hooks that run, in this order.
    pub processing_hooks: Vec<HookName>,
}

impl Default for Processing {
    fn default() -> Self {
        let hooks = [
            "ramdisk_error",
            "root_disk_selection",
            "scheduler",
            "validate_interfaces",
            "capabilities",
            "pci_devices",
            "lldp_basic",
            "local_link_connection",
            "physnet_cidr_map",
            "accelerators",
        ];
        Self {
            add_ports: AddPorts::Pxe,
            keep_ports: KeepPorts::All,
            overwrite_existing: true,
            update_pxe_enabled: true,
            disk_partitioning_spacing: true,
            processing_hooks: hooks.into_iter().map(|name| HookName(name.to_owned())).collect(),
        }
    }
}

/// Which interfaces become ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AddPorts {
    /// The boot interface; if it is not known, as `active`.
    Pxe,
    /// Those with an IP address.
    Active,
    /// All.
    All,
    /// None; the document lists those of `active`.
    Disabled,
}

/// Which existing ports stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeepPorts {
    /// All.
    All,
    /// Those whose MAC is on any interface of the document.
    Present,
    /// Those whose MAC is on an interface that was selected for a port.
    Added,
}

/// The name of an existing hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HookName(String);

impl TryFrom<String> for HookName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        if by_name(&name).is_none() {
            let known: Vec<&str> = super::HOOKS.iter().map(|hook| hook.name).collect();
            return Err(format!("there is no processing hook {name}; known are {}", known.join(", ")));
        }
        Ok(Self(name))
    }
}

impl From<HookName> for String {
    fn from(name: HookName) -> Self {
        name.0
    }
}

/// `[capabilities]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Capabilities {
    /// Whether the boot mode becomes a capability.
    pub boot_mode: bool,
    /// CPU flag to capability, whose value becomes `true`.
    pub cpu_flags: Map<String, Value>,
}

impl Default for Capabilities {
    fn default() -> Self {
        let flags = [
            ("vmx", "cpu_vt"),
            ("svm", "cpu_vt"),
            ("aes", "cpu_aes"),
            ("pse", "cpu_hugepages"),
            ("pdpe1gb", "cpu_hugepages_1g"),
            ("smx", "cpu_txt"),
        ];
        let cpu_flags = flags.into_iter().map(|(flag, name)| (flag.to_owned(), Value::from(name))).collect();
        Self { boot_mode: false, cpu_flags }
    }
}

/// `[pci_devices]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PciDevices {
    /// Devices that are counted.
    pub alias: Vec<PciAlias>,
}

/// A PCI device with a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PciAlias {
    /// Four hexadecimal digits.
    pub vendor_id: String,
    /// Four hexadecimal digits.
    pub product_id: String,
    /// The capability that holds the count.
    pub name: String,
}

/// `[port_physnet]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PortPhysnet {
    /// `network:physical network`, the first that contains an address counts.
    pub cidr_map: Vec<CidrMapping>,
}

/// One entry `network:physical network`, for example `2001:db8::/32:storage`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CidrMapping {
    text: String,
    /// The IP network.
    pub network: Network,
}

impl CidrMapping {
    /// The name of the physical network.
    #[must_use]
    pub fn physical_network(&self) -> &str {
        self.text.rsplit_once(':').map_or("", |(_, name)| name)
    }
}

impl TryFrom<String> for CidrMapping {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let network =
            text.rsplit_once(':').filter(|(_, name)| !name.is_empty()).and_then(|(cidr, _)| Network::parse(cidr));
        match network {
            Some(network) => Ok(Self { text, network }),
            None => Err(format!("{text} is not of the form network:physical-network")),
        }
    }
}

impl From<CidrMapping> for String {
    fn from(mapping: CidrMapping) -> Self {
        mapping.text
    }
}

/// `[accelerators]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Accelerators {
    /// The devices that count as accelerators.
    pub known_devices: Vec<Accelerator>,
}

impl Default for Accelerators {
    fn default() -> Self {
        let gpu = |device_id: &str, device_info: &str| Accelerator {
            vendor_id: "10de".to_owned(),
            device_id: device_id.to_owned(),
            kind: "GPU".to_owned(),
            device_info: device_info.to_owned(),
        };
        Self {
            known_devices: vec![gpu("1eb8", "NVIDIA Corporation Tesla T4"), gpu("1df6", "NVIDIA Corporation GV100GL")],
        }
    }
}

/// A device that counts as an accelerator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accelerator {
    /// Four hexadecimal digits.
    pub vendor_id: String,
    /// Four hexadecimal digits.
    pub device_id: String,
    /// `GPU`, `FPGA`, ...
    #[serde(rename = "type")]
    pub kind: String,
    /// For people.
    pub device_info: String,
}

/// `[extra_hardware]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExtraHardware {
    /// Whether an item that has not four parts spoils all of them.
    pub strict: bool,
}
