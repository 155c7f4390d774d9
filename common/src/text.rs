//! Small rules on text that several layers share.

/// Longest host name that is accepted, in bytes (the limit of DNS).
pub const HOST_NAME_MAX: usize = 253;

/// Checks a host name: 1-253 of letters, digits, `.`, `-`, `_`, beginning with a letter or digit, and not UUID-like, as
/// the APIs accept either a UUID or a name in one place (spec/introspection.md §1.5).
///
/// # Errors
/// The rule that is broken, as a sentence fragment that follows the word "name".
pub fn check_host_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() || name.len() > HOST_NAME_MAX {
        return Err("must have 1 to 253 characters");
    }
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')) {
        return Err("may contain only letters, digits, '.', '-' and '_'");
    }
    if !name.as_bytes()[0].is_ascii_alphanumeric() {
        return Err("must begin with a letter or a digit");
    }
    if crate::id::uuid_like(name).is_some() {
        return Err("must not look like a UUID");
    }
    Ok(())
}

/// Cuts `text` to at most `limit` bytes at a character boundary.
#[must_use]
pub fn clip(text: &str, limit: usize) -> &str {
    if text.len() <= limit {
        return text;
    }
    let mut end = limit;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names() {
        assert!(check_host_name("ceph-07.example.net").is_ok());
        for bad in ["", "-a", ".a", "a b", "a/b", "ä", "6f1d2c3a0b4e4a5f8c6d7e8f90a1b2c3"] {
            assert!(check_host_name(bad).is_err(), "{bad}");
        }
        assert!(check_host_name(&"a".repeat(254)).is_err());
    }

    #[test]
    fn clipping_keeps_characters_whole() {
        assert_eq!(clip("aé", 2), "a");
        assert_eq!(clip("aé", 3), "aé");
    }
}
