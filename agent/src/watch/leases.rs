//! Leases that DHCP servers of this host give (spec/hooks.md §7.8).

pub mod parse;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::time::Duration;

use hostler_common::hook::{Assignment, HookPoint, LeaseFile, LeaseFormat};

use super::Context;
use crate::sys::events::Folders;
use parse::{Key, Lease};

/// How long events are collected before the files are read.
const SETTLE: Duration = Duration::from_secs(1);
/// A folder that is not there is looked for in this rhythm.
const AGAIN: Duration = Duration::from_secs(30);
/// Most of a file that is read, in bytes.
const FILE_MAX: u64 = 64 << 20;

type Leases = BTreeMap<Key, Lease>;

pub(super) fn task(assignment: &Assignment) -> Option<String> {
    let told = format!("{:?} {}", assignment.lease_files, assignment.lease_renewals);
    (!assignment.lease_files.is_empty()).then_some(told)
}

pub(super) async fn run(context: Context) -> io::Result<()> {
    let files = &context.assignment.lease_files;
    let folders = Folders::open()?;
    let mut watched = watch_all(&folders, files);
    let mut known: Vec<Leases> = Vec::new();
    for file in files {
        known.push(read(file).await.unwrap_or_default());
    }
    loop {
        let concerned = tokio::select! {
            names = folders.changed() => names?.iter().any(|name| concerns(files, name.as_deref())),
            () = tokio::time::sleep(AGAIN), if !watched => {
                watched = watch_all(&folders, files);
                true
            }
        };
        if !concerned {
            continue;
        }
        tokio::time::sleep(SETTLE).await;
        for (file, known) in files.iter().zip(&mut known) {
            // A file that is just being replaced is read at the next event.
            let Some(now) = read(file).await else { continue };
            for values in changes(known, &now, context.assignment.lease_renewals) {
                context.occur(HookPoint::OnDhcpLeaseUpdate, values).await;
            }
            *known = now;
        }
    }
}

/// Whether all folders of the files are watched.
fn watch_all(folders: &Folders, files: &[LeaseFile]) -> bool {
    let parents = files.iter().map(|file| Path::new(&file.path).parent().unwrap_or(Path::new("/")));
    // Each is tried, also behind one that is missing.
    parents.filter(|parent| folders.add(parent).is_err()).count() == 0
}

/// Whether an entry of a folder belongs to one of the files; Kea has further files beside its own.
fn concerns(files: &[LeaseFile], name: Option<&OsStr>) -> bool {
    let Some(name) = name.and_then(OsStr::to_str) else { return true };
    let own = files.iter().filter_map(|file| Path::new(&file.path).file_name()?.to_str());
    own.into_iter().any(|own| name.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
}

/// The leases of a server; `None` where its file cannot be read.
async fn read(file: &LeaseFile) -> Option<Leases> {
    let file = file.clone();
    // A file system that hangs must not hold up the runtime.
    tokio::task::spawn_blocking(move || read_now(&file)).await.ok().flatten()
}

fn read_now(file: &LeaseFile) -> Option<Leases> {
    let text = |path: &str| {
        use std::io::Read as _;
        let mut bytes = Vec::new();
        std::fs::File::open(path).ok()?.take(FILE_MAX).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    match file.format {
        LeaseFormat::Dnsmasq => text(&file.path).map(|text| parse::dnsmasq(&text)),
        LeaseFormat::Isc => text(&file.path).map(|text| parse::isc(&text)),
        LeaseFormat::Kea => {
            // While Kea tidies up, what is older lies in further files: the tidied one, or the two that it is made from.
            let completed = text(&format!("{}.completed", file.path));
            let older = match completed {
                Some(completed) => vec![completed],
                None => [".2", ".1"].iter().filter_map(|end| text(&format!("{}{end}", file.path))).collect(),
            };
            let current = text(&file.path);
            (current.is_some() || !older.is_empty()).then(|| {
                let parts: Vec<String> = older.into_iter().chain(current).collect();
                parse::kea(&parts)
            })
        }
    }
}

/// What hooks are told of the difference: action, hardware address, address, host name, end.
fn changes(old: &Leases, new: &Leases, renewals: bool) -> Vec<Vec<String>> {
    let values = |action: &str, (ip, mac): &Key, lease: &Lease| {
        vec![action.into(), mac.clone(), ip.clone(), lease.hostname.clone(), lease.expiry.to_string()]
    };
    let gone = old.iter().filter(|(key, _)| !new.contains_key(*key)).map(|(key, lease)| values("del", key, lease));
    let other = new.iter().filter_map(|(key, lease)| match old.get(key) {
        None => Some(values("add", key, lease)),
        Some(before) if before.hostname != lease.hostname => Some(values("renew", key, lease)),
        Some(before) if before.expiry != lease.expiry && renewals => Some(values("renew", key, lease)),
        Some(_) => None,
    });
    gone.chain(other).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leases(list: &[(&str, &str, &str, u64)]) -> Leases {
        let lease = |hostname: &str, expiry| Lease { hostname: hostname.into(), expiry };
        list.iter().map(|(ip, mac, name, end)| (((*ip).into(), (*mac).into()), lease(name, *end))).collect()
    }

    #[test]
    fn what_is_told() {
        let old = leases(&[("10.0.0.1", "a", "x", 1), ("10.0.0.2", "b", "y", 1), ("10.0.0.3", "c", "", 1)]);
        let new = leases(&[("10.0.0.1", "a", "x", 2), ("10.0.0.2", "z", "y", 1), ("10.0.0.3", "c", "new", 1)]);
        let told =
            |renewals| -> Vec<String> { changes(&old, &new, renewals).iter().map(|values| values.join(" ")).collect() };
        assert_eq!(told(false), ["del b 10.0.0.2 y 1", "add z 10.0.0.2 y 1", "renew c 10.0.0.3 new 1"]);
        assert_eq!(
            told(true),
            ["del b 10.0.0.2 y 1", "renew a 10.0.0.1 x 2", "add z 10.0.0.2 y 1", "renew c 10.0.0.3 new 1"]
        );
    }

    #[test]
    fn files_that_concern_us() {
        let files = [LeaseFile { path: "/var/lib/kea/kea-leases4.csv".into(), format: LeaseFormat::Kea }];
        for (name, concerned) in
            [("kea-leases4.csv", true), ("kea-leases4.csv.2", true), ("kea-leases6.csv", false), ("kea", false)]
        {
            assert_eq!(concerns(&files, Some(OsStr::new(name))), concerned, "{name}");
        }
        assert!(concerns(&files, None), "events were lost");
    }
}
