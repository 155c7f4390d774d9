//! LVM metadata, read from a physical volume without any LVM tool.

use std::io;

use super::host::HostRoot;

const LABEL: &[u8] = b"LABELONE";
const AREA_MAGIC: &[u8] = b" LVM2 x[5A%r0N*>";
/// The header of a metadata area; the text is a ring behind it.
const AREA_HEADER: u64 = 512;
const TEXT_MAX: u64 = 8 << 20;
const DEPTH_MAX: u32 = 16;

/// A physical volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Physical {
    /// Its UUID in LVM's own form.
    pub uuid: String,
    /// Its volume group; `None` if it is in none, or keeps no copy of the metadata.
    pub group: Option<Group>,
}

/// A volume group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Group {
    pub name: String,
    pub uuid: String,
    /// Size of an extent in bytes.
    pub extent_size: u64,
    pub extents: u64,
    pub free_extents: u64,
    /// UUIDs of its physical volumes.
    pub members: Vec<String>,
    pub volumes: Vec<Volume>,
}

/// A logical volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Volume {
    pub name: String,
    pub uuid: String,
    pub tags: Vec<String>,
    pub extents: u64,
    /// UUIDs of the physical volumes that it lies on.
    pub on: Vec<String>,
}

/// Reads the physical volume on a device; `None` if there is none.
///
/// # Errors
/// Those of reading the device.
pub(super) fn read(host: &HostRoot, path: &str) -> io::Result<Option<Physical>> {
    let head = host.bytes_at(path, 0, 4096)?;
    let Some((uuid, areas)) = label(&head) else { return Ok(None) };
    let mut found = Physical { uuid, group: None };
    for (offset, size) in areas {
        let header = host.bytes_at(path, offset, AREA_HEADER as usize)?;
        let Some((start, len)) = location(&header, size) else { continue };
        let mut text = host.bytes_at(path, offset + start, len.min(size - start) as usize)?;
        if start + len > size {
            let wrapped = (start + len - size) as usize;
            text.extend(host.bytes_at(path, offset + AREA_HEADER, wrapped)?);
        }
        found.group = group(&String::from_utf8_lossy(&text));
        if found.group.is_some() {
            break;
        }
    }
    Ok(Some(found))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes)
}

/// The UUID and the metadata areas out of the label, which lies in one of the first four sectors.
fn label(head: &[u8]) -> Option<(String, Vec<(u64, u64)>)> {
    let sector = (0..4).map(|sector| sector * 512).find(|at| head.get(*at..at + 8) == Some(LABEL))?;
    let header = u32::from_le_bytes(head.get(sector + 20..sector + 24)?.try_into().ok()?) as usize;
    let pv = head.get(sector.checked_add(header)?..)?;
    let uuid = dashed(std::str::from_utf8(pv.get(..32)?).ok()?);
    // Two lists of (offset, size), each ended by zeros: data areas, then metadata areas.
    let mut at = 40;
    while u64_at(pv, at)? != 0 {
        at += 16;
    }
    at += 16;
    let mut areas = Vec::new();
    while let (Some(offset), Some(size)) = (u64_at(pv, at), u64_at(pv, at + 8)) {
        if offset == 0 || areas.len() == 8 {
            break;
        }
        areas.push((offset, size));
        at += 16;
    }
    Some((uuid, areas))
}

/// LVM writes its identifiers as 32 characters on disk and in groups of 6-4-4-4-4-4-6 elsewhere.
pub(super) fn dashed(uuid: &str) -> String {
    let mut text = String::with_capacity(38);
    for (at, c) in uuid.chars().enumerate() {
        if matches!(at, 6 | 10 | 14 | 18 | 22 | 26) {
            text.push('-');
        }
        text.push(c);
    }
    text
}

/// Where the current text lies in its area, from the area's start, and how long it is.
fn location(header: &[u8], size: u64) -> Option<(u64, u64)> {
    if header.get(4..20) != Some(AREA_MAGIC) {
        return None;
    }
    let (start, len) = (u64_at(header, 40)?, u64_at(header, 48)?);
    (start >= AREA_HEADER && start < size && len > 0 && len <= TEXT_MAX.min(size)).then_some((start, len))
}

#[derive(Debug)]
enum Node {
    Text(String),
    Number(u64),
    List(Vec<Node>),
    Group(Vec<(String, Node)>),
}

