//! The envelope of what probes find: sections, each with its own state (spec/introspection.md §6.4).

use serde::{Deserialize, Serialize};

/// How the collection of one section went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SectionStatus {
    /// Everything that exists was read.
    Ok,
    /// Some facts are missing; the reason names them.
    Partial,
    /// The source does not exist here or may not be read.
    Unavailable,
    /// The source did not answer within its deadline.
    Timeout,
    /// The source answered with something that could not be understood.
    Error,
}

/// The record of one section of an inventory, kept under `fleet.sections.<name>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Section {
    /// How it went.
    pub status: SectionStatus,
    /// Why it is not `ok`; names each missing fact.
    pub reason: Option<String>,
    /// When the collection began, by the agent's clock, RFC 3339.
    pub collected_at: String,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// What was read, for people.
    pub source: String,
    /// How long the facts count as fresh, in seconds.
    pub ttl_s: u64,
    /// SHA-256 of the canonical form of the facts, hexadecimal, without volatile fields.
    pub hash: String,
}
