//! Guests that run on the host, as its processes tell: whoever started them, libvirt or not, they are seen.

use std::fs;
use std::path::Path;

/// The guests that run, by name and UUID, in order; `proc` is where the kernel's processes are.
#[must_use]
pub fn running(proc: &Path) -> Vec<String> {
    let processes = fs::read_dir(proc).into_iter().flatten().flatten();
    let mut guests: Vec<String> = processes
        .filter(|entry| entry.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit()))
        .filter_map(|entry| {
            // A process that ended meanwhile is no guest.
            let words = fs::read(entry.path().join("cmdline")).ok()?;
            let words: Vec<_> = words.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
            guest(&words.iter().map(AsRef::as_ref).collect::<Vec<_>>(), &entry.file_name().to_string_lossy())
        })
        .collect();
    guests.sort_unstable();
    guests
}

/// The guest of a command line, if it is one.
fn guest(words: &[&str], pid: &str) -> Option<String> {
    let program = words.first()?.rsplit('/').next()?;
    if !(program.starts_with("qemu-system-") || program == "qemu-kvm" || program == "kvm") {
        return None;
    }
    let after = |option: &str| words.iter().position(|word| *word == option).and_then(|at| words.get(at + 1)).copied();
    let first = after("-name").and_then(|name| name.split(',').next()).map(|name| name.trim_start_matches("guest="));
    let name = first.map_or_else(|| format!("process {pid}"), str::to_owned);
    Some(match after("-uuid") {
        Some(uuid) => format!("{name} ({uuid})"),
        None => name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_are_told_by_their_command_lines() {
        let proc = tempfile::tempdir().unwrap();
        let process = |pid: &str, line: &str| {
            fs::create_dir(proc.path().join(pid)).unwrap();
            fs::write(proc.path().join(pid).join("cmdline"), line.replace(' ', "\0") + "\0").unwrap();
        };
        process("7", "/usr/bin/qemu-system-x86_64 -name guest=web-1,debug-threads=on -S -uuid 3f7a2b60-5c11");
        process("8", "/usr/libexec/qemu-kvm -m 512");
        process("9", "qemu-system-aarch64 -name db -m 1");
        process("10", "/usr/bin/qemu-img convert a b");
        process("11", "grep qemu-system-x86_64");
        process("12", "");
        process("self", "kvm -name nobody");
        fs::create_dir(proc.path().join("13")).unwrap();
        assert_eq!(running(proc.path()), ["db", "process 8", "web-1 (3f7a2b60-5c11)"]);
        assert!(running(Path::new("/nowhere")).is_empty());
    }
}