impl Node {
    fn get(&self, key: &str) -> Option<&Node> {
        let Node::Group(members) = self else { return None };
        members.iter().find(|(name, _)| name == key).map(|(_, node)| node)
    }

    fn members(&self) -> &[(String, Node)] {
        if let Node::Group(members) = self { members } else { &[] }
    }

    fn text(&self, key: &str) -> String {
        if let Some(Node::Text(text)) = self.get(key) { text.clone() } else { String::new() }
    }

    fn number(&self, key: &str) -> u64 {
        if let Some(Node::Number(number)) = self.get(key) { *number } else { 0 }
    }

    fn texts(&self, key: &str) -> Vec<String> {
        let Some(Node::List(items)) = self.get(key) else { return Vec::new() };
        items.iter().filter_map(|item| if let Node::Text(text) = item { Some(text.clone()) } else { None }).collect()
    }
}

/// Parses metadata text: the first group of it is the volume group.
pub(super) fn group(text: &str) -> Option<Group> {
    let mut parser = Parser { text: text.as_bytes(), at: 0 };
    let members = parser.group(0)?;
    let (name, vg) = members.into_iter().find(|(_, node)| node.get("physical_volumes").is_some())?;
    let physical = vg.get("physical_volumes").map_or(&[][..], Node::members);
    let id_of = |name: &str| physical.iter().find(|(other, _)| other == name).map(|(_, pv)| pv.text("id"));
    let extents: u64 = physical.iter().map(|(_, pv)| pv.number("pe_count")).fold(0, u64::saturating_add);
    let mut used = 0_u64;
    let mut volumes = Vec::new();
    for (name, lv) in vg.get("logical_volumes").map_or(&[][..], Node::members) {
        let mut volume =
            Volume { name: name.clone(), uuid: lv.text("id"), tags: lv.texts("tags"), ..Volume::default() };
        for (_, segment) in lv.members().iter().filter(|(name, _)| name.starts_with("segment")) {
            let count = segment.number("extent_count");
            volume.extents = volume.extents.saturating_add(count);
            // Stripes may also lie on other volumes (RAID images and the like), whose own segments count instead.
            let on: Vec<String> = segment.texts("stripes").iter().filter_map(|pv| id_of(pv)).collect();
            if !on.is_empty() {
                used = used.saturating_add(count);
            }
            volume.on.extend(on);
        }
        volume.on.sort();
        volume.on.dedup();
        volumes.push(volume);
    }
    Some(Group {
        name,
        uuid: vg.text("id"),
        extent_size: vg.number("extent_size").saturating_mul(512),
        extents,
        free_extents: extents.saturating_sub(used),
        members: physical.iter().map(|(_, pv)| pv.text("id")).collect(),
        volumes,
    })
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
}

