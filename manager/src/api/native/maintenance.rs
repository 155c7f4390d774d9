//! Maintenance for operators, as far as the Fenix dialect has no way for it: sessions at a glance, what one does right now,
//! plug-ins. Everything that changes a session goes through that dialect (spec/maintenance.md §1).

pub mod plugin;
pub mod session;
mod view;
