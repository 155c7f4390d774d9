//! Sessions of maintenance with their hosts, projects, instances and steps.

use hostler_common::id::{HostId, JobId, MachineId, SessionId};
use hostler_common::script::Digest;
use hostler_common::time::Timestamp;
use hostler_core::machine::Machine as _;
use hostler_core::maintenance::host::{HostPhase, Role, SessionHost};
use hostler_core::maintenance::instance::{InstanceState, MoveAction, SessionInstance};
use hostler_core::maintenance::row::{StepBegun, StepEnded, StepKind, StepState};
use hostler_core::maintenance::session::Session;
use hostler_core::maintenance::spec::Spec;
use hostler_core::maintenance::state::{Reason, State};
use hostler_manager::store::maintenance::{
    DownloadRow, DownloadState, Figures, Filter, NewSession, ProjectRow, SessionChange, StayRow, StepFilter, Waited,
    download_put, download_rows, download_wanted, figures, host_put_all, host_remove, host_row, host_rows, impacted,
    instance_page, instance_put_all, instance_remove, instance_rows, phase_counts, plugin_stands, project_put_all,
    project_rows, session_active, session_expired, session_get, session_insert, session_list, session_number,
    session_prune, session_update, stay_put_all, step_put_all, step_rows,
};
use hostler_manager::store::{Error, Store};
use hostler_tests::both::Bed;
use hostler_tests::{commit, on_both};
use serde_json::json;
use uuid::Uuid;

use super::{UNICODE, at, host_id};

on_both!(
    sessions_are_listed_newest_last_and_narrowed,
    what_lists_show_changes_and_the_first_deletion_stays,
    hosts_come_in_the_order_of_the_plan,
    stays_write_only_what_is_theirs,
    projects_and_instances_are_written_whole,
    the_longest_impairment_of_an_instance_counts,
    steps_begin_once_and_end_once,
    a_session_that_was_deleted_long_ago_goes_with_all_of_its,
    what_there_is_is_counted,
    phases_are_counted_and_instances_paged,
    downloads_are_kept_while_a_session_wants_them,
);

/// The session of that number.
pub(super) fn session_id(n: u128) -> SessionId {
    SessionId(Uuid::from_u128(0x5000_8000_0000_0000_0000 + n))
}

/// Stores a session.
pub(super) async fn some_session(store: &Store, n: u128) -> SessionId {
    let id = session_id(n);
    commit!(store, tx => {
        let number = session_number(tx).await?;
        let spec = Spec { name: Some(UNICODE.into()), ..Spec::empty(at(1000)) };
        session_insert(tx, number, NewSession { id, spec: &spec, actor: UNICODE }, at(10)).await
    })
    .unwrap();
    id
}

fn change(state: State, deleted: bool) -> SessionChange {
    SessionChange {
        state,
        prev_state: Some(State::ScaleIn),
        paused: true,
        percent: 33,
        maintenance_at: at(2000),
        deleted,
    }
}

/// A host of a session.
pub(super) fn row(host: HostId, order_no: Option<u32>) -> SessionHost {
    SessionHost {
        host,
        name: format!("host-{host}"),
        roles: [Role::Compute, Role::Storage].into(),
        order_no,
        domain: Some(UNICODE.into()),
        phase: HostPhase::Pending,
        maintained: false,
        disabled: true,
        disabled_before: Some(UNICODE.into()),
        reason: Some(Reason::new("x.y", UNICODE).on(host, UNICODE)),
        plugin: None,
        plugin_state: None,
        started_at: Some(at(5)),
        finished_at: None,
        attempts: 2,
    }
}

fn instance(id: &str, project: &str, from: Option<i64>, until: Option<i64>) -> SessionInstance {
    SessionInstance {
        id: id.into(),
        name: UNICODE.into(),
        project: project.into(),
        host: host_id(1),
        state: InstanceState::Active,
        project_state: Some("PLANNED_MAINTENANCE".into()),
        action: Some(MoveAction::LiveMigrate),
        action_done: true,
        details: Some(UNICODE.into()),
        impacted_from: from.map(at),
        recovered_at: until.map(at),
    }
}

