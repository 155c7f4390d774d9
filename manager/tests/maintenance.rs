//! The maintenance dialect from outside, by function call (spec/maintenance.md §9): every path with every method, bodies of
//! any kind, who may do what, and what existing clients send and read.
// Helpers outside of test functions are tests all the same.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "maintenance/clients.rs"]
mod clients;
#[path = "maintenance/crew.rs"]
mod crew;
#[path = "maintenance/defects.rs"]
mod defects;
#[path = "maintenance/downloads.rs"]
mod downloads;
#[path = "maintenance/flows.rs"]
mod flows;
#[path = "maintenance/fuzz.rs"]
mod fuzz;
#[path = "maintenance/gates.rs"]
mod gates;
#[path = "maintenance/large.rs"]
#[allow(clippy::print_stdout, reason = "how long it takes is shown")]
mod large;
#[path = "maintenance/pages.rs"]
mod pages;
#[path = "maintenance/records.rs"]
mod records;
#[path = "maintenance/replies.rs"]
mod replies;
#[path = "maintenance/rights.rs"]
mod rights;
#[path = "maintenance/sessions.rs"]
mod sessions;
#[path = "maintenance/site.rs"]
mod site;
#[path = "support/manager.rs"]
mod support;
#[path = "maintenance/surface.rs"]
mod surface;
