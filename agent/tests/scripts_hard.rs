//! Scripts where things are hard: much output, slow links, full disks, clocks that jump (spec/hooks.md §10, §13).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stderr, reason = "tests say what they measured")]

#[path = "support/manager.rs"]
mod manager;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hostler_common::job::JobState;
use hostler_common::script::{OUTPUT_HEAD, OUTPUT_TAIL, ScriptRun};
use hostler_proto::v1::agent_frame::Frame as Up;
use manager::{Manager, connected, eventually, job, text, untested};

#[tokio::test]
async fn a_transfer_that_breaks_goes_on_where_it_was() {
    let (manager, agent, mut link) = connected().await;
    let script = format!("#!/bin/sh\necho ran\nexit\n{}", "# padding\n".repeat(2500));
    manager.shared.break_after.store(10_000, Ordering::Relaxed);
    let run = manager.script(&script);
    assert_eq!(link.run(run.clone()).await.0, JobState::Succeeded);
    assert_eq!(*manager.shared.fetched.lock().unwrap(), [0, 10_000, 20_000]);
    assert_eq!(link.run(run).await.0, JobState::Succeeded);
    assert_eq!(manager.shared.fetched.lock().unwrap().len(), 3, "it was fetched again");
    assert_eq!(std::fs::read_dir(agent.state.path().join("scripts")).unwrap().count(), 1);
}

#[tokio::test]
async fn spec_13_7_two_gigabytes_of_output_stay_within_limits_and_slow_nobody() {
    let (manager, agent, mut link) = connected().await;
    let memory = |pid: u32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:").map(str::to_owned));
        line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0)
    };
    let other = manager.script("#!/bin/sh\necho quick\n");
    link.run(other.clone()).await;
    let before = memory(agent.pid());
    let script = "#!/bin/bash\nprintf 'BEGIN\\377\\n'; head -c 2147483648 /dev/zero; printf 'END\\n'\n";
    let spec = job(manager.script(script));
    link.give(&spec).await;
    let ring = agent.folder(spec.id);
    let turned = || {
        let entries = std::fs::read_dir(&ring).into_iter().flatten().flatten();
        let number = |entry: std::fs::DirEntry| entry.file_name().to_str()?.strip_prefix("live.")?.parse::<u64>().ok();
        entries.filter_map(number).any(|number| number > 2)
    };
    eventually("it does not write", turned).await;
    let supervisor: u32 = serde_json::from_slice(&std::fs::read(ring.join("supervisor.json")).unwrap()).unwrap();
    let mut of_supervisor = memory(supervisor);
    assert!(of_supervisor > 0, "it was over too soon to be looked at");
    let mut quick = Duration::ZERO;
    for _ in 0..3 {
        let began = Instant::now();
        assert_eq!(link.run(other.clone()).await.0, JobState::Succeeded);
        quick = quick.max(began.elapsed());
    }
    of_supervisor = of_supervisor.max(memory(supervisor));
    let (state, outcome) = link.end(spec.id).await;
    assert_eq!(state, JobState::Succeeded, "{:?}", outcome.reason);
    let grown = memory(agent.pid()) - before;
    let wall = outcome.usage.unwrap().wall_us / 1000;
    eprintln!(
        "2 GiB in {wall} ms; the agent grew by {grown} KiB, the supervisor has {of_supervisor} KiB; others {quick:?}"
    );
    assert!(grown <= 16 << 10, "the agent grew by {grown} KiB");
    assert!(of_supervisor <= 32 << 10, "the supervisor has {of_supervisor} KiB");
    assert!(quick < Duration::from_secs(5), "another script took {quick:?}");
    let merged = outcome.merged.unwrap();
    assert_eq!(merged.bytes.total, (2 << 30) + 7 + 4);
    assert_eq!((merged.bytes.head.len(), merged.bytes.tail.len()), (OUTPUT_HEAD, OUTPUT_TAIL));
    assert!(merged.bytes.head.starts_with(b"BEGIN\xff\n\0\0") && merged.bytes.tail.ends_with(b"\0END\n"));
    let mut at = 0;
    for output in link.outputs.iter().filter(|output| output.id == spec.id.to_string()) {
        assert!(output.data.len() <= 16 << 10 && output.offset >= at, "at {at}: {}", output.offset);
        at = output.offset + output.data.len() as u64;
    }
    assert!(at > 0, "nobody could watch");
}

#[tokio::test]
async fn a_link_that_nobody_reads_holds_nothing_up() {
    let (manager, agent, mut link) = connected().await;
    let flood = job(manager.script("#!/bin/sh\nhead -c 300M /dev/zero; echo END\n"));
    let quick = job(manager.script("#!/bin/sh\necho quick\n"));
    // Nothing of what the agent says is taken meanwhile.
    for spec in [&flood, &quick] {
        link.give(spec).await;
        let ended = agent.folder(spec.id).join("end.json");
        eventually("it was held up", || ended.exists()).await;
    }
    assert_eq!(link.end(flood.id).await.0, JobState::Succeeded);
    assert_eq!(link.end(quick.id).await.0, JobState::Succeeded);
    let seen: usize = link.outputs.iter().map(|output| output.data.len()).sum();
    assert!(seen < 16 << 20, "{seen}: it was kept somewhere");
}

