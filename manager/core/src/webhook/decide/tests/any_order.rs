//! Whatever comes in whatever order: every wanted event is taken in order or given up, and nothing is passed over.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// A courier of one of several managers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    claim: Uuid,
    event: EventNumber,
    replay: bool,
    until: Timestamp,
}

#[derive(Clone, Debug)]
enum Happening {
    Append(bool),
    Claim(usize),
    Take(usize),
    Refuse(usize, u16),
    Crash(usize),
    Pass(u64),
    Toggle(bool),
    Change,
    Replay(u8),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        6 => any::<bool>().prop_map(Happening::Append),
        8 => (0..2_usize).prop_map(Happening::Claim),
        6 => (0..2_usize).prop_map(Happening::Take),
        4 => (0..2_usize, proptest::sample::select(vec![500_u16, 400, 410])).prop_map(|(n, s)| Happening::Refuse(n, s)),
        1 => (0..2_usize).prop_map(Happening::Crash),
        4 => (1..400_u64).prop_map(Happening::Pass),
        2 => any::<bool>().prop_map(Happening::Toggle),
        1 => Just(Happening::Change),
        1 => any::<u8>().prop_map(Happening::Replay),
    ]
}

struct World {
    webhook: Webhook,
    now: u64,
    seed: u128,
    /// Whether the n-th event is wanted.
    log: Vec<bool>,
    couriers: [Option<Held>; 2],
    /// What the receiver took, in order, but for replays.
    taken: Vec<EventNumber>,
    replayed: BTreeSet<EventNumber>,
    dead: BTreeSet<EventNumber>,
    timers: BTreeMap<&'static str, Timestamp>,
}

impl World {
    fn new(policy: Policy) -> Self {
        let new = New { spec: spec(policy), sealed: "s".into(), after: EventNumber(0) };
        let mut world = Self {
            webhook: Webhook::fresh(WebhookId(1)),
            now: 0,
            seed: 1,
            log: Vec::new(),
            couriers: [None; 2],
            taken: Vec::new(),
            replayed: BTreeSet::new(),
            dead: BTreeSet::new(),
            timers: BTreeMap::new(),
        };
        world.apply(Command::Create(Box::new(new))).unwrap();
        world
    }

    fn apply(&mut self, command: Command) -> Result<(), Refusal> {
        self.input(Input::Command(command))
    }

    fn input(&mut self, input: Input<Command>) -> Result<(), Refusal> {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let before = self.webhook.cursor;
        let decision = self.webhook.decide(input, &context(at(self.now), self.seed))?;
        for effect in decision.effects {
            match effect {
                Effect::SetTimer(name, due) => drop(self.timers.insert(name, due)),
                Effect::ClearTimer(name) => drop(self.timers.remove(name)),
                other => panic!("a webhook does not do that: {other:?}"),
            }
        }
        for write in decision.writes {
            match write {
                Write::Bury { event, .. } => assert!(self.dead.insert(event) || decision.next.cursor == before),
                Write::Exhume(event) => assert!(self.dead.remove(&event)),
                Write::Listens(_) => panic!("nobody listens because of a webhook without an audience"),
            }
        }
        self.webhook = decision.next;
        assert!(self.webhook.cursor >= before, "a cursor never goes back");
        Ok(())
    }

    fn seek_from(&self, from: EventNumber) -> Seek {
        let begin = usize::try_from(from.0).unwrap();
        let index = self.log.iter().skip(begin).position(|wanted| *wanted);
        let found = index.map(|index| EventNumber(i64::try_from(begin + index + 1).unwrap()));
        let newest = EventNumber(i64::try_from(self.log.len()).unwrap());
        let passed = found.map_or(newest, |found| EventNumber(found.0 - 1));
        Seek { from, generation: self.webhook.generation, passed, found, missed: 0 }
    }

