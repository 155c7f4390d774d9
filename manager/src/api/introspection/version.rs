//! The negotiation of microversions (spec/introspection.md §1.3). It decides almost nothing: one answer depends on it.

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

use super::error::Failure;

/// The header by which the dialect's own clients ask for a version.
const LEGACY: HeaderName = HeaderName::from_static("x-openstack-ironic-inspector-api-version");
/// The header that is common to all services; it names a service type before the version.
const STANDARD: HeaderName = HeaderName::from_static("openstack-api-version");
/// Our name in [`STANDARD`].
const SERVICE_TYPE: &str = "baremetal-introspection";
const MINIMUM: HeaderName = HeaderName::from_static("x-openstack-ironic-inspector-api-minimum-version");
const MAXIMUM: HeaderName = HeaderName::from_static("x-openstack-ironic-inspector-api-maximum-version");

/// The minor number of the newest version; the major number is 1 and stays it.
const NEWEST: u64 = 18;
/// The newest version, as it stands in the discovery document.
pub(super) const NEWEST_TEXT: &str = "1.18";
const OLDEST_TEXT: &str = "1.0";

/// A version that we speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    minor: u64,
}

impl Version {
    /// Whether the creation of a rule answers 201, as it should, or 200, as it did before 1.6.
    pub(super) fn rule_creation_is_201(self) -> bool {
        self.minor >= 6
    }
}

/// The version that a request asks for; the newest where it asks for none.
///
/// # Errors
/// 400 and 406 with the dialect's texts.
pub(super) fn negotiate(headers: &HeaderMap) -> Result<Version, Failure> {
    if let Some(value) = headers.get(&LEGACY) {
        return parse(value.to_str().map_err(|_| malformed())?);
    }
    for value in headers.get_all(&STANDARD) {
        let Ok(text) = value.to_str() else { continue };
        for entry in text.split(',') {
            if let Some((service, version)) = entry.trim().split_once(char::is_whitespace)
                && service == SERVICE_TYPE
            {
                return parse(version);
            }
        }
    }
    Ok(Version { minor: NEWEST })
}

/// Tells the range of versions; on every answer.
pub(super) fn announce(headers: &mut HeaderMap) {
    headers.insert(MINIMUM, HeaderValue::from_static(OLDEST_TEXT));
    headers.insert(MAXIMUM, HeaderValue::from_static(NEWEST_TEXT));
}

fn parse(text: &str) -> Result<Version, Failure> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("latest") {
        return Ok(Version { minor: NEWEST });
    }
    let (major, minor) = text.split_once('.').ok_or_else(malformed)?;
    let (major, minor) = (Number::parse(major)?, Number::parse(minor)?);
    match (major.value(), minor.value()) {
        (Some(1), Some(minor)) if minor <= NEWEST => Ok(Version { minor }),
        _ => Err(Failure::not_acceptable(format!(
            "Unsupported API version {}.{}, supported range is {OLDEST_TEXT} to {NEWEST_TEXT}",
            major.shown(),
            minor.shown()
        ))),
    }
}

fn malformed() -> Failure {
    Failure::invalid("Malformed API version: expected string in form of X.Y or latest")
}

/// An integer of any length, as Python's `int` reads it: blanks around it and leading zeros do not count.
struct Number<'a> {
    negative: bool,
    digits: &'a str,
}

impl<'a> Number<'a> {
    fn parse(text: &'a str) -> Result<Self, Failure> {
        let text = text.trim();
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(malformed());
        }
        let significant = digits.trim_start_matches('0');
        Ok(Self { negative: text.starts_with('-') && !significant.is_empty(), digits: significant })
    }

    fn value(&self) -> Option<u64> {
        if self.negative {
            return None;
        }
        if self.digits.is_empty() { Some(0) } else { self.digits.parse().ok() }
    }

    fn shown(&self) -> String {
        let sign = if self.negative { "-" } else { "" };
        // The text goes back to the caller, who need not read a thousand digits.
        let digits = hostler_common::text::clip(self.digits, 20);
        format!("{sign}{}", if digits.is_empty() { "0" } else { digits })
    }
}
