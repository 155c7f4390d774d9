//! Pages of the list of tasks: every kind of condition and order.

use hostler_common::id::HostId;
use hostler_core::machine::TaskEnd;
use hostler_manager::store::Store;
use hostler_manager::store::task::{
    Bound, Comparison, NewTask, TaskColumn, TaskCondition, TaskQuery, task_about, task_active, task_close, task_insert,
    task_page, task_result,
};
use hostler_tests::both::Bed;
use hostler_tests::{commit, on_both};

use super::machine::machine_id;
use super::{at, host_id, some_host};

on_both!(
    columns_compare_in_every_way,
    conditions_are_joined,
    texts_are_searched,
    pages_are_in_every_order,
    output_is_cut_from_its_end,
    active_tasks_are_newest_first,
);

use TaskColumn::{Cancelled, Done, FinishedAt, Host, Id, Kind, Name, Object, StartedAt, StartedBy, State, StatusCode};

const COLUMNS: [TaskColumn; 12] =
    [Id, Kind, Name, State, StartedBy, StartedAt, FinishedAt, Object, Host, Done, Cancelled, StatusCode];

async fn add(store: &Store, name: &'static str, by: &'static str, host: Option<HostId>, end: Option<(TaskEnd, i32)>) {
    commit!(store, tx => {
        let new = NewTask { kind: "script", name, host, machine: machine_id(1), started_by: by, total: 3 };
        let id = task_insert(tx, &new, at(10)).await?;
        if name == "delta" {
            task_about(tx, id, "Cluster_1").await?;
        }
        let Some((end, code)) = end else { return Ok(()) };
        task_result(tx, id, code, None).await?;
        task_close(tx, id, end, &format!("the end of {name}"), at(20 + id.0)).await
    })
    .unwrap();
}

/// Five tasks: 1 alpha failed with 3, 2 Beta finished, 3 gamma open, 4 delta cancelled, 5 100%_x! failed without code.
async fn filled(bed: &Bed) -> Store {
    let store = bed.open().await.unwrap();
    let host = some_host(&store, 1).await;
    add(&store, "alpha", "ann", Some(host), Some((TaskEnd::Failed, 3))).await;
    add(&store, "Beta", "bob", Some(host_id(9)), Some((TaskEnd::Finished, 0))).await;
    add(&store, "gamma", "ann", None, None).await;
    add(&store, "delta", "bob", None, Some((TaskEnd::Cancelled, 0))).await;
    add(&store, "100%_x!", "eve", None, Some((TaskEnd::Failed, 0))).await;
    store
}

async fn numbers(store: &Store, condition: TaskCondition) -> Vec<i64> {
    let query = TaskQuery { condition: Some(condition), limit: 99, output: 9, ..TaskQuery::default() };
    let (tasks, total) = task_page(&mut store.read().await.unwrap(), &query).await.unwrap();
    assert_eq!(total, tasks.len() as u64, "{query:?}");
    tasks.into_iter().map(|task| task.id.0).collect()
}

fn text(text: &str) -> Bound {
    Bound::Text(text.into())
}

async fn columns_compare_in_every_way(bed: Bed) {
    let store = filled(&bed).await;
    use Comparison::{Eq, Ge, Gt, Le, Lt, Ne};
    let host = host_id(9).to_string();
    for (column, comparison, bound, expected) in [
        (Id, Ge, Bound::Int(4), vec![5, 4]),
        (Id, Lt, Bound::Real(2.5), vec![2, 1]),
        (Kind, Eq, text("script"), vec![5, 4, 3, 2, 1]),
        (Name, Eq, text("beta"), vec![]),
        (Name, Ne, text("Beta"), vec![5, 4, 3, 1]),
        (State, Eq, text("FAILED"), vec![5, 1]),
        (StartedBy, Gt, text("ann"), vec![5, 4, 2]),
        (StartedAt, Le, Bound::Int(at(10).as_micros()), vec![5, 4, 3, 2, 1]),
        (StartedAt, Gt, Bound::Int(at(10).as_micros()), vec![]),
        (FinishedAt, Le, Bound::Int(at(22).as_micros()), vec![2, 1]),
        (FinishedAt, Ne, Bound::Int(at(22).as_micros()), vec![5, 4, 3, 1]),
        (Object, Eq, text("host-1"), vec![1]),
        (Object, Eq, text("Cluster_1"), vec![4]),
        (Host, Eq, text(&host), vec![2]),
        (Host, Ne, text(&host), vec![5, 4, 3, 1]),
        (Done, Eq, Bound::Int(0), vec![3]),
        (Done, Eq, Bound::Int(1), vec![5, 4, 2, 1]),
        (Done, Ne, Bound::Int(0), vec![5, 4, 2, 1]),
        (Done, Ne, Bound::Int(1), vec![3]),
        (Done, Lt, Bound::Int(1), vec![3]),
        (Cancelled, Eq, Bound::Int(1), vec![4]),
        (StatusCode, Eq, Bound::Int(-256), vec![4]),
        (StatusCode, Gt, Bound::Int(0), vec![5, 1]),
        (StatusCode, Eq, Bound::Int(3), vec![1]),
    ] {
        let condition = TaskCondition::Compare(column, comparison, bound);
        assert_eq!(numbers(&store, condition.clone()).await, expected, "{condition:?}");
    }
}

