//! The counters that are touched all the time.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use super::Dialect;
use super::histogram::Histogram;
use super::text::{Kind, Text};

/// Counters of this process since its start.
pub static COUNTERS: Counters = Counters::new();

/// All counters.
#[derive(Debug)]
pub struct Counters {
    requests: [DialectCounters; Dialect::ALL.len()],
    overload: AtomicU64,
    slow: AtomicU64,
    panics: AtomicU64,
    audit_lost: AtomicU64,
    connections: AtomicI64,
    transactions: [Histogram; 2],
}

#[derive(Debug)]
struct DialectCounters {
    /// By class of the status: 1xx to 5xx.
    classes: [AtomicU64; 5],
    took: Histogram,
}

impl Counters {
    const fn new() -> Self {
        Self {
            requests: [const { DialectCounters { classes: [const { AtomicU64::new(0) }; 5], took: Histogram::new() } };
                Dialect::ALL.len()],
            overload: AtomicU64::new(0),
            slow: AtomicU64::new(0),
            panics: AtomicU64::new(0),
            audit_lost: AtomicU64::new(0),
            connections: AtomicI64::new(0),
            transactions: [const { Histogram::new() }; 2],
        }
    }

    /// A request was answered with that status, after that time.
    pub fn request(&self, dialect: Dialect, status: u16, took: Duration) {
        let counters = &self.requests[dialect.index()];
        if let Some(class) = counters.classes.get(usize::from(status / 100).wrapping_sub(1)) {
            class.fetch_add(1, Ordering::Relaxed);
        }
        counters.took.observe(took);
    }

    /// A request was refused because too many are under way.
    pub fn overload(&self) {
        self.overload.fetch_add(1, Ordering::Relaxed);
    }

    /// A request was given up because it took too long.
    pub fn slow(&self) {
        self.slow.fetch_add(1, Ordering::Relaxed);
    }

    /// A handler panicked.
    pub fn panic(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    /// So many rows of the audit trail, or occurrences that come of them, are lost: the queue is full or the store is away.
    pub fn audit_lost(&self, count: u64) {
        self.audit_lost.fetch_add(count, Ordering::Relaxed);
    }

    /// A connection to the REST listener begins; it counts until the guard is dropped.
    #[must_use]
    pub fn connection(&'static self) -> ConnectionGuard {
        self.connections.fetch_add(1, Ordering::Relaxed);
        ConnectionGuard(self)
    }

    /// A transaction of the store ended.
    pub fn transaction(&self, committed: bool, took: Duration) {
        self.transactions[usize::from(committed)].observe(took);
    }

    /// Writes all of them.
    pub fn write(&self, text: &mut Text) {
        let name = "hostler_http_requests_total";
        text.metric(name, Kind::Counter, "Answered requests by dialect and class of the status.");
        for (dialect, counters) in Dialect::ALL.iter().zip(&self.requests) {
            for (class, count) in ["1xx", "2xx", "3xx", "4xx", "5xx"].iter().zip(&counters.classes) {
                text.sample(name, &[("dialect", dialect.name()), ("class", class)], count.load(Ordering::Relaxed));
            }
        }
        let name = "hostler_http_request_duration_seconds";
        text.metric(name, Kind::Histogram, "Time from a request's head to its answer's head.");
        for (dialect, counters) in Dialect::ALL.iter().zip(&self.requests) {
            counters.took.write(text, name, &[("dialect", dialect.name())]);
        }
        let name = "hostler_http_requests_aborted_total";
        text.metric(name, Kind::Counter, "Requests that the server ended itself, by reason.");
        for (reason, count) in [("overload", &self.overload), ("timeout", &self.slow), ("panic", &self.panics)] {
            text.sample(name, &[("reason", reason)], count.load(Ordering::Relaxed));
        }
        let name = "hostler_audit_lost_total";
        text.metric(name, Kind::Counter, "Rows of the audit trail that could not be written or told to hooks.");
        text.sample(name, &[], self.audit_lost.load(Ordering::Relaxed));
        let name = "hostler_http_connections";
        text.metric(name, Kind::Gauge, "Open connections to the REST listener.");
        text.sample(name, &[], self.connections.load(Ordering::Relaxed));
        let name = "hostler_store_transaction_duration_seconds";
        text.metric(name, Kind::Histogram, "Time of the store's transactions, waiting included, by outcome.");
        for (outcome, took) in ["refused", "committed"].iter().zip(&self.transactions) {
            took.write(text, name, &[("outcome", outcome)]);
        }
    }
}

/// An open connection.
#[derive(Debug)]
pub struct ConnectionGuard(&'static Counters);

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_dialect_and_class() {
        let counters = Counters::new();
        counters.request(Dialect::Native, 204, Duration::from_millis(3));
        counters.request(Dialect::Native, 404, Duration::from_millis(3));
        counters.request(Dialect::Introspection, 599, Duration::ZERO);
        counters.request(Dialect::Introspection, 999, Duration::ZERO);
        counters.transaction(true, Duration::from_secs(1));
        let mut text = Text::default();
        counters.write(&mut text);
        let text = text.finish();
        for line in [
            "hostler_http_requests_total{dialect=\"native\",class=\"2xx\"} 1",
            "hostler_http_requests_total{dialect=\"native\",class=\"4xx\"} 1",
            "hostler_http_requests_total{dialect=\"native\",class=\"5xx\"} 0",
            "hostler_http_requests_total{dialect=\"introspection\",class=\"5xx\"} 1",
            "hostler_http_request_duration_seconds_count{dialect=\"native\"} 2",
            "hostler_store_transaction_duration_seconds_count{outcome=\"committed\"} 1",
            "hostler_store_transaction_duration_seconds_count{outcome=\"refused\"} 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
