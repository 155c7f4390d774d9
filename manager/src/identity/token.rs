//! Opaque tokens: 256 random bits that mean nothing without the store.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};

use super::{Error, Result};
use crate::store;

/// What every token begins with, so that people and secret scanners know one when they see it.
const PREFIX: &str = "gst_";

/// What every secret of an application credential begins with.
const SECRET_PREFIX: &str = "gsc_";

/// What every token of a callback begins with.
const CALLBACK_PREFIX: &str = "hct_";

/// SHA-256 of a token: what is stored and compared.
pub(super) type Hash = [u8; 32];

/// The hash of what somebody presents as a token.
pub(super) fn hash(token: &str) -> Hash {
    Sha256::digest(token.as_bytes()).into()
}

/// A fresh token.
pub(super) fn fresh() -> Result<SecretString> {
    Ok(format!("{PREFIX}{}", random::<32>()?).into())
}

/// A fresh secret of an application credential: 256 random bits. It begins with letters, as a command line takes what
/// begins with a hyphen for an option.
pub(super) fn fresh_secret() -> Result<SecretString> {
    Ok(format!("{SECRET_PREFIX}{}", random::<32>()?).into())
}

/// A fresh token of a callback.
pub(super) fn fresh_callback() -> Result<SecretString> {
    Ok(format!("{CALLBACK_PREFIX}{}", random::<32>()?).into())
}

/// Whether it could be a token of a callback.
pub(super) fn is_callback(token: &str) -> bool {
    token.starts_with(CALLBACK_PREFIX)
}

/// What every API token of the croit dialect begins with.
const API_PREFIX: &str = "gat_";

/// A fresh API token.
pub(super) fn fresh_api_token() -> Result<SecretString> {
    Ok(format!("{API_PREFIX}{}", random::<32>()?).into())
}

/// Whether a token is an API token, by its form.
pub(super) fn is_api_token(token: &str) -> bool {
    token.starts_with(API_PREFIX)
}

/// A fresh audit id: public, and unique enough to tell tokens apart.
pub(super) fn fresh_audit_id() -> Result<String> {
    random::<16>()
}

fn random<const N: usize>() -> Result<String> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::Store(store::Error::Broken(format!("no random numbers: {error}"))))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn tokens_are_long_and_never_the_same() {
        let (one, other) = (fresh().unwrap(), fresh().unwrap());
        assert!(one.expose_secret().starts_with("gst_"));
        assert_eq!(one.expose_secret().len(), 4 + 43);
        assert_ne!(one.expose_secret(), other.expose_secret());
        assert_ne!(hash(one.expose_secret()), hash(other.expose_secret()));
    }
}
