//! Scripts of operators on this host: which are taken, and what is run for them (spec/hooks.md §10). How they are run is the
//! business of [`crate::process`].

pub mod credentials;
pub mod keys;
pub mod policy;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hostler_common::id::{HostId, JobId};
use hostler_common::job::JobSpec;
use hostler_common::script::ScriptRun;
use hostler_proto::v1::Secret;

use self::credentials::Places;
use self::keys::Keys;
use self::policy::Policy;
use crate::artifacts::Cache;
use crate::config::Config;
use crate::process::contain::Limits;
use crate::process::stage::Script;
use crate::process::{Program, bell};
use crate::runner::Fitness;

/// How much longer than its deadline a script may last that nobody ends.
const LIFETIME_MARGIN: Duration = Duration::from_secs(60);

/// What is known of scripts on this host.
#[derive(Clone, Debug)]
pub struct Scripts {
    policy: Policy,
    /// Whose signatures count.
    pub keys: Keys,
    /// Their bytes.
    pub cache: Cache,
    /// Their places outside of the agent's state.
    pub places: Places,
    bell: PathBuf,
}

impl Scripts {
    /// Of the agent of `state_dir`.
    ///
    /// # Errors
    /// Its state cannot be read.
    pub fn open(state_dir: &Path, host: HostId, config: &Config) -> io::Result<Self> {
        Ok(Self {
            policy: Policy::new(&config.allow, &config.scripts),
            keys: Keys::load(state_dir)?,
            cache: Cache::open(state_dir)?,
            places: Places::new(&config.scripts.runtime_dir, host),
            bell: bell::place(state_dir),
        })
    }

    /// Whether a script can be run as this job.
    #[must_use]
    pub fn fitness(&self, job: JobId, run: &ScriptRun) -> Fitness {
        let secrets = || match self.credentials(job, run) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("its secrets cannot be had: {error}")),
        };
        let checked = self.policy.check(run).and_then(|()| self.keys.check(&run.script)).and_then(|()| secrets());
        match checked {
            Err(reason) => Fitness::Refused(reason),
            Ok(()) if self.cache.has(&run.script.digest) => Fitness::Ready,
            Ok(()) => Fitness::Wanting,
        }
    }

    /// Whether a script can be run that the agent orders by itself: as [`Scripts::fitness`], but no manager sends the values of
    /// its secrets, and none are kept here (decision 0013).
    #[must_use]
    pub fn fitness_of_own(&self, job: JobId, run: &ScriptRun) -> Fitness {
        if run.secrets.is_empty() {
            return self.fitness(job, run);
        }
        let names = run.secrets.values().map(String::as_str).collect::<Vec<_>>().join(", ");
        Fitness::Refused(format!(
            "it needs secrets ({names}), and hosts keep none: it runs only where the manager orders it"
        ))
    }

    /// Keeps the values of a script's secrets until it is run.
    ///
    /// # Errors
    /// Why not, for people.
    pub fn keep_secrets(&self, job: JobId, run: &ScriptRun, secrets: &[Secret]) -> Result<(), String> {
        // Names become those of files.
        self.policy.check(run)?;
        let wanted: Vec<Secret> =
            secrets.iter().filter(|secret| run.secrets.contains_key(&secret.name)).cloned().collect();
        self.places.keep(job, &wanted).map_err(|error| format!("its secrets cannot be kept: {error}"))
    }

    fn credentials(&self, job: JobId, run: &ScriptRun) -> io::Result<Option<PathBuf>> {
        if run.secrets.is_empty() {
            return Ok(None);
        }
        self.places.of(job, run.secrets.keys()).map(Some)
    }

    /// What is run for it.
    ///
    /// # Errors
    /// Something that it needs is gone.
    pub fn program(&self, spec: &JobSpec, run: &ScriptRun, grace: Duration) -> io::Result<Program> {
        // Other accounts are the exception; their place is not needed otherwise.
        let passable = if run.run_as.is_some() { self.places.passable()? } else { PathBuf::new() };
        let script = Script {
            bytes: self.cache.path(&run.script.digest),
            digest: run.script.digest,
            name: run.script.name.clone(),
            args: run.args.clone(),
            env: run.env.clone(),
            stdin: run.stdin.clone(),
            run_as: run.run_as.clone(),
            credentials: self.credentials(spec.id, run)?,
            passable,
            leave_children: run.leave_children,
            success_codes: run.success_codes.clone(),
            bell: self.bell.clone(),
            change: run.change.clone(),
        };
        // What is left behind on purpose has no end.
        let lifetime =
            (!run.leave_children).then(|| spec.deadline.saturating_add(grace).saturating_add(LIFETIME_MARGIN));
        Ok(Program {
            argv: Vec::new(),
            deadline: spec.deadline,
            grace,
            stdout_head: 0,
            stdout_tail: 0,
            limits: Limits::of_script(&run.limits, lifetime),
            within: None,
            script: Some(script),
            changes_host: true,
            env: BTreeMap::new(),
            refuses_by: None,
        })
    }
}
