//! JSON values as YAML, so that both YAML 1.1 and 1.2 readers get the same values back.
//!
//! Strings are written plain only where no reader could take them for anything else; all others are double-quoted with
//! the escapes that both versions know. Nothing else of YAML is used: no anchors, tags, block scalars or flow
//! collections other than the empty ones.

use std::fmt::Write;

use serde_json::{Map, Value};

/// The longest key that YAML lets stand before a `:` without the explicit `?` form, with room for its quoting.
const SIMPLE_KEY_MAX: usize = 1000;

/// Words that YAML 1.1 reads as null or booleans, in lower case.
const RESERVED: [&str; 9] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];

/// `value` as a YAML document with a final line break.
#[must_use]
pub fn document(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => entries(&mut out, map, 0, false),
        Value::Array(items) if !items.is_empty() => elements(&mut out, items, 0, false),
        other => {
            scalar(&mut out, other);
            out.push('\n');
        }
    }
    out
}

/// Writes the pairs of a mapping; `inline` means that the first one continues a line that is already indented.
fn entries(out: &mut String, map: &Map<String, Value>, indent: usize, inline: bool) {
    for (position, (key, value)) in map.iter().enumerate() {
        if position > 0 || !inline {
            pad(out, indent);
        }
        let long = key.len() > SIMPLE_KEY_MAX;
        if long {
            out.push_str("? ");
        }
        text(out, key);
        if long {
            out.push('\n');
            pad(out, indent);
        }
        out.push(':');
        nested(out, value, indent);
    }
}

/// Writes what follows the colon of a key.
fn nested(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push('\n');
            entries(out, map, indent + 2, false);
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            elements(out, items, indent + 2, false);
        }
        other => {
            out.push(' ');
            scalar(out, other);
            out.push('\n');
        }
    }
}

/// Writes the elements of a sequence; `inline` as in [`entries`].
fn elements(out: &mut String, items: &[Value], indent: usize, inline: bool) {
    for (position, item) in items.iter().enumerate() {
        if position > 0 || !inline {
            pad(out, indent);
        }
        out.push_str("- ");
        match item {
            Value::Object(map) if !map.is_empty() => entries(out, map, indent + 2, true),
            Value::Array(items) if !items.is_empty() => elements(out, items, indent + 2, true),
            other => {
                scalar(out, other);
                out.push('\n');
            }
        }
    }
}

fn scalar(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(value) => out.push_str(&number(&value.to_string())),
        Value::String(value) => text(out, value),
        Value::Array(_) => out.push_str("[]"),
        Value::Object(_) => out.push_str("{}"),
    }
}

/// JSON's `1e21` is a string to YAML 1.1, which wants a point and a sign: `1.0e+21`.
fn number(json: &str) -> String {
    let Some((mantissa, exponent)) = json.split_once(['e', 'E']) else { return json.into() };
    let point = if mantissa.contains('.') { "" } else { ".0" };
    let sign = if exponent.starts_with(['+', '-']) { "" } else { "+" };
    format!("{mantissa}{point}e{sign}{exponent}")
}

fn text(out: &mut String, value: &str) {
    if plain(value) {
        out.push_str(value);
    } else {
        quoted(out, value);
    }
}

/// Whether `value` is itself in every reader's eyes: begins with a letter, `/` or `_`, has only characters without a
/// meaning of their own, and is no reserved word.
fn plain(value: &str) -> bool {
    let mut chars = value.chars();
    let first = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || matches!(c, '/' | '_'));
    let rest =
        chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '.' | '+' | '@' | ' ' | '(' | ')'));
    first && rest && !value.ends_with(' ') && !RESERVED.contains(&value.to_ascii_lowercase().as_str())
}

