//! Scripts of operators, for real: an agent, its supervisors and a manager that a test plays (spec/hooks.md §10, §13).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stderr, reason = "tests say what they measured")]

#[path = "support/manager.rs"]
mod manager;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hostler_common::job::{JobState, Outcome, Stream};
use hostler_common::script::{Digest, ScriptRun};
use hostler_proto::v1;
use hostler_proto::v1::agent_frame::Frame as Up;
use hostler_proto::v1::manager_frame::Frame as Down;
use manager::{Manager, connected, connected_with_accounts, eventually, job, text};

#[tokio::test]
async fn a_script_runs_in_an_environment_of_its_own_and_nothing_stays() {
    let (manager, agent, mut link) = connected().await;
    let script =
        "#!/bin/bash\nenv | sort; pwd; umask; stat -c %a . \"$TMPDIR\" \"$0\"; touch \"$TMPDIR/x\"; cat; exit 3\n";
    let env = BTreeMap::from([("HOOK_EVENT".to_owned(), "OnAudit".to_owned()), ("EXTRA".to_owned(), "1".to_owned())]);
    let spec = job(ScriptRun { env, stdin: Some("{\"event\":1}".into()), ..manager.script(script) });
    link.give(&spec).await;
    let (state, outcome) = link.end(spec.id).await;
    assert_eq!((state, outcome.exit_code, outcome.reason.as_deref()), (JobState::Failed, Some(3), Some("exit code 3")));
    let said = text(&outcome);
    for wanted in
        ["HOOK_EVENT=OnAudit\n", "EXTRA=1\n", "LANG=C.UTF-8\n", "HOME=/root\n", "\n0077\n", "\n700\n700\n500\n"]
    {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    assert!(said.ends_with("{\"event\":1}"), "{said}");
    let known = ["CLUSTER_FSID", "EXTRA", "HOME", "HOOK_EVENT", "LANG", "PATH", "PWD", "SHLVL", "TMPDIR", "_"];
    let names = said.lines().take_while(|line| line.contains('=')).filter_map(|line| line.split_once('='));
    assert!(names.clone().all(|(name, _)| known.contains(&name)), "{said}");
    assert!(names.count() >= 8, "{said}");
    assert!(!agent.folder(spec.id).join("place").exists(), "its folder was left behind");
    let usage = outcome.usage.unwrap();
    assert!(usage.wall_us > 0 && usage.cpu_us > 0 && usage.memory_max_kib > 0 && !usage.out_of_memory, "{usage:?}");
    assert!(outcome.started_at.unwrap() < outcome.ended_at.unwrap());
}

#[tokio::test]
async fn both_streams_are_one_output_and_each_byte_says_whose_it_is() {
    let (manager, _agent, mut link) = connected().await;
    let script = "#!/bin/sh\necho one; sleep 0.5; echo two >&2; sleep 0.5; printf 'three\\377\\000'\n";
    let (_, outcome) = link.run(manager.script(script)).await;
    let merged = outcome.merged.unwrap();
    assert_eq!(merged.bytes.head, b"one\ntwo\nthree\xff\0");
    assert_eq!(merged.marks, [(0, Stream::Stdout), (4, Stream::Stderr), (8, Stream::Stdout)]);
    assert_eq!((outcome.stdout.total, outcome.stderr.total, merged.dropped), (0, 0, 0));
    // Watchers saw the same, piece by piece.
    let seen: Vec<(u64, &[u8], bool)> =
        link.outputs.iter().map(|output| (output.offset, output.data.as_slice(), output.stderr)).collect();
    let whole = seen.iter().flat_map(|(_, data, _)| data.to_vec()).collect::<Vec<u8>>();
    assert_eq!(whole, merged.bytes.head, "{seen:?}");
    assert_eq!(seen[0], (0, &b"one\n"[..], false));
}

#[tokio::test]
async fn spec_13_8_arguments_arrive_byte_for_byte() {
    let (manager, _agent, mut link) = connected().await;
    let script = "#!/usr/bin/env python3\nimport sys, json\nprint(json.dumps(sys.argv[1:]))\n";
    let args: Vec<String> = vec![
        "'single' \"double\" `back`".into(),
        "$(touch /tmp/hostler-was-here) ${HOME} $HOME; reboot && x | y > z".into(),
        "line one\nline two\r\n\ttab".into(),
        String::new(),
        "--option=-x * ? [a] ~ \\ \u{1F980} é".into(),
        "x".repeat(16 << 10),
    ];
    let (state, outcome) = link.run(ScriptRun { args: args.clone(), ..manager.script(script) }).await;
    assert_eq!(state, JobState::Succeeded, "{outcome:?}");
    assert_eq!(serde_json::from_str::<Vec<String>>(&text(&outcome)).unwrap(), args);
    let many = ScriptRun { args: vec![String::new(); 65], ..manager.script(script) };
    assert_eq!(link.run(many).await.0, JobState::Refused);
}

fn reason(outcome: &Outcome) -> &str {
    outcome.reason.as_deref().unwrap_or_default()
}

#[tokio::test]
async fn what_is_not_signed_or_not_what_was_signed_is_refused() {
    let (manager, agent, mut link) = connected().await;
    let good = manager.script("#!/bin/sh\necho ran\n");
    let mut unsigned = good.clone();
    unsigned.script.signature.clear();
    let mut renamed = good.clone();
    renamed.script.name = "other.sh".into();
    let mut unknown = good.clone();
    unknown.script = manager.signed("test.sh", Digest([9; 32]));
    // The manager hands out other bytes under a digest that it signed.
    let mut swapped = good.clone();
    swapped.script = manager.signed("test.sh", Digest([8; 32]));
    manager.shared.artifacts.lock().unwrap().insert([8; 32], b"#!/bin/sh\necho evil\n".to_vec());
    for (run, wanted) in [
        (unsigned, "not signed"),
        (renamed, "signature"),
        (unknown, "no such artifact"),
        (swapped, "another digest"),
        (ScriptRun { run_as: Some("daemon".into()), ..good.clone() }, "[allow] users"),
    ] {
        let (state, outcome) = link.run(run).await;
        assert_eq!(state, JobState::Refused, "{wanted}");
        assert!(reason(&outcome).contains(wanted), "{outcome:?}");
    }
    assert_eq!(link.run(good.clone()).await.0, JobState::Succeeded);
    // Somebody spoilt the store of scripts on this host.
    let kept = agent.state.path().join("scripts").join(good.script.digest.to_string());
    std::fs::write(kept, "#!/bin/sh\necho spoilt\n").unwrap();
    let (state, outcome) = link.run(good.clone()).await;
    assert_eq!(state, JobState::Failed);
    assert!(reason(&outcome).contains("not what was signed"), "{outcome:?}");
    std::fs::write(agent.state.path().join("no-remote-scripts"), "").unwrap();
    let (state, outcome) = link.run(good).await;
    assert_eq!(state, JobState::Refused);
    assert!(reason(&outcome).contains("no-remote-scripts"), "{outcome:?}");
}

#[tokio::test]
async fn interpreters_that_are_missing_or_none_are_told_apart() {
    let (manager, agent, mut link) = connected().await;
    for (script, code, wanted) in [
        ("#!/no/such/interpreter\n", 127, "/no/such/interpreter is not there"),
        ("#!/etc/passwd\n", 126, "cannot be executed"),
        ("#!/usr/bin/env no-such-program\n", 127, "exit code 127"),
    ] {
        let (state, outcome) = link.run(manager.script(script)).await;
        assert_eq!((state, outcome.exit_code), (JobState::Failed, Some(code)), "{outcome:?}");
        assert!(reason(&outcome).contains(wanted), "{outcome:?}");
    }
    // What no kernel can execute is never given to a shell.
    let mark = agent.state.path().join("mark");
    for bytes in [format!("touch {}\n", mark.display()).into_bytes(), b"\x7fELF nonsense".to_vec()] {
        let (state, outcome) = link.run(manager.script_of(&bytes)).await;
        assert_eq!((state, outcome.exit_code), (JobState::Failed, Some(126)), "{outcome:?}");
    }
    assert!(!mark.exists());
    let some = ScriptRun { success_codes: vec![4], ..manager.script("#!/bin/sh\nexit 4\n") };
    let (state, outcome) = link.run(some).await;
    assert_eq!((state, outcome.exit_code), (JobState::Succeeded, Some(4)));
    let (_, outcome) = link.run(manager.script("#!/bin/sh\nkill -SEGV $$\n")).await;
    assert_eq!((outcome.exit_code, outcome.signal), (None, Some(11)));
}

#[tokio::test]
async fn secrets_are_files_in_memory_and_never_in_output_or_on_the_disk() {
    let (manager, agent, mut link) = connected().await;
    let script = "#!/bin/bash\nfile=$CREDENTIALS_DIRECTORY/password\nstat -f -c %T \"$file\"; stat -c %a \"$file\"\n\
        cat \"$file\"; echo; base64 < \"$file\"; printf 'user:%s' \"$(<\"$file\")\" | base64\n\
        v=$(<\"$file\"); printf %s \"${v:0:5}\"; sleep 0.1; printf '%s\\n' \"${v:5}\" >&1; echo \"$CREDENTIALS_DIRECTORY\"\n";
    let secrets = BTreeMap::from([("password".to_owned(), "db-password".to_owned())]);
    let spec = job(ScriptRun { secrets, ..manager.script(script) });
    let mut frame = v1::Job::from(&spec);
    frame.secrets.push(v1::Secret { name: "password".into(), value: b"correct horse battery".to_vec() });
    link.send(Down::Job(frame)).await;
    let (state, outcome) = link.end(spec.id).await;
    let said = text(&outcome);
    assert_eq!(state, JobState::Succeeded, "{outcome:?}");
    assert!(said.starts_with("tmpfs\n400\n***\n***"), "{said}");
    assert!(said.contains("\n***\n/"), "{said}");
    for trace in ["correct", "horse", "battery", "Y29ycmVjd", "aG9yc2U"] {
        assert!(!said.contains(trace), "{trace}: {said}");
        let grep = std::process::Command::new("grep").args(["-r", trace]).arg(agent.state.path()).output().unwrap();
        assert_eq!(grep.stdout, b"", "{trace} is on the disk");
    }
    let live: Vec<u8> = link.outputs.iter().flat_map(|output| output.data.clone()).collect();
    assert!(!String::from_utf8_lossy(&live).contains("horse"));
    let folder = said.lines().last().unwrap();
    eventually("the credentials stayed", || !std::path::Path::new(folder).exists()).await;
    // The values do not come with the job.
    let spec =
        job(ScriptRun { secrets: BTreeMap::from([("other".to_owned(), "x".to_owned())]), ..manager.script(script) });
    link.give(&spec).await;
    let (state, outcome) = link.end(spec.id).await;
    assert_eq!(state, JobState::Refused);
    assert!(reason(&outcome).contains("secrets"), "{outcome:?}");
}

#[tokio::test]
async fn another_account_is_another_account() {
    let Some((manager, _agent, mut link, runtime)) = connected_with_accounts().await else { return };
    let script = "#!/bin/bash\nid -un; id -gn; grep NoNewPrivs /proc/self/status; pwd; touch ok && echo \"$HOME\"\n\
        cat \"$CREDENTIALS_DIRECTORY\"/key; ls /root > /dev/null 2>&1 || echo locked\n";
    let secrets = BTreeMap::from([("key".to_owned(), "k".to_owned())]);
    let spec = job(ScriptRun { run_as: Some("nobody".into()), secrets, ..manager.script(script) });
    let mut frame = v1::Job::from(&spec);
    frame.secrets.push(v1::Secret { name: "key".into(), value: b"open-sesame".to_vec() });
    link.send(Down::Job(frame)).await;
    let (state, outcome) = link.end(spec.id).await;
    let said = text(&outcome);
    assert_eq!(state, JobState::Succeeded, "{outcome:?} {said}");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "nobody");
    assert_eq!(lines[2].split_whitespace().last(), Some("1"));
    assert!(lines[3].starts_with(runtime.path().to_str().unwrap()), "{said}");
    assert!(said.ends_with("***locked\n"), "{said}");
    let left = runtime.path().join(manager.host.to_string()).join("work");
    assert_eq!(std::fs::read_dir(left).unwrap().count(), 0, "its folder was left behind");
}

