//! Event sources: what happens on the host and in its Ceph cluster without our doing (spec/hooks.md §7).
//!
//! Each source is a task of its own and says what it saw into one bounded channel, so that one that hangs, or that nobody
//! listens to, holds up no other (§13.11). What it read is understood by pure functions beside it. A source runs while the
//! assignment gives it something to do, and begins anew, with a new baseline, when that changes.
//!
//! Adding a source is one file in this folder and one line in [`SOURCES`].

mod cephfs;
mod cluster;
mod disks;
pub mod leases;
mod mount;
mod network;
mod rbd;

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use hostler_common::cluster::ClusterState;
use hostler_common::hook::{Assignment, HookPoint, Occurrence, Origin};
use hostler_common::time::{Clock as _, SystemClock};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::ceph::Access;
use crate::ours;

pub(crate) use cephfs::mark as cephfs_mark;
pub(crate) use rbd::mark as rbd_mark;

/// How long a source that failed is left alone before it begins anew.
const PAUSE: Duration = Duration::from_secs(30);

/// What a source saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Something happened that hooks may be bound to; not by our doing.
    Occurrence(Occurrence),
    /// The state of a cluster that this host was chosen to watch.
    Cluster(ClusterState),
}

/// Where things are on this host.
#[derive(Clone, Debug)]
pub struct Places {
    /// How Ceph is asked.
    pub ceph: Access,
    /// What of this boot is remembered.
    pub runtime_dir: PathBuf,
    /// This executable, which is started for probes.
    pub executable: PathBuf,
    /// How often snapshots are looked for.
    pub snapshots_every: Duration,
    /// File systems that the persistent mount may be of.
    pub mount_types: Vec<String>,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            ceph: Access::default(),
            runtime_dir: ours::RUNTIME_DIR.into(),
            executable: std::env::current_exe().unwrap_or_else(|_| "hostler-agent".into()),
            snapshots_every: Duration::from_secs(60),
            mount_types: ["ceph", "fuse.ceph-fuse", "fuse.ceph"].map(str::to_owned).to_vec(),
        }
    }
}

/// What a source gets.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    places: Places,
    assignment: Assignment,
    out: mpsc::Sender<Seen>,
}

impl Context {
    /// Says that something happened. Waits while nobody takes what was said before.
    async fn occur(&self, point: HookPoint, values: Vec<String>) {
        let at = SystemClock.now();
        let occurrence = Occurrence { id: Uuid::now_v7(), point, origin: Origin::External, at, values };
        // Where nobody listens any more the agent stops.
        self.out.send(Seen::Occurrence(occurrence)).await.ok();
    }
}

type Running = Pin<Box<dyn Future<Output = std::io::Result<()>> + Send>>;

/// An event source.
struct Source {
    /// What log lines call it.
    name: &'static str,
    /// What of the assignment it depends on; `None` where it has nothing to do.
    task: fn(&Assignment) -> Option<String>,
    /// Runs until it is dropped; ends only where it cannot go on.
    run: fn(Context) -> Running,
}

macro_rules! sources {
    ($($name:literal, $module:ident;)*) => {
        &[$(Source { name: $name, task: $module::task, run: |context| Box::pin($module::run(context)) }),*]
    };
}

/// All sources.
const SOURCES: &[Source] = sources! {
    "cluster", cluster;
    "mount", mount;
    "leases", leases;
    "network", network;
    "disks", disks;
    "rbd", rbd;
    "cephfs", cephfs;
};

/// The running sources.
#[derive(Debug)]
pub struct Handle {
    assignment: watch::Sender<Assignment>,
}

impl Handle {
    /// The assignment changed. Sources whose part of it is as before go on undisturbed.
    pub fn assign(&self, assignment: Assignment) {
        self.assignment.send_replace(assignment);
    }
}

/// Starts all sources; they end with `stop`, or when the handle is dropped.
#[must_use]
pub fn start(settings: &Assignment, out: mpsc::Sender<Seen>, stop: CancellationToken) -> Handle {
    start_in(Places::default(), settings, out, stop)
}

/// As [`start`], with other places.
#[must_use]
pub fn start_in(places: Places, settings: &Assignment, out: mpsc::Sender<Seen>, stop: CancellationToken) -> Handle {
    let (assignment, changes) = watch::channel(settings.clone());
    for source in SOURCES {
        let (places, out, changes, stop) = (places.clone(), out.clone(), changes.clone(), stop.clone());
        tokio::spawn(async move {
            stop.run_until_cancelled(keep(source, places, out, changes)).await;
        });
    }
    Handle { assignment }
}

/// Runs a source for as long as there is an assignment, anew where its part of it changed.
async fn keep(source: &Source, places: Places, out: mpsc::Sender<Seen>, mut changes: watch::Receiver<Assignment>) {
    loop {
        let assignment = changes.borrow_and_update().clone();
        let task = (source.task)(&assignment);
        let context = Context { places: places.clone(), assignment, out: out.clone() };
        let work = async {
            if task.is_none() {
                return std::future::pending().await;
            }
            loop {
                if let Err(error) = (source.run)(context.clone()).await {
                    tracing::info!(source = source.name, %error, "an event source cannot go on; it begins anew later");
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        let changed = async {
            loop {
                if changes.changed().await.is_err() {
                    return false;
                }
                if (source.task)(&changes.borrow_and_update()) != task {
                    return true;
                }
            }
        };
        tokio::select! {
            () = work => {}
            again = changed => if !again { return },
        }
    }
}
