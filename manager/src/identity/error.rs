//! What can go wrong with identities.

use hostler_common::error::Class;

use crate::store;

/// The result of everything that asks the identity.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an identity question has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The proof of who somebody is does not hold. The text is fit to be shown: it tells nothing about users to somebody
    /// who proved nothing.
    #[error("{0}")]
    Unauthenticated(String),
    /// Refused for a reason that the text says.
    #[error("{1}")]
    Refused(Class, String),
    /// The store says no.
    #[error(transparent)]
    Store(store::Error),
}

impl Error {
    /// A field that breaks a rule; `rule` follows the field's name: `must be …`.
    #[must_use]
    pub fn invalid(field: &str, rule: &str) -> Self {
        Self::Refused(Class::Invalid, format!("Invalid input for field '{field}': {rule}"))
    }

    /// The proof does not hold, and that is all that anybody is told.
    pub(super) fn login() -> Self {
        Self::Unauthenticated("The request you have made requires authentication.".into())
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Refused(class, text) => Self::Refused(class, text),
            other => Self::Store(other),
        }
    }
}

/// The refusal, inside of a transaction, of something that does not exist.
pub(super) fn missing(noun: &str, what: &impl std::fmt::Display) -> store::Error {
    store::Error::Refused(Class::NotFound, format!("Could not find {noun}: {what}."))
}

/// The refusal, inside of a transaction, of a name that is taken.
pub(super) fn taken(noun: &str, name: &str) -> store::Error {
    store::Error::Refused(
        Class::Conflict,
        format!("There is a {noun} of the name {name} already; choose another name."),
    )
}
