//! The text of a join token: what an operator carries from the manager to a new host (design §5).
//!
//! It holds the SHA-256 of the manager's CA certificate, so that the very first connection is already authenticated, and a
//! secret that proves to the manager that the host was invited.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use crate::id::JoinTokenId;

/// How the text begins; a leaked token is found by it.
const PREFIX: &str = "hjt1_";

/// The parts of a join token. It has no `Debug`, as it holds a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinText {
    /// Which token.
    pub id: JoinTokenId,
    /// What only its bearer knows.
    pub secret: [u8; 32],
    /// SHA-256 of the manager's CA certificate (DER).
    pub ca_sha256: [u8; 32],
}

/// The text is not that of a join token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a join token: it begins with {PREFIX} and has {LENGTH} characters; was it copied whole?")]
pub struct NotAJoinToken;

const LENGTH: usize = PREFIX.len() + 107;

impl fmt::Display for JoinText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [self.id.0.as_bytes().as_slice(), &self.secret, &self.ca_sha256].concat();
        write!(f, "{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for JoinText {
    type Err = NotAJoinToken;

    fn from_str(text: &str) -> Result<Self, NotAJoinToken> {
        let body = text.trim().strip_prefix(PREFIX).ok_or(NotAJoinToken)?;
        let bytes = URL_SAFE_NO_PAD.decode(body).map_err(|_| NotAJoinToken)?;
        let (id, rest) = bytes.split_first_chunk::<16>().ok_or(NotAJoinToken)?;
        let (secret, rest) = rest.split_first_chunk::<32>().ok_or(NotAJoinToken)?;
        let ca_sha256 = <[u8; 32]>::try_from(rest).map_err(|_| NotAJoinToken)?;
        Ok(Self { id: JoinTokenId(Uuid::from_bytes(*id)), secret: *secret, ca_sha256 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_read_back() {
        let token = JoinText { id: JoinTokenId(Uuid::from_u128(5)), secret: [7; 32], ca_sha256: [9; 32] };
        let text = token.to_string();
        assert_eq!(text.len(), LENGTH);
        assert!(text.parse::<JoinText>().is_ok_and(|read| read == token));
        assert!(format!(" {text}\n").parse::<JoinText>().is_ok());
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "hjt1_", "hjt1_AAAA", "hjt2_AAAA", "x"] {
            assert!(text.parse::<JoinText>().is_err(), "{text}");
        }
    }
}
