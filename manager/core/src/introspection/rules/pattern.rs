//! Regular expressions of `matches` and `contains`, with the semantics of Python's `re` where rules depend on it, in
//! time linear in the text (spec/introspection.md §3.2).
//!
//! What Python has and this has not (look-around, back references) is refused when the rule is created.

use regex::{Regex, RegexBuilder};

/// Longest pattern, in bytes.
const MAX_LENGTH: usize = 4096;

/// Memory of one compiled pattern, in bytes.
const MAX_COMPILED: usize = 4 << 20;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub struct Pattern {
    regex: Regex,
    anchored: bool,
}

impl Pattern {
    /// A pattern that must match from the start of the text to where its own end says; a `$` is appended if the last
    /// character is not one. As with the original, an alternation `a|b` gets the `$` on its last branch only.
    ///
    /// # Errors
    /// Why it is not a regular expression.
    pub fn full(pattern: &str) -> Result<Self, String> {
        if pattern.ends_with('$') {
            return Self::compile(pattern, true);
        }
        // Compiled alone first: an error should speak of what the author wrote.
        Self::compile(pattern, true)?;
        Self::compile(&format!("{pattern}$"), true)
    }

    /// A pattern that may match anywhere in the text.
    ///
    /// # Errors
    /// Why it is not a regular expression.
    pub fn search(pattern: &str) -> Result<Self, String> {
        Self::compile(pattern, false)
    }

    fn compile(pattern: &str, anchored: bool) -> Result<Self, String> {
        if pattern.len() > MAX_LENGTH {
            return Err(format!("longer than {MAX_LENGTH} bytes"));
        }
        let regex = RegexBuilder::new(pattern)
            .size_limit(MAX_COMPILED)
            .dfa_size_limit(MAX_COMPILED)
            .nest_limit(64)
            .build()
            .map_err(|error| reason(&error))?;
        Ok(Self { regex, anchored })
    }

    /// Whether the text fits. Python's `$` also matches before a line feed at the very end, so such a text is tried
    /// without it too.
    #[must_use]
    pub fn fits(&self, text: &str) -> bool {
        self.fits_exactly(text) || text.strip_suffix('\n').is_some_and(|text| self.fits_exactly(text))
    }

    fn fits_exactly(&self, text: &str) -> bool {
        if !self.anchored {
            return self.regex.is_match(text);
        }
        // The leftmost match is at the start if any match is.
        self.regex.find(text).is_some_and(|found| found.start() == 0)
    }
}

/// The last line of the library's text, which is the reason; the lines before draw the pattern.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.trim().trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_is_anchored_and_contains_is_not() {
        let table = [
            ("S2.*", "S2U", true),
            ("S2", "S2U", false),
            ("2U", "S2U", false),
            ("S2U$", "S2U", true),
            ("S2U", "S2U\n", true),
            ("", "", true),
            ("", "x", false),
            ("(?i)acme", "ACME", true),
            ("a|b", "b", true),
            ("a|b", "bc", false),
            ("a|b", "ac", true),
            ("\\d+", "١٢", true),
        ];
        for (pattern, text, want) in table {
            assert_eq!(Pattern::full(pattern).unwrap().fits(text), want, "{pattern} {text:?}");
        }
        assert!(Pattern::search("vmx").unwrap().fits("['aes', 'vmx']"));
        assert!(!Pattern::search("^vmx").unwrap().fits("['aes', 'vmx']"));
        assert!(Pattern::search("x$").unwrap().fits("x\n"));
    }

    #[test]
    fn bad_and_excessive_patterns_are_refused() {
        for bad in ["(", "a)(b", "*", "[z-a]", "(?=x)", "(a)\\1", "(\\w{99}){99}", "x{1000}{1000}"] {
            assert!(Pattern::full(bad).is_err(), "{bad}");
            assert!(Pattern::search(bad).is_err(), "{bad}");
        }
        assert_eq!(Pattern::search("(").unwrap_err(), "unclosed group");
        assert!(Pattern::search(&"a".repeat(MAX_LENGTH + 1)).is_err());
        assert!(Pattern::search(&"(".repeat(100)).is_err());
    }
}
