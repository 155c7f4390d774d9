//! What of a call may be read later by whoever reads the audit trail: nothing that proves who somebody is, no secret, and
//! of scripts no more than fits.

use hostler_common::text::clip;
use serde_json::Value;

/// How much of a body is recorded, in bytes.
const BODY_MAX: usize = 8 << 10;

/// How much of one text inside a body is recorded, in bytes; less where it would not fit otherwise.
const TEXT_MAX: usize = 7 << 10;

/// What stands in the place of what is not recorded.
const MASK: &str = "***";

/// Parts of names under which everything is secret.
const SECRET: [&str; 5] = ["password", "token", "secret", "authorization", "passphrase"];

/// Names that hold such a part and are not secret.
const PLAIN: [&str; 3] = ["secrets", "password_expires_at", "token_lifetime"];

/// What tokens and secrets of ours begin with.
const PREFIXES: [&str; 3] = ["gst_", "gsc_", "gat_"];

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    !PLAIN.contains(&name.as_str()) && SECRET.iter().any(|part| name.contains(part))
}

/// A query without secrets, at most `max` bytes of it.
pub(super) fn query(text: &str, max: usize) -> String {
    let pairs = text.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if is_secret(name) => format!("{name}={MASK}"),
        _ => pair.to_owned(),
    });
    clip(&pairs.collect::<Vec<_>>().join("&"), max).to_owned()
}

/// A body without secrets; `form` says that it is pairs and no JSON.
pub(super) fn body(bytes: &[u8], form: bool, endpoint: &str) -> String {
    let Ok(text) = std::str::from_utf8(bytes) else { return format!("({} bytes)", bytes.len()) };
    if form {
        return query(text, BODY_MAX);
    }
    let Ok(mut document) = serde_json::from_str::<Value>(text) else { return format!("({} bytes)", bytes.len()) };
    // A client of croit sends its documents as texts inside of JSON.
    if let Value::String(inner) = &document
        && let Ok(read) = serde_json::from_str::<Value>(inner)
    {
        document = read;
    }
    mask(&mut document, endpoint.starts_with("/api/secrets"));
    for longest in [TEXT_MAX, 1024, 64] {
        shorten(&mut document, longest);
        let text = document.to_string();
        if text.len() <= BODY_MAX {
            return text;
        }
    }
    format!("{}…", clip(&document.to_string(), BODY_MAX - "…".len()))
}

fn mask(value: &mut Value, values_too: bool) {
    match value {
        Value::Object(map) => {
            for (name, inner) in map.iter_mut() {
                if is_secret(name) || (values_too && name == "value") {
                    *inner = MASK.into();
                } else {
                    mask(inner, values_too);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| mask(item, values_too)),
        Value::String(text) if PREFIXES.iter().any(|prefix| text.starts_with(prefix)) => *text = MASK.into(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn shorten(value: &mut Value, max: usize) {
    match value {
        Value::String(text) if text.len() > max => *text = format!("{}…", clip(text, max)),
        Value::Array(items) => items.iter_mut().for_each(|item| shorten(item, max)),
        Value::Object(map) => map.values_mut().for_each(|inner| shorten(inner, max)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proofs_and_secrets_are_masked() {
        let text = body(
            br#"{"auth":{"identity":{"password":{"user":{"password":"x1"}},"token":{"id":"x2"}}},"name":"n","list":["gst_x3"]}"#,
            false,
            "/identity/v3/auth/tokens",
        );
        assert!(!text.contains("x1") && !text.contains("x2") && !text.contains("x3"), "{text}");
        assert!(text.contains(r#""name":"n""#), "{text}");
        assert_eq!(body(br#"{"value":"x"}"#, false, "/api/secrets/db"), r#"{"value":"***"}"#);
        assert_eq!(body(br#"{"value":"x"}"#, false, "/api/hosts"), r#"{"value":"x"}"#);
        assert_eq!(body(br#""{\"password\":\"x\"}""#, false, "/"), r#"{"password":"***"}"#);
        assert_eq!(
            body(b"grant_type=password&username=u&password=x%26", true, "/"),
            "grant_type=password&username=u&password=***"
        );
        assert_eq!(query("id=1&token=abc", 100), "id=1&token=***");
    }

    #[test]
    fn long_scripts_are_cut_and_what_cannot_be_read_is_not_shown() {
        let script = serde_json::json!({"name": "s", "contents": "é".repeat(9000)}).to_string();
        let text = body(script.as_bytes(), false, "/api/events/scripts");
        assert!(text.len() <= BODY_MAX && text.contains('…') && text.starts_with(r#"{"name":"s""#));
        let wide = serde_json::to_string(&vec!["x"; 9000]).unwrap();
        assert!(body(wide.as_bytes(), false, "/").len() <= BODY_MAX);
        assert_eq!(body(b"password: x", false, "/"), "(11 bytes)");
        assert_eq!(body(b"\xff", false, "/"), "(1 bytes)");
    }
}
