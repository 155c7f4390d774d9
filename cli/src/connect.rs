//! Which manager to talk to, and as whom: flags, then environment, then the `up.json` of a local `hostler up`.
//!
//! A token, password or CA from `up.json` is used only towards the very URL it was written with, so that naming another
//! manager never hands it the local one's secrets.

use std::path::{Path, PathBuf};

use clap::Args;
use nix::unistd::Uid;
use reqwest::Url;
use serde::Deserialize;

use crate::failure::{Failure, Kind};

/// The options that every command has for finding its manager.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Connection")]
pub struct ConnectArgs {
    /// Manager's REST address, such as https://manager.example.net:8080
    #[arg(long, global = true, env = "HOSTLER_URL", value_name = "URL")]
    pub url: Option<String>,
    /// Token to authenticate with; other users of this machine can see command lines, so prefer the variable
    #[arg(long, global = true, env = "HOSTLER_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub token: Option<String>,
    /// Trust only the certificates of this PEM file for https
    #[arg(long, global = true, env = "HOSTLER_CA_FILE", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// State directory of a local `hostler up`, whose up.json names URL and token if nothing else does
    #[arg(long, global = true, env = "HOSTLER_STATE_DIR", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}

/// A user's password login, scoped to a project.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// User name.
    pub username: String,
    /// Password.
    pub password: String,
    /// Project name.
    pub project: String,
    /// Name of the domain of both.
    pub domain: String,
}

/// A manager, and what to show it.
pub struct Target {
    /// The root of its REST listener.
    pub url: Url,
    /// A token, if one is given.
    pub token: Option<String>,
    /// A password login, for what needs a user or where there is no token.
    pub login: Option<Login>,
    /// The only certificates to trust.
    pub ca_file: Option<PathBuf>,
    /// The `up.json` that named the URL.
    pub up_file: Option<PathBuf>,
}

