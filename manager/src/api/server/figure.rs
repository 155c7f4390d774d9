//! The figures of maintenance: sessions, their hosts and steps, and how long others let them wait
//! (spec/maintenance.md §4.6).

use hostler_core::maintenance::host::HostPhase;
use hostler_core::maintenance::state::State;

use crate::metrics::text::{Kind, Text};
use crate::store::maintenance::{Figures, WAITING};

/// Writes them.
pub(super) fn write(figures: &Figures, text: &mut Text) {
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
    let ended =
        |kind: &str| figures.waited.iter().find(|(known, ..)| known == kind).map_or((0, 0), |one| (one.1, one.2));
    let name = "hostler_maintenance_waits";
    text.metric(name, Kind::Gauge, "Answers and gates that sessions on record have waited for, by kind.");
    for kind in WAITING {
        text.sample(name, &[("kind", kind)], ended(kind).0);
    }
    let name = "hostler_maintenance_wait_seconds";
    text.metric(name, Kind::Gauge, "How long sessions on record have waited for answers and gates in all, by kind.");
    for kind in WAITING {
        let micros = ended(kind).1;
        text.sample(name, &[("kind", kind)], format_args!("{}.{:06}", micros / 1_000_000, micros % 1_000_000));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_and_phase_has_its_line() {
        let figures = Figures {
            sessions: vec![("MAINTENANCE_DONE".into(), 3)],
            hosts: vec![("working".into(), 2)],
            steps: vec![("plugin".into(), 4)],
            waited: vec![("reply".into(), 5, 12_500_000)],
        };
        let mut text = Text::default();
        write(&figures, &mut text);
        let text = text.finish();
        for line in [
            "hostler_maintenance_sessions{state=\"MAINTENANCE_DONE\"} 3",
            "hostler_maintenance_sessions{state=\"SCALE_IN\"} 0",
            "hostler_maintenance_hosts{phase=\"working\"} 2",
            "hostler_maintenance_steps_running{kind=\"plugin\"} 4",
            "hostler_maintenance_waits{kind=\"reply\"} 5",
            "hostler_maintenance_wait_seconds{kind=\"reply\"} 12.500000",
            "hostler_maintenance_wait_seconds{kind=\"gate\"} 0.000000",
        ] {
            assert!(text.lines().any(|one| one == line), "{line}:\n{text}");
        }
    }
}
