use std::time::Duration;

use hostler_common::id::HostId;
use hostler_common::time::Timestamp;
use uuid::Uuid;

use super::super::instance::MoveAction;
use super::super::word::{FromMove, MoveOrder, ToSession};
use super::*;
use crate::machine::{Context, Decision, Effect, Input, Machine as _};

fn host(n: u128) -> HostId {
    HostId(Uuid::from_u128(n))
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(1_000_000 * (1_700_000_000 + seconds))
}

fn order(others: &[u128]) -> MoveOrder {
    MoveOrder {
        session: Uuid::from_u128(7),
        instance: "i-1".into(),
        from: host(1),
        to: Some(host(2)),
        others: others.iter().map(|n| host(*n)).collect(),
        action: MoveAction::LiveMigrate,
        max_interruption: None,
        timeout: 900,
    }
}

/// A move with the moment and what it did.
struct Bench {
    mover: Move,
    now: i64,
    since: Timestamp,
    orders: Vec<(Uuid, MoveOrder)>,
    aborts: Vec<Uuid>,
    told: Vec<FromMove>,
    timers: std::collections::BTreeMap<&'static str, Timestamp>,
}

impl Bench {
    fn new() -> Self {
        Self {
            mover: Move::new(Uuid::from_u128(99)),
            now: 0,
            since: crate::machine::LONG_AGO,
            orders: Vec::new(),
            aborts: Vec::new(),
            told: Vec::new(),
            timers: Default::default(),
        }
    }

    fn give(&mut self, input: Input<Word>) {
        let seed = u128::try_from(self.orders.len()).unwrap() * 31 + 5;
        let cx = Context { now: at(self.now), since: self.since, actor: None, seed, facts: () };
        let Decision { next, effects, writes, .. } = self.mover.decide(input, &cx).unwrap();
        // What is stored is what goes on.
        self.mover = serde_json::from_str(&serde_json::to_string(&next).unwrap()).unwrap();
        for write in writes {
            match write {
                Write::Order { attempt, order } => self.orders.push((attempt, *order)),
                Write::Abort(attempt) => self.aborts.push(attempt),
            }
        }
        for effect in effects {
            match effect {
                Effect::SetTimer(name, moment) => {
                    self.timers.insert(name, moment);
                }
                Effect::ClearTimer(name) => {
                    self.timers.remove(name);
                }
                Effect::Tell(message) => match serde_json::from_value(message.body).unwrap() {
                    ToSession::Move(from) => self.told.push(from),
                    other => panic!("{other:?}"),
                },
                other => panic!("{other:?}"),
            }
        }
    }

    fn begin(&mut self, order: &MoveOrder) {
        self.give(Input::Message(serde_json::to_value(order).unwrap()));
    }

    fn ended(&mut self, end: End) {
        let attempt = self.orders.last().unwrap().0;
        self.give(Input::Message(Word::Ended { attempt, end }.to(self.mover.id).body));
    }

    fn refused(&mut self, retry: Retry) {
        let failure = Failure { code: "move.refused".into(), text: "no room".into(), retry };
        self.ended(End::failed(Some(host(1)), failure));
    }

    /// Lets the next timer come due.
    fn wait(&mut self) {
        let (name, moment) = self.timers.iter().min_by_key(|(_, moment)| **moment).map(|(n, m)| (*n, *m)).unwrap();
        self.timers.remove(name);
        self.now = moment.as_micros() / 1_000_000 - 1_700_000_000;
        self.give(Input::Timer(name.into()));
    }
}

#[test]
fn a_move_that_succeeds_is_told_once() {
    let mut bench = Bench::new();
    bench.begin(&order(&[]));
    bench.begin(&order(&[3]));
    assert_eq!(bench.orders.len(), 1, "a second order changes nothing");
    bench.ended(End::moved(host(2)));
    bench.ended(End::moved(host(2)));
    bench.give(Input::Message(Word::Abort.to(bench.mover.id).body));
    assert_eq!(bench.told.len(), 1);
    assert_eq!((bench.told[0].host, &bench.told[0].failure), (Some(host(2)), &None));
    assert!(bench.timers.is_empty() && bench.aborts.is_empty());
}

#[test]
fn refused_moves_try_other_places_with_growing_pauses() {
    let mut bench = Bench::new();
    bench.begin(&order(&[3, 4]));
    let mut begun = vec![bench.now];
    for _ in 0..3 {
        bench.refused(Retry::Later);
        bench.wait();
        begun.push(bench.now);
    }
    assert_eq!(begun, [0, 15, 45, 105]);
    let places: Vec<_> = bench.orders.iter().map(|(_, order)| order.to.unwrap()).collect();
    assert_eq!(places[..3], [host(2), host(3), host(4)]);
    let ids: std::collections::BTreeSet<_> = bench.orders.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids.len(), 4, "each attempt has an id of its own");
    bench.refused(Retry::Later);
    assert_eq!(bench.told.len(), 1);
    assert_eq!(bench.told[0].failure.as_ref().unwrap().code, "move.refused");
}