#[tokio::test]
async fn scripts_have_places_of_their_own_and_a_queue_with_an_end() {
    let (manager, agent, mut link) = connected().await;
    let slow = manager.script("#!/bin/sh\nsleep 60\n");
    let specs: Vec<_> = (0..37).map(|_| job(slow.clone())).collect();
    for spec in &specs {
        link.give(spec).await;
    }
    let (state, outcome) = link.end(specs[36].id).await;
    assert_eq!(state, JobState::Refused);
    assert!(reason(&outcome).contains("queue full"), "{outcome:?}");
    let quick = manager.script("#!/bin/sh\necho quick\n");
    let (state, _) = link.run(ScriptRun { blocking: true, ..quick.clone() }).await;
    assert_eq!(state, JobState::Succeeded, "a script that blocks has a place of its own");
    // While one waits the host opts out.
    let (first, second) =
        (job(ScriptRun { blocking: true, ..slow.clone() }), job(ScriptRun { blocking: true, ..quick }));
    link.give(&first).await;
    link.give(&second).await;
    link.until(|frame| matches!(frame, Up::Update(update) if update.id == second.id.to_string()).then_some(())).await;
    std::fs::write(agent.state.path().join("no-remote-scripts"), "").unwrap();
    link.cancel(first.id).await;
    let (state, outcome) = link.end(second.id).await;
    assert_eq!(state, JobState::Refused, "{outcome:?}");
    let ended = link.end(first.id).await;
    assert_eq!(ended.0, JobState::Cancelled);
    for spec in specs.iter().rev().take(36 + 1).skip(1) {
        link.cancel(spec.id).await;
    }
    for _ in 0..36 {
        let state = link
            .until(|frame| match frame {
                Up::Update(update) if update.outcome.is_some() => Some(update.state()),
                _ => None,
            })
            .await;
        assert_eq!(state, v1::JobState::Cancelled);
    }
}

