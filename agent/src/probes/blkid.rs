//! What is written on a device: partition tables, filesystems and the marks of volume managers, by their signatures.

use std::io;

use super::host::HostRoot;

/// Enough for the btrfs superblock, which lies furthest from the start (64 KiB + 4 KiB).
const HEAD: usize = 68 << 10;
const ZFS_UBERBLOCKS: u64 = 128 << 10;
const ZFS_MAGIC: u64 = 0x00BA_B10C;
const MD_MAGIC: u32 = 0xA92B_4EFC;

/// The signatures that were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Signatures {
    /// `gpt` or `dos`.
    pub table: Option<&'static str>,
    /// Filesystem or member type, named as `blkid` names it.
    pub kind: Option<&'static str>,
    /// Label of the filesystem.
    pub label: Option<String>,
    /// UUID of the filesystem.
    pub uuid: Option<String>,
    /// A BlueStore label.
    pub bluestore: bool,
}

/// Looks at a device. The caller has made sure that it is awake.
///
/// # Errors
/// Those of opening and reading.
pub(super) fn identify(host: &HostRoot, path: &str, size: u64) -> io::Result<Signatures> {
    let head = host.bytes_at(path, 0, HEAD)?;
    let mut found = head_signatures(&head);
    if found.kind.is_none() && size >= 1 << 20 {
        found.kind = tail_signature(host, path, size)?;
    }
    Ok(found)
}

/// The signatures in the first 68 KiB.
pub(super) fn head_signatures(head: &[u8]) -> Signatures {
    let at = |offset: usize, mark: &[u8]| head.get(offset..offset + mark.len()) == Some(mark);
    let mut found = Signatures { bluestore: at(0, super::bluestore::MAGIC), ..Signatures::default() };
    // A GPT's header lies in the second block, whose size is 512 or 4096.
    if at(512, b"EFI PART") || at(4096, b"EFI PART") {
        found.table = Some("gpt");
    }
    let luks = |offset| at(offset, b"LUKS\xba\xbe") || at(offset, b"SKUL\xba\xbe");
    let (kind, label, uuid) = if luks(0) {
        ("crypto_LUKS", None, text(head, 168, 40))
    } else if (0..4).any(|sector| at(sector * 512, b"LABELONE")) {
        ("LVM2_member", None, text(head, 544, 32).map(|uuid| super::lvm::dashed(&uuid)))
    } else if at(0, b"XFSB") {
        ("xfs", text(head, 108, 12), uuid(head, 32))
    } else if at(1080, &[0x53, 0xEF]) {
        (ext_version(head), text(head, 1144, 16), uuid(head, 1128))
    } else if at(0x10040, b"_BHRfS_M") {
        ("btrfs", text(head, 0x1012B, 256), uuid(head, 0x10020))
    } else if [4086, 8182, 16374, 65526].iter().any(|end| at(*end, b"SWAPSPACE2")) {
        ("swap", text(head, 1052, 16), uuid(head, 1036))
    } else if le32(head, 4096) == Some(MD_MAGIC) || le32(head, 0) == Some(MD_MAGIC) {
        ("linux_raid_member", None, None)
    } else if at(4096 + 24, &BCACHE) {
        ("bcache", None, uuid(head, 4096 + 40))
    } else if at(1024, &[0xE2, 0xE1, 0xF5, 0xE0]) {
        ("erofs", None, None)
    } else if at(0, b"hsqs") {
        ("squashfs", None, None)
    } else if at(1024, &[0x10, 0x20, 0xF5, 0xF2]) {
        ("f2fs", None, uuid(head, 1024 + 108))
    } else if at(32769, b"CD001") {
        ("iso9660", text(head, 32808, 32), None)
    } else if at(3, b"NTFS    ") {
        ("ntfs", None, None)
    } else if at(54, b"FAT1") || at(82, b"FAT32   ") {
        ("vfat", text(head, if at(82, b"FAT32   ") { 71 } else { 43 }, 11), None)
    } else if found.bluestore {
        ("ceph_bluestore", None, None)
    } else {
        found.table = found.table.or_else(|| dos_table(head));
        return found;
    };
    (found.kind, found.label, found.uuid) = (Some(kind), label, uuid);
    found
}

