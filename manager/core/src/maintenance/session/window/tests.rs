use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn window(start: &str, end: &str) -> Window {
    Window {
        days: Vec::new(),
        start: start.into(),
        end: Some(end.into()),
        duration: None,
        timezone: None,
        outside: Default::default(),
        blackout: Vec::new(),
    }
}

/// Berlin in 2026: summer time from 29 March, 01:00 UTC, to 25 October, 01:00 UTC.
fn berlin() -> Zone {
    Zone(vec![
        (at("2025-10-26T01:00:00Z"), 3600),
        (at("2026-03-29T01:00:00Z"), 7200),
        (at("2026-10-25T01:00:00Z"), 3600),
    ])
}

#[test]
fn a_window_over_midnight_is_open_on_both_days() {
    let night = window("22:00", "02:00");
    let utc = Zone::default();
    let table = [
        ("2026-06-01T21:59:59Z", Opening::Opens(at("2026-06-01T22:00:00Z"))),
        ("2026-06-01T22:00:00Z", Opening::Open(at("2026-06-02T02:00:00Z"))),
        ("2026-06-02T01:59:59Z", Opening::Open(at("2026-06-02T02:00:00Z"))),
        ("2026-06-02T02:00:00Z", Opening::Opens(at("2026-06-02T22:00:00Z"))),
    ];
    for (now, expected) in table {
        assert_eq!(opening(&night, &utc, at(now)), expected, "{now}");
    }
}

#[test]
fn days_and_blackouts_are_those_on_which_it_opens() {
    // 2026-06-06 is a Saturday.
    let weekend =
        Window { days: vec![Day::Sat, Day::Sun], blackout: vec!["2026-06-06".into()], ..window("22:00", "02:00") };
    let opened = opening(&weekend, &Zone::default(), at("2026-06-03T12:00:00Z"));
    assert_eq!(opened, Opening::Opens(at("2026-06-07T22:00:00Z")));
    let monday = opening(&weekend, &Zone::default(), at("2026-06-08T01:00:00Z"));
    assert_eq!(monday, Opening::Open(at("2026-06-08T02:00:00Z")));
}

#[test]
fn local_times_follow_the_zone_over_its_changes() {
    let morning = window("03:00", "05:00");
    let table = [
        ("2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"),
        ("2026-03-27T12:00:00Z", "2026-03-28T02:00:00Z"),
        ("2026-10-24T12:00:00Z", "2026-10-25T02:00:00Z"),
    ];
    for (now, opens) in table {
        assert_eq!(opening(&morning, &berlin(), at(now)), Opening::Opens(at(opens)), "{now}");
    }
    // 02:30 does not exist on that day: it is the moment after the gap.
    let skipped = window("02:30", "05:00");
    assert_eq!(opening(&skipped, &berlin(), at("2026-03-28T12:00:00Z")), Opening::Opens(at("2026-03-29T01:30:00Z")));
    // 02:30 exists twice on that day: it is the first one.
    assert_eq!(opening(&skipped, &berlin(), at("2026-10-24T12:00:00Z")), Opening::Opens(at("2026-10-25T00:30:00Z")));
}

#[test]
fn a_window_that_lasts_longer_than_it_is_away_never_closes_for_long() {
    let always = Window { end: None, duration: Some(24 * 60), ..window("06:00", "06:00") };
    let Opening::Open(until) = opening(&always, &Zone::default(), at("2026-06-01T05:59:59Z")) else {
        panic!("closed");
    };
    assert!(until > at("2026-06-08T00:00:00Z"), "{until}");
}

#[test]
fn a_window_that_never_opens_says_so() {
    let mut never = window("06:00", "07:00");
    never.days = vec![Day::Mon];
    never.blackout = (0..500)
        .filter_map(|n| {
            let day = Timestamp::from_micros(at("2026-06-01T00:00:00Z").as_micros() + n * DAY * SECOND);
            day.naive().get(..10).map(str::to_owned)
        })
        .collect();
    assert_eq!(opening(&never, &Zone::default(), at("2026-06-01T00:00:00Z")), Opening::Never);
}

#[test]
fn calendars_agree() {
    for (text, day) in [("1970-01-01", Day::Thu), ("2000-02-29", Day::Tue), ("2026-12-31", Day::Thu)] {
        let moment = at(&format!("{text}T00:00:00Z"));
        let number = moment.as_micros() / SECOND / DAY;
        let (year, month, of_month) = civil(number);
        assert_eq!(format!("{year:04}-{month:02}-{of_month:02}"), text);
        assert_eq!(weekday(number), day, "{text}");
    }
}

#[test]
fn what_cannot_be_read_is_refused() {
    assert!(check(&window("22:00", "02:00")).is_ok());
    for wrong in [
        window("24:00", "02:00"),
        window("22", "02:00"),
        window("22:00", "2:60"),
        Window { end: None, ..window("22:00", "") },
        Window { duration: Some(5), ..window("22:00", "02:00") },
        Window { end: None, duration: Some(0), ..window("22:00", "") },
    ] {
        assert!(check(&wrong).is_err(), "{wrong:?}");
    }
}