#[tokio::test]
async fn spec_13_12_clocks_that_jump_end_nothing_and_repeat_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (source, shim, jump) = (dir.path().join("jump.c"), dir.path().join("jump.so"), dir.path().join("jumped"));
    std::fs::write(
        &source,
        format!(
            "#define _GNU_SOURCE\n#include <time.h>\n#include <unistd.h>\n#include <sys/syscall.h>\n\
             int clock_gettime(clockid_t id, struct timespec *at) {{\n\
             int done = syscall(SYS_clock_gettime, id, at);\n\
             if (id == CLOCK_REALTIME && access(\"{}\", F_OK) == 0) at->tv_sec += 94608000;\n\
             return done; }}\n",
            jump.display()
        ),
    )
    .unwrap();
    let compiled = std::process::Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&shim).arg(&source).status();
    assert!(compiled.unwrap().success());
    let mut manager = Manager::start().await;
    let mut agent = manager.agent();
    agent.env.push(("LD_PRELOAD".into(), shim.display().to_string()));
    agent.start();
    let mut link = manager.link().await;
    let go = dir.path().join("go");
    let script = format!("#!/bin/sh\necho once; while [ ! -e {} ]; do sleep 0.05; done\n", go.display());
    let mut spec = job(manager.script(&script));
    spec.deadline = Duration::from_secs(20);
    link.give(&spec).await;
    link.until(|frame| matches!(frame, Up::Output(_)).then_some(())).await;
    std::fs::write(&jump, "").unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    std::fs::remove_file(&jump).unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    std::fs::write(&jump, "").unwrap();
    link.give(&spec).await;
    std::fs::write(&go, "").unwrap();
    let (state, outcome) = link.end(spec.id).await;
    assert_eq!((state, text(&outcome).as_str()), (JobState::Succeeded, "once\n"));
    let jumped = outcome.ended_at.unwrap().since(outcome.started_at.unwrap());
    assert!(jumped > Duration::from_secs(90_000_000), "the clock did not jump: {jumped:?}");
    let wall = outcome.usage.unwrap().wall_us;
    assert!((900_000..20_000_000).contains(&wall), "{wall}");
}

#[tokio::test]
async fn a_full_disk_is_an_end_like_others() {
    if !nix::unistd::geteuid().is_root() {
        return untested("this is not root");
    }
    let dir = tempfile::tempdir().unwrap();
    let mount = |args: &[&str]| std::process::Command::new(args[0]).args(&args[1..]).arg(dir.path()).status().unwrap();
    if !mount(&["mount", "-t", "tmpfs", "-o", "size=8m", "hostler-test"]).success() {
        return untested("nothing can be mounted");
    }
    let mut manager = Manager::start().await;
    let mut agent = manager.agent_in(dir.path());
    agent.start();
    let mut link = manager.link().await;
    let script = "#!/bin/sh\nhead -c 100M /dev/zero > big; echo $?; head -c 3M /dev/zero; exit 7\n";
    let (state, outcome) = link.run(manager.script(script)).await;
    let unmount = || {
        drop(agent);
        mount(&["umount", "-l"]);
    };
    assert_eq!((state, outcome.exit_code), (JobState::Failed, Some(7)), "{:?}", outcome.reason);
    let merged = outcome.merged.unwrap();
    assert!(merged.bytes.total > 3 << 20, "{}", merged.bytes.total);
    unmount();
}

#[tokio::test]
async fn a_folder_from_which_nothing_may_be_started_is_no_hindrance() {
    if !nix::unistd::geteuid().is_root() {
        return untested("this is not root");
    }
    let dir = tempfile::tempdir().unwrap();
    let mount = |args: &[&str]| std::process::Command::new(args[0]).args(&args[1..]).arg(dir.path()).status().unwrap();
    if !mount(&["mount", "-t", "tmpfs", "-o", "size=16m,noexec", "hostler-test"]).success() {
        return untested("nothing can be mounted");
    }
    let mut manager = Manager::start().await;
    let mut agent = manager.agent_in(dir.path());
    agent.start();
    let mut link = manager.link().await;
    let script = "#!/bin/bash -e\necho \"$1 $-\"; false; echo not here\n";
    let (state, outcome) = link.run(ScriptRun { args: vec!["a b".into()], ..manager.script(script) }).await;
    let (_, missing) = link.run(manager.script("#!/no/such/one\n")).await;
    drop(agent);
    mount(&["umount", "-l"]);
    assert_eq!((state, outcome.exit_code), (JobState::Failed, Some(1)), "{outcome:?}");
    assert!(text(&outcome).starts_with("a b ") && text(&outcome).contains('e'), "{}", text(&outcome));
    assert_eq!(missing.exit_code, Some(127));
}
