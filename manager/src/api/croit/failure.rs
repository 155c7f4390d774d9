//! Errors of the layers below as the dialect says them (spec/hooks.md §2.2).

use http::StatusCode;

use crate::api::native::error::Error;
use crate::{hooks, identity};

/// Why a script is not taken in.
pub(super) fn script_failure(failure: hooks::Failure) -> Error {
    match failure {
        hooks::Failure::TooLarge(text) => Error::new(StatusCode::PAYLOAD_TOO_LARGE, text),
        hooks::Failure::Unfit(text) => Error::new(StatusCode::UNPROCESSABLE_ENTITY, text),
        hooks::Failure::Store(error) => error.into(),
    }
}

/// Why an identity question has no answer.
pub(super) fn identity_failure(failure: identity::Error) -> Error {
    match failure {
        identity::Error::Unauthenticated(text) => {
            Error::new(StatusCode::UNAUTHORIZED, text).with_challenge(http::HeaderValue::from_static("Bearer"))
        }
        identity::Error::Refused(class, text) => crate::store::Error::Refused(class, text).into(),
        identity::Error::Store(error) => error.into(),
    }
}
