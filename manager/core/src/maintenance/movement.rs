//! Moves: one instance leaves its host (spec/maintenance.md §3.8, §2.5).
//!
//! A move orders one attempt after the other from the compute side, each by an id of its own, and tells its session once how it
//! ended. An attempt that was ordered is waited for until the compute side says what came of it; one that takes too long is
//! ended, and what it then says still counts: a move that is told as failed is never under way any more, as far as anybody
//! knows.

mod decide;
mod state;
#[cfg(test)]
mod tests;
mod words;

pub use state::{Move, Phase};
pub use words::{End, Failure, Retry, Word, Write};
