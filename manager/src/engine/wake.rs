//! Who acts after a commit. A wake-up carries no content: whoever is woken looks at the rows.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hostler_common::id::HostId;
use tokio::sync::{Notify, watch};

/// Everything that waits for commits.
#[derive(Debug)]
pub struct Wake {
    timers: Notify,
    orders: Notify,
    downloads: Notify,
    hosts: Mutex<HashMap<HostId, Arc<Notify>>>,
    generation: watch::Sender<u64>,
    assignments: AtomicU64,
}

impl Default for Wake {
    fn default() -> Self {
        Self {
            timers: Notify::new(),
            orders: Notify::new(),
            downloads: Notify::new(),
            hosts: Mutex::default(),
            generation: watch::Sender::new(0),
            assignments: AtomicU64::new(0),
        }
    }
}

impl Wake {
    /// Timers may have moved.
    pub fn timers(&self) {
        self.timers.notify_one();
    }

    /// Waits until timers may have moved.
    pub async fn timers_moved(&self) {
        self.timers.notified().await;
    }

    /// Instances may have to be moved.
    pub fn orders(&self) {
        self.orders.notify_one();
    }

    /// Waits until instances may have to be moved.
    pub async fn orders_made(&self) {
        self.orders.notified().await;
    }

    /// Files may have to be fetched.
    pub fn downloads(&self) {
        self.downloads.notify_one();
    }

    /// Waits until files may have to be fetched.
    pub async fn downloads_wanted(&self) {
        self.downloads.notified().await;
    }

    /// There may be something to tell the agent of that host.
    pub fn host(&self, host: HostId) {
        if let Some(link) = self.links().get(&host) {
            link.notify_one();
        }
    }

    /// Registers the link of a host; a new link takes the place of the one before.
    pub fn register(&self, host: HostId) -> Arc<Notify> {
        let link = Arc::new(Notify::new());
        self.links().insert(host, Arc::clone(&link));
        link
    }

    /// Removes the link of a host, if it is still this one.
    pub fn unregister(&self, host: HostId, link: &Arc<Notify>) {
        let mut links = self.links();
        if links.get(&host).is_some_and(|current| Arc::ptr_eq(current, link)) {
            links.remove(&host);
        }
    }

    /// What agents are to do by themselves may have changed: all links look.
    pub fn assignments(&self) {
        self.assignments.fetch_add(1, Ordering::SeqCst);
        for link in self.links().values() {
            link.notify_one();
        }
    }

    /// Rises with each call of [`Self::assignments`].
    #[must_use]
    pub fn assigned(&self) -> u64 {
        self.assignments.load(Ordering::SeqCst)
    }

    /// Something was committed.
    pub fn changed(&self) {
        self.generation.send_modify(|generation| *generation = generation.wrapping_add(1));
    }

    /// For waiting until something is committed.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    fn links(&self) -> std::sync::MutexGuard<'_, HashMap<HostId, Arc<Notify>>> {
        // The map is whole after any panic: every critical section is one operation on it.
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
