//! Reports that the manager has not acknowledged: one file each, within a limit (spec/hooks.md §8).

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use hostler_common::hook::HostReport;

use crate::files::{make_folder, read_json, write_json};

/// The most that is kept, in bytes.
const SPOOL_MAX: u64 = 50 << 20;

/// The reports.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    /// The number and the size of each.
    reports: BTreeMap<u64, u64>,
    last: u64,
    dropped: u64,
    max: u64,
}

impl Spool {
    /// Takes up what is in `folder`, making it if it is not there.
    ///
    /// # Errors
    /// The folder cannot be made or read.
    pub fn open(folder: &Path) -> io::Result<Self> {
        make_folder(folder)?;
        let mut reports = BTreeMap::new();
        for entry in std::fs::read_dir(folder)?.flatten() {
            let number = entry.file_name().to_str().and_then(|name| name.strip_suffix(".json")?.parse().ok());
            if let Some(number) = number {
                reports.insert(number, entry.metadata()?.len());
            }
        }
        // Numbers are never used again, also when all reports are gone.
        let acknowledged: u64 = read_json(&folder.join("acknowledged"))?.unwrap_or(0);
        let last = reports.last_key_value().map_or(0, |(number, _)| *number).max(acknowledged);
        Ok(Self { folder: folder.to_owned(), reports, last, dropped: 0, max: SPOOL_MAX })
    }

    fn file(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number}.json"))
    }

    /// Writes the next report, durably; the oldest go where there is no room. Returns its number.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn push(&mut self, report: impl FnOnce(u64) -> HostReport) -> io::Result<u64> {
        let number = self.last + 1;
        let file = self.file(number);
        write_json(&file, &report(number))?;
        self.last = number;
        self.reports.insert(number, std::fs::metadata(&file)?.len());
        while self.reports.values().sum::<u64>() > self.max && self.reports.len() > 1 {
            let Some((oldest, _)) = self.reports.pop_first() else { break };
            self.dropped += 1;
            tracing::warn!(report = oldest, dropped = self.dropped, "there is no room for a report that nobody took");
            std::fs::remove_file(self.file(oldest))?;
        }
        Ok(number)
    }

    /// The first report after `number`, if there is one. One that cannot be read is skipped.
    #[must_use]
    pub fn after(&self, number: u64) -> Option<HostReport> {
        self.reports.range(number + 1..).find_map(|(number, _)| {
            let read = read_json(&self.file(*number));
            read.inspect_err(|error| tracing::error!(report = number, %error, "a report is lost")).ok().flatten()
        })
    }

    /// The manager has all reports up to `number`.
    ///
    /// # Errors
    /// That cannot be written; then they are sent once more.
    pub fn acknowledge(&mut self, number: u64) -> io::Result<()> {
        let number = number.min(self.last);
        let gone: Vec<u64> = self.reports.range(..=number).map(|(number, _)| *number).collect();
        if gone.is_empty() {
            return Ok(());
        }
        write_json(&self.folder.join("acknowledged"), &number)?;
        for number in gone {
            self.reports.remove(&number);
            std::fs::remove_file(self.file(number))?;
        }
        Ok(())
    }

    /// How many reports were dropped since the agent started.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use hostler_common::hook::{HookPoint, Occurrence, Origin};
    use hostler_common::time::Timestamp;
    use uuid::Uuid;

    use super::*;

    fn report(number: u64) -> HostReport {
        let occurrence = Occurrence {
            id: Uuid::from_u128(u128::from(number)),
            point: HookPoint::PostNetworkConfig,
            origin: Origin::External,
            at: Timestamp::from_micros(0),
            values: vec!["eth0".into()],
        };
        HostReport { number, occurrence, jobs: Vec::new(), skipped: Vec::new() }
    }

    #[test]
    fn reports_survive_and_numbers_are_never_used_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(dir.path()).unwrap();
        assert_eq!((spool.push(report).unwrap(), spool.push(report).unwrap()), (1, 2));
        let mut spool = Spool::open(dir.path()).unwrap();
        assert_eq!(spool.after(0).unwrap(), report(1));
        assert_eq!(spool.after(1).unwrap(), report(2));
        assert_eq!(spool.after(2), None);
        spool.acknowledge(1).unwrap();
        assert_eq!(spool.after(0).unwrap().number, 2);
        spool.acknowledge(u64::MAX).unwrap();
        let mut spool = Spool::open(dir.path()).unwrap();
        assert_eq!(spool.after(0), None);
        assert_eq!(spool.push(report).unwrap(), 3);
    }

    #[test]
    fn the_oldest_are_dropped_and_counted_where_there_is_no_room() {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(dir.path()).unwrap();
        spool.push(report).unwrap();
        spool.max = spool.reports[&1] * 3 + 2;
        for _ in 0..5 {
            spool.push(report).unwrap();
        }
        assert_eq!((spool.dropped(), spool.after(0).unwrap().number), (3, 4));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
    }
}