async fn sessions_are_listed_newest_last_and_narrowed(bed: Bed) {
    let store = bed.open().await.unwrap();
    let mut ids = Vec::new();
    for n in 1..=4 {
        ids.push(some_session(&store, n).await);
    }
    let (one, two, four) = (ids[0], ids[1], ids[3]);
    commit!(store, tx => {
        host_put_all(tx, one, &[row(host_id(7), None)]).await?;
        let project = ProjectRow { project: "p".into(), state: None, reply_at: None, subscribed: false };
        project_put_all(tx, two, &[project]).await?;
        session_update(tx, two, change(State::MaintenanceDone, false), at(20)).await?;
        session_update(tx, four, change(State::MaintenanceFailed, true), at(20)).await
    })
    .unwrap();
    let mut connection = store.read().await.unwrap();
    let mut list = async |filter: Filter| -> Vec<SessionId> {
        session_list(&mut connection, &filter).await.unwrap().into_iter().map(|row| row.id).collect()
    };
    assert_eq!(list(Filter::default()).await, ids[..3]);
    assert_eq!(list(Filter { deleted: true, ..Filter::default() }).await, [four]);
    assert_eq!(list(Filter { state: Some(State::MaintenanceDone), ..Filter::default() }).await, [two]);
    assert_eq!(list(Filter { host: Some(host_id(7)), ..Filter::default() }).await, [one]);
    assert_eq!(list(Filter { project: Some("p".into()), ..Filter::default() }).await, [two]);
    assert_eq!(list(Filter { after: Some(one), limit: Some(1), ..Filter::default() }).await, [two]);
    let nobody = Filter { after: Some(session_id(99)), ..Filter::default() };
    assert!(matches!(session_list(&mut connection, &nobody).await, Err(Error::Refused(..))));
    assert_eq!(session_active(&mut connection, one).await.unwrap(), 1, "neither over, nor deleted, nor itself");
    drop(connection);
    let again = commit!(store, tx => {
        let spec = Spec::empty(at(0));
        session_insert(tx, 99, NewSession { id: one, spec: &spec, actor: "me" }, at(10)).await
    });
    assert!(matches!(again, Err(Error::Exists(_))), "{again:?}");
}

async fn what_lists_show_changes_and_the_first_deletion_stays(bed: Bed) {
    let store = bed.open().await.unwrap();
    let id = some_session(&store, 1).await;
    let get = async || session_get(&mut store.read().await.unwrap(), id).await.unwrap().unwrap();
    let made = get().await;
    assert_eq!(
        (made.state, made.percent, made.created_by.as_str()),
        (State::Maintenance, 0, storable(UNICODE).as_str())
    );
    assert_eq!((made.created_at, made.entered_at, made.maintenance_at), (at(10), at(10), at(1000)));
    commit!(store, tx => session_update(tx, id, change(State::Maintenance, false), at(20)).await).unwrap();
    let same = get().await;
    assert_eq!((same.entered_at, same.prev_state, same.paused), (at(10), Some(State::ScaleIn), true));
    assert_eq!((same.percent, same.maintenance_at, same.deleted_at), (33, at(2000), None));
    commit!(store, tx => session_update(tx, id, change(State::ScaleIn, true), at(30)).await).unwrap();
    commit!(store, tx => session_update(tx, id, change(State::ScaleIn, true), at(40)).await).unwrap();
    let gone = get().await;
    assert_eq!((gone.entered_at, gone.deleted_at), (at(30), Some(at(30))));
    assert!(session_get(&mut store.read().await.unwrap(), session_id(9)).await.unwrap().is_none());
}

/// A text as the store keeps it.
fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

async fn hosts_come_in_the_order_of_the_plan(bed: Bed) {
    let store = bed.open().await.unwrap();
    let session = some_session(&store, 1).await;
    let rows: Vec<SessionHost> = (1..=150).map(|n| row(host_id(n), None)).collect();
    commit!(store, tx => host_put_all(tx, session, &rows).await).unwrap();
    let last = SessionHost { maintained: true, phase: HostPhase::Done, ..row(host_id(150), Some(0)) };
    let written = last.clone();
    commit!(store, tx => host_put_all(tx, session, &[written]).await).unwrap();
    commit!(store, tx => host_remove(tx, session, host_id(3)).await).unwrap();
    let mut connection = store.read().await.unwrap();
    let all = host_rows(&mut connection, session).await.unwrap();
    assert_eq!((all.len(), &all[0]), (149, &last));
    assert_eq!(host_row(&mut connection, session, host_id(1)).await.unwrap(), Some(row(host_id(1), None)));
    assert_eq!(host_row(&mut connection, session, host_id(3)).await.unwrap(), None);
}

