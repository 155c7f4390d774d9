//! Deadlines: nothing that a probe touches may hold up the rest.
//!
//! A read that hangs in the kernel cannot be cancelled, so its thread is left behind. That is harmless because the probe is
//! a short-lived process of its own; the caller's answer never waits for it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Devices that are read at the same time.
const WORKERS: usize = 8;
/// Threads that may be left hanging on dead devices before the rest is given up.
const LOST_MAX: usize = 64;
/// Small stacks: probes do not recurse deeply.
const STACK: usize = 512 << 10;

/// Starts a named thread; `false` if the system has none left.
pub fn start(name: &str, work: impl FnOnce() + Send + 'static) -> bool {
    thread::Builder::new().name(name.to_owned()).stack_size(STACK).spawn(work).is_ok()
}

enum Report<T> {
    Began(usize),
    Ended(usize, T),
}

/// Applies `read` to every item on a few threads. An item that takes longer than `each` yields `None` and costs the
/// others nothing; after `all` whatever has not answered yields `None`. A read that panics yields `None`, too.
pub fn each<I, T>(
    items: Vec<I>,
    each: Duration,
    all: Duration,
    read: impl Fn(&I) -> T + Send + Sync + 'static,
) -> Vec<Option<T>>
where
    I: Send + Sync + 'static,
    T: Send + 'static,
{
    let count = items.len();
    let mut results: Vec<Option<T>> = Vec::new();
    results.resize_with(count, || None);
    let job = Arc::new(Job { items, read, queue: Mutex::new((0..count).collect()) });
    let (reports, inbox) = mpsc::channel();
    let mut workers = (0..WORKERS.min(count)).filter(|_| spawn(&job, &reports)).count();
    let mut lost = 0;
    let mut running: BTreeMap<usize, Instant> = BTreeMap::new();
    let mut open = count;
    let end = Instant::now() + all;
    while open > 0 && workers > 0 {
        let next = running.values().min().map_or(end, |began| (*began + each).min(end));
        match inbox.recv_timeout(next.saturating_duration_since(Instant::now())) {
            Ok(Report::Began(item)) => {
                running.insert(item, Instant::now());
            }
            Ok(Report::Ended(item, result)) => {
                if running.remove(&item).is_some() {
                    results[item] = Some(result);
                    open -= 1;
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                let now = Instant::now();
                if now >= end {
                    break;
                }
                let late: Vec<usize> =
                    running.iter().filter(|(_, began)| now >= **began + each).map(|(item, _)| *item).collect();
                for item in late {
                    running.remove(&item);
                    open -= 1;
                    workers -= 1;
                    lost += 1;
                    if lost < LOST_MAX && spawn(&job, &reports) {
                        workers += 1;
                    }
                }
            }
        }
    }
    results
}

struct Job<I, F> {
    items: Vec<I>,
    read: F,
    queue: Mutex<VecDeque<usize>>,
}

fn spawn<I, T, F>(job: &Arc<Job<I, F>>, reports: &Sender<Report<T>>) -> bool
where
    I: Send + Sync + 'static,
    T: Send + 'static,
    F: Fn(&I) -> T + Send + Sync + 'static,
{
    let (job, reports) = (Arc::clone(job), reports.clone());
    start("device", move || {
        loop {
            let item = job.queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop_front();
            let Some(item) = item else { return };
            if reports.send(Report::Began(item)).is_err() {
                return;
            }
            let result = (job.read)(&job.items[item]);
            if reports.send(Report::Ended(item, result)).is_err() {
                return;
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hung_device_delays_nobody() {
        let began = Instant::now();
        let results = each((0..40).collect(), Duration::from_millis(200), Duration::from_secs(5), |item: &u32| {
            if item % 10 == 3 {
                thread::sleep(Duration::from_secs(3));
            }
            *item
        });
        for (item, result) in results.iter().enumerate() {
            assert_eq!(result.is_none(), item % 10 == 3, "{item}");
        }
        assert!(began.elapsed() < Duration::from_secs(2));
    }

    #[test]
    fn the_whole_is_bounded_when_everything_hangs() {
        let began = Instant::now();
        let results = each((0..400).collect(), Duration::from_millis(100), Duration::from_millis(300), |_: &u32| {
            thread::sleep(Duration::from_secs(2));
        });
        assert!(results.iter().all(Option::is_none));
        assert!(began.elapsed() < Duration::from_secs(1));
    }
}
