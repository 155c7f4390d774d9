use hostler_common::cluster::Check;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(second * 1_000_000)
}

/// `OK`, or checks such as `OSD_DOWN=3`, `MDS!=1` (an error) or `X~=1` (muted), separated by blanks; `?` is no answer.
fn health(text: &str) -> Option<Health> {
    if text == "?" {
        return None;
    }
    let mut health = Health { status: "HEALTH_OK".into(), ..Health::default() };
    for word in text.split_whitespace().filter(|word| *word != "OK") {
        let (code, count) = word.split_once('=').unwrap();
        let (error, muted) = (code.ends_with('!'), code.ends_with('~'));
        let severity = if error { "HEALTH_ERR" } else { "HEALTH_WARN" };
        if !muted && health.status != "HEALTH_ERR" {
            health.status = severity.into();
        }
        let count = count.parse().unwrap();
        let check = Check { severity: severity.into(), count, message: format!("{count} of it"), muted };
        health.checks.insert(code.trim_end_matches(['!', '~']).to_owned(), check);
    }
    Some(health)
}

fn short(transition: &Transition) -> String {
    let name = match transition.direction {
        Direction::Degrade => "degrade",
        Direction::Improve => "improve",
        Direction::Recover => "recover",
    };
    format!("{name} {}", transition.codes.join(",")).trim_end().to_owned()
}

/// Plays a sequence of (second, health), polled every 5 seconds until `end`; answers with what was told and when.
fn play(tracker: &mut Tracker, sequence: &[(i64, &str)], end: i64) -> Vec<(i64, Transition)> {
    let begin = sequence[0].0;
    let mut told = Vec::new();
    for second in begin..=end {
        let now = sequence.iter().rev().find(|(from, _)| *from <= second);
        if (second - begin) % 5 == 0 || sequence.iter().any(|(from, _)| *from == second) {
            tracker.observe(health(now.unwrap().1).as_ref(), &BTreeSet::new(), at(second));
        }
        told.extend(tracker.tell(at(second)).into_iter().map(|transition| (second, transition)));
        assert!(tracker.due().is_none_or(|due| due > at(second)), "nothing that is due is left");
    }
    told
}

fn told(sequence: &[(i64, &str)], end: i64) -> Vec<String> {
    let list = play(&mut Tracker::default(), sequence, end);
    list.iter().map(|(second, transition)| format!("{second} {}", short(transition))).collect()
}

/// What is seen from which second on, until when; what is told.
type Case = (&'static [(i64, &'static str)], i64, &'static [&'static str]);

#[test]
fn spec_13_4_sequences() {
    let cases: &[Case] = &[
        // The first answer is the baseline, whatever it is.
        (&[(0, "OSD_DOWN=1")], 300, &[]),
        (&[(0, "OK"), (20, "OSD_DOWN=1")], 300, &["30 degrade OSD_DOWN"]),
        // It did not hold.
        (&[(0, "OK"), (20, "OSD_DOWN=1"), (29, "OK")], 300, &[]),
        (&[(0, "OSD_DOWN=1"), (20, "OK"), (34, "OSD_DOWN=1")], 300, &[]),
        (&[(0, "OSD_DOWN=1"), (20, "OK")], 300, &["35 improve OSD_DOWN", "35 recover OSD_DOWN"]),
        // Counts: 3 to 9, 6 to 40, 9 to 4, 7 to 6.
        (&[(0, "A=3"), (20, "A=9")], 300, &["30 degrade A"]),
        (&[(0, "A=6"), (20, "A=40")], 300, &[]),
        (&[(0, "A=9"), (20, "A=4")], 300, &["35 improve A"]),
        (&[(0, "A=7"), (20, "A=6")], 300, &[]),
        // The same code becomes an error, and softens.
        (&[(0, "A=1"), (20, "A!=1")], 300, &["30 degrade A"]),
        (&[(0, "A!=1"), (20, "A=1")], 300, &["35 improve A"]),
        // The count of this check is the length of a text.
        (&[(0, "OK"), (20, "OSDMAP_FLAGS=5"), (120, "OSDMAP_FLAGS=17")], 300, &["30 degrade OSDMAP_FLAGS"]),
        // Muted: gone; it does not come back by that.
        (&[(0, "A=1"), (20, "A~=1")], 300, &["35 improve A", "35 recover A"]),
        (&[(0, "OK"), (20, "A~=1"), (60, "OK")], 300, &[]),
        // One comes as another goes: both, each when it has held.
        (&[(0, "A=1"), (20, "B=1")], 300, &["30 degrade B", "35 improve A"]),
        // Once a minute for each code; what comes meanwhile is told then, together.
        (&[(0, "OK"), (10, "A=1"), (25, "A=2"), (50, "A=3")], 300, &["20 degrade A", "80 degrade A"]),
        (&[(0, "OK"), (10, "A=1"), (25, "A=2"), (50, "A=1")], 300, &["20 degrade A"]),
        // Another code does not wait for it, and neither does a worse status.
        (&[(0, "OK"), (10, "A=1"), (25, "A=1 B=1")], 300, &["20 degrade A", "35 degrade B"]),
        (&[(0, "OK"), (10, "A=1"), (25, "A!=1")], 300, &["20 degrade A", "35 degrade A"]),
        // Nobody answers.
        (&[(0, "OK"), (20, "?"), (79, "OK")], 300, &[]),
        (&[(0, "OK"), (20, "?")], 600, &["80 degrade"]),
        (&[(0, "OK"), (20, "?"), (200, "OK")], 600, &["80 degrade"]),
        (&[(0, "OK"), (20, "?"), (200, "A=1")], 600, &["80 degrade", "210 degrade A"]),
        (&[(0, "A=1"), (20, "?"), (200, "OK")], 600, &["80 degrade", "215 improve A", "215 recover A"]),
        (&[(0, "?"), (200, "A=1")], 600, &[]),
    ];
    for (sequence, end, expected) in cases {
        assert_eq!(told(sequence, *end), *expected, "{sequence:?}");
    }
}