async fn stays_write_only_what_is_theirs(bed: Bed) {
    let store = bed.open().await.unwrap();
    let session = some_session(&store, 1).await;
    let host = host_id(1);
    let stay = move |phase, plugin: Option<&str>| {
        let plugin = plugin.map(|name| (name.to_owned(), "RUNNING".to_owned()));
        StayRow { session, host, phase, reason: None, plugin }
    };
    commit!(store, tx => {
        host_put_all(tx, session, &[row(host, Some(4))]).await?;
        stay_put_all(tx, &[stay(HostPhase::Working, Some("reboot")), stay(HostPhase::Verifying, None)]).await
    })
    .unwrap();
    let found = host_row(&mut store.read().await.unwrap(), session, host).await.unwrap().unwrap();
    let plugin = (Some("reboot".to_owned()), Some("RUNNING".to_owned()));
    let want = SessionHost {
        phase: HostPhase::Verifying,
        reason: None,
        plugin: plugin.0,
        plugin_state: plugin.1,
        ..row(host, Some(4))
    };
    assert_eq!(found, want);
}

async fn projects_and_instances_are_written_whole(bed: Bed) {
    let store = bed.open().await.unwrap();
    let session = some_session(&store, 1).await;
    let project = |name: &str, state: Option<&str>| ProjectRow {
        project: name.into(),
        state: state.map(str::to_owned),
        reply_at: Some(at(9)),
        subscribed: true,
    };
    let (p, q, p_then) = (project("p", None), project("q", None), project("p", Some("ACK_MAINTENANCE")));
    let (want, q_then) = (p_then.clone(), q.clone());
    commit!(store, tx => {
        project_put_all(tx, session, &[q, p]).await?;
        project_put_all(tx, session, &[p_then]).await?;
        let all = [instance("b", "q", None, None), instance("a", "p", Some(1), None), instance("c", "p", None, None)];
        instance_put_all(tx, session, &all).await?;
        instance_put_all(tx, session, &[instance("a", "p", None, Some(3))]).await?;
        instance_remove(tx, session, "c").await
    })
    .unwrap();
    let mut connection = store.read().await.unwrap();
    assert_eq!(project_rows(&mut connection, session).await.unwrap(), [want, q_then]);
    let all = instance_rows(&mut connection, session, None).await.unwrap();
    assert_eq!(all, [instance("a", "p", None, Some(3)), instance("b", "q", None, None)]);
    let of_q = instance_rows(&mut connection, session, Some("q")).await.unwrap();
    assert_eq!(of_q, [instance("b", "q", None, None)]);
}

async fn the_longest_impairment_of_an_instance_counts(bed: Bed) {
    let store = bed.open().await.unwrap();
    let (one, two) = (some_session(&store, 1).await, some_session(&store, 2).await);
    commit!(store, tx => {
        let first = [
            instance("twice", "p", Some(1), Some(50)),
            instance("open", "p", Some(1), None),
            instance("over", "p", Some(1), Some(9)),
            instance("never", "p", None, None),
        ];
        instance_put_all(tx, one, &first).await?;
        let second = [instance("twice", "p", Some(2), Some(60)), instance("open", "p", Some(1), Some(70))];
        instance_put_all(tx, two, &second).await
    })
    .unwrap();
    let found: Vec<(String, Option<Timestamp>)> =
        impacted(&mut store.read().await.unwrap(), at(10)).await.unwrap().into_iter().collect();
    assert_eq!(found, [("open".into(), None), ("twice".into(), Some(at(60)))]);
}

fn begun(n: u128, host: Option<HostId>, kind: StepKind) -> StepBegun {
    StepBegun {
        key: Uuid::from_u128(n),
        host,
        instance: Some("i".into()),
        kind,
        name: UNICODE.into(),
        attempt: 2,
        job: Some(JobId(Uuid::from_u128(n))),
        input: json!({ "a": "\u{0}" }),
    }
}

fn ended(n: u128, state: StepState) -> StepEnded {
    let (result, error) = (json!({ "n": n.to_string() }), Some(Reason::new("x.y", UNICODE)));
    StepEnded { key: Uuid::from_u128(n), state, result, error }
}

