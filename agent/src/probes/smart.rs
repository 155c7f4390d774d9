//! Health pages of disks, decoded. Counters that always move stand under `statistics`, so that they do not count as change.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// SCSI log page of informational exceptions: the disk's own forecast.
pub(super) const PAGE_INFORMATIONAL: u8 = 0x2F;
/// SCSI log page of read errors.
pub(super) const PAGE_READ_ERRORS: u8 = 0x03;
/// SCSI log page of solid-state wear.
pub(super) const PAGE_WEAR: u8 = 0x11;
/// SCSI log page of background scans, which tells the hours.
pub(super) const PAGE_SCAN: u8 = 0x15;

/// Decodes SMART READ DATA (512 bytes, checked by its sum); `failing` is the disk's own forecast.
pub(super) fn ata(page: &[u8], failing: Option<bool>) -> Option<Value> {
    if page.len() < 512 || page.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)) != 0 {
        return None;
    }
    let mut attributes: BTreeMap<u8, (u8, u64)> = BTreeMap::new();
    for entry in page[2..362].as_chunks::<12>().0 {
        if entry[0] != 0 {
            let raw = u64::from_le_bytes([entry[5], entry[6], entry[7], entry[8], entry[9], entry[10], 0, 0]);
            attributes.insert(entry[0], (entry[3], raw));
        }
    }
    let raw = |id: u8| attributes.get(&id).map(|(_, raw)| *raw);
    let normalised = |id: u8| attributes.get(&id).map(|(value, _)| u64::from(*value));
    // The low byte is the temperature; the rest keeps extremes.
    let temperature = raw(194).or_else(|| raw(190)).map(|raw| raw & 0xFF);
    // Remaining life in percent, by the attributes that makers use for it.
    let remaining = [231, 233, 177, 202].into_iter().find_map(normalised).filter(|value| *value <= 100);
    Some(json!({
        "status": "ok", "protocol": "ata", "failing": failing,
        "reallocated": raw(5), "pending": raw(197), "uncorrectable": raw(198),
        "temperature_c": temperature, "wear": remaining.map(|value| json!({"remaining_percent": value})),
        "statistics": {"power_on_hours": raw(9).map(|raw| raw & 0xFFFF_FFFF), "power_cycles": raw(12), "crc_errors": raw(199)},
    }))
}

/// Decodes the NVMe health page.
pub(super) fn nvme(page: &[u8]) -> Option<Value> {
    let wide = |at: usize| {
        let bytes: [u8; 16] = page.get(at..at + 16)?.try_into().ok()?;
        Some(u64::try_from(u128::from_le_bytes(bytes)).unwrap_or(u64::MAX))
    };
    let warning = *page.first()?;
    let kelvin = u16::from_le_bytes([*page.get(1)?, *page.get(2)?]);
    Some(json!({
        "status": "ok", "protocol": "nvme", "failing": warning & 0b1_1101 != 0, "critical_warning": warning,
        "temperature_c": i32::from(kelvin) - 273, "media_errors": wide(160)?,
        "spare_below_threshold": page.get(3)? < page.get(4)?,
        "wear": {"used_percent": page.get(5)?, "available_spare_percent": page.get(3)?},
        "statistics": {"power_cycles": wide(112)?, "power_on_hours": wide(128)?, "unsafe_shutdowns": wide(144)?,
                       "error_log_entries": wide(176)?, "units_read": wide(32)?, "units_written": wide(48)?},
    }))
}

/// Decodes log pages of a SCSI disk; pages that it lacks are empty.
pub(super) fn scsi(informational: &[u8], errors: &[u8], wear: &[u8], scan: &[u8]) -> Value {
    let exception = parameter(informational, 0).unwrap_or_default();
    let code = exception.first().copied().unwrap_or(0);
    let minutes = parameter(scan, 0).and_then(|value| value.get(..4)).map(number);
    json!({
        "status": "ok", "protocol": "scsi", "failing": code == 0x5D, "exception": [code, exception.get(1).copied().unwrap_or(0)],
        "temperature_c": exception.get(2).filter(|celsius| **celsius != 0 && **celsius != 0xFF),
        "uncorrectable": parameter(errors, 6).map(number),
        "wear": parameter(wear, 1).and_then(|value| value.get(3).copied()).map(|used| json!({"used_percent": used})),
        "statistics": {"power_on_hours": minutes.map(|minutes| minutes / 60)},
    })
}

/// The value of a parameter of a log page.
fn parameter(page: &[u8], wanted: u16) -> Option<&[u8]> {
    let mut rest = page.get(4..)?;
    while let [high, low, _control, len, tail @ ..] = rest {
        let value = tail.get(..usize::from(*len))?;
        if u16::from_be_bytes([*high, *low]) == wanted {
            return Some(value);
        }
        rest = &tail[value.len()..];
    }
    None
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_ata_page() {
        let mut page = vec![0_u8; 512];
        for (slot, (id, raw)) in [(5_u8, 3_u8), (9, 200), (194, 35), (197, 1)].into_iter().enumerate() {
            page[2 + slot * 12] = id;
            page[2 + slot * 12 + 3] = 100;
            page[2 + slot * 12 + 5] = raw;
        }
        assert_eq!(ata(&page, None), None, "the sum is wrong");
        let sum = page.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        page[511] = sum.wrapping_neg();
        let health = ata(&page, Some(false)).unwrap();
        assert_eq!((&health["reallocated"], &health["temperature_c"]), (&json!(3), &json!(35)));
        assert_eq!(health["statistics"]["power_on_hours"], 200);
    }

    #[test]
    fn an_nvme_page() {
        let mut page = vec![0_u8; 512];
        page[1..3].copy_from_slice(&310_u16.to_le_bytes());
        (page[3], page[4], page[5], page[144]) = (100, 10, 7, 9);
        let health = nvme(&page).unwrap();
        assert_eq!((&health["temperature_c"], &health["failing"]), (&json!(37), &json!(false)));
        assert_eq!(health["statistics"]["unsafe_shutdowns"], 9);
        assert_eq!(nvme(&page[..100]), None);
    }

    #[test]
    fn scsi_pages() {
        let health = scsi(&[0x2F, 0, 0, 8, 0, 0, 3, 4, 0x5D, 0x10, 40, 0], &[], &[], &[]);
        assert_eq!((&health["failing"], &health["temperature_c"]), (&json!(true), &json!(40)));
    }

    proptest! {
        #[test]
        fn arbitrary_pages_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = (ata(&bytes, None), nvme(&bytes), scsi(&bytes, &bytes, &bytes, &bytes));
        }
    }
}
