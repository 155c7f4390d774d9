//! Sessions: the conversation with projects, the choice of the next host, the moves, and the end (spec/maintenance.md §2, §3).
//!
//! A session is decided by level, not by edge: an input changes one thing of the document, then [`Turn::advance`] looks at the
//! document, the facts and the clock and does whatever is due, until nothing is. So a message that comes twice, late or out of
//! turn changes nothing, and what a restart interrupted goes on from the rows. What is waited for has one timer, [`WAKE`], set
//! to the earliest moment at which anything could become due.
//!
//! Hosts and instances are rows, changed in a copy during the turn; the writes are the difference at its end. A stay does the
//! work on its host; see [`word`](super::word) for what the two tell each other.

mod advance;
mod ask;
mod choose;
mod command;
mod converse;
mod create;
mod decide;
mod document;
mod empty;
mod errand;
pub(crate) mod event;
mod facts;
mod fail;
mod fence;
mod inventory;
mod lane;
mod moving;
mod next;
mod outage;
mod rehearsal;
mod reply;
mod room;
mod turn;
mod update;
pub mod window;

pub use command::{Command, Create};
pub use document::{Errand, Lane, LaneStage, OpenMove, Own, Session, Shown, Stage, Then, WAKE};
pub use facts::{Facts, Fetched};
pub use rehearsal::rehearse;
use turn::Turn;
