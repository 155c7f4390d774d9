//! The rules of names, contents, arguments and environments (spec/hooks.md §4, §10). The manager checks them for the one who
//! asks, the agent once more for its host.

use std::collections::BTreeMap;

/// The longest name, in characters.
const NAME_MAX: usize = 255;

/// The longest first line, in bytes.
const SHEBANG_MAX: usize = 255;

/// The most arguments.
const ARGS_MAX: usize = 64;

/// The longest argument, in bytes.
const ARG_MAX: usize = 16 << 10;

/// The most bytes of all arguments.
const ARGS_TOTAL: usize = 64 << 10;

/// The most variables.
const ENV_MAX: usize = 128;

/// Variables that would change which code a script runs.
const ENV_REFUSED: &[&str] =
    &["BASH_ENV", "ENV", "PYTHONPATH", "IFS", "PERL5LIB", "PERL5OPT", "RUBYOPT", "NODE_OPTIONS"];

/// Which rule something breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScriptFault {
    /// It is too large.
    #[error("{0}")]
    TooLarge(String),
    /// It breaks another rule.
    #[error("{0}")]
    Broken(String),
}

fn broken(rule: impl Into<String>) -> ScriptFault {
    ScriptFault::Broken(rule.into())
}

fn too_large(rule: impl Into<String>) -> ScriptFault {
    ScriptFault::TooLarge(rule.into())
}

/// Checks the name of a script.
///
/// # Errors
/// The rule that it breaks.
pub fn check_name(name: &str) -> Result<(), ScriptFault> {
    if name.is_empty() || name.chars().count() > NAME_MAX {
        return Err(broken(format!("name must have from 1 to {NAME_MAX} characters")));
    }
    if name.chars().any(|c| c == '/' || c.is_control()) || name == "." || name == ".." {
        return Err(broken("name must not contain '/' or control characters"));
    }
    Ok(())
}

/// Checks the contents of a script: its size, and that the kernel can start it.
///
/// # Errors
/// The rule that it breaks.
pub fn check_contents(contents: &str, max: usize) -> Result<(), ScriptFault> {
    if contents.is_empty() {
        return Err(broken("contents must not be empty"));
    }
    if contents.len() > max {
        return Err(too_large(format!("contents has {} bytes; at most {max} are taken", contents.len())));
    }
    if contents.contains('\0') {
        return Err(broken("contents must not contain NUL"));
    }
    let first = contents.split('\n').next().unwrap_or_default();
    let Some(line) = first.strip_prefix("#!") else {
        return Err(broken("contents must start with #! and the absolute path of an interpreter"));
    };
    if first.ends_with('\r') {
        return Err(broken("the first line of contents ends with a carriage return; save it with Unix line ends"));
    }
    if first.len() > SHEBANG_MAX {
        return Err(broken(format!(
            "the first line of contents has {} bytes; the kernel takes {SHEBANG_MAX}",
            first.len()
        )));
    }
    let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
    match words.next() {
        Some(interpreter) if interpreter.starts_with('/') => {}
        _ => return Err(broken("the interpreter after #! must be an absolute path")),
    }
    if words.count() > 1 {
        return Err(broken("the interpreter after #! takes at most one argument"));
    }
    Ok(())
}

/// Checks arguments.
///
/// # Errors
/// The rule that they break.
pub fn check_args(args: &[String]) -> Result<(), ScriptFault> {
    if args.len() > ARGS_MAX {
        return Err(too_large(format!("args has {} entries; at most {ARGS_MAX} are taken", args.len())));
    }
    for (at, arg) in args.iter().enumerate() {
        if arg.len() > ARG_MAX {
            return Err(too_large(format!("args[{at}] has {} bytes; at most {ARG_MAX} are taken", arg.len())));
        }
        if arg.contains('\0') {
            return Err(broken(format!("args[{at}] must not contain NUL")));
        }
    }
    let total: usize = args.iter().map(String::len).sum();
    if total > ARGS_TOTAL {
        return Err(too_large(format!("args has {total} bytes in all; at most {ARGS_TOTAL} are taken")));
    }
    Ok(())
}

/// Checks variables that somebody adds to the environment of a script.
///
/// # Errors
/// The rule that they break.
pub fn check_env(env: &BTreeMap<String, String>) -> Result<(), ScriptFault> {
    if env.len() > ENV_MAX {
        return Err(too_large(format!("env has {} entries; at most {ENV_MAX} are taken", env.len())));
    }
    for (name, value) in env {
        let well_formed = name
            .bytes()
            .enumerate()
            .all(|(at, byte)| byte.is_ascii_uppercase() || byte == b'_' || (at > 0 && byte.is_ascii_digit()));
        if name.is_empty() || !well_formed {
            return Err(broken(format!("env: {name:?} must consist of A-Z, 0-9 and _, and not begin with a digit")));
        }
        if name.starts_with("LD_") || name.starts_with("HOOK_") || ENV_REFUSED.contains(&name.as_str()) {
            return Err(broken(format!("env: {name} must not be set")));
        }
        if value.contains('\0') {
            return Err(broken(format!("env: the value of {name} must not contain NUL")));
        }
        if value.len() > ARG_MAX {
            return Err(too_large(format!("env: the value of {name} has more than {ARG_MAX} bytes")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "ünïcode name.sh", "x".repeat(255).as_str()] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in ["", "a/b", "a\nb", ".", "..", "x".repeat(256).as_str()] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn contents() {
        for good in ["#!/bin/sh\necho", "#! /usr/bin/env python3\n", "#!/bin/sh -e"] {
            assert_eq!(check_contents(good, 100), Ok(()), "{good}");
        }
        for bad in ["", "echo", "#!sh\n", "#!\n", "#!/bin/sh\r\necho", "#!/bin/sh -e -u\n", "#!/bin/sh\n\0"] {
            assert!(matches!(check_contents(bad, 100), Err(ScriptFault::Broken(_))), "{bad:?}");
        }
        assert!(matches!(check_contents("#!/bin/sh\n", 5), Err(ScriptFault::TooLarge(_))));
        assert!(check_contents(&format!("#!/{}", "x".repeat(300)), 1000).is_err());
    }

    #[test]
    fn arguments() {
        assert_eq!(check_args(&["$(reboot)".into(), "a\nb".into(), "x".repeat(16 << 10)]), Ok(()));
        assert!(check_args(&vec![String::new(); 65]).is_err());
        assert!(check_args(&["x".repeat((16 << 10) + 1)]).is_err());
        assert!(check_args(&vec!["x".repeat(16 << 10); 5]).is_err());
        assert!(check_args(&["\0".into()]).is_err());
    }

    #[test]
    fn environments() {
        let env = |name: &str| BTreeMap::from([(name.to_owned(), "v".to_owned())]);
        for good in ["A", "_X9", "HTTP_PROXY"] {
            assert_eq!(check_env(&env(good)), Ok(()), "{good}");
        }
        for bad in ["", "a", "9A", "A-B", "LD_PRELOAD", "BASH_ENV", "HOOK_EVENT", "IFS"] {
            assert!(check_env(&env(bad)).is_err(), "{bad}");
        }
    }
}
