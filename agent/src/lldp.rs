//! Listening for LLDP: passive, continuous, without promiscuous mode and without any work while nothing arrives
//! (spec/introspection.md §6.2).
//!
//! The daemon spawns [`listen`]. It keeps what it hears in a small file, which the probe reads, so that collection is
//! instantaneous. Entries live as long as their sender said.

mod frame;

pub use frame::{Neighbour, parse};

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::sys::clock::since_boot;
use crate::sys::packet::{LinkChanges, LldpSocket};

/// Name of the neighbour file in the agent's state folder.
pub const FILE: &str = "lldp.json";
/// Longest frame that is looked at, in bytes.
const FRAME_MAX: usize = 9216;
/// Most interfaces that are kept.
const INTERFACES_MAX: usize = 4096;

/// The contents of the neighbour file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cache {
    /// The boot during which the file was written; ages count within one boot only.
    pub boot_id: String,
    /// Why there is no listener; null while it listens.
    pub unavailable: Option<String>,
    /// Neighbours by interface name.
    pub neighbours: BTreeMap<String, Entry>,
}

/// One neighbour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Until when it counts, in seconds since boot.
    pub expires_at: u64,
    /// Types and hexadecimal values, in the order of the frame.
    pub tlvs: Vec<(u8, String)>,
}

impl Cache {
    /// Neighbours that have not expired, given the current boot and the seconds since it began.
    pub fn fresh(self, boot_id: &str, now: u64) -> impl Iterator<Item = (String, Vec<(u8, String)>)> {
        let current = self.boot_id == boot_id;
        self.neighbours
            .into_iter()
            .filter(move |(_, entry)| current && entry.expires_at > now)
            .map(|(interface, entry)| (interface, entry.tlvs))
    }

    /// Takes a neighbour in; a lifetime of zero is the sender's farewell. `true` if the file must be written again, which is
    /// so for news and for entries in the second half of their life, not for each repetition.
    pub fn hear(&mut self, interface: &str, neighbour: Neighbour, now: u64) -> bool {
        if neighbour.lifetime == 0 {
            return self.neighbours.remove(interface).is_some();
        }
        self.neighbours.retain(|_, entry| entry.expires_at > now);
        let lifetime = u64::from(neighbour.lifetime);
        let entry = Entry { expires_at: now + lifetime, tlvs: neighbour.tlvs };
        if let Some(old) = self.neighbours.get(interface)
            && old.tlvs == entry.tlvs
            && old.expires_at > now + lifetime / 2
        {
            return false;
        }
        if self.neighbours.len() >= INTERFACES_MAX && !self.neighbours.contains_key(interface) {
            return false;
        }
        self.neighbours.insert(interface.to_owned(), entry);
        true
    }

    fn save(&self, path: &Path) -> io::Result<()> {
        let temporary = path.with_extension("json.new");
        fs::write(&temporary, serde_json::to_vec(self)?)?;
        fs::rename(temporary, path)
    }
}

/// Listens until dropped and keeps `lldp.json` in `state_dir` up to date. Wakes only for frames and for changes of
/// interfaces.
///
/// # Errors
/// "Permission denied" without CAP_NET_RAW: the file then says so and the section is `unavailable`. Otherwise those of the
/// sockets and of writing the file; the caller logs them, LLDP is never essential.
pub async fn listen(state_dir: PathBuf) -> io::Result<()> {
    let path = state_dir.join(FILE);
    let mut cache =
        fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Cache>(&text).ok()).unwrap_or_default();
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned();
    if cache.boot_id != boot_id {
        cache = Cache { boot_id, ..Cache::default() };
    }
    let socket = match LldpSocket::open() {
        Ok(socket) => socket,
        Err(error) => {
            let permission = error.kind() == io::ErrorKind::PermissionDenied;
            cache.unavailable = Some(if permission { "permission".to_owned() } else { error.to_string() });
            cache.save(&path)?;
            return Err(error);
        }
    };
    cache.unavailable = None;
    cache.save(&path)?;
    let changes = LinkChanges::open()?.watch()?;
    let socket = socket.watch()?;
    let mut joined = BTreeMap::new();
    join(socket.get_ref(), &mut joined);
    let mut buffer = vec![0_u8; FRAME_MAX];
    loop {
        tokio::select! {
            ready = socket.readable() => {
                let mut ready = ready?;
                let changed = drain(socket.get_ref(), &mut buffer, &mut cache, &joined);
                ready.clear_ready();
                if changed {
                    cache.save(&path)?;
                }
            }
            ready = changes.readable() => {
                let mut ready = ready?;
                changes.get_ref().drain(&mut buffer);
                ready.clear_ready();
                join(socket.get_ref(), &mut joined);
            }
        }
    }
}

/// Takes all frames that are waiting; whether any of them was news.
fn drain(socket: &LldpSocket, buffer: &mut [u8], cache: &mut Cache, names: &BTreeMap<u32, String>) -> bool {
    let mut changed = false;
    while let Ok(frame) = socket.receive(buffer) {
        if frame.outgoing {
            continue;
        }
        if let (Some(name), Some(neighbour)) = (names.get(&frame.interface), parse(&buffer[..frame.len])) {
            changed |= cache.hear(name, neighbour, since_boot());
        }
    }
    changed
}

/// Joins the LLDP groups on every interface that stands for hardware; others never hear a switch.
fn join(socket: &LldpSocket, joined: &mut BTreeMap<u32, String>) {
    let mut present = BTreeMap::new();
    for entry in fs::read_dir("/sys/class/net").into_iter().flatten().flatten() {
        let index =
            fs::read_to_string(entry.path().join("ifindex")).ok().and_then(|text| text.trim().parse::<u32>().ok());
        if let (Some(index), Ok(name)) = (index, entry.file_name().into_string())
            && entry.path().join("device").exists()
        {
            if !joined.contains_key(&index) && socket.join(index).is_err() {
                continue;
            }
            present.insert(index, name);
        }
    }
    *joined = present;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn neighbour(lifetime: u16, value: &str) -> Neighbour {
        Neighbour { lifetime, tlvs: vec![(1, value.to_owned())] }
    }

    #[test]
    fn entries_live_as_long_as_their_sender_said() {
        let mut cache = Cache { boot_id: "b".into(), ..Cache::default() };
        assert!(cache.hear("eth0", neighbour(120, "04"), 100));
        assert!(!cache.hear("eth0", neighbour(120, "04"), 130), "a repetition is no news");
        assert!(cache.hear("eth0", neighbour(120, "04"), 170), "but it must not die of silence on disk");
        assert!(cache.hear("eth0", neighbour(120, "05"), 171), "changed contents are news");
        assert_eq!(cache.clone().fresh("b", 290).count(), 1);
        assert_eq!(cache.clone().fresh("b", 291).count(), 0, "expired");
        assert_eq!(cache.clone().fresh("c", 200).count(), 0, "another boot");
        assert!(cache.hear("eth0", neighbour(0, "05"), 200), "a farewell");
        assert!(cache.neighbours.is_empty());
    }

    #[tokio::test]
    async fn the_file_tells_whether_there_is_a_listener() {
        let dir = tempfile::tempdir().unwrap();
        let listening = listen(dir.path().to_owned());
        let ended = tokio::time::timeout(std::time::Duration::from_millis(200), listening).await;
        let cache: Cache = serde_json::from_slice(&fs::read(dir.path().join(FILE)).unwrap()).unwrap();
        match ended {
            Err(_still_listening) => assert_eq!(cache.unavailable, None),
            Ok(result) => assert!(result.is_err() && cache.unavailable.is_some()),
        }
    }
}
