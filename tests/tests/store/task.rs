//! Tasks and the steps of their histories.

use hostler_common::id::{HostId, TaskId};
use hostler_core::machine::{Question, Step, StepOutcome, TaskEnd};
use hostler_manager::store::Store;
use hostler_manager::store::task::{
    NewTask, TaskFilter, TaskState, step_insert, step_list, task_about, task_answered, task_ask, task_cancelling,
    task_close, task_find, task_insert, task_list, task_progress, task_prune, task_result, task_running,
};
use hostler_tests::both::Bed;
use hostler_tests::{commit, on_both};

use serde_json::json;

use super::machine::machine_id;
use super::{UNICODE, at, host_id, long};

on_both!(
    a_new_task_waits,
    a_task_goes_its_way_once,
    a_cancelled_task_keeps_its_progress,
    lists_are_filtered_and_newest_first,
    a_history_is_in_order,
    a_task_that_is_gone_gets_no_history,
    old_tasks_go_with_their_histories,
    texts_may_have_everything,
    a_task_shows_how_far_it_is_and_what_came_of_it,
    a_task_asks_and_goes_on,
);

async fn add(store: &Store, kind: &'static str, host: Option<HostId>) -> TaskId {
    commit!(store, tx => {
        let new = NewTask { kind, name: UNICODE, host, machine: machine_id(1), started_by: "admin", total: 3 };
        task_insert(tx, &new, at(1)).await
    })
    .unwrap()
}

async fn close(store: &Store, id: TaskId, end: TaskEnd, seconds: i64) {
    commit!(store, tx => task_close(tx, id, end, "the end", at(seconds)).await).unwrap();
}

async fn a_new_task_waits(bed: Bed) {
    let store = bed.open().await.unwrap();
    let id = add(&store, "introspection", None).await;
    let task = task_find(&mut store.read().await.unwrap(), id).await.unwrap().unwrap();
    assert_eq!((task.id, task.kind.as_str(), task.name.as_str()), (TaskId(1), "introspection", UNICODE));
    assert_eq!((task.state, task.host, task.machine), (TaskState::Waiting, None, Some(machine_id(1))));
    assert_eq!((task.started_by.as_str(), task.started_at, task.finished_at), ("admin", at(1), None));
    assert_eq!((task.complete, task.total, task.cancelled, task.output.as_str()), (0, 3, false, ""));
    assert!(task_find(&mut store.read().await.unwrap(), TaskId(2)).await.unwrap().is_none());
    assert!(!task.state.is_final() && TaskState::from_name("WAITING") == Some(task.state));
}

async fn a_task_goes_its_way_once(bed: Bed) {
    let store = bed.open().await.unwrap();
    let id = add(&store, "introspection", None).await;
    commit!(store, tx => task_running(tx, id).await).unwrap();
    assert_eq!(task_find(&mut store.read().await.unwrap(), id).await.unwrap().unwrap().state, TaskState::Running);
    close(&store, id, TaskEnd::Failed, 5).await;
    // What has ended stays as it is.
    close(&store, id, TaskEnd::Finished, 6).await;
    commit!(store, tx => task_running(tx, id).await).unwrap();
    let task = task_find(&mut store.read().await.unwrap(), id).await.unwrap().unwrap();
    assert_eq!((task.state, task.finished_at, task.complete), (TaskState::Failed, Some(at(5)), 3));
    assert_eq!((task.output.as_str(), task.cancelled), ("the end", false));
}

async fn a_cancelled_task_keeps_its_progress(bed: Bed) {
    let store = bed.open().await.unwrap();
    let (asked, ended) = (add(&store, "a", None).await, add(&store, "a", None).await);
    commit!(store, tx => task_cancelling(tx, asked).await).unwrap();
    let task = task_find(&mut store.read().await.unwrap(), asked).await.unwrap().unwrap();
    assert_eq!((task.state, task.cancelled), (TaskState::Waiting, true));
    close(&store, ended, TaskEnd::Cancelled, 5).await;
    let task = task_find(&mut store.read().await.unwrap(), ended).await.unwrap().unwrap();
    assert_eq!((task.state, task.cancelled, task.complete), (TaskState::Canceled, true, 0));
}

