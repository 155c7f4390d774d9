//! The introspection dialect over a real store and engine, in one process and under a clock of its own. Each test is named
//! after its point of the conformance checklist (spec/introspection.md §8).

mod callback;
mod conflicts;
mod data;
mod fixture;
mod list;
mod load;
mod rules;
mod transport;
mod versions;
