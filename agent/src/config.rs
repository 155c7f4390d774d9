//! The settings of the agent: `/etc/hostler/agent.toml`, overridden by the environment. The host's own file caps what the
//! manager may order at all (design §5).

use std::path::{Path, PathBuf};

use figment::error::Kind;
use figment::providers::{Env, Format as _, Toml};
use figment::{Figment, Metadata};
use hostler_common::script::Digest;
use hostler_common::settings;
use hostler_common::step::Step;
use serde::Deserialize;

/// Where the settings are when no file is named.
pub const DEFAULT_FILE: &str = "/etc/hostler/agent.toml";

/// What the names of the overriding variables begin with.
const PREFIX: &str = "HOSTLER_AGENT_";

/// All settings. Every key has a default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where managers are, `HOST:PORT`; replaces those that were named when the host joined.
    pub managers: Vec<String>,
    /// What the manager may order.
    pub allow: Allow,
    /// How scripts are run.
    pub scripts: Scripts,
    /// Logging.
    pub log: Log,
}

/// What the manager may order.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Allow {
    /// Kinds of jobs.
    pub jobs: Vec<String>,
    /// Kinds of steps, for jobs of the kind `step`.
    pub steps: Vec<String>,
    /// How many jobs run at once; scripts have a number of their own (spec/hooks.md §10).
    pub jobs_at_once: usize,
    /// Which scripts.
    pub scripts: AllowScripts,
    /// SHA-256 of the scripts that may be run, where only listed ones may.
    pub script_digests: Vec<Digest>,
    /// Accounts, other than the agent's own, under which scripts may run.
    pub users: Vec<String>,
}

/// Which scripts a manager may have run. It must have signed them in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AllowScripts {
    /// All of them.
    #[default]
    All,
    /// Those whose digests are listed.
    Listed,
}

/// The kinds of jobs that this release knows.
pub const JOB_KINDS: [&str; 3] = ["introspect", "script", "step"];

impl Default for Allow {
    fn default() -> Self {
        let all = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            jobs: all(&JOB_KINDS),
            steps: all(&Step::NAMES),
            jobs_at_once: 4,
            scripts: AllowScripts::All,
            script_digests: Vec::new(),
            users: Vec::new(),
        }
    }
}

/// How scripts are run.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scripts {
    /// As long as this file is there no script of a manager is run.
    pub opt_out_file: PathBuf,
    /// Where folders of scripts are that run under other accounts, and credentials.
    pub runtime_dir: PathBuf,
}

impl Default for Scripts {
    fn default() -> Self {
        Self { opt_out_file: "/etc/hostler/no-remote-scripts".into(), runtime_dir: "/run/hostler-agent".into() }
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

/// A key and the rule that its value breaks.
type Wrong = (&'static str, String);

impl Config {
    /// Reads the settings of `file`, or of the default file if that is there, and of the environment, and checks them.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn load(file: Option<&Path>) -> Result<Self, Error> {
        let path = file.unwrap_or(Path::new(DEFAULT_FILE));
        let name = path.display().to_string();
        let text = match std::fs::read_to_string(path) {
            Err(error) if file.is_none() && error.kind() == std::io::ErrorKind::NotFound => String::new(),
            other => other.map_err(|source| Error::File { file: name.clone(), source })?,
        };
        let figment = Figment::new().merge(Toml::string(&text)).merge(Env::prefixed(PREFIX).split("__"));
        let config: Self = figment.extract().map_err(|error| explain(&name, error))?;
        config.check().map_err(|(key, rule)| {
            let parts: Vec<String> = key.split('.').map(str::to_owned).collect();
            Error::Value { place: place(&name, &parts, figment.find_metadata(key)), rule }
        })?;
        Ok(config)
    }

    fn check(&self) -> Result<(), Wrong> {
        if let Some(kind) = self.allow.jobs.iter().find(|kind| !JOB_KINDS.contains(&kind.as_str())) {
            return Err(("allow.jobs", format!("{kind:?} is not one of {}", JOB_KINDS.join(", "))));
        }
        if let Some(name) = self.allow.steps.iter().find(|name| !Step::NAMES.contains(&name.as_str())) {
            return Err(("allow.steps", format!("{name:?} is not one of {}", Step::NAMES.join(", "))));
        }
        if !(1..=64).contains(&self.allow.jobs_at_once) {
            return Err(("allow.jobs_at_once", "must be from 1 to 64".into()));
        }
        if let Some(address) = self.managers.iter().find(|address| !is_address(address)) {
            return Err(("managers", format!("{address:?} is not HOST:PORT")));
        }
        if !self.scripts.opt_out_file.is_absolute() {
            return Err(("scripts.opt_out_file", "must be an absolute path".into()));
        }
        if !self.scripts.runtime_dir.is_absolute() {
            return Err(("scripts.runtime_dir", "must be an absolute path".into()));
        }
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&self.log.filter) {
            let rule = format!("must be a level (error, warn, info, debug, trace) or directives: {error}");
            return Err(("log.filter", rule));
        }
        Ok(())
    }
}

fn explain(file: &str, error: figment::Error) -> Error {
    let key = error.path;
    let rule = match error.kind {
        Kind::UnknownField(_, known) => settings::no_such_key(known),
        Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) => settings::wrong_type(&expected),
        Kind::Message(text) if key.is_empty() => settings::not_toml(&text),
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
        assert_eq!(config.allow.jobs, ["introspect", "script", "step"]);
        assert_eq!(config.allow.steps, Step::NAMES);
        assert_eq!(config.allow.jobs_at_once, 4);
    }

