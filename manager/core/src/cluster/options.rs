//! Whether the options that a cluster keeps for its daemons were changed (spec/hooks.md §7.7).

use std::collections::BTreeSet;

use hostler_common::cluster::ConfigChange;
use serde::{Deserialize, Serialize};

/// What is known of a cluster's options.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// The version that was last judged; `None` before the first report.
    pub version: Option<u64>,
}

impl Options {
    /// Judges a report; answers with the options that were changed since the one before, each once and in order. The first
    /// report is what later ones are compared with.
    pub fn report(&mut self, log: Option<&[ConfigChange]>) -> Option<Vec<String>> {
        let log = log?;
        let version = log.iter().map(|change| change.version).max().unwrap_or(0);
        let Some(known) = self.version else {
            self.version = Some(version);
            return None;
        };
        // A monitor that lags behind tells nothing new.
        if version <= known {
            return None;
        }
        self.version = Some(version);
        let newer = log.iter().filter(|change| change.version > known);
        let changed: BTreeSet<&String> = newer.flat_map(|change| &change.options).collect();
        Some(changed.into_iter().cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(version: u64, options: &[&str]) -> ConfigChange {
        ConfigChange { version, options: options.iter().map(|option| (*option).to_owned()).collect() }
    }

    #[test]
    fn what_is_newer_than_the_last_report() {
        let mut options = Options::default();
        assert_eq!(options.report(None), None);
        assert_eq!(options.report(Some(&[])), None, "nothing was ever changed");
        let first = [change(1, &["osd/debug_osd"])];
        assert_eq!(options.report(Some(&first)), Some(vec!["osd/debug_osd".to_owned()]));
        assert_eq!(options.report(Some(&first)), None);
        let more = [change(4, &["b/x", "a/x"]), change(3, &["a/x"]), first[0].clone()];
        assert_eq!(options.report(Some(&more)), Some(vec!["a/x".to_owned(), "b/x".to_owned()]));
        assert_eq!(options.report(Some(&first)), None, "a monitor that lags behind");
        assert_eq!(options.report(Some(&more)), None);
        assert_eq!(Options::default().report(Some(&more)), None, "the first sight is the baseline");
    }
}
