use std::time::Duration;

use hostler_common::id::{HostId, SessionId};
use hostler_common::time::Timestamp;
use uuid::Uuid;

use super::{Wait, ends_at, of_session, of_stay, phase_of};
use crate::maintenance::host::{HostPhase, SessionHost};
use crate::maintenance::policy::Policy;
use crate::maintenance::session::{Session, Stage};
use crate::maintenance::spec::Spec;
use crate::maintenance::state::Phase;
use crate::maintenance::stay::Stay;

fn at(second: u64) -> Timestamp {
    Timestamp::from_micros(1_000_000_000_000_000).after(Duration::from_secs(second))
}

fn host(phase: HostPhase, began: Option<u64>, ended: Option<u64>) -> SessionHost {
    SessionHost {
        host: HostId(Uuid::from_u128(1)),
        name: "a".into(),
        roles: Default::default(),
        order_no: None,
        domain: None,
        phase,
        maintained: phase == HostPhase::Done,
        disabled: false,
        disabled_before: None,
        reason: None,
        plugin: None,
        plugin_state: None,
        started_at: began.map(at),
        finished_at: ended.map(at),
        attempts: 1,
    }
}

#[test]
fn nothing_is_said_of_the_end_before_a_host_is_done() {
    let policy = Policy::default();
    let hosts = [host(HostPhase::Working, Some(0), None), host(HostPhase::Pending, None, None)];
    assert_eq!(ends_at(&hosts, &policy, at(0), at(5)), None);
    let done = [host(HostPhase::Done, Some(0), Some(60))];
    assert_eq!(ends_at(&done, &policy, at(0), at(60)), None, "nothing is left");
}

#[test]
fn the_end_follows_from_what_is_left_and_how_many_go_at_once() {
    let mut policy = Policy { max_parallel_hosts: 2, ..Policy::default() };
    let mut hosts = vec![host(HostPhase::Done, Some(0), Some(60)), host(HostPhase::Working, Some(60), None)];
    hosts.extend((0..3).map(|_| host(HostPhase::Pending, None, None)));
    // 40 s of the one at work, then two rounds of a minute.
    assert_eq!(ends_at(&hosts, &policy, at(0), at(80)), Some(at(80 + 40 + 120)));
    policy.max_parallel_hosts = 1;
    assert_eq!(ends_at(&hosts, &policy, at(0), at(80)), Some(at(80 + 40 + 180)));
    // One that takes longer than the others did is not over before now.
    assert_eq!(ends_at(&hosts[..2], &policy, at(0), at(500)), Some(at(500)));
}

#[test]
fn one_host_that_took_very_long_does_not_count_for_all() {
    let policy = Policy { max_parallel_hosts: 2, ..Policy::default() };
    let took = |seconds| host(HostPhase::Done, Some(0), Some(seconds));
    let mut hosts = vec![took(9000), took(50), took(60)];
    hosts.extend((0..4).map(|_| host(HostPhase::Pending, None, None)));
    assert_eq!(ends_at(&hosts, &policy, at(0), at(9000)), Some(at(9000 + 120)));
    // Any number at once: as many as go now, which is one at least.
    let all = Policy { max_parallel_hosts: 0, ..Policy::default() };
    assert_eq!(ends_at(&hosts, &all, at(0), at(9000)), Some(at(9000 + 240)));
    // Before the start, it begins there.
    assert_eq!(ends_at(&hosts, &policy, at(9900), at(9000)), Some(at(9900 + 120)));
}

#[test]
fn a_session_waits_where_all_of_its_hosts_at_work_do() {
    let now = |said, hosts: &[(HostPhase, usize)]| phase_of(said, &hosts.iter().copied().collect());
    let (waits, works) = ((HostPhase::WaitingHealth, 2), (HostPhase::Working, 1));
    assert_eq!(now(Phase::Working, &[(HostPhase::Done, 3), waits]), Phase::WaitingHealth);
    assert_eq!(now(Phase::Working, &[(HostPhase::WaitingStorage, 1), waits, works]), Phase::Working);
    assert_eq!(now(Phase::WaitingHealth, &[works]), Phase::Working);
    assert_eq!(now(Phase::WaitingHealth, &[(HostPhase::Pending, 1)]), Phase::WaitingHealth);
    assert_eq!(now(Phase::Paused, &[waits]), Phase::Paused);
}

fn session(phase: Phase) -> Session {
    let mut session = Session::new(SessionId(Uuid::from_u128(7)));
    session.spec = Box::new(Spec::empty(at(90)));
    (session.phase, session.since) = (phase, at(10));
    session
}

fn only(session: &Session) -> Wait {
    let mut waits = of_session(session);
    assert_eq!(waits.len(), 1, "{waits:?}");
    waits.remove(0)
}

#[test]
fn a_session_says_what_it_waits_for_and_until_when() {
    let wait = only(&session(Phase::WaitingStart));
    assert_eq!((wait.what, wait.since, wait.until, wait.person), ("start", Some(at(10)), Some(at(90)), false));
    let wait = only(&session(Phase::Paused));
    assert_eq!((wait.what, wait.until, wait.person), ("resume", None, true));
    let mut fetching = session(Phase::WaitingApproval);
    fetching.stage = Stage::Fetching;
    assert!(only(&fetching).text.contains("before anything is done"));
    let mut failed = session(Phase::Over);
    assert!(of_session(&failed).is_empty());
    failed.stage = Stage::Failed;
    assert_eq!(only(&failed).what, "continue");
    let mut resting = session(Phase::Working);
    assert!(of_session(&resting).is_empty());
    resting.rest_until = Some(at(40));
    assert_eq!((only(&resting).what, only(&resting).until), ("batch", Some(at(40))));
}

#[test]
fn a_stay_that_was_not_begun_says_nothing() {
    assert_eq!(of_stay(&Stay::new(Uuid::from_u128(7), HostId(Uuid::from_u128(1)))), None);
}
