//! systemd by D-Bus: jobs of units, and their end (spec/hooks.md §7.2).

use std::io;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use hostler_common::step::UnitAction;
use serde::Serialize;

use super::Failure;
use crate::bus::{Body, Bus, Reader, SYSTEMD, SYSTEMD_MANAGER, SYSTEMD_PATH};

const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const UNIT: &str = "org.freedesktop.systemd1.Unit";
const UNIT_SERVICE: &str = "org.freedesktop.systemd1.Service";
/// How long systemd may take for an answer: while it reads its units anew it gives none.
const ANSWER: Duration = Duration::from_secs(30);
/// How long a job may take before it is given up. systemd has limits of its own, mostly 90 s.
const JOB: Duration = Duration::from_secs(600);
/// How long a unit must stay as it is.
const STABLE: Duration = Duration::from_secs(5);
const STEP: Duration = Duration::from_millis(250);

/// A unit at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct State {
    /// `active`, `inactive`, `failed`, …
    pub active: String,
    /// `running`, `dead`, …
    pub sub: String,
    /// Changes with each start.
    pub invocation: String,
    /// How often systemd started it anew by itself.
    pub restarts: u32,
}

impl State {
    /// Whether a unit is as it should be after a start.
    fn good(&self, unit: &str) -> bool {
        self.active == "active" && (self.sub == "running" || !unit.ends_with(".service"))
    }
}

/// systemd.
#[derive(Debug)]
pub struct Systemd {
    bus: Bus,
    /// Whether systemd tells this connection of the ends of jobs: it refuses to be asked for that twice.
    told: bool,
}

fn unreachable(error: impl std::fmt::Display) -> Failure {
    Failure::Refused(format!("systemd cannot be asked: {error}"))
}

impl Systemd {
    /// Connects by the system bus, or to systemd itself where there is none.
    ///
    /// # Errors
    /// There is no systemd on this host, or it does not answer.
    pub fn connect() -> Result<Self, Failure> {
        if !Path::new("/run/systemd/system").is_dir() {
            return Err(Failure::Refused(
                "there is no systemd on this host, so no unit can be started or stopped".into(),
            ));
        }
        let mut bus = Bus::connect(Path::new("/")).map_err(unreachable)?;
        bus.wait_up_to(ANSWER).map_err(unreachable)?;
        Ok(Self { bus, told: false })
    }

    fn manager(&mut self, member: &str, body: &Body) -> io::Result<Vec<u8>> {
        self.bus.call([SYSTEMD, SYSTEMD_PATH, SYSTEMD_MANAGER, member], body)
    }

