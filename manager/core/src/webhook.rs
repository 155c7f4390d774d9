//! Webhooks: events told to programs elsewhere, in order and at least once (docs/events.md).
//!
//! Each webhook is a machine of its own. It says which event is being delivered, who does that until when, and when the
//! next attempt is; whoever claims the delivery performs it and gives the result back. What is claimed is in rows, so any
//! number of managers may try and a crash costs a repetition at the most.

pub mod backoff;
pub mod command;
pub mod decide;
pub mod state;

pub use command::{Command, Failed, New, Seek, Write};
pub use state::{Format, Off, OnExhausted, Pace, Phase, Policy, Spec, Webhook};
