//! What kind of failure something is. Each dialect derives its status and body from the class, never from the text.

use std::fmt;

/// The class of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The request is wrong in itself.
    Invalid,
    /// The thing that is named does not exist.
    NotFound,
    /// The thing is not in a state in which this can be done.
    Conflict,
    /// The caller may not do this.
    Denied,
    /// A limit was reached.
    Exhausted,
    /// Something that is needed does not answer at the moment; the same request may succeed later.
    Unavailable,
    /// A broken invariant of ours.
    Internal,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Invalid => "invalid",
            Self::NotFound => "not found",
            Self::Conflict => "conflict",
            Self::Denied => "denied",
            Self::Exhausted => "exhausted",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        })
    }
}
