//! What can be asked of a session.

use hostler_common::id::SessionId;

use crate::maintenance::question::Reply;
use crate::maintenance::spec::{Leave, Spec, Update};

/// What can be asked of a session.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one at a time, and it lives for one decision")]
pub enum Command {
    /// Begin it. Refused as invalid if a host or a plug-in is unknown, as a conflict if a host is another session's, as
    /// exhausted if there are too many sessions (§1.3).
    Create(Box<Create>),
    /// Change it (§1.6). Refused as a conflict if that cannot be done in its state.
    Update(Update),
    /// A project answers (§1.9). Refused as a conflict if that is not asked, or not any more.
    Reply(Reply),
    /// Cancel and archive it (§1.7). Never refused; a second time nothing happens.
    Delete(Leave),
}

/// A session that begins.
#[derive(Clone, Debug)]
pub struct Create {
    /// What is asked for; hosts by name.
    pub spec: Spec,
    /// Which.
    pub id: SessionId,
}
