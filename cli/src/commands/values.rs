//! Values on the command line that need reading: lengths of time and `KEY=VALUE`.

use std::time::Duration;

/// Reads a length of time: a number with `s`, `m`, `h`, `d` or `w`, or plain seconds.
///
/// # Errors
/// What is wrong with it, for the usage error.
pub fn length(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let count: u64 = digits.parse().map_err(|_| "expected a length of time such as 90s, 30m, 12h or 7d".to_string())?;
    let seconds = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 604_800,
        other => return Err(format!("unknown unit {other:?}; the units are s, m, h, d and w")),
    };
    count.checked_mul(seconds).map(Duration::from_secs).ok_or_else(|| "too long".to_string())
}

/// Reads `KEY=VALUE`; the value may be empty and may contain `=`.
///
/// # Errors
/// What is wrong with it, for the usage error.
pub fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.into(), value.into())),
        _ => Err("expected KEY=VALUE".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        for (text, seconds) in
            [("90", 90), ("90s", 90), ("30m", 1800), ("12h", 43_200), ("7d", 604_800), ("1w", 604_800)]
        {
            assert_eq!(length(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for bad in ["", "s", "-1", "1y", "1.5h", "99999999999999999999", "9999999999999999w"] {
            assert!(length(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn pairs() {
        assert_eq!(pair("rack=r1=x"), Ok(("rack".into(), "r1=x".into())));
        assert_eq!(pair("rack="), Ok(("rack".into(), String::new())));
        assert!(pair("=x").is_err() && pair("x").is_err());
    }
}