#[tokio::test]
async fn spec_13_9_an_agent_that_is_killed_and_replaced_brings_the_result_of_a_script_that_ran_once() {
    let mut manager = Manager::start().await;
    let mut agent = manager.agent();
    let binary = agent.state.path().join("hostler-agent");
    std::fs::copy(&agent.binary, &binary).unwrap();
    agent.binary = binary.clone();
    agent.start();
    let link = manager.link().await;
    let mark = agent.state.path().join("mark");
    let script = format!(
        "#!/bin/sh\necho started >> {0}\necho before; while [ ! -e {0}.go ]; do sleep 0.05; done; echo after\n",
        mark.display()
    );
    let spec = job(manager.script(&script));
    link.give(&spec).await;
    eventually("it did not start", || mark.exists()).await;
    agent.kill().await;
    // The file is replaced, as package managers do it.
    let fresh = binary.with_extension("new");
    std::fs::copy(&binary, &fresh).unwrap();
    std::fs::rename(&fresh, &binary).unwrap();
    agent.start();
    let mut link = manager.link().await;
    assert_eq!(link.hello.journal.len(), 1);
    // The manager does not know whether its order arrived.
    link.give(&spec).await;
    // What it wrote meanwhile is there for who watches.
    let seen = link.until(|frame| if let Up::Output(output) = frame { Some(output.clone()) } else { None }).await;
    assert_eq!((seen.offset, seen.data.as_slice()), (0, &b"before\n"[..]));
    agent.kill().await;
    std::fs::write(mark.with_extension("go"), "").unwrap();
    std::fs::write(format!("{}.go", mark.display()), "").unwrap();
    let ended = agent.folder(spec.id).join("end.json");
    eventually("it did not end without an agent", || ended.exists()).await;
    agent.start();
    let mut link = manager.link().await;
    let (state, outcome) = link.end(spec.id).await;
    assert_eq!((state, text(&outcome).as_str()), (JobState::Succeeded, "before\nafter\n"));
    assert_eq!(std::fs::read_to_string(&mark).unwrap(), "started\n");
    link.acknowledge(spec.id).await;
    eventually("it was not forgotten", || !ended.exists()).await;
}

