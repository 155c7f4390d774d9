//! Maintenance: a session takes hosts out of service one by one, works on them and brings them back, without downtime and
//! without losing its place (spec/maintenance.md).
//!
//! Two kinds of machine share the work. A **session** talks to the projects, decides which host comes next and moves instances
//! away. A **stay** is one host's time in a session: checks, fences, storage, plug-ins, reboot, and the way back. The session
//! tells a stay to begin and to go on; the stay tells its session how it went ([`word`]). What each host, project, question and
//! step looks like from outside are rows, written with the decision that changed them.

pub mod ceph;
pub mod constraint;
pub mod host;
pub mod instance;
pub mod movement;
pub mod notice;
pub mod outlook;
pub mod plan;
pub mod plugin;
pub mod policy;
pub mod question;
pub mod row;
pub mod session;
pub mod spec;
pub mod state;
pub mod stay;
pub mod word;
