//! Settings of the croit dialect.

use serde::Deserialize;

/// The croit dialect (spec/hooks.md §2, §10, §12).
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Croit {
    /// The largest script that is taken, in bytes.
    pub script_max_bytes: u32,
    /// Whether the moments of tasks are milliseconds since 1970 rather than text, for clients of the older interface.
    pub legacy_times: bool,
    /// Whether the three newer hook points are left out of the list, for clients that end at names they do not know.
    pub hide_newer_events: bool,
    /// How many calls a caller may make in a second for long; more are refused with 429.
    pub calls_per_second: u32,
    /// How many calls a caller may make at once after a pause.
    pub calls_burst: u32,
}

impl Default for Croit {
    fn default() -> Self {
        Self {
            script_max_bytes: 256 << 10,
            legacy_times: false,
            hide_newer_events: false,
            calls_per_second: 500,
            calls_burst: 5000,
        }
    }
}
