//! Reading of paths and queries, for dialects that have their own tables of URLs.

/// The first value of a query parameter. Others of the same name, and unknown names, do not count.
pub(super) fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    query?.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(key, true) == name).then(|| decode(value, true))
    })
}

/// Resolves `%XX`, and `+` in a query. What is not UTF-8 then becomes the replacement character, which no name has.
pub(super) fn decode(text: &str, plus: bool) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        match (first, tail) {
            (b'+', _) if plus => bytes.push(b' '),
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                bytes.push(nibble(*high) << 4 | nibble(*low));
                rest = after;
            }
            (other, _) => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The value of a hexadecimal digit.
fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries() {
        assert_eq!(parameter(Some("a=1&limit=+5%20&limit=6"), "limit").as_deref(), Some(" 5 "));
        assert_eq!(parameter(Some("state"), "state").as_deref(), Some(""));
        assert_eq!(parameter(Some("a=%zz%"), "a").as_deref(), Some("%zz%"));
        assert_eq!(parameter(Some("a=%ff"), "a").as_deref(), Some("\u{fffd}"));
        assert_eq!(parameter(None, "a"), None);
    }
}
