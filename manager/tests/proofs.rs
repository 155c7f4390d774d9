//! Proofs of identity that come from outside, over real sockets: an existing Keystone, client certificates, and what goes
//! with them (pages of other origins, the trace of a request in the audit trail).

// Helpers outside of test functions are tests all the same.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "proofs/audit.rs"]
mod audit;
#[path = "proofs/callback_token.rs"]
mod callback_token;
#[path = "proofs/certificates.rs"]
mod certificates;
#[path = "proofs/cors.rs"]
mod cors;
#[path = "proofs/keystone.rs"]
mod keystone;
#[path = "proofs/keystone_faults.rs"]
mod keystone_faults;
#[path = "proofs/site.rs"]
mod site;