async fn lists_are_filtered_and_newest_first(bed: Bed) {
    let store = bed.open().await.unwrap();
    for n in 1..=9_u128 {
        let kind = if n % 3 == 0 { "b" } else { "a" };
        let id = add(&store, kind, (n % 2 == 0).then(|| host_id(n % 4))).await;
        if n > 6 {
            close(&store, id, TaskEnd::Finished, 9).await;
        }
    }
    let mut connection = store.read().await.unwrap();
    let filters = [
        (TaskFilter::default(), 4, vec![9, 8, 7, 6]),
        (TaskFilter { before: Some(TaskId(4)), ..TaskFilter::default() }, 9, vec![3, 2, 1]),
        (TaskFilter { kind: Some("b".into()), ..TaskFilter::default() }, 9, vec![9, 6, 3]),
        (TaskFilter { kind: Some("B".into()), ..TaskFilter::default() }, 9, vec![]),
        (TaskFilter { host: Some(host_id(2)), ..TaskFilter::default() }, 9, vec![6, 2]),
        (TaskFilter { state: Some(TaskState::Finished), ..TaskFilter::default() }, 9, vec![9, 8, 7]),
        (
            TaskFilter {
                state: Some(TaskState::Waiting),
                kind: Some("a".into()),
                host: Some(host_id(0)),
                before: Some(TaskId(8)),
            },
            9,
            vec![4],
        ),
    ];
    for (filter, limit, expected) in filters {
        let found = task_list(&mut connection, &filter, limit).await.unwrap();
        assert_eq!(found.iter().map(|task| task.id.0).collect::<Vec<_>>(), expected, "{filter:?}");
    }
}

async fn a_history_is_in_order(bed: Bed) {
    let store = bed.open().await.unwrap();
    let (id, other) = (add(&store, "a", None).await, add(&store, "a", None).await);
    for n in 0..12 {
        commit!(store, tx => {
            step_insert(tx, id, &Step::done(format!("step {n}"), host_id(1), UNICODE), at(20 - n)).await?;
            step_insert(tx, other, &Step::failed("other", host_id(2), ""), at(0)).await
        })
        .unwrap();
    }
    let skipped = Step { what: "last".into(), host: None, outcome: StepOutcome::Skipped, detail: String::new() };
    commit!(store, tx => step_insert(tx, id, &skipped, at(0)).await).unwrap();
    let steps = step_list(&mut store.read().await.unwrap(), id).await.unwrap();
    assert_eq!(steps.len(), 13);
    for (n, step) in (0..12).zip(&steps) {
        assert_eq!((step.what.as_str(), step.at), (format!("step {n}").as_str(), at(20 - n)));
        assert_eq!((step.host, step.outcome.as_str(), step.detail.as_str()), (Some(host_id(1)), "done", UNICODE));
    }
    assert_eq!((steps[12].host, steps[12].outcome.as_str()), (None, "skipped"));
}

async fn a_task_that_is_gone_gets_no_history(bed: Bed) {
    let store = bed.open().await.unwrap();
    commit!(store, tx => step_insert(tx, TaskId(5), &Step::done("late", host_id(1), ""), at(0)).await).unwrap();
    // Its history would never be pruned.
    assert!(step_list(&mut store.read().await.unwrap(), TaskId(5)).await.unwrap().is_empty());
}

async fn old_tasks_go_with_their_histories(bed: Bed) {
    let store = bed.open().await.unwrap();
    let mut ids = Vec::new();
    for seconds in [2, 3, 4] {
        let id = add(&store, "a", None).await;
        commit!(store, tx => step_insert(tx, id, &Step::done("s", host_id(1), ""), at(0)).await).unwrap();
        close(&store, id, TaskEnd::Finished, seconds).await;
        ids.push(id);
    }
    let open = add(&store, "a", None).await;
    assert_eq!(commit!(store, tx => task_prune(tx, at(3), 99).await).unwrap(), 1);
    let mut connection = store.read().await.unwrap();
    let left = task_list(&mut connection, &TaskFilter::default(), 9).await.unwrap();
    assert_eq!(left.iter().map(|task| task.id).collect::<Vec<_>>(), [open, ids[2], ids[1]]);
    assert!(step_list(&mut connection, ids[0]).await.unwrap().is_empty());
    assert_eq!(step_list(&mut connection, ids[1]).await.unwrap().len(), 1);
    drop(connection);
    assert_eq!(add(&store, "a", None).await, TaskId(5), "numbers are not used again");
}

