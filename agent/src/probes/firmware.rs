//! Firmware of the machine: versions, boot mode, Secure Boot, TPM.

use super::Context;
use super::dmi::known;
use super::facts::{Facts, Found};

const SECURE_BOOT: &str = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
const SETUP_MODE: &str = "/sys/firmware/efi/efivars/SetupMode-8be4df61-93ca-11d2-aa0d-00e098032b8c";

/// Collects the section.
pub(super) fn probe(context: &Context) -> Found {
    let host = &context.host;
    let mut facts = Facts::new();
    for (fact, file) in [
        ("vendor", "bios_vendor"),
        ("version", "bios_version"),
        ("build_date", "bios_date"),
        ("release", "bios_release"),
        ("ec_release", "ec_firmware_release"),
    ] {
        facts.set(fact, host.word(&format!("/sys/class/dmi/id/{file}")).as_deref().and_then(known));
    }
    let uefi = host.exists("/sys/firmware/efi");
    facts.set("boot_mode", if uefi { "uefi" } else { "bios" });
    // A variable's file begins with four bytes of attributes.
    for (fact, file) in [("secure_boot", SECURE_BOOT), ("setup_mode", SETUP_MODE)] {
        let value = host.bytes(file, 16).map(|bytes| bytes.get(4) == Some(&1));
        if uefi {
            facts.take(fact, value);
        } else {
            facts.set(fact, Option::<bool>::None);
        }
    }
    facts.set("tpm_version", host.word("/sys/class/tpm/tpm0/tpm_version_major"));
    facts.set("tpm_present", host.exists("/sys/class/tpm/tpm0"));
    let words = host.word("/proc/cmdline").unwrap_or_default();
    let bootif = words.split_whitespace().find_map(|word| word.strip_prefix("BOOTIF=")).map(pxe_mac);
    facts.set("pxe_interface", bootif);
    facts.done()
}

/// `01-aa-bb-cc-dd-ee-ff`, as boot loaders write it, or a plain MAC; answered as MAC.
fn pxe_mac(text: &str) -> String {
    let text = text.to_lowercase().replace('-', ":");
    if text.len() == 20 { text[3..].to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    #[test]
    fn boot_interface_forms() {
        assert_eq!(super::pxe_mac("01-AA-bb-cc-dd-ee-ff"), "aa:bb:cc:dd:ee:ff");
        assert_eq!(super::pxe_mac("aa:bb:cc:dd:ee:ff"), "aa:bb:cc:dd:ee:ff");
    }
}
