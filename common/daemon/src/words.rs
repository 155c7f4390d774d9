//! The words for settings that cannot be used: what is wrong, and what to write instead.
//!
//! No text here repeats a value of the file: it may be a password.

/// The rule that an unknown key breaks.
#[must_use]
pub(crate) fn no_such_key(known: &[&str]) -> String {
    format!("there is no such key; the keys here are {}", known.join(", "))
}

/// The rule that a word outside a closed list breaks.
#[must_use]
pub(crate) fn no_such_choice(known: &[&str]) -> String {
    format!("must be one of {}", known.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", "))
}

/// The rule that a value of the wrong type breaks; `expected` is the name that serde gives the right one.
#[must_use]
pub(crate) fn wrong_type(expected: &str) -> String {
    let right = match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, not negative and without quotes",
        "a boolean" => "true or false, without quotes",
        "a string" => "a text in quotes",
        "path string" => "a path in quotes",
        "a sequence" => "a list: values between [ and ]",
        "socket address" => return custom("invalid socket address syntax"),
        "a map" => "a table",
        table if table.starts_with("struct ") => "a table",
        other => other,
    };
    format!("must be {right}")
}

/// What a value's own type said of it, in the words of an operator where the type's are not.
#[must_use]
pub(crate) fn custom(text: &str) -> String {
    match text {
        "invalid socket address syntax" => "must be ADDRESS:PORT in quotes, such as \"127.0.0.1:8080\"".into(),
        "invalid IP address syntax" => "must be an IP address in quotes, such as \"192.0.2.1\"".into(),
        other => other.into(),
    }
}

/// The words for a file that is not TOML, without the line of the file that the parser shows.
#[must_use]
pub(crate) fn not_toml(parser: &str) -> String {
    let said: Vec<&str> =
        parser.lines().filter(|line| !line.contains(" |")).map(str::trim).filter(|line| !line.is_empty()).collect();
    said.join("; ")
}

/// The variable that overrides a key: `listen.rest` behind `HOSTLER_MANAGER_` is `HOSTLER_MANAGER_LISTEN__REST`. Elements of
/// lists have no variable of their own; theirs is that of the list.
#[must_use]
pub(crate) fn variable(prefix: &str, key: &[String]) -> String {
    let named = key.iter().take_while(|part| part.parse::<usize>().is_err());
    format!("{prefix}{}", named.map(|part| part.to_uppercase()).collect::<Vec<_>>().join("__"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parsers_show_no_lines_of_the_file() {
        let parser =
            "TOML parse error at line 2, column 12\n  |\n2 | password = hunter2\n  |            ^\ninvalid string\n";
        assert_eq!(not_toml(parser), "TOML parse error at line 2, column 12; invalid string");
    }

    #[test]
    fn variables_have_the_names_that_are_read() {
        let key = |text: &str| text.split('.').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(variable("HOSTLER_MANAGER_", &key("listen.rest")), "HOSTLER_MANAGER_LISTEN__REST");
        assert_eq!(variable("HOSTLER_AGENT_", &key("managers.0")), "HOSTLER_AGENT_MANAGERS");
    }

    #[test]
    fn types_are_named_for_people() {
        for (serde, word) in [("u32", "whole number"), ("struct Listen", "table"), ("socket address", "ADDRESS:PORT")] {
            assert!(wrong_type(serde).contains(word), "{serde}");
        }
    }
}
