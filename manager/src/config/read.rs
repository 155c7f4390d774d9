//! Reading the settings, and errors that name the file or the variable, the key and the rule.

use std::path::Path;

use figment::error::Kind;
use figment::providers::{Env, Format as _, Toml};
use figment::{Figment, Metadata};
use hostler_common::settings;

use super::Config;

/// What the names of the overriding variables begin with.
const PREFIX: &str = "HOSTLER_MANAGER_";

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

impl Config {
    /// Reads the settings of `file` and of the environment, and checks them.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn load(file: &Path) -> Result<Self, Error> {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(file).map_err(|source| Error::File { file: name.clone(), source })?;
        let figment = Figment::new().merge(Toml::string(&text)).merge(Env::prefixed(PREFIX).split("__"));
        let config: Self = figment.extract().map_err(|error| explain(&name, error))?;
        config.check().map_err(|wrong| {
            let key: Vec<String> = wrong.key.split('.').map(str::to_owned).collect();
            let from = figment.find_metadata(&wrong.key).cloned();
            Error::Value { place: place(&name, &key, from.as_ref()), rule: wrong.rule }
        })?;
        Ok(config)
    }
}

fn explain(file: &str, error: figment::Error) -> Error {
    let mut key = error.path;
    let rule = match error.kind {
        Kind::UnknownField(_, known) => settings::no_such_key(known),
        Kind::UnknownVariant(_, known) => settings::no_such_choice(known),
        Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) => settings::wrong_type(&expected),
        Kind::MissingField(field) => {
            key.push(field.into_owned());
            "is missing and has no default; set it".into()
        }
        Kind::Message(text) if key.is_empty() => settings::not_toml(&text),
        Kind::Message(text) => settings::custom(&text),
        other => other.to_string(),
    };
    Error::Value { place: place(file, &key, error.metadata.as_ref()), rule }
}

/// Where a value is: the variable that set it, or its key in the file.
fn place(file: &str, key: &[String], from: Option<&Metadata>) -> String {
    if from.is_some_and(|from| from.name.contains("environment")) {
        return settings::variable(PREFIX, key);
    }
    if key.is_empty() { file.to_owned() } else { format!("{file}: {}", key.join(".")) }
}

#[cfg(test)]
mod tests;
