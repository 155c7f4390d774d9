//! The rules of hooks: what is left out, what is refused (spec/hooks.md §4, §5, §10). No store, no time.

use hostler_common::hook::{HookPoint, OnFailure, Place};
use hostler_common::script::check_env;

use super::hook::Patch;
use super::secret::is_file_name;
use crate::store::hook::Details;

/// How long scripts take at the most at moments for which something waits, in seconds.
pub const TIMEOUT_BLOCKING: u32 = 300;

/// How long scripts take at other moments where nobody says otherwise, in seconds.
pub const TIMEOUT_OTHERS: u32 = 3600;

/// The longest time that a script may be given, in seconds.
const TIMEOUT_MAX: u32 = 48 * 3600;

/// Where hooks of a moment stand among others where nobody says otherwise.
pub(super) const ORDER: i32 = 100;

/// How many secrets a hook may name.
const SECRETS_MAX: usize = 32;

/// Whether a moment's hooks are bound to hosts.
pub(super) fn on_hosts(point: HookPoint) -> bool {
    point.place() != Place::Management
}

/// What a new hook of that moment has where nobody says otherwise.
pub(super) fn defaults(point: HookPoint) -> Details {
    Details {
        on_failure: OnFailure::Block,
        timeout_s: if point.blocking() { TIMEOUT_BLOCKING } else { TIMEOUT_OTHERS },
        run_as: None,
        env: Default::default(),
        secrets: Default::default(),
        max_parallel: None,
        stdin_json: false,
        // Daemons start by themselves all the time; the other moments would hardly ever come without it.
        external: point != HookPoint::PostCephDaemonStart,
        leave_children: false,
    }
}

/// Makes what is as usual at one moment be as usual at another: clients that only say the event have never heard of the rest.
pub(super) fn follow(details: &mut Details, from: HookPoint, to: HookPoint) {
    let (before, after) = (defaults(from), defaults(to));
    if details.timeout_s == before.timeout_s {
        details.timeout_s = after.timeout_s;
    }
    if details.external == before.external {
        details.external = after.external;
    }
}

/// Writes what was said over `details`.
pub(super) fn apply(details: &mut Details, patch: &Patch) {
    let Patch {
        on_failure, timeout_s, run_as, env, secrets, max_parallel, stdin_json, external, leave_children, ..
    } = patch.clone();
    details.on_failure = on_failure.unwrap_or(details.on_failure);
    details.timeout_s = timeout_s.unwrap_or(details.timeout_s);
    details.stdin_json = stdin_json.unwrap_or(details.stdin_json);
    details.external = external.unwrap_or(details.external);
    details.leave_children = leave_children.unwrap_or(details.leave_children);
    if let Some(run_as) = run_as {
        details.run_as = run_as;
    }
    if let Some(max_parallel) = max_parallel {
        details.max_parallel = max_parallel;
    }
    if let Some(env) = env {
        details.env = env;
    }
    if let Some(secrets) = secrets {
        details.secrets = secrets;
    }
}

/// Checks a hook that is about to be written at that moment.
///
/// # Errors
/// The rule that it breaks.
pub(super) fn check(point: HookPoint, details: &Details) -> Result<(), String> {
    let longest = if point.blocking() { TIMEOUT_BLOCKING } else { TIMEOUT_MAX };
    if !(1..=longest).contains(&details.timeout_s) {
        return Err(format!("timeoutSeconds must be from 1 to {longest} at {}", point.name()));
    }
    if details.run_as.as_deref().is_some_and(|name| !is_account(name)) {
        return Err("runAs must be the name of an account".into());
    }
    if details.max_parallel == Some(0) {
        return Err("maxParallel must be at least 1, or null for any number".into());
    }
    if details.secrets.len() > SECRETS_MAX {
        return Err(format!("secrets may have at most {SECRETS_MAX} entries, has {}", details.secrets.len()));
    }
    if let Some((file, name)) = details.secrets.iter().find(|(file, name)| !is_file_name(file) || !is_file_name(name)) {
        return Err(format!("secrets: {file:?} and {name:?} must be names of files"));
    }
    if point.of_agents() && !details.secrets.is_empty() {
        let name = point.name();
        return Err(format!("secrets: scripts at {name} run also without the manager, and hosts keep no secrets"));
    }
    check_env(&details.env).map_err(|fault| fault.to_string())
}

/// Whether it can be the name of an account of a host.
fn is_account(name: &str) -> bool {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_');
    first && name.len() <= 32 && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_says() {
        let details = defaults(HookPoint::PreFormatDisk);
        assert_eq!((details.timeout_s, details.external), (300, true));
        let details = defaults(HookPoint::PostCephDaemonStart);
        assert_eq!((details.timeout_s, details.external), (3600, false));
        for point in HookPoint::ALL {
            assert_eq!(check(*point, &defaults(*point)), Ok(()), "{}", point.name());
        }
        assert!(on_hosts(HookPoint::OnRbdSnapshotComplete) && !on_hosts(HookPoint::OnAudit));
    }

    #[test]
    fn what_is_usual_follows_the_moment() {
        let mut details = defaults(HookPoint::PostCephDaemonStart);
        follow(&mut details, HookPoint::PostCephDaemonStart, HookPoint::PreFormatDisk);
        assert_eq!(details, defaults(HookPoint::PreFormatDisk));
        details.timeout_s = 60;
        follow(&mut details, HookPoint::PreFormatDisk, HookPoint::OnAudit);
        assert_eq!(details.timeout_s, 60, "somebody chose it");
    }

    #[test]
    fn what_is_refused() {
        let refused = |change: fn(&mut Details)| {
            let mut details = defaults(HookPoint::PreFormatDisk);
            change(&mut details);
            check(HookPoint::PreFormatDisk, &details).unwrap_err()
        };
        assert!(refused(|details| details.timeout_s = 301).contains("300"));
        assert!(refused(|details| details.timeout_s = 0).contains("timeoutSeconds"));
        assert!(refused(|details| details.run_as = Some("root; reboot".into())).contains("runAs"));
        assert!(refused(|details| details.max_parallel = Some(0)).contains("maxParallel"));
        assert!(refused(|details| drop(details.env.insert("LD_PRELOAD".into(), "x".into()))).contains("LD_PRELOAD"));
        assert!(refused(|details| drop(details.secrets.insert("../x".into(), "y".into()))).contains("secrets"));
        let mut secret = defaults(HookPoint::PreFormatDisk);
        secret.secrets.insert("x".into(), "y".into());
        assert_eq!(check(HookPoint::PreFormatDisk, &secret), Ok(()));
        for point in [HookPoint::PreDaemonStart, HookPoint::PostDaemonStart, HookPoint::OnPersistentAvailable] {
            assert!(check(point, &secret).unwrap_err().contains("hosts keep no secrets"), "{}", point.name());
        }
    }
}