#[tokio::test]
async fn a_script_whose_supervisor_was_killed_is_lost_and_what_is_left_of_it_ends() {
    let (manager, agent, mut link) = connected().await;
    let spec = job(manager.script("#!/bin/sh\necho $$ > \"$TMPDIR/../../pid\"; sleep 60\n"));
    link.give(&spec).await;
    let pid_file = agent.folder(spec.id).join("place/pid");
    eventually("it did not start", || std::fs::read_to_string(&pid_file).is_ok_and(|text| !text.is_empty())).await;
    let pid: i32 = std::fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();
    let supervisor: i32 =
        serde_json::from_slice(&std::fs::read(agent.folder(spec.id).join("supervisor.json")).unwrap()).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(supervisor), nix::sys::signal::Signal::SIGKILL).unwrap();
    assert_eq!(link.end(spec.id).await.0, JobState::Lost);
    let gone = || {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None).is_err() || {
            std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default().contains(") Z")
        }
    };
    eventually("the script lives on", gone).await;
}

#[tokio::test]
async fn a_deadline_ends_a_script_that_ignores_it() {
    let (manager, _agent, mut link) = connected().await;
    let mut spec = job(manager.script("#!/bin/bash\ntrap 'echo no' TERM\necho up\nwhile :; do sleep 0.2; done\n"));
    spec.deadline = Duration::from_millis(300);
    let began = Instant::now();
    link.give(&spec).await;
    let (state, outcome) = link.end(spec.id).await;
    assert_eq!((state, outcome.signal), (JobState::TimedOut, Some(9)));
    assert!(text(&outcome).starts_with("up\nno\n") || text(&outcome).contains("Terminated"), "{}", text(&outcome));
    let took = began.elapsed();
    assert!((Duration::from_secs(10)..Duration::from_secs(15)).contains(&took), "{took:?}");
}

