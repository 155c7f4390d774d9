//! What a hook's script gets besides words, for real: the file that tells of a change (spec/hooks.md §6), and no secrets where
//! no manager orders it (decision 0013).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stderr, reason = "a test that fails says what the agent said")]
#![allow(dead_code, reason = "other tests use more of the manager")]

#[path = "support/manager.rs"]
mod manager;

use std::collections::BTreeMap;
use std::time::Duration;

use hostler_common::hook::HookPoint;
use hostler_common::job::JobState;
use hostler_common::script::{ChangeFile, ScriptRun};
use hostler_proto::v1::manager_frame::Frame as Down;
use manager::{Manager, connected, connected_with_accounts, eventually, text};

/// Says what it was told of the change, in each of the three ways, and what stands in the file.
const TELL: &str = "#!/bin/sh\necho \"1:$1 3:$3\"\n[ \"$2\" = \"$HOOK_CHANGE_FILE\" ] && echo same\n\
    grep -qF \"\\\"change-file\\\":\\\"$2\\\"\" && echo told\ncat \"$2\"\nstat -c ' %a' \"$2\"\nid -un\n";

fn told(manager: &Manager) -> ScriptRun {
    let document = r#"{"event":"PostNetworkConfig","parameters":{"interfaces":"eth0","change-file":"","result":"ok"}}"#;
    ScriptRun {
        args: ["eth0", "", "ok"].map(str::to_owned).to_vec(),
        env: BTreeMap::from([("HOOK_CHANGE_FILE".to_owned(), String::new())]),
        stdin: Some(document.into()),
        change: Some(ChangeFile { contents: "{\"files\": [\"é\\n\"]}".into(), argument: 1 }),
        ..manager.script(TELL)
    }
}

#[tokio::test]
async fn spec_6_a_change_is_told_by_a_file_whose_path_comes_in_all_three_ways() {
    let (manager, agent, mut link) = connected().await;
    let spec = manager::job(told(&manager));
    link.give(&spec).await;
    let (state, outcome) = link.end(spec.id).await;
    let said = text(&outcome);
    assert_eq!(state, JobState::Succeeded, "{outcome:?} {said}");
    let me = String::from_utf8(std::process::Command::new("id").arg("-un").output().unwrap().stdout).unwrap();
    assert_eq!(said, format!("1:eth0 3:ok\nsame\ntold\n{{\"files\": [\"é\\n\"]}} 400\n{me}"));
    let place = agent.folder(spec.id).join("place");
    eventually("the file was left behind", || !place.exists()).await;

    // Without a change there is no file, and the argument is as it was.
    let without = ScriptRun { change: None, ..told(&manager) };
    let script = "#!/bin/sh\necho \"[$2] [$HOOK_CHANGE_FILE]\"; ls\n";
    let (_, outcome) = link.run(ScriptRun { script: manager.script(script).script, ..without }).await;
    assert_eq!(text(&outcome), "[] []\ntmp\n");
}

#[tokio::test]
async fn spec_6_another_account_can_read_its_change_file() {
    let Some((manager, _agent, mut link, _runtime)) = connected_with_accounts().await else { return };
    let (state, outcome) = link.run(ScriptRun { run_as: Some("nobody".into()), ..told(&manager) }).await;
    let said = text(&outcome);
    assert_eq!(state, JobState::Succeeded, "{outcome:?} {said}");
    assert!(said.contains("same\ntold\n{\"files\"") && said.ends_with(" 400\nnobody\n"), "{said}");
}

#[tokio::test]
async fn a_hook_with_secrets_is_refused_where_no_manager_orders_it() {
    let mut manager = Manager::start().await;
    let mut agent = manager.agent();
    agent.start();
    let link = manager.link().await;
    let ran = agent.state.path().join("ran");
    let script = format!("#!/bin/sh\necho \"$HOOK_ID\" >> {}\n", ran.display());
    let mut needs = manager.hook(1, HookPoint::PostDaemonStart, &script);
    needs.secrets = BTreeMap::from([("key".to_owned(), "db-password".to_owned())]);
    let mut plain = manager.hook(2, HookPoint::PostDaemonStart, &script);
    plain.order = needs.order + 1;
    link.send(Down::Assignment(manager.assignment(vec![needs, plain]))).await;
    let cache = agent.state.path().join("scripts");
    let fetched = || std::fs::read_dir(&cache).is_ok_and(|mut found| found.next().is_some());
    eventually("the script was not fetched", fetched).await;
    let bundle = std::fs::read_to_string(agent.state.path().join("assignment.json")).unwrap();
    assert!(bundle.contains("db-password"), "the name is there, so that the reason can be said");
    agent.kill().await;
    agent.start();
    let mut link = manager.link().await;
    let report = loop {
        let report = link.report().await;
        if report.occurrence.point == HookPoint::PostDaemonStart && report.jobs.len() == 2 {
            break report;
        }
    };
    let (state, outcome) = link.end(report.jobs[0].job).await;
    assert_eq!(state, JobState::Refused);
    let reason = outcome.reason.unwrap();
    assert_eq!(reason, "it needs secrets (db-password), and hosts keep none: it runs only where the manager orders it");
    // The one after it does not wait for that: nothing blocks here.
    assert_eq!(link.end(report.jobs[1].job).await.0, JobState::Succeeded);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(std::fs::read_to_string(&ran).unwrap(), "2\n");
}
