//! Runs: one script on any number of hosts, one task (spec/hooks.md §8-§10).
//!
//! The machine keeps only counts; what it knows of each host is a row, a *target*, at a position in the order in which the
//! hosts were given. Targets are begun in that order, so those that wait are always the last ones. A decision is given the
//! one target that something happened to, or the next ones that wait, and says what their rows become.

pub mod command;
mod decide;
mod launch;
mod question;
pub mod quota;
pub mod spec;
mod state;
pub mod target;

pub use command::{Command, Facts, Word, Write};
pub use quota::Quota;
pub use spec::{HookOrigin, Origin, Parent, Spec};
pub use state::{Canary, Phase, Run};