async fn steps_begin_once_and_end_once(bed: Bed) {
    let store = bed.open().await.unwrap();
    let session = some_session(&store, 1).await;
    let host = Some(host_id(1));
    commit!(store, tx => {
        let both = [begun(1, host, StepKind::Gate), begun(2, None, StepKind::Reply)];
        step_put_all(tx, session, (&both, &[ended(2, StepState::Done)]), Some("me"), at(1)).await?;
        let again = [begun(1, host, StepKind::Gate)];
        step_put_all(tx, session, (&again, &[ended(1, StepState::Failed)]), None, at(2)).await?;
        step_put_all(tx, session, (&[], &[ended(1, StepState::Done)]), None, at(3)).await?;
        let many: Vec<StepBegun> = (10..130).map(|n| begun(n, host, StepKind::Plugin)).collect();
        step_put_all(tx, session, (&many, &[]), None, at(4)).await
    })
    .unwrap();
    let mut connection = store.read().await.unwrap();
    let all = step_rows(&mut connection, session, &StepFilter::default(), 0, 500).await.unwrap();
    assert_eq!(all.len(), 122);
    assert!(all.windows(2).all(|pair| pair[0].number < pair[1].number));
    let (first, second) = (&all[0], &all[1]);
    assert_eq!((first.state.as_str(), first.started_at, first.actor.as_deref()), ("DONE", at(1), Some("me")));
    assert_eq!(first.finished_at, Some(at(3)), "the first begin and the first end that was said for itself count");
    assert_eq!(
        (second.state.as_str(), second.finished_at, &second.input),
        ("DONE", Some(at(1)), &json!({"a": "\u{0}"}))
    );
    assert_eq!((second.kind.as_str(), second.attempt, second.job), ("reply", 2, Some(JobId(Uuid::from_u128(2)))));
    assert_eq!(second.error.as_ref().map(|error| error.code.as_str()), Some("x.y"));
    let gates = StepFilter { kind: Some("gate".into()), host, state: None };
    assert_eq!(step_rows(&mut connection, session, &gates, 0, 9).await.unwrap().len(), 1);
    let stands = plugin_stands(&mut connection, session).await.unwrap();
    assert_eq!(stands.len(), 1, "the last of each name on each host: {stands:?}");
    assert_eq!((stands[0].host, stands[0].state.as_str()), (host, "RUNNING"));
    let running = StepFilter { state: Some("RUNNING".into()), ..StepFilter::default() };
    let next = step_rows(&mut connection, session, &running, first.number, 3).await.unwrap();
    assert_eq!(next.iter().map(|step| step.kind.as_str()).collect::<Vec<_>>(), ["plugin"; 3]);
}

async fn a_session_that_was_deleted_long_ago_goes_with_all_of_its(bed: Bed) {
    let store = bed.open().await.unwrap();
    let (old, young) = (some_session(&store, 1).await, some_session(&store, 2).await);
    commit!(store, tx => {
        for (id, second) in [(old, 20), (young, 500)] {
            session_update(tx, id, change(State::MaintenanceDone, true), at(second)).await?;
            let subject = id.to_string();
            let machine = Session::new(id);
            hostler_manager::store::machine::machine_insert(
                tx, MachineId(id.0), Session::KIND, &subject, &machine, at(0)).await?;
        }
        let steps: Vec<StepBegun> = (1..=7).map(|n| begun(n, None, StepKind::Wait)).collect();
        step_put_all(tx, old, (&steps, &[]), None, at(1)).await?;
        host_put_all(tx, old, &[row(host_id(1), None)]).await
    })
    .unwrap();
    let expired = session_expired(&mut store.read().await.unwrap(), at(100), 9).await.unwrap();
    assert_eq!(expired, [old]);
    let mut rounds = 0;
    while session_get(&mut store.read().await.unwrap(), old).await.unwrap().is_some() {
        commit!(store, tx => session_prune(tx, old, 3).await).unwrap();
        rounds += 1;
        assert!(rounds < 20, "it does not end");
    }
    let mut connection = store.read().await.unwrap();
    assert!(host_rows(&mut connection, old).await.unwrap().is_empty());
    let machine = hostler_manager::store::machine::machine_subject(&mut connection, MachineId(old.0)).await.unwrap();
    assert_eq!(machine, None);
    assert!(session_get(&mut connection, young).await.unwrap().is_some());
}

