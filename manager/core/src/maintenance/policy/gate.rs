//! Gates: what must hold before a host is touched (spec/maintenance.md §3.9).
//!
//! Some are opened by a server elsewhere. What such a gate asks is a text, its question: gates with the same question are opened
//! by the same answer, and whoever asks needs nothing else.

use serde::{Deserialize, Deserializer, Serialize};

/// The longest question, in bytes: the store keeps answers by their questions.
const QUESTION_MAX: usize = 2048;

/// Something that must hold before a host is touched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "gate", rename_all = "snake_case", deny_unknown_fields)]
pub enum Gate {
    /// The Ceph clusters of the session's hosts are clean (§8.4).
    CephHealth,
    /// A URL answers 200.
    Http {
        /// Which.
        url: String,
    },
    /// An Alertmanager knows no alert that is active, neither silenced nor inhibited.
    AlertsClear {
        /// Where its API begins: what comes before `/api/v2/alerts`.
        url: String,
        /// Matchers of labels (`severity="critical"`); only alerts that meet all of them count. Empty means that every one counts.
        #[serde(default, deserialize_with = "one_or_many")]
        filter: Vec<String>,
    },
    /// A script of the library ends well on the management node.
    Probe {
        /// Its name.
        name: String,
    },
    /// Somebody approves.
    ManualApproval {
        /// Before what.
        before: Approval,
    },
}

/// Before what somebody has to approve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Approval {
    /// Before anything.
    Session,
    /// Before the first host only.
    FirstHost,
    /// Before each host.
    EachHost,
}

/// How matchers are written: a list of them, or one without a list around it.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a matcher of labels, or a list of them")]
    enum Written {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Written::deserialize(deserializer)? {
        Written::One(one) => vec![one],
        Written::Many(many) => many,
    })
}

impl Gate {
    /// What a server elsewhere has to be asked; `None` for gates that the fleet itself, or a person, opens.
    #[must_use]
    pub fn question(&self) -> Option<String> {
        match self {
            Self::Http { url } => Some(url.clone()),
            // Names and texts: nothing of it can fail to be written.
            Self::AlertsClear { .. } => serde_json::to_string(self).ok(),
            Self::CephHealth | Self::Probe { .. } | Self::ManualApproval { .. } => None,
        }
    }

    /// The gate that asks this.
    #[must_use]
    pub fn of_question(question: &str) -> Self {
        match serde_json::from_str(question) {
            Ok(gate @ Self::AlertsClear { .. }) => gate,
            _ => Self::Http { url: question.to_owned() },
        }
    }

    /// What it waits for, in words; what it finds instead follows them.
    #[must_use]
    pub fn waits_until(&self) -> String {
        match self {
            Self::CephHealth => "waits until the Ceph cluster is clean".into(),
            Self::Http { url } => format!("waits until {url} answers 200"),
            Self::AlertsClear { url, filter } if filter.is_empty() => format!("waits until {url} has no active alerts"),
            Self::AlertsClear { url, filter } => {
                format!("waits until {url} has no active alerts with {}", filter.join(", "))
            }
            Self::Probe { name } => format!("waits until the script {name} ends well"),
            Self::ManualApproval { .. } => "waits for an approval".into(),
        }
    }

    /// What is wrong with it beyond what the types hold.
    ///
    /// # Errors
    /// The rule that it breaks: the rest of a sentence that begins with its name.
    pub fn check(&self) -> Result<(), &'static str> {
        match self {
            Self::AlertsClear { filter, .. } if !filter.iter().all(|one| Self::is_matcher(one)) => {
                Err("must have a filter of matchers of labels, such as severity=\"critical\"")
            }
            Self::Probe { name } if name.is_empty() || name.chars().count() > 255 => Err("must name a script"),
            _ if self.question().is_some_and(|question| question.len() > QUESTION_MAX) => {
                Err("must have a URL and a filter that are shorter")
            }
            Self::CephHealth
            | Self::Http { .. }
            | Self::AlertsClear { .. }
            | Self::Probe { .. }
            | Self::ManualApproval { .. } => Ok(()),
        }
    }

    /// Whether a text is a matcher of labels: a name, one of `=`, `!=`, `=~`, `!~`, and a value.
    #[must_use]
    pub fn is_matcher(text: &str) -> bool {
        let Some(at) = text.find(['=', '!']) else { return false };
        let (name, rest) = (text[..at].trim().trim_matches('"'), &text[at..]);
        let operator = rest.starts_with('=') || rest.starts_with("!=") || rest.starts_with("!~");
        operator && !name.is_empty() && !text.chars().any(char::is_control)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alerts(filter: &[&str]) -> Gate {
        let filter = filter.iter().map(|one| (*one).to_owned()).collect();
        Gate::AlertsClear { url: "https://am.example".into(), filter }
    }

    #[test]
    fn a_question_names_the_gate_that_asks_it() {
        let http = Gate::Http { url: "https://x/{ok}".into() };
        assert_eq!(http.question().as_deref(), Some("https://x/{ok}"), "as it always was written");
        for gate in [http, alerts(&[]), alerts(&["severity=\"critical\"", "team!~a|b"])] {
            assert_eq!(Gate::of_question(&gate.question().unwrap()), gate);
        }
        assert_eq!(Gate::CephHealth.question(), None);
    }

    #[test]
    fn filters_are_lists_or_one_matcher() {
        let read = |text: &str| serde_json::from_str::<Gate>(text);
        let base = "\"gate\": \"alerts_clear\", \"url\": \"https://am.example\"";
        assert_eq!(read(&format!("{{{base}}}")).unwrap(), alerts(&[]));
        assert_eq!(read(&format!("{{{base}, \"filter\": \"a=b\"}}")).unwrap(), alerts(&["a=b"]));
        assert_eq!(read(&format!("{{{base}, \"filter\": [\"a=b\", \"c!=d\"]}}")).unwrap(), alerts(&["a=b", "c!=d"]));
        assert!(read(&format!("{{{base}, \"filter\": [1]}}")).is_err());
        assert!(read(&format!("{{{base}, \"fliter\": []}}")).is_err());
    }

    #[test]
    fn what_is_too_long_or_no_matcher_is_refused() {
        assert!(alerts(&["a=b"]).check().is_ok());
        assert!(alerts(&["a=b", "c"]).check().is_err());
        assert!(alerts(&[&format!("a={}", "x".repeat(QUESTION_MAX))]).check().is_err());
        assert!(Gate::Http { url: "x".repeat(QUESTION_MAX + 1) }.check().is_err());
        assert!(Gate::Probe { name: String::new() }.check().is_err());
    }

    #[test]
    fn matchers_have_a_name_an_operator_and_a_value() {
        for good in ["a=b", "severity=\"critical\"", "a!=", "a=~\"x|y\"", "a !~ b", "\"odd name\"=x"] {
            assert!(Gate::is_matcher(good), "{good}");
        }
        for bad in ["", "a", "=b", "\"\"=b", "!~b", "a!b", "a~b", "a=b\n"] {
            assert!(!Gate::is_matcher(bad), "{bad}");
        }
    }
}
