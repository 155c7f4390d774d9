//! systemd by D-Bus: jobs of units, and their end (spec/hooks.md §7.2).

use std::path::Path;
use std::time::Duration;

use futures::StreamExt as _;
use hostler_common::step::UnitAction;
use serde::Serialize;
use tokio::time::{Instant, sleep, timeout};
use zbus::proxy::CacheProperties;

use zbus::{Connection, OwnedObjectPath, Proxy};

use super::Failure;

const SERVICE: &str = "org.freedesktop.systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const UNIT: &str = "org.freedesktop.systemd1.Unit";
const UNIT_SERVICE: &str = "org.freedesktop.systemd1.Service";
const ROOT: &str = "/org/freedesktop/systemd1";
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
    connection: Connection,
}

fn unreachable(error: impl std::fmt::Display) -> Failure {
    Failure::Refused(format!("systemd cannot be asked: {error}"))
}

impl Systemd {
    /// Connects by the system bus. systemd's own socket will not do: its senders have names that the library refuses.
    ///
    /// # Errors
    /// There is no systemd on this host, or no system bus.
    pub async fn connect() -> Result<Self, Failure> {
        if !Path::new("/run/systemd/system").is_dir() {
            return Err(Failure::Refused(
                "there is no systemd on this host, so no unit can be started or stopped".into(),
            ));
        }
        let connection = Connection::system().await.map_err(unreachable)?;
        Ok(Self { connection })
    }

    async fn proxy(&self, path: OwnedObjectPath, interface: &'static str) -> zbus::Result<Proxy<'static>> {
        zbus::proxy::Builder::<Proxy<'static>>::new(&self.connection)
            .destination(SERVICE)
            .path(path)
            .interface(interface)
            .cache_properties(CacheProperties::No)
            .build()
            .await
    }

    async fn manager(&self) -> zbus::Result<Proxy<'static>> {
        self.proxy(OwnedObjectPath::try_from(ROOT)?, MANAGER).await
    }

    /// Whether systemd knows a file of a unit.
    ///
    /// # Errors
    /// It cannot be asked.
    pub async fn knows(&self, unit: &str) -> Result<bool, Failure> {
        let path = self.load(unit).await.map_err(unreachable)?;
        let proxy = self.proxy(path, UNIT).await.map_err(unreachable)?;
        let load: String = proxy.get_property("LoadState").await.map_err(unreachable)?;
        Ok(load == "loaded")
    }

    async fn load(&self, unit: &str) -> zbus::Result<OwnedObjectPath> {
        self.manager().await?.call("LoadUnit", &(unit,)).await
    }

    /// How a unit is.
    ///
    /// # Errors
    /// It cannot be asked.
    pub async fn state(&self, unit: &str) -> Result<State, Failure> {
        self.read_state(unit).await.map_err(unreachable)
    }

    async fn read_state(&self, unit: &str) -> zbus::Result<State> {
        let path = self.load(unit).await?;
        let proxy = self.proxy(path.clone(), UNIT).await?;
        let invocation: Vec<u8> = proxy.get_property("InvocationID").await?;
        let mut state = State {
            active: proxy.get_property("ActiveState").await?,
            sub: proxy.get_property("SubState").await?,
            invocation: hex::encode(invocation),
            restarts: 0,
        };
        if unit.ends_with(".service") {
            // Older releases do not count.
            state.restarts = self.proxy(path, UNIT_SERVICE).await?.get_property("NRestarts").await.unwrap_or(0);
        }
        Ok(state)
    }

    /// Has a unit started, stopped or restarted, waits for the end of that very job, and then until the unit has stayed as it
    /// is for 5 s. Answers with its state then.
    ///
    /// # Errors
    /// The job did not end with `done`; the unit did not stay as it should.
    pub async fn change(&self, unit: &str, action: UnitAction) -> Result<State, Failure> {
        let result = match timeout(JOB, self.job(unit, action)).await {
            Ok(result) => result.map_err(Failure::broken)?,
            Err(_) => return Err(Failure::Broken(format!("{unit}: the job took longer than {} s", JOB.as_secs()))),
        };
        if result != "done" {
            let state = self.state(unit).await?;
            let text = format!("{unit}: the job ended with {result}; the unit is {} ({})", state.active, state.sub);
            return Err(Failure::Broken(text));
        }
        match action {
            UnitAction::Stop => self.state(unit).await,
            UnitAction::Start | UnitAction::Restart => self.stable(unit).await,
        }
    }

    /// The result of a job.
    async fn job(&self, unit: &str, action: UnitAction) -> zbus::Result<String> {
        let manager = self.manager().await?;
        // Before the job is made: its end may come before we know its name.
        let mut removed = manager.receive_signal("JobRemoved").await?;
        let () = manager.call("Subscribe", &()).await?;
        let method = match action {
            UnitAction::Start => "StartUnit",
            UnitAction::Stop => "StopUnit",
            UnitAction::Restart => "RestartUnit",
        };
        let job: OwnedObjectPath = manager.call(method, &(unit, "replace")).await?;
        while let Some(signal) = removed.next().await {
            let body = signal.body();
            let (_, path, _, result): (u32, OwnedObjectPath, String, String) = body.deserialize()?;
            if path == job {
                return Ok(result);
            }
        }
        Err(zbus::Error::InputOutput(std::sync::Arc::new(std::io::ErrorKind::UnexpectedEof.into())))
    }

    async fn stable(&self, unit: &str) -> Result<State, Failure> {
        let first = self.state(unit).await?;
        let end = Instant::now() + STABLE;
        loop {
            let state = self.state(unit).await?;
            if !state.good(unit) || state.invocation != first.invocation || state.restarts != first.restarts {
                let text = format!("{unit} did not stay active: it is {} ({})", state.active, state.sub);
                return Err(Failure::Broken(text));
            }
            if Instant::now() >= end {
                return Ok(state);
            }
            sleep(STEP).await;
        }
    }
}