async fn conditions_are_joined(bed: Bed) {
    let store = filled(&bed).await;
    let compare = |column, bound| TaskCondition::Compare(column, Comparison::Eq, bound);
    let failed = || compare(State, text("FAILED"));
    let of_ann = || compare(StartedBy, text("ann"));
    for (condition, expected) in [
        (TaskCondition::All(vec![failed(), of_ann()]), vec![1]),
        (TaskCondition::Any(vec![failed(), of_ann()]), vec![5, 3, 1]),
        (TaskCondition::All(vec![]), vec![5, 4, 3, 2, 1]),
        (TaskCondition::Any(vec![]), vec![]),
        (TaskCondition::Not(Box::new(failed())), vec![4, 3, 2]),
        // What cannot be compared does not hold: there is no host.
        (TaskCondition::Not(Box::new(compare(Object, text("host-1")))), vec![5, 4, 3, 2]),
        (TaskCondition::Not(Box::new(compare(Done, Bound::Int(0)))), vec![5, 4, 2, 1]),
        (TaskCondition::Not(Box::new(TaskCondition::Any(vec![]))), vec![5, 4, 3, 2, 1]),
        (TaskCondition::In(Id, vec![Bound::Int(2), Bound::Real(4.0), Bound::Int(77)], "2,4,77".into()), vec![4, 2]),
        (TaskCondition::In(Id, vec![], String::new()), vec![]),
        (TaskCondition::In(Name, vec![text("alpha")], "alpha".into()), vec![1]),
        (TaskCondition::In(Name, vec![], "the gamma rays".into()), vec![3]),
        (TaskCondition::Not(Box::new(TaskCondition::In(Name, vec![text("alpha")], "alpha".into()))), vec![5, 4, 3, 2]),
        (TaskCondition::Contains(Name, "lt".into()), vec![4]),
        (TaskCondition::Contains(Name, "%".into()), vec![5]),
        (TaskCondition::Contains(Id, "3".into()), vec![3]),
    ] {
        assert_eq!(numbers(&store, condition.clone()).await, expected, "{condition:?}");
    }
}

async fn texts_are_searched(bed: Bed) {
    let store = filled(&bed).await;
    for (sought, expected) in [
        ("beta", vec![2]),
        ("a", vec![5, 4, 3, 2, 1]),
        ("failed", vec![5, 1]),
        ("cluster_1", vec![4]),
        ("cluster%1", vec![]),
        ("host-1", vec![1]),
        ("%", vec![5]),
        ("_", vec![5, 4]),
        ("!", vec![5]),
        ("%_x!", vec![5]),
        ("nothing", vec![]),
    ] {
        assert_eq!(numbers(&store, TaskCondition::Search(sought.into())).await, expected, "{sought}");
    }
}

async fn pages_are_in_every_order(bed: Bed) {
    let store = filled(&bed).await;
    let mut connection = store.read().await.unwrap();
    for column in COLUMNS {
        for descending in [false, true] {
            let sort = vec![(column, descending), (Name, true)];
            let (mut seen, mut after) = (Vec::new(), 0);
            loop {
                let query = TaskQuery { sort: sort.clone(), after, limit: 2, ..TaskQuery::default() };
                let (tasks, total) = task_page(&mut connection, &query).await.unwrap();
                assert_eq!(total, 5);
                after += 2;
                seen.extend(tasks.iter().map(|task| task.id.0));
                if tasks.len() < 2 {
                    break;
                }
            }
            match (column, descending) {
                (Id, true) => assert_eq!(seen, [5, 4, 3, 2, 1]),
                (State, true) => assert_eq!(seen[..1], [3], "WAITING is the last word"),
                (StatusCode, false) => assert_eq!(seen[..1], [4]),
                _ => {}
            }
            seen.sort_unstable();
            assert_eq!(seen, [1, 2, 3, 4, 5], "each is on one page: {column:?} {descending}");
        }
    }
}

async fn output_is_cut_from_its_end(bed: Bed) {
    let store = filled(&bed).await;
    let mut connection = store.read().await.unwrap();
    for (output, expected) in [(5, "alpha"), (0, ""), (1000, "the end of alpha")] {
        let condition = Some(TaskCondition::Compare(Id, Comparison::Eq, Bound::Int(1)));
        let query = TaskQuery { condition, limit: 9, output, ..TaskQuery::default() };
        let (tasks, _) = task_page(&mut connection, &query).await.unwrap();
        assert_eq!(tasks[0].output, expected);
    }
}

async fn active_tasks_are_newest_first(bed: Bed) {
    let store = filled(&bed).await;
    add(&store, "epsilon", "ann", None, None).await;
    let mut connection = store.read().await.unwrap();
    for (limit, expected) in [(9, vec![6, 3]), (1, vec![6])] {
        let active = task_active(&mut connection, limit).await.unwrap();
        assert_eq!(active.iter().map(|task| task.id.0).collect::<Vec<_>>(), expected);
    }
}
