//! The SMBIOS tables, parsed from the kernel's copy. Offsets are those of the SMBIOS reference, from the structure's start.

use super::host::HostRoot;

/// Where the kernel keeps the tables.
const TABLE: &str = "/sys/firmware/dmi/tables/DMI";
/// More than any firmware needs; what follows is ignored.
const TABLE_LIMIT: u64 = 1 << 20;
const STRUCTURES_MAX: usize = 4096;
const END_OF_TABLE: u8 = 127;

/// All structures of a host.
#[derive(Clone, Debug, Default)]
pub struct Tables(Vec<Structure>);

/// One structure.
#[derive(Clone, Debug)]
pub struct Structure {
    /// What it describes: 1 system, 4 processor, 17 memory device, …
    pub kind: u8,
    /// Its number, by which others refer to it.
    pub handle: u16,
    data: Vec<u8>,
    strings: Vec<String>,
}

impl Tables {
    /// Reads the tables of a host.
    ///
    /// # Errors
    /// "Not found" without firmware tables, "permission denied" for other users than root.
    pub fn read(host: &HostRoot) -> std::io::Result<Self> {
        Ok(Self::parse(&host.bytes(TABLE, TABLE_LIMIT)?))
    }

    /// Parses tables. Damaged ones yield what comes before the damage.
    #[must_use]
    pub fn parse(mut bytes: &[u8]) -> Self {
        let mut found = Vec::new();
        while found.len() < STRUCTURES_MAX {
            let Some((structure, rest)) = Structure::parse(bytes) else { break };
            bytes = rest;
            let last = structure.kind == END_OF_TABLE;
            found.push(structure);
            if last {
                break;
            }
        }
        Self(found)
    }

    /// All structures of a kind, in order.
    pub fn of(&self, kind: u8) -> impl Iterator<Item = &Structure> {
        self.0.iter().filter(move |structure| structure.kind == kind)
    }

    /// The structure with a handle.
    #[must_use]
    pub fn by_handle(&self, handle: u16) -> Option<&Structure> {
        self.0.iter().find(|structure| structure.handle == handle)
    }
}

impl Structure {
    fn parse(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let len = usize::from(*bytes.get(1)?);
        if len < 4 {
            return None;
        }
        let data = bytes.get(..len)?;
        let handle = u16::from_le_bytes([data[2], data[3]]);
        let mut rest = &bytes[len..];
        let mut strings = Vec::new();
        // The string set ends with an empty string; without any string there are two zero bytes.
        if rest.starts_with(&[0]) {
            rest = rest.get(2..).unwrap_or_default();
        } else {
            while let Some(end) = rest.iter().position(|b| *b == 0) {
                if end == 0 {
                    break;
                }
                strings.push(String::from_utf8_lossy(&rest[..end]).trim().to_owned());
                rest = &rest[end + 1..];
            }
            rest = rest.get(1..).unwrap_or_default();
        }
        Some((Self { kind: data[0], handle, data: data.to_vec(), strings }, rest))
    }

    /// The byte at an offset; `None` if this version of the structure is shorter.
    #[must_use]
    pub fn byte(&self, at: usize) -> Option<u8> {
        self.data.get(at).copied()
    }

    /// The 16-bit word at an offset.
    #[must_use]
    pub fn word(&self, at: usize) -> Option<u16> {
        self.data.get(at..at + 2).map(|b| u16::from_le_bytes([b[0], b[1]]))
    }

    /// The 32-bit word at an offset.
    #[must_use]
    pub fn dword(&self, at: usize) -> Option<u32> {
        self.data.get(at..at + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
    }

    /// Bytes from an offset on.
    #[must_use]
    pub fn bytes(&self, at: usize, len: usize) -> Option<&[u8]> {
        self.data.get(at..at + len)
    }

    /// The string whose number stands at an offset, unless it is a placeholder of the manufacturer.
    #[must_use]
    pub fn text(&self, at: usize) -> Option<String> {
        let number = usize::from(self.byte(at)?);
        known(self.strings.get(number.checked_sub(1)?)?)
    }
}

/// Values that firmware ships where nobody filled in a real one (spec/introspection.md §4.2).
const PLACEHOLDERS: &[&str] = &[
    "",
    "not specified",
    "not available",
    "not provided",
    "to be filled by o.e.m.",
    "to be filled by o.e.m",
    "default string",
    "system serial number",
    "system product name",
    "system manufacturer",
    "system version",
    "chassis serial number",
    "base board serial number",
    "0123456789",
    "none",
    "n/a",
    "unknown",
    "no dimm",
    "no module installed",
    "sku",
    "asset tag",
];

/// The text, unless it means that nobody knows.
#[must_use]
pub(crate) fn known(text: &str) -> Option<String> {
    let text = text.trim();
    let lower = text.to_lowercase();
    (!PLACEHOLDERS.contains(&lower.as_str())).then(|| text.to_owned())
}

/// A system UUID in lower-case hyphenated form, unless it is all zeros or all ones.
#[must_use]
pub(crate) fn known_uuid(text: &str) -> Option<String> {
    let uuid = hostler_common::id::uuid_like(text.trim())?.to_string();
    let digits: Vec<char> = uuid.chars().filter(|c| *c != '-').collect();
    let uniform = digits.iter().all(|c| *c == '0') || digits.iter().all(|c| *c == 'f');
    (!uniform).then_some(uuid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn structure(kind: u8, body: &[u8], strings: &[&str]) -> Vec<u8> {
        let mut bytes = vec![kind, body.len() as u8 + 4, 7, 0];
        bytes.extend(body);
        for text in strings {
            bytes.extend(text.bytes());
            bytes.push(0);
        }
        bytes.extend(if strings.is_empty() { &[0, 0][..] } else { &[0] });
        bytes
    }

    #[test]
    fn strings_and_numbers_are_found() {
        let mut bytes = structure(1, &[1, 2, 3], &["Acme", "Default string"]);
        bytes.extend(structure(4, &[0x34, 0x12], &[]));
        bytes.extend(structure(127, &[], &[]));
        bytes.extend(structure(1, &[], &[]));
        let tables = Tables::parse(&bytes);
        let system = tables.of(1).next().unwrap();
        assert_eq!(system.text(4).as_deref(), Some("Acme"));
        assert_eq!(system.text(5), None, "a placeholder");
        assert_eq!(system.text(6), None, "a string that does not exist");
        assert_eq!(tables.of(4).next().unwrap().word(4), Some(0x1234));
        assert_eq!(tables.of(1).count(), 1, "nothing is read after the end");
    }

    #[test]
    fn useless_uuids() {
        assert_eq!(known_uuid("00000000-0000-0000-0000-000000000000"), None);
        assert_eq!(known_uuid("FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF"), None);
        let good = "4C4C4544-0042-3110-8048-C7C04F4D5932";
        assert_eq!(known_uuid(good), Some(good.to_lowercase()));
    }

    proptest! {
        #[test]
        fn arbitrary_tables_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            for structure in Tables::parse(&bytes).0 {
                for at in [4, 60, 255] {
                    let _ = (structure.text(at), structure.dword(at), structure.word(at), structure.bytes(at, 16));
                }
            }
        }
    }
}
