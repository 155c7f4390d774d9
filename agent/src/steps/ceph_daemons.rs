//! Stops, starts or hands over all daemons of Ceph of this host (spec/maintenance.md §8.6).
//!
//! Must never: stop an OSD, a monitor or a metadata server without having asked the cluster at that moment; leave daemons stopped
//! after a stop that did harm.

mod hand_over;
mod units;

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use hostler_common::step::StepResult;
use hostler_common::step::maintenance::{CephDaemons, CephTurn, Daemons};
use serde_json::{Value, json};

use self::units::Units;
use super::ceph_daemon::unit_name;
use super::systemd::Systemd;
use super::{Context, Failure, asked, ceph_stop_check, check_name};
use crate::ceph::{CephClient, Error, parse};

/// Where daemons of Ceph keep their data.
const DATA: &str = "/var/lib/ceph";
/// The check that says that data cannot be reached.
const UNAVAILABLE: &str = "PG_AVAILABILITY";

/// How long things may take.
#[derive(Clone, Copy, Debug)]
struct Patience {
    /// Between two looks.
    again: Duration,
    /// Until the cluster agrees that a daemon may stop: placement groups think for a moment after each stop.
    ask: Duration,
    /// How long it is watched after the last stop.
    watch: Duration,
    /// How long data may be out of reach meanwhile: placement groups find their new primaries in that time.
    blink: Duration,
    /// Until stopped OSDs are seen as down, beyond the watch; until monitors are in the quorum.
    seen: Duration,
    /// Until started OSDs are up.
    up: Duration,
}

const PATIENCE: Patience = Patience {
    again: Duration::from_secs(1),
    ask: Duration::from_secs(60),
    watch: Duration::from_secs(30),
    blink: Duration::from_secs(10),
    seen: Duration::from_secs(120),
    up: Duration::from_secs(900),
};

/// Does it.
///
/// # Errors
/// There is no systemd or no unit of a daemon; the cluster says no, in which case what was stopped is started again; it cannot be
/// asked.
pub fn run(step: &CephDaemons, context: &Context) -> Result<StepResult, Failure> {
    let mut client = context.client();
    if step.turn == CephTurn::HandOver {
        return hand_over::run(client.as_mut(), &step.daemons, PATIENCE);
    }
    let mut units = Systemd::connect()?;
    let members = members(&step.daemons, Path::new(DATA))?;
    for member in &members {
        if !units.knows(&member.unit)? {
            return Err(Failure::Refused(format!("there is no unit {}", member.unit)));
        }
    }
    let mut turn = Turn { client: client.as_mut(), units: &mut units, members, patience: PATIENCE };
    match step.turn {
        CephTurn::Stop => turn.stop(),
        CephTurn::Start | CephTurn::HandOver => turn.start(),
    }
}

/// What sort of daemon it is, in the order in which they are stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Osd,
    Rgw,
    Mds,
    Mgr,
    Mon,
}

/// A daemon and its unit.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Member {
    kind: Kind,
    id: String,
    unit: String,
}

/// All of them, in the order in which they are stopped; they are started the other way round.
fn members(daemons: &Daemons, data: &Path) -> Result<Vec<Member>, Failure> {
    let osds: Vec<String> = daemons.osds.iter().map(ToString::to_string).collect();
    let kinds = [
        (Kind::Osd, "osd", &osds),
        (Kind::Rgw, "rgw", &daemons.rgws),
        (Kind::Mds, "mds", &daemons.mdss),
        (Kind::Mgr, "mgr", &daemons.mgrs),
        (Kind::Mon, "mon", &daemons.mons),
    ];
    let mut members = Vec::new();
    for (kind, name, ids) in kinds {
        for id in ids {
            check_name("daemon", id)?;
            members.push(Member { kind, id: id.clone(), unit: unit_name(data, name, id)? });
        }
    }
    Ok(members)
}

/// A stop or a start under way.
struct Turn<'a> {
    client: &'a mut dyn CephClient,
    units: &'a mut dyn Units,
    members: Vec<Member>,
    patience: Patience,
}

/// One look at the cluster after a stop.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Look {
    up: Vec<i64>,
    unavailable: Option<String>,
}