#[tokio::test]
async fn what_a_script_leaves_behind_is_ended_unless_it_may_stay() {
    let (manager, _agent, mut link) = connected().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    let script = format!(
        "#!/bin/sh\nsetsid sh -c 'echo $$ > {0}; exec sleep 30' & while [ ! -s {0} ]; do sleep 0.01; done; echo over\n",
        file.display()
    );
    let lives = |pid: i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
    };
    for leave in [false, true] {
        let began = Instant::now();
        let (state, outcome) = link.run(ScriptRun { leave_children: leave, ..manager.script(&script) }).await;
        assert_eq!((state, text(&outcome).as_str()), (JobState::Succeeded, "over\n"));
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        let pid: i32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
        assert_eq!(lives(pid), leave);
        if leave {
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
        }
        std::fs::remove_file(&file).unwrap();
    }
}

#[tokio::test]
async fn a_script_that_closes_its_output_is_waited_for() {
    let (manager, _agent, mut link) = connected().await;
    let (state, outcome) = link.run(manager.script("#!/bin/sh\necho bye; exec >&- 2>&-; sleep 0.3; exit 5\n")).await;
    assert_eq!((state, outcome.exit_code, text(&outcome).as_str()), (JobState::Failed, Some(5), "bye\n"));
}

#[tokio::test]
async fn output_comes_while_the_script_runs() {
    let (manager, _agent, mut link) = connected().await;
    let spec = job(manager.script("#!/bin/sh\necho here\nsleep 1\necho there\n"));
    link.give(&spec).await;
    let first = link
        .until(|frame| {
            let Up::Output(output) = frame else { return None };
            (output.id == spec.id.to_string()).then(|| String::from_utf8_lossy(&output.data).into_owned())
        })
        .await;
    assert_eq!(first, "here\n");
    let (state, outcome) = link.end(spec.id).await;
    assert_eq!((state, text(&outcome).as_str()), (JobState::Succeeded, "here\nthere\n"));
    link.acknowledge(spec.id).await;
}