    #[test]
    fn the_file_that_is_installed_shows_every_default() {
        let shown = load(include_str!("../../packaging/agent.toml")).unwrap();
        assert_eq!(format!("{shown:?}"), format!("{:?}", Config::default()));
    }

    #[test]
    fn errors_name_the_key_and_the_rule() {
        for (text, wanted) in [
            ("[allow]\njobs = [\"dance\"]", ": allow.jobs: \"dance\" is not one of introspect, script, step"),
            ("[allow]\njobs = \"introspect\"", ": allow.jobs: must be a list"),
            ("[allow]\nsteps = [\"dance\"]", ": allow.steps: \"dance\" is not one of format_disk, ceph_daemon"),
            ("[allow]\njobs_at_once = 0", ": allow.jobs_at_once: must be from 1 to 64"),
            ("[allow]\njobs_at_once = -1", ": allow.jobs_at_once: must be a whole number"),
            ("managers = [\"host\"]", ": managers: \"host\" is not HOST:PORT"),
            ("managers = \"host:1\"", ": managers: must be a list"),
            ("alow = 1", ": alow: there is no such key; the keys here are managers, allow, scripts, log"),
            ("[allow]\nscripts = \"some\"", ": allow.scripts: "),
            ("[allow]\nscript_digests = [\"x\"]", ": allow.script_digests.0: a digest is 64 hexadecimal digits"),
            ("[scripts]\nruntime_dir = \"run\"", ": scripts.runtime_dir: must be an absolute path"),
            ("[scripts]\nopt_out_file = \"no\"", ": scripts.opt_out_file: must be an absolute path"),
            ("[log]\nfilter = 3", ": log.filter: must be a text in quotes"),
            ("[log]\nfilter = \"a=b=c\"", ": log.filter: must be a level"),
            ("[log]\njson = \"yes\"", ": log.json: must be true or false"),
            ("log = =", ": TOML parse error at line 1"),
        ] {
            let error = load(text).unwrap_err().to_string();
            assert!(error.contains(wanted), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_named_file_must_be_there() {
        let folder = tempfile::tempdir().unwrap();
        for file in [folder.path().to_owned(), folder.path().join("absent.toml")] {
            let error = Config::load(Some(&file)).unwrap_err();
            assert!(matches!(error, Error::File { .. }), "{error}");
        }
    }

    #[test]
    fn a_variable_is_named_where_it_is_to_blame() {
        let from = Metadata::named("`HOSTLER_AGENT_` environment variable(s)");
        let key = ["allow".to_owned(), "jobs".to_owned(), "0".to_owned()];
        assert_eq!(place("F", &key, Some(&from)), "HOSTLER_AGENT_ALLOW__JOBS");
        assert_eq!(place("F", &key, None), "F: allow.jobs.0");
    }
}