/// What `hostler up` writes for everybody who wants to talk to what it started.
#[derive(Clone, Debug, Deserialize, serde::Serialize)]
pub struct UpFile {
    /// Root of the REST listener.
    pub url: String,
    /// `HOST:PORT` for agents.
    pub agent_endpoint: String,
    /// The administrator.
    pub username: String,
    /// The administrator's password.
    pub password: String,
    /// The administrator's project.
    pub project: String,
    /// The domain of both.
    pub domain: String,
    /// A static token with the role `admin`.
    pub token: String,
    /// A join token for further hosts.
    pub join_token: String,
    /// The manager's CA.
    pub ca_file: PathBuf,
    /// A clouds.yaml for the stock OpenStack clients.
    pub clouds_yaml: PathBuf,
    /// The id of this machine's host, if it has an agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

/// Reads one variable of the environment; empty counts as absent.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Where `hostler up` keeps its state by default: `/var/lib/hostler-up` for root, otherwise the user's state home.
///
/// # Errors
/// Neither `XDG_STATE_HOME` nor `HOME` is an absolute path.
pub fn default_state_dir(env: &dyn Fn(&str) -> Option<String>, root: bool) -> Result<PathBuf, Failure> {
    if root {
        return Ok("/var/lib/hostler-up".into());
    }
    let absolute = |name| env(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || absolute("HOME").map(|home| home.join(".local/state"));
    absolute("XDG_STATE_HOME").or_else(home).map(|state| state.join("hostler")).ok_or_else(|| {
        Failure::new(Kind::Usage, "cannot tell where to keep state", "neither XDG_STATE_HOME nor HOME is set")
            .hint("name a directory with --state-dir")
    })
}

impl ConnectArgs {
    /// The state directory that counts: the one named, else the default one.
    ///
    /// # Errors
    /// As [`default_state_dir`].
    pub fn state_dir(&self) -> Result<PathBuf, Failure> {
        match &self.state_dir {
            Some(dir) if dir.as_os_str().is_empty() => default_state_dir(&variable, Uid::effective().is_root()),
            Some(dir) => Ok(dir.clone()),
            None => default_state_dir(&variable, Uid::effective().is_root()),
        }
    }

    /// Finds the manager.
    ///
    /// # Errors
    /// Nothing names a manager, or what names it cannot be read.
    pub fn target(&self) -> Result<Target, Failure> {
        let file = self.state_dir().ok().map(|dir| dir.join("up.json"));
        let up = match &file {
            Some(path) => read_up_file(path)?,
            None => None,
        };
        self.resolve(&variable, up.zip(file))
    }

    /// The rule itself, without looking at the machine.
    fn resolve(&self, env: &dyn Fn(&str) -> Option<String>, up: Option<(UpFile, PathBuf)>) -> Result<Target, Failure> {
        let given = |value: &Option<String>| value.clone().filter(|text| !text.is_empty());
        let (text, named_by_up) = match (given(&self.url), &up) {
            (Some(url), _) => (url, false),
            (None, Some((up, _))) => (up.url.clone(), true),
            (None, None) => return Err(no_manager()),
        };
        let url = parse_url(&text)?;
        let up = up.filter(|(up, _)| parse_url(&up.url).is_ok_and(|of_up| of_up == url));
        let own = env_login(env).or_else(|| up.as_ref().map(|(up, _)| up.login()));
        let token = given(&self.token).or_else(|| match (env_login(env), &up) {
            (None, Some((up, _))) => Some(up.token.clone()),
            _ => None,
        });
        let ca_file = self.ca_file.clone().filter(|path| !path.as_os_str().is_empty());
        let ca_file = ca_file.or_else(|| up.as_ref().map(|(up, _)| up.ca_file.clone()));
        Ok(Target { url, token, login: own, ca_file, up_file: up.map(|(_, path)| path).filter(|_| named_by_up) })
    }
}

impl UpFile {
    /// The administrator's login.
    #[must_use]
    pub fn login(&self) -> Login {
        Login {
            username: self.username.clone(),
            password: self.password.clone(),
            project: self.project.clone(),
            domain: self.domain.clone(),
        }
    }
}

/// A login from `HOSTLER_USERNAME`, `HOSTLER_PASSWORD` and `HOSTLER_PROJECT` (default: a project of the user's name).
fn env_login(env: &dyn Fn(&str) -> Option<String>) -> Option<Login> {
    let username = env("HOSTLER_USERNAME")?;
    let password = env("HOSTLER_PASSWORD")?;
    let project = env("HOSTLER_PROJECT").unwrap_or_else(|| username.clone());
    let domain = env("HOSTLER_DOMAIN").unwrap_or_else(|| "Default".into());
    Some(Login { username, password, project, domain })
}

/// Reads an `up.json`; `None` if there is none that this user may see.
fn read_up_file(path: &Path) -> Result<Option<UpFile>, Failure> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(_) => return Ok(None),
    };
    serde_json::from_str(&text).map(Some).map_err(|error| {
        Failure::new(Kind::Usage, format!("cannot read {}", path.display()), error.to_string())
            .hint("start `hostler up` again, or name the manager with --url and --token")
    })
}