async fn what_there_is_is_counted(bed: Bed) {
    let store = bed.open().await.unwrap();
    assert_eq!(figures(&mut store.read().await.unwrap()).await.unwrap(), Figures::default());
    let (one, two, three) =
        (some_session(&store, 1).await, some_session(&store, 2).await, some_session(&store, 3).await);
    commit!(store, tx => {
        session_update(tx, two, change(State::MaintenanceDone, false), at(20)).await?;
        session_update(tx, three, change(State::MaintenanceDone, true), at(20)).await?;
        for session in [one, two, three] {
            host_put_all(tx, session, &[row(host_id(1), None)]).await?;
            let steps = [begun(1, None, StepKind::Reply), begun(2, None, StepKind::Gate), begun(3, None, StepKind::Plugin)];
            step_put_all(tx, session, (&steps, &[]), None, at(1)).await?;
            step_put_all(tx, session, (&[], &[ended(1, StepState::Done)]), None, at(4)).await?;
        }
        Ok(())
    })
    .unwrap();
    let mut found = figures(&mut store.read().await.unwrap()).await.unwrap();
    found.sessions.sort();
    found.steps.sort();
    let count = |name: &str, count: i64| (name.to_owned(), count);
    assert_eq!(found.sessions, [count("MAINTENANCE", 1), count("MAINTENANCE_DONE", 1)]);
    assert_eq!(found.hosts, [count("pending", 1)]);
    assert_eq!(found.steps, [count("gate", 2), count("plugin", 2)]);
    // Three seconds each: within five and more, not within one.
    let waited = Waited { count: 2, micros: 6_000_000, within: [0, 2, 2, 2, 2, 2, 2, 2, 2] };
    assert_eq!(found.waited, [("reply".to_owned(), waited)]);
    assert_eq!(found.waits, [("gate".to_owned(), at(1))]);
}

async fn phases_are_counted_and_instances_paged(bed: Bed) {
    let store = bed.open().await.unwrap();
    let (one, two) = (some_session(&store, 1).await, some_session(&store, 2).await);
    commit!(store, tx => {
        let done = SessionHost { phase: HostPhase::Done, ..row(host_id(3), None) };
        host_put_all(tx, one, &[row(host_id(1), None), row(host_id(2), None), done]).await?;
        let all: Vec<SessionInstance> = ["a", "b", "c"].map(|id| instance(id, "p", None, None)).into();
        instance_put_all(tx, one, &all).await
    })
    .unwrap();
    let mut connection = store.read().await.unwrap();
    let counts = phase_counts(&mut connection, &[one, two]).await.unwrap();
    assert_eq!(counts.len(), 1, "a session without hosts is not there");
    let of_one: Vec<(&str, u32)> = counts[&one].iter().map(|(phase, count)| (phase.as_str(), *count)).collect();
    assert_eq!(of_one, [("done", 1), ("pending", 2)]);
    assert!(phase_counts(&mut connection, &[]).await.unwrap().is_empty());
    let mut page = async |after: &str, limit| -> Vec<String> {
        instance_page(&mut connection, one, after, limit).await.unwrap().into_iter().map(|one| one.id).collect()
    };
    assert_eq!(page("", 2).await, ["a", "b"]);
    assert_eq!(page("b", 2).await, ["c"]);
    assert!(page("c", 2).await.is_empty());
}

async fn downloads_are_kept_while_a_session_wants_them(bed: Bed) {
    let store = bed.open().await.unwrap();
    let (one, two) = (some_session(&store, 1).await, some_session(&store, 2).await);
    let file = |place, state, digest: Option<u8>| DownloadRow {
        place,
        state,
        digest: digest.map(|byte| Digest([byte; 32])),
        size: digest.map(|_| u64::from(u32::MAX) + 1),
        reason: digest.is_none().then(|| Reason::new("x.y", UNICODE)),
        attempts: 3,
        since: at(7),
    };
    let (first, second) = (file(1, DownloadState::Fetching, None), file(0, DownloadState::Failed, None));
    let (then, other) = (file(1, DownloadState::Verified, Some(1)), file(0, DownloadState::Verified, Some(2)));
    let want = [second.clone(), then.clone()];
    commit!(store, tx => {
        download_put(tx, one, &first).await?;
        download_put(tx, one, &second).await?;
        download_put(tx, one, &then).await?;
        download_put(tx, two, &other).await?;
        session_update(tx, two, change(State::MaintenanceDone, true), at(20)).await
    })
    .unwrap();
    let mut connection = store.read().await.unwrap();
    assert_eq!(download_rows(&mut connection, one).await.unwrap(), want);
    let wanted = download_wanted(&mut connection).await.unwrap();
    assert_eq!(wanted.into_iter().collect::<Vec<_>>(), [Digest([1; 32])], "those of sessions that are not deleted");
}