    fn hold(&mut self, courier: usize) {
        self.couriers[courier] = self.webhook.sending.as_ref().and_then(|sending| {
            let (event, replay) = (sending.event, sending.replay);
            sending.claim.map(|claim| Held { claim: claim.id, event, replay, until: claim.until })
        });
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Append(wanted) => self.log.push(wanted),
            Happening::Claim(n) if self.couriers[n].is_none() => {
                if self.apply(Command::Claim(self.seek_from(self.webhook.cursor))).is_ok() {
                    self.hold(n);
                }
            }
            Happening::Take(n) => self.take(n),
            Happening::Refuse(n, status) => {
                if let Some(held) = self.couriers[n].take() {
                    let _late = self.apply(Command::Failed { claim: held.claim, failed: failure(status) });
                }
            }
            Happening::Crash(n) => self.couriers[n] = None,
            Happening::Pass(seconds) => self.pass(seconds),
            Happening::Toggle(true) => self.apply(Command::Enable).unwrap(),
            Happening::Toggle(false) => self.apply(Command::Disable).unwrap(),
            Happening::Change => {
                let name = format!("{}x", self.webhook.spec.name);
                let spec = Spec { name, ..self.webhook.spec.clone() };
                self.apply(Command::Change(Box::new(spec))).unwrap();
            }
            Happening::Replay(n) => {
                let dead: Vec<EventNumber> = self.dead.iter().copied().collect();
                if let Some(event) = dead.get(usize::from(n) % dead.len().max(1)) {
                    self.apply(Command::Replay(*event)).unwrap();
                }
            }
            Happening::Claim(_) => {}
        }
    }

    fn take(&mut self, courier: usize) {
        let Some(held) = self.couriers[courier].take() else { return };
        if held.until <= at(self.now) {
            // An attempt ends long before its claim, so nobody took anything; the result comes late all the same.
        } else if held.replay {
            self.replayed.insert(held.event);
        } else {
            self.taken.push(held.event);
        }
        let next = if held.replay { self.webhook.cursor } else { held.event };
        let next = Some(self.seek_from(next));
        if self.apply(Command::Delivered { claim: held.claim, status: 200, next }).is_ok() {
            self.hold(courier);
        }
    }

    fn pass(&mut self, seconds: u64) {
        self.now += seconds;
        let due: Vec<_> = self.timers.iter().filter(|(_, due)| **due <= at(self.now)).map(|(name, _)| *name).collect();
        for name in due {
            self.timers.remove(name);
            self.input(Input::Timer(name.into())).unwrap();
        }
    }

    /// It is off, or something can be claimed at a time that is known.
    fn never_stops_silently(&self) {
        match self.webhook.claimable_at(at(self.now)) {
            None => assert!(matches!(self.webhook.phase, Phase::Off(_))),
            Some(until) if until > at(self.now) => {
                assert!(self.timers.get(LOOK).is_some_and(|due| *due <= until), "{:?}", self.webhook);
            }
            Some(_) => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn nothing_is_lost_and_the_order_is_kept(
        attempts in proptest::option::of(1..4_u32),
        stop in any::<bool>(),
        retry_for in 1..2000_u64,
        happenings in proptest::collection::vec(happening(), 0..120),
    ) {
        let on_exhausted = if stop { OnExhausted::Stop } else { OnExhausted::DeadLetter };
        let retry_for = Duration::from_secs(retry_for);
        let policy = Policy { retry_for, max_attempts: attempts, on_exhausted, ..Policy::default() };
        let mut world = World::new(policy);
        for happening in happenings {
            world.happen(happening);
            world.never_stops_silently();
        }
        // Somebody puts everything right: what is left is delivered.
        world.couriers = [None; 2];
        for _ in 0..600 {
            world.apply(Command::Enable).unwrap();
            world.pass(700);
            world.happen(Happening::Claim(0));
            world.take(0);
            world.couriers[0] = None;
        }
        let ends = world.taken.windows(2).all(|pair| pair[0] <= pair[1]);
        prop_assert!(ends, "out of order: {:?}", world.taken);
        let wanted = (1_i64..).zip(&world.log).filter(|(_, wanted)| **wanted).map(|(number, _)| EventNumber(number));
        let all: BTreeSet<EventNumber> =
            world.taken.iter().chain(&world.dead).chain(&world.replayed).copied().collect();
        prop_assert_eq!(wanted.collect::<BTreeSet<_>>(), all);
    }
}
