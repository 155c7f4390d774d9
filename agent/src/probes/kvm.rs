//! Virtualization: what KVM can do here, and how much libvirt runs.

use serde_json::{Value, json};

use super::facts::{Facts, Found};
use super::host::HostRoot;
use super::{Context, packages};

/// The only version of the interface that ever was in use.
const API_VERSION: i32 = 12;

/// Collects the section.
pub(super) fn probe(context: &Context) -> Found {
    let host = &context.host;
    let mut facts = Facts::new();
    let kvm = host.live().kvm();
    facts.set("usable", kvm.as_ref().is_ok_and(|kvm| kvm.api_version == API_VERSION));
    facts.take("api", kvm);
    let parameter = |module: &str, name: &str| host.flag(&format!("/sys/module/{module}/parameters/{name}"));
    facts.set("nested", ["kvm_intel", "kvm_amd", "kvm"].iter().find_map(|module| parameter(module, "nested")));
    facts.set("sev", parameter("kvm_amd", "sev"));
    facts.set("sev_es", parameter("kvm_amd", "sev_es"));
    facts.set("sev_snp", parameter("kvm_amd", "sev_snp"));
    facts.set("tdx", parameter("kvm_intel", "tdx"));
    let iommus = host.list("/sys/class/iommu");
    facts.set(
        "iommu",
        json!({"on": !iommus.is_empty(), "units": iommus, "groups": host.list("/sys/kernel/iommu_groups").len()}),
    );
    facts.set("libvirt", libvirt(host));
    facts.done()
}

/// libvirt keeps one status document per running domain; only the sums leave the host.
fn libvirt(host: &HostRoot) -> Value {
    const RUN: &str = "/run/libvirt/qemu";
    let (mut domains, mut vcpus, mut memory_kb) = (0_u64, 0_u64, 0_u64);
    for file in host.list(RUN).into_iter().filter(|file| file.ends_with(".xml")) {
        let Ok(text) = host.text(&format!("{RUN}/{file}")) else { continue };
        if !text.contains("<domstatus") {
            continue;
        }
        domains += 1;
        vcpus += element(&text, "vcpu").unwrap_or(0);
        memory_kb += element(&text, "memory").unwrap_or(0);
    }
    let versions =
        packages::versions(host, &["libvirt-daemon", "libvirt0", "qemu-system-x86", "qemu-system-arm", "qemu-kvm"]);
    let sockets: Vec<&str> = ["libvirt-sock-ro", "virtqemud-sock-ro"]
        .into_iter()
        .filter(|socket| host.exists(&format!("/run/libvirt/{socket}")))
        .collect();
    json!({"sockets": sockets, "versions": versions,
           "usage": {"running_domains": domains, "vcpus": vcpus, "memory_kb": memory_kb}})
}

/// The number in the first element of a name.
fn element(text: &str, name: &str) -> Option<u64> {
    let (_, rest) = text.split_once(&format!("<{name} ")).or_else(|| text.split_once(&format!("<{name}>")))?;
    let value = if rest.starts_with(|c: char| c.is_ascii_digit()) { rest } else { rest.split_once('>')?.1 };
    value.split('<').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_out_of_a_status_document() {
        let text =
            "<domstatus state='running'><domain><memory unit='KiB'>2097152</memory><vcpu>4</vcpu></domain></domstatus>";
        assert_eq!(super::element(text, "memory"), Some(2_097_152));
        assert_eq!(super::element(text, "vcpu"), Some(4));
        assert_eq!(super::element(text, "none"), None);
    }
}
