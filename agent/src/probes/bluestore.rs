//! The label at the start of a BlueStore device.

use std::collections::BTreeMap;

use serde::Serialize;

/// What every BlueStore device begins with.
pub(super) const MAGIC: &[u8] = b"bluestore block device";
/// The text before the encoded label: magic, newline, UUID, newline.
const PREAMBLE: usize = 22 + 1 + 36 + 1;
const META_MAX: u32 = 64;
/// The keys that are reported. Others are not, above all `osd_key`, which is a secret.
const PUBLIC: &[&str] =
    &["ceph_fsid", "whoami", "kv_backend", "ready", "require_osd_release", "type", "ceph_version_when_created"];

/// A decoded label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Label {
    /// UUID of the OSD.
    pub osd_uuid: String,
    /// Bytes that BlueStore uses.
    pub size: u64,
    /// `main`, `bluefs db` or `bluefs wal`.
    pub description: String,
    /// Public properties; `whoami` is the number of the OSD.
    pub meta: BTreeMap<String, String>,
}

/// Decodes a label from the first 4 KiB of a device; `None` if there is none or it is damaged.
pub(super) fn decode(head: &[u8]) -> Option<Label> {
    if !head.starts_with(MAGIC) {
        return None;
    }
    let mut rest = Reader(head.get(PREAMBLE..)?);
    // Version, oldest compatible version, length of the rest.
    rest.take(6)?;
    let uuid = hex::encode(rest.take(16)?);
    let osd_uuid = hostler_common::id::uuid_like(&uuid)?.to_string();
    let size = u64::from_le_bytes(rest.take(8)?.try_into().ok()?);
    rest.take(8)?;
    let description = rest.string()?;
    let mut meta = BTreeMap::new();
    for _ in 0..rest.number().unwrap_or(0).min(META_MAX) {
        let (Some(key), Some(value)) = (rest.string(), rest.string()) else { break };
        if PUBLIC.contains(&key.as_str()) {
            meta.insert(key, value);
        }
    }
    Some(Label { osd_uuid, size, description, meta })
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn string(&mut self) -> Option<String> {
        let len = self.number()? as usize;
        Some(String::from_utf8_lossy(self.take(len)?).into_owned())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Builds the first block of an OSD device.
    pub(in crate::probes) fn image(meta: &[(&str, &str)]) -> Vec<u8> {
        let mut bytes = b"bluestore block device\n6f1d2c3a-0b4e-4a5f-8c6d-7e8f90a1b2c3\n".to_vec();
        bytes.extend([2, 1, 0, 0, 0, 0]);
        bytes.extend([0x6f; 16]);
        bytes.extend(4096_u64.to_le_bytes());
        bytes.extend([0; 8]);
        let string = |bytes: &mut Vec<u8>, text: &str| {
            bytes.extend((text.len() as u32).to_le_bytes());
            bytes.extend(text.bytes());
        };
        string(&mut bytes, "main");
        bytes.extend((meta.len() as u32).to_le_bytes());
        for (key, value) in meta {
            string(&mut bytes, key);
            string(&mut bytes, value);
        }
        bytes.resize(4096, 0);
        bytes
    }

    #[test]
    fn secrets_stay_on_the_disk() {
        let label = decode(&image(&[("whoami", "7"), ("osd_key", "AQsecret"), ("ceph_fsid", "f")])).unwrap();
        assert_eq!(label.description, "main");
        assert_eq!(label.meta.get("whoami").map(String::as_str), Some("7"));
        assert!(!label.meta.contains_key("osd_key"));
    }

    proptest! {
        #[test]
        fn arbitrary_labels_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut label = MAGIC.to_vec();
            label.extend([0; 38]);
            label.extend(bytes);
            let _ = decode(&label);
        }
    }
}
