//! Files of maintenance sessions: fetched while projects are not told of anything yet, verified, and kept by what they are
//! (spec/maintenance.md §5.5).
//!
//! What a session asks for is in its row; where each file stands is a row of its own ([`crate::store::maintenance::download_rows`]),
//! which the session reads with every decision. Nothing here decides about a session: it fetches what is wanted and tells the
//! session that there is something to look at. A file that was begun is taken up where it ended.
//!
//! Must never: hand out a file under a digest that it does not have, or keep more bytes than the settings allow.

mod fetch;
mod folder;
mod work;

use std::path::{Path, PathBuf};

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hostler_common::script::Digest;
use hostler_core::maintenance::spec::Download;
use reqwest::Url;

use crate::config;

pub use fetch::{Client, Have, Trouble};
pub use folder::{Folder, open};
pub use work::Downloads;

/// Where the files are, below the manager's state folder.
#[must_use]
pub fn folder_of(state_dir: &Path) -> PathBuf {
    state_dir.join("downloads")
}

/// Why a URL may not be fetched, for whoever wrote it; also asked of each address to which a server sends on.
///
/// # Errors
/// The rule that it breaks.
pub fn allowed(url: &Url, rules: &config::Maintenance) -> Result<(), &'static str> {
    match url.scheme() {
        "https" => {}
        "http" if rules.download_http => {}
        "http" => return Err("plain HTTP is not allowed: must begin with https://"),
        _ => return Err("must begin with https://"),
    }
    let Some(host) = url.host_str().filter(|host| !host.is_empty()) else { return Err("must name a host") };
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err("must have neither a user nor a fragment");
    }
    let known = |allowed: &String| allowed.eq_ignore_ascii_case(host);
    if !rules.download_hosts.is_empty() && !rules.download_hosts.iter().any(known) {
        return Err("is at a host from which files are not taken");
    }
    Ok(())
}

/// Whether one of the settings' keys signed that digest.
fn signed(file: &Download, digest: &Digest, keys: &[String]) -> bool {
    let Some(signature) = &file.signature else { return true };
    let Ok(signature) = STANDARD.decode(signature) else { return false };
    let verifies = |key: &String| {
        let key = STANDARD.decode(key).unwrap_or_default();
        UnparsedPublicKey::new(&ED25519, key).verify(&digest.0, &signature).is_ok()
    };
    keys.iter().any(verifies)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};

    use super::*;

    #[test]
    fn a_signature_is_one_of_a_known_key_over_the_digest() {
        let pair = Ed25519KeyPair::generate().unwrap();
        let digest = Digest([7; 32]);
        let signature = STANDARD.encode(pair.sign(&digest.0));
        let file = |signature: Option<String>| Download {
            url: "https://m.example/a".into(),
            name: "a".into(),
            sha256: None,
            size: None,
            signature,
            unchecked: false,
        };
        let keys = vec!["bm8ga2V5".to_owned(), STANDARD.encode(pair.public_key())];
        assert!(signed(&file(None), &digest, &[]));
        assert!(signed(&file(Some(signature.clone())), &digest, &keys));
        assert!(!signed(&file(Some(signature.clone())), &Digest([8; 32]), &keys));
        assert!(!signed(&file(Some(signature)), &digest, &keys[..1]));
        assert!(!signed(&file(Some("!".into())), &digest, &keys));
    }
}
