//! Which boot of this host it is, and what asks for another (spec/maintenance.md §3.7).

use std::cmp::Ordering;
use std::fs;
use std::path::Path;
use std::time::Duration;

use hostler_common::step::maintenance::Boot;

use crate::ceph::program;
use crate::probes::pending::compare;

/// How long a program of the system may think about whether a reboot is needed.
const ASK: Duration = Duration::from_secs(60);

/// What tells this boot of the host from every other: the kernel's id of the boot.
///
/// In a container that id may be that of the machine, which does not boot with it. There the moment at which the first process
/// began follows, in ticks of the machine's clock: it changes whenever the container is started anew. The mark of a container
/// is left by systemd itself.
#[must_use]
pub fn id() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    identity(
        &read("/proc/sys/kernel/random/boot_id"),
        Path::new("/run/systemd/container").exists(),
        &read("/proc/1/stat"),
    )
}

fn identity(boot_id: &str, container: bool, first: &str) -> String {
    let boot_id = boot_id.trim();
    // The name of the process is in parentheses and may contain anything; the moment is the twentieth field after it.
    let began = first.rsplit_once(')').and_then(|(_, fields)| fields.split_whitespace().nth(19));
    match began {
        Some(began) if container => format!("{boot_id}.{began}"),
        _ => boot_id.to_owned(),
    }
}

/// This boot.
#[must_use]
pub fn current() -> Boot {
    let kernel = nix::sys::utsname::uname().map(|name| name.release().to_string_lossy().into_owned());
    Boot { boot_id: id(), kernel: kernel.unwrap_or_default() }
}

/// What asks for a reboot, a sentence each: a mark that the system's packages left, what its tools say, an installed kernel that
/// is newer than the running one.
#[must_use]
pub fn wanted() -> Vec<String> {
    let root = Path::new("/");
    let mut reasons = marks(root);
    reasons.extend(by_tool());
    // A container runs its machine's kernel.
    if !Path::new("/run/systemd/container").exists() {
        reasons.extend(newer_kernel(root, &current().kernel));
    }
    reasons
}

/// The file by which packages of Debian and Ubuntu ask for a reboot, and their names beside it.
fn marks(root: &Path) -> Vec<String> {
    let mark = root.join("run/reboot-required");
    if !mark.exists() {
        return Vec::new();
    }
    let packages = fs::read_to_string(root.join("run/reboot-required.pkgs")).unwrap_or_default();
    let mut packages: Vec<&str> = packages.split_whitespace().collect();
    packages.sort_unstable();
    packages.dedup();
    let by = if packages.is_empty() { String::new() } else { format!(" by {}", packages.join(", ")) };
    vec![format!("/run/reboot-required was left{by}")]
}

/// What `needs-restarting` of the family of Red Hat says: 1 means that a reboot is needed.
fn by_tool() -> Option<String> {
    let ended = program::run("needs-restarting", &["-r".to_owned()], b"", ASK).ok()?;
    (ended.code == Some(1)).then(|| "needs-restarting says that core libraries or services were updated".to_owned())
}

/// An installed kernel of the same flavour that is newer than the running one.
fn newer_kernel(root: &Path, running: &str) -> Option<String> {
    let names =
        fs::read_dir(root.join("boot")).ok()?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let installed = names.filter_map(|name| name.strip_prefix("vmlinuz-").map(str::to_owned));
    let newer = installed.filter(|kernel| {
        flavour(kernel) == flavour(running) && compare(&plain(kernel), &plain(running)) == Ordering::Greater
    });
    let newest = newer.max_by(|a, b| compare(&plain(a), &plain(b)))?;
    Some(format!("kernel {newest} is installed, and {running} runs"))
}

/// Versions of kernels have parts between dashes, and all of them count.
fn plain(kernel: &str) -> String {
    kernel.replace('-', ".")
}

/// What sort of kernel it is: `amd64`, `cloud-amd64`, nothing, `debug`.
fn flavour(kernel: &str) -> String {
    let (kernel, plus) = kernel.split_once('+').unwrap_or((kernel, ""));
    let words = kernel.split('-').filter(|word| !word.starts_with(|c: char| c.is_ascii_digit()));
    words.chain((!plus.is_empty()).then_some(plus)).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_is_told_from_others_also_in_a_container() {
        let stat = "1 (a) b) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 100 200";
        assert_eq!(identity("abc\n", false, stat), "abc");
        assert_eq!(identity("abc\n", true, stat), "abc.4711");
        assert_eq!(identity("abc\n", true, ""), "abc");
        let now = current();
        assert!(!now.kernel.is_empty() && now.boot_id.len() >= 36, "{now:?}");
        assert_eq!(now, current());
    }

    #[test]
    fn marks_are_read_with_the_packages_that_left_them() {
        let root = tempfile::tempdir().unwrap();
        assert!(marks(root.path()).is_empty());
        fs::create_dir(root.path().join("run")).unwrap();
        fs::write(root.path().join("run/reboot-required"), "").unwrap();
        assert_eq!(marks(root.path()), ["/run/reboot-required was left"]);
        fs::write(root.path().join("run/reboot-required.pkgs"), "linux\ndbus\nlinux\n").unwrap();
        assert_eq!(marks(root.path()), ["/run/reboot-required was left by dbus, linux"]);
    }

    #[test]
    fn a_newer_kernel_of_the_same_flavour_asks_for_a_reboot() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("boot")).unwrap();
        for kernel in ["6.1.0-9-amd64", "6.1.0-21-amd64", "6.1.0-30-cloud-amd64", "5.14.0-427.el9.x86_64"] {
            fs::write(root.path().join("boot").join(format!("vmlinuz-{kernel}")), "").unwrap();
        }
        let newer = |running: &str| newer_kernel(root.path(), running);
        assert!(newer("6.1.0-18-amd64").unwrap().contains("6.1.0-21-amd64"));
        assert_eq!(newer("6.1.0-21-amd64"), None);
        assert!(newer("6.1.0-18-cloud-amd64").unwrap().contains("6.1.0-30-cloud-amd64"));
        assert!(newer("5.14.0-362.8.1.el9_3.x86_64").unwrap().contains("427"));
        assert_eq!(newer("5.14.0-427.el9.x86_64+debug"), None);
        assert_eq!(newer("6.18.2-other"), None);
    }
}