#[test]
fn what_is_said_of_it() {
    let list = play(&mut Tracker::default(), &[(0, "A=1"), (20, "A=1 OSD_DOWN!=2")], 40);
    let transition = &list[0].1;
    assert_eq!((transition.old.as_str(), transition.new.as_str()), ("HEALTH_WARN", "HEALTH_ERR"));
    assert_eq!(transition.summary, "HEALTH_WARN -> HEALTH_ERR: 2 of it (OSD_DOWN)");
    let list = play(&mut Tracker::default(), &[(0, "A=1"), (20, "OK")], 40);
    assert_eq!(list[0].1.summary, "HEALTH_WARN -> HEALTH_OK: A is gone");
    let list = play(&mut Tracker::default(), &[(0, "OK"), (20, "?")], 100);
    assert_eq!((list[0].1.old.as_str(), list[0].1.new.as_str()), ("HEALTH_OK", UNKNOWN));
}

#[test]
fn spec_13_4_a_restart_tells_nothing_unless_something_changed() {
    let mut tracker = Tracker::default();
    assert_eq!(play(&mut tracker, &[(0, "OK"), (10, "A=1")], 60).len(), 1);
    let restart = |tracker: &Tracker| -> Tracker { serde_json::from_value(serde_json::json!(tracker)).unwrap() };
    let mut same = restart(&tracker);
    assert_eq!(play(&mut same, &[(5000, "A=1")], 5300), []);
    let mut other = restart(&tracker);
    let list = play(&mut other, &[(5000, "OK")], 5300);
    assert_eq!(list.iter().map(|(_, told)| short(told)).collect::<Vec<_>>(), ["improve A", "recover A"]);
}

#[test]
fn a_code_that_flaps_is_told_once_more_and_then_when_it_is_quiet() {
    // 30 s there, 50 s away: each is told, until there were more than six.
    let mut sequence = vec![(0, "OK")];
    for round in 0..12 {
        sequence.push((100 + round * 80, "A=1"));
        sequence.push((130 + round * 80, "OK"));
    }
    let last = 130 + 11 * 80;
    let list = play(&mut Tracker::default(), &sequence, last);
    let codes: Vec<_> = list.iter().filter(|(_, told)| told.direction != Direction::Recover).collect();
    assert_eq!(codes.len(), 7, "{codes:#?}");
    assert!(codes[6].1.summary.contains("changes often"), "{}", codes[6].1.summary);
    assert!(codes[..6].iter().all(|(_, told)| !told.summary.contains("changes often")));
    // The seventh said that it is there; five minutes after its last change it is told that it is gone.
    let mut tracker = Tracker::default();
    sequence.push((last + 50, "OK B=1"));
    let list = play(&mut tracker, &sequence, last + 700);
    let after: Vec<_> = list.iter().filter(|(second, _)| *second > last).collect();
    assert_eq!(short(&after[0].1), "degrade B", "another code is not held up");
    let improved = after.iter().find(|(_, told)| told.codes == ["A"]).unwrap();
    assert_eq!((improved.0, improved.1.direction), (last + 300, Direction::Improve));
}

#[test]
fn ignored_codes_count_neither_by_themselves_nor_in_the_status() {
    let ignored = BTreeSet::from(["POOL_APP".to_owned()]);
    let view = |text| View::of(&health(text).unwrap(), &ignored);
    assert_eq!(view("POOL_APP=1").status, Rank::Ok);
    assert_eq!(view("POOL_APP!=1 A=1").status, Rank::Warn);
    assert_eq!(
        view("POOL_APP=1 A=9").checks,
        BTreeMap::from([("A".into(), Weight { severity: Rank::Warn, count: 5 })])
    );
    assert_eq!(view("A!=1").status, Rank::Err);
}