#[tokio::test]
async fn spec_13_6_a_cancel_through_the_agent_leaves_nothing_within_fifteen_seconds() {
    let (manager, agent, mut link) = connected().await;
    let script = "#!/bin/bash\ntrap '' TERM\nsetsid bash -c 'trap \"\" TERM; setsid sleep 301 & sleep 302' &\n\
        echo up; while :; do sleep 1; done\n";
    let spec = job(manager.script(script));
    link.give(&spec).await;
    link.until(|frame| matches!(frame, Up::Output(_)).then_some(())).await;
    let contained = std::fs::read_to_string(agent.folder(spec.id).join("contained.json")).unwrap();
    let began = Instant::now();
    link.cancel(spec.id).await;
    let (state, outcome) = link.end(spec.id).await;
    let took = began.elapsed();
    assert_eq!((state, outcome.signal), (JobState::Cancelled, Some(9)), "{contained}");
    assert!((Duration::from_secs(9)..Duration::from_secs(15)).contains(&took), "{took:?}");
    for sleep in ["301", "302"] {
        let left = std::process::Command::new("pgrep").args(["-fx", &format!("sleep {sleep}")]).status().unwrap();
        assert!(!left.success(), "sleep {sleep} lives on");
    }
}

/// In a host with systemd only: a script's supervisor has a `/tmp` of its own, so one that is in `/tmp` is not found.
#[tokio::test]
async fn a_script_whose_supervisor_cannot_start_fails_and_says_so() {
    if !std::path::Path::new("/run/systemd/system").exists() {
        return eprintln!("!!! NOT TESTED: there is no systemd here");
    }
    let mut manager = Manager::start().await;
    let mut agent = manager.agent();
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    let hidden = folder.path().join("hostler-agent");
    std::fs::copy(&agent.binary, &hidden).unwrap();
    agent.binary = hidden;
    agent.start();
    let mut link = manager.link().await;
    let (state, outcome) = link.run(manager.script("#!/bin/sh\necho here\n")).await;
    assert_eq!(state, JobState::Failed);
    let reason = outcome.reason.unwrap();
    assert!(reason.contains("supervisor did not start") && reason.contains("hostler-run-"), "{reason}");
}

/// In a host with systemd only: the sandbox of the agent's unit is not for scripts.
#[tokio::test]
async fn under_systemd_a_script_is_outside_of_the_agents_sandbox() {
    if !std::path::Path::new("/run/systemd/system").exists() {
        return eprintln!("!!! NOT TESTED: there is no systemd here");
    }
    let (manager, agent, mut link) = connected().await;
    let script = "#!/bin/bash\ncat /proc/self/cgroup; grep -E 'NoNewPrivs|CapBnd' /proc/self/status\n\
        touch /etc/hostler-was-here && rm /etc/hostler-was-here && echo writable; ls -A /tmp | wc -l\n\
        unit=$(sed -n 's,.*/\\(hostler-job-.*scope\\)$,\\1,p' /proc/self/cgroup | head -n 1)\n\
        systemctl show \"$unit\" -p Slice -p KillMode -p TasksMax -p MemoryMax -p CPUWeight -p RuntimeMaxUSec -p CollectMode\n\
        systemctl show \"$(sed 's/-job-/-run-/; s/scope/service/' <<< \"$unit\")\" -p Slice -p PrivateTmp -p KillMode\n";
    let (state, outcome) = link.run(manager.script(script)).await;
    let said = text(&outcome);
    assert_eq!(state, JobState::Succeeded, "{said}");
    for wanted in [
        "/hooks.slice/hostler-job-",
        "NoNewPrivs:\t0\n",
        "\nwritable\n0\n",
        "\nSlice=hooks.slice\n",
        "\nKillMode=control-group\n",
        "\nTasksMax=512\n",
        "\nMemoryMax=1073741824\n",
        "\nCPUWeight=20\n",
        "\nCollectMode=inactive-or-failed\n",
        "\nPrivateTmp=yes\n",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    let own = std::fs::read_to_string(format!("/proc/{}/status", agent.pid())).unwrap();
    let caps = own.lines().find(|line| line.starts_with("CapBnd")).unwrap();
    assert!(!said.contains(caps) || caps.ends_with("ffffffff"), "the script has what the agent has: {caps}");
}