const BCACHE: [u8; 16] =
    [0xc6, 0x85, 0x73, 0xf6, 0x4e, 0x1a, 0x45, 0xca, 0x82, 0x65, 0xf5, 0x7f, 0x48, 0xba, 0x6d, 0x81];

/// Signatures that lie deep inside or at the end of a device.
fn tail_signature(host: &HostRoot, path: &str, size: u64) -> io::Result<Option<&'static str>> {
    let uberblocks = host.bytes_at(path, ZFS_UBERBLOCKS, 4096)?;
    let zfs = uberblocks.chunks_exact(1024).any(|block| {
        let magic =
            u64::from_le_bytes([block[0], block[1], block[2], block[3], block[4], block[5], block[6], block[7]]);
        magic == ZFS_MAGIC || magic.swap_bytes() == ZFS_MAGIC
    });
    if zfs {
        return Ok(Some("zfs_member"));
    }
    // Version 1.0 arrays keep their superblock 8 KiB before the end, 0.90 ones in the last aligned 64 KiB.
    let v1 = (size - 8192) & !4095;
    let v0 = (size & !65535) - 65536;
    for offset in [v1, v0] {
        if le32(&host.bytes_at(path, offset, 4)?, 0) == Some(MD_MAGIC) {
            return Ok(Some("linux_raid_member"));
        }
    }
    Ok(None)
}

/// A DOS partition table: the boot mark and at least one entry that is in use and sane.
fn dos_table(head: &[u8]) -> Option<&'static str> {
    let marked = head.get(510..512) == Some(&[0x55, 0xAA]);
    let entries = head.get(446..510)?.as_chunks::<16>().0;
    let sane = entries.iter().all(|entry| entry[0] & 0x7F == 0);
    (marked && sane && entries.iter().any(|entry| entry[4] != 0)).then_some("dos")
}

fn ext_version(head: &[u8]) -> &'static str {
    let journal = le32(head, 1024 + 92).is_some_and(|features| features & 0x4 != 0);
    // Any incompatible feature beyond those of ext3 (filetype, recovery, journal device, meta block groups).
    let modern = le32(head, 1024 + 96).is_some_and(|features| features & !0x1E != 0);
    match (modern, journal) {
        (true, _) => "ext4",
        (false, true) => "ext3",
        (false, false) => "ext2",
    }
}

fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

fn text(bytes: &[u8], at: usize, len: usize) -> Option<String> {
    let field = bytes.get(at..at + len)?;
    let end = field.iter().position(|b| *b == 0).unwrap_or(len);
    let text = String::from_utf8_lossy(&field[..end]).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

fn uuid(bytes: &[u8], at: usize) -> Option<String> {
    let raw = hex::encode(bytes.get(at..at + 16)?);
    hostler_common::id::uuid_like(&raw).map(|uuid| uuid.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn with(marks: &[(usize, &[u8])]) -> Signatures {
        let mut head = vec![0_u8; HEAD];
        for (at, mark) in marks {
            head[*at..at + mark.len()].copy_from_slice(mark);
        }
        head_signatures(&head)
    }

    #[test]
    fn signatures() {
        assert_eq!(with(&[]), Signatures::default());
        assert_eq!(with(&[(512, b"EFI PART")]).table, Some("gpt"));
        assert_eq!(with(&[(0, b"XFSB"), (108, b"data")]).label.as_deref(), Some("data"));
        assert_eq!(with(&[(1080, &[0x53, 0xEF]), (1024 + 96, &[0x42])]).kind, Some("ext4"));
        assert_eq!(with(&[(0, b"LUKS\xba\xbe")]).kind, Some("crypto_LUKS"));
        assert_eq!(with(&[(512, b"LABELONE")]).kind, Some("LVM2_member"));
        assert_eq!(with(&[(4086, b"SWAPSPACE2")]).kind, Some("swap"));
        assert!(with(&[(0, b"bluestore block device\n")]).bluestore);
        assert_eq!(with(&[(510, &[0x55, 0xAA]), (450, &[0x83])]).table, Some("dos"));
        assert_eq!(
            with(&[(510, &[0x55, 0xAA]), (450, &[0x83]), (462, &[0x41])]).table,
            None,
            "a boot sector, no table"
        );
    }

    proptest! {
        #[test]
        fn arbitrary_disks_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..5000)) {
            let _ = head_signatures(&bytes);
        }
    }
}