/// Reads a manager's URL.
///
/// # Errors
/// It is not an http or https URL of a host.
pub fn parse_url(text: &str) -> Result<Url, Failure> {
    let refused = |why: String| {
        Failure::new(Kind::Usage, format!("cannot use the URL {text:?}"), why)
            .hint("it looks like https://manager.example.net:8080")
    };
    let url = Url::parse(text).map_err(|error| refused(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(refused("only http and https URLs name a manager".into()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused("it contains a user or password, which belong into HOSTLER_TOKEN".into()));
    }
    Ok(url)
}

fn no_manager() -> Failure {
    Failure::new(Kind::Usage, "no manager to talk to", "none is named, and no `hostler up` keeps state here")
        .hint("start one with `hostler up`, or set HOSTLER_URL and HOSTLER_TOKEN (or --url and --token)")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn up(url: &str) -> (UpFile, PathBuf) {
        let file = UpFile {
            url: url.into(),
            agent_endpoint: "127.0.0.1:7443".into(),
            username: "admin".into(),
            password: "p".into(),
            project: "admin".into(),
            domain: "Default".into(),
            token: "t-up".into(),
            join_token: "j".into(),
            ca_file: "/s/manager/ca.pem".into(),
            clouds_yaml: "/s/clouds.yaml".into(),
            host: None,
        };
        (file, "/s/up.json".into())
    }

    fn args(url: Option<&str>, token: Option<&str>) -> ConnectArgs {
        ConnectArgs { url: url.map(Into::into), token: token.map(Into::into), ..ConnectArgs::default() }
    }

    fn nothing(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn without_anything_the_error_says_what_to_do() {
        let failure = args(None, None).resolve(&nothing, None).err().unwrap();
        assert_eq!(failure.kind, Kind::Usage);
        assert!(failure.hint.unwrap().contains("hostler up"));
    }

    #[test]
    fn up_json_is_the_last_resort() {
        let target = args(None, None).resolve(&nothing, Some(up("http://127.0.0.1:8080"))).unwrap();
        assert_eq!(target.url.as_str(), "http://127.0.0.1:8080/");
        assert_eq!(target.token.as_deref(), Some("t-up"));
        assert_eq!(target.up_file.as_deref(), Some(Path::new("/s/up.json")));
        let target = args(None, Some("mine")).resolve(&nothing, Some(up("http://127.0.0.1:8080"))).unwrap();
        assert_eq!(target.token.as_deref(), Some("mine"));
    }

    #[test]
    fn the_local_secrets_stay_local() {
        let target =
            args(Some("https://else.example:1"), None).resolve(&nothing, Some(up("http://127.0.0.1:8080"))).unwrap();
        assert!(target.token.is_none() && target.login.is_none() && target.ca_file.is_none());
        let same =
            args(Some("http://127.0.0.1:8080/"), None).resolve(&nothing, Some(up("http://127.0.0.1:8080"))).unwrap();
        assert_eq!(same.token.as_deref(), Some("t-up"));
    }

    #[test]
    fn a_login_in_the_environment_beats_the_token_of_up_json() {
        let env = |name: &str| match name {
            "HOSTLER_USERNAME" => Some("eve".to_string()),
            "HOSTLER_PASSWORD" => Some("pw".to_string()),
            _ => None,
        };
        let target = args(None, None).resolve(&env, Some(up("http://127.0.0.1:8080"))).unwrap();
        assert_eq!(target.token, None);
        let login = target.login.unwrap();
        assert_eq!((login.username.as_str(), login.project.as_str(), login.domain.as_str()), ("eve", "eve", "Default"));
    }

    #[test]
    fn urls_that_name_no_manager_are_refused() {
        for bad in ["", "manager:8080", "ftp://a", "http://", "http://u:p@a"] {
            assert!(parse_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn state_directories() {
        let env = |pairs: &'static [(&'static str, &'static str)]| {
            move |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_string())
        };
        let dir = |pairs, root| default_state_dir(&env(pairs), root);
        assert_eq!(dir(&[], true).unwrap(), PathBuf::from("/var/lib/hostler-up"));
        assert_eq!(dir(&[("HOME", "/h")], false).unwrap(), PathBuf::from("/h/.local/state/hostler"));
        assert_eq!(dir(&[("HOME", "/h"), ("XDG_STATE_HOME", "/x")], false).unwrap(), PathBuf::from("/x/hostler"));
        assert_eq!(
            dir(&[("HOME", "/h"), ("XDG_STATE_HOME", "x")], false).unwrap(),
            PathBuf::from("/h/.local/state/hostler")
        );
        assert!(dir(&[], false).is_err());
    }
}
