//! The settings of the agent: `/etc/hostler/agent.toml`, overridden by the environment. The host's own file caps what the
//! manager may order at all (design §5).

use std::path::{Component, Path, PathBuf};

use hostler_common::script::Digest;
use hostler_common::step::Step;
use hostler_daemon::log::Log;
use hostler_daemon::settings::{self, Error, Settings, Wrong};
use serde::Deserialize;

/// Where the settings are when no file is named.
pub const DEFAULT_FILE: &str = "/etc/hostler/agent.toml";

/// All settings. Every key has a default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where managers are, `HOST:PORT`; replaces those that were named when the host joined.
    pub managers: Vec<String>,
    /// Certificates of an operator's own PKI, in place of the identity that `hostler-agent join` gets.
    pub pki: Option<Pki>,
    /// What the manager may order.
    pub allow: Allow,
    /// How scripts are run.
    pub scripts: Scripts,
    /// Logging.
    pub log: Log,
}

/// Certificates of an operator's own PKI (design §5). All files are PEM, and are read again for each connection.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pki {
    /// The authorities that certify managers.
    pub ca_file: PathBuf,
    /// The host's certificate, with those between it and an authority.
    pub cert_file: PathBuf,
    /// Its private key.
    pub key_file: PathBuf,
    /// What the URI in the certificate of a host begins with; its UUID or its name follows.
    #[serde(default = "host_uri")]
    pub uri_prefix: String,
    /// The name in the managers' certificates; the host that is dialled if it is not set.
    #[serde(default)]
    pub manager_name: Option<String>,
}

fn host_uri() -> String {
    hostler_common::link::HOST_URI.into()
}

/// What the manager may order.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Allow {
    /// Kinds of jobs.
    pub jobs: Vec<String>,
    /// Kinds of steps, for jobs of the kind `step`.
    pub steps: Vec<String>,
    /// Folders below which fetched files may be put.
    pub paths: Vec<PathBuf>,
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
            paths: vec!["/var/lib/hostler-agent/files".into()],
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

impl Config {
    /// Reads the settings of `file`, or of the default file if that is there, and of the environment, and checks them.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn load(file: Option<&Path>) -> Result<Self, Error> {
        match file {
            Some(file) => settings::load(file),
            None => settings::load_if_there(Path::new(DEFAULT_FILE)),
        }
    }
}

impl Settings for Config {
    const PREFIX: &'static str = "HOSTLER_AGENT_";

    fn check(&self) -> Result<(), Wrong> {
        if let Some(kind) = self.allow.jobs.iter().find(|kind| !JOB_KINDS.contains(&kind.as_str())) {
            return Err(Wrong::new("allow.jobs", format!("{kind:?} is not one of {}", JOB_KINDS.join(", "))));
        }
        if let Some(name) = self.allow.steps.iter().find(|name| !Step::NAMES.contains(&name.as_str())) {
            return Err(Wrong::new("allow.steps", format!("{name:?} is not one of {}", Step::NAMES.join(", "))));
        }
        let plain = |path: &&PathBuf| path.is_absolute() && !path.components().any(|part| part == Component::ParentDir);
        if let Some(path) = self.allow.paths.iter().find(|path| !plain(path)) {
            return Err(Wrong::new("allow.paths", format!("{} is not an absolute path without ..", path.display())));
        }
        if !(1..=64).contains(&self.allow.jobs_at_once) {
            return Err(Wrong::new("allow.jobs_at_once", "must be from 1 to 64"));
        }
        if let Some(address) = self.managers.iter().find(|address| !is_address(address)) {
            return Err(Wrong::new("managers", format!("{address:?} is not HOST:PORT")));
        }
        if self.pki.is_some() && self.managers.is_empty() {
            return Err(Wrong::new("managers", "must name a manager: with [pki] no join has named one"));
        }
        if !self.scripts.opt_out_file.is_absolute() {
            return Err(Wrong::new("scripts.opt_out_file", "must be an absolute path"));
        }
        if !self.scripts.runtime_dir.is_absolute() {
            return Err(Wrong::new("scripts.runtime_dir", "must be an absolute path"));
        }
        self.log.check()
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
            ("[allow]\npaths = [\"files\"]", ": allow.paths: files is not an absolute path"),
            ("[allow]\npaths = [\"/a/../b\"]", ": allow.paths: /a/../b is not an absolute path"),
            ("[allow]\njobs_at_once = 0", ": allow.jobs_at_once: must be from 1 to 64"),
            ("[allow]\njobs_at_once = -1", ": allow.jobs_at_once: must be a whole number"),
            ("managers = [\"host\"]", ": managers: \"host\" is not HOST:PORT"),
            ("managers = \"host:1\"", ": managers: must be a list"),
            ("alow = 1", ": alow: there is no such key; the keys here are managers, pki, allow, scripts, log"),
            ("pki = {ca_file = '/c', cert_file = '/c', key_file = '/k'}", ": managers: must name a manager"),
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
}
