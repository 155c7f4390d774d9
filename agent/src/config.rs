//! The settings of the agent: `/etc/hostler/agent.toml`, overridden by the environment. The host's own file caps what the
//! manager may order at all (design §5).

use std::path::Path;

use figment::Figment;
use figment::providers::{Env, Format as _, Toml};
use serde::Deserialize;

/// Where the settings are when no file is named.
pub const DEFAULT_FILE: &str = "/etc/hostler/agent.toml";

/// All settings. Every key has a default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where managers are, `HOST:PORT`; replaces those that were named when the host joined.
    pub managers: Vec<String>,
    /// What the manager may order.
    pub allow: Allow,
    /// Logging.
    pub log: Log,
}

/// What the manager may order.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Allow {
    /// Kinds of jobs.
    pub jobs: Vec<String>,
    /// How many jobs run at once.
    pub jobs_at_once: usize,
}

/// The kinds of jobs that this release knows.
pub const JOB_KINDS: [&str; 1] = ["introspect"];

impl Default for Allow {
    fn default() -> Self {
        Self { jobs: JOB_KINDS.map(str::to_owned).to_vec(), jobs_at_once: 4 }
    }
}

/// Logging, to standard error.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// What is logged: a level, or directives such as `info,hostler_agent::link=debug`.
    pub filter: String,
    /// Whether a line is one JSON object.
    pub json: bool,
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: "info".into(), json: false }
    }
}

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read, a key is unknown, a value is of the wrong type.
    #[error(transparent)]
    Read(#[from] Box<figment::Error>),
    /// A value breaks a rule.
    #[error("{key}: {rule}")]
    Value {
        /// The key.
        key: &'static str,
        /// The rule.
        rule: String,
    },
}

impl Config {
    /// Reads the settings of `file`, or of the default file if that is there, and of the environment, and checks them.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn load(file: Option<&Path>) -> Result<Self, Error> {
        if let Some(file) = file
            && !file.is_file()
        {
            return Err(Error::Value { key: "--config", rule: format!("{} is not a file", file.display()) });
        }
        let config: Self = Figment::new()
            .merge(Toml::file(file.unwrap_or(Path::new(DEFAULT_FILE))))
            .merge(Env::prefixed("HOSTLER_AGENT_").split("__"))
            .extract()
            .map_err(Box::new)?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), Error> {
        if let Some(kind) = self.allow.jobs.iter().find(|kind| !JOB_KINDS.contains(&kind.as_str())) {
            let rule = format!("{kind:?} is not one of {}", JOB_KINDS.join(", "));
            return Err(Error::Value { key: "allow.jobs", rule });
        }
        if !(1..=64).contains(&self.allow.jobs_at_once) {
            return Err(Error::Value { key: "allow.jobs_at_once", rule: "must be from 1 to 64".into() });
        }
        if let Some(address) = self.managers.iter().find(|address| !is_address(address)) {
            return Err(Error::Value { key: "managers", rule: format!("{address:?} is not HOST:PORT") });
        }
        Ok(())
    }
}

/// Whether `text` is `HOST:PORT`.
#[must_use]
pub fn is_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn load(text: &str) -> Result<Config, Error> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        Config::load(Some(file.path()))
    }

    #[test]
    fn everything_has_a_default() {
        let config = load("").unwrap();
        assert_eq!(config.allow.jobs, ["introspect"]);
        assert_eq!(config.allow.jobs_at_once, 4);
    }

    #[test]
    fn errors_name_the_key() {
        for (text, key) in [
            ("[allow]\njobs = [\"dance\"]", "allow.jobs"),
            ("[allow]\njobs_at_once = 0", "allow.jobs_at_once"),
            ("managers = [\"host\"]", "managers"),
            ("alow = 1", "alow"),
            ("[log]\nfilter = 3", "filter"),
        ] {
            let error = load(text).unwrap_err().to_string();
            assert!(error.contains(key), "{text:?}: {error}");
        }
    }
}
