//! Reading settings: a TOML file, overridden by the environment, with errors that name the file or the variable, the key and
//! the rule (design §9).

use std::path::Path;

use figment::error::Kind;
use figment::providers::{Env, Format as _, Toml};
use figment::{Figment, Metadata};
use serde::de::DeserializeOwned;

use crate::words;

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("{file}: {source}; name a readable file with --config")]
    File {
        /// Which.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML, a key is unknown, a value breaks a rule.
    #[error("{place}: {rule}")]
    Value {
        /// The file and the key, or the variable.
        place: String,
        /// The rule, and what to do.
        rule: String,
    },
}

/// A value that breaks a rule.
#[derive(Debug)]
pub struct Wrong {
    /// Its key, with dots.
    pub key: String,
    /// The rule, and what to do. Repeats no value that may be secret.
    pub rule: String,
}

impl Wrong {
    /// The value of `key` breaks `rule`.
    pub fn new(key: impl Into<String>, rule: impl Into<String>) -> Self {
        Self { key: key.into(), rule: rule.into() }
    }
}

/// The settings of a daemon.
pub trait Settings: DeserializeOwned {
    /// What the names of the overriding variables begin with: `HOSTLER_MANAGER_`.
    const PREFIX: &'static str;

    /// Checks the rules that single types cannot hold.
    ///
    /// # Errors
    /// The first value that breaks one.
    fn check(&self) -> Result<(), Wrong>;
}

/// Reads the settings of `file` and of the environment, and checks them.
///
/// # Errors
/// See [`Error`].
pub fn load<S: Settings>(file: &Path) -> Result<S, Error> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|source| Error::File { file: name.clone(), source })?;
    read(&name, &text)
}

/// Reads the settings of `file` in the same manner; one that is not there counts as empty.
///
/// # Errors
/// See [`Error`].
pub fn load_if_there<S: Settings>(file: &Path) -> Result<S, Error> {
    match load(file) {
        Err(Error::File { file, source }) if source.kind() == std::io::ErrorKind::NotFound => read(&file, ""),
        done => done,
    }
}

fn read<S: Settings>(name: &str, text: &str) -> Result<S, Error> {
    let figment = Figment::new().merge(Toml::string(text)).merge(Env::prefixed(S::PREFIX).split("__"));
    let settings: S = figment.extract().map_err(|error| explain(S::PREFIX, name, error))?;
    settings.check().map_err(|wrong| {
        let key: Vec<String> = wrong.key.split('.').map(str::to_owned).collect();
        let from = figment.find_metadata(&wrong.key);
        Error::Value { place: place(S::PREFIX, name, &key, from), rule: wrong.rule }
    })?;
    Ok(settings)
}

fn explain(prefix: &str, file: &str, error: figment::Error) -> Error {
    let mut key = error.path;
    let rule = match error.kind {
        Kind::UnknownField(_, known) => words::no_such_key(known),
        Kind::UnknownVariant(_, known) => words::no_such_choice(known),
        Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) => words::wrong_type(&expected),
        Kind::MissingField(field) => {
            key.push(field.into_owned());
            "is missing and has no default; set it".into()
        }
        Kind::Message(text) if key.is_empty() => words::not_toml(&text),
        Kind::Message(text) => words::custom(&text),
        other => other.to_string(),
    };
    Error::Value { place: place(prefix, file, &key, error.metadata.as_ref()), rule }
}

/// Where a value is: the variable that set it, or its key in the file.
fn place(prefix: &str, file: &str, key: &[String], from: Option<&Metadata>) -> String {
    if from.is_some_and(|from| from.name.contains("environment")) {
        return words::variable(prefix, key);
    }
    if key.is_empty() { file.to_owned() } else { format!("{file}: {}", key.join(".")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Own {
        #[serde(default)]
        log: crate::log::Log,
    }

    impl Settings for Own {
        const PREFIX: &'static str = "HOSTLER_OWN_";

        fn check(&self) -> Result<(), Wrong> {
            self.log.check()
        }
    }

    #[test]
    fn a_variable_is_named_where_it_is_to_blame() {
        let from = Metadata::named("`HOSTLER_OWN_` environment variable(s)");
        let key = ["log".to_owned(), "filter".to_owned(), "0".to_owned()];
        assert_eq!(place(Own::PREFIX, "F", &key, Some(&from)), "HOSTLER_OWN_LOG__FILTER");
        assert_eq!(place(Own::PREFIX, "F", &key, None), "F: log.filter.0");
    }

    #[test]
    fn files_that_cannot_be_read_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let (absent, latin) = (folder.path().join("absent.toml"), folder.path().join("latin.toml"));
        std::fs::write(&latin, b"log = '/s\xe4'").unwrap();
        for file in [folder.path(), &absent, &latin] {
            let error = load::<Own>(file).unwrap_err();
            assert!(matches!(error, Error::File { .. }), "{error}");
            assert!(error.to_string().starts_with(&file.display().to_string()), "{error}");
        }
        assert_eq!(load_if_there::<Own>(&absent).unwrap().log.filter, "info");
        assert!(matches!(load_if_there::<Own>(folder.path()), Err(Error::File { .. })));
    }

    #[test]
    fn errors_name_the_key_and_the_rule() {
        for (text, wanted) in [
            ("log = =", "F: TOML parse error at line 1"),
            ("lag = 1", "F: lag: there is no such key; the keys here are log"),
            ("[log]\nfilter = 3", "F: log.filter: must be a text in quotes"),
            ("[log]\nfilter = 'a=b=c'", "F: log.filter: must be a level"),
        ] {
            let error = read::<Own>("F", text).unwrap_err().to_string();
            assert!(error.starts_with(wanted), "{text:?}: {error}");
        }
    }
}
