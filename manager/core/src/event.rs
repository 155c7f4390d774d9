//! Recorded events and which of them somebody wants to hear of (docs/events.md).

use hostler_common::id::{EventNumber, HostId};
use hostler_common::text::clip;
use hostler_common::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Most entries of one list of a filter.
pub const FILTER_ENTRIES: usize = 50;

/// Longest entry of a filter, in bytes.
pub const FILTER_ENTRY_MAX: usize = 256;

/// Longest text inside an event that is shown or sent, in bytes.
pub const TEXT_MAX: usize = 4 << 10;

/// An event with its number: immutable, the same for everybody who asks.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// Its number; rises by one with each.
    pub number: EventNumber,
    /// When it happened.
    pub at: Timestamp,
    /// The stable name.
    pub kind: String,
    /// What it is about.
    pub subject: String,
    /// Who caused it, where somebody did.
    pub actor: Option<String>,
    /// The particulars.
    pub data: Value,
}

impl Recorded {
    /// How urgent it is: what its particulars say, else information.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.data["severity"].as_str().and_then(Severity::from_name).unwrap_or(Severity::Info)
    }

    /// The same, with long texts in its particulars cut: what anybody outside sees. Stored JSON came through the parser, so
    /// its depth is bounded.
    #[must_use]
    pub fn shortened(mut self) -> Self {
        shorten(&mut self.data);
        self
    }

    /// Whether it is about that host, or names it.
    #[must_use]
    pub fn concerns(&self, host: HostId) -> bool {
        let id = host.to_string();
        self.subject == id || self.data["host"].as_str() == Some(&id)
    }
}

fn shorten(value: &mut Value) {
    match value {
        Value::String(text) if text.len() > TEXT_MAX => *text = format!("{}…", clip(text, TEXT_MAX)),
        Value::Array(items) => items.iter_mut().for_each(shorten),
        Value::Object(map) => map.values_mut().for_each(shorten),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// How urgent an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// For the record.
    Info,
    /// Somebody should look.
    Warning,
    /// Something is lost, missing, or not what it was.
    Alarm,
}

impl Severity {
    /// All, the mildest first.
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Alarm];

    /// The stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Alarm => "alarm",
        }
    }

    /// The severity of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.name() == name)
    }
}

/// A kind of event, or with `.*` at the end all kinds that begin so; `*` is every kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KindPattern(String);

impl KindPattern {
    /// Reads a pattern: `introspection.finished`, `introspection.*`, `*`. `None` if it could match nothing.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let stem = match text.strip_suffix('*') {
            Some("") => return Some(Self(text.to_owned())),
            Some(stem) => stem.strip_suffix('.')?,
            None => text,
        };
        let word = |word: &str| {
            !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
        };
        (text.len() <= FILTER_ENTRY_MAX && stem.split('.').all(word)).then(|| Self(text.to_owned()))
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Whether a kind fits.
    #[must_use]
    pub fn matches(&self, kind: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(stem) => kind.starts_with(stem),
            None => kind == self.0,
        }
    }
}

/// Which events somebody wants. An empty list does not restrict; within a list one entry has to fit, and every list has to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Filter {
    /// Kinds.
    pub kinds: Vec<KindPattern>,
    /// What they are about, exactly.
    pub subjects: Vec<String>,
    /// Hosts that they concern.
    pub hosts: Vec<HostId>,
    /// How urgent they are.
    pub severities: Vec<Severity>,
}

impl Filter {
    /// Whether an event is wanted.
    #[must_use]
    pub fn matches(&self, event: &Recorded) -> bool {
        fn fits<T>(list: &[T], test: impl FnMut(&T) -> bool) -> bool {
            list.is_empty() || list.iter().any(test)
        }
        fits(&self.kinds, |kind| kind.matches(&event.kind))
            && fits(&self.subjects, |subject| *subject == event.subject)
            && fits(&self.hosts, |host| event.concerns(*host))
            && fits(&self.severities, |severity| *severity == event.severity())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn event(kind: &str, subject: &str, data: Value) -> Recorded {
        Recorded {
            number: EventNumber(1),
            at: Timestamp::from_micros(0),
            kind: kind.into(),
            subject: subject.into(),
            actor: None,
            data,
        }
    }

    fn kinds(patterns: &[&str]) -> Filter {
        Filter { kinds: patterns.iter().map(|text| KindPattern::parse(text).unwrap()).collect(), ..Filter::default() }
    }

    #[test]
    fn patterns_match_whole_words() {
        for (pattern, kind, matches) in [
            ("a.b", "a.b", true),
            ("a.b", "a.bc", false),
            ("a.*", "a.b", true),
            ("a.*", "a.b.c", true),
            ("a.*", "a", false),
            ("a.*", "ab.c", false),
            ("*", "anything.at-all", true),
        ] {
            assert_eq!(kinds(&[pattern]).matches(&event(kind, "", json!({}))), matches, "{pattern} {kind}");
        }
        for bad in ["", ".", "a.", ".a", "a*", "a..b", "a.*.b", "a b", "**", "a,b"] {
            assert_eq!(KindPattern::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn every_list_has_to_fit_and_an_empty_one_does() {
        let (host, other) = (HostId(Uuid::from_u128(1)), HostId(Uuid::from_u128(2)));
        let warning = event("x.y", &host.to_string(), json!({ "severity": "warning" }));
        let about = event("x.y", "7", json!({ "host": host }));
        assert!(Filter::default().matches(&warning));
        let filter = Filter { hosts: vec![host], ..kinds(&["z", "x.*"]) };
        assert!(filter.matches(&warning) && filter.matches(&about));
        assert!(!Filter { hosts: vec![other], ..filter.clone() }.matches(&about));
        let severe = Filter { severities: vec![Severity::Warning, Severity::Alarm], ..filter.clone() };
        assert!(severe.matches(&warning) && !severe.matches(&about));
        assert!(Filter { subjects: vec!["7".into()], ..filter }.matches(&about));
    }

    #[test]
    fn what_says_no_severity_or_a_strange_one_is_information() {
        for data in [json!({}), json!(null), json!({"severity": "loud"}), json!({"severity": 3})] {
            assert_eq!(event("x", "", data).severity(), Severity::Info);
        }
    }
}
