//! The udev database, read as files: what the system's own device manager found out about a device.

use std::collections::BTreeMap;

use super::host::HostRoot;

/// Properties of a block device by its `major:minor`; empty without a database.
pub(super) fn block(host: &HostRoot, devno: &str) -> BTreeMap<String, String> {
    let text = host.word(&format!("/run/udev/data/b{devno}")).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.strip_prefix("E:")?.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// Undoes udev's `\x20` escapes.
pub(super) fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some(first) = rest.first() {
        let code = rest.strip_prefix(b"\\x").and_then(|tail| std::str::from_utf8(tail.get(..2)?).ok());
        if let Some(byte) = code.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            bytes.push(byte);
            rest = &rest[4..];
        } else {
            bytes.push(*first);
            rest = &rest[1..];
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    #[test]
    fn escapes() {
        assert_eq!(super::unescape("a\\x20b\\x"), "a b\\x");
        assert_eq!(super::unescape("\\xzz"), "\\xzz");
    }
}
