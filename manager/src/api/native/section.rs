//! How old the facts of a host are, on the wire: `Section` of docs/native-api.md.

use std::collections::BTreeMap;

use hostler_common::time::Timestamp;
use hostler_core::refresh::age::{self, Mark};
use hostler_core::refresh::command::Settings;
use serde::Serialize;

/// One section.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SectionView {
    status: String,
    collected_at: String,
    max_age_s: u64,
    stale: bool,
}

/// Sections by their names.
pub type Sections = BTreeMap<String, SectionView>;

/// The sections of a host whose agent is connected or not.
#[must_use]
pub fn sections(marks: Vec<Mark>, settings: &Settings, online: bool, now: Timestamp) -> Sections {
    let view = |mark: Mark| {
        let (limit, stale) = (age::limit(settings, &mark), age::is_stale(settings, &mark, online, now));
        let collected_at = mark.collected_at.rfc3339();
        (mark.name, SectionView { status: mark.status, collected_at, max_age_s: limit.as_secs(), stale })
    };
    marks.into_iter().map(view).collect()
}

/// The names of those that are stale.
#[must_use]
pub fn stale(sections: &Sections) -> Vec<String> {
    sections.iter().filter(|(_, section)| section.stale).map(|(name, _)| name.clone()).collect()
}