async fn texts_may_have_everything(bed: Bed) {
    let store = bed.open().await.unwrap();
    let id = add(&store, "a", None).await;
    // What programs and agents say ends in these texts, whatever bytes it has.
    let text = format!("nul\u{0}inside {UNICODE}{}", long(1 << 20));
    let said = text.clone();
    commit!(store, tx => {
        step_insert(tx, id, &Step::failed(&said, host_id(1), &said), at(0)).await?;
        task_close(tx, id, TaskEnd::Failed, &said, at(1)).await
    })
    .unwrap();
    let mut connection = store.read().await.unwrap();
    let task = task_find(&mut connection, id).await.unwrap().unwrap();
    let steps = step_list(&mut connection, id).await.unwrap();
    for kept in [&task.output, &steps[0].what, &steps[0].detail] {
        assert_eq!(kept.replace('\u{fffd}', "\u{0}").len(), text.len());
        assert!(kept.ends_with(&text[4..]) && kept.starts_with("nul"), "{}", &kept[..40]);
    }
}

async fn a_task_shows_how_far_it_is_and_what_came_of_it(bed: Bed) {
    let store = bed.open().await.unwrap();
    let id = add(&store, "script", None).await;
    let result = json!({ "servers": [{ "name": UNICODE, "error": "nul \0" }] });
    let written = result.clone();
    commit!(store, tx => {
        task_about(tx, id, "nul \0 host").await?;
        task_progress(tx, id, 2).await?;
        task_result(tx, id, -256, Some(&written)).await
    })
    .unwrap();
    let task = task_find(&mut store.read().await.unwrap(), id).await.unwrap().unwrap();
    assert_eq!((task.complete, task.status_code, task.result), (2, -256, Some(result)));
    assert!(task.object.unwrap().ends_with("host"));
    close(&store, id, TaskEnd::Cancelled, 5).await;
    // What has ended stays as it is.
    commit!(store, tx => {
        task_progress(tx, id, 3).await?;
        task_result(tx, id, 0, None).await
    })
    .unwrap();
    let task = task_find(&mut store.read().await.unwrap(), id).await.unwrap().unwrap();
    assert_eq!((task.complete, task.status_code, task.result.is_some()), (2, -256, true));
}

async fn a_task_asks_and_goes_on(bed: Bed) {
    let store = bed.open().await.unwrap();
    let id = add(&store, "script", None).await;
    commit!(store, tx => task_running(tx, id).await).unwrap();
    let question = Question {
        token: uuid::Uuid::from_u128(7),
        message: UNICODE.into(),
        options: vec!["yes".into(), "no".into()],
        default: "no".into(),
        urgent: true,
        asked_at: at(1),
        expires_at: at(2),
    };
    let asked = question.clone();
    commit!(store, tx => task_ask(tx, id, &asked).await).unwrap();
    let task = task_find(&mut store.read().await.unwrap(), id).await.unwrap().unwrap();
    assert_eq!((task.state, task.question), (TaskState::Waiting, Some(question.clone())));
    commit!(store, tx => task_answered(tx, id).await).unwrap();
    let task = task_find(&mut store.read().await.unwrap(), id).await.unwrap().unwrap();
    assert_eq!((task.state, task.question), (TaskState::Running, None));
    commit!(store, tx => {
        task_ask(tx, id, &question).await?;
        task_close(tx, id, TaskEnd::Failed, "", at(3)).await?;
        task_ask(tx, id, &question).await?;
        task_answered(tx, id).await
    })
    .unwrap();
    let task = task_find(&mut store.read().await.unwrap(), id).await.unwrap().unwrap();
    assert_eq!((task.state, task.question), (TaskState::Failed, None), "what has ended asks nothing");
}
