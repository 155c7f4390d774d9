//! Parameters behind the question mark. Clients add some of their own: those that nobody knows are passed over
//! (spec/hooks.md §2).

use axum::extract::FromRequestParts;
use http::StatusCode;
use http::request::Parts;

use crate::api::native::error::{Error, Result};

/// The parameters of a request.
#[derive(Clone, Debug)]
pub(super) struct Parameters(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self> {
        let pairs = axum::extract::Query::try_from_uri(&parts.uri);
        let pairs = pairs.map_err(|_| Error::new(StatusCode::BAD_REQUEST, "the query cannot be read"))?;
        Ok(Self(pairs.0))
    }
}

impl Parameters {
    /// A value; of several the first counts.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// All values of that name.
    pub(super) fn all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A truth value; absent means false, the name alone true.
    ///
    /// # Errors
    /// It is neither.
    pub(super) fn flag(&self, name: &str) -> Result<bool> {
        match self.get(name) {
            None | Some("false" | "0") => Ok(false),
            Some("" | "true" | "1") => Ok(true),
            Some(_) => Err(Error::field(name, "must be true or false")),
        }
    }

    /// A number.
    ///
    /// # Errors
    /// It is none.
    pub(super) fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>> {
        let read = |text: &str| text.parse().map_err(|_| Error::field(name, "must be a whole number"));
        self.get(name).filter(|text| !text.is_empty()).map(read).transpose()
    }
}