fn quoted(out: &mut String, value: &str) {
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if unprintable(c) => escape(out, c),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// What YAML does not allow as it is, takes for a line break, or what would steer a terminal.
fn unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

fn escape(out: &mut String, c: char) {
    let code = u32::from(c);
    let written = match code {
        0..=0xff => write!(out, "\\x{code:02x}"),
        0x100..=0xffff => write!(out, "\\u{code:04x}"),
        _ => write!(out, "\\U{code:08x}"),
    };
    debug_assert!(written.is_ok(), "writing to a string cannot fail");
}

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_document_with_everything() {
        let value = json!({
            "id": "6f1d2c3a", "name": "ceph-07", "online": true, "zone": null, "cpus": 64, "load": 0.5,
            "roles": ["storage", "compute"], "labels": {}, "none": [],
            "agent": {"version": "0.1.0", "list": [[1, [2]], [], {"a": {"b": 1}, "c": []}]},
        });
        let expected = "id: \"6f1d2c3a\"\nname: ceph-07\nonline: true\nzone: null\ncpus: 64\nload: 0.5\nroles:\n  - storage\n  - compute\nlabels: {}\nnone: []\nagent:\n  version: \"0.1.0\"\n  list:\n    - - 1\n      - - 2\n    - []\n    - a:\n        b: 1\n      c: []\n";
        assert_eq!(document(&value), expected);
    }

    #[test]
    fn scalars_alone() {
        for (value, text) in [
            (json!(null), "null\n"),
            (json!([]), "[]\n"),
            (json!({}), "{}\n"),
            (json!("a b"), "a b\n"),
            (json!(-3), "-3\n"),
            (json!(1e30), "1.0e+30\n"),
            (json!(1.5e-9), "1.5e-9\n"),
        ] {
            assert_eq!(document(&value), text);
        }
    }

    #[test]
    fn strings_that_readers_would_take_for_something_else_are_quoted() {
        for word in [
            "",
            " ",
            "null",
            "Null",
            "~",
            "true",
            "NO",
            "y",
            "on",
            "1",
            "1.0",
            "0x1f",
            "1e3",
            "12:30:45",
            "2026-01-02",
            ".inf",
            "-",
            "- a",
            "? a",
            "a: b",
            "a:",
            "a #b",
            "#a",
            "&a",
            "*a",
            "!a",
            "%a",
            "@a",
            "`a",
            "{a",
            "[a",
            "a,b",
            "|",
            ">",
            "=",
            "<<",
            "'a'",
            "\"a\"",
            "a ",
            " a",
            "a\nb",
            "é",
            "---",
            "...",
        ] {
            let out = document(&json!(word));
            assert!(out.starts_with('"') && out.ends_with("\"\n"), "{word:?} became {out:?}");
        }
        for word in ["a", "ceph-07.example.net", "/dev/sda", "Intel(R) Xeon(R) Gold", "_x", "a-b_c+d@e"] {
            assert_eq!(document(&json!(word)), format!("{word}\n"));
        }
    }

    #[test]
    fn unprintable_characters_are_escaped() {
        let value = json!("a\u{0}\u{7f}\u{85}\u{2028}\u{feff}\n\"\\é");
        assert_eq!(document(&value), "\"a\\x00\\x7f\\x85\\u2028\\ufeff\\n\\\"\\\\é\"\n");
    }

    #[test]
    fn long_keys_use_the_explicit_form() {
        let key = "k".repeat(1025);
        let mut map = Map::new();
        map.insert(key.clone(), json!({"a": 1}));
        assert_eq!(document(&Value::Object(map)), format!("? {key}\n:\n  a: 1\n"));
    }

    /// A quoted string of ours is also a JSON string, once the two escapes that JSON spells otherwise are respelt.
    #[test]
    fn quoted_strings_read_back() {
        for code in (0..=0x0010_ffff_u32).step_by(7).filter_map(char::from_u32) {
            let text = format!("1{code}x");
            let out = document(&json!(text));
            let json = out.trim_end_matches('\n').replace("\\x", "\\u00");
            assert_eq!(serde_json::from_str::<String>(&json).ok(), Some(text), "{out}");
        }
    }
}
