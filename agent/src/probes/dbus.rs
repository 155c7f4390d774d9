//! The one question that a probe puts to systemd: its units.

use std::io;

use super::host::HostRoot;
use crate::bus::{Body, Bus, Reader, SYSTEMD, SYSTEMD_MANAGER, SYSTEMD_PATH};

/// One unit of systemd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    pub name: String,
    /// `loaded`, `not-found`, `masked`, …
    pub load: String,
    /// `active`, `failed`, `inactive`, …
    pub active: String,
    /// The state of its kind: `running`, `dead`, …
    pub sub: String,
}

/// Asks the system bus, or systemd itself where there is no bus.
///
/// # Errors
/// "Not found" if neither is there; "timed out"; "invalid data" for an answer that cannot be read.
pub(super) fn list_units(host: &HostRoot) -> io::Result<Vec<Unit>> {
    let mut bus = Bus::connect(&host.path("/"))?;
    let body = bus.call([SYSTEMD, SYSTEMD_PATH, SYSTEMD_MANAGER, "ListUnits"], &Body::default())?;
    units(&body).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// `a(ssssssouso)`.
fn units(body: &[u8]) -> Option<Vec<Unit>> {
    let mut reader = Reader::new(body);
    let end = reader.number()? as usize;
    reader.align(8);
    let end = reader.at().checked_add(end)?;
    let mut found = Vec::new();
    while reader.at() < end {
        reader.align(8);
        let name = reader.text()?;
        let _description = reader.text()?;
        let (load, active, sub) = (reader.text()?, reader.text()?, reader.text()?);
        let _following = reader.text()?;
        let _path = reader.text()?;
        let _job = reader.number()?;
        let _job_type = reader.text()?;
        let _job_path = reader.text()?;
        found.push(Unit { name, load, active, sub });
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn string(body: &mut Vec<u8>, text: &str) {
        body.resize(body.len().next_multiple_of(4), 0);
        body.extend((text.len() as u32).to_le_bytes());
        body.extend(text.bytes());
        body.push(0);
    }

    #[test]
    fn a_list_of_units() {
        let mut body = vec![0; 8];
        for (name, active) in [("a.service", "failed"), ("b.mount", "active")] {
            body.resize(body.len().next_multiple_of(8), 0);
            for text in [name, "about", "loaded", active, "sub", "", "/p"] {
                string(&mut body, text);
            }
            body.resize(body.len().next_multiple_of(4), 0);
            body.extend([0; 4]);
            string(&mut body, "");
            string(&mut body, "/");
        }
        let len = (body.len() - 8) as u32;
        body[..4].copy_from_slice(&len.to_le_bytes());
        let found = units(&body).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].name.as_str(), found[0].active.as_str()), ("a.service", "failed"));
    }

    proptest! {
        #[test]
        fn arbitrary_answers_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = units(&bytes);
        }
    }
}
