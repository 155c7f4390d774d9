//! Durations, counted in buckets.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::text::Text;

/// Upper bounds of the buckets, in microseconds: from what a cached read takes to what a request may take at the most.
const BOUNDS: [u64; 12] =
    [500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000, 30_000_000];

/// How often something took how long.
#[derive(Debug)]
pub struct Histogram {
    /// One per bound, and one for what took longer.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

impl Histogram {
    /// Nothing counted yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { buckets: [const { AtomicU64::new(0) }; BOUNDS.len() + 1], micros: AtomicU64::new(0) }
    }

    /// Counts one duration.
    pub fn observe(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.iter().position(|bound| micros <= *bound).unwrap_or(BOUNDS.len());
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Writes the samples of a histogram of that name; `labels` are set on each.
    pub fn write(&self, text: &mut Text, name: &str, labels: &[(&str, &str)]) {
        let bucket = format!("{name}_bucket");
        let mut total = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            total += count.load(Ordering::Relaxed);
            let bound = BOUNDS.get(index).map_or_else(|| "+Inf".to_owned(), |bound| seconds(*bound).to_string());
            let mut all = labels.to_vec();
            all.push(("le", &bound));
            text.sample(&bucket, &all, total);
        }
        text.sample(&format!("{name}_sum"), labels, seconds(self.micros.load(Ordering::Relaxed)));
        text.sample(&format!("{name}_count"), labels, total);
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

/// Seconds as Prometheus counts them; exact enough for 285 years of microseconds.
#[allow(clippy::cast_precision_loss)]
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_bounds_belong_to_the_lower_one() {
        let histogram = Histogram::new();
        for micros in [1, 500, 501, 30_000_000, 30_000_001] {
            histogram.observe(Duration::from_micros(micros));
        }
        let mut text = Text::default();
        histogram.write(&mut text, "took", &[("of", "x")]);
        let text = text.finish();
        for line in [
            "took_bucket{of=\"x\",le=\"0.0005\"} 2",
            "took_bucket{of=\"x\",le=\"0.001\"} 3",
            "took_bucket{of=\"x\",le=\"5\"} 3",
            "took_bucket{of=\"x\",le=\"30\"} 4",
            "took_bucket{of=\"x\",le=\"+Inf\"} 5",
            "took_sum{of=\"x\"} 60.001003",
            "took_count{of=\"x\"} 5",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