impl Parser<'_> {
    fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.text.get(self.at) {
            if *byte == b'#' {
                while self.text.get(self.at).is_some_and(|b| *b != b'\n') {
                    self.at += 1;
                }
            } else if byte.is_ascii_whitespace() || *byte == 0 {
                self.at += 1;
            } else {
                return Some(*byte);
            }
        }
        None
    }

    /// Members up to a closing brace or the end.
    fn group(&mut self, depth: u32) -> Option<Vec<(String, Node)>> {
        let mut members = Vec::new();
        if depth > DEPTH_MAX {
            return None;
        }
        while let Some(byte) = self.peek() {
            if byte == b'}' {
                self.at += 1;
                break;
            }
            let name = self.word()?;
            match self.peek()? {
                b'{' => {
                    self.at += 1;
                    members.push((name, Node::Group(self.group(depth + 1)?)));
                }
                b'=' => {
                    self.at += 1;
                    members.push((name, self.value(depth)?));
                }
                _ => return None,
            }
        }
        Some(members)
    }

    fn word(&mut self) -> Option<String> {
        let from = self.at;
        while self.text.get(self.at).is_some_and(|b| b.is_ascii_alphanumeric() || b"_-.+/@".contains(b)) {
            self.at += 1;
        }
        (self.at > from).then(|| String::from_utf8_lossy(&self.text[from..self.at]).into_owned())
    }

    fn value(&mut self, depth: u32) -> Option<Node> {
        match self.peek()? {
            b'"' => self.string().map(Node::Text),
            b'[' if depth <= DEPTH_MAX => {
                self.at += 1;
                let mut items = Vec::new();
                loop {
                    match self.peek()? {
                        b']' => break self.at += 1,
                        b',' => self.at += 1,
                        _ => items.push(self.value(depth + 1)?),
                    }
                }
                Some(Node::List(items))
            }
            _ => {
                let word = self.word()?;
                Some(word.parse().map_or(Node::Text(word), Node::Number))
            }
        }
    }

    fn string(&mut self) -> Option<String> {
        self.at += 1;
        let mut bytes = Vec::new();
        loop {
            let byte = *self.text.get(self.at)?;
            self.at += 1;
            match byte {
                b'"' => return Some(String::from_utf8_lossy(&bytes).into_owned()),
                b'\\' => {
                    bytes.push(*self.text.get(self.at)?);
                    self.at += 1;
                }
                other => bytes.push(other),
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The text of a group of one volume with `used` of `all` extents.
    pub(in crate::probes) fn text(used: u64, all: u64) -> String {
        format!(
            "vg0 {{\nid = \"VGID\"\nseqno = 3\nformat = \"lvm2\" # informational\nextent_size = 8192\n\
             physical_volumes {{\npv0 {{\nid = \"PVID\"\ndevice = \"/dev/sdb\"\npe_count = {all}\n}}\n}}\n\
             logical_volumes {{\nosd-block-1 {{\nid = \"LVID\"\nstatus = [\"READ\", \"WRITE\"]\n\
             tags = [\"ceph.osd_id=7\", \"ceph.osd_fsid=aa\", \"ceph.type=block\", \"ceph.cluster_fsid=cc\", \
             \"ceph.cephx_lockbox_secret=hush\", \"ceph.encrypted=0\"]\nsegment_count = 1\n\
             segment1 {{\nstart_extent = 0\nextent_count = {used}\ntype = \"striped\"\nstripe_count = 1\n\
             stripes = [\n\"pv0\", 0\n]\n}}\n}}\n}}\n}}\ncontents = \"Text Format Volume Group\"\nversion = 1\n"
        )
    }

    /// The beginning of a device with that text.
    pub(in crate::probes) fn image(text: &str) -> Vec<u8> {
        let mut bytes = vec![0_u8; 1 << 20];
        bytes[512..520].copy_from_slice(LABEL);
        bytes[532..536].copy_from_slice(&32_u32.to_le_bytes());
        bytes[536..544].copy_from_slice(b"LVM2 001");
        bytes[544..576].copy_from_slice(&[b'a'; 32]);
        bytes[584..592].copy_from_slice(&(1_u64 << 20).to_le_bytes());
        bytes[616..624].copy_from_slice(&4096_u64.to_le_bytes());
        bytes[624..632].copy_from_slice(&1_044_480_u64.to_le_bytes());
        bytes[4100..4116].copy_from_slice(AREA_MAGIC);
        bytes[4136..4144].copy_from_slice(&1024_u64.to_le_bytes());
        bytes[4144..4152].copy_from_slice(&(text.len() as u64).to_le_bytes());
        bytes[5120..5120 + text.len()].copy_from_slice(text.as_bytes());
        bytes
    }

    #[test]
    fn a_group_is_understood() {
        let group = group(&text(95, 100)).unwrap();
        assert_eq!((group.name.as_str(), group.extents, group.free_extents), ("vg0", 100, 5));
        assert_eq!(group.volumes[0].on, ["PVID"]);
        assert_eq!(group.volumes[0].tags[0], "ceph.osd_id=7");
        assert_eq!(group.extent_size, 4 << 20);
    }

    #[test]
    fn a_volume_is_found_on_its_device() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("dev")).unwrap();
        std::fs::write(dir.path().join("dev/sdb"), image(&text(10, 100))).unwrap();
        let host = HostRoot::recorded(dir.path()).unwrap();
        let found = read(&host, "/dev/sdb").unwrap().unwrap();
        assert_eq!(found.uuid, "aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaaa");
        assert_eq!(found.group.unwrap().free_extents, 90);
    }

    proptest! {
        #[test]
        fn arbitrary_metadata_is_survived(text in "[ -~\n]{0,300}") {
            let _ = group(&text);
        }

        #[test]
        fn arbitrary_labels_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0_usize..200) {
            let mut head = vec![0; 4096];
            head[512..520].copy_from_slice(LABEL);
            head[520 + at..520 + at + bytes.len()].copy_from_slice(&bytes);
            let _ = label(&head);
            let _ = location(&bytes, 1 << 20);
        }
    }
}