#[test]
fn what_would_fail_again_is_not_repeated() {
    let mut bench = Bench::new();
    bench.begin(&order(&[3]));
    bench.refused(Retry::Never);
    assert_eq!((bench.orders.len(), bench.told.len()), (1, 1));
}

#[test]
fn a_late_move_is_ended_and_may_still_have_moved() {
    for moved in [true, false] {
        let mut bench = Bench::new();
        bench.begin(&order(&[]));
        bench.wait();
        assert_eq!((bench.now, bench.aborts.len(), bench.told.len()), (900, 1, 0));
        bench.wait();
        assert_eq!(bench.aborts.len(), 2, "it is asked for again");
        match moved {
            true => bench.ended(End::moved(host(2))),
            false => bench.refused(Retry::Later),
        }
        let failure = bench.told[0].failure.as_ref().map(|reason| reason.code.as_str());
        assert_eq!(failure, if moved { None } else { Some("move.timeout") });
        assert!(bench.timers.is_empty());
    }
}

#[test]
fn time_in_which_no_manager_was_there_does_not_count() {
    for waiting in [true, false] {
        let mut bench = Bench::new();
        bench.begin(&order(&[3]));
        if waiting {
            bench.refused(Retry::Later);
        }
        // Everything is overdue, and comes due in its order.
        bench.now = 5 * 3600;
        while let Some((name, _)) =
            bench.timers.clone().iter().min_by_key(|(_, due)| **due).filter(|(_, due)| **due <= at(bench.now))
        {
            bench.timers.remove(name);
            bench.give(Input::Timer((*name).into()));
        }
        assert_eq!((bench.orders.len(), bench.aborts.len(), bench.told.len()), (1 + usize::from(waiting), 0, 0));
        // Then it is as late as any other.
        let began = bench.now;
        bench.wait();
        assert_eq!((bench.now - began, bench.aborts.len()), (900, 1));
    }
}

#[test]
fn what_becomes_of_a_move_that_is_to_end_is_heard_after_an_outage() {
    let mut bench = Bench::new();
    bench.begin(&order(&[]));
    bench.give(Input::Command(Word::Abort));
    bench.mover.endings = state::ENDINGS;
    bench.now = 5 * 3600;
    bench.since = at(bench.now);
    bench.give(Input::Timer("deadline".into()));
    assert_eq!((bench.aborts.len(), bench.told.len()), (1, 0));
    assert_eq!(bench.timers["deadline"], at(bench.now + 120));
    bench.ended(End::moved(host(2)));
    assert_eq!((bench.told.len(), bench.told[0].host), (1, Some(host(2))));
}

#[test]
fn a_compute_side_that_says_nothing_does_not_hold_up_for_ever() {
    let mut bench = Bench::new();
    bench.begin(&order(&[]));
    for _ in 0..10 {
        if bench.told.is_empty() {
            bench.wait();
        }
    }
    assert_eq!(bench.told[0].failure.as_ref().unwrap().code, "move.outcome_unknown");
    assert!(bench.timers.is_empty());
}

#[test]
fn a_move_that_nobody_wants_ends_wherever_it_is() {
    let mut bench = Bench::new();
    bench.begin(&order(&[]));
    bench.refused(Retry::Later);
    bench.give(Input::Command(Word::Abort));
    assert_eq!((bench.told.len(), bench.timers.len()), (1, 0));
    assert_eq!(bench.told[0].host, Some(host(1)));
    let mut bench = Bench::new();
    bench.begin(&order(&[]));
    bench.give(Input::Command(Word::Abort));
    assert_eq!((bench.told.len(), bench.aborts.len()), (0, 1));
    bench.refused(Retry::Later);
    assert_eq!(bench.told[0].failure.as_ref().unwrap().code, "move.aborted");
}

#[test]
fn reports_of_another_attempt_say_nothing() {
    let mut bench = Bench::new();
    bench.begin(&order(&[3]));
    let first = bench.orders[0].0;
    bench.refused(Retry::Later);
    bench.wait();
    let word = Word::Ended { attempt: first, end: End::moved(host(2)) };
    bench.give(Input::Command(word));
    assert!(bench.told.is_empty());
    assert_eq!(bench.mover.phase, Phase::Moving);
}

#[test]
fn an_action_of_the_owner_is_no_move() {
    let mut bench = Bench::new();
    bench.begin(&MoveOrder { action: MoveAction::OwnAction, ..order(&[]) });
    assert!(bench.orders.is_empty());
    assert_eq!(bench.told[0].failure.as_ref().unwrap().code, "move.action");
    assert!(bench.timers.is_empty());
}

#[test]
fn a_pause_longer_than_the_rest_of_the_time_is_not_begun() {
    let mut bench = Bench::new();
    bench.begin(&MoveOrder { timeout: 10, ..order(&[3]) });
    bench.refused(Retry::Later);
    assert_eq!(bench.told.len(), 1);
    assert!(Duration::from_secs(10) < state::BACKOFF[0]);
}
