//! Proof by system calls that a probe only looks (spec/introspection.md §8.9).

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What sets or clears flags of an interface.
const FORBIDDEN_REQUESTS: &[&str] = &["SIOCSIF", "SIOCBRADD", "SIOCBOND", "BLKRRPART", "BLKFLSBUF", "BLKROSET"];

/// The example beside the test binary; Cargo builds it for integration tests.
fn probe() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let target = own.parent().and_then(Path::parent).unwrap();
    target.join("examples/probe")
}

#[test]
fn a_probe_spawns_nothing_and_writes_nothing() {
    if Command::new("strace").arg("-V").output().is_err() {
        assert!(std::env::var_os("CI").is_none_or(|value| value != "true"), "strace is missing");
        eprintln!("NOT TESTED: strace is missing, so it is not proven that probes only look");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("calls");
    let calls = "execve,execveat,fork,vfork,clone,clone3,open,openat,openat2,creat,ioctl,init_module,finit_module,\
                 delete_module,mount,umount2,setsockopt,reboot,kill,tgkill,unlink,unlinkat,rename,renameat,renameat2,\
                 write,pwrite64,mknod,mknodat,bpf,settimeofday,clock_settime,adjtimex,clock_adjtime";
    let status = Command::new("strace")
        // One file per thread, so that no call is torn in two.
        .args(["-ff", "-y", "-s", "64", "-o"])
        .arg(&log)
        .args(["-e", &format!("trace={calls}"), "--"])
        .arg(probe())
        .stdout(fs::File::create(dir.path().join("document")).unwrap())
        .status()
        .unwrap();
    assert!(status.success());
    let document: serde_json::Value = serde_json::from_slice(&fs::read(dir.path().join("document")).unwrap()).unwrap();
    assert!(document["inventory"]["cpu"]["count"].as_u64().is_some_and(|count| count > 0), "it did look");
    let logs =
        fs::read_dir(dir.path()).unwrap().flatten().filter(|e| e.file_name().to_string_lossy().starts_with("calls."));
    let trace: String = logs.map(|entry| fs::read_to_string(entry.path()).unwrap()).collect();
    let mut execs = 0;
    let mut opened = BTreeSet::new();
    for call in trace.lines() {
        let name = call.split('(').next().unwrap_or_default();
        match name {
            "execve" => execs += 1,
            "clone" | "clone3" => assert!(call.contains("CLONE_THREAD"), "a process was made: {call}"),
            "open" | "openat" | "openat2" => {
                assert!(!["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"].iter().any(|flag| call.contains(flag)), "{call}");
                opened.extend(call.split('"').nth(1).map(str::to_owned));
            }
            "write" | "pwrite64" => assert!(writable(call), "{call}"),
            "ioctl" => assert!(!FORBIDDEN_REQUESTS.iter().any(|request| call.contains(request)), "{call}"),
            "setsockopt" => assert!(
                call.contains("SO_RCVTIMEO") || call.contains("SOL_NETLINK") || call.contains("SO_SNDTIMEO"),
                "{call}"
            ),
            // Without modes it only reads, and it says so.
            "adjtimex" | "clock_adjtime" => assert!(call.contains("modes=0"), "{call}"),
            _ => assert!(name.starts_with(['<', '+', '-']), "{call}"),
        }
    }
    assert_eq!(execs, 1, "only the probe itself is started");
    assert!(opened.contains("/proc/meminfo"), "the trace is of the probe");
    // The machine has block devices, and those that were opened were opened for reading (asserted above).
    let block =
        |path: &&String| fs::metadata(path.as_str()).is_ok_and(|metadata| metadata.file_type().is_block_device());
    eprintln!("block devices opened, all for reading: {:?}", opened.iter().filter(block).collect::<Vec<_>>());
}

/// Standard output, and the event descriptors of threads.
fn writable(call: &str) -> bool {
    call.starts_with("write(1<") || call.contains("anon_inode") || call.contains("<socket:") || call.contains("UNIX")
}
