//! How a command fails: one value that carries the exit code, what happened, why, and what to do next.
//!
//! The exit codes are an interface: they are listed in `--help` and in `docs/cli.md`, and a test keeps the three equal.

use std::fmt;

/// The kind of a failure; each has an exit code of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Whoever reads our standard output went away: not a failure of ours, so the exit code is that of success.
    ReaderGone,
    /// The operation was tried and failed.
    Failed,
    /// The command line is wrong in itself.
    Usage,
    /// The manager cannot be reached, or does not accept the token or password.
    Unreachable,
    /// The thing that is named does not exist.
    NotFound,
    /// The thing is not in a state in which this can be done.
    Conflict,
    /// The caller's roles do not allow it.
    Denied,
    /// The manager refused the input.
    Rejected,
    /// The manager is there but cannot do it now; the same command may succeed later.
    Unavailable,
    /// What was waited for did not happen in time; it may still.
    Deadline,
    /// Ended by Ctrl-C.
    Interrupted,
    /// A script ended so on a host; its code is ours.
    Script(u8),
}

/// Every exit code and its meaning, in the order of the codes; source of `--help`.
pub const EXIT_CODES: [(u8, &str); 11] = [
    (0, "done"),
    (1, "the operation was tried and failed"),
    (2, "the command line is wrong"),
    (3, "the manager cannot be reached, or refuses the token or password"),
    (4, "no such thing"),
    (5, "conflict: the thing is not in a state in which this can be done"),
    (6, "denied: the token's roles do not allow it"),
    (7, "the manager refused the input"),
    (8, "the manager cannot do it now (overloaded or without its store); try again later"),
    (9, "--timeout passed while waiting; the work itself goes on"),
    (130, "interrupted by Ctrl-C"),
];

impl Kind {
    /// The exit code of the process.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::ReaderGone => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::NotFound => 4,
            Self::Conflict => 5,
            Self::Denied => 6,
            Self::Rejected => 7,
            Self::Unavailable => 8,
            Self::Deadline => 9,
            Self::Interrupted => 130,
            Self::Script(code) => code,
        }
    }

    /// The kind that an HTTP status of 400 or above means.
    #[must_use]
    pub fn of_status(status: u16) -> Self {
        match status {
            401 => Self::Unreachable,
            403 => Self::Denied,
            404 | 410 => Self::NotFound,
            409 | 412 => Self::Conflict,
            429 | 502..=504 => Self::Unavailable,
            400..=499 => Self::Rejected,
            _ => Self::Failed,
        }
    }
}

/// A failed command.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Decides the exit code.
    pub kind: Kind,
    /// What could not be done: `cannot show host "a"`.
    pub what: String,
    /// Why, in words for people; may have several lines.
    pub why: String,
    /// What to do next.
    pub hint: Option<String>,
    /// The manager's id of the request, which its log names.
    pub request: Option<String>,
    /// The HTTP status, if the manager answered at all.
    pub status: Option<u16>,
}

impl Failure {
    /// A failure of that kind: what could not be done and why.
    pub fn new(kind: Kind, what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { kind, what: what.into(), why: why.into(), hint: None, request: None, status: None }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Ctrl-C.
    #[must_use]
    pub fn interrupted() -> Self {
        Self::new(Kind::Interrupted, "interrupted", "")
    }

    /// The whole message for people, in lines, without colours, beginning with `error:`; empty if there is nothing to
    /// tell. Control characters of what a server answered are made harmless.
    #[must_use]
    pub fn message(&self) -> String {
        match self.kind {
            Kind::ReaderGone => return String::new(),
            Kind::Interrupted if self.why.is_empty() => return "interrupted\n".into(),
            _ => {}
        }
        let mut text = format!("error: {}: {}\n", self.what, self.why.trim_end());
        if let Some(request) = &self.request {
            text.push_str(&format!("  request id: {request}\n"));
        }
        if let Some(hint) = &self.hint {
            text.push_str(&format!("  hint: {hint}\n"));
        }
        crate::output::human::clean_lines(&text)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Kind; 11] = [
        Kind::ReaderGone,
        Kind::Failed,
        Kind::Usage,
        Kind::Unreachable,
        Kind::NotFound,
        Kind::Conflict,
        Kind::Denied,
        Kind::Rejected,
        Kind::Unavailable,
        Kind::Deadline,
        Kind::Interrupted,
    ];

    #[test]
    fn every_kind_has_a_documented_code() {
        let codes: Vec<u8> = ALL.iter().map(|kind| kind.exit_code()).collect();
        assert_eq!(codes, EXIT_CODES.map(|(code, _)| code));
    }

    #[test]
    fn the_page_lists_the_codes() {
        let page = include_str!("../../docs/cli.md");
        for (code, meaning) in EXIT_CODES {
            assert!(page.contains(&format!("| {code} | {meaning} |")), "docs/cli.md lacks exit code {code}");
        }
    }

    #[test]
    fn statuses_map_to_kinds() {
        for (status, kind) in [
            (400, Kind::Rejected),
            (401, Kind::Unreachable),
            (403, Kind::Denied),
            (404, Kind::NotFound),
            (409, Kind::Conflict),
            (413, Kind::Rejected),
            (429, Kind::Unavailable),
            (500, Kind::Failed),
            (503, Kind::Unavailable),
        ] {
            assert_eq!(Kind::of_status(status), kind, "{status}");
        }
    }

    #[test]
    fn a_message_says_what_why_and_what_next() {
        let mut failure =
            Failure::new(Kind::NotFound, "cannot show host a", "no such host").hint("try `hostler host list`");
        failure.request = Some("r-1".into());
        assert_eq!(
            failure.message(),
            "error: cannot show host a: no such host\n  request id: r-1\n  hint: try `hostler host list`\n"
        );
    }

    #[test]
    fn a_message_cannot_steer_the_terminal() {
        let failure = Failure::new(Kind::Failed, "cannot do it", "\u{1b}[2Jgone\u{7}");
        assert!(!failure.message().contains('\u{1b}') && !failure.message().contains('\u{7}'));
    }
}