impl Turn<'_> {
    fn osds(&self) -> Vec<i64> {
        self.members
            .iter()
            .filter(|member| member.kind == Kind::Osd)
            .filter_map(|member| member.id.parse().ok())
            .collect()
    }

    /// Stops them one after the other, and watches what that does.
    fn stop(&mut self) -> Result<StepResult, Failure> {
        let before = asked(self.look())?;
        if let Some(reason) = before.unavailable.as_ref().filter(|_| !self.osds().is_empty()) {
            return Err(Failure::Refused(format!("data are out of reach already: {reason}")));
        }
        let mut stopped = Vec::new();
        for member in self.members.clone() {
            let done = match self.units.active(&member.unit) {
                Ok(false) => continue,
                Ok(true) => self.stop_one(&member),
                Err(failure) => Err(failure.to_string()),
            };
            // Also where it failed: nobody knows how far it came.
            let asked = matches!(&done, Err(reason) if reason.starts_with(NOT_ASKED));
            if !asked {
                stopped.push(member);
            }
            if let Err(reason) = done {
                return Err(self.undo(&stopped, reason.trim_start_matches(NOT_ASKED)));
            }
        }
        let wait = !stopped.is_empty() && !self.osds().is_empty();
        if wait && let Err(reason) = self.watch(&before) {
            return Err(self.undo(&stopped, &reason));
        }
        let names: Vec<&str> = stopped.iter().map(|member| member.unit.as_str()).collect();
        let detail =
            if names.is_empty() { "all were stopped already".into() } else { format!("{} stopped", names.len()) };
        let watched = if wait { self.patience.watch.as_secs() } else { 0 };
        let after = json!({"stopped": names, "osds": self.osds(), "watched_s": watched});
        Ok(StepResult { changed: !names.is_empty(), before: json!({"up": before.up}), after, detail })
    }

    /// Stops one, if the cluster agrees at this moment.
    fn stop_one(&mut self, member: &Member) -> Result<(), String> {
        self.agreed(member).map_err(|reason| format!("{NOT_ASKED}{reason}"))?;
        self.units.stop(&member.unit).map_err(|failure| failure.to_string())
    }

    /// Waits until the cluster agrees that a daemon stops.
    fn agreed(&mut self, member: &Member) -> Result<(), String> {
        let mut daemons = Daemons::default();
        match member.kind {
            Kind::Osd => daemons.osds.extend(member.id.parse::<i64>().ok()),
            Kind::Mds => daemons.mdss.push(member.id.clone()),
            Kind::Mgr => daemons.mgrs.push(member.id.clone()),
            Kind::Mon => daemons.mons.push(member.id.clone()),
            // Whoever balances its load was told before.
            Kind::Rgw => return Ok(()),
        }
        let end = Instant::now() + self.patience.ask;
        loop {
            let reason = match ceph_stop_check::answer(self.client, &daemons) {
                Ok(answer) if answer.ok => return Ok(()),
                Ok(answer) => answer.against.join("; "),
                Err(error) => error.to_string(),
            };
            if Instant::now() >= end {
                return Err(format!("{} may not stop: {reason}", member.unit));
            }
            sleep(self.patience.again);
        }
    }

    /// Watches until the stopped OSDs are seen as down and nothing else happened for a while.
    fn watch(&mut self, before: &Look) -> Result<(), String> {
        let ours = self.osds();
        let (began, mut dark) = (Instant::now(), None::<Instant>);
        let mut last;
        loop {
            let calm = match self.look() {
                Ok(look) => {
                    if let Some(other) = before.up.iter().find(|osd| !ours.contains(osd) && !look.up.contains(osd)) {
                        return Err(format!("osd.{other}, which was not stopped, is down"));
                    }
                    let still: Vec<&i64> = look.up.iter().filter(|osd| ours.contains(osd)).collect();
                    match &look.unavailable {
                        None => dark = None,
                        Some(reason) => {
                            let since = *dark.get_or_insert_with(Instant::now);
                            if since.elapsed() >= self.patience.blink {
                                return Err(format!("data are out of reach: {reason}"));
                            }
                        }
                    }
                    last = format!("OSDs {still:?} are seen as up after their stop");
                    still.is_empty() && dark.is_none()
                }
                // Monitors of this host are gone, and others are found in a moment.
                Err(error) => {
                    last = error.to_string();
                    false
                }
            };
            let waited = began.elapsed();
            if waited >= self.patience.watch && calm {
                return Ok(());
            }
            if waited >= self.patience.watch + self.patience.seen {
                return Err(last);
            }
            sleep(self.patience.again);
        }
    }

    fn look(&mut self) -> Result<Look, Error> {
        let map = parse::osd_map(&self.client.ask(&json!({"prefix": "osd dump", "format": "json"}))?);
        let health = self.client.ask(&json!({"prefix": "health", "format": "json"}))?;
        if !health["status"].is_string() {
            return Err(Error::Unreadable("there is no health in it".into()));
        }
        let check = &health["checks"][UNAVAILABLE];
        let message = check["summary"]["message"].as_str().unwrap_or(UNAVAILABLE);
        let unavailable = (!check.is_null()).then(|| message.to_owned());
        Ok(Look { up: map.osds.iter().filter(|osd| osd.up).map(|osd| osd.id).collect(), unavailable })
    }

    /// Starts again what was stopped, monitors first. The failure says both.
    fn undo(&mut self, stopped: &[Member], reason: &str) -> Failure {
        if stopped.is_empty() {
            return Failure::Refused(reason.to_owned());
        }
        let failed: Vec<String> = stopped
            .iter()
            .rev()
            .filter_map(|member| {
                self.units.start(&member.unit).err().map(|failure| format!("{}: {failure}", member.unit))
            })
            .collect();
        if !failed.is_empty() {
            return Failure::Broken(format!("{reason}; and what was stopped does not start: {}", failed.join("; ")));
        }
        let units: Vec<&str> = stopped.iter().map(|member| member.unit.as_str()).collect();
        let detail = format!("{reason}; what was stopped was started again");
        let after = json!({"stopped": [], "started_again": units});
        Failure::Undone(Box::new(StepResult { changed: false, before: Value::Null, after, detail }))
    }

    /// Starts them, monitors first, and waits until OSDs are up.
    fn start(&mut self) -> Result<StepResult, Failure> {
        let mut started = Vec::new();
        let mut members = self.members.clone();
        members.reverse();
        let (first, rest): (Vec<Member>, Vec<Member>) =
            members.into_iter().partition(|member| member.kind == Kind::Mon);
        for member in first {
            self.start_one(&member, &mut started)?;
        }
        self.wait_quorum()?;
        for member in rest {
            self.start_one(&member, &mut started)?;
        }
        self.wait_up()?;
        let detail = if started.is_empty() { "all ran already".into() } else { format!("{} started", started.len()) };
        let after = json!({"started": started, "osds": self.osds()});
        Ok(StepResult { changed: !started.is_empty(), before: Value::Null, after, detail })
    }

    fn start_one(&mut self, member: &Member, started: &mut Vec<String>) -> Result<(), Failure> {
        if !self.units.active(&member.unit)? {
            self.units.start(&member.unit)?;
            started.push(member.unit.clone());
        }
        Ok(())
    }

    fn wait_quorum(&mut self) -> Result<(), Failure> {
        let mons: Vec<String> =
            self.members.iter().filter(|member| member.kind == Kind::Mon).map(|member| member.id.clone()).collect();
        let patience = self.patience;
        wait(patience.seen, patience.again, || {
            let quorum = self.client.ask(&json!({"prefix": "quorum_status", "format": "json"}));
            let quorum = quorum.map_err(|error| error.to_string())?;
            let missing: Vec<&String> = mons.iter().filter(|name| !parse::presence::mon(&quorum, name)).collect();
            if missing.is_empty() { Ok(()) } else { Err(format!("monitors {missing:?} are not in the quorum")) }
        })
    }

    fn wait_up(&mut self) -> Result<(), Failure> {
        let (ours, patience) = (self.osds(), self.patience);
        if ours.is_empty() {
            return Ok(());
        }
        wait(patience.up, patience.again, || {
            let look = self.look().map_err(|error| error.to_string())?;
            let down: Vec<&i64> = ours.iter().filter(|osd| !look.up.contains(osd)).collect();
            if down.is_empty() { Ok(()) } else { Err(format!("OSDs {down:?} do not come up")) }
        })
    }
}

/// What the reason of a daemon begins with that was not even asked to stop.
const NOT_ASKED: &str = "not asked: ";

/// Waits until something holds; the failure says what it was that did not.
fn wait(limit: Duration, again: Duration, mut holds: impl FnMut() -> Result<(), String>) -> Result<(), Failure> {
    let end = Instant::now() + limit;
    loop {
        match holds() {
            Ok(()) => return Ok(()),
            Err(reason) if Instant::now() >= end => {
                return Err(Failure::Broken(format!("{reason} after {} s", limit.as_secs())));
            }
            Err(_) => sleep(again),
        }
    }
}

#[cfg(test)]
mod tests;
