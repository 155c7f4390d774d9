//! What this host allows of scripts, whoever asks (design §5, spec/hooks.md §10). Pure but for the file with which a host opts
//! out.

use std::collections::BTreeMap;

use hostler_common::script::{ScriptRun, check_args, check_env, check_name};

use crate::config::{Allow, AllowScripts, Scripts};

/// The most secrets of one script.
const SECRETS_MAX: usize = 32;

/// The longest name of a file of a secret, in bytes.
const SECRET_NAME_MAX: usize = 128;

/// What may set variables that begin so: hooks.
const HOOK: &str = "HOOK_";

/// The rules of a host.
#[derive(Clone, Debug)]
pub struct Policy {
    allow: Allow,
    scripts: Scripts,
}

impl Policy {
    /// Those of the settings.
    #[must_use]
    pub fn new(allow: &Allow, scripts: &Scripts) -> Self {
        Self { allow: allow.clone(), scripts: scripts.clone() }
    }

    /// Whether the host takes this script.
    ///
    /// # Errors
    /// Why not, for people.
    pub fn check(&self, run: &ScriptRun) -> Result<(), String> {
        let opt_out = &self.scripts.opt_out_file;
        // One that cannot be looked at may be there.
        if !matches!(std::fs::symlink_metadata(opt_out), Err(error) if error.kind() == std::io::ErrorKind::NotFound) {
            return Err(format!("this host runs no scripts of managers: it has {}", opt_out.display()));
        }
        let digest = run.script.digest;
        if self.allow.scripts == AllowScripts::Listed && !self.allow.script_digests.contains(&digest) {
            return Err(format!("this host does not allow script {digest} ([allow] script_digests in its agent.toml)"));
        }
        if let Some(user) = run.run_as.as_ref().filter(|user| !self.allow.users.contains(user)) {
            return Err(format!(
                "this host does not allow scripts to run as {user:?} ([allow] users in its agent.toml)"
            ));
        }
        check_name(&run.script.name).and_then(|()| check_args(&run.args)).map_err(|fault| fault.to_string())?;
        let (of_hook, other): (BTreeMap<_, _>, BTreeMap<_, _>) =
            run.env.clone().into_iter().partition(|(name, _)| name.starts_with(HOOK));
        check_env(&other).map_err(|fault| fault.to_string())?;
        // The same rules but for what the names begin with.
        let bare = of_hook.into_iter().map(|(name, value)| (format!("_{name}"), value)).collect();
        check_env(&bare).map_err(|fault| fault.to_string())?;
        check_secrets(&run.secrets)
    }
}

fn check_secrets(secrets: &BTreeMap<String, String>) -> Result<(), String> {
    if secrets.len() > SECRETS_MAX {
        return Err(format!("a script gets at most {SECRETS_MAX} secrets"));
    }
    let fine = |name: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        !name.is_empty() && !name.starts_with('.') && name.len() <= SECRET_NAME_MAX && name.bytes().all(plain)
    };
    match secrets.keys().find(|name| !fine(name)) {
        Some(name) => Err(format!("{name:?} is no name for the file of a secret")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use hostler_common::script::{Digest, ScriptRef};

    use super::*;

    fn run() -> ScriptRun {
        ScriptRun::new(ScriptRef {
            id: None,
            name: "s".into(),
            revision: 1,
            digest: Digest([3; 32]),
            signature: String::new(),
        })
    }

    fn one(name: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(name.to_owned(), "v".to_owned())])
    }

    #[test]
    fn what_the_host_does_not_allow_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let opt_out_file = dir.path().join("no-remote-scripts");
        let scripts = Scripts { opt_out_file: opt_out_file.clone(), ..Scripts::default() };
        let listed = |digest| Allow {
            scripts: AllowScripts::Listed,
            script_digests: vec![Digest([digest; 32])],
            users: vec!["nobody".into()],
            ..Allow::default()
        };
        let policy = Policy::new(&listed(3), &scripts);
        assert_eq!(policy.check(&run()), Ok(()));
        assert_eq!(policy.check(&ScriptRun { run_as: Some("nobody".into()), ..run() }), Ok(()));
        assert_eq!(policy.check(&ScriptRun { env: one("HOOK_EVENT"), secrets: one("db-password"), ..run() }), Ok(()));
        for (broken, wanted) in [
            (ScriptRun { run_as: Some("root".into()), ..run() }, "[allow] users"),
            (ScriptRun { env: one("LD_PRELOAD"), ..run() }, "LD_PRELOAD"),
            (ScriptRun { env: one("HOOK_x"), ..run() }, "HOOK_x"),
            (ScriptRun { args: vec!["\0".into()], ..run() }, "NUL"),
            (ScriptRun { secrets: one("../x"), ..run() }, "no name"),
            (ScriptRun { secrets: one(".."), ..run() }, "no name"),
        ] {
            let reason = policy.check(&broken).unwrap_err();
            assert!(reason.contains(wanted), "{reason}");
        }
        assert!(Policy::new(&listed(4), &scripts).check(&run()).unwrap_err().contains("script_digests"));
        std::fs::write(&opt_out_file, "").unwrap();
        assert!(policy.check(&run()).unwrap_err().contains("no-remote-scripts"));
    }
}
