//! Tokens of the configuration, which do not end.

use hostler_core::policy::Role;
use subtle::ConstantTimeEq as _;

use super::session::expand;
use super::token::Hash;
use crate::config;

/// A token of the configuration, ready to be compared.
#[derive(Debug)]
pub(super) struct StaticToken {
    /// The name in the audit trail.
    pub(super) name: String,
    /// The roles of its bearer, with those that they include.
    pub(super) roles: Vec<Role>,
    hash: Hash,
}

impl StaticToken {
    /// Reads one; `None` if the hash or a role is none.
    pub(super) fn read(token: &config::StaticToken) -> Option<Self> {
        let mut hash = [0; 32];
        hex::decode_to_slice(&token.token_sha256, &mut hash).ok()?;
        let roles = token.roles.iter().map(|role| Role::from_name(role)).collect::<Option<Vec<_>>>()?;
        Some(Self { name: token.name.clone(), roles: expand(&roles), hash })
    }
}

/// The token of that hash. All are compared, each in constant time.
pub(super) fn find<'t>(tokens: &'t [StaticToken], hash: &Hash) -> Option<&'t StaticToken> {
    let mut found = None;
    for token in tokens {
        if bool::from(token.hash.ct_eq(hash)) && found.is_none() {
            found = Some(token);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::token::hash;

    #[test]
    fn only_the_token_itself_matches() {
        let config = |name: &str, token: &str, role: &str| config::StaticToken {
            name: name.into(),
            token_sha256: hex::encode_upper(hash(token)),
            roles: vec![role.into()],
        };
        let tokens: Vec<_> = [config("up", "s3cret", "admin"), config("probe", "other", "reader")]
            .iter()
            .filter_map(StaticToken::read)
            .collect();
        assert_eq!(find(&tokens, &hash("other")).map(|token| token.name.as_str()), Some("probe"));
        assert!(find(&tokens, &hash("s3crez")).is_none());
        assert!(StaticToken::read(&config("x", "x", "owner")).is_none());
    }
}
