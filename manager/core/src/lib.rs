//! The pure core: rules as functions from what is known to what follows. No I/O, no clock, no randomness, no runtime.

pub mod introspection;
