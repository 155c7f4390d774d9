//! Secrets of webhooks and the signatures made with them, as Standard Webhooks writes them down.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use secrecy::{ExposeSecret as _, SecretString};

/// What secrets begin with, so that they are known for what they are wherever they turn up.
const PREFIX: &str = "whsec_";

/// The length of the key in a secret, in bytes.
const KEY: usize = 32;

/// A new secret: `whsec_` and 32 random bytes in Base64.
///
/// # Errors
/// The system gives no random numbers.
pub fn fresh() -> Result<SecretString, getrandom::Error> {
    let mut key = [0; KEY];
    getrandom::fill(&mut key)?;
    Ok(SecretString::from(format!("{PREFIX}{}", BASE64.encode(key))))
}

/// The length of a key that somebody brings along, in bytes.
const BROUGHT: std::ops::RangeInclusive<usize> = 16..=128;

/// A secret that somebody brings along: one in this form, or any text, whose bytes are the key.
///
/// # Errors
/// What is wrong with it, for whoever wrote it.
pub fn brought(text: &str) -> Result<SecretString, String> {
    let key = match text.strip_prefix(PREFIX) {
        Some(key) => BASE64.decode(key).map_err(|_| format!("what follows {PREFIX} must be Base64"))?,
        None => text.as_bytes().to_vec(),
    };
    if !BROUGHT.contains(&key.len()) {
        return Err(format!("must have from {} to {} bytes", BROUGHT.start(), BROUGHT.end()));
    }
    Ok(SecretString::from(format!("{PREFIX}{}", BASE64.encode(key))))
}

/// The signatures of a message, one for each secret; `None` if a secret is none of ours.
#[must_use]
pub fn signatures(secrets: &[SecretString], id: &str, timestamp: i64, body: &[u8]) -> Option<String> {
    let mut all = Vec::with_capacity(secrets.len());
    for secret in secrets {
        let key = BASE64.decode(secret.expose_secret().strip_prefix(PREFIX)?).ok()?;
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &key));
        context.update(format!("{id}.{timestamp}.").as_bytes());
        context.update(body);
        all.push(format!("v1,{}", BASE64.encode(context.sign())));
    }
    Some(all.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_what_the_standard_says() {
        // The example of the libraries of Standard Webhooks.
        let secret = SecretString::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let body = br#"{"test": 2432232314}"#;
        let signed = signatures(&[secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signed.as_deref(), Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
    }

    #[test]
    fn secrets_can_be_brought_along() {
        let text = "sixteen bytes or";
        let secret = brought(text).unwrap();
        assert_eq!(secret.expose_secret(), format!("whsec_{}", BASE64.encode(text)));
        assert_eq!(brought(secret.expose_secret()).unwrap().expose_secret(), secret.expose_secret());
        for bad in ["", "short", "whsec_%%%", "whsec_YWJj", &"x".repeat(129)] {
            assert!(brought(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn secrets_differ_and_each_signs() {
        let (a, b) = (fresh().unwrap(), fresh().unwrap());
        assert_ne!(a.expose_secret(), b.expose_secret());
        let signed = signatures(&[a, b], "1", 2, b"x").unwrap();
        let parts: Vec<&str> = signed.split(' ').collect();
        assert!(parts.len() == 2 && parts[0] != parts[1] && parts.iter().all(|part| part.starts_with("v1,")));
        assert_eq!(signatures(&["other".into()], "1", 2, b"x"), None);
    }
}
