//! The text of status records, written straight into a buffer: lists of thousands of them are asked for often.

use hostler_common::time::Timestamp;

use super::json::write;
use crate::store::introspection::Status;

/// Room for a record without an error text.
pub(super) const STATUS_SIZE: usize = 384;

/// Appends a record (spec/introspection.md §1.7.2). `collection` is the link of the list, which the record's follows.
pub(super) fn write_status(out: &mut Vec<u8>, status: &Status, collection: &str) {
    let mut id = uuid::Uuid::encode_buffer();
    let id = status.host.0.as_hyphenated().encode_lower(&mut id).as_bytes();
    out.extend_from_slice(b"{\"error\":");
    match &status.error {
        Some(error) => write(out, error.as_str()),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"finished\":");
    out.extend_from_slice(if status.finished_at.is_some() { b"true" } else { b"false" });
    out.extend_from_slice(b",\"finished_at\":");
    match status.finished_at {
        Some(at) => write_moment(out, at),
        None => out.extend_from_slice(b"null"),
    }
    // A link consists of characters that JSON need not escape: hosts and prefixes are checked before.
    out.extend_from_slice(b",\"links\":[{\"href\":\"");
    out.extend_from_slice(collection.as_bytes());
    out.push(b'/');
    out.extend_from_slice(id);
    out.extend_from_slice(b"\",\"rel\":\"self\"}],\"started_at\":");
    write_moment(out, status.started_at);
    out.extend_from_slice(b",\"state\":\"");
    out.extend_from_slice(status.state.name().as_bytes());
    out.extend_from_slice(b"\",\"uuid\":\"");
    out.extend_from_slice(id);
    out.extend_from_slice(b"\"}");
}

/// Appends what [`Timestamp::naive`] says, quoted, without the cost of general formatting.
fn write_moment(out: &mut Vec<u8>, moment: Timestamp) {
    let micros = moment.as_micros();
    let (days, of_day) = (micros.div_euclid(86_400_000_000), micros.rem_euclid(86_400_000_000));
    // From 1970 to 9999; what lies outside is left to the general way.
    if !(0..2_932_896).contains(&days) {
        return write(out, &moment.naive());
    }
    // Days are counted from 1 March of year 0, so that the leap day is a year's last: 400 years have 146097 of them.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let seconds = of_day / 1_000_000;
    let mut text = *b"\"0000-00-00T00:00:00.000000\"";
    put(&mut text[1..5], year);
    put(&mut text[6..8], month);
    put(&mut text[9..11], day);
    put(&mut text[12..14], seconds / 3600);
    put(&mut text[15..17], seconds / 60 % 60);
    put(&mut text[18..20], seconds % 60);
    put(&mut text[21..27], of_day % 1_000_000);
    out.extend_from_slice(&text);
}

/// Writes the last decimal digits of a number that is not negative.
fn put(digits: &mut [u8], mut number: i64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_general_way() {
        let day = 86_400_000_000;
        let mut moments = vec![0, 1, day - 1, -1, i64::MAX, 1_767_323_045_678_901, 253_402_300_799_999_999];
        // Around each end of February, and each new year, of a leap year, a common one, and the odd centuries.
        for year_start in [946_684_800, 978_307_200, 4_102_444_800_i64, 951_782_400, 13_574_563_200] {
            moments.extend((-2..400).map(|n| year_start * 1_000_000 + n * day + 12_345_678));
        }
        for micros in moments {
            let moment = Timestamp::from_micros(micros);
            let mut text = Vec::new();
            write_moment(&mut text, moment);
            assert_eq!(String::from_utf8(text).unwrap(), format!("\"{}\"", moment.naive()));
        }
    }
}