    /// A property of the object at `path`, as `take` reads it if it is of that kind.
    fn property<T>(
        &mut self,
        (path, interface, name): (&str, &str, &str),
        kind: &str,
        take: impl Fn(&mut Reader<'_>) -> Option<T>,
    ) -> io::Result<T> {
        let mut body = Body::new("ss");
        body.text(interface).text(name);
        let answer = self.bus.call([SYSTEMD, path, PROPERTIES, "Get"], &body)?;
        let mut reader = Reader::new(&answer);
        let right = reader.signature().is_some_and(|found| found == kind.as_bytes());
        let value = if right { take(&mut reader) } else { None };
        value.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("its {name} cannot be read")))
    }

    fn text(&mut self, path: &str, name: &str) -> io::Result<String> {
        self.property((path, UNIT, name), "s", |reader| reader.text())
    }

    /// Whether systemd knows a file of a unit.
    ///
    /// # Errors
    /// It cannot be asked.
    pub fn knows(&mut self, unit: &str) -> Result<bool, Failure> {
        let path = self.load(unit).map_err(unreachable)?;
        Ok(self.text(&path, "LoadState").map_err(unreachable)? == "loaded")
    }

    /// The path of a unit.
    fn load(&mut self, unit: &str) -> io::Result<String> {
        let mut body = Body::new("s");
        body.text(unit);
        path_in(&self.manager("LoadUnit", &body)?)
    }

    /// How a unit is.
    ///
    /// # Errors
    /// It cannot be asked.
    pub fn state(&mut self, unit: &str) -> Result<State, Failure> {
        self.read_state(unit).map_err(unreachable)
    }

    fn read_state(&mut self, unit: &str) -> io::Result<State> {
        let path = self.load(unit)?;
        let hex = |reader: &mut Reader<'_>| reader.bytes().map(hex::encode);
        let mut state = State {
            active: self.text(&path, "ActiveState")?,
            sub: self.text(&path, "SubState")?,
            invocation: self.property((&path, UNIT, "InvocationID"), "ay", hex)?,
            restarts: 0,
        };
        if unit.ends_with(".service") {
            // Older releases do not count.
            let counted = self.property((&path, UNIT_SERVICE, "NRestarts"), "u", |reader| reader.number());
            state.restarts = counted.unwrap_or(0);
        }
        Ok(state)
    }

    /// Has a unit started, stopped or restarted, waits for the end of that very job, and then until the unit has stayed as it
    /// is for 5 s. Answers with its state then.
    ///
    /// # Errors
    /// The job did not end with `done`; the unit did not stay as it should.
    pub fn change(&mut self, unit: &str, action: UnitAction) -> Result<State, Failure> {
        let result = self.job(unit, action).map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => Failure::Broken(format!("{unit}: the job took longer than {} s", JOB.as_secs())),
            _ => Failure::broken(error),
        })?;
        // What is asked from here on is asked after the beginning.
        let begun = |failure| match failure {
            Failure::Refused(reason) => Failure::Broken(reason),
            other => other,
        };
        if result != "done" {
            let state = self.state(unit).map_err(begun)?;
            let text = format!("{unit}: the job ended with {result}; the unit is {} ({})", state.active, state.sub);
            return Err(Failure::Broken(text));
        }
        match action {
            UnitAction::Stop => self.state(unit).map_err(begun),
            UnitAction::Start | UnitAction::Restart => self.stable(unit).map_err(begun),
        }
    }

    /// The result of a job.
    fn job(&mut self, unit: &str, action: UnitAction) -> io::Result<String> {
        // Before the job is made: its end may come before we know its name.
        if !self.told {
            self.bus.listen(SYSTEMD_MANAGER)?;
            self.manager("Subscribe", &Body::default())?;
            self.told = true;
        }
        let method = match action {
            UnitAction::Start => "StartUnit",
            UnitAction::Stop => "StopUnit",
            UnitAction::Restart => "RestartUnit",
        };
        let mut body = Body::new("ss");
        body.text(unit).text("replace");
        let job = path_in(&self.manager(method, &body)?)?;
        let end = Instant::now() + JOB;
        loop {
            let signal = self.bus.signal(end)?;
            if signal.member == "JobRemoved"
                && let Some((path, result)) = removed(&signal.body)
                && path == job
            {
                return Ok(result);
            }
        }
    }

    fn stable(&mut self, unit: &str) -> Result<State, Failure> {
        let first = self.state(unit)?;
        let end = Instant::now() + STABLE;
        loop {
            let state = self.state(unit)?;
            if !state.good(unit) || state.invocation != first.invocation || state.restarts != first.restarts {
                let text = format!("{unit} did not stay active: it is {} ({})", state.active, state.sub);
                return Err(Failure::Broken(text));
            }
            if Instant::now() >= end {
                return Ok(state);
            }
            sleep(STEP);
        }
    }
}

/// A path that is all of an answer.
fn path_in(answer: &[u8]) -> io::Result<String> {
    Reader::new(answer).text().ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The path of a job that is over and its result: `uoss`.
fn removed(body: &[u8]) -> Option<(String, String)> {
    let mut reader = Reader::new(body);
    let _number = reader.number()?;
    let path = reader.text()?;
    let _unit = reader.text()?;
    Some((path, reader.text()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_job_is_read() {
        let mut bytes = 7_u32.to_le_bytes().to_vec();
        for text in ["/org/freedesktop/systemd1/job/7", "a.service", "done"] {
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes.extend((text.len() as u32).to_le_bytes());
            bytes.extend(text.bytes());
            bytes.push(0);
        }
        assert_eq!(removed(&bytes), Some(("/org/freedesktop/systemd1/job/7".into(), "done".into())));
        assert_eq!(removed(&bytes[..20]), None);
    }
}
