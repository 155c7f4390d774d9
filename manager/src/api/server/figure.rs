//! The figures of maintenance: sessions, their hosts and steps, and how long others let them wait
//! (spec/maintenance.md §4.6).

use hostler_common::time::Timestamp;
use hostler_core::maintenance::host::HostPhase;
use hostler_core::maintenance::state::State;

use crate::metrics::text::{Kind, Text};
use crate::store::maintenance::{BOUNDS, Figures, WAITING};

/// Writes them, as they are now.
pub(super) fn write(figures: &Figures, now: Timestamp, text: &mut Text) {
    let counted =
        |found: &[(String, i64)], name: &str| found.iter().find(|(known, _)| known == name).map_or(0, |(_, n)| *n);
    let name = "hostler_maintenance_sessions";
    text.metric(name, Kind::Gauge, "Sessions of maintenance that are not deleted, by state.");
    for state in State::ALL {
        text.sample(name, &[("state", state.name())], counted(&figures.sessions, state.name()));
    }
    let name = "hostler_maintenance_hosts";
    text.metric(name, Kind::Gauge, "Hosts of sessions that are not over, by phase.");
    for phase in HostPhase::ALL {
        text.sample(name, &[("phase", phase.name())], counted(&figures.hosts, phase.name()));
    }
    let name = "hostler_maintenance_steps_running";
    text.metric(name, Kind::Gauge, "Steps of sessions that run, by kind.");
    for (kind, count) in &figures.steps {
        text.sample(name, &[("kind", kind)], count);
    }
    waited(figures, text);
    let name = "hostler_maintenance_open_wait_seconds";
    text.metric(
        name,
        Kind::Gauge,
        "For how long the oldest answer or gate is waited for that did not come yet, by kind.",
    );
    for kind in WAITING {
        let since = figures.waits.iter().find(|(known, _)| known == kind).map(|(_, since)| *since);
        text.sample(name, &[("kind", kind)], since.map_or(0.0, |since| now.since(since).as_secs_f64()));
    }
}

/// How long answers and gates let sessions wait.
fn waited(figures: &Figures, text: &mut Text) {
    let name = "hostler_maintenance_wait_seconds";
    text.metric(name, Kind::Histogram, "How long sessions on record waited for each answer and gate, by kind.");
    let (bucket, sum, count) = (format!("{name}_bucket"), format!("{name}_sum"), format!("{name}_count"));
    for kind in WAITING {
        let found = figures.waited.iter().find(|(known, _)| known == kind).map(|(_, found)| *found).unwrap_or_default();
        for (bound, within) in BOUNDS.iter().zip(found.within) {
            text.sample(&bucket, &[("kind", kind), ("le", &bound.to_string())], within);
        }
        text.sample(&bucket, &[("kind", kind), ("le", "+Inf")], found.count);
        let micros = found.micros;
        text.sample(&sum, &[("kind", kind)], format_args!("{}.{:06}", micros / 1_000_000, micros % 1_000_000));
        text.sample(&count, &[("kind", kind)], found.count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::maintenance::Waited;

    #[test]
    fn every_state_and_phase_has_its_line() {
        let figures = Figures {
            sessions: vec![("MAINTENANCE_DONE".into(), 3)],
            hosts: vec![("working".into(), 2)],
            steps: vec![("plugin".into(), 4)],
            waited: vec![(
                "reply".into(),
                Waited { count: 5, micros: 12_500_000, within: [1, 2, 4, 5, 5, 5, 5, 5, 5] },
            )],
            waits: vec![("gate".into(), Timestamp::from_micros(1_000_000))],
        };
        let mut text = Text::default();
        write(&figures, Timestamp::from_micros(91_500_000), &mut text);
        let text = text.finish();
        for line in [
            "hostler_maintenance_sessions{state=\"MAINTENANCE_DONE\"} 3",
            "hostler_maintenance_sessions{state=\"SCALE_IN\"} 0",
            "hostler_maintenance_hosts{phase=\"working\"} 2",
            "hostler_maintenance_steps_running{kind=\"plugin\"} 4",
            "# TYPE hostler_maintenance_wait_seconds histogram",
            "hostler_maintenance_wait_seconds_bucket{kind=\"reply\",le=\"15\"} 4",
            "hostler_maintenance_wait_seconds_bucket{kind=\"reply\",le=\"+Inf\"} 5",
            "hostler_maintenance_wait_seconds_sum{kind=\"reply\"} 12.500000",
            "hostler_maintenance_wait_seconds_count{kind=\"reply\"} 5",
            "hostler_maintenance_wait_seconds_sum{kind=\"gate\"} 0.000000",
            "hostler_maintenance_open_wait_seconds{kind=\"gate\"} 90.5",
            "hostler_maintenance_open_wait_seconds{kind=\"reply\"} 0",
        ] {
            assert!(text.lines().any(|one| one == line), "{line}:\n{text}");
        }
    }
}
