//! The supervisor of programs, for real: the ones that behave and the ones that do not (design §4).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use hostler_agent::process::contain::Limits;
use hostler_agent::process::{Folder, Program};
use hostler_common::job::{JobState, Outcome};

/// A shell program with small limits.
fn shell(script: &str) -> Program {
    Program {
        argv: vec!["/bin/sh".into(), "-c".into(), script.into()],
        deadline: Duration::from_secs(20),
        grace: Duration::from_millis(300),
        stdout_head: 1000,
        stdout_tail: 500,
        limits: Limits::default(),
        within: None,
        script: None,
        changes_host: false,
        env: BTreeMap::new(),
        refuses_by: None,
    }
}

/// A program under its supervisor.
struct Run {
    dir: tempfile::TempDir,
    supervisor: tokio::process::Child,
}

impl Run {
    fn start(program: &Program) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let binary = Path::new(env!("CARGO_BIN_EXE_hostler-agent"));
        let supervisor = Folder::new(dir.path().to_owned()).start(binary, program).unwrap().unwrap();
        Self { dir, supervisor }
    }

    fn folder(&self) -> Folder {
        Folder::new(self.dir.path().to_owned())
    }

    async fn end(mut self) -> (JobState, Outcome) {
        self.supervisor.wait().await.unwrap();
        let folder = self.folder();
        assert!(!folder.alive().unwrap(), "the lock is held although the supervisor is gone");
        (folder.end().unwrap().unwrap().state, folder.outcome().unwrap().unwrap())
    }

    /// Waits until the program has made this file in the folder.
    async fn made(&self, name: &str) {
        let began = Instant::now();
        while !self.dir.path().join(name).exists() {
            assert!(began.elapsed() < Duration::from_secs(10), "{name} was not made");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn run(program: &Program) -> (JobState, Outcome) {
    Run::start(program).end().await
}

#[tokio::test]
async fn a_program_that_explains_itself_is_quoted_within_limits() {
    let told = |script: &str| Program {
        env: BTreeMap::from([("CEPH_CONF".to_owned(), "/some/ceph.conf".to_owned())]),
        refuses_by: Some(3),
        ..shell(script)
    };
    let (state, outcome) = run(&told("echo \"not begun: $CEPH_CONF ${HOME-}\" >&2; exit 3")).await;
    assert_eq!((state, outcome.reason.as_deref()), (JobState::Refused, Some("not begun: /some/ceph.conf")));
    let (state, outcome) = run(&told("echo 'no such image' >&2; exit 1")).await;
    assert_eq!((state, outcome.reason.as_deref()), (JobState::Failed, Some("no such image")));
    let (state, outcome) = run(&told("exit 2")).await;
    assert_eq!((state, outcome.reason.as_deref()), (JobState::Failed, Some("exit code 2")));
    let (_, outcome) = run(&told("head -c 300000 /dev/zero | tr '\\0' x >&2; echo END >&2; exit 1")).await;
    let reason = outcome.reason.unwrap();
    assert!(reason.ends_with("xEND") && reason.len() <= 4096, "{}", reason.len());
    let (state, outcome) = run(&shell("echo refused >&2; exit 3")).await;
    assert_eq!((state, outcome.reason.as_deref()), (JobState::Failed, Some("exit code 3")), "not one that says so");
}

#[tokio::test]
async fn output_is_byte_exact_and_exit_codes_are_told() {
    let (state, outcome) = run(&shell("printf 'a\\000\\377b'; echo oops >&2; exit 3")).await;
    assert_eq!((state, outcome.exit_code), (JobState::Failed, Some(3)));
    assert_eq!(outcome.stdout.head, b"a\0\xffb");
    assert_eq!(outcome.stderr.head, b"oops\n");
    assert_eq!(outcome.reason.as_deref(), Some("exit code 3"));
    let (state, outcome) = run(&shell("true")).await;
    assert_eq!((state, outcome.exit_code, outcome.reason), (JobState::Succeeded, Some(0), None));
}

#[tokio::test]
async fn much_output_is_kept_head_and_tail_with_its_true_size() {
    let (state, outcome) =
        run(&shell("i=0; while [ $i -lt 20000 ]; do echo 0123456789; i=$((i+1)); done; printf END")).await;
    assert_eq!(state, JobState::Succeeded);
    assert_eq!(outcome.stdout.total, 20_000 * 11 + 3);
    assert_eq!((outcome.stdout.head.len(), outcome.stdout.tail.len()), (1000, 500));
    assert!(outcome.stdout.head.starts_with(b"0123456789\n"));
    assert!(outcome.stdout.tail.ends_with(b"0123456789\nEND"));
}

#[tokio::test]
async fn a_program_that_ignores_term_is_killed_at_its_deadline_with_all_its_children() {
    let mut program = shell("trap '' TERM; sleep 300 & sleep 300 & wait; sleep 300");
    program.deadline = Duration::from_millis(300);
    let began = Instant::now();
    let (state, outcome) = run(&program).await;
    assert_eq!((state, outcome.signal), (JobState::TimedOut, Some(9)));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(outcome.reason.unwrap().contains("longer than"));
}

#[tokio::test]
async fn a_cancel_ends_the_program_and_says_so() {
    let run = Run::start(&shell("sleep 300"));
    run.made("supervisor.json").await;
    assert!(run.folder().alive().unwrap());
    run.folder().stop().unwrap();
    let (state, outcome) = run.end().await;
    assert_eq!((state, outcome.signal), (JobState::Cancelled, Some(15)));
}

#[tokio::test]
async fn a_daemon_left_behind_holds_nothing_up_and_is_ended() {
    let dir = tempfile::tempdir().unwrap();
    let pid_file = dir.path().join("pid");
    let file = pid_file.display();
    let script = format!(
        "setsid sh -c 'echo $$ > {file}; exec sleep 60' & echo started; while [ ! -s {file} ]; do sleep 0.01; done"
    );
    let began = Instant::now();
    let (state, outcome) = run(&shell(&script)).await;
    assert_eq!(state, JobState::Succeeded);
    assert_eq!(outcome.stdout.head, b"started\n");
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    let pid: i32 = std::fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();
    assert!(nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None).is_err(), "the daemon lives on");
}

#[tokio::test]
async fn a_program_that_closes_its_output_is_waited_for() {
    let (state, outcome) = run(&shell("exec >&- 2>&-; sleep 0.3; exit 5")).await;
    assert_eq!((state, outcome.exit_code), (JobState::Failed, Some(5)));
}

#[tokio::test]
async fn a_supervisor_whose_folder_was_removed_ends() {
    let mut run = Run::start(&shell("sleep 0.5"));
    run.made("supervisor.json").await;
    std::fs::remove_dir_all(run.dir.path()).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(10), run.supervisor.wait()).await;
    assert!(!ended.expect("it lingers").unwrap().success());
}

#[tokio::test]
async fn what_cannot_be_started_is_an_end_with_a_reason() {
    let mut program = shell("");
    program.argv = vec!["/no/such/program".into()];
    let (state, outcome) = run(&program).await;
    assert_eq!(state, JobState::Failed);
    assert!(outcome.reason.unwrap().contains("/no/such/program cannot be started"));
}

#[tokio::test]
async fn nothing_of_the_agents_environment_reaches_a_program() {
    let (_, outcome) = run(&shell("env | sort")).await;
    let seen = String::from_utf8(outcome.stdout.head).unwrap();
    let names: Vec<&str> = seen.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    assert!(names.iter().all(|name| ["LANG", "PATH", "PWD", "OLDPWD", "SHLVL", "_"].contains(name)), "{seen}");
    assert!(names.contains(&"PATH") && names.contains(&"LANG"));
}
