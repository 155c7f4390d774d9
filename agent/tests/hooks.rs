//! Hooks that an agent runs by itself, for real (spec/hooks.md §7.3, §8).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stderr, reason = "a test that fails says what the agent said")]

#[path = "support/manager.rs"]
mod manager;

use std::time::Duration;

use hostler_common::hook::{HookPoint, OnFailure, Origin};
use hostler_common::id::{HookId, JobId};
use hostler_common::job::{JobState, Work};
use hostler_common::step::Step;
use hostler_proto::v1;
use hostler_proto::v1::agent_frame::Frame as Up;
use hostler_proto::v1::manager_frame::Frame as Down;
use manager::{Agent, Manager, eventually, job, text};

fn lines(path: &std::path::Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// An agent that got an assignment and was stopped then.
async fn assigned(manager: &mut Manager, hooks: Vec<hostler_common::hook::AssignedHook>) -> Agent {
    let mut agent = manager.agent();
    agent.start();
    let link = manager.link().await;
    assert_eq!(link.hello.assignment, "");
    let scripts = hooks.iter().map(|hook| hook.script.digest).collect::<std::collections::BTreeSet<_>>().len();
    link.send(Down::Assignment(manager.assignment(hooks))).await;
    let cache = agent.state.path().join("scripts");
    let kept = || {
        std::fs::read_dir(&cache).map_or(0, |found| found.flatten().filter(|e| e.path().extension().is_none()).count())
    };
    eventually("the scripts were not fetched", || kept() == scripts).await;
    agent.kill().await;
    agent
}

#[tokio::test]
async fn hooks_around_the_start_run_without_a_manager_and_it_hears_of_them_later() {
    let mut manager = Manager::start().await;
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let say = |what: &str| {
        format!(
            "#!/bin/sh\necho \"{what} $HOOK_EVENT $2 $3 $HOOK_SERVER_ID $HOOK_ATTEMPT\" >> {}\ncat\n",
            log.display()
        )
    };
    let mut second = manager.hook(1, HookPoint::PreDaemonStart, &say("second"));
    second.order = 200;
    second.stdin_json = true;
    let hooks = vec![
        second,
        manager.hook(2, HookPoint::PreDaemonStart, &say("first")),
        manager.hook(3, HookPoint::PostDaemonStart, &say("post")),
    ];
    let mut agent = assigned(&mut manager, hooks).await;
    manager.go_away().await;
    agent.start();
    eventually("the hooks did not run", || lines(&log).len() == 3).await;
    assert_eq!(
        lines(&log),
        [
            "first PreDaemonStart restart false 7 1",
            "second PreDaemonStart restart false 7 1",
            "post PostDaemonStart restart false 7 1"
        ]
    );
    agent.kill().await;
    manager.come_back().await;
    agent.start();
    let mut link = manager.link().await;
    assert_eq!(link.hello.assignment.len(), 64);
    // What happened is told before what became of its jobs.
    let first = link.report().await;
    assert!(!link.other.iter().any(|frame| matches!(frame, Up::Update(_))), "{:?}", link.other);
    assert_eq!(
        (first.number, first.occurrence.point, first.occurrence.origin),
        (1, HookPoint::PreDaemonStart, Origin::Agent)
    );
    let hooks: Vec<HookId> = first.jobs.iter().map(|job| job.hook).collect();
    assert_eq!(hooks, [HookId(2), HookId(1)]);
    assert_eq!(first.jobs[0].args, first.occurrence.values);
    let second = link.report().await;
    assert!(second.number > first.number && second.occurrence.point == HookPoint::PostDaemonStart);
    let (state, outcome) = link.end(first.jobs[1].job).await;
    assert_eq!(state, JobState::Succeeded);
    assert!(text(&outcome).contains("\"event\":\"PreDaemonStart\""), "{}", text(&outcome));
    for report in [&first, &second] {
        for job in &report.jobs {
            link.acknowledge(job.job).await;
        }
    }
    // The start of this agent, which is another one, follows.
    let third = link.report().await;
    assert!(third.number > second.number && third.occurrence.point == HookPoint::PreDaemonStart);
    assert_ne!(third.occurrence.id, first.occurrence.id);
    link.send(Down::AcknowledgeReport(v1::AcknowledgeReport { number: second.number })).await;
    let reports = agent.state.path().join("reports");
    eventually("reports stay", || !reports.join(format!("{}.json", second.number)).exists()).await;
    assert!(reports.join(format!("{}.json", third.number)).exists());
}

#[tokio::test]
async fn a_start_whose_hooks_fail_is_tried_three_times_and_then_the_agent_takes_no_steps() {
    let mut manager = Manager::start().await;
    let dir = tempfile::tempdir().unwrap();
    let (log, post) = (dir.path().join("log"), dir.path().join("post"));
    let fail = format!("#!/bin/sh\necho $HOOK_ATTEMPT >> {}\nexit 1\n", log.display());
    let never = format!("#!/bin/sh\necho never >> {}\n", log.display());
    let mut after = manager.hook(2, HookPoint::PreDaemonStart, &never);
    after.order = 200;
    let hooks = vec![
        manager.hook(1, HookPoint::PreDaemonStart, &fail),
        after,
        manager.hook(3, HookPoint::PostDaemonStart, &format!("#!/bin/sh\necho post > {}\n", post.display())),
    ];
    let mut agent = assigned(&mut manager, hooks).await;
    agent.start();
    let mut link = manager.link().await;
    while !link.hello.degraded {
        link = manager.link().await;
    }
    assert_eq!(lines(&log), ["1", "2", "3"]);
    let mut spec = job(manager.script("#!/bin/sh\n"));
    spec.work = Work::Step(Box::new(Step::CrushRead));
    link.give(&spec).await;
    assert_eq!(link.end(spec.id).await.0, JobState::Refused);
    assert_eq!(link.run(manager.script("#!/bin/sh\n")).await.0, JobState::Succeeded, "scripts are still taken");
    eventually("the other hooks did not run", || post.exists()).await;
    // One that only warns is none of these failures.
    let mut warns = manager.hook(1, HookPoint::PreDaemonStart, &fail);
    warns.on_failure = OnFailure::Warn;
    link.send(Down::Assignment(manager.assignment(vec![warns]))).await;
    eventually("it was not assigned", || agent.log().matches("hooks were assigned").count() == 2).await;
    agent.kill().await;
    std::fs::remove_file(&log).unwrap();
    agent.start();
    let link = manager.link().await;
    eventually("the hook did not run", || lines(&log) == ["1"]).await;
    eventually("it did not start", || agent.log().matches("agent started").count() == 3).await;
    assert!(!link.hello.degraded);
}

#[tokio::test]
async fn an_assignment_that_no_manager_signed_changes_nothing() {
    let mut manager = Manager::start().await;
    let stranger = Manager::start().await;
    let mut agent = manager.agent();
    agent.start();
    let link = manager.link().await;
    let log = agent.state.path().join("ran");
    let script = format!("#!/bin/sh\necho ran > {}\n", log.display());
    let hooks = vec![stranger.hook(1, HookPoint::PreDaemonStart, &script)];
    link.send(Down::Assignment(stranger.assignment(hooks.clone()))).await;
    eventually("it was not refused", || agent.log().contains("are not used")).await;
    // Signed as a whole, but the script in it is not.
    link.send(Down::Assignment(manager.assignment(hooks))).await;
    eventually("it was not assigned", || agent.log().contains("hooks were assigned")).await;
    agent.kill().await;
    agent.start();
    let mut link = manager.link().await;
    let report = link.report().await;
    let (state, outcome) = link.end(report.jobs[0].job).await;
    assert_eq!(state, JobState::Refused);
    assert!(outcome.reason.unwrap().contains("signature"));
    assert!(!log.exists());
}

#[tokio::test]
async fn a_job_of_a_hook_survives_the_agent_and_runs_once() {
    let mut manager = Manager::start().await;
    let dir = tempfile::tempdir().unwrap();
    let (log, go) = (dir.path().join("log"), dir.path().join("go"));
    let script = format!(
        "#!/bin/sh\necho $HOOK_EVENT_ID >> {}\nwhile [ ! -e {} ]; do sleep 0.05; done\n",
        log.display(),
        go.display()
    );
    let hooks = vec![manager.hook(1, HookPoint::PostDaemonStart, &script)];
    let mut agent = assigned(&mut manager, hooks).await;
    agent.start();
    eventually("the hook did not run", || lines(&log).len() == 1).await;
    let first: Vec<JobId> = std::fs::read_dir(agent.state.path().join("jobs"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap())
        .collect();
    agent.kill().await;
    agent.start();
    let mut link = manager.link().await;
    std::fs::write(&go, "").unwrap();
    assert_eq!(link.end(first[0]).await.0, JobState::Succeeded);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let ids = lines(&log);
    assert_eq!(ids.len(), 2, "one of each start: {ids:?}");
    assert_ne!(ids[0], ids[1]);
}
